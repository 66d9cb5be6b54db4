package supervisor_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

// deafen blocks a child in a message until release is called; neither a stop nor a kill reaches it.
func (r *rig) deafen(id string) (release func()) {
	r.t.Helper()
	gate := make(chan struct{})
	require.NoError(r.t, r.ref(id).Send(func(*actor.Context[message]) { <-gate }))
	synctest.Wait()
	return func() { close(gate); synctest.Wait() }
}

func TestS02StopEndsTheChildrenInReverseOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{
			r.spec("a", slowStop(time.Second)), r.spec("b", slowStop(2*time.Second)), r.spec("c", slowStop(time.Second)),
		}})
		r.add(r.spec("d", kid{}))
		r.notes()
		r.happened()
		took := elapsed(func() { require.NoError(t, r.sup.Stop(t.Context())) })
		assert.Equal(t, 4*time.Second, took, "one after the other")
		assert.ErrorIs(t, r.sup.PID().Reason(), actor.ErrShutdown)
		assert.Empty(t, r.sys.Actors(), "nothing runs after it reports")
		assert.Equal(t, []string{"stop d shutdown", "stop c shutdown", "stop b shutdown", "stop a shutdown"}, r.notes())
		assert.Equal(t, []string{"stopped d#1", "stopped c#1", "stopped b#1", "stopped a#1"}, r.happened())
		assert.NoError(t, r.sup.Stop(t.Context()), "again")
		r.over()
	})
}

func TestS63IndependentChildrenAreStoppedInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var specs []supervisor.ChildSpec
		for i := range 20 {
			specs = append(specs, r.spec(fmt.Sprint("c", i), slowStop(50*time.Millisecond)))
		}
		r.start(supervisor.Options{Independent: true, Children: specs})
		assert.Equal(t, 50*time.Millisecond, elapsed(func() { require.NoError(t, r.sup.Stop(t.Context())) }))
		r.over()
	})
}

func TestS63IndependentChildrenAreStoppedWithinTheLongestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var specs []supervisor.ChildSpec
		for i := range 5 {
			specs = append(specs, r.spec(fmt.Sprint("c", i), kid{}, shutdown(supervisor.Within(time.Second))))
		}
		r.start(supervisor.Options{Independent: true, Children: specs})
		var releases []func()
		for i := range 5 {
			releases = append(releases, r.deafen(fmt.Sprint("c", i)))
		}
		assert.Equal(t, 6*time.Second, elapsed(func() { require.NoError(t, r.sup.Stop(t.Context())) }))
		for _, release := range releases {
			release()
		}
		r.over()
	})
}

func TestS28ChildThatIgnoresItsShutdownIsKilledAtTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{
			r.spec("a", kid{trap: func(*actor.Context[message], error) { r.note("asked") }}, shutdown(supervisor.Within(3*time.Second))),
		}})
		pid := r.ref("a").PID
		r.happened()
		assert.Equal(t, 3*time.Second, elapsed(func() { require.NoError(t, r.sup.TerminateChild(t.Context(), "a")) }))
		assert.ErrorIs(t, pid.Reason(), actor.ErrKilled)
		assert.Equal(t, []string{"start a", "asked"}, r.notes())
		events := r.takeEvents()
		require.Len(t, events, 2)
		assert.Equal(t, supervisor.ChildKilled, events[0].Kind)
		assert.Equal(t, pid, events[0].PID)
		assert.Equal(t, r.begun.Add(3*time.Second), events[0].Time)
		assert.Equal(t, supervisor.ChildStopped, events[1].Kind)
		assert.Equal(t, actor.ErrKilled, events[1].Reason)
		r.over()
	})
}

func TestS29BrutalKillDoesNotAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{
			r.spec("a", kid{trap: func(*actor.Context[message], error) { r.note("asked") }}, shutdown(supervisor.BrutalKill)),
		}})
		pid := r.ref("a").PID
		assert.Zero(t, elapsed(func() { require.NoError(t, r.sup.TerminateChild(t.Context(), "a")) }))
		assert.ErrorIs(t, pid.Reason(), actor.ErrKilled)
		assert.Equal(t, []string{"start a"}, r.notes())
		r.over()
	})
}

