package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

func TestS04OneForOneRestartsTheChildThatCrashedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("a", kid{}), r.spec("b", kid{}), r.spec("c", kid{})}})
		a, b, c := r.ref("a"), r.ref("b"), r.ref("c")
		r.happened()
		r.exit("b", errBoom)
		node := r.child("b")
		assert.Equal(t, supervisor.Running, node.State)
		assert.Equal(t, 2, node.Incarnation)
		assert.Equal(t, 1, node.Restarts)
		assert.Equal(t, errBoom, node.LastExit.Reason)
		assert.NotEqual(t, b.PID, node.PID)
		assert.Equal(t, r.ref("b").PID, node.PID)
		assert.False(t, b.Alive())
		assert.Equal(t, a.PID, r.child("a").PID)
		assert.Equal(t, c.PID, r.child("c").PID)
		assert.Equal(t, []string{"exited b#1", "restart_scheduled b#1", "started b#2"}, r.happened())
		r.over()
	})
}

func TestS08S09S10S11RestartTypeByReason(t *testing.T) {
	crash := errors.New("crash")
	ends := []struct {
		name  string
		end   func(actor.Ref[message])
		clean bool
	}{
		{"normal", func(c actor.Ref[message]) { _ = c.Send(func(c *actor.Context[message]) { c.Exit(nil) }) }, true},
		{"shutdown", func(c actor.Ref[message]) { c.Stop(nil) }, true},
		{"shutdown, x", func(c actor.Ref[message]) { c.Stop(fmt.Errorf("%w: x", actor.ErrShutdown)) }, true},
		{"error", func(c actor.Ref[message]) { _ = c.Send(func(c *actor.Context[message]) { c.Exit(crash) }) }, false},
		{"panic", func(c actor.Ref[message]) { _ = c.Send(func(*actor.Context[message]) { panic("oh") }) }, false},
		{"panic with shutdown", func(c actor.Ref[message]) { _ = c.Send(func(*actor.Context[message]) { panic(actor.ErrShutdown) }) }, false},
		{"goexit", func(c actor.Ref[message]) { _ = c.Send(func(*actor.Context[message]) { runtime.Goexit() }) }, false},
		{"kill", func(c actor.Ref[message]) { c.Kill() }, false},
		{"another's shutdown", func(c actor.Ref[message]) {
			_ = c.Send(func(c *actor.Context[message]) {
				c.Exit(fmt.Errorf("ask store: %w", &actor.StoppedError{Name: "store", Reason: actor.ErrShutdown}))
			})
		}, false},
	}
	for _, typ := range []supervisor.Restart{"", supervisor.Permanent, supervisor.Transient, supervisor.Temporary} {
		for _, e := range ends {
			t.Run(fmt.Sprintf("%s/%s", typ, e.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					r.start(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("x", kid{}, restart(typ)), r.spec("sibling", kid{})}})
					sibling := r.ref("sibling")
					r.happened()
					e.end(r.ref("x"))
					synctest.Wait()
					switch {
					case typ == supervisor.Temporary:
						_, err := r.sup.Child(t.Context(), "x")
						assert.ErrorIs(t, err, supervisor.ErrNotFound)
						assert.Len(t, r.tree().Children, 1)
						assert.Equal(t, []string{"exited x#1", "stopped x#1"}, r.happened())
					case typ == supervisor.Transient && e.clean:
						node := r.child("x")
						assert.Equal(t, supervisor.Stopped, node.State)
						assert.Equal(t, actor.PID{}, node.PID)
						assert.Equal(t, []string{"exited x#1", "stopped x#1"}, r.happened())
						assert.Zero(t, r.tree().Used)
					default:
						assert.Equal(t, supervisor.Running, r.state("x"))
						assert.Equal(t, []string{"exited x#1", "restart_scheduled x#1", "started x#2"}, r.happened())
						assert.Equal(t, 1, r.tree().Used)
					}
					assert.Equal(t, sibling.PID, r.child("sibling").PID)
					r.over()
				})
			})
		}
	}
}

