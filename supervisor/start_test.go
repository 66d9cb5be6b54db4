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

func TestS01ChildrenStartInOrderEachReadyBeforeTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		took := elapsed(func() {
			r.start(supervisor.Options{Children: []supervisor.ChildSpec{
				r.spec("a", slowStart(time.Second)), r.spec("b", slowStart(2*time.Second)), r.spec("c", kid{}),
			}})
		})
		assert.Equal(t, 3*time.Second, took)
		assert.Equal(t, []string{"start a", "start b", "start c"}, r.notes())
		assert.Equal(t, []time.Duration{time.Second}, r.startsOf("b"))
		assert.Equal(t, []time.Duration{3 * time.Second}, r.startsOf("c"))
		assert.Equal(t, []string{"started a#1", "started b#1", "started c#1"}, r.happened())
		tree := r.tree()
		assert.Equal(t, supervisor.Running, tree.State)
		for i, id := range []string{"a", "b", "c"} {
			assert.Equal(t, id, tree.Children[i].Name)
			assert.Equal(t, "root/"+id, tree.Children[i].Path)
			assert.Equal(t, supervisor.Running, tree.Children[i].State)
			assert.Equal(t, r.ref(id).PID, tree.Children[i].PID)
		}
		r.over()
	})
}

func TestS03FirstStartThatFailsUnwindsAndNamesTheChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		err := r.tryStart(supervisor.Options{Children: []supervisor.ChildSpec{
			r.spec("a", kid{}),
			r.spec("b", slowStop(time.Second)),
			r.spec("c", kid{start: func(context.Context, int) error { return errBoom }}),
			r.spec("d", kid{}),
		}})
		var failed *supervisor.StartError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, "c", failed.Child)
		assert.ErrorIs(t, err, errBoom)
		assert.EqualError(t, err, "supervisor root: start child c: boom")
		assert.Equal(t, []string{"start a", "start b", "stop b shutdown", "stop a shutdown"}, r.notes())
		assert.Equal(t, time.Second, time.Since(r.begun))
		assert.Empty(t, r.startsOf("d"))
		assert.Equal(t, []string{"started a#1", "started b#1", "start_failed c#1", "stopped b#1", "stopped a#1"}, r.happened())
		r.over()
	})
}

func TestStartGivenUpByItsContextLeavesNothingRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := supervisor.Start(ctx, r.sys, supervisor.Options{Name: "root", Children: []supervisor.ChildSpec{
			r.spec("a", slowStop(3*time.Second)),
			r.spec("b", slowStart(time.Hour)),
		}})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 4*time.Second, time.Since(r.begun))
		time.Sleep(time.Hour)
		r.over()
	})
}

func TestChildThatCrashesTooOftenWhileTheOthersStartFailsTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		err := r.tryStart(supervisor.Options{Intensity: intensity(2, time.Minute), Children: []supervisor.ChildSpec{
			r.spec("a", kid{started: func(*actor.Context[message], int) error { return errBoom }}),
			r.spec("b", slowStart(time.Hour)),
		}})
		var exhausted *supervisor.ExhaustedError
		require.ErrorAs(t, err, &exhausted)
		assert.Equal(t, "a", exhausted.Child)
		assert.Len(t, r.startsOf("a"), 3)
		assert.Zero(t, time.Since(r.begun), "b's start was given up")
		r.over()
	})
}

