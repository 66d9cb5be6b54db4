package session_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/supervisor"
)

// until waits for a state.
func (b *bench) until(state session.State) session.Info {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return b.Info().State == state }, time.Minute, time.Millisecond, "%s; %+v", state, b.Info())
	return b.Info()
}

func governed(t *testing.T, limits session.Limits) *session.Governor {
	t.Helper()
	g, err := session.NewGovernor(limits, "", nil)
	require.NoError(t, err)
	return g
}

// Fault: an idle session's process is ended to save memory, and a query comes
// Outcome: the next generation goes on with the conversation and the total; it counts as no restart, and needs no supervisor
// On: simulated
func TestHibernation(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.IdleTimeout = 50 * time.Millisecond
	b := start(t, sp)
	b.mustAsk("before")
	asleep := b.until(session.Hibernated)
	assert.Zero(t, asleep.PID)
	answer := b.mustAsk("[[history]]")
	assert.Equal(t, "history: before", answer.Text)
	info := b.Info()
	assert.Equal(t, 2, info.Generation)
	assert.Equal(t, asleep.SessionID, info.SessionID)
	assert.InDelta(t, 0.01, info.CostUSD, 1e-9)
	assert.Zero(t, info.Restarts)
	for len(b.told) > 0 {
		assert.Equal(t, supervisor.ChildStarted, (<-b.told).Kind, "the supervisor knows of one start only")
	}
}

// Fault: a control request, a stop, an interrupt and a crash while a session hibernates or wakes up
// Outcome: the request wakes it up and is answered; the interrupt has nothing to do; the stop is at once; a process that does
// not come up is a crash like any other, and the query waits for the next
// On: simulated
func TestWhatHappensToASleepingSession(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.IdleTimeout = 50 * time.Millisecond
	b := start(t, sp)
	b.mustAsk("before")
	b.until(session.Hibernated)
	require.NoError(t, b.Interrupt(t.Context()))
	assert.Equal(t, session.Hibernated, b.Info().State)
	require.NoError(t, b.SetModel(t.Context(), "haiku"))
	assert.Equal(t, 2, b.Info().Generation)
	b.mustAsk("hello")
	assert.Contains(t, b.Info().Model, "haiku")

	b.until(session.Hibernated)
	_, err := b.ask("[[crash]]")
	var crash *session.CrashError
	require.ErrorAs(t, err, &crash)
	b.mustAsk("hello")
	assert.Equal(t, 1, b.Info().Restarts)

	b.until(session.Hibernated)
	began := time.Now()
	require.NoError(t, b.sup.TerminateChild(t.Context(), "a"))
	assert.Less(t, time.Since(began), 5*time.Second)
	assert.Equal(t, session.Stopped, b.Info().State)
}

// Fault: a background shell runs behind an idle session
// Outcome: the session is not hibernated as long as it runs
// On: simulated
func TestBackgroundWorkKeepsASessionAwake(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.IdleTimeout = 50 * time.Millisecond
	b := start(t, sp)
	quick := spec(t, "quick") // it lies down after the same time, and later than this one would
	quick.Options.IdleTimeout = sp.Options.IdleTimeout
	b.mustAsk(`[[frame:{"type":"system","subtype":"background_tasks_changed","tasks":[{"task_id":"b1","task_type":"local_bash","description":"x"}]}]]`)
	other := start(t, quick)
	other.mustAsk("hello")
	other.until(session.Hibernated)
	assert.Equal(t, session.Idle, b.Info().State)
	b.mustAsk(`[[frame:{"type":"system","subtype":"background_tasks_changed","tasks":[]}]]`)
	b.until(session.Hibernated)
}

