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

// template makes children that behave as k.
func (r *rig) template(k kid, edit ...func(*supervisor.ChildSpec)) supervisor.Options {
	t := &supervisor.Template{Start: func(ctx context.Context, id string, args any) (actor.PID, error) {
		if args != nil {
			r.note("args %v", args)
		}
		return r.spec(id, k).Start(ctx)
	}}
	for _, e := range edit {
		e(&t.Spec)
	}
	return supervisor.Options{Strategy: supervisor.SimpleOneForOne, Template: t}
}

func (r *rig) instance(id string, args any) actor.PID {
	r.t.Helper()
	pid, err := r.sup.StartInstance(r.t.Context(), id, args)
	require.NoError(r.t, err)
	return pid
}

func TestInstancesOfATemplate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(r.template(kid{}))
		one, two, named := r.instance("", 1), r.instance("", 2), r.instance("named", nil)
		assert.Equal(t, []string{"args 1", "start child-1", "args 2", "start child-2", "start named"}, r.notes())
		assert.Equal(t, one, r.child("child-1").PID)
		assert.Equal(t, two, r.child("child-2").PID)
		assert.Equal(t, named, r.child("named").PID)
		r.exit("child-2", errBoom)
		assert.Equal(t, []string{"stop child-2 boom", "args 2", "start child-2"}, r.notes(), "with the same arguments")
		assert.Equal(t, one, r.child("child-1").PID, "alone")
		count, err := r.sup.Count(t.Context())
		require.NoError(t, err)
		assert.Equal(t, supervisor.Count{Specs: 1, Active: 3, Workers: 3}, count)
		r.over()
	})
}

func TestS25CallsUnderSimpleOneForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(r.template(kid{}))
		ctx := t.Context()
		pid := r.instance("", nil)
		other := actor.NewSystem(actor.Options{})
		foreign, err := actor.Spawn(other, actor.Spec{Name: "x"}, &dying{})
		require.NoError(t, err)
		<-foreign.Done()

		spec, err := r.sup.SpecPID(ctx, pid)
		require.NoError(t, err)
		assert.Equal(t, "child-1", spec.ID)
		for _, nobody := range []actor.PID{foreign.PID, {}} {
			_, err = r.sup.SpecPID(ctx, nobody)
			assert.ErrorIs(t, err, supervisor.ErrNotFound)
		}
		_, err = r.sup.StartChild(ctx, r.spec("x", kid{}))
		assert.ErrorIs(t, err, supervisor.ErrSimpleOneForOne)
		assert.ErrorIs(t, r.sup.AddChild(ctx, r.spec("x", kid{})), supervisor.ErrSimpleOneForOne)
		_, err = r.sup.RestartChild(ctx, "child-1")
		assert.ErrorIs(t, err, supervisor.ErrSimpleOneForOne)
		assert.ErrorIs(t, r.sup.DeleteChild(ctx, "child-1"), supervisor.ErrSimpleOneForOne)
		err = r.sup.TerminateChild(ctx, "x")
		assert.ErrorIs(t, err, supervisor.ErrSimpleOneForOne)
		assert.ErrorIs(t, err, supervisor.ErrNotFound)
		assert.ErrorIs(t, r.sup.TerminatePID(ctx, r.sup.PID()), supervisor.ErrNotFound, "alive and foreign")
		assert.NoError(t, r.sup.TerminatePID(ctx, foreign.PID), "dead and unknown")
		assert.NoError(t, r.sup.TerminatePID(ctx, actor.PID{}))
		spec, err = r.sup.Spec(ctx, "child-1")
		require.NoError(t, err)
		assert.Equal(t, supervisor.Permanent, spec.Restart)
		_, err = r.sup.StartInstance(ctx, "child-1", nil)
		assert.ErrorIs(t, err, supervisor.ErrAlreadyStarted)
		_, err = r.sup.StartInstance(ctx, "a b", nil)
		assert.ErrorIs(t, err, supervisor.ErrInvalid)

		require.NoError(t, r.sup.TerminatePID(ctx, pid))
		assert.False(t, pid.Alive())
		assert.Empty(t, r.tree().Children, "nothing stays")
		r.instance("b", nil)
		require.NoError(t, r.sup.TerminateChild(ctx, "b"), "an id is as good as a PID")
		assert.Empty(t, r.tree().Children)
		r.over()

		r = newRig(t).start(supervisor.Options{})
		_, err = r.sup.StartInstance(ctx, "", nil)
		assert.ErrorIs(t, err, supervisor.ErrNoTemplate)
		r.over()
	})
}

func TestInstanceThatEndsForGoodLeavesNothing(t *testing.T) {
	for _, typ := range []supervisor.Restart{supervisor.Transient, supervisor.Temporary} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.start(r.template(kid{}, restart(typ)))
			r.instance("a", nil)
			r.exit("a", nil)
			assert.Empty(t, r.tree().Children)
			r.instance("a", nil)
			r.over()
		})
	}
}

func TestS56InstanceThatDoesNotStartLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, reason := range []error{errBoom, supervisor.ErrIgnore} {
			r := newRig(t)
			r.start(r.template(fails(reason)))
			pid, err := r.sup.StartInstance(t.Context(), "", nil)
			if reason == errBoom {
				assert.ErrorIs(t, err, errBoom)
			} else {
				assert.NoError(t, err)
			}
			assert.Equal(t, actor.PID{}, pid)
			assert.Empty(t, r.tree().Children)
			assert.Zero(t, r.tree().Used)
			r.over()
		}
	})
}

