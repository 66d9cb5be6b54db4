package actor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/understudy-run/understudy/actor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// message is a closure that runs inside the probe: each test writes its own behaviour.
type message func(*actor.Context[message])

// probe is an actor whose every callback can be given.
type probe struct {
	started func(*actor.Context[message]) error
	exiting func(*actor.Context[message], error)
	stopped func(*actor.Context[message], error)
}

func (p *probe) Receive(c *actor.Context[message], m message) { m(c) }
func (p *probe) Started(c *actor.Context[message]) error {
	if p.started == nil {
		return nil
	}
	return p.started(c)
}
func (p *probe) Stopped(c *actor.Context[message], reason error) {
	if p.stopped != nil {
		p.stopped(c, reason)
	}
}

type trapper struct{ probe }

func (t *trapper) Exiting(c *actor.Context[message], reason error) { t.exiting(c, reason) }

func spawn(t *testing.T, s *actor.System, name string, behaviour actor.Actor[message]) actor.Ref[message] {
	t.Helper()
	ref, err := actor.Spawn(s, actor.Spec{Name: name}, behaviour)
	require.NoError(t, err)
	return ref
}

func wait(t *testing.T, pid actor.PID) error {
	t.Helper()
	select {
	case <-pid.Done():
		return pid.Reason()
	case <-time.After(10 * time.Second):
		require.FailNow(t, "actor did not end", "%s: %+v", pid, pid.Info())
		return nil
	}
}

// ask runs f inside the actor and returns its value.
func ask[T any](t *testing.T, ref actor.Ref[message], f func(*actor.Context[message]) T) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	v, err := actor.Ask(ctx, ref, func(r actor.Reply[T]) message {
		return func(c *actor.Context[message]) { r.Send(f(c)) }
	})
	require.NoError(t, err)
	return v
}

func TestMessagesOfOneSenderArriveInOrder(t *testing.T) {
	s := actor.NewSystem(actor.Options{})
	var got []int
	ref := spawn(t, s, "a", &probe{})
	for i := range 5000 {
		require.NoError(t, ref.SendWait(t.Context(), func(*actor.Context[message]) { got = append(got, i) }))
	}
	n := ask(t, ref, func(*actor.Context[message]) int { return len(got) })
	assert.Equal(t, 5000, n)
	for i := range got {
		require.Equal(t, i, got[i])
	}
	ref.Stop(nil)
	assert.ErrorIs(t, wait(t, ref.PID), actor.ErrShutdown)
}

func TestPanicsAndGoexitEndTheActorAlone(t *testing.T) {
	boom := func() { panic("boom") }
	goexit := func() { runtime.Goexit() }
	for _, how := range []struct {
		name string
		do   func()
		want string
	}{{"panic", boom, "panic in %s: boom"}, {"goexit", goexit, "%s: runtime.Goexit called in an actor"}} {
		t.Run(how.name, func(t *testing.T) {
			s := actor.NewSystem(actor.Options{})

			inReceive := spawn(t, s, "receive", &probe{})
			require.NoError(t, inReceive.Send(func(*actor.Context[message]) { how.do() }))
			assert.EqualError(t, wait(t, inReceive.PID), fmt.Sprintf(how.want, "Receive"))

			inStarted := spawn(t, s, "started", &probe{started: func(*actor.Context[message]) error { how.do(); return nil }})
			assert.EqualError(t, wait(t, inStarted.PID), fmt.Sprintf(how.want, "Started"))

			inStopped := spawn(t, s, "stopped", &probe{stopped: func(*actor.Context[message], error) { how.do() }})
			ask(t, inStopped, func(*actor.Context[message]) int { return 0 })
			inStopped.Stop(nil)
			assert.ErrorIs(t, wait(t, inStopped.PID), actor.ErrShutdown, "the reason stays what it was")

			inExiting := spawn(t, s, "exiting", &trapper{probe{exiting: func(*actor.Context[message], error) { how.do() }}})
			ask(t, inExiting, func(*actor.Context[message]) int { return 0 })
			inExiting.Stop(nil)
			assert.EqualError(t, wait(t, inExiting.PID), fmt.Sprintf(how.want, "Exiting"))

			inGo := spawn(t, s, "go", &probe{})
			require.NoError(t, inGo.Send(func(c *actor.Context[message]) {
				c.Go("fetch", func(context.Context) message { how.do(); return nil })
			}))
			assert.EqualError(t, wait(t, inGo.PID), fmt.Sprintf(how.want, "fetch"))

			assert.Empty(t, s.Actors(), "every name is free again")
		})
	}
}