func TestS35EveryMistakeInTheOptionsIsNamed(t *testing.T) {
	start := func(context.Context) (actor.PID, error) { return actor.PID{}, nil }
	_, err := supervisor.Start(t.Context(), actor.NewSystem(actor.Options{}), supervisor.Options{
		Strategy:  "one_for_none",
		Intensity: &supervisor.Intensity{MaxRestarts: -1, Within: time.Second},
		Backoff:   supervisor.Backoff{Jitter: 2},
		Children: []supervisor.ChildSpec{
			{ID: "a", Start: start},
			{ID: "a", Start: start},
			{ID: "b"},
			{ID: "c d", Start: start},
			{ID: "c\x00", Start: start},
			{ID: "", Start: start},
			{ID: "e", Start: start, Restart: "sometimes"},
			{ID: "f", Start: start, OnExhausted: supervisor.Fail},
			{ID: "g", Start: start, OnExhausted: "panic"},
			{ID: "h", Start: start, StartTimeout: -1},
			{ID: "i", Start: start, Intensity: &supervisor.Intensity{MaxRestarts: 1}},
			{ID: "j", Start: start, Backoff: &supervisor.Backoff{Factor: 0.5}},
			{ID: "k", Start: start, Kind: "manager"},
			{ID: "l", Start: start, Significant: true, Restart: supervisor.Transient},
			{ID: "m", Start: start, Significant: true},
			{ID: "n", Start: start, OnExhausted: supervisor.Cooldown, Cooldown: -1},
		},
	})
	require.ErrorIs(t, err, supervisor.ErrInvalid)
	for _, part := range []string{
		`supervisor "": invalid spec: name must not be empty`,
		`strategy "one_for_none"`, "max_restarts -1", "backoff jitter 2", `two children "a"`,
		`child "b": invalid spec: no start function`, `child "c d": invalid spec: id`, `child "c\x00"`, `child "": invalid spec: id`,
		`child "e": invalid spec: restart "sometimes"`, `child "f": invalid spec: on_exhausted fail needs an intensity`,
		`child "g": invalid spec: on_exhausted "panic"`, `child "h": invalid spec: start timeout -1ns`,
		`child "i": invalid spec: max_seconds 0s`, `child "j": invalid spec: backoff factor 0.5`, `child "k": invalid spec: kind "manager"`,
		`child "l": invalid spec: significant: supervisor  has auto_shutdown never`, `child "m": invalid spec: significant: a permanent child`,
		`child "n": invalid spec: on_exhausted cooldown needs an intensity`, `child "n": invalid spec: cooldown -1ns`,
	} {
		assert.ErrorContains(t, err, part)
	}
	assert.Nil(t, errors.Unwrap(err), "joined")
}

func TestS35OptionsThatContradictEachOther(t *testing.T) {
	start := func(context.Context) (actor.PID, error) { return actor.PID{}, nil }
	one := []supervisor.ChildSpec{{ID: "a", Start: start}, {ID: "b", Start: start}}
	template := &supervisor.Template{Start: func(context.Context, string, any) (actor.PID, error) { return actor.PID{}, nil }}
	for want, options := range map[string]supervisor.Options{
		"simple_one_for_one needs a template":                    {Strategy: supervisor.SimpleOneForOne},
		"simple_one_for_one has no children but those":           {Strategy: supervisor.SimpleOneForOne, Template: template, Children: one},
		"a template needs simple_one_for_one":                    {Template: template},
		"the template has no start function":                     {Strategy: supervisor.SimpleOneForOne, Template: &supervisor.Template{}},
		"independent: the children of one_for_all go down":       {Strategy: supervisor.OneForAll, Independent: true},
		"max_children 1: expected 0 (no limit), or no less than": {MaxChildren: 1, Children: one},
		"at_once -1":                {AtOnce: -1},
		`auto_shutdown "sometimes"`: {AutoShutdown: "sometimes"},
	} {
		options.Name = "root"
		_, err := supervisor.Start(t.Context(), actor.NewSystem(actor.Options{}), options)
		assert.ErrorIs(t, err, supervisor.ErrInvalid)
		assert.ErrorContains(t, err, want)
	}
}

func TestSupervisorThatIsStoppedWhileItStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		up := inTheBackground(func() error {
			return r.tryStart(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("a", kid{}), r.spec("b", slowStart(time.Hour))}})
		})
		synctest.Wait()
		pid, _ := r.sys.Lookup("root")
		pid.Stop(nil)
		err := <-up
		assert.EqualError(t, err, "actor root: stopped: shutdown")
		assert.False(t, actor.Clean(err))
		assert.Zero(t, time.Since(r.begun))
		r.over()
	})
}

func TestNameOfASupervisorThatIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).start(supervisor.Options{})
		_, err := supervisor.Start(t.Context(), r.sys, supervisor.Options{Name: "root"})
		assert.ErrorIs(t, err, actor.ErrNameTaken)
		r.over()
	})
}

func TestS47ReadinessNotReachedInTimeIsAStartFailureOfThatChildAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("a", kid{})}})
		spec := r.spec("b", slowStart(time.Hour))
		spec.StartTimeout = 2 * time.Second
		_, err := r.sup.StartChild(t.Context(), spec)
		assert.ErrorIs(t, err, supervisor.ErrStartTimeout)
		assert.ErrorContains(t, err, "not ready within 2s")
		assert.Equal(t, 2*time.Second, time.Since(r.begun))
		_, err = r.sup.Child(t.Context(), "b")
		assert.ErrorIs(t, err, supervisor.ErrNotFound)
		assert.Equal(t, supervisor.Running, r.state("a"))
		assert.Equal(t, []string{"started a#1", "start_failed b#1"}, r.happened())
		r.over()
	})
}

func TestS57StartThatIsReadyTooLateIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).start(supervisor.Options{})
		spec := r.spec("a", kid{start: func(context.Context, int) error { time.Sleep(3 * time.Second); return nil }})
		spec.StartTimeout = 2 * time.Second
		_, err := r.sup.StartChild(t.Context(), spec)
		assert.ErrorIs(t, err, supervisor.ErrStartTimeout)
		assert.Equal(t, 3*time.Second, time.Since(r.begun))
		assert.Equal(t, []string{"start a", "stop a shutdown"}, r.notes())
		assert.False(t, r.ref("a").Alive())
		r.over()
	})
}

func TestS57StartThatNeverReturnsIsAbandonedAndWhatItReturnsLaterIsKilled(t *testing.T) {
	for _, tt := range []struct {
		shutdown supervisor.Shutdown
		want     time.Duration
	}{
		{supervisor.Within(time.Second), 8 * time.Second}, // start timeout, grace, 5 s
		{supervisor.BrutalKill, 7 * time.Second},
		{supervisor.Shutdown{}, 12 * time.Second},
	} {
		t.Run(tt.shutdown.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t).start(supervisor.Options{})
				deaf, release := deafStart()
				spec := r.spec("a", deaf, shutdown(tt.shutdown))
				spec.StartTimeout = 2 * time.Second
				_, err := r.sup.StartChild(t.Context(), spec)
				assert.ErrorIs(t, err, supervisor.ErrStartTimeout)
				assert.ErrorContains(t, err, "abandoned")
				assert.Equal(t, tt.want, time.Since(r.begun))
				release()
				synctest.Wait()
				assert.ErrorIs(t, r.ref("a").Reason(), actor.ErrKilled)
				r.over()
			})
		})
	}
}

// What came too late heeds nothing either.
func TestS57StartThatIsReadyTooLateAndDeafIsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{})
		gate := make(chan struct{})
		spec := r.spec("a", kid{stopped: func(*actor.Context[message], error) { <-gate }}, shutdown(supervisor.Within(time.Second)))
		start := spec.Start
		spec.StartTimeout = 2 * time.Second
		spec.Start = func(ctx context.Context) (actor.PID, error) {
			<-ctx.Done()
			return start(context.Background())
		}
		_, err := r.sup.StartChild(t.Context(), spec)
		assert.ErrorIs(t, err, supervisor.ErrStartTimeout)
		assert.ErrorContains(t, err, "what it started at last is abandoned: still running 5s after it was killed")
		assert.Equal(t, 8*time.Second, time.Since(r.begun))
		close(gate)
		r.over()
	})
}

func TestAddedChildIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{})
		require.NoError(t, r.sup.AddChild(t.Context(), r.spec("a", slowStart(time.Second))))
		assert.Zero(t, time.Since(r.begun))
		assert.Equal(t, supervisor.Starting, r.state("a"))
		assert.ErrorIs(t, r.sup.AddChild(t.Context(), r.spec("a", kid{})), supervisor.ErrAlreadyStarted)
		assert.ErrorIs(t, r.sup.AddChild(t.Context(), supervisor.ChildSpec{ID: "b"}), supervisor.ErrInvalid)
		time.Sleep(time.Second)
		assert.Equal(t, supervisor.Running, r.state("a"))
		require.NoError(t, r.sup.AddChild(t.Context(), r.spec("bad", fails(errBoom))))
		assert.Equal(t, []string{"started a#1", "start_failed bad#1"}, r.happened())
		assert.Len(t, r.tree().Children, 1)
		r.over()
		assert.ErrorIs(t, r.sup.AddChild(t.Context(), r.spec("b", kid{})), actor.ErrStopped)
	})
}