func TestS13S14SupervisorGivesUpAtOneRestartTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("a", kid{}), r.spec("b", kid{}), r.spec("c", kid{})}})
		for range 3 {
			r.exit("b", errBoom)
		}
		time.Sleep(5 * time.Second)
		assert.Equal(t, 3, r.child("b").Restarts)
		assert.Equal(t, 3, r.tree().Used)
		r.notes()
		r.happened()
		// The three were 5 s ago, which is within the window.
		r.exit("b", errBoom)
		var exhausted *supervisor.ExhaustedError
		require.ErrorAs(t, r.ends(), &exhausted)
		assert.Equal(t, supervisor.ExhaustedError{
			Supervisor: "root", Child: "b", Intensity: supervisor.DefaultIntensity, Cause: errBoom,
		}, *exhausted)
		assert.EqualError(t, exhausted, "supervisor root: child b ended more than 3 times in 5s, last: boom")
		assert.Equal(t, []string{"stop b boom", "stop c shutdown", "stop a shutdown"}, r.notes())
		assert.Equal(t, []string{"exited b#4", "escalated b#4", "stopped c#1", "stopped a#1"}, r.happened())
		assert.Len(t, r.startsOf("b"), 4)
		_, err := r.sup.Tree(t.Context())
		assert.ErrorIs(t, err, actor.ErrStopped)
		r.over()
	})
}

func TestS15WindowIsExactAtEveryClockPhase(t *testing.T) {
	for phase := time.Duration(0); phase < time.Second; phase += 50 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(phase)
			r := newRig(t)
			r.start(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("a", kid{})}})
			r.exit("a", errBoom)
			time.Sleep(2 * time.Second)
			r.exit("a", errBoom)
			time.Sleep(2 * time.Second)
			r.exit("a", errBoom)
			time.Sleep(1001 * time.Millisecond)
			r.exit("a", errBoom)
			assert.Equal(t, supervisor.Running, r.state("a"), "phase %v", phase)
			r.exit("a", errBoom)
			assert.Error(t, r.ends(), "phase %v", phase)
			r.over()
		})
	}
}

func TestS16IntensityZeroToleratesNoRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Intensity: intensity(0, time.Second), Children: []supervisor.ChildSpec{r.spec("a", kid{})}})
		r.exit("a", errBoom)
		assert.ErrorIs(t, r.ends(), errBoom)
		assert.Len(t, r.startsOf("a"), 1)
		r.over()
	})
}

func TestS18RestartThatFailsIsTriedAgainAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Backoff: steady, Children: []supervisor.ChildSpec{
			r.spec("a", kid{start: func(_ context.Context, n int) error {
				if n == 2 || n == 3 {
					return errBoom
				}
				return nil
			}}),
		}})
		r.happened()
		r.exit("a", errBoom)
		for i := range 3 {
			node := r.child("a")
			assert.Equal(t, supervisor.Restarting, node.State)
			assert.Equal(t, i+1, node.Restarts)
			assert.Equal(t, i+1, r.tree().Used)
			assert.Equal(t, time.Now().Add(time.Second), node.NextTry)
			time.Sleep(time.Second)
		}
		node := r.child("a")
		assert.Equal(t, supervisor.Running, node.State)
		assert.Equal(t, 4, node.Incarnation)
		assert.True(t, node.NextTry.IsZero())
		assert.Equal(t, []string{
			"exited a#1", "restart_scheduled a#1", "start_failed a#2", "restart_scheduled a#2",
			"start_failed a#3", "restart_scheduled a#3", "started a#4",
		}, r.happened())
		r.over()
	})
}

func TestS19RestartThatFailsForEverGivesUpAfterTheIntensity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{
			r.spec("a", kid{start: func(_ context.Context, n int) error {
				if n > 1 {
					return errBoom
				}
				return nil
			}}),
			r.spec("b", kid{}),
		}})
		r.exit("a", errBoom)
		assert.ErrorIs(t, r.ends(), errBoom)
		assert.Len(t, r.startsOf("a"), 4, "one start and three restarts")
		assert.Zero(t, time.Since(r.begun))
		r.over()
	})
}

func TestFailedRestartOfATransientChildIsNoCleanEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{
			r.spec("a", kid{start: func(_ context.Context, n int) error {
				if n == 2 {
					return fmt.Errorf("open store: %w", actor.ErrShutdown)
				}
				return nil
			}}, restart(supervisor.Transient)),
		}})
		r.exit("a", errBoom)
		assert.Equal(t, supervisor.Running, r.state("a"))
		r.over()
	})
}

func TestS38ChildrenThatCrashAtOnceAreIncidentsOfTheirOwn(t *testing.T) {
	for _, n := range []int{3, 4} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			var specs []supervisor.ChildSpec
			for i := range n {
				specs = append(specs, r.spec(fmt.Sprint("c", i), kid{}))
			}
			r.start(supervisor.Options{Children: specs})
			for i := range n {
				r.ref(fmt.Sprint("c", i)).Kill()
			}
			synctest.Wait()
			if n == 4 {
				assert.ErrorIs(t, r.ends(), actor.ErrKilled)
			} else {
				for i := range n {
					assert.Len(t, r.startsOf(fmt.Sprint("c", i)), 2)
				}
				assert.Equal(t, n, r.tree().Used)
			}
			r.over()
		})
	}
}

