package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

// chaosFor is how long the chaos test lasts: the duration in the environment variable UNDERSTUDY_CHAOS,
// such as 20s, or 2 s without it.
func chaosFor(t *testing.T) time.Duration {
	text := os.Getenv("UNDERSTUDY_CHAOS")
	if text == "" {
		return 2 * time.Second
	}
	d, err := time.ParseDuration(text)
	require.NoError(t, err, "UNDERSTUDY_CHAOS")
	return d
}

// chaos is a tree of 1,000 children that crash at random, in real time, and what is known of them.
type chaos struct {
	sys *actor.System

	mu      sync.Mutex
	refs    []actor.Ref[message] // newest incarnation, by number
	spawned int
	double  []string
	wrong   []string
	lives   map[string]*life
	groups  map[string]*phase

	watcher actor.Ref[message]
	downs   map[actor.PID]int // the watcher's
}

// life is what events tell of a child.
type life struct {
	up          bool
	incarnation int
}

// phase is where a group is in its restart.
type phase struct {
	order []string // its members, in start order
	stop  int      // the last that was stopped, going down
	start int      // the last that was started, going up
}

func TestChaos(t *testing.T) {
	leaked := goleak.IgnoreCurrent()
	c := &chaos{
		sys: actor.NewSystem(actor.Options{}), refs: make([]actor.Ref[message], 1000),
		lives: make(map[string]*life), groups: make(map[string]*phase), downs: make(map[actor.PID]int),
	}
	var err error
	c.watcher, err = actor.Spawn(c.sys, actor.Spec{Name: "watcher", Mailbox: 1 << 20}, &toll{make(chan actor.Ref[message], 1)})
	require.NoError(t, err)

	var template *supervisor.Supervisor
	options := supervisor.Options{Name: "root", Intensity: intensity(1<<30, time.Second), Pace: supervisor.NewPace(1<<20, 1<<20), OnEvent: c.onEvent}
	options.Children = append(options.Children, c.branch("ones", supervisor.OneForOne, 0, 400, nil))
	n := 400
	for i, s := range slices.Repeat([]supervisor.Strategy{supervisor.OneForAll, supervisor.RestForOne}, 20) {
		options.Children = append(options.Children, c.branch(fmt.Sprint("group", i), s, n, 10, nil))
		n += 10
	}
	options.Children = append(options.Children, c.branch("simple", supervisor.SimpleOneForOne, 0, 0, &template))
	root, err := supervisor.Start(t.Context(), c.sys, options)
	require.NoError(t, err)
	for ; n < 1000; n++ {
		_, err := template.StartInstance(t.Context(), fmt.Sprint("c", n), n)
		require.NoError(t, err)
	}

	crashes := c.rage(t, root, chaosFor(t))
	c.settle(t, root)
	tree, err := root.Tree(t.Context())
	require.NoError(t, err)
	c.check(t, tree)
	require.NoError(t, root.Stop(context.Background()))

	// Every incarnation's end was told once, to the watcher by monitors and to the hook by events.
	downs := c.told(t)
	for pid, n := range downs {
		require.Equal(t, 1, n, "%s", pid)
	}
	assert.Empty(t, c.wrong, "the stop included")
	for id, l := range c.lives {
		require.False(t, l.up, "the end of %s was not told", id)
	}
	c.watcher.Stop(nil)
	<-c.watcher.Done()
	assert.Empty(t, c.sys.Actors())
	goleak.VerifyNone(t, leaked)
	t.Logf("%d crashes, %d incarnations", crashes, c.spawned)
}

// told is how many Downs the watcher has had of each incarnation, when it has had one of each or a minute is
// over: an actor's end is seen before it is told.
func (c *chaos) told(t *testing.T) map[actor.PID]int {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		downs, err := actor.Ask(ctx, c.watcher, func(r actor.Reply[map[actor.PID]int]) message {
			return func(*actor.Context[message]) { r.Send(maps.Clone(c.downs)) }
		})
		require.NoError(t, err, "%d incarnations", c.spawned)
		if len(downs) == c.spawned {
			return downs
		}
		runtime.Gosched()
	}
}

// branch is a supervisor of size children, numbered from n on.
func (c *chaos) branch(id string, s supervisor.Strategy, n, size int, handle **supervisor.Supervisor) supervisor.ChildSpec {
	path := "root/" + id
	options := supervisor.Options{Name: path, Strategy: s, Intensity: intensity(1<<30, time.Second), OnEvent: c.onEvent}
	if s == supervisor.SimpleOneForOne {
		options.Template = &supervisor.Template{Start: func(_ context.Context, _ string, args any) (actor.PID, error) {
			return c.spawn(path, args.(int))
		}}
	}
	group := &phase{start: -1}
	for i := n; i < n+size; i++ {
		group.order = append(group.order, fmt.Sprint("c", i))
		options.Children = append(options.Children, supervisor.ChildSpec{ID: fmt.Sprint("c", i), Start: func(context.Context) (actor.PID, error) {
			return c.spawn(path, i)
		}})
	}
	if s == supervisor.OneForAll || s == supervisor.RestForOne {
		c.groups[path] = group
	}
	return supervisor.ChildSpec{ID: id, Kind: supervisor.Supervised, Start: func(ctx context.Context) (actor.PID, error) {
		sup, err := supervisor.Start(ctx, c.sys, options)
		if err != nil {
			return actor.PID{}, err
		}
		if handle != nil {
			*handle = sup
		}
		return sup.PID(), nil
	}}
}

