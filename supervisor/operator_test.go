package supervisor_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

// states are ways to bring a child "x" into each state. Each stays there for an hour.
var states = []struct {
	name  string
	state supervisor.State
	kid   kid
	into  func(r *rig)
}{
	{"starting", supervisor.Starting, slowStart(time.Hour), func(*rig) {}},
	{"running", supervisor.Running, kid{}, func(*rig) {}},
	{"waiting", supervisor.Restarting, kid{}, func(r *rig) { r.exit("x", errBoom) }},
	{"restarting", supervisor.Restarting, kid{start: func(ctx context.Context, n int) error {
		if n == 1 {
			return nil
		}
		return slowStart(time.Hour).start(ctx, n)
	}}, func(r *rig) { r.exit("x", errBoom); time.Sleep(time.Hour); synctest.Wait() }},
	{"stopping", supervisor.Stopping, slowStop(time.Hour), func(r *rig) {
		go func() { _ = r.sup.TerminateChild(context.Background(), "x") }() // ends when the child has stopped
	}},
	{"terminated", supervisor.Stopped, kid{}, func(r *rig) { require.NoError(r.t, r.sup.TerminateChild(r.t.Context(), "x")) }},
	{"finished", supervisor.Stopped, kid{}, func(r *rig) { r.exit("x", nil) }},
	{"failed", supervisor.Failed, kid{}, func(r *rig) { r.exit("x", errFlag) }},
}

// inEachState runs a test with a transient child "x" in each state.
func inEachState(t *testing.T, test func(t *testing.T, r *rig, state string)) {
	for _, s := range states {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				hour := supervisor.Backoff{Initial: time.Hour, Max: time.Hour}
				r.start(supervisor.Options{Backoff: hour, Children: []supervisor.ChildSpec{r.spec("sibling", kid{})}})
				added := inTheBackground(func() error {
					_, err := r.sup.StartChild(context.Background(), r.spec("x", s.kid, restart(supervisor.Transient), shutdown(supervisor.Infinity)))
					return err
				})
				synctest.Wait()
				s.into(r)
				require.Equal(t, s.state, r.state("x"))
				r.happened()
				test(t, r, s.name)
				r.over()
				<-added // whatever came of it, it was answered
			})
		})
	}
}

func TestS25S26TerminateInEachState(t *testing.T) {
	inEachState(t, func(t *testing.T, r *rig, state string) {
		starts := len(r.startsOf("x"))
		took := elapsed(func() { require.NoError(t, r.sup.TerminateChild(t.Context(), "x")) })
		if state == "stopping" {
			assert.Equal(t, time.Hour, took)
		} else {
			assert.Zero(t, took)
		}
		node := r.child("x")
		assert.Equal(t, supervisor.Stopped, node.State)
		assert.Equal(t, actor.PID{}, node.PID)
		assert.NoError(t, node.Reason)
		assert.True(t, node.NextTry.IsZero())
		want := []string{fmt.Sprintf("stopped x#%d", node.Incarnation)}
		if state == "terminated" || state == "finished" {
			want = nil
		}
		assert.Equal(t, want, r.happened())
		// No process appears later.
		time.Sleep(10 * time.Hour)
		assert.Len(t, r.startsOf("x"), starts)
		assert.NoError(t, r.sup.TerminateChild(t.Context(), "x"), "again")
		assert.NoError(t, r.sup.DeleteChild(t.Context(), "x"))
	})
}

func TestS25RestartInEachState(t *testing.T) {
	inEachState(t, func(t *testing.T, r *rig, state string) {
		before := r.child("x")
		var pid actor.PID
		var err error
		assert.Zero(t, elapsed(func() { pid, err = r.sup.RestartChild(t.Context(), "x") }))
		switch state {
		case "starting", "running", "stopping":
			assert.ErrorIs(t, err, supervisor.ErrRunning)
			assert.Equal(t, before, r.child("x"))
		case "waiting", "restarting":
			assert.ErrorIs(t, err, supervisor.ErrRestarting)
			assert.Equal(t, before, r.child("x"))
		default:
			require.NoError(t, err)
			assert.Equal(t, pid, r.child("x").PID)
			assert.Equal(t, supervisor.Running, r.state("x"))
			assert.Equal(t, before.Restarts, r.child("x").Restarts)
		}
	})
}

