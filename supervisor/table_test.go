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

// What which_children, count_children and get_childspec tell in each state.
func TestS25LooksInEachState(t *testing.T) {
	inEachState(t, func(t *testing.T, r *rig, state string) {
		ctx := t.Context()
		children, err := r.sup.Children(ctx)
		require.NoError(t, err)
		require.Len(t, children, 2)
		assert.Equal(t, "sibling", children[0].Name, "in start order")
		assert.Equal(t, r.child("x"), children[1])
		count, err := r.sup.Count(ctx)
		require.NoError(t, err)
		want := supervisor.Count{Specs: 2, Active: 1, Workers: 2}
		up := state == "running" || state == "stopping"
		if up {
			want.Active = 2
		}
		assert.Equal(t, want, count)
		assert.Equal(t, up, children[1].PID != actor.PID{})
		spec, err := r.sup.Spec(ctx, "x")
		require.NoError(t, err)
		assert.Equal(t, "x", spec.ID)
		assert.Equal(t, supervisor.Transient, spec.Restart)
		assert.Equal(t, supervisor.Worker, spec.Kind)
		_, err = r.sup.Spec(ctx, "none")
		assert.ErrorIs(t, err, supervisor.ErrNotFound)
	})
}

func TestS25CountTellsSupervisorsFromWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("a", kid{}), r.inner("root/in", "in", supervisor.Options{}, nil)}})
		require.NoError(t, r.sup.TerminateChild(t.Context(), "in"))
		count, err := r.sup.Count(t.Context())
		require.NoError(t, err)
		assert.Equal(t, supervisor.Count{Specs: 2, Active: 1, Supervisors: 1, Workers: 1}, count)
		r.over()
	})
}

// A temporary child that is not up is not known: it can be neither restarted nor deleted.
func TestS25TemporaryGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("t", kid{}, restart(supervisor.Temporary))}})
		assert.ErrorIs(t, r.sup.DeleteChild(t.Context(), "t"), supervisor.ErrRunning)
		r.exit("t", errBoom)
		_, err := r.sup.RestartChild(t.Context(), "t")
		assert.ErrorIs(t, err, supervisor.ErrNotFound)
		assert.ErrorIs(t, r.sup.DeleteChild(t.Context(), "t"), supervisor.ErrNotFound)
		assert.ErrorIs(t, r.sup.TerminateChild(t.Context(), "t"), supervisor.ErrNotFound)
		r.add(r.spec("t", kid{}))
		r.over()
	})
}

func TestTerminateByPIDOfAnyChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: r.plain("a", "b")})
		require.NoError(t, r.sup.TerminatePID(t.Context(), r.ref("a").PID))
		assert.Equal(t, supervisor.Stopped, r.state("a"))
		assert.NoError(t, r.sup.TerminatePID(t.Context(), r.ref("a").PID), "again")
		assert.Equal(t, supervisor.Running, r.state("b"))
		r.over()
	})
}

func TestIndependentFirstChildrenStartSeveralAtATime(t *testing.T) {
	for atOnce, want := range map[int]time.Duration{0: 2 * time.Second, 1: 20 * time.Second, 10: 2 * time.Second, 20: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			working, most := 0, 0
			var specs []supervisor.ChildSpec
			for i := range 20 {
				specs = append(specs, r.spec(fmt.Sprint("c", i), kid{start: func(context.Context, int) error {
					r.mu.Lock()
					working++
					most = max(most, working)
					r.mu.Unlock()
					time.Sleep(time.Second)
					r.mu.Lock()
					working--
					r.mu.Unlock()
					return nil
				}}))
			}
			assert.Equal(t, want, elapsed(func() { r.start(supervisor.Options{Independent: true, AtOnce: atOnce, Children: specs}) }))
			if atOnce == 0 {
				atOnce = 16
			}
			assert.Equal(t, atOnce, most)
			for i, child := range r.tree().Children {
				assert.Equal(t, fmt.Sprint("c", i), child.Name)
			}
			r.over()
		})
	}
}

func TestS03IndependentFirstStartThatFailsUnwinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		err := r.tryStart(supervisor.Options{Independent: true, AtOnce: 3, Children: []supervisor.ChildSpec{
			r.spec("a", kid{}), r.spec("b", slowStart(time.Hour)), r.spec("c", kid{start: func(context.Context, int) error {
				time.Sleep(time.Second)
				return errBoom
			}}), r.spec("d", slowStart(time.Minute)), r.spec("e", kid{}),
		}})
		assert.EqualError(t, err, "supervisor root: start child c: boom")
		assert.Equal(t, time.Second, time.Since(r.begun), "what is starting is not waited for")
		assert.Empty(t, r.startsOf("e"))
		r.over()
	})
}
