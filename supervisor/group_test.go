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

// strategy starts a supervisor of that strategy with plain children, and takes what was noted so far.
func (r *rig) strategy(s supervisor.Strategy, specs ...supervisor.ChildSpec) *rig {
	r.t.Helper()
	r.start(supervisor.Options{Strategy: s, Children: specs})
	r.notes()
	r.happened()
	return r
}

func (r *rig) plain(ids ...string) (specs []supervisor.ChildSpec) {
	for _, id := range ids {
		specs = append(specs, r.spec(id, kid{}))
	}
	return specs
}

// failsFrom fails to start from its from-th start on, n times.
func failsFrom(from, n int) kid {
	return kid{start: func(_ context.Context, i int) error {
		if i >= from && i < from+n {
			return errBoom
		}
		return nil
	}}
}

func TestS05OneForAllStopsTheOthersInReverseAndStartsAllInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.strategy(supervisor.OneForAll, r.plain("a", "b", "c")...)
		r.exit("b", errBoom)
		assert.Equal(t, []string{"stop b boom", "stop c shutdown", "stop a shutdown", "start a", "start b", "start c"}, r.notes())
		events := r.takeEvents()
		var kinds []string
		for _, e := range events {
			kinds = append(kinds, fmt.Sprintf("%s %s#%d", e.Kind, e.Child, e.Incarnation))
		}
		assert.Equal(t, []string{
			"exited b#1", "restart_scheduled b#1", "group_restart b#1", "stopped c#1", "stopped a#1",
			"started a#2", "started b#2", "started c#2",
		}, kinds)
		assert.Equal(t, []string{"a", "c"}, events[2].Group)
		assert.True(t, events[3].Again)
		assert.Equal(t, 1, r.tree().Used, "one charge")
		for _, id := range []string{"a", "b", "c"} {
			assert.Equal(t, 1, r.child(id).Restarts, id)
		}
		assert.Nil(t, r.child("a").LastExit, "it did not end by itself")
		r.over()
	})
}

func TestS06RestForOneRestartsTheChildAndThoseAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.strategy(supervisor.RestForOne, r.plain("a", "b", "c")...)
		r.add(r.spec("d", kid{})) // dynamic: counts as last
		r.notes()
		a := r.ref("a")
		r.exit("b", errBoom)
		assert.Equal(t, []string{"stop b boom", "stop d shutdown", "stop c shutdown", "start b", "start c", "start d"}, r.notes())
		assert.Equal(t, a.PID, r.child("a").PID, "untouched")
		assert.Equal(t, 1, r.tree().Used)
		r.over()
	})
}

func TestS07RestForOneRestartsTheLastChildAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.strategy(supervisor.RestForOne, r.plain("a", "b", "c")...)
		r.exit("c", errBoom)
		assert.Equal(t, []string{"stop c boom", "start c"}, r.notes())
		assert.Equal(t, []string{"exited c#1", "restart_scheduled c#1", "started c#2"}, r.happened())
		r.over()
	})
}

func TestS11TemporaryChildThatCrashesLeavesItsGroupAlone(t *testing.T) {
	for _, s := range []supervisor.Strategy{supervisor.OneForAll, supervisor.RestForOne} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.strategy(s, r.spec("t", kid{}, restart(supervisor.Temporary)), r.spec("a", kid{}))
			r.exit("t", errBoom)
			assert.Equal(t, []string{"stop t boom"}, r.notes())
			assert.Len(t, r.tree().Children, 1)
			assert.Zero(t, r.tree().Used)
			r.over()
		})
	}
}

func TestS12TemporaryChildGoesDownWithItsGroupForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.strategy(supervisor.OneForAll, r.spec("a", kid{}), r.spec("t", kid{}, restart(supervisor.Temporary)), r.spec("b", kid{}))
		r.exit("a", errBoom)
		assert.Equal(t, []string{"stop a boom", "stop b shutdown", "stop t shutdown", "start a", "start b"}, r.notes())
		_, err := r.sup.Child(t.Context(), "t")
		assert.ErrorIs(t, err, supervisor.ErrNotFound)
		r.over()
	})
}

