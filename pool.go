package understudy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
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
	workers []*worker // the first Min come up with the pool's supervisor
	waiting []*waiter // oldest first
	waited  uint64    // how many have been in it
	closed  bool
}

// worker is a session of a pool.
type worker struct {
	session *session.Session
	spec    supervisor.ChildSpec
	joined  func() // see Runtime.join
	busy    bool
	old     bool        // of options that the pool does not have any more: it goes when it is free
	left    bool        // it was to go, and could not be removed: it goes when the pool's supervisor is up
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

// Pools says how busy the pools are, by name.
func (rt *Runtime) Pools() []session.PoolState {
	rt.mu.Lock()
	pools := slices.Collect(maps.Values(rt.pools))
	rt.mu.Unlock()
	all := make([]session.PoolState, 0, len(pools))
	for _, p := range pools {
		all = append(all, p.State())
	}
	slices.SortFunc(all, func(a, b session.PoolState) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// State says how busy the pool is.
func (p *Pool) State() session.PoolState {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := session.PoolState{
		Name: p.name, Sessions: len(p.workers), Min: p.spec.Min, Max: p.spec.Max, Waiting: p.queued(), MaxQueue: p.spec.MaxQueue,
	}
	for _, w := range p.workers {
		switch now := w.session.Info().State; {
		case now == session.Failed, now == session.Stopped:
			state.Failed++
		case w.busy, now == session.Busy:
			state.Busy++
		}
	}
	return state
}

// poolOf is the pool whose sessions are below a branch; nil if it is no pool's.
func (rt *Runtime) poolOf(b *branch) *Pool {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if p := rt.pools[b.name]; p != nil && p.home == b {
		return p
	}
	return nil
}

// addPool starts a pool's supervisor and its first sessions, without waiting for these to be ready.
func (rt *Runtime) addPool(ctx context.Context, spec PoolSpec) error {
	spec = spec.withDefaults()
	p := &Pool{name: spec.Name, spec: spec, rt: rt, home: &branch{name: spec.Name, path: rt.sessions.path + "/" + spec.Name, above: rt.sessions}}
	intensity, backoff := rt.policy()
	for range spec.Min {
		w, err := p.next(false)
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
			pid, err := rt.start(ctx, p.home, supervisor.Options{Independent: true, Intensity: &intensity, Children: p.startAgain()})
			if err == nil {
				go p.settle() // ends with what is to be removed and started
			}
			return pid, err
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
func (p *Pool) next(joins bool) (*worker, error) {
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s-%d", p.spec.Name, n)
		if slices.ContainsFunc(p.workers, func(w *worker) bool { return w.session.Name() == name }) {
			continue
		}
		made, err := p.rt.newSession(name, p.spec.Options, p.home, origin{label: p.spec.Name, joins: joins})
		if errors.Is(err, ErrExists) { // somebody has spawned one of that name
			continue
		}
		if err != nil {
			return nil, err
		}
		w := &worker{session: made}
		w.spec, w.joined = p.rt.join(made, made.ChildSpec(p.rt.policy()))
		return w, nil
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
		var place *waiter
		for {
			w, err := p.acquire(ctx, &place)
			if err != nil {
				yield(nil, err)
				return
			}
			if again := p.query(ctx, w, prompt, yield); !again {
				return
			}
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

// grow starts one more session, for a query that waits in the pool's queue meanwhile: there may be no room for another process for long
// (session.Limits), and sooner a session that has nothing to do. came gets the session when it is up, or why it is not; nil: somebody has
// ended it meanwhile. p.mu is held.
func (p *Pool) grow(ctx context.Context, home *supervisor.Supervisor) (came <-chan growth, err error) {
	w, err := p.next(true)
	if err != nil {
		return nil, err
	}
	w.busy = true
	p.workers = append(p.workers, w)
	up := make(chan growth, 1)
	go func() { // ends when the session is up, or ctx has ended it
		_, err := home.StartChild(ctx, w.spec)
		w.joined()
		if err == nil {
			up <- growth{session: w}
			return
		}
		p.drop(w)
		if errors.Is(err, supervisor.ErrTerminated) || errors.Is(err, supervisor.ErrStopping) { // it was ended under our hands
			err = nil
		}
		up <- growth{err: err}
	}()
	return up, nil
}

// growth is what has become of a session that was started for a query.
type growth struct {
	session *worker
	err     error
}

// settleGrowth has others use a session that comes up for a query which has one by now, or has gone away.
func (p *Pool) settleGrowth(came <-chan growth) {
	switch g := <-came; {
	case g.session != nil:
		p.release(g.session)
	case g.err != nil && !errors.Is(g.err, context.Canceled):
		p.rt.log.Warn().Err(g.err).Str("pool", p.name).Msg("session could not be started")
	}
}

// release gives a session to who has waited longest, or lets it rest.
func (p *Pool) release(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.old || p.staying() > p.spec.Max {
		w.old = true
		go p.replace([]*worker{w}, 0) // ends with the session, which is in no turn
		return
	}
	if !p.fit(w) || w.session.Info().State == session.Draining { // those who wait are to look for themselves, whether there is another
		w.busy = false
		p.wake()
		return
	}
	if len(p.waiting) > 0 {
		next := p.waiting[0]
		p.waiting = slices.Delete(p.waiting, 0, 1)
		next.turn <- w
		return
	}
	w.busy = false
	p.lay(w)
}

// lay ends a session, which has nothing to do, in a while if the pool does not need it. p.mu is held.
func (p *Pool) lay(w *worker) {
	w.rouse()
	if p.staying() > p.spec.Min && !p.closed {
		w.rest = time.AfterFunc(p.spec.IdleTimeout, func() { p.retire(w) })
	}
}

// told is what the supervisor of the pool, or the one above, has done to a session of it, or to all.
func (p *Pool) told(e supervisor.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case supervisor.ChildStarted:
		p.up(e.Child)
	case supervisor.ChildStopped, supervisor.ChildParked: // those who wait may have waited for it
		p.wake()
	default: // it is as good as before
	}
}

// up is called when a session of the pool has come up. If it had been parked or stopped, nobody has counted on
// it: it is for who has waited longest. p.mu is held.
func (p *Pool) up(name string) {
	for _, w := range p.workers {
		if w.session.Name() == name && !w.busy && len(p.waiting) > 0 {
			w.busy = true
			p.waiting[0].turn <- w
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
	w.old, w.busy = true, true // nobody takes it any more, and another that has rested as long is to see that there is one less
	p.mu.Unlock()
	p.drop(w)
}

// drop removes a session from the pool and from the tree. While the pool's supervisor comes up it takes no orders: then the session
// goes when that is up.
func (p *Pool) drop(w *worker) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	before := p.rt.supervisorOf(p.home)
	err := p.rt.remove(ctx, w.session)
	if err != nil && !errors.Is(err, ErrNoSession) && !errors.Is(err, supervisor.ErrStarting) && !errors.Is(err, supervisor.ErrStopping) && !errors.Is(err, actor.ErrStopped) {
		p.rt.log.Error().Err(err).Str("pool", p.name).Msg("session could not be removed")
	}
	if m, there := p.rt.member(w.session.Name()); there == nil && m.Session == w.session {
		p.mu.Lock()
		w.old, w.busy, w.left = true, true, true
		p.mu.Unlock()
		if p.rt.supervisorOf(p.home) != before { // it is up by now, and may have settled already
			p.settle()
		}
		return
	}
	p.without(w.session)
}

// settle does what could not be done while the pool's supervisor came up.
func (p *Pool) settle() {
	p.mu.Lock()
	var left []*worker
	for _, w := range p.workers {
		if w.left {
			w.left = false
			left = append(left, w)
		}
	}
	p.mu.Unlock()
	for _, w := range left {
		p.drop(w)
	}
	p.fill()
}

// without leaves a session out that is gone.
func (p *Pool) without(s *session.Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers = slices.DeleteFunc(p.workers, func(w *worker) bool {
		if w.session == s {
			w.rouse()
		}
		return w.session == s
	})
	p.wake() // there may be room for another one now
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
		if err := p.rt.part(w.session, func() {}, w.session.Forget); err != nil {
			p.rt.log.Error().Err(err).Str("pool", p.name).Msg("state of a session could not be removed")
		}
	}
	p.workers = first
	for len(p.workers) < p.spec.Min && !p.closed {
		w, err := p.next(false)
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