// Fault: a session that hibernates is woken by a control request; one has a query that waits for the end of a usage limit, or for one of the
// turns that may run, and is taken back
// Outcome: each hibernates again
// On: simulated
func TestWhatCameToNothingKeepsNoSessionAwake(t *testing.T) {
	t.Run("a request", func(t *testing.T) {
		t.Parallel()
		sp := spec(t, "a")
		sp.Options.IdleTimeout = 50 * time.Millisecond
		b := start(t, sp)
		b.until(session.Hibernated)
		require.NoError(t, b.SetModel(t.Context(), "haiku"))
		b.until(session.Hibernated)
		assert.Equal(t, 2, b.Info().Generation)
	})
	waits := func(t *testing.T, b *bench, waits func(session.Info) bool) {
		ctx, leave := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() { // ends with ctx
			_, err := session.Collect(b.Query(ctx, "not answered"))
			gone <- err
		}()
		require.Eventually(t, func() bool { return waits(b.Info()) }, time.Minute, time.Millisecond)
		leave()
		require.ErrorIs(t, <-gone, context.Canceled)
		b.until(session.Hibernated)
		assert.Zero(t, b.Info().HeldUntil)
	}
	t.Run("a query that is held", func(t *testing.T) {
		t.Parallel()
		all, _ := crowd(t, 1, session.Limits{}, func(o *session.Options) { o.IdleTimeout = 50 * time.Millisecond })
		_, err := all[0].ask(rejected(time.Now().Add(time.Hour)) + "[[status:400]]")
		require.Error(t, err)
		waits(t, all[0], func(info session.Info) bool { return info.State == session.Held })
	})
	t.Run("a query that waits for a turn", func(t *testing.T) {
		t.Parallel()
		all, _ := crowd(t, 2, session.Limits{MaxBusy: 1}, func(o *session.Options) { o.IdleTimeout = 50 * time.Millisecond })
		first, rest := all[0].background("[[say:first]][[nofinish]]")
		<-first
		waits(t, all[1], func(info session.Info) bool { return info.Waits == "max_busy" })
		require.NoError(t, all[0].Interrupt(t.Context()))
		require.Error(t, <-rest)
	})
}

// Fault: the process of a session that is to hibernate writes a line that is no frame, when its stdin has ended
// Outcome: the next query is answered by the next process
// On: simulated
func TestLastWordsOfAProcessThatIsEnded(t *testing.T) {
	sp := spec(t, "a")
	sp.CLI = session.CLI{Path: "/bin/sh", Args: append([]string{"-c", `"$0" "$@"; echo goodbye`, sp.CLI.Path}, sp.CLI.Args...)}
	sp.Options.IdleTimeout = 50 * time.Millisecond
	b := start(t, sp)
	b.mustAsk("before")
	b.until(session.Hibernated)
	require.Positive(t, b.Info().NoiseLines)
	assert.Equal(t, "history: before", b.mustAsk("[[history]]").Text)
	assert.Zero(t, b.Info().Restarts)
}

// Fault: a session needs a process and there is no room, and the one that has been idle for longest has a query that waits for the end of a
// usage limit
// Outcome: another one makes room
// On: simulated
func TestRoomIsMadeByOneThatCan(t *testing.T) {
	g := governed(t, session.Limits{MaxProcesses: 2})
	named := func(name, key string) session.Spec {
		sp := spec(t, name)
		sp.Governor, sp.Options.IdleTimeout = g, time.Hour
		sp.Options.APIKey = session.Secret(key)
		return sp
	}
	held, idle := start(t, named("held", "sk-made-up-one")), start(t, named("idle", "sk-made-up-two"))
	_, err := held.ask(rejected(time.Now().Add(time.Hour)) + "[[status:400]]")
	require.Error(t, err)
	idle.mustAsk("hello")
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() { // ends with ctx
		defer close(gone)
		_, _ = session.Collect(held.Query(ctx, "waits"))
	}()
	held.until(session.Held)
	start(t, named("third", "sk-made-up-two")).mustAsk("hello")
	idle.until(session.Hibernated)
	leave()
	<-gone
}

// crowd is sessions under one supervisor and one governor.
func crowd(t *testing.T, n int, limits session.Limits, change func(*session.Options)) ([]*bench, *session.Governor) {
	g := governed(t, limits)
	all := make([]*bench, n)
	for i := range n {
		sp := spec(t, fmt.Sprint("s", i))
		sp.Governor = g
		if change != nil {
			change(&sp.Options)
		}
		all[i] = start(t, sp)
	}
	return all, g
}

