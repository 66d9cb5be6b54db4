package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/toolname"
)

// DefaultHookTimeout is how long a hook may take.
const DefaultHookTimeout = 60 * time.Second

// Hook is a function of this program that is called at an event.
type Hook[In, Out any] struct {
	// Matcher says which tools it is about, for events of tools: a name, names separated by |, or a regular expression. It is
	// case-sensitive. Empty and "*": all.
	Matcher string
	// Timeout bounds Call. Zero: DefaultHookTimeout.
	Timeout time.Duration
	// Call is called in a goroutine of its own; ctx ends with the timeout, and when the CLI does not wait any more.
	Call func(ctx context.Context, in In) (Out, error)
}

// registered is a hook whatever its event.
type registered interface {
	settings() (matcher string, timeout time.Duration, missing bool)
	call(ctx context.Context, event string, in json.RawMessage) (out any, err error)
}

func (h Hook[In, Out]) settings() (string, time.Duration, bool) {
	if h.Timeout == 0 {
		return h.Matcher, DefaultHookTimeout, h.Call == nil
	}
	return h.Matcher, h.Timeout, h.Call == nil
}

func (h Hook[In, Out]) call(ctx context.Context, event string, raw json.RawMessage) (any, error) {
	var in In
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("read the input of hook %s: %w", event, err)
	}
	return h.Call(ctx, in)
}

// byEvent are the hooks of an event, in their order.
func (h Hooks) byEvent() map[string][]registered {
	all := make(map[string][]registered)
	v := reflect.ValueOf(h)
	for i := range v.NumField() {
		for j := range v.Field(i).Len() {
			if hook, ok := reflect.TypeAssert[registered](v.Field(i).Index(j)); ok {
				all[v.Type().Field(i).Name] = append(all[v.Type().Field(i).Name], hook)
			}
		}
	}
	return all
}

// IsZero reports whether there are none.
func (h Hooks) IsZero() bool { return len(h.byEvent()) == 0 }

func (h Hooks) problems(add adder) {
	for event, hooks := range h.byEvent() {
		for i, hook := range hooks {
			at := fmt.Sprintf("Hooks.%s[%d]", event, i)
			matcher, timeout, missing := hook.settings()
			if missing {
				add(at+".Call", "nil", "a function")
			}
			if timeout < 0 {
				add(at+".Timeout", timeout, "0 (for the default) or more")
			}
			if _, err := matching(matcher); err != nil {
				add(at+".Matcher", matcher, "names separated by | or a regular expression: "+err.Error())
			}
		}
	}
}

// plainMatcher is a matcher of names alone, which match whole.
var plainMatcher = regexp.MustCompile(`^[A-Za-z0-9_|-]+$`)

// matching reads a matcher as the CLI does.
func matching(matcher string) (func(tool string) bool, error) {
	switch {
	case matcher == "" || matcher == "*":
		return func(string) bool { return true }, nil
	case plainMatcher.MatchString(matcher):
		names := strings.Split(matcher, "|")
		return func(tool string) bool { return slices.Contains(names, tool) }, nil
	}
	expression, err := regexp.Compile(matcher)
	if err != nil {
		return nil, err
	}
	return expression.MatchString, nil
}

// guards are the events whose hooks can keep something from happening.
var guards = []string{
	protocol.HookPreToolUse, protocol.HookPermissionRequest, protocol.HookUserPromptSubmit, protocol.HookUserPromptExpansion,
	protocol.HookPreModelSwitch, protocol.HookPreCompact, protocol.HookElicitation,
}

// refusal is the answer that denies, where an event can be denied.
func refusal(event, reason string) any {
	switch event {
	case protocol.HookPreToolUse:
		return protocol.DenyTool(reason)
	case protocol.HookPermissionRequest:
		return protocol.PermissionRequestOutput{Decision: protocol.Deny{Message: reason}}
	case protocol.HookUserPromptSubmit:
		return protocol.UserPromptSubmitOutput{HookAnswer: protocol.HookAnswer{Block: reason}}
	case protocol.HookUserPromptExpansion:
		return protocol.UserPromptExpansionOutput{HookAnswer: protocol.HookAnswer{Block: reason}}
	case protocol.HookPreModelSwitch:
		return protocol.PreModelSwitchOutput{Decision: protocol.DecisionDeny, Reason: reason}
	case protocol.HookPreCompact:
		return protocol.PreCompactOutput{HookAnswer: protocol.HookAnswer{Block: reason}}
	case protocol.HookElicitation:
		return protocol.ElicitationOutput{Action: protocol.ElicitDecline}
	}
	return protocol.Empty()
}