func TestS25S27DeleteInEachState(t *testing.T) {
	inEachState(t, func(t *testing.T, r *rig, state string) {
		before := r.child("x")
		err := r.sup.DeleteChild(t.Context(), "x")
		switch state {
		case "starting", "running", "stopping":
			assert.ErrorIs(t, err, supervisor.ErrRunning)
			assert.Equal(t, before, r.child("x"))
		case "waiting", "restarting":
			assert.ErrorIs(t, err, supervisor.ErrRestarting)
			assert.Equal(t, before, r.child("x"))
		default:
			require.NoError(t, err)
			_, err = r.sup.Child(t.Context(), "x")
			assert.ErrorIs(t, err, supervisor.ErrNotFound)
			assert.Len(t, r.tree().Children, 1)
			r.add(r.spec("x", kid{}))
		}
		assert.Empty(t, r.startsOf("sibling")[1:])
	})
}

func TestS24StartOfAKnownIDInEachState(t *testing.T) {
	inEachState(t, func(t *testing.T, r *rig, state string) {
		before := r.child("x")
		_, err := r.sup.StartChild(t.Context(), r.spec("x", kid{}))
		var already *supervisor.AlreadyStartedError
		switch state {
		case "terminated", "finished", "failed":
			assert.ErrorIs(t, err, supervisor.ErrAlreadyPresent)
		default:
			assert.ErrorIs(t, err, supervisor.ErrAlreadyStarted)
			require.ErrorAs(t, err, &already)
			assert.Equal(t, before.PID, already.PID)
		}
		assert.Equal(t, before, r.child("x"))
	})
}

func TestS46RecycleInEachState(t *testing.T) {
	inEachState(t, func(t *testing.T, r *rig, state string) {
		before, used := r.child("x"), r.tree().Used
		var pid actor.PID
		var err error
		took := elapsed(func() { pid, err = r.sup.RecycleChild(t.Context(), "x") })
		require.NoError(t, err)
		node := r.child("x")
		assert.Equal(t, supervisor.Running, node.State)
		assert.Equal(t, pid, node.PID)
		assert.Equal(t, before.Restarts, node.Restarts, "not counted")
		assert.Equal(t, used, r.tree().Used, "not charged")
		assert.NoError(t, node.Reason)
		assert.True(t, node.NextTry.IsZero())
		switch state {
		case "starting", "restarting": // the start at work is joined
			assert.Equal(t, time.Hour, took)
			assert.Equal(t, before.Incarnation, node.Incarnation)
		case "stopping":
			assert.Equal(t, time.Hour, took)
			assert.Equal(t, before.Incarnation+1, node.Incarnation)
		default:
			assert.Zero(t, took)
			assert.Equal(t, before.Incarnation+1, node.Incarnation)
		}
		want := []string{fmt.Sprintf("started x#%d", node.Incarnation)}
		if state == "running" || state == "stopping" {
			want = append([]string{fmt.Sprintf("stopped x#%d", before.Incarnation)}, want...)
		}
		assert.Equal(t, want, r.happened())
		time.Sleep(10 * time.Hour)
		assert.Equal(t, node, r.child("x"), "nothing comes after")
	})
}

func TestUnknownIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{})
		_, err := r.sup.RestartChild(t.Context(), "none")
		assert.ErrorIs(t, err, supervisor.ErrNotFound)
		assert.EqualError(t, err, "no such child: none of root")
		_, err = r.sup.RecycleChild(t.Context(), "none")
		assert.ErrorIs(t, err, supervisor.ErrNotFound)
		assert.ErrorIs(t, r.sup.TerminateChild(t.Context(), "none"), supervisor.ErrNotFound)
		assert.ErrorIs(t, r.sup.DeleteChild(t.Context(), "none"), supervisor.ErrNotFound)
		_, err = r.sup.StartChild(t.Context(), supervisor.ChildSpec{ID: "x"})
		assert.ErrorIs(t, err, supervisor.ErrInvalid)
		r.over()
	})
}