func TestPanicKeepsTheStackAndTheCause(t *testing.T) {
	s := actor.NewSystem(actor.Options{})
	cause := errors.New("cause")
	ref := spawn(t, s, "a", &probe{})
	require.NoError(t, ref.Send(func(*actor.Context[message]) { panic(cause) }))
	reason := wait(t, ref.PID)
	var p *actor.PanicError
	require.ErrorAs(t, reason, &p)
	assert.ErrorIs(t, reason, cause)
	assert.Contains(t, string(p.Stack), "TestPanicKeepsTheStackAndTheCause")
	assert.False(t, actor.Clean(reason))
}

func TestMessagesBehindAPanicBecomeDeadLettersAndAskersLearnAtOnce(t *testing.T) {
	for _, how := range []string{"panic", "goexit"} {
		letters := make(chan any, 20)
		s := actor.NewSystem(actor.Options{DeadLetter: func(_ string, m any) { letters <- m; panic("a hook may panic") }})
		gate := make(chan struct{})
		ref := spawn(t, s, "a", &probe{})
		require.NoError(t, ref.Send(func(*actor.Context[message]) {
			<-gate
			if how == "panic" {
				panic("boom")
			}
			runtime.Goexit()
		}))
		for range 10 {
			require.NoError(t, ref.Send(func(*actor.Context[message]) { t.Error("handled after the panic") }))
		}
		asked := make(chan error)
		go func() {
			_, err := actor.Ask(t.Context(), ref, func(r actor.Reply[int]) message {
				return func(*actor.Context[message]) { r.Send(1) }
			})
			asked <- err
		}()
		for ref.Info().Depth < 11 {
			runtime.Gosched()
		}
		close(gate)
		assert.ErrorIs(t, <-asked, actor.ErrStopped)
		wait(t, ref.PID)
		for range 10 { // the question may have come too late to be taken
			<-letters
		}
		assert.ErrorIs(t, ref.Send(nil), actor.ErrStopped)
	}
}

func TestStopOvertakesWaitingMessages(t *testing.T) {
	s := actor.NewSystem(actor.Options{})
	gate := make(chan struct{})
	ref := spawn(t, s, "a", &probe{})
	require.NoError(t, ref.Send(func(*actor.Context[message]) { <-gate }))
	for range 100 {
		require.NoError(t, ref.Send(func(*actor.Context[message]) { t.Error("handled after Stop") }))
	}
	ref.Stop(fmt.Errorf("%w: enough", actor.ErrShutdown))
	ref.Stop(errors.New("a second request changes nothing"))
	close(gate)
	assert.EqualError(t, wait(t, ref.PID), "shutdown: enough")
}

func TestTrapperEndsItself(t *testing.T) {
	s := actor.NewSystem(actor.Options{})
	calls := 0
	a := &trapper{}
	a.exiting = func(c *actor.Context[message], reason error) {
		calls++
		c.Post(func(c *actor.Context[message]) { c.Exit(fmt.Errorf("after %w", reason)) })
	}
	ref := spawn(t, s, "a", a)
	ask(t, ref, func(*actor.Context[message]) int { return 0 })
	ref.Stop(nil)
	ref.Stop(nil)
	assert.EqualError(t, wait(t, ref.PID), "after shutdown")
	assert.Equal(t, 1, calls)
}

