package understudy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"strings"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// DebugHandler shows the tree over HTTP, below /debug/understudy/, and /livez, /readyz at its root; http.StripPrefix mounts it
// below anything. With the zero Options it is read-only, and serves the machine itself: Authorize is the hook for a service's own
// authentication, Actions has it act too. Sessions can be spawned through it with their defaults only: give Backend to debug.Handler for
// more. A Logger that is not set is the runtime's.
func (rt *Runtime) DebugHandler(o debug.Options) http.Handler {
	if reflect.ValueOf(o.Logger).IsZero() {
		o.Logger = rt.log
	}
	return debug.Handler(rt.Backend(nil), o)
}

// ParseSession makes options for a session from key=value pairs, as `understudy spawn -o` sends them.
type ParseSession func(name string, pairs []string) (session.Options, error)

// Backend is the runtime as the debug endpoint sees it. Without parse, sessions can only be spawned with
// their defaults.
func (rt *Runtime) Backend(parse ParseSession) debug.Backend {
	if parse == nil {
		parse = func(_ string, pairs []string) (session.Options, error) {
			if len(pairs) > 0 {
				return session.Options{}, errors.New("this program takes no session options over HTTP")
			}
			return session.Options{}, nil
		}
	}
	return &backend{rt, parse}
}

type backend struct {
	*Runtime
	parse ParseSession
}

func (b *backend) Stderr(_ context.Context, name string) ([]string, error) {
	s, err := b.Session(name)
	if err != nil {
		return nil, coded(err)
	}
	return s.Stderr(), nil
}

func (b *backend) Audit(ctx context.Context, n int, follow bool) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		if b.trail == nil {
			yield(nil, &debug.Error{Code: debug.Unavailable, Message: "there is no audit log: set DataDir or Audit.Dir"})
			return
		}
		dir := b.auditDir()
		records, err := audit.Tail(dir, n)
		var last uint64
		for _, r := range records {
			last = max(last, r.Seq)
			if !yield(marshal(r)) {
				return
			}
		}
		if err != nil && !yield(nil, err) {
			return
		}
		if !follow {
			return
		}
		for r, err := range audit.FollowAfter(ctx, dir, last) {
			if err != nil {
				if !yield(nil, err) {
					return
				}
				continue
			}
			if !yield(marshal(r)) {
				return
			}
		}
	}
}

func marshal(r audit.Record) (json.RawMessage, error) {
	data, err := json.Marshal(r)
	return data, err
}

func (b *backend) Ready(ctx context.Context) error {
	if !b.root.PID().Alive() {
		return errors.New("the runtime has ended")
	}
	tree, err := b.root.Tree(ctx)
	if err != nil {
		return err
	}
	if tree.State != supervisor.Running {
		return fmt.Errorf("the runtime is %s", tree.State)
	}
	if b.trail != nil {
		if status := b.trail.Status(); !status.Open && status.Mode == audit.Required {
			return fmt.Errorf("the audit log cannot be written, and no tool runs without it: %s", status.LastError)
		}
	}
	return nil
}

func (b *backend) Query(ctx context.Context, name, prompt string) iter.Seq2[json.RawMessage, error] {
	return b.query(ctx, name, session.TextPrompt(prompt))
}

// QueryContent is Query with content blocks.
func (b *backend) QueryContent(ctx context.Context, name string, content json.RawMessage) iter.Seq2[json.RawMessage, error] {
	var prompt session.Prompt
	if err := prompt.Content.UnmarshalJSON(content); err != nil {
		return func(yield func(json.RawMessage, error) bool) {
			yield(nil, &debug.Error{Code: debug.BadRequest, Message: err.Error()})
		}
	}
	return b.query(ctx, name, prompt)
}

func (b *backend) query(ctx context.Context, name string, prompt session.Prompt) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		query, err := b.asker(name)
		if err != nil {
			yield(nil, coded(err))
			return
		}
		for m, err := range query(ctx, prompt) {
			if err != nil {
				yield(nil, coded(err))
				return
			}
			if !yield(m.Raw(), nil) {
				return
			}
		}
	}
}

// asker is the session or the pool of that name.
func (b *backend) asker(name string) (func(context.Context, session.Prompt) iter.Seq2[protocol.Message, error], error) {
	if pool, err := b.Pool(name); err == nil {
		return pool.QueryPrompt, nil
	}
	s, err := b.Session(name)
	if err != nil {
		return nil, err
	}
	return s.QueryPrompt, nil
}

// forkKey is what the only pair begins with that asks for a copy of a session, and is no option of one.
const forkKey = "fork="

func (b *backend) Spawn(ctx context.Context, name string, pairs []string) error {
	if len(pairs) == 1 && strings.HasPrefix(pairs[0], forkKey) {
		_, err := b.Fork(ctx, strings.TrimPrefix(pairs[0], forkKey), name)
		if err != nil && debug.CodeOf(coded(err)) == debug.Internal {
			return &debug.Error{Code: debug.BadRequest, Message: err.Error()}
		}
		return coded(err)
	}
	options, err := b.parse(name, pairs)
	if err != nil {
		return &debug.Error{Code: debug.BadRequest, Message: err.Error()}
	}
	_, err = b.Runtime.Spawn(ctx, name, options)
	if err != nil && debug.CodeOf(coded(err)) == debug.Internal {
		// What is wrong with a session that does not start is wrong with what was asked for.
		return &debug.Error{Code: debug.BadRequest, Message: err.Error()}
	}
	return coded(err)
}

func (b *backend) Restart(ctx context.Context, name string) error {
	return coded(b.Runtime.Restart(ctx, name))
}

