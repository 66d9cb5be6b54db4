package understudy

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// QueryOptions are what Query needs besides a prompt. The zero value is the CLI from PATH with its own defaults.
type QueryOptions struct {
	Session session.Options
	CLI     session.CLI
	// Audit is off without a Dir: there is no DataDir to keep a log in.
	Audit  AuditOptions
	Logger zerolog.Logger
}

// queryEnd is how long the end of a one-shot session may take.
const queryEnd = 30 * time.Second

// Query starts a session, sends it one prompt, gives the messages of the turn as session.Session.Query does, and ends the
// session with the loop, however that is left: its process and what that started are gone when the loop is. The
// conversation is not kept on disk. A process that dies is not started again: the iteration ends with the
// *session.CrashError. A second iteration yields session.ErrConsumed.
//
// Starting a process takes half a second: for more than one prompt, start a Runtime.
func Query(ctx context.Context, prompt string, options QueryOptions) iter.Seq2[protocol.Message, error] {
	return QueryPrompt(ctx, session.TextPrompt(prompt), options)
}

// QueryPrompt is Query with a prompt that has images and documents, or an id of the caller's.
func QueryPrompt(ctx context.Context, prompt session.Prompt, options QueryOptions) iter.Seq2[protocol.Message, error] {
	var consumed atomic.Bool
	return func(yield func(protocol.Message, error) bool) {
		if consumed.Swap(true) {
			yield(nil, session.ErrConsumed)
			return
		}
		rt, err := Start(ctx, Options{CLI: options.CLI, Audit: options.Audit, Logger: options.Logger})
		if err != nil {
			yield(nil, err)
			return
		}
		over := false
		defer func() {
			// The caller's context may have ended, and what was started has to end all the same.
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryEnd)
			defer cancel()
			if err := rt.Shutdown(end); err != nil && !over {
				yield(nil, err)
			}
		}()
		o := options.Session
		o.Restart, o.NoSessionPersistence = supervisor.Temporary, true
		s, err := rt.Spawn(ctx, "query", o)
		if err != nil {
			over = true
			yield(nil, err)
			return
		}
		over = true // until the turn is over, nothing may follow a loop that was left, or an error
		for m, err := range s.QueryPrompt(ctx, prompt) {
			if !yield(m, err) || err != nil {
				return
			}
		}
		over = false
	}
}
