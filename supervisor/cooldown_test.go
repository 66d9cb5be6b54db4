package supervisor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/supervisor"
)

func cooling(s *supervisor.ChildSpec) {
	s.Intensity, s.OnExhausted, s.Cooldown = intensity(1, 10*time.Second), supervisor.Cooldown, time.Minute
}

// exhaust brings a cooling child from running into its cooldown.
func (r *rig) exhaust(id string) {
	r.t.Helper()
	r.exit(id, errBoom)
	r.exit(id, errBoom)
	node := r.child(id)
	require.Equal(r.t, supervisor.Failed, node.State)
	require.Equal(r.t, time.Now().Add(time.Minute), node.NextTry)
	require.ErrorIs(r.t, node.Reason, errBoom)
}

func TestS44CooldownIsFollowedByOneTry(t *testing.T) {
	for _, strategy := range []supervisor.Strategy{supervisor.OneForOne, supervisor.OneForAll} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.start(supervisor.Options{Strategy: strategy, Intensity: intensity(0, time.Hour), Children: []supervisor.ChildSpec{
				r.spec("a", kid{}, cooling), r.spec("b", kid{}),
			}})
			r.exhaust("a")
			b := r.ref("b").PID
			time.Sleep(time.Minute - time.Nanosecond)
			assert.Len(t, r.startsOf("a"), 2)
			time.Sleep(time.Nanosecond)
			assert.Len(t, r.startsOf("a"), 3)
			node := r.child("a")
			assert.Equal(t, supervisor.Running, node.State)
			assert.NoError(t, node.Reason)
			assert.True(t, node.NextTry.IsZero())

			// It ends on trial: parked again, for as long.
			time.Sleep(10*time.Second - time.Nanosecond)
			r.exit("a", errBoom)
			assert.Equal(t, supervisor.Failed, r.state("a"))
			assert.Equal(t, time.Now().Add(time.Minute), r.child("a").NextTry)

			// It stands its trial: its past is forgotten.
			time.Sleep(time.Minute + 10*time.Second)
			r.exit("a", errBoom)
			assert.Equal(t, supervisor.Running, r.state("a"))
			assert.Equal(t, 1, r.child("a").Used)
			r.exit("a", errBoom)
			assert.Equal(t, supervisor.Failed, r.state("a"))
			if strategy == supervisor.OneForOne {
				assert.Equal(t, b, r.child("b").PID)
			}
			assert.Zero(t, r.tree().Used)
			r.over()
		})
	}
}

func TestS44TryThatDoesNotStartParksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("a", failsFrom(3, 3), cooling)}})
		r.exhaust("a")
		r.takeEvents()
		for i := range 3 {
			time.Sleep(time.Minute)
			assert.Equal(t, supervisor.Failed, r.state("a"))
			assert.Len(t, r.startsOf("a"), 3+i, "one try")
			events := r.takeEvents()
			require.Len(t, events, 2)
			assert.Equal(t, supervisor.ChildParked, events[1].Kind)
			assert.Equal(t, time.Minute, events[1].Delay)
		}
		time.Sleep(time.Minute)
		assert.Equal(t, supervisor.Running, r.state("a"))
		r.over()
	})
}

func TestS44CooldownIsTakenBack(t *testing.T) {
	for _, how := range []string{"terminate", "delete", "restart", "recycle", "stop"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.start(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("a", kid{}, cooling)}})
				r.exhaust("a")
				var err error
				starts := 2
				switch how {
				case "terminate":
					err = r.sup.TerminateChild(t.Context(), "a")
					assert.True(t, r.child("a").NextTry.IsZero())
				case "delete":
					err = r.sup.DeleteChild(t.Context(), "a")
				case "restart":
					_, err = r.sup.RestartChild(t.Context(), "a")
					starts++
				case "recycle":
					_, err = r.sup.RecycleChild(t.Context(), "a")
					starts++
				case "stop":
					err = r.sup.Stop(t.Context())
				}
				require.NoError(t, err)
				time.Sleep(time.Hour)
				assert.Len(t, r.startsOf("a"), starts)
				if how == "restart" { // with its whole intensity
					r.exit("a", errBoom)
					assert.Equal(t, supervisor.Running, r.state("a"))
				}
				r.over()
			})
		})
	}
}

func TestSlowChildGoesOnAtTheCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Intensity: intensity(0, time.Hour), Children: []supervisor.ChildSpec{
			r.spec("a", kid{}, func(s *supervisor.ChildSpec) {
				s.Intensity, s.OnExhausted = intensity(2, time.Hour), supervisor.Slow
				s.Backoff = &supervisor.Backoff{Max: 10 * time.Second}
			}),
		}})
		for range 5 {
			r.exit("a", errBoom)
			time.Sleep(10 * time.Second)
		}
		assert.Equal(t, []time.Duration{0, 0, 10 * time.Second, 30 * time.Second, 40 * time.Second, 50 * time.Second}, r.startsOf("a"))
		r.over()
	})
}

func TestResetForgivesTheWindowAndTheBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		double := supervisor.Backoff{Initial: time.Second}
		r.start(supervisor.Options{Intensity: intensity(2, time.Hour), Backoff: double, Children: []supervisor.ChildSpec{
			r.spec("shared", kid{}),
			r.spec("own", kid{}, func(s *supervisor.ChildSpec) {
				s.Intensity, s.OnExhausted = intensity(2, time.Hour), supervisor.Fail
			}),
		}})
		for _, id := range []string{"shared", "own"} {
			r.exit(id, errBoom)
			time.Sleep(time.Second)
			r.exit(id, errBoom)
			time.Sleep(2 * time.Second)
		}
		r.happened()
		require.NoError(t, r.sup.Reset(t.Context(), "own"))
		assert.Zero(t, r.child("own").Used)
		assert.Equal(t, 2, r.tree().Used)
		require.NoError(t, r.sup.Reset(t.Context(), "shared"))
		assert.Equal(t, 2, r.tree().Used, "its siblings' as well")
		require.NoError(t, r.sup.Reset(t.Context(), ""))
		assert.Zero(t, r.tree().Used)
		assert.ErrorIs(t, r.sup.Reset(t.Context(), "none"), supervisor.ErrNotFound)
		assert.Equal(t, []string{"reset own#3", "reset shared#3", "reset #0"}, r.happened())
		for _, id := range []string{"shared", "own"} {
			r.exit(id, errBoom)
			assert.Equal(t, time.Now().Add(time.Second), r.child(id).NextTry, "the first delay")
			time.Sleep(time.Second)
		}
		r.over()
	})
}

func TestLastFiveExitsAndLiveWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Intensity: intensity(100, 10*time.Second), Children: []supervisor.ChildSpec{
			r.spec("a", kid{start: func(_ context.Context, n int) error {
				if n == 8 {
					return errFlagless
				}
				return nil
			}}),
		}})
		assert.Empty(t, r.child("a").LastExits)
		for i := range 7 {
			time.Sleep(time.Second)
			r.exit("a", []error{errBoom, nil}[i%2])
		}
		node := r.child("a")
		require.Len(t, node.LastExits, 5)
		assert.Equal(t, *node.LastExit, node.LastExits[0])
		at := func(s int) time.Time { return r.begun.Add(time.Duration(s) * time.Second) }
		assert.Equal(t, []supervisor.Exit{
			{At: at(7), Reason: errFlagless}, {At: at(7), Reason: errBoom}, {At: at(6)}, {At: at(5), Reason: errBoom}, {At: at(4)},
		}, node.LastExits)
		assert.Equal(t, at(7), node.Since, "age in this state")
		assert.Equal(t, 8, r.tree().Used)
		time.Sleep(7 * time.Second)
		assert.Equal(t, 5, r.tree().Used, "restarts leave the window as time passes")
		time.Sleep(time.Minute)
		assert.Zero(t, r.tree().Used)
		r.over()
	})
}
