package understudy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// ErrBusy says that every session of a pool is in a turn and that its queue is full.
var ErrBusy = errors.New("pool is busy")

// PoolSpec is a number of sessions that are all alike: a query goes to one that is idle. They share no
// conversation, so a pool is for prompts that stand alone.
type PoolSpec struct {
	// Name names the pool among the sessions and groups; its sessions are called Name-1, Name-2, ….
	Name string
	// Options are those of each session.
	Options session.Options
	// Min sessions are kept up; 0 means 1. Up to Max are started when queries need them; 0 means Min.
	Min, Max int
	// MaxQueue is how many queries may wait for a session; more fail with ErrBusy. 0 means none.
	MaxQueue int
	// IdleTimeout ends a session beyond Min that had nothing to do for so long; 0 means 5 minutes.
	IdleTimeout time.Duration
}

const defaultIdleTimeout = 5 * time.Minute

func (p PoolSpec) validate() error {
	var problems []error
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("pool %s: "+format, append([]any{p.Name}, args...)...))
	}
	if !session.ValidName(p.Name) || len(p.Name) > 56 {
		add("expected a name of up to 56 letters, digits, dots, underscores and dashes, beginning with a letter or digit")
	}
	if p.Min < 0 || p.Max < 0 || p.MaxQueue < 0 || p.IdleTimeout < 0 {
		add("min %d, max %d, max_queue %d, idle_timeout %v: none may be negative", p.Min, p.Max, p.MaxQueue, p.IdleTimeout)
	}
	if p.Max != 0 && p.Max < max(p.Min, 1) {
		add("max %d: expected at least min, which is %d", p.Max, max(p.Min, 1))
	}
	if err := p.Options.Validate(); err != nil {
		add("%w", err)
	}
	if max(p.Min, p.Max) > 1 {
		for _, problem := range p.Options.ForSeveral() {
			add("%w", problem)
		}
	}
	return errors.Join(problems...)
}

// withDefaults fills in what is zero.
func (p PoolSpec) withDefaults() PoolSpec {
	p.Min = max(p.Min, 1)
	p.Max = max(p.Max, p.Min)
	p.IdleTimeout = cmp.Or(p.IdleTimeout, defaultIdleTimeout)
	return p
}

// Pool is a number of sessions that are all alike. Its methods may be called from any goroutine.
type Pool struct {
	name    string
	rt      *Runtime
	home    *branch
	mu      sync.Mutex
	spec    PoolSpec
	workers []*worker      // the first Min come up with the pool's supervisor
	waiting []chan *worker // oldest first; a closed one was given nothing: look again
	closed  bool
}

// worker is a session of a pool.
type worker struct {
	session *session.Session
	spec    supervisor.ChildSpec
	busy    bool
	old     bool        // of options that the pool does not have any more: it goes when it is free
	rest    *time.Timer // ends it when it was idle for long
}

// rouse takes back that the session is ended for being idle.
func (w *worker) rouse() {
	if w.rest != nil {
		w.rest.Stop()
	}
}

// Pool returns the pool of that name, or ErrNoSession.
func (rt *Runtime) Pool(name string) (*Pool, error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	p := rt.pools[name]
	if p == nil {
		return nil, fmt.Errorf("%w: no pool %s", ErrNoSession, name)
	}
	return p, nil
}

// addPool starts a pool's supervisor and its first sessions, without waiting for these to be ready.
func (rt *Runtime) addPool(ctx context.Context, spec PoolSpec) error {
	spec = spec.withDefaults()
	p := &Pool{name: spec.Name, spec: spec, rt: rt, home: &branch{name: spec.Name, path: rt.sessions.path + "/" + spec.Name, above: rt.sessions}}
	intensity, backoff := rt.policy()
	for range spec.Min {
		w, err := p.next()
		if err != nil {
			p.abandon()
			return err
		}
		p.workers = append(p.workers, w)
	}
	rt.mu.Lock()
	rt.pools[spec.Name] = p
	rt.mu.Unlock()
	err := rt.supervisorOf(rt.sessions).AddChild(ctx, supervisor.ChildSpec{
		ID: spec.Name, Kind: supervisor.Supervised, RetryStart: true,
		Start: func(ctx context.Context) (actor.PID, error) {
			return rt.start(ctx, p.home, supervisor.Options{Independent: true, Intensity: &intensity, Children: p.startAgain()})
		},
		Intensity: &intensity, OnExhausted: supervisor.Fail, Backoff: &backoff,
	})
	if err != nil {
		rt.mu.Lock()
		delete(rt.pools, spec.Name)
		rt.mu.Unlock()
		p.abandon()
	}
	return err
}

