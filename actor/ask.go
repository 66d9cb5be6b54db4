package actor

import (
	"context"
	"errors"
	"fmt"
)

// Reply is where an actor puts the answer to an Ask. It may be kept and used later, from any goroutine;
// only the first answer counts. Nothing is registered for it anywhere: an answer that nobody waits for
// any more is garbage.
type Reply[T any] struct{ answers chan answer[T] }

type answer[T any] struct {
	value T
	err   error
}

// Send answers with a value. It never blocks.
func (r Reply[T]) Send(value T) { r.put(answer[T]{value: value}) }

// Fail answers with an error, which Ask returns as it is.
func (r Reply[T]) Fail(err error) { r.put(answer[T]{err: err}) }

func (r Reply[T]) put(a answer[T]) {
	if r.answers == nil { // the zero Reply: nobody asks
		return
	}
	select {
	case r.answers <- a:
	default: // answered already
	}
}

// Ask sends the message that build makes and waits for the answer. It waits for room in the mailbox too.
// It fails at once with ErrStopped when the actor is gone or ends without having answered, with
// ErrTimeout when the context's deadline passes, with context.Canceled, or with what Reply.Fail was given.
func Ask[M, T any](ctx context.Context, ref Ref[M], build func(Reply[T]) M) (T, error) {
	reply := Reply[T]{make(chan answer[T], 1)}
	var none T
	if err := ref.SendWait(ctx, build(reply)); err != nil {
		return none, err
	}
	select {
	case a := <-reply.answers:
		return a.value, a.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return none, fmt.Errorf("ask %s: %w: %w", ref.Name(), ErrTimeout, ctx.Err())
		}
		return none, fmt.Errorf("ask %s: %w", ref.Name(), context.Cause(ctx))
	case <-ref.Done():
		select {
		case a := <-reply.answers: // its last deed
			return a.value, a.err
		default:
			return none, ref.c.stoppedError()
		}
	}
}