func TestS17GroupOfTenCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var ids []string
		for i := range 10 {
			ids = append(ids, fmt.Sprint("c", i))
		}
		r.strategy(supervisor.OneForAll, r.plain(ids...)...)
		for i := range 3 {
			r.exit(fmt.Sprint("c", 3*i), errBoom)
			assert.Equal(t, i+1, r.tree().Used)
		}
		for _, id := range ids {
			assert.Len(t, r.startsOf(id), 4, id)
		}
		r.exit("c5", errBoom)
		assert.ErrorIs(t, r.ends(), errBoom, "the fourth is one too many")
		r.over()
	})
}

// Under OneForAll the second crash is part of the first; under RestForOne only if it comes behind it.
func TestS38SecondCrashOfAGroupIsPartOfTheFirst(t *testing.T) {
	for _, tt := range []struct {
		strategy supervisor.Strategy
		first    string
		second   string
		charges  int
		starts   []int // of a, b, c
	}{
		{supervisor.OneForAll, "a", "c", 1, []int{2, 2, 2}},
		{supervisor.OneForAll, "c", "a", 1, []int{2, 2, 2}},
		{supervisor.RestForOne, "a", "c", 1, []int{2, 2, 2}},
		{supervisor.RestForOne, "c", "a", 2, []int{2, 2, 3}},
	} {
		t.Run(fmt.Sprintf("%s %s %s", tt.strategy, tt.first, tt.second), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				gate := make(chan struct{})
				r.start(supervisor.Options{Strategy: tt.strategy, Children: r.plain("a", "b", "c"), OnEvent: func(e supervisor.Event) {
					r.onEvent(e)
					if e.Kind == supervisor.ChildExited {
						<-gate // until the second has crashed too
					}
				}})
				r.happened()
				r.exit(tt.first, errBoom)
				r.exit(tt.second, errFlagless)
				close(gate)
				synctest.Wait()
				assert.Equal(t, tt.charges, r.tree().Used)
				for i, id := range []string{"a", "b", "c"} {
					assert.Len(t, r.startsOf(id), tt.starts[i], id)
					assert.Equal(t, supervisor.Running, r.state(id))
				}
				assert.ErrorIs(t, r.child(tt.first).LastExit.Reason, errBoom)
				assert.ErrorIs(t, r.child(tt.second).LastExit.Reason, errFlagless, "not lost")
				r.over()
			})
		})
	}
}

var errFlagless = fmt.Errorf("another")

// A member that is up already crashes while the next one is still starting.
func TestS39CrashWhileItsGroupIsRestartedIsHandledAfter(t *testing.T) {
	for _, s := range []supervisor.Strategy{supervisor.OneForAll, supervisor.RestForOne} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			slow := kid{start: func(ctx context.Context, n int) error {
				if n == 2 {
					return slowStart(time.Second).start(ctx, n)
				}
				return nil
			}}
			r.strategy(s, r.spec("a", kid{}), r.spec("b", slow), r.spec("c", kid{}))
			r.exit("a", errBoom)
			assert.Equal(t, supervisor.Restarting, r.state("b"))
			assert.Equal(t, supervisor.Restarting, r.state("c"), "it waits for b")
			r.exit("a", errFlagless)
			assert.Equal(t, supervisor.Restarting, r.state("a"))
			assert.Equal(t, 1, r.tree().Used, "not decided yet")
			time.Sleep(time.Second)
			assert.Equal(t, []string{
				"stop a boom", "stop c shutdown", "stop b shutdown", "start a", "stop a another", "start b", "start c",
				"stop c shutdown", "stop b shutdown", "start a", "start b", "start c",
			}, r.notes())
			assert.Equal(t, 2, r.tree().Used)
			assert.Equal(t, 3, r.child("c").Incarnation)
			r.over()
		})
	}
}