func TestS65StopDuringAStart(t *testing.T) {
	t.Run("that heeds its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t).start(supervisor.Options{})
			added := inTheBackground(func() error {
				_, err := r.sup.StartChild(t.Context(), r.spec("a", slowStart(time.Hour)))
				return err
			})
			synctest.Wait()
			took := elapsed(func() { require.NoError(t, r.sup.Stop(t.Context())) })
			assert.ErrorIs(t, <-added, supervisor.ErrStopping)
			assert.Zero(t, took)
			assert.Empty(t, r.notes())
			time.Sleep(2 * time.Hour)
			assert.Empty(t, r.notes())
			r.over()
		})
	})
	t.Run("that succeeds all the same", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t).start(supervisor.Options{})
			added := inTheBackground(func() error {
				_, err := r.sup.StartChild(t.Context(), r.spec("a", kid{start: func(context.Context, int) error {
					time.Sleep(2 * time.Second)
					return nil
				}}))
				return err
			})
			synctest.Wait()
			took := elapsed(func() { require.NoError(t, r.sup.Stop(t.Context())) })
			assert.ErrorIs(t, <-added, supervisor.ErrStopping)
			assert.Equal(t, 2*time.Second, took)
			assert.Equal(t, []string{"start a", "stop a shutdown"}, r.notes())
			assert.Equal(t, []string{"stopped a#1"}, r.happened())
			r.over()
		})
	})
	t.Run("that is deaf", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t).start(supervisor.Options{})
			deaf, release := deafStart()
			added := inTheBackground(func() error {
				_, err := r.sup.StartChild(t.Context(), r.spec("a", deaf, shutdown(supervisor.Within(time.Second))))
				return err
			})
			synctest.Wait()
			took := elapsed(func() { require.NoError(t, r.sup.Stop(t.Context())) })
			assert.ErrorIs(t, <-added, supervisor.ErrStopping)
			assert.Equal(t, 6*time.Second, took)
			release()
			synctest.Wait()
			assert.False(t, r.ref("a").Alive(), "no incarnation appears later")
			r.over()
		})
	})
}

func TestS48S68NothingWaitsBehindASlowStartOrASlowStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Intensity: intensity(10, time.Minute), Children: []supervisor.ChildSpec{
			r.spec("fine", kid{}),
			r.spec("stopped", kid{}),
			r.spec("stopping", slowStop(time.Hour), shutdown(supervisor.Infinity)),
		}})
		ctx := t.Context()
		started := inTheBackground(func() error {
			_, err := r.sup.StartChild(ctx, r.spec("starting", slowStart(time.Hour)))
			return err
		})
		ended := inTheBackground(func() error { return r.sup.TerminateChild(ctx, "stopping") })
		synctest.Wait()
		assert.Equal(t, supervisor.Starting, r.state("starting"))
		assert.Equal(t, supervisor.Stopping, r.state("stopping"))
		assert.Zero(t, elapsed(func() {
			r.add(r.spec("other", kid{}))
			r.exit("fine", errBoom)
			assert.Equal(t, 2, r.child("fine").Incarnation)
			assert.NoError(t, r.sup.TerminateChild(ctx, "stopped"))
			_, err := r.sup.RestartChild(ctx, "stopped")
			assert.NoError(t, err)
			_, err = r.sup.RecycleChild(ctx, "other")
			assert.NoError(t, err)
			assert.NoError(t, r.sup.TerminateChild(ctx, "other"))
			assert.NoError(t, r.sup.DeleteChild(ctx, "other"))
			assert.Len(t, r.tree().Children, 4)
			// Of the two themselves, too.
			_, err = r.sup.StartChild(ctx, r.spec("starting", kid{}))
			assert.ErrorIs(t, err, supervisor.ErrAlreadyStarted)
			_, err = r.sup.RestartChild(ctx, "starting")
			assert.ErrorIs(t, err, supervisor.ErrRunning)
			assert.ErrorIs(t, r.sup.DeleteChild(ctx, "starting"), supervisor.ErrRunning)
			_, err = r.sup.StartChild(ctx, r.spec("stopping", kid{}))
			assert.ErrorIs(t, err, supervisor.ErrAlreadyStarted)
			_, err = r.sup.RestartChild(ctx, "stopping")
			assert.ErrorIs(t, err, supervisor.ErrRunning)
			assert.ErrorIs(t, r.sup.DeleteChild(ctx, "stopping"), supervisor.ErrRunning)
		}))
		assert.NoError(t, <-started)
		assert.NoError(t, <-ended)
		assert.Equal(t, time.Hour, time.Since(r.begun))
		r.over()
	})
}

func TestS55DynamicStartsRunSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).start(supervisor.Options{})
		outcomes := make(map[string]<-chan actor.PID)
		for i := range 8 {
			id := fmt.Sprint("child", i)
			outcomes[id] = inTheBackground(func() actor.PID { return r.add(r.spec(id, slowStart(50*time.Millisecond))) })
		}
		for id, outcome := range outcomes {
			assert.Equal(t, "root/"+id, (<-outcome).Name())
		}
		assert.Equal(t, 50*time.Millisecond, time.Since(r.begun))
		r.over()
	})
}