// Fault: ten sessions, and room for three processes
// Outcome: all are there, and all answer: whoever has been idle for longest makes room. There are never more than three
// On: simulated
func TestMoreSessionsThanProcesses(t *testing.T) {
	const sessions, processes = 10, 3
	g := governed(t, session.Limits{MaxProcesses: processes})
	var mu sync.Mutex
	most, pids := 0, make(map[int]bool)
	count := func(m session.Moment) {
		mu.Lock()
		defer mu.Unlock()
		if m.Kind != session.ProcessStarted {
			return
		}
		pids[m.PID] = true
		// Who has ended may be told of later than who has come in its place.
		maps.DeleteFunc(pids, func(pid int, _ bool) bool { return !running(strconv.Itoa(pid)) })
		most = max(most, len(pids))
	}
	var all []*bench
	for i := range sessions {
		sp := spec(t, fmt.Sprint("s", i))
		sp.Governor, sp.OnMoment, sp.Options.IdleTimeout = g, count, time.Hour
		all = append(all, start(t, sp))
	}
	var asks sync.WaitGroup
	for _, b := range all {
		asks.Go(func() {
			for i := range 2 {
				answer, err := b.ask(fmt.Sprint("hello ", i))
				if assert.NoError(t, err) {
					assert.Equal(t, fmt.Sprint("echo: hello ", i), answer.Text)
				}
			}
		})
	}
	asks.Wait()
	mu.Lock()
	assert.Equal(t, processes, most)
	mu.Unlock()
	for _, b := range all {
		assert.Zero(t, b.Info().Restarts)
	}
}

// Fault: a session needs a process and there is no room for one, and it is stopped meanwhile
// Outcome: it says for what it waits; the stop is at once, and takes nobody's room
// On: simulated
func TestStopWhileThereIsNoRoom(t *testing.T) {
	g := governed(t, session.Limits{MaxProcesses: 1})
	first := spec(t, "first")
	first.Governor = g
	one := start(t, first)
	one.mustAsk("hello")

	second := spec(t, "second")
	second.Governor = g
	b := &bench{t: t, sys: one.sys, told: make(chan supervisor.Event, 100)}
	made, err := session.New(one.sys, second)
	require.NoError(t, err)
	b.Session = made
	failed := make(chan error, 1)
	go func() {
		_, err := one.sup.StartChild(t.Context(), made.ChildSpec(supervisor.DefaultIntensity, supervisor.Backoff{}))
		failed <- err
	}()
	require.Eventually(t, func() bool { return b.Info().Waits == "max_processes" }, time.Minute, time.Millisecond)
	require.NoError(t, one.sup.TerminateChild(t.Context(), "second"))
	require.Error(t, <-failed)
	one.mustAsk("hello")
}

// Fault: three sessions have prompts, and two turns may run
// Outcome: never more than two turns run; the third waits and says for what; all are answered
// On: simulated
func TestMoreTurnsThanMayRun(t *testing.T) {
	all, g := crowd(t, 3, session.Limits{MaxBusy: 2}, nil)
	dir := t.TempDir()
	count := fmt.Sprintf(`mkdir -p %[1]s/now; touch %[1]s/now/$$; ls %[1]s/now | wc -l >> %[1]s/seen; read -t 0.1 < /dev/zero; rm %[1]s/now/$$`, dir)
	var asks sync.WaitGroup
	for _, b := range all {
		asks.Go(func() {
			for range 3 {
				_, err := b.ask(`[[tool:Bash {"command":` + strconv.Quote(count) + `}]]`)
				assert.NoError(t, err)
			}
		})
	}
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(all, func(b *bench) bool { return b.Info().Waits == "max_busy" })
	}, time.Minute, time.Millisecond)
	asks.Wait()
	seen, err := os.ReadFile(filepath.Join(dir, "seen"))
	require.NoError(t, err)
	turns := strings.Fields(string(seen))
	assert.Len(t, turns, 9)
	assert.Contains(t, turns, "2")
	assert.NotContains(t, turns, "3")
	assert.Eventually(t, func() bool { return g.Usage().Busy == 0 }, time.Minute, time.Millisecond, "the last is given back behind its answer")
}

// Fault: a session is killed, crashes and is stopped while it has one of the turns that may run
// Outcome: the turn is given back each time
// On: simulated
func TestATurnIsGivenBackHoweverItEnds(t *testing.T) {
	all, g := crowd(t, 2, session.Limits{MaxBusy: 1, MaxProcesses: 2, MaxStarting: 1}, func(o *session.Options) {
		o.Shutdown = supervisor.Within(2 * time.Second)
	})
	_, err := all[0].ask("[[crash]]")
	require.Error(t, err)
	all[1].mustAsk("hello")
	first, rest := all[0].background("[[hang]]")
	<-first
	all[0].kill()
	require.Error(t, <-rest)
	all[1].mustAsk("hello")
	all[0].mustAsk("hello")
	first, rest = all[0].background("[[hang:hard]]")
	<-first
	require.NoError(t, all[0].sup.TerminateChild(t.Context(), "s0"))
	require.Error(t, <-rest)
	all[1].mustAsk("hello")
	assert.Eventually(t, func() bool { return g.Usage() == session.Usage{Processes: 1} }, time.Minute, time.Millisecond, "%+v", g.Usage())
}