// abandon forgets the sessions of a pool that has not come to be.
func (p *Pool) abandon() {
	p.close()
	for _, w := range p.workers {
		w.session.Closing()
		p.rt.forget(w.session)
	}
}

// next makes the session with the lowest number that is free. p.mu is held, or nobody else knows p yet.
func (p *Pool) next() (*worker, error) {
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s-%d", p.spec.Name, n)
		if slices.ContainsFunc(p.workers, func(w *worker) bool { return w.session.Name() == name }) {
			continue
		}
		made, err := p.rt.newSession(name, p.spec.Options, p.home, origin{label: p.spec.Name})
		if errors.Is(err, ErrExists) { // somebody has spawned one of that name
			continue
		}
		if err != nil {
			return nil, err
		}
		intensity, backoff := p.rt.policy()
		return &worker{session: made, spec: made.ChildSpec(intensity, backoff)}, nil
	}
}

// Query sends a prompt to an idle session of the pool, as session.Session.Query does. If there is none it
// starts another, up to Max, or waits in the queue; if that is full it yields ErrBusy.
func (p *Pool) Query(ctx context.Context, prompt string) iter.Seq2[protocol.Message, error] {
	return p.QueryPrompt(ctx, session.TextPrompt(prompt))
}

// QueryPrompt is Query with a prompt that has images and documents, or an id of the caller's.
func (p *Pool) QueryPrompt(ctx context.Context, prompt session.Prompt) iter.Seq2[protocol.Message, error] {
	return func(yield func(protocol.Message, error) bool) {
		for again := true; again; {
			w, err := p.acquire(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			again = p.query(ctx, w, prompt, yield)
		}
	}
}

// query sends the prompt to one session. It reports whether to try another: this one was parked
// before it did anything for the prompt.
func (p *Pool) query(ctx context.Context, w *worker, prompt session.Prompt, yield func(protocol.Message, error) bool) (again bool) {
	defer p.release(w)
	begun := false
	for m, err := range w.session.QueryPrompt(ctx, prompt) {
		if err != nil && !begun && !p.usable(w) && errors.Is(err, session.ErrFailed) {
			return true
		}
		begun = true
		if !yield(m, err) {
			return false
		}
	}
	return false
}

// usable reports whether a session of the pool takes queries, now or when it is back.
func (p *Pool) usable(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fit(w)
}

func (p *Pool) fit(w *worker) bool {
	state := w.session.Info().State
	return slices.Contains(p.workers, w) && state != session.Failed && state != session.Stopped
}

// acquire takes a session that has nothing to do.
func (p *Pool) acquire(ctx context.Context) (*worker, error) {
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
		if home := p.rt.supervisorOf(p.home); home != nil && home.PID().Alive() && p.staying() < p.spec.Max {
			return p.grow(ctx, home) // unlocks
		}
		if w := p.asked(); w != nil {
			w.busy = true
			p.mu.Unlock()
			return w, nil
		}
		if p.allFailed() {
			p.mu.Unlock()
			return nil, fmt.Errorf("pool %s: %w: every session of it", p.name, session.ErrFailed)
		}
		if len(p.waiting) >= p.spec.MaxQueue {
			err := fmt.Errorf("pool %s: %w: %d sessions in a turn, %d queries wait", p.name, ErrBusy, len(p.workers), len(p.waiting))
			p.mu.Unlock()
			return nil, err
		}
		turn := make(chan *worker, 1)
		p.waiting = append(p.waiting, turn)
		p.mu.Unlock()
		select {
		case w := <-turn:
			if w != nil {
				return w, nil
			}
		case <-ctx.Done():
			p.leave(turn)
			return nil, context.Cause(ctx)
		}
	}
}

// leave takes a waiter off the queue, and passes on what it may have been given meanwhile.
func (p *Pool) leave(turn chan *worker) {
	p.mu.Lock()
	p.waiting = slices.DeleteFunc(p.waiting, func(c chan *worker) bool { return c == turn })
	p.mu.Unlock()
	select {
	case w := <-turn:
		if w != nil {
			p.release(w)
		}
	default:
	}
}