func TestS40TenThousandChildrenThatCrashAtOnceAreEachRestartedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 10_000
		r := newRig(t)
		r.start(supervisor.Options{Intensity: intensity(n, time.Second), Independent: true})
		for i := range n {
			r.add(r.spec(fmt.Sprint("c", i), kid{}))
		}
		r.mu.Lock()
		refs := r.refs
		r.refs = make(map[string]actor.Ref[message], n)
		r.mu.Unlock()
		for _, ref := range refs {
			ref.Kill()
		}
		synctest.Wait()
		tree := r.tree()
		require.Len(t, tree.Children, n)
		for _, child := range tree.Children {
			require.Equal(t, supervisor.Running, child.State)
			require.Equal(t, 2, child.Incarnation)
		}
		assert.Equal(t, n, tree.Used)
		r.over()
	})
}

func TestS53PanicOnAMessageStartsFreshAndDeliversItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var letters []any
		r := newRig(t)
		r.sys = actor.NewSystem(actor.Options{DeadLetter: func(_ string, m any) { letters = append(letters, m) }})
		type state struct{ handled []int }
		current := &state{}
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{
			r.spec("a", kid{started: func(*actor.Context[message], int) error { current = &state{}; return nil }}),
		}})
		old := r.ref("a")
		handle := func(n int) message {
			return func(*actor.Context[message]) {
				current.handled = append(current.handled, n)
				if n == 2 {
					panic("two")
				}
			}
		}
		require.NoError(t, old.Send(handle(1)))
		require.NoError(t, old.Send(handle(2)))
		synctest.Wait()
		assert.ErrorIs(t, old.Send(handle(3)), actor.ErrStopped, "the address was the old incarnation's")
		for n := 3; n <= 6; n++ {
			require.NoError(t, r.ref("a").Send(handle(n)))
		}
		synctest.Wait()
		assert.Equal(t, []int{3, 4, 5, 6}, current.handled)
		assert.Empty(t, letters)
		r.over()
	})
}

func TestS62TenThousandFailuresInARowCostTheSameEach(t *testing.T) {
	const storm, sample = 10_000, 1000
	sys := actor.NewSystem(actor.Options{})
	n := 0
	var stack, heap, allocs []uint64
	done := make(chan struct{})
	sup, err := supervisor.Start(t.Context(), sys, supervisor.Options{
		Name: "root", Intensity: intensity(storm, time.Hour),
		OnEvent: func(e supervisor.Event) {
			if e.Kind != supervisor.RestartScheduled {
				return
			}
			if n++; n%sample == 0 {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				stack, heap = append(stack, m.StackInuse), append(heap, m.HeapAlloc)
				allocs = append(allocs, m.Mallocs)
			}
		},
		Children: []supervisor.ChildSpec{{ID: "a", Start: func(context.Context) (actor.PID, error) {
			ref, err := actor.Spawn(sys, actor.Spec{Name: "root/a"}, &dying{})
			return ref.PID, err
		}}},
	})
	require.NoError(t, err)
	go func() { <-sup.PID().Done(); close(done) }() // ends with the supervisor
	select {
	case <-done:
	case <-time.After(time.Minute):
		require.FailNow(t, "the storm did not end", "%d restarts", n)
	}
	assert.ErrorIs(t, sup.PID().Reason(), errBoom)
	assert.Equal(t, storm, n)
	// Memory: the window holds its 24 bytes a restart, and nothing else grows.
	assert.Less(t, heap[len(heap)-1], heap[0]+storm*24*4+1<<20)
	assert.Less(t, stack[len(stack)-1], stack[0]+1<<20)
	// Work, counted in allocations. Time is for the benchmark, which shows the first and the last thousand.
	first, last := allocs[1]-allocs[0], allocs[len(allocs)-1]-allocs[len(allocs)-2]
	assert.Less(t, last, first+first/4, "restarts 1,000 to 2,000, and 9,000 to 10,000")
}

// dying ends as soon as it has started.
type dying struct{}

func (*dying) Receive(*actor.Context[message], message) {}
func (*dying) Started(*actor.Context[message]) error    { return errBoom }
