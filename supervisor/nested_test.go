package supervisor_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

// inner is the spec of a supervisor below another. handle, if not nil, is given each incarnation.
func (r *rig) inner(path, id string, options supervisor.Options, handle func(*supervisor.Supervisor), edit ...func(*supervisor.ChildSpec)) supervisor.ChildSpec {
	options.Name = path
	if options.OnEvent == nil {
		options.OnEvent = r.onEvent
	}
	spec := supervisor.ChildSpec{ID: id, Kind: supervisor.Supervised, Start: func(ctx context.Context) (actor.PID, error) {
		sup, err := supervisor.Start(ctx, r.sys, options)
		if err != nil {
			return actor.PID{}, err
		}
		if handle != nil {
			handle(sup)
		}
		return sup.PID(), nil
	}}
	for _, e := range edit {
		e(&spec)
	}
	return spec
}

func TestS20S21S23InnerSupervisorThatGivesUpIsRestartedWithItsStaticChildren(t *testing.T) {
	for _, typ := range []supervisor.Restart{supervisor.Permanent, supervisor.Transient} {
		for _, reason := range []error{errBoom, nil, actor.ErrShutdown} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				var inner *supervisor.Supervisor
				r.start(supervisor.Options{Children: []supervisor.ChildSpec{
					r.spec("a", kid{}),
					r.inner("root/in", "in", supervisor.Options{Intensity: intensity(1, time.Minute), Children: []supervisor.ChildSpec{
						r.specUnder("root/in", "x", kid{}), r.specUnder("root/in", "y", kid{}),
					}}, func(s *supervisor.Supervisor) { inner = s }, restart(typ)),
				}})
				_, err := inner.StartChild(t.Context(), r.specUnder("root/in", "dynamic", kid{}))
				require.NoError(t, err)
				r.exit("x", reason)
				assert.Zero(t, r.child("in").Restarts)
				r.notes()
				r.exit("x", reason)
				node := r.child("in")
				assert.Equal(t, supervisor.Running, node.State)
				assert.Equal(t, 1, node.Restarts, "counted once")
				assert.Equal(t, 1, r.tree().Used)
				var exhausted *supervisor.ExhaustedError
				require.ErrorAs(t, node.LastExit.Reason, &exhausted)
				assert.Equal(t, reason, exhausted.Cause)
				assert.False(t, actor.Clean(node.LastExit.Reason), "giving up is abnormal whatever the child did")
				assert.Equal(t, []string{
					"stop x " + text(reason), "stop dynamic shutdown", "stop y shutdown", "start x", "start y",
				}, r.notes())
				tree := r.tree().Children[1]
				require.Len(t, tree.Children, 2, "the dynamic child is gone")
				assert.Equal(t, "root/in/x", tree.Children[0].Path)
				assert.Equal(t, supervisor.Supervised, tree.Kind)
				assert.Equal(t, supervisor.OneForOne, tree.Strategy)
				assert.Zero(t, tree.Used)
				r.over()
			})
		}
	}
}

func text(reason error) string {
	if reason == nil {
		return "<nil>"
	}
	return reason.Error()
}

func TestS22ThreeLevelsThatGiveUpInTurnNameTheChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		one := intensity(1, time.Minute)
		lowest := r.inner("root/mid/low", "low", supervisor.Options{Intensity: one, Children: []supervisor.ChildSpec{
			r.specUnder("root/mid/low", "leaf", kid{}),
		}}, nil)
		middle := r.inner("root/mid", "mid", supervisor.Options{Intensity: one, Children: []supervisor.ChildSpec{lowest}}, nil)
		r.start(supervisor.Options{Intensity: one, Children: []supervisor.ChildSpec{middle}})
		for range 8 { // each when everything is up again: budgets multiply, (1+1)^3
			require.True(t, r.sup.PID().Alive())
			r.exit("leaf", errBoom)
		}
		reason := r.ends()
		assert.EqualError(t, reason, "supervisor root: child mid ended more than 1 times in 1m0s, last: "+
			"supervisor root/mid: child low ended more than 1 times in 1m0s, last: "+
			"supervisor root/mid/low: child leaf ended more than 1 times in 1m0s, last: boom")
		assert.ErrorIs(t, reason, errBoom)
		assert.Len(t, r.startsOf("leaf"), 8)
		r.over()
	})
}

