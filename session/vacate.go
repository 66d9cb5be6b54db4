package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/understudy-run/understudy/actor"
)

// working asks what a session has to do: nothing is the empty text.
type working struct{ reply actor.Reply[string] }

func (working) isMessage() {}

// Vacate has a session that has nothing to do refuse prompts, with ErrStopped, so that it can be taken away and nobody's work with
// it. back has it take prompts again, if it stays after all. With a turn that runs, prompts that wait, or tasks in the background it is
// ErrAtWork, and nothing has changed.
func (s *Session) Vacate(ctx context.Context) (back func(), err error) {
	if err := s.free(ctx); err != nil { // mostly it is found out here, before anybody is refused
		return nil, err
	}
	back = func() { s.desk.vacate(nil) }
	s.desk.vacate(fmt.Errorf("session %s: %w: it is being removed", s.name, ErrStopped))
	if err := s.free(ctx); err != nil {
		back()
		return nil, err
	}
	return back, nil
}

// free says what a session has to do. Its queue is looked at first: what is taken off it is the actor's by the time that is asked.
func (s *Session) free(ctx context.Context) error {
	_, info := s.desk.snapshot()
	what := ""
	if n := info.Queue; n > 0 {
		what = fmt.Sprintf("prompts wait: %d", n)
	} else {
		var err error
		what, err = actor.Ask(ctx, s.desk.current(), func(r actor.Reply[string]) message { return working{r} })
		if err != nil && !errors.Is(err, actor.ErrStopped) { // which has nothing to do
			return fmt.Errorf("session %s: %w", s.name, err)
		}
	}
	if what != "" {
		return fmt.Errorf("session %s: %w: %s", s.name, ErrAtWork, what)
	}
	return nil
}

// vacate refuses queries with that error, until it is nil.
func (d *desk) vacate(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.vacated = err
}

func (l *loop) onWorking(reply actor.Reply[string]) {
	switch {
	case l.current != nil || l.turns.open:
		reply.Send("a turn is running")
	case l.background > 0:
		reply.Send(fmt.Sprintf("tasks run in the background: %d", l.background))
	default: // the CLI may not have said yet that it is idle: whoever has just got his answer may remove the session
		reply.Send("")
	}
}