func TestKillAsksNobodyAndWaitsForNobody(t *testing.T) {
	s := actor.NewSystem(actor.Options{})
	release := make(chan struct{})
	defer close(release)
	a := &trapper{}
	a.exiting = func(*actor.Context[message], error) { t.Error("asked") }
	a.stopped = func(*actor.Context[message], error) { t.Error("Stopped called") }
	ref := spawn(t, s, "a", a)
	require.NoError(t, ref.Send(func(c *actor.Context[message]) {
		c.Go("deaf", func(context.Context) message { <-release; return nil })
	}))
	ask(t, ref, func(*actor.Context[message]) int { return 0 })
	ref.Kill()
	ref.Kill()
	assert.ErrorIs(t, wait(t, ref.PID), actor.ErrKilled)
}

func TestKillEndsAStopThatHangs(t *testing.T) {
	s := actor.NewSystem(actor.Options{})
	release := make(chan struct{})
	defer close(release)
	ref := spawn(t, s, "a", &probe{})
	ask(t, ref, func(c *actor.Context[message]) int {
		c.Go("deaf", func(context.Context) message { <-release; return nil })
		return 0
	})
	ref.Stop(nil)
	ref.Kill()
	wait(t, ref.PID)
}

func TestNameIsTakenUntilTheEndIsReported(t *testing.T) {
	s := actor.NewSystem(actor.Options{})
	stopped := make(chan struct{})
	ref := spawn(t, s, "a", &probe{stopped: func(*actor.Context[message], error) { <-stopped }})
	ask(t, ref, func(*actor.Context[message]) int { return 0 })
	ref.Stop(nil)
	_, err := actor.Spawn(s, actor.Spec{Name: "a"}, &probe{})
	assert.ErrorIs(t, err, actor.ErrNameTaken)
	close(stopped)
	wait(t, ref.PID)
	again := spawn(t, s, "a", &probe{})
	assert.NotEqual(t, ref.PID, again.PID)
	again.Stop(nil)
	wait(t, again.PID)

	for _, bad := range []actor.Spec{{}, {Name: "a b"}, {Name: "a\n"}, {Name: "a", Mailbox: -1}} {
		_, err := actor.Spawn(s, bad, &probe{})
		assert.Error(t, err, "%+v", bad)
	}
}

func TestMonitorGivesExactlyOneDown(t *testing.T) {
	s := actor.NewSystem(actor.Options{})
	watcher := spawn(t, s, "watcher", &probe{})
	target := spawn(t, s, "target", &probe{})
	downs := make(chan actor.Down, 10)
	watch := func(pid actor.PID) {
		ask(t, watcher, func(c *actor.Context[message]) int {
			c.Monitor(pid, func(d actor.Down) message { return func(*actor.Context[message]) { downs <- d } })
			return 0
		})
	}
	watch(target.PID)
	why := errors.New("why")
	require.NoError(t, target.Send(func(c *actor.Context[message]) { c.Exit(why) }))
	assert.Equal(t, actor.Down{PID: target.PID, Reason: why}, <-downs)
	watch(target.PID)
	assert.Equal(t, actor.Down{PID: target.PID, Reason: why}, <-downs, "dead before")
	watch(actor.PID{})
	assert.ErrorIs(t, (<-downs).Reason, actor.ErrStopped, "nobody")

	second := spawn(t, s, "target", &probe{})
	ask(t, watcher, func(c *actor.Context[message]) int {
		monitor := c.Monitor(second.PID, func(d actor.Down) message { return func(*actor.Context[message]) { downs <- d } })
		monitor.Stop()
		return 0
	})
	second.Stop(nil)
	wait(t, second.PID)
	ask(t, watcher, func(*actor.Context[message]) int { return 0 })
	assert.Empty(t, downs)
	watcher.Stop(nil)
	wait(t, watcher.PID)
}