func TestS39CrashWhileItsGroupIsRestartedIsForgottenWithItsChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.strategy(supervisor.OneForAll, r.spec("a", kid{}), r.spec("b", kid{start: func(ctx context.Context, n int) error {
			if n > 1 {
				return slowStart(time.Second).start(ctx, n)
			}
			return nil
		}}))
		r.exit("a", errBoom)
		r.exit("a", errBoom)
		require.NoError(t, r.sup.TerminateChild(t.Context(), "a"))
		time.Sleep(time.Second)
		assert.Equal(t, supervisor.Stopped, r.state("a"))
		assert.Equal(t, supervisor.Running, r.state("b"))
		assert.Equal(t, 1, r.tree().Used)
		r.over()
	})
}

func TestS51FinishedAndStoppedChildrenAreNotRevived(t *testing.T) {
	for _, s := range []supervisor.Strategy{supervisor.OneForAll, supervisor.RestForOne} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.strategy(s, r.spec("a", kid{}), r.spec("finished", kid{}, restart(supervisor.Transient)), r.spec("stopped", kid{}),
				r.spec("parked", kid{}), r.spec("z", kid{}))
			r.exit("finished", nil)
			require.NoError(t, r.sup.TerminateChild(t.Context(), "stopped"))
			r.exit("parked", errFlag)
			r.notes()
			r.exit("a", errBoom)
			assert.Equal(t, []string{"stop a boom", "stop z shutdown", "start a", "start z"}, r.notes())
			assert.Equal(t, supervisor.Stopped, r.state("finished"))
			assert.Equal(t, supervisor.Stopped, r.state("stopped"))
			assert.Equal(t, supervisor.Failed, r.state("parked"))
			r.over()
		})
	}
}

func TestS59FailedRestartOfAGroupGoesOnFromTheFailedMember(t *testing.T) {
	for _, tt := range []struct {
		strategy supervisor.Strategy
		crashes  string
		want     []string
	}{
		{supervisor.RestForOne, "b", []string{"stop b boom", "stop d shutdown", "stop c shutdown", "start b", "start c", "start d"}},
		{supervisor.OneForAll, "c", []string{"stop c boom", "stop d shutdown", "stop b shutdown", "stop a shutdown", "start a", "start b", "start c", "start d"}},
	} {
		for _, backoff := range []supervisor.Backoff{{}, steady} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.start(supervisor.Options{Strategy: tt.strategy, Backoff: backoff, Children: []supervisor.ChildSpec{
					r.spec("a", kid{}), r.spec("b", failsFrom(2, 2)), r.spec("c", kid{}), r.spec("d", kid{}),
				}})
				a := r.ref("a").PID
				r.notes()
				r.exit(tt.crashes, errBoom)
				if backoff == steady {
					for range 3 {
						assert.Equal(t, supervisor.Restarting, r.state("c"), "waits for b")
						assert.Len(t, r.startsOf("d"), 1)
						time.Sleep(time.Second)
					}
				}
				assert.Equal(t, tt.want, r.notes())
				assert.Len(t, r.startsOf("b"), 4)
				assert.Equal(t, 3, r.tree().Used, "the crash and two failed starts")
				if tt.strategy == supervisor.RestForOne {
					assert.Equal(t, a, r.child("a").PID, "untouched")
				} else {
					assert.Len(t, r.startsOf("a"), 2, "up and kept")
				}
				r.over()
			})
		}
	}
}

func TestFailedRestartOfAGroupGivesUpAfterTheIntensity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.strategy(supervisor.RestForOne, r.spec("a", kid{}), r.spec("b", failsFrom(2, 100)), r.spec("c", kid{}))
		r.exit("a", errBoom)
		assert.ErrorIs(t, r.ends(), errBoom)
		assert.Len(t, r.startsOf("b"), 4, "one start, and three tries after the crash of a: 1 + 3 charged, the last is too many")
		assert.Equal(t, []string{"stop a boom", "stop c shutdown", "stop b shutdown", "start a", "stop a shutdown"}, r.notes())
		r.over()
	})
}

