package session

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/toolname"
)

// request is a control request of ours that the CLI has not answered.
type request struct {
	answer func(*actor.Context[message], *protocol.ControlResponse, error)
	timer  *actor.Timer
	after  int // how many in a row had gone unanswered when it was sent
}

// maxUnanswered is how many control requests in a row the CLI may leave unanswered, each sent after the one before was given up.
// It answers within milliseconds whatever it does, and one that does not any more cannot be interrupted or asked either.
const maxUnanswered = 5

// request asks the CLI. answer is called exactly once, as part of the actor.
func (l *loop) request(c *actor.Context[message], body protocol.ControlBody, timeout time.Duration,
	answer func(*actor.Context[message], *protocol.ControlResponse, error)) {
	l.sequence++
	id := "understudy-" + strconv.Itoa(l.sequence)
	l.requests[id] = &request{answer: answer, timer: c.After(timeout, silent{id}), after: l.deaf}
	l.send(c, protocol.NewControlRequest(id, body))
}

// settle takes a request off the list.
func (l *loop) settle(id string) *request {
	r := l.requests[id]
	if r != nil {
		delete(l.requests, id)
		r.timer.Stop()
	}
	return r
}

func (l *loop) onAnswer(c *actor.Context[message], m *protocol.ControlResponse) {
	if m.Response.ErrorCode == protocol.ErrorCodeUnsupported {
		l.desk.driftRequest("to the CLI: " + m.Response.Error)
	}
	l.deaf = 0 // a late answer is one
	if r := l.settle(m.RequestID()); r != nil {
		r.answer(c, m, nil)
	}
}

func (l *loop) onSilent(c *actor.Context[message], id string) {
	r := l.settle(id)
	if r == nil {
		return
	}
	if r.after == l.deaf { // many at once are one try
		l.deaf++
	}
	r.answer(c, nil, fmt.Errorf("session %s: the CLI did not answer a control request in time: %w", l.session.name, context.DeadlineExceeded))
	switch {
	case l.deaf >= maxUnanswered:
		l.abort(c, fmt.Errorf("it left %d control requests in a row unanswered, each for %v (control_timeout)", l.deaf, l.options.ControlTimeout))
	case l.deaf > 0:
		l.probe(c)
	}
}

// probe asks again something that takes no time, until there is an answer or it is clear that there will be none: whoever asked
// has given up, and might not ask again before the CLI is needed.
func (l *loop) probe(c *actor.Context[message]) {
	if l.probing || !l.ready || l.process == nil || l.cause != nil || l.stopping || l.laddered {
		return
	}
	l.probing = true
	l.log.Warn().Int("unanswered", l.deaf).Msg("the CLI did not answer a control request: it is asked again")
	l.request(c, &protocol.GetBinaryVersion{}, l.options.ControlTimeout,
		func(*actor.Context[message], *protocol.ControlResponse, error) { l.probing = false })
}

func (l *loop) onControl(c *actor.Context[message], m control) {
	if (l.asleep || l.dozing || l.woken()) && !l.stopping {
		l.controls = append(l.controls, m)
		l.rouse(c)
		return
	}
	if !l.ready || l.process == nil || l.cause != nil || l.stopping {
		m.reply.Fail(fmt.Errorf("session %s: %w", l.session.name, ErrNotRunning))
		return
	}
	l.request(c, m.body, l.options.ControlTimeout, func(_ *actor.Context[message], r *protocol.ControlResponse, err error) {
		if err != nil {
			m.reply.Fail(err)
		} else {
			m.reply.Send(r)
		}
	})
}

// The hook that every tool use passes before it runs.
const (
	intentHook  = "understudy-intent"
	hookTimeout = 60 * time.Second // after which the CLI does not run the tool
	auditWait   = 30 * time.Second // after which we say so ourselves
	// auditDownWait is the same when the log is known to be down. A log that can be opened again is, within that.
	auditDownWait = time.Second
)

