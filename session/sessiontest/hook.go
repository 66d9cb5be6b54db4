package sessiontest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// hookMatcher is a registration of the host.
type hookMatcher struct {
	Matcher         *string  `json:"matcher"`
	HookCallbackIDs []string `json:"hookCallbackIds"`
	Timeout         *float64 `json:"timeout"` // seconds
	OnFailure       string   `json:"onFailure"`
}

// defaultHookTimeout is the CLI's.
const defaultHookTimeout = 10 * time.Minute

var errHookShape = errors.New("initialize: hooks must map hook events to arrays of matchers carrying hookCallbackIds arrays and string matchers")

// parseHooks reads registrations. Event names are not checked: the CLI accepts a misspelt one in silence.
func parseHooks(raw json.RawMessage) (map[string][]hookMatcher, error) {
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	var hooks map[string][]hookMatcher
	if json.Unmarshal(raw, &hooks) != nil {
		return nil, errHookShape
	}
	for _, matchers := range hooks {
		for _, m := range matchers {
			if m.HookCallbackIDs == nil {
				return nil, errHookShape
			}
		}
	}
	return hooks, nil
}

var plainMatcher = regexp.MustCompile(`^[A-Za-z0-9_|]+$`)

// matches compares case-sensitively: names as they are, anything else as an expression.
func (m hookMatcher) matches(tool string) bool {
	if m.Matcher == nil || *m.Matcher == "" || *m.Matcher == "*" {
		return true
	}
	if plainMatcher.MatchString(*m.Matcher) {
		return slices.Contains(strings.Split(*m.Matcher, "|"), tool)
	}
	expression, err := regexp.Compile(*m.Matcher)
	return err == nil && expression.MatchString(tool)
}

// hookOutput is what a callback answers.
type hookOutput struct {
	Decision string `json:"decision"`
	Reason   string `json:"reason"`
	Specific struct {
		Decision     string          `json:"permissionDecision"`
		Reason       string          `json:"permissionDecisionReason"`
		UpdatedInput json.RawMessage `json:"updatedInput"`
	} `json:"hookSpecificOutput"`
}

// hookOutcome is what all callbacks of an event said together.
type hookOutcome struct {
	deny         string // the reason; empty when nobody denied
	expired      bool
	closed       bool
	allow, ask   bool
	updatedInput json.RawMessage
}

// pendingHook is a callback that was called.
type pendingHook struct {
	request   *request
	id        string
	onFailure string
	timer     *time.Timer
}

// callHooks calls all callbacks of an event at once and waits for all of them. It reports false when the turn was interrupted.
func (s *simulation) callHooks(event string, use *toolUse, extra frame) (hookOutcome, bool) {
	var pending []*pendingHook
	in := frame{
		"permission_mode": s.mode, "effort": frame{"level": "medium"},
		"tool_name": hookName(use.name), "tool_input": use.input, "tool_use_id": use.id,
	}
	maps.Copy(in, extra)
	for _, m := range s.hooks[event] {
		if !m.matches(use.name) && !m.matches(hookName(use.name)) {
			continue
		}
		for _, id := range m.HookCallbackIDs {
			pending = append(pending, s.callHook(event, id, m, use.id, in))
		}
	}
	if event == "PreToolUse" {
		s.tellBlock(use)
	}
	return s.awaitHooks(event, pending)
}

// awaitHooks waits for the answers to all callbacks of an event.
func (s *simulation) awaitHooks(event string, pending []*pendingHook) (hookOutcome, bool) {
	var outcome hookOutcome
	going := s.await(func() bool {
		return !slices.ContainsFunc(pending, func(p *pendingHook) bool { return !p.request.settled() })
	})
	for _, p := range pending {
		p.timer.Stop()
		if going {
			s.settleHook(event, p, &outcome)
		}
	}
	return outcome, going
}

func (s *simulation) callHook(event, id string, m hookMatcher, toolUseID string, about frame) *pendingHook {
	in := frame{
		"session_id": s.transcript.sessionID, "transcript_path": s.transcript.path, "cwd": s.dir, "prompt_id": s.turn.promptID,
		"hook_event_name": event,
	}
	if a := s.turn.agent; a != nil {
		in["agent_id"], in["agent_type"] = a.id, a.kind
	}
	maps.Copy(in, about)
	p := &pendingHook{id: id, onFailure: m.OnFailure, request: s.ask(frame{
		"subtype": "hook_callback", "callback_id": id, "input": in, "tool_use_id": toolUseID,
	})}
	timeout := defaultHookTimeout
	if m.Timeout != nil && *m.Timeout > 0 {
		timeout = time.Duration(*m.Timeout * float64(time.Second))
	}
	p.timer = s.after(timeout, func() {
		if !p.request.settled() {
			p.request.expired = true
			s.cancel(p.request)
		}
	})
	return p
}

// settleHook adds one answer. A failing callback counts as no opinion, unless it was registered to block.
func (s *simulation) settleHook(event string, p *pendingHook, outcome *hookOutcome) {
	var out hookOutput
	switch {
	case p.request.expired:
		outcome.expired = true
		return
	case p.request.closed:
		outcome.closed = true
		return
	case p.request.failure != "", json.Unmarshal(p.request.response, &out) != nil:
		_, _ = fmt.Fprintf(s.stderr, "Error in hook callback %s: %s\n", p.id, p.request.failure) // as the CLI, only shorter
		note := fmt.Sprintf("%s: Hook callback %s failed: the SDK host replied with an error or an invalid answer.", event, p.id)
		if p.onFailure == "block" {
			note += ` onFailure is "block", so this failure counts as a block.`
			outcome.deny = `[callback]: failed; blocking because onFailure is "block"`
		}
		s.system("informational", frame{"content": note, "level": "warning", "tag": "hook_callback_failed"})
		return
	}
	switch {
	case out.Specific.Decision == "deny":
		outcome.deny = "denied by a hook"
		if out.Specific.Reason != "" {
			outcome.deny = out.Specific.Reason
		}
	case out.Decision == "block":
		outcome.deny = "blocked by a hook"
		if out.Reason != "" {
			outcome.deny = out.Reason
		}
	case out.Specific.Decision == "allow":
		outcome.allow = true
	case out.Specific.Decision == "ask":
		outcome.ask = true
	}
	if out.Specific.UpdatedInput != nil {
		outcome.updatedInput = out.Specific.UpdatedInput
	}
}