func TestMailboxBound(t *testing.T) {
	s := actor.NewSystem(actor.Options{})
	ref, err := actor.Spawn(s, actor.Spec{Name: "a", Mailbox: 3}, &probe{})
	require.NoError(t, err)
	gate := make(chan struct{})
	require.NoError(t, ref.Send(func(*actor.Context[message]) { <-gate }))
	for ref.Info().State != actor.Busy || ref.Info().Depth > 0 {
		runtime.Gosched()
	}
	nothing := func(*actor.Context[message]) {}
	for range 3 {
		require.NoError(t, ref.Send(nothing))
	}
	assert.ErrorIs(t, ref.Send(nothing), actor.ErrMailboxFull)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = ref.SendWait(ctx, nothing)
	assert.ErrorIs(t, err, actor.ErrMailboxFull)
	assert.ErrorIs(t, err, context.Canceled)
	info := ref.Info()
	assert.Equal(t, actor.Busy, info.State)
	assert.Equal(t, 3, info.Depth)
	assert.Equal(t, 3, info.Capacity)
	sent := make(chan error)
	go func() { sent <- ref.SendWait(t.Context(), nothing) }()
	close(gate)
	assert.NoError(t, <-sent)
	ref.Stop(nil)
	wait(t, ref.PID)
	assert.ErrorIs(t, ref.SendWait(t.Context(), nothing), actor.ErrStopped)
	assert.ErrorIs(t, actor.Ref[message]{}.Send(nothing), actor.ErrStopped)
}

func TestAskTimesOutAndIgnoresSecondAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := actor.NewSystem(actor.Options{})
		ref := spawn(t, s, "a", &probe{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		var late actor.Reply[int]
		_, err := actor.Ask(ctx, ref, func(r actor.Reply[int]) message { late = r; return func(*actor.Context[message]) {} })
		assert.ErrorIs(t, err, actor.ErrTimeout)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
		late.Send(1)
		late.Send(2)
		actor.Reply[int]{}.Send(3)
		_, err = actor.Ask(t.Context(), ref, func(r actor.Reply[int]) message {
			return func(*actor.Context[message]) { r.Fail(errors.New("no")); r.Send(4) }
		})
		assert.EqualError(t, err, "no")
		ref.Stop(nil)
		<-ref.Done()
	})
}

func TestTimersDieWithTheActorAndStayStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := actor.NewSystem(actor.Options{})
		ref := spawn(t, s, "a", &probe{})
		var at []time.Duration
		start := time.Now()
		mark := func(*actor.Context[message]) { at = append(at, time.Since(start)) }
		ask(t, ref, func(c *actor.Context[message]) int {
			c.After(2*time.Second, mark)
			c.After(time.Second, mark)
			stopped := c.After(3*time.Second, mark)
			stopped.Stop()
			stopped.Stop()
			(&actor.Timer{}).Stop()
			(*actor.Timer)(nil).Stop()
			c.After(time.Hour, mark)
			return 0
		})
		time.Sleep(5 * time.Second) // of the bubble, as all sleeps here: no time passes
		synctest.Wait()
		assert.Equal(t, []time.Duration{time.Second, 2 * time.Second}, at)
		ref.Stop(nil)
		<-ref.Done()
		time.Sleep(2 * time.Hour) // of the bubble
		assert.Len(t, at, 2)
	})
}

func TestStopWaitsForTheActorsGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := actor.NewSystem(actor.Options{})
		ref := spawn(t, s, "a", &probe{})
		ask(t, ref, func(c *actor.Context[message]) int {
			c.Go("slow", func(ctx context.Context) message { <-ctx.Done(); time.Sleep(time.Second); return nil })
			return 0
		})
		start := time.Now()
		ref.Stop(nil)
		<-ref.Done()
		assert.Equal(t, time.Second, time.Since(start))
	})
}

func TestPublishedSnapshotIsReadPastABusyActor(t *testing.T) {
	s := actor.NewSystem(actor.Options{})
	ref := spawn(t, s, "a", &probe{})
	gate := make(chan struct{})
	require.NoError(t, ref.Send(func(c *actor.Context[message]) { c.Publish("mine"); <-gate }))
	for ref.Info().Snapshot == nil {
		runtime.Gosched()
	}
	assert.Equal(t, "mine", ref.Info().Snapshot)
	assert.Equal(t, actor.Busy, ref.Info().State)
	close(gate)
	ref.Stop(nil)
	wait(t, ref.PID)
	assert.Equal(t, actor.Ended, ref.Info().State)
	assert.Equal(t, actor.Ended, actor.PID{}.Info().State)
}