func TestInnerSupervisorThatDoesNotStartIsAStartFailureOfTheOuter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		err := r.tryStart(supervisor.Options{Children: []supervisor.ChildSpec{
			r.spec("a", kid{}),
			r.inner("root/in", "in", supervisor.Options{Children: []supervisor.ChildSpec{
				r.specUnder("root/in", "x", kid{}), r.specUnder("root/in", "y", fails(errFlag)),
			}}, nil),
		}})
		assert.EqualError(t, err, "supervisor root: start child in: supervisor root/in: start child y: unknown flag --frobnicate")
		assert.True(t, supervisor.Permanently(err), "the class is seen through both levels")
		assert.Equal(t, []string{"start a", "start x", "stop x shutdown", "stop a shutdown"}, r.notes())
		r.over()
	})
}

func TestS54NoDescendantOfTheOldIncarnationLivesWhenTheNewOneStarts(t *testing.T) {
	for _, how := range []string{"recycled", "stopped", "killed", "unwound"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				var low *supervisor.Supervisor
				deep := r.inner("root/in/low", "low", supervisor.Options{Children: []supervisor.ChildSpec{
					r.specUnder("root/in/low", "x", kid{}), r.specUnder("root/in/low", "y", kid{}),
				}}, func(s *supervisor.Supervisor) { low = s })
				var old []actor.PID
				unwind := supervisor.Options{
					OnEvent: func(e supervisor.Event) {
						if e.Kind == supervisor.ChildExited {
							runtime.Goexit() // the nearest to a bug of the supervisor's own that a test can cause
						}
					},
					Children: []supervisor.ChildSpec{deep, r.specUnder("root/in", "z", kid{})},
				}
				in := r.inner("root/in", "in", unwind, nil)
				start := in.Start
				in.Start = func(ctx context.Context) (actor.PID, error) {
					for _, pid := range old {
						assert.False(t, pid.Alive(), "%s", pid)
					}
					return start(ctx)
				}
				r.start(supervisor.Options{Intensity: intensity(1, time.Minute), Children: []supervisor.ChildSpec{in}})
				pid := r.child("in").PID
				old = []actor.PID{pid, low.PID(), r.ref("x").PID, r.ref("y").PID}
				switch how {
				case "recycled":
					_, err := r.sup.RecycleChild(t.Context(), "in")
					require.NoError(t, err)
				case "stopped":
					pid.Stop(nil)
				case "killed":
					pid.Kill()
				case "unwound":
					r.exit("z", errBoom)
				}
				synctest.Wait()
				assert.Equal(t, 2, r.child("in").Incarnation, "%+v", r.tree())
				assert.Len(t, r.startsOf("x"), 2)
				assert.Len(t, r.startsOf("y"), 2)
				for _, gone := range old {
					assert.False(t, gone.Alive(), "%s", gone)
				}
				r.over()
			})
		})
	}
}

func TestInnerSupervisorHasAllTheTimeItsChildrenNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{
			r.inner("root/in", "in", supervisor.Options{Children: []supervisor.ChildSpec{
				r.specUnder("root/in", "x", slowStop(4*time.Second)), r.specUnder("root/in", "y", slowStop(4*time.Second)),
			}}, nil),
		}})
		assert.Equal(t, 8*time.Second, elapsed(func() { require.NoError(t, r.sup.Stop(t.Context())) }))
		assert.NotContains(t, r.happened(), "killed in#1")
		r.over()
	})
}

func TestKilledSupervisorTakesItsChildrenAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		deaf, release := deafStart()
		r.start(supervisor.Options{Backoff: steady, Children: []supervisor.ChildSpec{
			r.spec("a", kid{}), r.spec("waiting", kid{}),
			r.spec("late", deaf, func(s *supervisor.ChildSpec) {
				s.RetryStart = true
				s.StartTimeout = time.Second
				s.Shutdown = supervisor.BrutalKill
			}),
		}})
		time.Sleep(time.Second) // late is starting once more
		r.exit("waiting", errBoom)
		assert.Equal(t, supervisor.Restarting, r.state("late"))
		a := r.ref("a")
		r.sup.PID().Kill()
		<-r.sup.PID().Done()
		assert.False(t, a.Alive())
		release()
		time.Sleep(time.Hour)
		assert.Equal(t, 1, len(r.startsOf("waiting")))
		r.over()
	})
}