// onQuestion handles a control request of the CLI. Each is answered exactly once: silence would hang it.
func (l *loop) onQuestion(c *actor.Context[message], m *protocol.ControlRequest) {
	switch body := m.Request.(type) {
	case *protocol.HookCallback:
		l.onHook(c, m.RequestID, body)
	case *protocol.CanUseTool:
		l.onPermission(c, m.RequestID, body)
	case *protocol.MCPMessage:
		l.onMCPMessage(c, m.RequestID, body)
	case *protocol.Elicitation:
		l.onElicitation(c, m.RequestID, body)
	case *protocol.UserDialog:
		l.onDialog(c, m.RequestID, body)
	default:
		l.onUnknownQuestion(c, m)
	}
}

// onUnknownQuestion answers what this program does not know, or cannot read because it lacks what it needs. An error would let the tool run that a
// hook is asked about: what decides about tools is denied.
func (l *loop) onUnknownQuestion(c *actor.Context[message], m *protocol.ControlRequest) {
	subtype := m.Request.RequestSubtype()
	l.log.Warn().Str("request", subtype).Msg("CLI asks for something this program does not know")
	l.desk.driftRequest("of the CLI: " + subtype)
	const reason = "the question about it cannot be read: the CLI may be too new for this program"
	switch subtype {
	case (&protocol.HookCallback{}).RequestSubtype():
		l.reply(c, m.RequestID, protocol.DenyTool(reason))
	case (&protocol.CanUseTool{}).RequestSubtype():
		deny, _ := protocol.NewDeny(reason) // not empty
		l.reply(c, m.RequestID, deny)
	default:
		l.send(c, protocol.NewUnsupported(m.RequestID, subtype))
	}
}

func (l *loop) reply(c *actor.Context[message], id string, payload any) {
	if l.process == nil {
		return
	}
	m, err := protocol.NewControlSuccess(id, payload)
	if err != nil {
		m = protocol.NewControlError(id, err.Error())
	}
	l.send(c, m)
}

// onHook holds a tool until its intent is in the audit log.
func (l *loop) onHook(c *actor.Context[message], id string, body *protocol.HookCallback) {
	if body.CallbackID != intentHook || body.Input.HookEventName != protocol.HookPreToolUse {
		l.onOtherHook(c, id, body)
		return
	}
	if reason := l.overLimit(c, &body.Input); reason != "" {
		l.keepIntent(c, id, &body.Input, protocol.DenyTool(reason), &audit.Decision{Outcome: audit.Deny, By: byLimit, Reason: reason})
		return
	}
	if !l.preTool(c, id, body) {
		l.keepIntent(c, id, &body.Input, protocol.Empty(), nil)
	}
}

// keepIntent holds a tool until its intent is in the audit log, and gives the hooks' answer then. decision is theirs, if they made
// one.
func (l *loop) keepIntent(c *actor.Context[message], id string, in *protocol.HookInput, answer any, decision *audit.Decision) {
	use := l.beginTool(in.ToolUseID, in.ToolName, in.ToolInput, "", in.AgentID)
	write := &intentWrite{}
	use.audited, use.input, use.intent = true, in.ToolInput, write
	l.auditFirst(c, "audit tool intent", audit.Record{
		Kind: audit.ToolIntent, Tool: use.name, ToolUseID: in.ToolUseID, ParentToolUseID: use.parent,
		AgentID: in.AgentID, Input: in.ToolInput, Detail: map[string]any{"permission_mode": string(in.PermissionMode)},
	}, func(err error) message {
		if end := write.done(); end != nil {
			if err != nil {
				end.Input, end.Detail["intent_recorded"] = in.ToolInput, false
			}
			l.session.spec.Audit.Post(*end)
		}
		return intentKept{id, in.ToolUseID, answer, decision, err}
	})
}

// intentWrite is the writing of an intent, by a goroutine. What the actor has to record of the tool's end meanwhile is left to it.
type intentWrite struct{ end atomic.Pointer[audit.Record] }

// nothingMore is in the place of the end when the intent is written.
var nothingMore = new(audit.Record)

// follow leaves a record to the writing of the intent; false if that is over.
func (w *intentWrite) follow(end *audit.Record) bool { return w.end.CompareAndSwap(nil, end) }

// done says that the intent is written, or is not going to be, and returns what was left to it; nil if nothing was.
func (w *intentWrite) done() *audit.Record { return w.end.Swap(nothingMore) }