func TestTemporaryChildrenAreForgottenWhenTerminated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{})
		r.add(r.spec("running", kid{}, restart(supervisor.Temporary)))
		added := inTheBackground(func() error {
			_, err := r.sup.StartChild(t.Context(), r.spec("starting", slowStart(time.Hour), restart(supervisor.Temporary)))
			return err
		})
		synctest.Wait()
		require.NoError(t, r.sup.TerminateChild(t.Context(), "running"))
		require.NoError(t, r.sup.TerminateChild(t.Context(), "starting"))
		assert.ErrorIs(t, <-added, supervisor.ErrTerminated)
		assert.Empty(t, r.tree().Children)
		// Recycled they stay.
		r.add(r.spec("running", kid{}, restart(supervisor.Temporary)))
		_, err := r.sup.RecycleChild(t.Context(), "running")
		require.NoError(t, err)
		assert.Equal(t, 2, r.child("running").Incarnation)
		r.over()
	})
}

func TestS52RecyclingIsNeitherDelayedNorCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Backoff: steady, Intensity: intensity(0, time.Hour), Children: []supervisor.ChildSpec{r.spec("a", kid{})}})
		assert.Zero(t, elapsed(func() {
			for range 100 {
				_, err := r.sup.RecycleChild(t.Context(), "a")
				require.NoError(t, err)
			}
		}))
		assert.Equal(t, 101, r.child("a").Incarnation)
		assert.Zero(t, r.child("a").Restarts)
		assert.Zero(t, r.tree().Used)
		r.over()
	})
}

func TestRecycledChildThatDoesNotStartIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Backoff: steady, Children: []supervisor.ChildSpec{
			r.spec("a", kid{start: func(_ context.Context, n int) error {
				if n == 2 {
					return errBoom
				}
				return nil
			}}),
		}})
		_, err := r.sup.RecycleChild(t.Context(), "a")
		assert.ErrorIs(t, err, errBoom, "the operator learns it")
		assert.Equal(t, supervisor.Restarting, r.state("a"))
		time.Sleep(time.Second)
		assert.Equal(t, supervisor.Running, r.state("a"), "the child was wanted")
		r.over()
	})
}

func TestRestartOnRequestIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := true
		r := newRig(t)
		r.start(supervisor.Options{Intensity: intensity(0, time.Second), Children: []supervisor.ChildSpec{
			r.spec("a", kid{start: func(_ context.Context, n int) error {
				if n > 1 && bad {
					return errBoom
				}
				return nil
			}}),
		}})
		for _, state := range []supervisor.State{supervisor.Stopped, supervisor.Failed} {
			bad = true
			if state == supervisor.Stopped {
				require.NoError(t, r.sup.TerminateChild(t.Context(), "a"))
			} else {
				r.exit("a", errFlag)
			}
			for range 3 {
				_, err := r.sup.RestartChild(t.Context(), "a")
				assert.ErrorIs(t, err, errBoom)
				assert.Equal(t, state, r.state("a"), "as before")
			}
			if state == supervisor.Failed {
				assert.ErrorIs(t, r.child("a").Reason, errBoom)
			}
			bad = false
			_, err := r.sup.RestartChild(t.Context(), "a")
			require.NoError(t, err)
			assert.Equal(t, supervisor.Running, r.state("a"))
			assert.NoError(t, r.child("a").Reason)
		}
		assert.Zero(t, r.tree().Used)
		r.over()
	})
}

func TestTerminateOvertakesARecycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("a", slowStop(time.Second))}})
		recycled := inTheBackground(func() error { _, err := r.sup.RecycleChild(t.Context(), "a"); return err })
		synctest.Wait()
		assert.NoError(t, r.sup.TerminateChild(t.Context(), "a"))
		assert.ErrorIs(t, <-recycled, supervisor.ErrTerminated)
		assert.Equal(t, supervisor.Stopped, r.state("a"))
		assert.Len(t, r.startsOf("a"), 1)

		// And the other way round the later wish counts too.
		_, err := r.sup.RestartChild(t.Context(), "a")
		require.NoError(t, err)
		terminated := inTheBackground(func() error { return r.sup.TerminateChild(t.Context(), "a") })
		synctest.Wait()
		_, err = r.sup.RecycleChild(t.Context(), "a")
		assert.NoError(t, err)
		assert.NoError(t, <-terminated)
		assert.Equal(t, supervisor.Running, r.state("a"))
		r.over()
	})
}