func TestTerminateInAGroupThatIsBeingRestarted(t *testing.T) {
	slow := slowStop(time.Second)
	for _, tt := range []struct {
		id   string
		at   time.Duration
		want []string
	}{
		{"c", 500 * time.Millisecond, []string{"start a", "start b"}},  // being stopped
		{"b", 500 * time.Millisecond, []string{"start a", "start c"}},  // yet to be stopped
		{"b", 2500 * time.Millisecond, []string{"start a", "start c"}}, // yet to be started
		{"a", 2500 * time.Millisecond, []string{"start b", "start c"}}, // being waited for
		{"none", 2500 * time.Millisecond, []string{"start a", "start b", "start c"}},
	} {
		t.Run(fmt.Sprint(tt.id, tt.at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				wait := supervisor.Backoff{Initial: 5 * time.Second, Factor: 1}
				r.start(supervisor.Options{Strategy: supervisor.OneForAll, Backoff: wait, Children: []supervisor.ChildSpec{
					r.spec("a", kid{}), r.spec("b", slow), r.spec("c", slow),
				}})
				r.exit("a", errBoom)
				time.Sleep(tt.at)
				err := r.sup.TerminateChild(t.Context(), tt.id)
				if tt.id != "none" {
					require.NoError(t, err)
				}
				time.Sleep(10 * time.Second)
				var starts []string
				for _, line := range r.notes()[3:] {
					if line[:5] == "start" {
						starts = append(starts, line)
					}
				}
				assert.Equal(t, tt.want, starts)
				if tt.id != "none" {
					assert.Equal(t, supervisor.Stopped, r.state(tt.id))
				}
				if tt.id == "a" {
					assert.Equal(t, 2500*time.Millisecond, r.startsOf("b")[1], "nobody is waited for any more")
				}
				r.over()
			})
		})
	}
}

func TestRecycleAndStartInAGroupThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Strategy: supervisor.RestForOne, Backoff: supervisor.Backoff{Initial: time.Hour, Max: time.Hour}, Children: r.plain("a", "b", "c")})
		r.exit("a", errBoom)
		r.notes()
		added := inTheBackground(func() error { _, err := r.sup.StartChild(t.Context(), r.spec("d", kid{})); return err })
		synctest.Wait()
		assert.Empty(t, r.startsOf("d"), "what it may need is not up")
		assert.Equal(t, supervisor.Starting, r.state("d"))
		_, err := r.sup.RestartChild(t.Context(), "b")
		assert.ErrorIs(t, err, supervisor.ErrRestarting)
		_, err = r.sup.RecycleChild(t.Context(), "b")
		require.NoError(t, err)
		require.NoError(t, <-added)
		assert.Equal(t, []string{"start a", "start b", "start c", "start d"}, r.notes())
		assert.Zero(t, time.Since(r.begun))
		assert.Equal(t, 1, r.tree().Used)

		// A running one is recycled alone.
		_, err = r.sup.RecycleChild(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, []string{"stop a shutdown", "start a"}, r.notes())
		r.over()
	})
}

func TestS65StopDuringAGroupRestart(t *testing.T) {
	for _, at := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond, 3500 * time.Millisecond} {
		t.Run(at.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				slow := kid{
					stopped: func(*actor.Context[message], error) { time.Sleep(time.Second) },
					start: func(ctx context.Context, n int) error {
						if n == 1 {
							return nil
						}
						return slowStart(time.Second).start(ctx, n)
					},
				}
				r.strategy(supervisor.OneForAll, r.spec("a", kid{}), r.spec("b", slow), r.spec("c", slow))
				r.exit("a", errBoom)
				time.Sleep(at)
				require.NoError(t, r.sup.Stop(t.Context()))
				starts := len(r.startsOf("a")) + len(r.startsOf("b")) + len(r.startsOf("c"))
				time.Sleep(time.Hour)
				assert.Equal(t, starts, len(r.startsOf("a"))+len(r.startsOf("b"))+len(r.startsOf("c")))
				r.over()
			})
		})
	}
}