func TestS30InfinityWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("a", slowStop(1000*time.Hour), shutdown(supervisor.Infinity))}})
		assert.Equal(t, 1000*time.Hour, elapsed(func() { require.NoError(t, r.sup.Stop(t.Context())) }))
		assert.NotContains(t, r.happened(), "killed a#1")
		r.over()
	})
}

func TestS31ChildThatDiesOfItsOwnWhileBeingStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{
			r.spec("a", kid{}),
			r.spec("b", kid{trap: func(c *actor.Context[message], _ error) {
				c.After(time.Second, func(*actor.Context[message]) { panic("in the end") })
			}}),
		}})
		r.happened()
		assert.Equal(t, time.Second, elapsed(func() { require.NoError(t, r.sup.Stop(t.Context())) }))
		events := r.takeEvents()
		require.Len(t, events, 2)
		assert.Equal(t, "b", events[0].Child)
		assert.ErrorContains(t, events[0].Reason, "panic in Receive: in the end")
		assert.Equal(t, "a", events[1].Child)
		r.over()
	})
}

// The one that dies is not the one whose turn it is.
func TestS31S65ChildThatCrashesWhileOthersAreStoppedIsNotRestarted(t *testing.T) {
	for _, backoff := range []supervisor.Backoff{{}, steady} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.start(supervisor.Options{Intensity: intensity(0, time.Second), Backoff: backoff, Children: []supervisor.ChildSpec{
				r.spec("a", kid{}), r.spec("b", kid{}), r.spec("c", slowStop(4*time.Second)),
			}})
			r.notes()
			r.happened()
			stopped := inTheBackground(func() error { return r.sup.Stop(t.Context()) })
			time.Sleep(time.Second)
			r.exit("b", errBoom)
			assert.Equal(t, supervisor.Stopped, r.state("b"))
			require.NoError(t, <-stopped)
			assert.Equal(t, 4*time.Second, time.Since(r.begun))
			assert.Equal(t, []string{"stop b boom", "stop c shutdown", "stop a shutdown"}, r.notes())
			assert.Equal(t, []string{"exited b#1", "stopped b#1", "stopped c#1", "stopped a#1"}, r.happened())
			assert.ErrorIs(t, r.sup.PID().Reason(), actor.ErrShutdown)
			r.over()
		})
	}
}

// Waiting out a backoff, starting again, and in a loop of failing restarts, each behind a sibling
// that takes its time to stop.
func TestS65StopEndsWhatIsOnItsWayBackAtOnce(t *testing.T) {
	failing := kid{start: func(_ context.Context, n int) error {
		if n > 1 {
			return errBoom
		}
		return nil
	}}
	starting := kid{start: func(ctx context.Context, n int) error {
		if n == 1 {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}}
	for _, independent := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			slow := supervisor.Backoff{Initial: 4 * time.Second, Factor: 1}
			r.start(supervisor.Options{Independent: independent, Intensity: intensity(1000, time.Second), Children: []supervisor.ChildSpec{
				r.spec("waiting", kid{}, func(s *supervisor.ChildSpec) { s.Backoff = &slow }),
				r.spec("failing", failing, func(s *supervisor.ChildSpec) { s.Backoff = &steady }),
				r.spec("starting", starting),
				r.spec("slow", slowStop(10*time.Second), shutdown(supervisor.Infinity)),
			}})
			for _, id := range []string{"waiting", "failing", "starting"} {
				r.exit(id, errBoom)
			}
			time.Sleep(3500 * time.Millisecond)
			stopped := inTheBackground(func() error { return r.sup.Stop(t.Context()) })
			synctest.Wait()
			for _, id := range []string{"waiting", "failing", "starting"} {
				assert.Equal(t, supervisor.Stopped, r.state(id), id)
				assert.True(t, r.child(id).NextTry.IsZero())
			}
			r.notes()
			assert.NoError(t, <-stopped)
			assert.Equal(t, 13500*time.Millisecond, time.Since(r.begun))
			assert.Equal(t, []string{"stop slow shutdown"}, r.notes())
			assert.Len(t, r.startsOf("waiting"), 1)
			assert.Len(t, r.startsOf("failing"), 4)
			assert.Len(t, r.startsOf("starting"), 2)
			r.over()
		})
	}
}

