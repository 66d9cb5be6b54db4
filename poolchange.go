package understudy

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// staying is how many sessions the pool has that it keeps. p.mu is held.
func (p *Pool) staying() (n int) {
	for _, w := range p.workers {
		if !w.old {
			n++
		}
	}
	return n
}

// become has the pool be another one from now on, without losing a query: a session that is in a turn ends it first, and one that
// has other options than the pool's, or is one too many, goes when it is free. Sessions that are missing are started in the background.
func (p *Pool) become(spec PoolSpec, drain time.Duration) {
	spec = spec.withDefaults()
	p.mu.Lock()
	anew := len(differences(p.spec.Options, spec.Options)) > 0
	p.spec = spec
	var free []*worker
	for _, w := range slices.Backward(p.workers) {
		if w.old || !anew && p.staying() <= spec.Max {
			continue
		}
		if !anew && w.busy { // which of them is too many is seen when it is free
			continue
		}
		w.old = true
		if !w.busy {
			w.busy = true // nobody takes it any more
			w.rouse()
			free = append(free, w)
		}
	}
	for _, w := range p.workers { // there may be too many that do nothing, and times for which they may rest may be others
		if !w.busy {
			p.lay(w)
		}
	}
	p.wake() // there may be room, or a longer queue
	p.mu.Unlock()
	p.fill()
	p.replace(free, drain)
}

// replace ends sessions, and starts as many as are missing then. Somebody may have asked one by its name: that turn may go on for
// drain.
func (p *Pool) replace(workers []*worker, drain time.Duration) {
	var ends sync.WaitGroup
	for _, w := range workers {
		ends.Go(func() { // ends with the session
			ctx, cancel := context.WithTimeout(context.Background(), drain)
			defer cancel()
			if err := w.session.Drain(ctx); err != nil && drain > 0 {
				p.rt.log.Warn().Err(err).Str("session", w.session.Name()).Msg("reload: the turn that runs is interrupted")
			}
			p.drop(w)
			p.fill()
		})
	}
	ends.Wait()
}

// fill starts the sessions that are missing, in the background.
func (p *Pool) fill() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		w, err := p.missing()
		if w == nil && err == nil {
			return
		}
		if err == nil {
			child := w.spec
			child.RetryStart = true
			err = p.rt.supervisorOf(p.home).AddChild(ctx, child)
			w.joined()
			if err != nil { // not under p.mu: the supervisor tells p of what it does
				p.drop(w)
			}
		}
		if err != nil {
			p.rt.log.Error().Err(err).Str("pool", p.name).Msg("session could not be started")
			return
		}
	}
}

// missing makes a session that is missing; nil if none is.
func (p *Pool) missing() (*worker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	home := p.rt.supervisorOf(p.home)
	if p.closed || home == nil || !home.PID().Alive() || p.staying() >= p.spec.Min { // a supervisor that comes up has them all
		return nil, nil
	}
	w, err := p.next(true)
	if err != nil {
		return nil, err
	}
	p.workers = append(p.workers, w)
	return w, nil
}

// dismissPool ends a pool: queries that wait end with session.ErrStopped, turns that run may go on for drain.
func (rt *Runtime) dismissPool(ctx context.Context, name string, drain time.Duration) error {
	rt.mu.Lock()
	p := rt.pools[name]
	rt.mu.Unlock()
	if p == nil {
		return nil
	}
	p.close()
	p.mu.Lock()
	workers := slices.Clone(p.workers)
	p.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	var ends sync.WaitGroup
	for _, w := range workers {
		ends.Go(func() { // ends with the session's turn, or with limited
			if err := w.session.Drain(limited); err != nil {
				rt.log.Warn().Err(err).Str("session", w.session.Name()).Msg("reload: the turn that runs is interrupted")
			}
		})
	}
	ends.Wait()
	if err := discard(ctx, rt.supervisorOf(rt.sessions), name); err != nil {
		return err
	}
	var problems []error
	for _, w := range workers {
		w.session.Closing()
		problems = append(problems, rt.part(w.session, func() {}, w.session.Forget)) // they have no conversation that somebody would want
	}
	rt.mu.Lock()
	delete(rt.pools, name)
	rt.mu.Unlock()
	return errors.Join(problems...)
}
