package supervisor_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

func TestS37PanicInStartRunAndStopIsAnExitWithItsStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Intensity: intensity(10, time.Minute), Children: []supervisor.ChildSpec{
			r.spec("a", kid{
				start: func(_ context.Context, n int) error {
					if n == 2 {
						panic("in start")
					}
					return nil
				},
				started: func(_ *actor.Context[message], n int) error {
					if n == 3 {
						panic("in Started")
					}
					return nil
				},
				stopped: func(*actor.Context[message], error) { panic("in Stopped") },
			}),
		}})
		require.NoError(t, r.ref("a").Send(func(*actor.Context[message]) { panic("in Receive") }))
		synctest.Wait()
		assert.Equal(t, supervisor.Running, r.state("a"))
		var wheres []string
		for _, e := range r.takeEvents() {
			if p, ok := errors.AsType[*actor.PanicError](e.Reason); ok && e.Kind != supervisor.RestartScheduled {
				wheres = append(wheres, p.Where)
				assert.Contains(t, string(p.Stack), "observe_test.go", p.Where)
			}
		}
		assert.Equal(t, []string{"Receive", "start a", "Started"}, wheres)
		require.NoError(t, r.sup.TerminateChild(t.Context(), "a"))
		assert.Equal(t, supervisor.Stopped, r.state("a"))
		r.over()
	})
}

func TestS49TreeShowsAChildThatHangsBusySinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{
			r.spec("a", kid{}),
			r.inner("root/in", "in", supervisor.Options{Children: []supervisor.ChildSpec{r.specUnder("root/in", "x", kid{})}}, nil),
		}})
		release := r.deafen("x")
		time.Sleep(time.Minute)
		var tree supervisor.Node
		assert.Zero(t, elapsed(func() { tree = r.tree() }))
		hanging := tree.Children[1].Children[0]
		assert.Equal(t, supervisor.Running, hanging.State)
		assert.Equal(t, actor.Busy, hanging.PID.Info().State)
		assert.Equal(t, time.Minute, hanging.PID.Info().BusyFor)
		assert.Equal(t, r.begun, hanging.Since)
		release()
		r.over()
	})
}

func TestS50MonitorTellsOfEachIncarnationOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("a", kid{}), r.spec("watcher", kid{})}})
		var downs []actor.Down
		watch := func(pid actor.PID) {
			require.NoError(t, r.ref("watcher").Send(func(c *actor.Context[message]) {
				c.Monitor(pid, func(d actor.Down) message {
					return func(*actor.Context[message]) { downs = append(downs, d) }
				})
			}))
			synctest.Wait()
		}
		first := r.ref("a").PID
		watch(first)
		r.exit("a", errBoom)
		second := r.ref("a").PID
		require.NotEqual(t, first, second)
		watch(second)
		watch(first) // dead before
		r.exit("a", nil)
		assert.Equal(t, []actor.Down{{PID: first, Reason: errBoom}, {PID: first, Reason: errBoom}, {PID: second}}, downs)
		r.over()
	})
}

func TestS69SubscriberThatPanicsDisturbsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		n := 0
		r := newRig(t)
		r.start(supervisor.Options{
			Logger:   zerolog.New(&log),
			OnEvent:  func(supervisor.Event) { n++; panic("subscriber") },
			Children: []supervisor.ChildSpec{r.spec("a", kid{})},
		})
		r.exit("a", errBoom)
		assert.Equal(t, supervisor.Running, r.state("a"))
		assert.Equal(t, 4, n)
		assert.Contains(t, log.String(), `"panic":"subscriber"`)
		r.over()
	})
}

// What no recover can contain: the children must not outlive it.
func TestSubscriberThatEndsItsGoroutineEndsTheSupervisorWithItsChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{
			OnEvent: func(e supervisor.Event) {
				if e.Kind == supervisor.ChildExited {
					runtime.Goexit()
				}
			},
			Children: []supervisor.ChildSpec{r.spec("a", kid{}), r.spec("b", kid{})},
		})
		b := r.ref("b")
		r.exit("a", errBoom)
		assert.ErrorIs(t, r.ends(), actor.ErrGoexit)
		assert.False(t, b.Alive())
		r.over()
	})
}

func TestS69IdleSupervisorDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Backoff: steady, Children: []supervisor.ChildSpec{r.spec("a", kid{}), r.spec("b", kid{})}})
		r.exit("a", errBoom)
		time.Sleep(time.Minute)
		synctest.Wait()
		before := r.sup.PID().Info().Handled
		time.Sleep(1000 * time.Hour)
		synctest.Wait()
		assert.Equal(t, before, r.sup.PID().Info().Handled)
		r.over()
	})
}

func TestTreeAndChildHeedTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		r := newRig(t)
		r.start(supervisor.Options{
			OnEvent: func(e supervisor.Event) {
				if e.Kind == supervisor.ChildExited {
					<-gate
				}
			},
			Children: []supervisor.ChildSpec{r.spec("a", kid{})},
		})
		require.NoError(t, r.ref("a").Send(func(c *actor.Context[message]) { c.Exit(nil) }))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := r.sup.Tree(ctx)
		assert.ErrorIs(t, err, actor.ErrTimeout)
		_, err = r.sup.Child(ctx, "a")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorIs(t, r.sup.Stop(ctx), context.DeadlineExceeded)
		close(gate)
		r.over()
	})
}