func TestEveryCallIsAnsweredWhileTheSupervisorStopsAndAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{
			r.spec("a", kid{}), r.spec("down", kid{}), r.spec("slow", slowStop(time.Second)),
		}})
		require.NoError(t, r.sup.TerminateChild(t.Context(), "down"))
		ctx := t.Context()
		calls := map[string]func() error{
			"start":          func() error { _, err := r.sup.StartChild(ctx, r.spec("x", kid{})); return err },
			"restart":        func() error { _, err := r.sup.RestartChild(ctx, "down"); return err },
			"recycle":        func() error { _, err := r.sup.RecycleChild(ctx, "a"); return err },
			"recycle slow":   func() error { _, err := r.sup.RecycleChild(ctx, "slow"); return err },
			"delete":         func() error { return r.sup.DeleteChild(ctx, "down") },
			"delete a":       func() error { return r.sup.DeleteChild(ctx, "a") },
			"terminate none": func() error { return r.sup.TerminateChild(ctx, "none") },
		}
		stopped := inTheBackground(func() error { return r.sup.Stop(ctx) })
		synctest.Wait()
		assert.Zero(t, elapsed(func() {
			for name, call := range calls {
				want := supervisor.ErrStopping
				if name == "terminate none" {
					want = supervisor.ErrNotFound
				}
				assert.ErrorIs(t, call(), want, name)
			}
			assert.Equal(t, supervisor.Stopping, r.tree().State)
			assert.Equal(t, supervisor.Running, r.state("a"))
			assert.NoError(t, r.sup.TerminateChild(ctx, "a"), "out of its turn")
			assert.NoError(t, r.sup.TerminateChild(ctx, "down"))
		}))
		assert.NoError(t, r.sup.TerminateChild(ctx, "slow"), "joins the stop")
		assert.Equal(t, time.Second, time.Since(r.begun))
		assert.NoError(t, <-stopped)
		for name, call := range calls {
			assert.ErrorIs(t, call(), actor.ErrStopped, name)
		}
		assert.ErrorIs(t, r.sup.TerminateChild(ctx, "a"), actor.ErrStopped)
		r.over()
	})
}

func TestCallersWhoWaitLearnThatTheSupervisorEnds(t *testing.T) {
	for _, how := range []string{"stop", "kill", "give up"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.start(supervisor.Options{Intensity: intensity(0, time.Second), Children: []supervisor.ChildSpec{
				r.spec("a", kid{}), r.spec("slow", slowStop(3*time.Second)), r.spec("again", slowStop(3*time.Second)),
			}})
			ctx := t.Context()
			started := inTheBackground(func() error { _, err := r.sup.StartChild(ctx, r.spec("x", slowStart(time.Hour))); return err })
			ended := inTheBackground(func() error { return r.sup.TerminateChild(ctx, "slow") })
			recycled := inTheBackground(func() error { _, err := r.sup.RecycleChild(ctx, "again"); return err })
			synctest.Wait()
			switch how {
			case "stop":
				r.sup.PID().Stop(nil)
			case "kill":
				r.sup.PID().Kill()
			case "give up":
				r.exit("a", errBoom)
			}
			want := supervisor.ErrStopping
			if how == "kill" {
				want = actor.ErrStopped
				assert.ErrorIs(t, <-ended, want)
			} else {
				assert.NoError(t, <-ended)
			}
			assert.ErrorIs(t, <-started, want, how)
			assert.ErrorIs(t, <-recycled, want, how)
			<-r.sup.PID().Done()
			assert.Equal(t, 3*time.Second, time.Since(r.begun))
			r.over()
		})
	}
}