func TestAThousandActorsSpawnedStoppedAndAskedAtOnceLeaveNothing(t *testing.T) {
	s := actor.NewSystem(actor.Options{})
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			ref, err := actor.Spawn(s, actor.Spec{Name: fmt.Sprintf("a/%d", i)}, &probe{})
			if !assert.NoError(t, err) {
				return
			}
			for range 4 {
				all.Go(func() {
					_, err := actor.Ask(t.Context(), ref, func(r actor.Reply[int]) message {
						return func(*actor.Context[message]) { r.Send(1) }
					})
					if err != nil {
						assert.ErrorIs(t, err, actor.ErrStopped)
					}
				})
				all.Go(func() { ref.Stop(nil); <-ref.Done() })
			}
		})
	}
	all.Wait()
	assert.Empty(t, s.Actors())
}

func TestLinkedActorsEndWithTheirOwnerAndBeforeItsEndIsReported(t *testing.T) {
	for _, end := range []struct {
		name string
		end  func(actor.Ref[message])
	}{
		{"stop", func(r actor.Ref[message]) { r.Stop(nil) }},
		{"kill", func(r actor.Ref[message]) { r.Kill() }},
		{"panic", func(r actor.Ref[message]) { _ = r.Send(func(*actor.Context[message]) { panic("boom") }) }},
	} {
		t.Run(end.name, func(t *testing.T) {
			s := actor.NewSystem(actor.Options{})
			owner := spawn(t, s, "owner", &probe{})
			bound, free := spawn(t, s, "bound", &probe{}), spawn(t, s, "free", &probe{})
			owner.Link(bound.PID)
			twice := owner.Link(bound.PID)
			twice.Cut() // one of two
			twice.Cut()
			owner.Link(free.PID).Cut()
			owner.Link(actor.PID{}).Cut()
			late := owner.Link(bound.PID)
			end.end(owner)
			wait(t, owner.PID)
			late.Cut()
			assert.False(t, bound.Alive())
			assert.ErrorIs(t, bound.Reason(), actor.ErrKilled)
			assert.True(t, free.Alive())
			owner.Link(free.PID)
			assert.ErrorIs(t, wait(t, free.PID), actor.ErrKilled, "linked to an actor that has ended")
		})
	}
}

func TestDeafLinkedActorHoldsItsOwnersEndUpForFiveSecondsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := actor.NewSystem(actor.Options{})
		release := make(chan struct{})
		owner, deaf := spawn(t, s, "owner", &probe{}), spawn(t, s, "deaf", &probe{})
		require.NoError(t, deaf.Send(func(*actor.Context[message]) { <-release }))
		synctest.Wait()
		owner.Link(deaf.PID)
		start := time.Now()
		owner.Kill()
		<-owner.Done()
		assert.Equal(t, 5*time.Second, time.Since(start))
		assert.True(t, deaf.Alive())
		close(release)
		<-deaf.Done()
	})
}

func TestFailingOfAnothersShutdownIsNotClean(t *testing.T) {
	for _, tt := range []struct {
		reason error
		want   bool
	}{
		{nil, true},
		{actor.ErrShutdown, true},
		{fmt.Errorf("%w: for the night", actor.ErrShutdown), true},
		{actor.ErrKilled, false},
		{errors.New("boom"), false},
		{&actor.PanicError{Value: actor.ErrShutdown}, false},
		{fmt.Errorf("ask audit: %w", &actor.StoppedError{Name: "audit", Reason: actor.ErrShutdown}), false},
	} {
		assert.Equal(t, tt.want, actor.Clean(tt.reason), "%v", tt.reason)
	}
}
