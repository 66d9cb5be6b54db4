package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/understudy-run/understudy/actor"
)

// quiet asks for the end of turns.
type quiet struct{ reply actor.Reply[struct{}] }

func (quiet) isMessage() {}

// Drain refuses queries from now on, ends those that wait, with ErrStopped, and waits until no turn is running or ctx ends. The
// process stays as it is; the session is to be stopped next. Prompts that an earlier runtime has left (Options.Redeliver), for
// which nobody waits, are left to the next one.
func (s *Session) Drain(ctx context.Context) error {
	refused := fmt.Errorf("session %s: %w: it takes no more queries", s.name, ErrStopped)
	s.desk.drain(refused)
	s.close(refused)
	_, err := actor.Ask(ctx, s.desk.current(), func(r actor.Reply[struct{}]) message { return quiet{r} })
	if errors.Is(err, actor.ErrStopped) { // there is no turn
		return nil
	}
	return err
}

// drain refuses queries for good, whatever opens the desk again.
func (d *desk) drain(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draining, d.ending = err, true
}

func (l *loop) onDrain(reply actor.Reply[struct{}]) {
	l.drains = append(l.drains, reply)
	l.drained()
}

// drained answers those who wait for the end of turns, when there is none.
func (l *loop) drained() {
	if l.current != nil || l.turns.open {
		return
	}
	for _, reply := range l.drains {
		reply.Send(struct{}{})
	}
	l.drains = nil
}