func (b *backend) Stop(ctx context.Context, name string) error {
	return coded(b.Runtime.Stop(ctx, name))
}

// Remove removes a session that was spawned, or one of a pool, or what one has left that is not there.
func (b *backend) Remove(ctx context.Context, name string, force bool) error {
	if _, err := b.Session(name); err != nil {
		if has, _ := session.HasRecord(b.stateDir(), name); !has {
			return coded(err)
		}
		if !b.configured(name) { // or the reload that has it away is about to bring it back
			if err := b.removeKept(ctx, name, force); !errors.Is(err, errReturned) {
				return coded(err)
			}
		}
	}
	if b.configured(name) {
		return &debug.Error{Code: debug.Conflict, Message: fmt.Sprintf("session %s: it is in the configuration, and would come back: take it out of there and reload; stop ends it until then", name)}
	}
	remove := b.Runtime.RemoveIdle
	if force {
		remove = b.Runtime.Remove
	}
	return coded(remove(ctx, name))
}

func (b *backend) Interrupt(ctx context.Context, name string) error {
	s, err := b.Session(name)
	if err != nil {
		return coded(err)
	}
	return coded(s.Interrupt(ctx))
}

// Approvals are the questions that wait.
func (b *backend) Approvals(context.Context) ([]debug.Approval, error) {
	var list []debug.Approval
	for _, a := range b.Runtime.Approvals() {
		shown := debug.Approval{
			ID: a.ID, Session: a.Session, SessionID: a.SessionID, Generation: a.Generation, Turn: a.Turn,
			Tool: a.Tool, ToolUseID: a.ToolUseID, AgentID: a.AgentID, Input: a.Input, Argument: a.Argument,
			Title: a.Title, Description: a.Description, Reason: a.Reason, BlockedPath: a.BlockedPath,
			AskedAt: a.AskedAt, ExpiresAt: a.ExpiresAt,
		}
		if len(a.Suggestions) > 0 {
			suggestions, err := json.Marshal(a.Suggestions)
			if err != nil {
				return nil, err
			}
			shown.Suggestions = suggestions
		}
		for _, q := range a.Questions {
			question := debug.Question{Question: q.Question, Header: q.Header, MultiSelect: q.MultiSelect}
			for _, o := range q.Options {
				question.Options = append(question.Options, debug.QuestionOption(o))
			}
			shown.Questions = append(shown.Questions, question)
		}
		list = append(list, shown)
	}
	return list, nil
}

// Answer answers one of them.
func (b *backend) Answer(ctx context.Context, id, principal string, answer debug.ApprovalAnswer) error {
	given := session.ApprovalAnswer{
		Allow: answer.Decision == "allow", Input: answer.Input, Answers: answer.Answers, Message: answer.Message,
		Interrupt: answer.Interrupt, By: principal,
	}
	if answer.Always {
		for _, a := range b.Runtime.Approvals() {
			if a.ID == id {
				given.Permissions = a.Suggestions
			}
		}
		if given.Permissions == nil {
			return &debug.Error{Code: debug.BadRequest, Message: "always: the CLI suggests no rule for this one"}
		}
	}
	return coded(b.Runtime.Answer(ctx, id, given))
}

func (b *backend) Acted(_ context.Context, principal, action, target string, err error) {
	r := audit.Record{Kind: audit.AdminAction, Session: target, Principal: principal, Detail: map[string]any{"action": action}}
	if strings.HasSuffix(action, " approval") {
		r.Session, r.Detail["approval_id"] = "", target
		for _, s := range b.Sessions() {
			if s.Asked(target) {
				r.Session = s.Name()
			}
		}
	}
	if err != nil {
		r.Detail["error"] = err.Error()
	}
	b.record(r)
	b.log.Info().Str("principal", principal).Str("action", action).Str("session", target).AnErr("error", err).Msg("action")
}

// coded gives an error the code that the endpoint and the commands tell apart.
func coded(err error) error {
	if err == nil {
		return nil
	}
	code := debug.Internal
	var crash *session.CrashError
	var result *session.ResultError
	switch {
	case errors.Is(err, ErrNoSession), errors.Is(err, supervisor.ErrNotFound):
		code = debug.NoSuchSession
	case errors.Is(err, ErrExists), errors.Is(err, ErrConversationTaken), errors.Is(err, ErrDirectoryTaken), errors.Is(err, supervisor.ErrAlreadyPresent), errors.Is(err, supervisor.ErrAlreadyStarted):
		code = debug.Conflict
	case errors.Is(err, session.ErrAtWork):
		code = debug.AtWork
	case errors.Is(err, session.ErrNoApproval):
		code = debug.NoSuchApproval
	case errors.Is(err, session.ErrPrompt), errors.Is(err, session.ErrBadAnswer):
		code = debug.BadRequest
	case errors.Is(err, session.ErrQueueFull), errors.Is(err, ErrBusy):
		code = debug.Busy
	case errors.As(err, &result), errors.Is(err, session.ErrBudgetExhausted), errors.Is(err, session.ErrInterrupted),
		errors.Is(err, session.ErrTurnTimeout), errors.Is(err, session.ErrToolLoop), errors.Is(err, session.ErrAuth):
		code = debug.ErrorResult
	case errors.Is(err, session.ErrStopped), errors.Is(err, session.ErrFailed), errors.Is(err, session.ErrAuditUnavailable), errors.Is(err, session.ErrNotRunning),
		errors.Is(err, supervisor.ErrStopping), errors.Is(err, actor.ErrStopped):
		code = debug.Unavailable
	case errors.As(err, &crash):
		code = debug.Crashed
	}
	return &debug.Error{Code: code, Message: err.Error()}
}
