package session

import (
	"context"

	"github.com/understudy-run/understudy/actor"
)

// keeper writes the session's record, one write at a time; what is asked for meanwhile shares the next.
type keeper struct {
	busy bool
	next []func(*actor.Context[message])
}

// save has the record of the moment written, and then does what needs it on disk. A write that fails is
// logged and does not hold the session up: what is lost if the runtime dies too is how far it had come.
func (k *keeper) save(c *actor.Context[message], l *loop, then func(*actor.Context[message])) {
	if then == nil {
		then = func(*actor.Context[message]) {}
	}
	k.next = append(k.next, then)
	if !k.busy {
		k.start(c, l)
	}
}

func (k *keeper) start(c *actor.Context[message], l *loop) {
	k.busy = true
	todo := k.next
	k.next = nil
	kept, _ := l.desk.snapshot()
	store := l.session.store
	c.Go("save state", func(context.Context) message {
		err := store.save(kept)
		return saved{err, func(c *actor.Context[message]) {
			for _, then := range todo {
				then(c)
			}
		}}
	})
}

func (k *keeper) done(c *actor.Context[message], m saved, l *loop) {
	if m.err != nil {
		l.log.Error().Err(m.err).Msg("session state is not on disk")
	}
	k.busy = false
	m.then(c)
	if len(k.next) > 0 && !k.busy {
		k.start(c, l)
	}
}