// late is by how much this program's deadlines come before the CLI's, so that it is us who say what has happened.
const late = 10 * time.Second

// registrations are the hooks as the handshake has them: the audit log's, which has those of PreToolUse with it, and one for each
// of the others.
func (h Hooks) registrations() map[string][]protocol.HookMatcher {
	intent := auditWait + late
	all := map[string][]protocol.HookMatcher{}
	for event, hooks := range h.byEvent() {
		if event == protocol.HookPreToolUse {
			var longest time.Duration
			for _, hook := range hooks {
				_, timeout, _ := hook.settings()
				longest = max(longest, timeout)
			}
			intent += longest
			continue
		}
		for i, hook := range hooks {
			matcher, timeout, _ := hook.settings()
			m := protocol.HookMatcher{HookCallbackIDs: []string{callbackID(event, i)}, Timeout: seconds(timeout + late)}
			if matcher != "" {
				m.Matcher = &matcher
			}
			if slices.Contains(guards, event) {
				m.OnFailure = protocol.OnFailureBlock
			}
			all[event] = append(all[event], m)
		}
	}
	all[protocol.HookPreToolUse] = []protocol.HookMatcher{{
		HookCallbackIDs: []string{intentHook}, Timeout: seconds(max(intent, hookTimeout)), OnFailure: protocol.OnFailureBlock,
	}}
	return all
}

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

func callbackID(event string, i int) string { return event + "#" + strconv.Itoa(i) }

// hookOf finds a hook by the id that it was registered under.
func (h Hooks) hookOf(id string) (registered, bool) {
	event, number, _ := strings.Cut(id, "#")
	hooks := h.byEvent()[event]
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= len(hooks) {
		return nil, false
	}
	return hooks[i], true
}