// oneProcess fails the test when a session has a process before its last one is gone.
func oneProcess(t *testing.T, then func(session.Moment)) func(session.Moment) {
	var mu sync.Mutex
	var pids []int
	return func(m session.Moment) {
		if m.Kind == session.ProcessStarted {
			mu.Lock()
			for _, pid := range pids {
				assert.False(t, running(strconv.Itoa(pid)), "process %d is there when %d is started", pid, m.PID)
			}
			pids = append(pids, m.PID)
			mu.Unlock()
		}
		if then != nil {
			then(m)
		}
	}
}

// TestAQueryMeetsTheEndOfAnIdleProcess has a query come at each moment of a hibernation.
//
// Fault: a query, a control request, a kill or a stop comes at the very moment in which an idle session's process is being ended, has
// ended, or is started again
// Outcome: the query and the request are answered by the next process, which goes on with the conversation and the total; no restart is
// counted, and there is never more than one process; after a stop there is none
// On: simulated
func TestAQueryMeetsTheEndOfAnIdleProcess(t *testing.T) {
	const times = 3
	for _, moment := range []string{"while it saves", "when it has ended", "asleep", "woken by a request"} {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			var b *bench
			answers := make(chan error, times)
			var armed atomic.Bool // once for each time
			ask := func() {       // returns when the query waits, or was taken
				number := b.Info().Queue
				go func() { // ends with the query
					answer, err := b.ask("there?")
					if err == nil && answer.Text != "echo: there?" {
						err = fmt.Errorf("answered with %q", answer.Text)
					}
					answers <- err
				}()
				assert.Eventually(t, func() bool { return b.Info().Queue > number }, time.Minute, 100*time.Microsecond)
			}
			on := func(kind session.MomentKind, outcome session.NoticeKind) func(session.Moment) {
				return func(m session.Moment) {
					if m.Kind == kind && (outcome == "" || m.Outcome == string(outcome)) && armed.CompareAndSwap(true, false) {
						ask() // the session does nothing meanwhile: it is its own goroutine that tells of it
					}
				}
			}
			sp := spec(t, "a")
			sp.Options.IdleTimeout = time.Millisecond
			pipe := filepath.Join(t.TempDir(), "pipe")
			var then func(session.Moment)
			switch moment {
			case "when it has ended":
				then = on(session.ProcessEnded, "")
			case "asleep":
				then = on(session.Noticed, session.NoticeHibernated)
			case "woken by a request":
				then = on(session.Noticed, session.NoticeWoken)
			}
			sp.OnMoment = oneProcess(t, then)
			b = start(t, sp)
			if moment == "while it saves" {
				require.NoError(t, syscall.Mkfifo(pipe, 0o600))
			}
			for i := range times {
				first := "number " + strconv.Itoa(i)
				if moment == "while it saves" {
					first = "[[flush:" + pipe + "]] " + first
				}
				b.mustAsk(first)
				if then != nil {
					armed.Store(true)
				}
				switch moment {
				case "while it saves":
					done := b.flushing(pipe)
					ask()
					done()
				case "woken by a request":
					b.until(session.Hibernated)
					require.NoError(t, b.SetModel(t.Context(), "haiku"))
				}
				select {
				case err := <-answers:
					require.NoError(t, err)
				case <-time.After(time.Minute):
					require.FailNow(t, "the query is not answered", "%+v", b.Info())
				}
			}
			info := b.Info()
			assert.Zero(t, info.Restarts)
			assert.Equal(t, 2*times, info.Turns)
			assert.GreaterOrEqual(t, info.Generation, times+1)
			history := b.mustAsk("[[history]]").Text
			for i := range times {
				assert.Contains(t, history, "number "+strconv.Itoa(i))
			}
			for len(b.told) > 0 {
				assert.Equal(t, supervisor.ChildStarted, (<-b.told).Kind, "the supervisor knows of one start only")
			}
		})
	}
	t.Run("at the deadline", func(t *testing.T) {
		t.Parallel()
		sp := spec(t, "a")
		sp.Options.IdleTimeout = time.Millisecond
		sp.OnMoment = oneProcess(t, nil)
		b := start(t, sp)
		for i := range 20 {
			require.Equal(t, fmt.Sprint("echo: ", i), b.mustAsk(fmt.Sprint(i)).Text)
			time.Sleep(rand.N(2 * sp.Options.IdleTimeout)) // whatever the order: nothing is waited for
		}
		assert.Zero(t, b.Info().Restarts)
		assert.InDelta(t, 20*0.005, b.Info().CostUSD, 1e-9)
	})
	t.Run("killed while it saves", func(t *testing.T) {
		t.Parallel()
		sp := spec(t, "a")
		sp.Options.IdleTimeout = time.Millisecond
		sp.OnMoment = oneProcess(t, nil)
		b := start(t, sp)
		pipe := filepath.Join(t.TempDir(), "pipe")
		require.NoError(t, syscall.Mkfifo(pipe, 0o600))
		b.mustAsk("[[flush:" + pipe + "]]")
		done := b.flushing(pipe)
		b.kill()
		require.Equal(t, "echo: there?", b.mustAsk("there?").Text)
		done()
		assert.Zero(t, b.Info().Restarts)
		assert.InDelta(t, 0.01, b.Info().CostUSD, 1e-9)
	})
	t.Run("stopped while it saves", func(t *testing.T) {
		t.Parallel()
		sp := spec(t, "a")
		sp.Options.IdleTimeout = time.Millisecond
		var starts atomic.Int32
		sp.OnMoment = func(m session.Moment) {
			if m.Kind == session.ProcessStarted {
				starts.Add(1)
			}
		}
		b := start(t, sp)
		pipe := filepath.Join(t.TempDir(), "pipe")
		require.NoError(t, syscall.Mkfifo(pipe, 0o600))
		b.mustAsk("[[flush:" + pipe + "]]")
		done := b.flushing(pipe)
		query := make(chan error, 1)
		go func() { _, err := b.ask("there?"); query <- err }() // ends with the stop
		require.Eventually(t, func() bool { return b.Info().Queue == 1 }, time.Minute, time.Millisecond)
		stop := make(chan error, 1)
		go func() { stop <- b.sup.TerminateChild(context.Background(), "a") }() // ends with the session
		b.until(session.Draining)
		before := starts.Load() // one, or two if it was idle for that long before the first query
		done()
		require.NoError(t, <-stop)
		require.ErrorIs(t, <-query, session.ErrStopped)
		assert.Equal(t, before, starts.Load())
	})
}