// idle is a session that can take a prompt at once, or as soon as it is back; nil if there is none.
func (p *Pool) idle() *worker {
	var coming *worker
	for _, w := range p.workers {
		if w.busy {
			continue
		}
		switch w.session.Info().State {
		case session.Idle:
			w.rouse()
			return w
		case session.Starting, session.Restarting:
			if coming == nil {
				coming = w
			}
		}
	}
	return coming
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

// grow starts one more session and waits for it. It is called with p.mu held, and releases it.
func (p *Pool) grow(ctx context.Context, home *supervisor.Supervisor) (*worker, error) {
	w, err := p.next()
	if err != nil {
		p.mu.Unlock()
		return nil, err
	}
	w.busy = true
	p.workers = append(p.workers, w)
	p.mu.Unlock()
	if _, err := home.StartChild(ctx, w.spec); err != nil {
		p.drop(w)
		return nil, err
	}
	return w, nil
}

// release gives a session to who has waited longest, or lets it rest.
func (p *Pool) release(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.fit(w) { // those who wait are to look for themselves, whether there is another
		w.busy = false
		p.wake()
		return
	}
	if w.old || p.staying() > p.spec.Max {
		w.old = true
		go p.replace([]*worker{w}, 0) // ends with the session, which is in no turn
		return
	}
	if len(p.waiting) > 0 {
		next := p.waiting[0]
		p.waiting = slices.Delete(p.waiting, 0, 1)
		next <- w
		return
	}
	w.busy = false
	if p.staying() > p.spec.Min && !p.closed {
		w.rest = time.AfterFunc(p.spec.IdleTimeout, func() { p.retire(w) })
	}
}

// up is called when a session of the pool has come up. If it had been parked or stopped, nobody has counted on
// it: it is for who has waited longest.
func (p *Pool) up(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.workers {
		if w.session.Name() == name && !w.busy && len(p.waiting) > 0 {
			w.busy = true
			p.waiting[0] <- w
			p.waiting = slices.Delete(p.waiting, 0, 1)
		}
	}
}

// retire ends a session that the pool does not need.
func (p *Pool) retire(w *worker) {
	p.mu.Lock()
	if w.busy || p.closed || p.staying() <= p.spec.Min {
		p.mu.Unlock()
		return
	}
	w.busy = true // nobody takes it any more
	p.mu.Unlock()
	p.drop(w)
}

// drop removes a session from the pool and from the tree.
func (p *Pool) drop(w *worker) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := p.rt.Remove(ctx, w.session.Name()); err != nil && !errors.Is(err, ErrNoSession) {
		p.rt.log.Error().Err(err).Str("pool", p.name).Msg("session could not be removed")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers = slices.DeleteFunc(p.workers, func(other *worker) bool { return other == w })
	p.wake() // there may be room for another one now
}

// wake has everybody who waits look again. p.mu is held.
func (p *Pool) wake() {
	for _, turn := range p.waiting {
		close(turn)
	}
	p.waiting = nil
}

// startAgain gives the children that the pool's supervisor comes up with, the first ones, and forgets those that the pool had grown,
// and those of other options.
func (p *Pool) startAgain() []supervisor.ChildSpec {
	p.mu.Lock()
	defer p.mu.Unlock()
	var first []*worker
	for _, w := range p.workers {
		if !w.old && len(first) < p.spec.Min {
			first = append(first, w)
			continue
		}
		w.rouse()
		w.session.Closing()
		if err := w.session.Forget(); err != nil {
			p.rt.log.Error().Err(err).Str("pool", p.name).Msg("state of a session could not be removed")
		}
		p.rt.forget(w.session) // last: until then nobody else has its name
	}
	p.workers = first
	for len(p.workers) < p.spec.Min && !p.closed {
		w, err := p.next()
		if err != nil {
			p.rt.log.Error().Err(err).Str("pool", p.name).Msg("session could not be made")
			break
		}
		p.workers = append(p.workers, w)
	}
	p.wake()
	var children []supervisor.ChildSpec
	for _, w := range p.workers {
		child := w.spec
		child.RetryStart = true
		children = append(children, child)
	}
	return children
}

// close refuses queries from now on.
func (p *Pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, w := range p.workers {
		w.rouse()
	}
	p.wake()
}