// run calls a hook, and comes back whatever it does.
func run(ctx context.Context, event string, hook registered, in json.RawMessage) (any, error) {
	_, timeout, _ := hook.settings()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it did not answer within %v", timeout))
	defer cancel()
	type outcome struct {
		out any
		err error
	}
	done := make(chan outcome, 1)
	go func() { // ends when the hook returns, which is the embedder's to see to
		o := outcome{err: errors.New("it ended its goroutine")}
		defer func() {
			if v := recover(); v != nil {
				o = outcome{err: &actor.PanicError{Where: "hook " + event, Value: v, Stack: debug.Stack()}}
			}
			done <- o
		}()
		o.out, o.err = hook.call(ctx, event, in)
	}()
	select {
	case o := <-done:
		return o.out, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// onOtherHook calls a hook of another event than PreToolUse.
func (l *loop) onOtherHook(c *actor.Context[message], id string, body *protocol.HookCallback) {
	event := body.Input.HookEventName
	hook, known := l.options.Hooks.hookOf(body.CallbackID)
	switch {
	case known:
	case event == protocol.HookPreToolUse || body.CallbackID == intentHook: // a tool would run that nobody has taken down
		l.log.Error().Str("event", event).Msg("a hook is asked about a tool in a way that this program does not know: denied")
		l.desk.driftRequest("of the CLI: hook_callback " + event)
		l.reply(c, id, protocol.DenyTool("the question about it cannot be understood: the CLI may be too new for this program"))
		return
	default:
		l.reply(c, id, protocol.Empty())
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.questions[id] = cancel
	c.Go("hook "+event, func(actorCtx context.Context) message {
		defer context.AfterFunc(actorCtx, cancel)()
		out, err := run(ctx, event, hook, body.Input.Raw())
		return hookDone{requestID: id, event: event, out: out, err: err}
	})
}

func (l *loop) onHookDone(c *actor.Context[message], m hookDone) {
	cancel, open := l.questions[m.requestID]
	if !open { // withdrawn: it must not be answered
		return
	}
	cancel()
	delete(l.questions, m.requestID)
	if m.body != nil {
		l.onPreToolDone(c, m)
		return
	}
	payload, err := json.RawMessage(nil), m.err
	if err == nil {
		payload, err = protocol.MarshalHookOutput(m.event, m.out)
	}
	if err != nil {
		l.log.Error().Err(err).Str("event", m.event).Msg("hook failed")
		answer := refusal(m.event, "a hook failed: "+err.Error())
		if _, plain := answer.(protocol.HookOutput); plain {
			l.reply(c, m.requestID, answer)
			return
		}
		if payload, err = protocol.MarshalHookOutput(m.event, answer); err != nil { // of ours, it can be written
			l.reply(c, m.requestID, protocol.Empty())
			return
		}
	}
	l.reply(c, m.requestID, payload)
}

// preTool calls the hooks of PreToolUse that are about the tool. It reports false if there are none.
func (l *loop) preTool(c *actor.Context[message], id string, body *protocol.HookCallback) bool {
	var about []registered
	for _, hook := range l.options.Hooks.byEvent()[protocol.HookPreToolUse] {
		matcher, _, _ := hook.settings()
		if matches, err := matching(matcher); err == nil && toolname.Any(body.Input.ToolName, matches) { // Validate has seen to the error
			about = append(about, hook)
		}
	}
	if len(about) == 0 {
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.questions[id] = cancel
	c.Go("hooks of PreToolUse", func(actorCtx context.Context) message {
		defer context.AfterFunc(actorCtx, cancel)()
		outputs, errs := make([]any, len(about)), make([]error, len(about))
		var all sync.WaitGroup
		for i, hook := range about {
			all.Go(func() { outputs[i], errs[i] = run(ctx, protocol.HookPreToolUse, hook, body.Input.Raw()) })
		}
		all.Wait()
		return hookDone{requestID: id, event: protocol.HookPreToolUse, body: body, out: outputs, err: errors.Join(errs...)}
	})
	return true
}

// onPreToolDone goes on to the audit log with what the hooks made of a tool use.
func (l *loop) onPreToolDone(c *actor.Context[message], m hookDone) {
	outputs, _ := m.out.([]any)
	merged, err := mergePreTool(outputs)
	if m.err != nil {
		err = m.err
	}
	if err != nil {
		l.log.Error().Err(err).Str("tool", m.body.Input.ToolName).Msg("hook failed: denied")
		merged = protocol.PreToolUseOutput{Decision: protocol.DecisionDeny, Reason: "a hook failed: " + err.Error()}
	}
	answer, err := protocol.MarshalHookOutput(protocol.HookPreToolUse, merged)
	if err != nil {
		merged = protocol.PreToolUseOutput{Decision: protocol.DecisionDeny, Reason: "a hook failed: " + err.Error()}
		if answer, err = json.Marshal(protocol.DenyTool(merged.Reason)); err != nil { // two texts can be written
			answer = nil
		}
	}
	in := &m.body.Input
	if len(merged.UpdatedInput) > 0 && merged.Decision != protocol.DecisionDeny {
		in.ToolInput = merged.UpdatedInput
	}
	var decision *audit.Decision
	switch merged.Decision {
	case protocol.DecisionDeny:
		decision = &audit.Decision{Outcome: audit.Deny, By: "hook", Reason: merged.Reason}
	case protocol.DecisionAllow:
		decision = &audit.Decision{Outcome: audit.Allow, By: "hook", Reason: merged.Reason}
	}
	l.keepIntent(c, m.requestID, in, answer, decision)
}

// mergePreTool makes one answer of several: deny outweighs ask, and that allow; the last new input counts.
func mergePreTool(outputs []any) (protocol.PreToolUseOutput, error) {
	var merged protocol.PreToolUseOutput
	weight := map[string]int{"": 0, protocol.DecisionAllow: 1, "defer": 2, protocol.DecisionAsk: 3, protocol.DecisionDeny: 4}
	var said []string
	for _, output := range outputs {
		out, ok := output.(protocol.PreToolUseOutput)
		if !ok {
			continue // it failed
		}
		if out.Block != "" {
			out.Decision, out.Reason = protocol.DecisionDeny, out.Block
		}
		if _, known := weight[out.Decision]; !known {
			return merged, fmt.Errorf("decision %q: expected allow, deny or ask", cut(out.Decision, 40))
		}
		if out.Decision == protocol.DecisionDeny && out.Reason == "" {
			out.Reason = "denied by a hook"
		}
		if weight[out.Decision] > weight[merged.Decision] {
			merged.Decision, merged.Reason = out.Decision, out.Reason
		}
		if len(out.UpdatedInput) > 0 {
			var object map[string]json.RawMessage
			if json.Unmarshal(out.UpdatedInput, &object) != nil || object == nil {
				return merged, errors.New("the new input is no JSON object")
			}
			merged.UpdatedInput = out.UpdatedInput
		}
		if out.AdditionalContext != "" {
			said = append(said, out.AdditionalContext)
		}
		if out.Continue != nil && !*out.Continue {
			merged.Continue, merged.StopReason = out.Continue, out.StopReason
		}
		if out.SystemMessage != "" {
			merged.SystemMessage = out.SystemMessage
		}
	}
	merged.AdditionalContext = strings.Join(said, "\n")
	return merged, nil
}