func (l *loop) onIntentKept(c *actor.Context[message], m intentKept) {
	use := l.tools[m.toolUse]
	if m.err == nil {
		switch {
		case m.decision == nil || use == nil:
		case m.decision.Outcome == audit.Deny:
			l.auditDecision(m.toolUse, use.name, use.agent, m.decision)
		default:
			use.decision = m.decision // a rule that denies outweighs it: the CLI will say
		}
		l.reply(c, m.requestID, m.answer)
		return
	}
	l.log.Error().Err(m.err).Msg("tool denied: its intent cannot be audited")
	// An explicit deny: an error reply would let the tool run.
	reason := "the audit log cannot be written, and no tool may run unrecorded: " + m.err.Error()
	if use != nil {
		use.audited = false
		l.auditDecision(m.toolUse, use.name, use.agent, &audit.Decision{Outcome: audit.Deny, By: "hook", Reason: reason})
	}
	l.reply(c, m.requestID, protocol.DenyTool(reason))
}

var errNoAnswer = errors.New("no answer")

// onPermission has the embedder's callback answer a permission question.
func (l *loop) onPermission(c *actor.Context[message], id string, q *protocol.CanUseTool) {
	ask := l.options.CanUseTool
	switch {
	case ask == nil && l.options.asksHost() && !l.stopping:
		l.askPeople(c, id, q)
		return
	case ask == nil:
		deny, _ := protocol.NewDeny("nobody is there to answer") // not empty
		l.reply(c, id, deny)
		return
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), l.options.PermissionTimeout,
		fmt.Errorf("%w within %v", errNoAnswer, l.options.PermissionTimeout))
	l.questions[id] = cancel
	asked := time.Now()
	c.Go("permission callback", func(actorCtx context.Context) message {
		defer context.AfterFunc(actorCtx, cancel)()
		outcome := make(chan decided, 1)
		go func() { // ends when the callback returns, which is the embedder's to see to
			m := decided{requestID: id, question: q, asked: asked, err: errors.New("permission callback ended its goroutine")}
			defer func() {
				if v := recover(); v != nil {
					m.result, m.err = nil, &actor.PanicError{Where: "permission callback", Value: v, Stack: debug.Stack()}
				}
				outcome <- m
			}()
			m.result, m.err = ask(ctx, q)
		}()
		select {
		case m := <-outcome:
			return m
		case <-ctx.Done():
			return decided{requestID: id, question: q, asked: asked, err: context.Cause(ctx)}
		}
	})
}

func (l *loop) onDecided(c *actor.Context[message], m decided) {
	cancel, open := l.questions[m.requestID]
	if !open { // withdrawn: it must not be answered
		return
	}
	cancel()
	delete(l.questions, m.requestID)
	decision := &audit.Decision{Outcome: "deny", By: "callback"}
	switch result := m.result.(type) {
	case *protocol.Allow:
		m.result = valueOf(result)
	case *protocol.Deny:
		m.result = valueOf(result)
	}
	if m.err == nil && m.result == nil {
		m.err = errors.New("permission callback returned neither an answer nor an error")
	}
	if m.err == nil {
		_, m.err = protocol.NewControlSuccess(m.requestID, m.result) // else an error would be sent, and an answer audited
	}
	if m.err != nil {
		l.log.Error().Err(m.err).Str("tool", m.question.ToolName).Msg("permission callback failed: denied")
		decision.By, decision.Reason = "default", m.err.Error()
		m.result = protocol.Deny{Message: "the permission callback failed: " + m.err.Error()}
	}
	switch result := m.result.(type) {
	case protocol.Allow:
		decision.Outcome = "allow"
	case protocol.Deny:
		decision.Reason = result.Message
	}
	l.auditDecision(m.question.ToolUseID, m.question.ToolName, m.question.AgentID, decision)
	by := byCallback
	if errors.Is(m.err, errNoAnswer) {
		by = byTimeout
	}
	l.tell(Moment{
		Kind: settledKind(*decision), Tool: toolname.Now(m.question.ToolName), ToolUseID: m.question.ToolUseID, Argument: mainArgument(m.question.Input),
		Outcome: string(decision.Outcome), By: by, Took: time.Since(m.asked),
	})
	l.reply(c, m.requestID, m.result)
}

// valueOf is what a pointer points to, as a result; nil stays nil.
func valueOf[R protocol.PermissionResult](result *R) protocol.PermissionResult {
	if result == nil {
		return nil
	}
	return *result
}
