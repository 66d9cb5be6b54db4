package session

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/understudy-run/understudy/actor"
)

// maxCallbacks is how many events may wait for the embedder's tool callback.
const maxCallbacks = 1024

// callbacks calls Options.ToolCallback, one event at a time, in a goroutine beside the actor. What the
// callback does, a panic or never returning, is the embedder's business and not the session's.
type callbacks struct {
	busy    bool
	waiting []ToolEvent
	dropped uint64
	call    func(*actor.Context[message], ToolEvent)
}

func (cb *callbacks) add(c *actor.Context[message], l *loop, e ToolEvent) {
	callback := l.options.ToolCallback
	if callback == nil {
		return
	}
	if len(cb.waiting) >= maxCallbacks {
		cb.dropped++
		l.log.Error().Uint64("dropped", cb.dropped).Msg("tool callback is too slow: event dropped")
		return
	}
	cb.call = func(c *actor.Context[message], e ToolEvent) {
		log := l.log
		c.Go("tool callback", func(ctx context.Context) message {
			done := make(chan struct{})
			go func() { // ends when the callback returns
				defer close(done)
				defer func() {
					if v := recover(); v != nil {
						log.Error().Str("panic", fmt.Sprint(v)).Bytes("stack", debug.Stack()).Msg("tool callback panicked")
					}
				}()
				callback(e)
			}()
			select {
			case <-done:
			case <-ctx.Done():
			}
			return called{}
		})
	}
	cb.waiting = append(cb.waiting, e)
	if !cb.busy {
		cb.next(c)
	}
}

func (cb *callbacks) next(c *actor.Context[message]) {
	e := cb.waiting[0]
	cb.waiting = cb.waiting[1:]
	cb.busy = true
	cb.call(c, e)
}

func (cb *callbacks) done(c *actor.Context[message]) {
	cb.busy = false
	if len(cb.waiting) > 0 {
		cb.next(c)
	}
}
