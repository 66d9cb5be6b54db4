package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errBoom = errors.New("boom")
	errFlag = fatal("unknown flag --frobnicate")
)

// fatal is an error that says of itself that trying again cannot help.
type fatal string

func (f fatal) Error() string { return string(f) }
func (fatal) Permanent() bool { return true }

// message is a closure that runs inside a child.
type message func(*actor.Context[message])

// kid is how a child behaves; the zero kid starts, works and stops at once.
type kid struct {
	start   func(ctx context.Context, n int) error // before the n-th incarnation's actor is spawned
	started func(c *actor.Context[message], n int) error
	stopped func(c *actor.Context[message], reason error)
	trap    func(c *actor.Context[message], reason error)
}

type worker struct {
	rig *rig
	id  string
	n   int
	kid kid
}

func (w *worker) Receive(c *actor.Context[message], m message) { m(c) }
func (w *worker) Started(c *actor.Context[message]) error {
	if w.kid.started != nil {
		return w.kid.started(c, w.n)
	}
	return nil
}

func (w *worker) Stopped(c *actor.Context[message], reason error) {
	if w.kid.stopped != nil {
		w.kid.stopped(c, reason)
	}
	w.rig.note("stop %s %v", w.id, reason)
}

type trapping struct{ worker }

func (w *trapping) Exiting(c *actor.Context[message], reason error) { w.kid.trap(c, reason) }

// rig is a supervisor under test with children that keep a journal.
type rig struct {
	t     *testing.T
	sys   *actor.System
	begun time.Time
	sup   *supervisor.Supervisor

	mu     sync.Mutex
	log    []string
	events []supervisor.Event
	refs   map[string]actor.Ref[message] // newest incarnation
	starts map[string][]time.Duration    // when each incarnation was begun
}

func newRig(t *testing.T) *rig {
	return &rig{
		t: t, sys: actor.NewSystem(actor.Options{}), begun: time.Now(),
		refs: make(map[string]actor.Ref[message]), starts: make(map[string][]time.Duration),
	}
}

// start starts the supervisor "root" with what is given, and stops it when the test ends.
func (r *rig) start(options supervisor.Options) *rig {
	r.t.Helper()
	require.NoError(r.t, r.tryStart(options))
	return r
}

func (r *rig) tryStart(options supervisor.Options) error {
	if options.Name == "" {
		options.Name = "root"
	}
	if options.OnEvent == nil {
		options.OnEvent = r.onEvent
	}
	var err error
	r.sup, err = supervisor.Start(r.t.Context(), r.sys, options)
	return err
}

// over stops the supervisor and checks that nothing is left. Every test ends with it.
func (r *rig) over() {
	r.t.Helper()
	if r.sup != nil {
		require.NoError(r.t, r.sup.Stop(context.Background()))
	}
	synctest.Wait()
	assert.Empty(r.t, r.sys.Actors())
}

func (r *rig) onEvent(e supervisor.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *rig) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

// notes takes the journal.
func (r *rig) notes() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	log := r.log
	r.log = nil
	return log
}

// happened takes the events, as "kind child#incarnation".
func (r *rig) happened() []string {
	var lines []string
	for _, e := range r.takeEvents() {
		lines = append(lines, fmt.Sprintf("%s %s#%d", e.Kind, e.Child, e.Incarnation))
	}
	return lines
}

