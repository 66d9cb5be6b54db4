package understudy

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/understudy-run/understudy/session"
)

// waiter is a query that waits for a session.
type waiter struct {
	number uint64       // in order of coming
	turn   chan *worker // closed: it was given nothing, and is to look again
	grows  bool         // a session is being started for it
}

// acquire takes a session that has nothing to do. A query that has a place already is not turned away any more, nor put behind others.
// One for which a session is started takes whichever is free first: there may be no room for that one for long.
func (p *Pool) acquire(ctx context.Context, place **waiter) (*worker, error) {
	var came <-chan growth // nil: none is started for it
	defer func() {
		if came != nil {
			go p.settleGrowth(came) // ends when that session is up, or ctx has ended it
		}
	}()
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, fmt.Errorf("pool %s: %w", p.name, session.ErrStopped)
		}
		if w := p.idle(); w != nil {
			w.busy = true
			p.mu.Unlock()
			return w, nil
		}
		if home := p.rt.supervisorOf(p.home); came == nil && home != nil && home.PID().Alive() && p.staying() < p.spec.Max {
			var err error
			if came, err = p.grow(ctx, home); err != nil {
				p.mu.Unlock()
				return nil, err
			}
		}
		if came == nil {
			if w := p.asked(); w != nil {
				w.busy = true
				p.mu.Unlock()
				return w, nil
			}
			if p.allFailed() {
				p.mu.Unlock()
				return nil, fmt.Errorf("pool %s: %w: every session of it", p.name, session.ErrFailed)
			}
			if waiting := p.queued(); *place == nil && waiting >= p.spec.MaxQueue {
				err := fmt.Errorf("pool %s: %w: %d sessions in a turn, %d queries wait", p.name, ErrBusy, len(p.workers), waiting)
				p.mu.Unlock()
				return nil, err
			}
		}
		here := p.line(*place)
		here.grows = came != nil
		*place = here
		p.mu.Unlock()
		select {
		case w := <-here.turn:
			if w != nil {
				return w, nil
			}
		case g := <-came:
			came = nil
			p.leave(here)
			if g.session != nil || g.err != nil {
				return g.session, g.err
			}
		case <-ctx.Done():
			p.leave(here)
			return nil, context.Cause(ctx)
		}
	}
}

// queued is how many queries wait without one that is started for them. p.mu is held.
func (p *Pool) queued() (n int) {
	for _, w := range p.waiting {
		if !w.grows {
			n++
		}
	}
	return n
}

// line puts a query in the queue: at its end, or where it was before it was told to look again. p.mu is held.
func (p *Pool) line(before *waiter) *waiter {
	place := &waiter{turn: make(chan *worker, 1)}
	if before != nil {
		place.number = before.number
	} else {
		p.waited++
		place.number = p.waited
	}
	at, _ := slices.BinarySearchFunc(p.waiting, place.number, func(w *waiter, n uint64) int { return cmp.Compare(w.number, n) })
	p.waiting = slices.Insert(p.waiting, at, place)
	return place
}

// leave takes a waiter off the queue, and passes on what it may have been given meanwhile.
func (p *Pool) leave(place *waiter) {
	p.mu.Lock()
	p.waiting = slices.DeleteFunc(p.waiting, func(w *waiter) bool { return w == place })
	p.mu.Unlock()
	select {
	case w := <-place.turn:
		if w != nil {
			p.release(w)
		}
	default:
	}
}

// idle is a session that can take a prompt at once, or as soon as it is up: one that hibernates is that soonest, and one that is held will
// be so for any other. nil if there is none.
func (p *Pool) idle() *worker {
	var asleep, coming *worker
	for _, w := range p.workers {
		if w.busy {
			continue
		}
		switch w.session.Info().State {
		case session.Idle:
			w.rouse()
			return w
		case session.Hibernated:
			asleep = cmp.Or(asleep, w)
		case session.Starting, session.Restarting, session.Held:
			coming = cmp.Or(coming, w)
		}
	}
	return cmp.Or(asleep, coming)
}

// asked is a session that somebody has asked by its name, past the pool, which would not learn when it is done:
// its own queue is the one to wait in. nil if there is none.
func (p *Pool) asked() *worker {
	for _, w := range p.workers {
		if !w.busy && w.session.Info().State == session.Busy {
			return w
		}
	}
	return nil
}

func (p *Pool) allFailed() bool {
	return !slices.ContainsFunc(p.workers, p.fit)
}

// wake has everybody who waits look again. p.mu is held.
func (p *Pool) wake() {
	for _, w := range p.waiting {
		close(w.turn)
	}
	p.waiting = nil
}
