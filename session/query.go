package session

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/toolname"
)

// query is a prompt and whoever waits for its turn.
type query struct {
	uuid   string
	digest map[string]any  // of its prompt, for the audit log
	line   []byte          // what the CLI is sent
	text   string          // its text, for the history
	caller context.Context // for what it carries, as a trace: its end is the stream's business
	stream *stream
	gone   atomic.Bool // nobody takes the messages any more
	// requeued says that an earlier runtime took it: nobody but the log is told what becomes of it.
	requeued bool
	place    int // in the queue that it has left

	// The actor's own:
	begins     bool  // there was no conversation before it
	sent       bool  // it was written to the CLI
	taken      bool  // the CLI has said that it has it
	attempts   int   // processes it was given to, by all runtimes; guarded by the desk
	overflowed bool  // its consumer was too slow: nothing is delivered any more
	cause      error // why this program interrupted it
	crash      error // the crash after which it was sent once more
	answered   bool  // its result is there
}

// Query sends a prompt and returns the messages of its turn, the last being a *protocol.Result. Turns
// that the CLI starts by itself never appear in it.
//
// The prompt is queued when the iteration begins, and waits there for the turns before it and for
// restarts. If the result is an error, a *ResultError follows it; if the process ends during the turn, a
// *CrashError ends the iteration. Other ends: ErrQueueFull, ErrStopped, ErrFailed, ErrBudgetExhausted,
// ErrAuditUnavailable, ErrSlowConsumer, ErrTurnTimeout, ErrToolLoop, and the context's error.
//
// Leaving the loop early, or the end of ctx, takes the prompt back: a queued one is forgotten, a running
// turn is interrupted. A second iteration yields ErrConsumed.
func (s *Session) Query(ctx context.Context, prompt string) iter.Seq2[protocol.Message, error] {
	return s.QueryPrompt(ctx, TextPrompt(prompt))
}

// QueryPrompt is Query with a prompt that has images and documents, or an id of the caller's. Its content is read when
// the iteration begins.
func (s *Session) QueryPrompt(ctx context.Context, prompt Prompt) iter.Seq2[protocol.Message, error] {
	var consumed atomic.Bool
	return func(yield func(protocol.Message, error) bool) {
		if consumed.Swap(true) {
			yield(nil, fmt.Errorf("session %s: %w", s.name, ErrConsumed))
			return
		}
		prompt := prompt // iterated once, and not the caller's to see changed
		prompt.Literal = prompt.Literal || s.spec.Options.VerbatimPrompts
		id, line, err := prompt.frame()
		if err != nil {
			yield(nil, fmt.Errorf("session %s: %w: %w", s.name, ErrPrompt, err))
			return
		}
		if err := ctx.Err(); err != nil {
			yield(nil, context.Cause(ctx))
			return
		}
		q := &query{uuid: id, line: line, caller: ctx, text: prompt.Content.Text(), digest: promptDigest(prompt.Content), stream: newStream(s.store.dir, s.spec.Options.MaxUnreadBytes)}
		ref, err := s.desk.enqueue(q)
		if err != nil {
			yield(nil, err)
			return
		}
		// An actor that has ended does not hear it; the next one looks at the queue when it is ready.
		_ = ref.SendWait(ctx, wake{})
		defer s.leave(q)
		for {
			messages, err := q.stream.take(ctx)
			for _, m := range messages {
				if !yield(m, nil) {
					return
				}
			}
			if len(messages) == 0 {
				if err != nil {
					yield(nil, err)
				}
				return
			}
		}
	}
}

// leave is called when nobody reads a query any more.
func (s *Session) leave(q *query) {
	q.gone.Store(true)
	over := q.stream.isClosed()
	q.stream.abandon()
	if over {
		return
	}
	ref, queued := s.desk.withdraw(q)
	if queued {
		_ = ref.Send(wake{}) // it may have nothing to do any more; a full mailbox means that it is awake
		return
	}
	// Not the caller's context, which may have ended. An actor that has ended has nothing to interrupt.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = ref.SendWait(ctx, abandon{q})
}

// Answer is a turn, collected. What the CLI takes back of it (see protocol.Retracted) is not in it.
type Answer struct {
	Text   string           // the assistant's text, subagents' left out
	Tools  []string         // the tools it used, in order, by the names that they have now: Agent, whether the model said that or Task
	Denied []string         // those of them that were not allowed to run, by whomever
	Result *protocol.Result // nil if there was none
}

// AllDenied reports whether the turn wanted to use tools and was allowed none. That is no error: the model has been told so and has
// answered, often that it cannot do what it was asked. Who counts on work being done must not take it for success.
func (a Answer) AllDenied() bool { return len(a.Tools) > 0 && len(a.Denied) == len(a.Tools) }

// Ask sends a prompt and waits for the end of its turn. The answer is what there is of it also when there
// is an error.
func (s *Session) Ask(ctx context.Context, prompt string) (Answer, error) {
	return Collect(s.Query(ctx, prompt))
}

// AskPrompt is Ask with a prompt that has images and documents, or an id of the caller's.
func (s *Session) AskPrompt(ctx context.Context, prompt Prompt) (Answer, error) {
	return Collect(s.QueryPrompt(ctx, prompt))
}

// Collect reads a query to its end.
func Collect(messages iter.Seq2[protocol.Message, error]) (Answer, error) {
	var answer Answer
	var said []*protocol.Assistant
	denied := make(map[string]bool) // by the id of the use
	finish := func(err error) (Answer, error) {
		var text strings.Builder
		for _, m := range said {
			text.WriteString(m.Text())
			for _, block := range m.Message.Content {
				if use, ok := block.(*protocol.ToolUseBlock); ok {
					name := toolname.Now(use.Name)
					answer.Tools = append(answer.Tools, name)
					if denied[use.ID] {
						answer.Denied = append(answer.Denied, name)
					}
				}
			}
		}
		answer.Text = text.String()
		return answer, err
	}
	for m, err := range messages {
		if err != nil {
			return finish(err)
		}
		if gone := protocol.Retracted(m); len(gone) > 0 {
			said = slices.DeleteFunc(said, func(m *protocol.Assistant) bool { return slices.Contains(gone, m.UUID) })
		}
		switch m := m.(type) {
		case *protocol.Assistant:
			if m.ParentToolUseID == nil {
				said = append(said, m)
			}
		case *protocol.User: // a turn that is cut has no more than these
			for _, meta := range m.ToolResultMeta {
				if d := meta.PermissionDecision; d != nil && d.Decision == "reject" {
					denied[meta.ID] = true
				}
			}
		case *protocol.Result:
			answer.Result = m
			for _, d := range m.PermissionDenials {
				denied[d.ToolUseID] = true
			}
		default:
		}
	}
	return finish(nil)
}