func TestDeafChildIsAbandonedAndItsNameStaysTaken(t *testing.T) {
	for _, typ := range []supervisor.Restart{supervisor.Permanent, supervisor.Temporary} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.start(supervisor.Options{Children: []supervisor.ChildSpec{
				r.spec("a", kid{}, shutdown(supervisor.Within(2*time.Second)), restart(typ)),
			}})
			release := r.deafen("a")
			r.happened()
			assert.Equal(t, 7*time.Second, elapsed(func() { require.NoError(t, r.sup.TerminateChild(t.Context(), "a")) }))
			events := r.takeEvents()
			require.Len(t, events, 2)
			assert.Equal(t, supervisor.ChildKilled, events[0].Kind)
			assert.Equal(t, supervisor.ChildStopped, events[1].Kind)
			assert.ErrorContains(t, events[1].Reason, "abandoned: still running 5s after it was killed")

			var err error
			if typ == supervisor.Temporary {
				_, err = r.sup.StartChild(t.Context(), r.spec("a", kid{}))
			} else {
				assert.Equal(t, supervisor.Stopped, r.state("a"))
				_, err = r.sup.RestartChild(t.Context(), "a")
			}
			assert.ErrorIs(t, err, actor.ErrNameTaken)
			r.happened()

			// Its end, when it comes, is nobody's news: the child is not brought back.
			release()
			assert.Empty(t, r.happened())
			assert.Empty(t, r.sys.Actors()[1:])
			if typ == supervisor.Temporary {
				r.add(r.spec("a", kid{}))
			} else {
				assert.Equal(t, supervisor.Stopped, r.state("a"))
				_, err = r.sup.RestartChild(t.Context(), "a")
				require.NoError(t, err)
			}
			r.over()
		})
	}
}

func TestS64AThousandStopsOfOneChildJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{
			r.spec("a", kid{trap: func(c *actor.Context[message], reason error) {
				asked++
				c.After(time.Second, func(c *actor.Context[message]) { c.Exit(reason) })
			}}),
		}})
		r.happened()
		var outcomes []<-chan error
		for range 1000 {
			outcomes = append(outcomes, inTheBackground(func() error { return r.sup.TerminateChild(t.Context(), "a") }))
		}
		for _, outcome := range outcomes {
			assert.NoError(t, <-outcome)
		}
		assert.Equal(t, time.Second, time.Since(r.begun))
		assert.Equal(t, 1, asked)
		assert.Equal(t, []string{"stopped a#1"}, r.happened())
		r.over()
	})
}

func TestS66StopHookThatPanicsBlocksOrAsksItsSupervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		blocked := make(chan struct{})
		var answer supervisor.Node
		var answered error
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{
			r.spec("panics", kid{stopped: func(*actor.Context[message], error) { panic("in Stopped") }}),
			r.spec("blocks", kid{stopped: func(*actor.Context[message], error) { <-blocked }}, shutdown(supervisor.Within(time.Second))),
			r.spec("asks", kid{stopped: func(*actor.Context[message], error) {
				answer, answered = r.sup.Child(context.Background(), "asks")
			}}),
		}})
		r.happened()
		assert.Equal(t, 6*time.Second, elapsed(func() { require.NoError(t, r.sup.Stop(t.Context())) }))
		require.NoError(t, answered)
		assert.Equal(t, supervisor.Stopping, answer.State)
		assert.Equal(t, []string{"stopped asks#1", "killed blocks#1", "stopped blocks#1", "stopped panics#1"}, r.happened())
		close(blocked)
		r.over()
	})
}