// flushing waits until a CLI is behind the end of its stdin, which was told to save to a pipe, and returns what lets it go on.
func (b *bench) flushing(pipe string) (done func()) {
	b.t.Helper()
	var end *os.File
	require.Eventually(b.t, func() bool {
		var err error
		end, err = os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err == nil
	}, time.Minute, time.Millisecond, "it saves")
	return func() { require.NoError(b.t, end.Close()) }
}

// Fault: a CLI never answers the handshake, while another session waits for its turn to start (max_starting)
// Outcome: it is ended with all it has started after start_timeout, and its error says so; the other one starts then
// On: simulated
func TestAStartThatIsNeverAnsweredGivesItsPlaceBack(t *testing.T) {
	g := governed(t, session.Limits{MaxStarting: 1, MaxProcesses: 2})
	silent, next := spec(t, "silent"), spec(t, "next")
	silent.Governor, next.Governor = g, g
	silent.Options.Env["UNDERSTUDY_SIM_STARTUP"] = "silent"
	silent.Options.StartTimeout = 500 * time.Millisecond
	sys := actor.NewSystem(actor.Options{})
	one, err := session.New(sys, silent)
	require.NoError(t, err)
	other, err := session.New(sys, next)
	require.NoError(t, err)
	failed, started := make(chan error, 1), make(chan error, 1)
	go func() { _, err := one.Start(t.Context()); failed <- err }() // ends with its deadline
	require.Eventually(t, func() bool { return g.Usage().Starting == 1 }, time.Minute, 100*time.Microsecond)
	var pid actor.PID
	go func() { // ends when it has started
		var err error
		pid, err = other.Start(t.Context())
		started <- err
	}()
	err = <-failed
	require.ErrorContains(t, err, "start_timeout")
	var crash *session.CrashError
	require.ErrorAs(t, err, &crash)
	assert.Equal(t, session.PhaseStart, crash.Phase)
	assert.Empty(t, process.SweepPrefix(silent.Runtime+"/").Killed, "nothing is left of it")
	require.NoError(t, <-started)
	assert.Equal(t, session.Usage{Processes: 1}, g.Usage())
	pid.Stop(actor.ErrShutdown)
	<-pid.Done()
	assert.Eventually(t, func() bool { return g.Usage() == session.Usage{} }, time.Minute, time.Millisecond)
}
