package session

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session/protocol"
)

// onElicitation answers what an MCP server asks the user.
func (l *loop) onElicitation(c *actor.Context[message], id string, q *protocol.Elicitation) {
	decline := protocol.ElicitationResponse{Action: protocol.ElicitDecline}
	ask := l.options.OnElicitation
	if ask == nil {
		l.reply(c, id, decline)
		return
	}
	l.askHost(c, id, "elicitation callback", decline, func(ctx context.Context) (any, error) {
		answer, err := ask(ctx, q)
		if err == nil && !slices.Contains([]string{protocol.ElicitAccept, protocol.ElicitDecline, protocol.ElicitCancel}, answer.Action) {
			err = fmt.Errorf("action %q: expected accept, decline or cancel", cut(answer.Action, 40))
		}
		return answer, err
	})
}

// onDialog answers a dialog. One of a kind that was not declared must stay unanswered; the CLI gives it up by itself.
func (l *loop) onDialog(c *actor.Context[message], id string, q *protocol.UserDialog) {
	ask := l.options.OnUserDialog
	if ask == nil || !slices.Contains(l.options.DialogKinds, q.DialogKind) {
		return
	}
	l.askHost(c, id, "dialog callback", protocol.UserDialogResponse{Behavior: protocol.DialogCancelled}, func(ctx context.Context) (any, error) {
		result, err := ask(ctx, q)
		return protocol.UserDialogResponse{Behavior: protocol.DialogCompleted, Result: result}, err
	})
}

// askHost calls a callback of the embedder's. Whatever it does, the question is answered: with fallback if it fails.
func (l *loop) askHost(c *actor.Context[message], id, what string, fallback any, call func(context.Context) (any, error)) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), l.options.PermissionTimeout,
		fmt.Errorf("no answer within %v", l.options.PermissionTimeout))
	l.questions[id] = cancel
	log := l.log
	c.Go(what, func(actorCtx context.Context) message {
		defer context.AfterFunc(actorCtx, cancel)()
		type outcome struct {
			payload any
			err     error
		}
		done := make(chan outcome, 1)
		go func() { // ends when the callback returns, which is the embedder's to see to
			o := outcome{err: errors.New("it ended its goroutine")}
			defer func() {
				if v := recover(); v != nil {
					o = outcome{err: &actor.PanicError{Where: what, Value: v, Stack: debug.Stack()}}
				}
				done <- o
			}()
			o.payload, o.err = call(ctx)
		}()
		var o outcome
		select {
		case o = <-done:
		case <-ctx.Done():
			o.err = context.Cause(ctx)
		}
		if o.err == nil {
			_, o.err = protocol.NewControlSuccess(id, o.payload)
		}
		if o.err != nil {
			log.Error().Err(o.err).Msg(what + " failed")
			o.payload = fallback
		}
		return hostAnswered{id, o.payload}
	})
}

func (l *loop) onHostAnswered(c *actor.Context[message], m hostAnswered) {
	cancel, open := l.questions[m.requestID]
	if !open { // withdrawn: it must not be answered
		return
	}
	cancel()
	delete(l.questions, m.requestID)
	l.reply(c, m.requestID, m.payload)
}