func TestInstanceIsTriedAgainWhenItsRestartFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		options := r.template(failsFrom(2, 2))
		options.Backoff = steady
		r.start(options)
		r.instance("a", nil)
		r.exit("a", errBoom)
		count, err := r.sup.Count(t.Context())
		require.NoError(t, err)
		assert.Equal(t, supervisor.Count{Specs: 1, Active: 0, Workers: 1}, count)
		time.Sleep(3 * time.Second)
		assert.Equal(t, supervisor.Running, r.state("a"))
		assert.Equal(t, 3, r.tree().Used)
		r.over()
	})
}

func TestS63InstancesAreStoppedAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(r.template(slowStop(200 * time.Millisecond)))
		for range 50 {
			r.instance("", nil)
		}
		assert.Equal(t, 200*time.Millisecond, elapsed(func() { require.NoError(t, r.sup.Stop(t.Context())) }))
		r.over()
	})
}

func TestS55InstancesStartSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(r.template(slowStart(50 * time.Millisecond)))
		var outcomes []<-chan error
		for range 8 {
			outcomes = append(outcomes, inTheBackground(func() error { _, err := r.sup.StartInstance(t.Context(), "", nil); return err }))
		}
		for _, outcome := range outcomes {
			assert.NoError(t, <-outcome)
		}
		assert.Equal(t, 50*time.Millisecond, time.Since(r.begun))
		r.over()
	})
}

func TestS70MaxChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{MaxChildren: 2, Children: r.plain("a")})
		r.add(r.spec("b", kid{}))
		_, err := r.sup.StartChild(t.Context(), r.spec("c", kid{}))
		var full *supervisor.MaxChildrenError
		require.ErrorAs(t, err, &full)
		assert.ErrorIs(t, err, supervisor.ErrMaxChildren)
		assert.Equal(t, supervisor.MaxChildrenError{Supervisor: "root", Child: "c", Max: 2}, *full)
		require.NoError(t, r.sup.TerminateChild(t.Context(), "b"))
		_, err = r.sup.StartChild(t.Context(), r.spec("c", kid{}))
		assert.ErrorIs(t, err, supervisor.ErrMaxChildren, "it may come back")
		require.NoError(t, r.sup.DeleteChild(t.Context(), "b"))
		r.add(r.spec("c", kid{}))
		r.over()

		r = newRig(t)
		options := r.template(kid{}, restart(supervisor.Temporary))
		options.MaxChildren = 1
		r.start(options)
		for range 3 {
			pid := r.instance("", nil)
			_, err := r.sup.StartInstance(t.Context(), "", nil)
			assert.ErrorIs(t, err, supervisor.ErrMaxChildren)
			require.NoError(t, r.sup.TerminatePID(t.Context(), pid))
		}
		r.over()
	})
}

// Not in ErrIgnore's table alone: what a caller sees of each call.
func TestS36IgnoredStartIsKeptAsStopped(t *testing.T) {
	ignored := kid{start: func(_ context.Context, n int) error {
		if n < 3 {
			return fmt.Errorf("nothing to do: %w", supervisor.ErrIgnore)
		}
		return nil
	}}
	for _, s := range []supervisor.Strategy{supervisor.OneForOne, supervisor.OneForAll, supervisor.RestForOne} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.start(supervisor.Options{Strategy: s, Children: []supervisor.ChildSpec{
				r.spec("a", ignored), r.spec("t", fails(supervisor.ErrIgnore), restart(supervisor.Temporary)), r.spec("z", kid{}),
			}})
			assert.Equal(t, []string{"ignored a#1", "ignored t#1", "started z#1"}, r.happened())
			node := r.child("a")
			assert.Equal(t, supervisor.Stopped, node.State)
			assert.Nil(t, node.LastExit)
			assert.Len(t, r.tree().Children, 2, "temporary: dropped")
			pid, err := r.sup.RestartChild(t.Context(), "a")
			assert.NoError(t, err)
			assert.Equal(t, actor.PID{}, pid)
			pid, err = r.sup.RestartChild(t.Context(), "a")
			assert.NoError(t, err)
			assert.NotEqual(t, actor.PID{}, pid)
			assert.Equal(t, supervisor.Running, r.state("a"))
			// Dynamic: kept too.
			pid, err = r.sup.StartChild(t.Context(), r.spec("d", fails(supervisor.ErrIgnore)))
			assert.NoError(t, err)
			assert.Equal(t, actor.PID{}, pid)
			assert.Equal(t, supervisor.Stopped, r.state("d"))
			assert.Zero(t, r.tree().Used)
			r.over()
		})
	}
}

func TestS36RestartThatIsIgnoredLeavesTheChildStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Strategy: supervisor.OneForAll, Children: []supervisor.ChildSpec{
			r.spec("a", kid{start: func(_ context.Context, n int) error {
				if n > 1 {
					return supervisor.ErrIgnore
				}
				return nil
			}}), r.spec("b", kid{}),
		}})
		r.exit("a", errBoom)
		assert.Equal(t, supervisor.Stopped, r.state("a"))
		assert.Len(t, r.startsOf("b"), 2)
		r.over()
	})
}