func (c *chaos) spawn(path string, n int) (actor.PID, error) {
	c.mu.Lock()
	if c.refs[n].PID != (actor.PID{}) && c.refs[n].Alive() {
		c.double = append(c.double, c.refs[n].String())
	}
	c.mu.Unlock()
	ref, err := actor.Spawn(c.sys, actor.Spec{Name: fmt.Sprint(path, "/c", n), Mailbox: 4}, &worry{})
	if err != nil {
		return actor.PID{}, err
	}
	c.mu.Lock()
	c.refs[n] = ref
	c.spawned++
	c.mu.Unlock()
	pid := ref.PID
	return pid, c.watcher.SendWait(context.Background(), func(w *actor.Context[message]) {
		w.Monitor(pid, func(d actor.Down) message { return func(*actor.Context[message]) { c.downs[d.PID]++ } })
	})
}

// worry does as it is told.
type worry struct{}

func (*worry) Receive(c *actor.Context[message], m message) { m(c) }

// rage has children crash until the time is over.
func (c *chaos) rage(t *testing.T, root *supervisor.Supervisor, d time.Duration) (crashes int) {
	ends := []func(actor.Ref[message]) error{
		func(ref actor.Ref[message]) error {
			return ref.Send(func(c *actor.Context[message]) { c.Exit(errBoom) })
		},
		func(ref actor.Ref[message]) error { return ref.Send(func(c *actor.Context[message]) { c.Exit(nil) }) },
		func(ref actor.Ref[message]) error { return ref.Send(func(*actor.Context[message]) { panic("chaos") }) },
		func(ref actor.Ref[message]) error {
			return ref.Send(func(*actor.Context[message]) { runtime.Goexit() })
		},
		func(ref actor.Ref[message]) error { ref.Kill(); return nil },
		func(ref actor.Ref[message]) error { ref.Stop(nil); return nil },
	}
	over := time.After(d)
	for {
		select {
		case <-over:
			return crashes
		default:
		}
		for range 1 + rand.IntN(50) {
			c.mu.Lock()
			ref := c.refs[rand.IntN(len(c.refs))]
			c.mu.Unlock()
			if ref.Alive() && ends[rand.IntN(len(ends))](ref) == nil {
				crashes++
			}
		}
		_, err := root.Count(t.Context()) // and let the others have a go
		require.NoError(t, err)
	}
}

// settle waits until every child is up.
func (c *chaos) settle(t *testing.T, root *supervisor.Supervisor) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		tree, err := root.Tree(ctx)
		require.NoError(t, err, "the tree does not settle")
		up := 0
		for _, branch := range tree.Children {
			for _, child := range branch.Children {
				if child.State == supervisor.Running && child.PID.Alive() {
					up++
				}
			}
		}
		if up == len(c.refs) {
			return
		}
		runtime.Gosched()
	}
}

// check is what holds when all is quiet.
func (c *chaos) check(t *testing.T, tree supervisor.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	assert.Empty(t, c.double, "two incarnations at a time")
	assert.Empty(t, c.wrong)
	for _, branch := range tree.Children {
		assert.Equal(t, 1, branch.Incarnation, "%s was not restarted itself", branch.Path)
		for _, child := range branch.Children {
			var n int
			_, err := fmt.Sscanf(child.Name, "c%d", &n)
			require.NoError(t, err)
			assert.Equal(t, c.refs[n].PID, child.PID, "%s", child.Path)
			if c.groups[branch.Path] == nil { // in a group a start may be taken back
				assert.Equal(t, child.Restarts+1, child.Incarnation, "%s", child.Path)
			}
		}
	}
}

// onEvent checks that starts and ends take turns, incarnations follow one another, and groups stop in
// reverse order and start in order.
func (c *chaos) onEvent(e supervisor.Event) {
	if e.Supervisor == "root" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id := e.Supervisor + "/" + e.Child
	if c.lives[id] == nil {
		c.lives[id] = &life{}
	}
	l := c.lives[id]
	blame := func(what string) { c.wrong = append(c.wrong, fmt.Sprintf("%s: %s #%d", what, id, e.Incarnation)) }
	switch e.Kind {
	case supervisor.ChildStarted:
		if l.up || e.Incarnation != l.incarnation+1 {
			blame("started out of turn")
		}
		l.up, l.incarnation = true, e.Incarnation
	case supervisor.ChildExited, supervisor.ChildStopped:
		if !l.up || e.Incarnation != l.incarnation {
			blame("ended out of turn")
		}
		l.up = false
	case supervisor.StartFailed:
		if !errors.Is(e.Reason, actor.ErrShutdown) {
			blame("not started")
		}
	case supervisor.ChildParked, supervisor.Escalated, supervisor.ChildIgnored:
		blame(string(e.Kind))
	}
	g := c.groups[e.Supervisor]
	if g == nil {
		return
	}
	at := slices.Index(g.order, e.Child)
	switch e.Kind {
	case supervisor.RestartScheduled:
		g.start = -1 // nothing has been started since
	case supervisor.GroupRestart:
		g.stop, g.start = len(g.order), -1
	case supervisor.ChildStopped:
		if e.Again && at >= g.stop {
			blame("stopped out of order")
		}
		g.stop = at
	case supervisor.ChildStarted:
		if g.start >= 0 && at <= g.start {
			blame("started out of order")
		}
		g.start = at
	}
}
