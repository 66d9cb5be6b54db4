package supervisor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/supervisor"
)

func TestS41BackoffDoublesUpToItsCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{
			Intensity: intensity(100, time.Hour),
			Backoff:   supervisor.Backoff{Initial: 100 * time.Millisecond, Max: time.Second},
			Children:  []supervisor.ChildSpec{r.spec("a", kid{})},
		})
		want := []time.Duration{0}
		for _, ms := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
			delay := ms * time.Millisecond
			r.takeEvents()
			r.exit("a", errBoom)
			events := r.takeEvents()
			require.Len(t, events, 2)
			assert.Equal(t, delay, events[1].Delay)
			assert.Equal(t, time.Now().Add(delay), r.child("a").NextTry)
			want = append(want, time.Since(r.begun)+delay)
			time.Sleep(delay)
		}
		assert.Equal(t, want, r.startsOf("a"))
		r.over()
	})
}

func TestS42BackoffStartsOverAfterAStableRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{
			Intensity: intensity(100, time.Second),
			Backoff:   supervisor.Backoff{Initial: time.Second, ResetAfter: 10 * time.Second},
			Children:  []supervisor.ChildSpec{r.spec("a", kid{})},
		})
		delayAfter := func(run time.Duration) time.Duration {
			time.Sleep(run)
			r.exit("a", errBoom)
			delay := time.Until(r.child("a").NextTry)
			time.Sleep(delay)
			return delay
		}
		assert.Equal(t, time.Second, delayAfter(0))
		assert.Equal(t, 2*time.Second, delayAfter(10*time.Second-1))
		assert.Equal(t, 4*time.Second, delayAfter(0))
		assert.Equal(t, time.Second, delayAfter(10*time.Second))
		assert.Equal(t, 2*time.Second, delayAfter(0))
		r.over()
	})
}

func TestBackoffOfAChildReplacesTheSupervisors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Backoff: steady, Children: []supervisor.ChildSpec{
			r.spec("own", kid{}, func(s *supervisor.ChildSpec) { s.Backoff = &supervisor.Backoff{Initial: time.Minute} }),
			r.spec("none", kid{}, func(s *supervisor.ChildSpec) { s.Backoff = &supervisor.Backoff{} }),
			r.spec("shared", kid{}),
		}})
		for _, id := range []string{"own", "none", "shared"} {
			r.exit(id, errBoom)
		}
		time.Sleep(2 * time.Minute)
		assert.Equal(t, []time.Duration{0, time.Minute}, r.startsOf("own"))
		assert.Equal(t, []time.Duration{0, 0}, r.startsOf("none"))
		assert.Equal(t, []time.Duration{0, time.Second}, r.startsOf("shared"))
		r.over()
	})
}

// Also when the delay has reached its cap.
func TestS60JitterKeepsChildrenThatFailTogetherOutOfStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{
			Intensity: intensity(100, time.Hour),
			Backoff:   supervisor.Backoff{Initial: time.Second, Max: 2 * time.Second, Jitter: 0.5},
			Children:  []supervisor.ChildSpec{r.spec("a", kid{}), r.spec("b", kid{})},
		})
		for range 20 {
			r.exit("a", errBoom)
			r.exit("b", errBoom)
			a, b := r.child("a").NextTry, r.child("b").NextTry
			assert.NotEqual(t, a, b)
			for _, at := range []time.Time{a, b} {
				assert.GreaterOrEqual(t, time.Until(at), 500*time.Millisecond)
				assert.LessOrEqual(t, time.Until(at), 2*time.Second)
			}
			time.Sleep(2 * time.Second)
		}
		r.over()
	})
}

func TestS43ChildThatExhaustsAnIntensityOfItsOwnIsParkedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Intensity: intensity(0, time.Hour), Children: []supervisor.ChildSpec{
			r.spec("a", kid{}),
			r.spec("b", kid{}, func(s *supervisor.ChildSpec) {
				s.Intensity, s.OnExhausted = intensity(2, time.Minute), supervisor.Fail
			}),
		}})
		a := r.ref("a")
		for range 2 {
			r.exit("b", errBoom)
		}
		assert.Equal(t, 2, r.child("b").Used)
		r.happened()
		r.exit("b", errBoom)
		node := r.child("b")
		assert.Equal(t, supervisor.Failed, node.State)
		var exhausted *supervisor.ExhaustedError
		require.ErrorAs(t, node.Reason, &exhausted)
		assert.Equal(t, *intensity(2, time.Minute), exhausted.Intensity)
		assert.ErrorIs(t, node.Reason, errBoom)
		assert.Equal(t, []string{"exited b#3", "parked b#3"}, r.happened())
		assert.Zero(t, r.tree().Used)
		assert.Equal(t, a.PID, r.child("a").PID)
		time.Sleep(time.Hour)
		assert.Len(t, r.startsOf("b"), 3)

		// Forgiven by hand, it has its whole intensity again.
		_, err := r.sup.RestartChild(t.Context(), "b")
		require.NoError(t, err)
		for range 2 {
			r.exit("b", errBoom)
		}
		assert.Equal(t, supervisor.Running, r.state("b"))
		r.exit("b", errBoom)
		assert.Equal(t, supervisor.Failed, r.state("b"))
		r.over()
	})
}

func TestChildThatExhaustsAnIntensityOfItsOwnEscalatesUnlessTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Intensity: intensity(0, time.Hour), Children: []supervisor.ChildSpec{
			r.spec("b", kid{}, func(s *supervisor.ChildSpec) { s.Intensity = intensity(2, time.Minute) }),
		}})
		for range 3 {
			r.exit("b", errBoom)
		}
		var exhausted *supervisor.ExhaustedError
		require.ErrorAs(t, r.ends(), &exhausted)
		assert.Equal(t, 2, exhausted.Intensity.MaxRestarts)
		r.over()
	})
}

func TestS45FailureThatWouldRepeatForEverParksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Intensity: intensity(0, time.Hour), Children: []supervisor.ChildSpec{
			r.spec("a", kid{}),
			r.spec("b", fails(errFlag), func(s *supervisor.ChildSpec) { s.RetryStart = true }),
		}})
		assert.Equal(t, supervisor.Failed, r.state("b"))
		r.exit("a", errFlag)
		node := r.child("a")
		assert.Equal(t, supervisor.Failed, node.State)
		assert.ErrorIs(t, node.Reason, errFlag)
		assert.Zero(t, node.Restarts)
		assert.Zero(t, r.tree().Used)
		assert.Equal(t, []string{"start_failed b#1", "parked b#1", "exited a#1", "parked a#1"}, r.happened()[1:])
		time.Sleep(time.Hour)
		assert.Len(t, r.startsOf("a"), 1)
		r.over()
	})
}