func TestS56DynamicStartThatFailsLeavesNothingAndIsNotCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).start(supervisor.Options{Intensity: intensity(0, time.Second)})
		for range 5 {
			_, err := r.sup.StartChild(t.Context(), r.spec("a", kid{start: func(context.Context, int) error { return errBoom }}))
			assert.ErrorIs(t, err, errBoom)
		}
		tree := r.tree()
		assert.Empty(t, tree.Children)
		assert.Zero(t, tree.Used)
		assert.Equal(t, supervisor.Running, tree.State)
		r.add(r.spec("a", kid{}))
		r.over()
	})
}

func TestFirstStartThatFailsIsRetriedIfTheSpecSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failTwice := kid{start: func(_ context.Context, n int) error {
			if n < 3 {
				return errBoom
			}
			return nil
		}}
		r := newRig(t)
		retry := func(s *supervisor.ChildSpec) { s.RetryStart = true; s.Backoff = &steady }
		// One of the first children: the supervisor comes up without it.
		r.start(supervisor.Options{Intensity: intensity(4, time.Minute), Children: []supervisor.ChildSpec{r.spec("a", failTwice, retry), r.spec("b", kid{})}})
		assert.Zero(t, time.Since(r.begun))
		assert.Equal(t, []string{"start b"}, r.notes())
		assert.Equal(t, supervisor.Restarting, r.state("a"))
		// A dynamic one: the caller learns the reason, the child stays.
		_, err := r.sup.StartChild(t.Context(), r.spec("c", failTwice, retry))
		assert.ErrorIs(t, err, errBoom)
		assert.Equal(t, supervisor.Restarting, r.state("c"))
		time.Sleep(2 * time.Second)
		assert.Equal(t, supervisor.Running, r.state("c"), "%+v", r.tree())
		r.over()
	})
}

func TestS58StartThatPanicsReturnsGarbageOrEndsItsGoroutineIsAStartFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).start(supervisor.Options{})
		for _, tt := range []struct {
			name  string
			start func(context.Context) (actor.PID, error)
			want  string
		}{
			{"panics", func(context.Context) (actor.PID, error) { panic("oh") }, "panic in start a: oh"},
			{"garbage", func(context.Context) (actor.PID, error) { return actor.PID{}, nil }, "start returned neither a child nor an error"},
			{"goexit", func(context.Context) (actor.PID, error) { runtime.Goexit(); panic("unreachable") }, "start: runtime.Goexit called in an actor"},
		} {
			_, err := r.sup.StartChild(t.Context(), supervisor.ChildSpec{ID: "a", Start: tt.start})
			assert.EqualError(t, err, tt.want)
			if p, ok := errors.AsType[*actor.PanicError](err); ok {
				assert.Contains(t, string(p.Stack), "start_test.go")
			}
		}
		assert.Equal(t, []string{"start_failed a#1", "start_failed a#1", "start_failed a#1"}, r.happened())
		r.over()
	})
}

func TestStartThatReturnsADeadChildIsACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t).start(supervisor.Options{Backoff: steady})
		spec := r.spec("a", kid{})
		alive := spec.Start
		spec.Start = func(ctx context.Context) (actor.PID, error) {
			pid, err := alive(ctx)
			pid.Kill()
			<-pid.Done()
			return pid, err
		}
		r.add(spec)
		assert.Equal(t, supervisor.Restarting, r.state("a"))
		assert.Equal(t, []string{"started a#1", "exited a#1", "restart_scheduled a#1"}, r.happened())
		r.over()
	})
}

func TestChildrenCannotBeAddedBeforeTheFirstAreUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		up := inTheBackground(func() error {
			return r.tryStart(supervisor.Options{Children: []supervisor.ChildSpec{
				r.spec("a", kid{}), r.spec("b", slowStart(time.Second)), r.spec("c", kid{}),
			}})
		})
		synctest.Wait()
		pid, _ := r.sys.Lookup("root")
		sup := pid.Info().Snapshot.(*supervisor.Supervisor)
		_, err := sup.StartChild(t.Context(), r.spec("x", kid{}))
		assert.ErrorIs(t, err, supervisor.ErrStarting)
		_, err = sup.RecycleChild(t.Context(), "a")
		assert.ErrorIs(t, err, supervisor.ErrStarting)
		// Terminating the one that starts must not leave the supervisor waiting for it.
		assert.NoError(t, sup.TerminateChild(t.Context(), "b"))
		assert.NoError(t, <-up)
		assert.Equal(t, []string{"start a", "start c"}, r.notes())
		assert.Equal(t, supervisor.Stopped, r.state("b"))
		r.over()
	})
}