func TestMemberThatIsParkedLeavesItsGroupAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.strategy(supervisor.OneForAll, r.spec("a", kid{}), r.spec("b", kid{}, func(s *supervisor.ChildSpec) {
			s.Intensity, s.OnExhausted = intensity(1, time.Minute), supervisor.Fail
		}), r.spec("c", kid{}))
		r.exit("b", errBoom)
		assert.Len(t, r.startsOf("a"), 2)
		r.exit("b", errBoom)
		assert.Equal(t, supervisor.Failed, r.state("b"))
		assert.Len(t, r.startsOf("a"), 2, "its siblings go on")
		assert.Zero(t, r.tree().Used)
		r.over()
	})
}

func TestGroupComesUpWithoutAFirstChildThatIsTriedAgain(t *testing.T) {
	for _, s := range []supervisor.Strategy{supervisor.OneForAll, supervisor.RestForOne} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.start(supervisor.Options{Strategy: s, Backoff: steady, Children: []supervisor.ChildSpec{
				r.spec("a", kid{}),
				r.spec("b", failsFrom(1, 2), func(s *supervisor.ChildSpec) { s.RetryStart = true }),
				r.spec("c", kid{}),
			}})
			assert.Zero(t, time.Since(r.begun))
			assert.Equal(t, []string{"start a"}, r.notes())
			time.Sleep(2 * time.Second)
			assert.Equal(t, []string{"start b", "start c"}, r.notes())
			assert.Equal(t, supervisor.Running, r.state("c"))
			r.over()
		})
	}
}

func TestCrashOfAGroupThatStartsIsHandledWhenItIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		up := inTheBackground(func() error {
			return r.tryStart(supervisor.Options{Strategy: supervisor.OneForAll, Children: []supervisor.ChildSpec{
				r.spec("a", kid{}), r.spec("b", slowStart(time.Second)),
			}})
		})
		r.exit("a", errBoom)
		require.NoError(t, <-up)
		time.Sleep(time.Second)
		assert.Equal(t, []string{"start a", "stop a boom", "start b", "stop b shutdown", "start a", "start b"}, r.notes())
		r.over()
	})
}

func TestS52PlannedEndIsNeitherDelayedNorCharged(t *testing.T) {
	for _, reason := range []error{supervisor.ErrRecycle, fmt.Errorf("ran for an hour: %w", supervisor.ErrRecycle), planned{}} {
		for _, typ := range []supervisor.Restart{supervisor.Permanent, supervisor.Transient} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.start(supervisor.Options{Backoff: steady, Intensity: intensity(0, time.Hour), Children: []supervisor.ChildSpec{
					r.spec("a", kid{}, restart(typ)), r.spec("t", kid{}, restart(supervisor.Temporary)),
				}})
				r.takeEvents()
				for range 10 {
					r.exit("a", reason)
				}
				assert.Zero(t, time.Since(r.begun))
				assert.Len(t, r.startsOf("a"), 11)
				assert.Zero(t, r.child("a").Restarts)
				assert.Zero(t, r.tree().Used)
				events := r.takeEvents()
				assert.Equal(t, supervisor.RestartScheduled, events[1].Kind)
				assert.True(t, events[1].Planned)
				r.exit("t", reason)
				assert.Len(t, r.tree().Children, 1, "temporary is temporary")
				r.over()
			})
		}
	}
}

type planned struct{}

func (planned) Error() string { return "it is time" }
func (planned) Planned() bool { return true }