func TestS67TheNextIncarnationStartsWhenTheOldOneAndItsCleanUpAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late []string
		r := newRig(t)
		r.start(supervisor.Options{Children: []supervisor.ChildSpec{r.spec("a", kid{
			started: func(c *actor.Context[message], n int) error {
				if n == 1 {
					c.Go("clean up", func(ctx context.Context) message {
						<-ctx.Done()
						time.Sleep(2 * time.Second)
						r.note("cleaned up")
						return func(*actor.Context[message]) { late = append(late, "result") }
					})
				}
				return nil
			},
			stopped: func(*actor.Context[message], error) { time.Sleep(time.Second) },
		})}})
		old := r.ref("a")
		r.notes()
		pid, err := r.sup.RecycleChild(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, 3*time.Second, time.Since(r.begun))
		assert.Equal(t, []string{"stop a shutdown", "cleaned up", "start a"}, r.notes())
		assert.NotEqual(t, old.PID, pid)
		assert.ErrorIs(t, old.Send(func(*actor.Context[message]) { late = append(late, "message") }), actor.ErrStopped)
		synctest.Wait()
		assert.Empty(t, late)

		// The same by hand: terminate, then restart.
		stopped := inTheBackground(func() error { return r.sup.TerminateChild(t.Context(), "a") })
		synctest.Wait()
		_, err = r.sup.RestartChild(t.Context(), "a")
		assert.ErrorIs(t, err, supervisor.ErrRunning, "still stopping")
		assert.NoError(t, <-stopped)
		_, err = r.sup.RestartChild(t.Context(), "a")
		assert.NoError(t, err)
		r.over()
	})
}

func TestStopOfManyChildrenThatWaitForTheirRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 2000
		r := newRig(t)
		r.start(supervisor.Options{Intensity: intensity(n, time.Second), Backoff: supervisor.Backoff{Initial: time.Hour}})
		for i := range n {
			r.add(r.spec(fmt.Sprint("c", i), kid{}))
		}
		for i := range n {
			r.ref(fmt.Sprint("c", i)).Kill()
		}
		synctest.Wait()
		r.happened()
		require.NoError(t, r.sup.Stop(t.Context()))
		got := r.happened()
		require.Len(t, got, n, "each is reported once")
		slices.Sort(got)
		assert.Len(t, slices.Compact(got), n)
		r.over()
	})
}

func TestShutdownAsText(t *testing.T) {
	for _, tt := range []struct {
		text  string
		want  supervisor.Shutdown
		grace time.Duration
		ok    bool
	}{
		{"5s", supervisor.Within(5 * time.Second), 5 * time.Second, true},
		{" 1m30s ", supervisor.Within(90 * time.Second), 90 * time.Second, true},
		{"brutal_kill", supervisor.BrutalKill, 0, true},
		{"infinity", supervisor.Infinity, 0, false},
	} {
		var got supervisor.Shutdown
		require.NoError(t, got.UnmarshalText([]byte(tt.text)), tt.text)
		assert.Equal(t, tt.want, got, tt.text)
		grace, limited := got.Grace()
		assert.Equal(t, tt.grace, grace, tt.text)
		assert.Equal(t, tt.ok, limited, tt.text)
		text, err := got.MarshalText()
		require.NoError(t, err)
		var again supervisor.Shutdown
		require.NoError(t, again.UnmarshalText(text))
		assert.Equal(t, got, again)
	}
	for _, bad := range []string{"", "0s", "-1s", "5", "kill", "Infinity", "soon"} {
		var got supervisor.Shutdown
		err := got.UnmarshalText([]byte(bad))
		assert.EqualError(t, err, fmt.Sprintf("shutdown %q: expected brutal_kill, infinity, or a duration above zero such as 5s", bad))
	}
	assert.Equal(t, supervisor.BrutalKill, supervisor.Within(0))
	assert.Equal(t, supervisor.BrutalKill, supervisor.Within(-time.Second))
	assert.Equal(t, "5s", supervisor.Shutdown{}.String())
	var r supervisor.Restart
	require.NoError(t, r.UnmarshalText([]byte("transient")))
	assert.Equal(t, supervisor.Transient, r)
	assert.EqualError(t, r.UnmarshalText([]byte("always")), `restart "always": expected permanent, transient or temporary`)
}