func (r *rig) takeEvents() []supervisor.Event {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

func (r *rig) spec(id string, k kid, edit ...func(*supervisor.ChildSpec)) supervisor.ChildSpec {
	return r.specUnder("root", id, k, edit...)
}

func (r *rig) specUnder(parent, id string, k kid, edit ...func(*supervisor.ChildSpec)) supervisor.ChildSpec {
	spec := supervisor.ChildSpec{ID: id, Start: func(ctx context.Context) (actor.PID, error) {
		r.mu.Lock()
		r.starts[id] = append(r.starts[id], time.Since(r.begun))
		n := len(r.starts[id])
		r.mu.Unlock()
		if k.start != nil {
			if err := k.start(ctx, n); err != nil {
				return actor.PID{}, err
			}
		}
		w := worker{rig: r, id: id, n: n, kid: k}
		var behaviour actor.Actor[message] = &w
		if k.trap != nil {
			behaviour = &trapping{w}
		}
		ref, err := actor.Spawn(r.sys, actor.Spec{Name: parent + "/" + id}, behaviour)
		if err != nil {
			return actor.PID{}, err
		}
		r.mu.Lock()
		r.refs[id] = ref
		r.mu.Unlock()
		r.note("start %s", id)
		// Ready is what has been Started. One that ended instead is a crash, not a start failure.
		_, _ = actor.Ask(context.Background(), ref, func(reply actor.Reply[int]) message {
			return func(*actor.Context[message]) { reply.Send(0) }
		})
		return ref.PID, nil
	}}
	for _, e := range edit {
		e(&spec)
	}
	return spec
}

func (r *rig) startsOf(id string) []time.Duration {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]time.Duration(nil), r.starts[id]...)
}

func (r *rig) ref(id string) actor.Ref[message] {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refs[id]
}

// exit ends the running incarnation of a child and waits for what comes of it without time passing.
func (r *rig) exit(id string, reason error) {
	r.t.Helper()
	require.NoError(r.t, r.ref(id).Send(func(c *actor.Context[message]) { c.Exit(reason) }), "child %s", id)
	synctest.Wait()
}

func (r *rig) child(id string) supervisor.Node {
	r.t.Helper()
	synctest.Wait()
	node, err := r.sup.Child(r.t.Context(), id)
	require.NoError(r.t, err, "child %s", id)
	return node
}

func (r *rig) state(id string) supervisor.State { r.t.Helper(); return r.child(id).State }

func (r *rig) tree() supervisor.Node {
	r.t.Helper()
	synctest.Wait()
	node, err := r.sup.Tree(r.t.Context())
	require.NoError(r.t, err)
	return node
}

func (r *rig) add(spec supervisor.ChildSpec) actor.PID {
	r.t.Helper()
	pid, err := r.sup.StartChild(r.t.Context(), spec)
	require.NoError(r.t, err, "child %s", spec.ID)
	return pid
}

// ends waits for the supervisor's own end.
func (r *rig) ends() error {
	r.t.Helper()
	select {
	case <-r.sup.PID().Done():
		return r.sup.PID().Reason()
	case <-time.After(time.Hour):
		require.FailNow(r.t, "the supervisor did not end")
		return nil
	}
}

// elapsed is the virtual time that f takes.
func elapsed(f func()) time.Duration {
	begun := time.Now()
	f()
	return time.Since(begun)
}

// inTheBackground runs f and gives its outcome.
func inTheBackground[T any](f func() T) <-chan T {
	outcome := make(chan T, 1)
	go func() { outcome <- f() }() // ends with f
	return outcome
}

func restart(v supervisor.Restart) func(*supervisor.ChildSpec) {
	return func(s *supervisor.ChildSpec) { s.Restart = v }
}

func shutdown(v supervisor.Shutdown) func(*supervisor.ChildSpec) {
	return func(s *supervisor.ChildSpec) { s.Shutdown = v }
}

func intensity(n int, within time.Duration) *supervisor.Intensity {
	return &supervisor.Intensity{MaxRestarts: n, Within: within}
}

var steady = supervisor.Backoff{Initial: time.Second, Factor: 1}

// slowStop takes d to stop.
func slowStop(d time.Duration) kid {
	return kid{stopped: func(*actor.Context[message], error) { time.Sleep(d) }}
}

// deafStart ignores its context until the returned function is called.
func deafStart() (k kid, release func()) {
	gate := make(chan struct{})
	return kid{start: func(context.Context, int) error { <-gate; return nil }}, func() { close(gate) }
}

// slowStart is ready after d, or fails with its context.
func slowStart(d time.Duration) kid {
	return kid{start: func(ctx context.Context, _ int) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}
}

// fails is never ready.
func fails(err error) kid {
	return kid{start: func(context.Context, int) error { return err }}
}
