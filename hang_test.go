package understudy_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/supervisor"
)

// within runs f and reports whether it came back in time.
func within(t *testing.T, d time.Duration, what string, f func()) bool {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
		return true
	case <-time.After(d):
		t.Errorf("hangs: %s", what)
		return false
	}
}

func runtimeWith(t *testing.T, change func(*understudy.Options, session.Options)) *understudy.Runtime {
	t.Helper()
	path, args, env := sessiontest.CLI(t)
	env["GORACE"] = "atexit_sleep_ms=0"
	o := understudy.Options{CLI: session.CLI{Path: path, Args: args}, DataDir: t.TempDir()}
	change(&o, session.Options{CWD: t.TempDir(), Env: env, AllowedTools: []string{"Bash"}})
	rt, err := understudy.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() {
		within(t, 2*patience, "Shutdown", func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_ = rt.Shutdown(ctx)
		})
	})
	return rt
}

// The lock order was rt.mu -> p.mu in closeSessions, p.mu -> rt.mu in acquire.
func TestPoolQueriesWhileShuttingDown(t *testing.T) {
	for range 10 {
		rt := runtimeWith(t, func(o *understudy.Options, s session.Options) {
			o.Pools = []understudy.PoolSpec{{Name: "p", Options: s, Min: 1, Max: 1, MaxQueue: 1}}
		})
		pool, err := rt.Pool("p")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				for ctx.Err() == nil {
					_, err := session.Collect(pool.Query(ctx, "[[sleep:5]]"))
					if errors.Is(err, session.ErrStopped) {
						return
					}
				}
			})
		}
		ok := within(t, 2*patience, "Shutdown", func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_ = rt.Shutdown(ctx)
		})
		cancel()
		if !ok {
			t.FailNow()
		}
		all.Wait()
	}
}

// Restart after Shutdown reopens the queue.
func TestRestartAfterShutdown(t *testing.T) {
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) {
		o.Sessions = []understudy.SessionSpec{{Name: "a", Options: s}}
	})
	s, err := rt.Session("a")
	require.NoError(t, err)
	require.NoError(t, rt.Shutdown(t.Context()))
	require.Error(t, rt.Restart(t.Context(), "a"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = s.Ask(ctx, "hello")
	assert.ErrorIs(t, err, session.ErrStopped)
	assert.NotEqual(t, session.Starting, s.Info().State)
}

// a failed Restart of a stopped session.
func TestFailedRestartOfAStoppedSession(t *testing.T) {
	dir := t.TempDir()
	var so session.Options
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) { so = s; so.CWD = filepath.Join(dir, "work") })
	require.NoError(t, os.Mkdir(so.CWD, 0o700))
	s, err := rt.Spawn(t.Context(), "a", so)
	require.NoError(t, err)
	require.NoError(t, rt.Stop(t.Context(), "a"))
	require.NoError(t, os.Remove(so.CWD))
	err = rt.Restart(t.Context(), "a")
	require.Error(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = s.Ask(ctx, "hello")
	assert.NotErrorIs(t, err, context.DeadlineExceeded)
	assert.NotEqual(t, session.Starting, s.Info().State)
}

// A query on a session whose Spawn fails meanwhile.
func TestQueryOnASessionWhoseSpawnFails(t *testing.T) {
	var so session.Options
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) { so = s })
	so.Env = with(so.Env, "UNDERSTUDY_SIM_STARTUP", "silent")
	so.StartTimeout = time.Second
	spawned := make(chan error, 1)
	go func() { _, err := rt.Spawn(t.Context(), "a", so); spawned <- err }()
	var s *session.Session
	require.Eventually(t, func() bool { var err error; s, err = rt.Session("a"); return err == nil }, patience, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := s.Ask(ctx, "hello")
	assert.Error(t, <-spawned)
	assert.NotErrorIs(t, err, context.DeadlineExceeded)
}

// Stop of a session whose group is still coming up.
func TestStopWhileTheGroupComesUp(t *testing.T) {
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) {
		slow := s
		slow.Env = with(s.Env, "UNDERSTUDY_SIM_STARTUP", "slow:3s")
		o.Groups = []understudy.Group{{Name: "g", Sessions: []understudy.SessionSpec{{Name: "a", Options: slow}}}}
	})
	assert.NotPanics(t, func() { _ = rt.Stop(t.Context(), "a") })
}

// queued queries when a group restarts.
func TestQueuedQueriesSurviveTheRestartOfTheirGroup(t *testing.T) {
	one := supervisor.Intensity{MaxRestarts: 0, Within: time.Minute}
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) {
		o.Groups = []understudy.Group{{Name: "g", Intensity: &one, Sessions: []understudy.SessionSpec{{Name: "a", Options: s}, {Name: "b", Options: s}}}}
	})
	a, _ := rt.Session("a")
	b, _ := rt.Session("b")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := a.Ask(ctx, "x")
	require.NoError(t, err)
	_, err = b.Ask(ctx, "x")
	require.NoError(t, err)
	var all sync.WaitGroup
	results := make([]error, 4)
	for i := range results {
		all.Go(func() { _, results[i] = b.Ask(ctx, "[[sleep:1]] y") })
	}
	require.Eventually(t, func() bool { return b.Info().Queue == 3 }, patience, time.Millisecond)
	signal(t, a, syscall.SIGKILL)
	all.Wait()
	failed := 0
	for _, err := range results {
		if err != nil {
			failed++
			t.Log(err)
		}
	}
	assert.LessOrEqual(t, failed, 1, "only the one in flight")
}

// a pool's waiter is given a session that has failed while another is well.
func TestPoolGivesAWaiterAFailedSession(t *testing.T) {
	none := supervisor.Intensity{MaxRestarts: 0, Within: time.Minute}
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) {
		o.Supervisor.Intensity = &none
		o.Pools = []understudy.PoolSpec{{Name: "p", Options: s, Min: 2, Max: 2, MaxQueue: 2}}
	})
	pool, _ := rt.Pool("p")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, s := range rt.Sessions() {
		_, err := s.Ask(ctx, "up")
		require.NoError(t, err)
	}
	var all sync.WaitGroup
	var third error
	all.Go(func() { _, _ = session.Collect(pool.Query(ctx, "[[sleep:2]]")) })
	all.Go(func() { _, _ = session.Collect(pool.Query(ctx, "[[sleep:1]][[crash]]")) })
	require.Eventually(t, func() bool { // both have theirs
		for _, s := range rt.Sessions() {
			if s.Info().State != session.Busy {
				return false
			}
		}
		return true
	}, patience, time.Millisecond)
	all.Go(func() { _, third = session.Collect(pool.Query(ctx, "third")) })
	all.Wait()
	assert.NoError(t, third)
}

// sessions that a pool has grown are not started again with their supervisor.
func TestGrownSessionsAfterThePoolsRestart(t *testing.T) {
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) {
		o.Supervisor.Strategy = supervisor.OneForAll
		o.Sessions = []understudy.SessionSpec{{Name: "a", Options: s}}
		o.Pools = []understudy.PoolSpec{{Name: "p", Options: s, Min: 1, Max: 2, MaxQueue: 4}}
	})
	pool, _ := rt.Pool("p")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a, _ := rt.Session("a")
	_, err := a.Ask(ctx, "up")
	require.NoError(t, err)
	two := func(why string) {
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				_, err := session.Collect(pool.Query(ctx, "[[sleep:1]] x"))
				assert.NoError(t, err, why)
			})
		}
		all.Wait()
	}
	p1, _ := rt.Session("p-1")
	_, err = p1.Ask(ctx, "up")
	require.NoError(t, err)
	two("before")
	require.Len(t, rt.Sessions(), 3)
	gen := p1.Info().Generation
	signal(t, a, syscall.SIGKILL)
	require.Eventually(t, func() bool { return p1.Info().Generation > gen && p1.Info().State == session.Idle }, patience, time.Millisecond)
	two("after")
}

// a session that is stopped while Spawn starts it is forgotten by the runtime and kept by the supervisor.
func TestStopDuringSpawn(t *testing.T) {
	var so session.Options
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) {
		so = s
		o.Pools = []understudy.PoolSpec{{Name: "p", Options: s}}
	})
	slow := so
	slow.Env = with(so.Env, "UNDERSTUDY_SIM_STARTUP", "slow:2s")
	spawned := make(chan error, 1)
	go func() { _, err := rt.Spawn(t.Context(), "a", slow); spawned <- err }()
	require.Eventually(t, func() bool { s, err := rt.Session("a"); return err == nil && s.Info().PID != 0 }, patience, time.Millisecond)
	require.NoError(t, rt.Stop(t.Context(), "a"))
	require.Error(t, <-spawned)
	_, err := rt.Spawn(t.Context(), "a", so)
	assert.NoError(t, err)
	// The name of a pool is taken, and a Spawn that is given up does not end the pool.
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = rt.Spawn(over, "p", so)
	assert.ErrorIs(t, err, understudy.ErrExists)
	pool, err := rt.Pool("p")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = session.Collect(pool.Query(ctx, "x"))
	assert.NoError(t, err)
}

// Everybody removes a session while it is spawned anew again and again: whoever has spawned it has one that is
// known and answers, until it is removed itself.
func TestRemoveOfASessionThatIsGoneDoesNotTouchItsNamesake(t *testing.T) {
	var so session.Options
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) { so = s })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 5 {
		s, err := rt.Spawn(ctx, "a", so)
		require.NoError(t, err)
		removed := make(chan error, 8)
		for range cap(removed) {
			go func() { removed <- rt.Remove(ctx, "a") }()
		}
		first := 0
		for range cap(removed) {
			if err := <-removed; err == nil {
				first++
			} else {
				assert.ErrorIs(t, err, understudy.ErrNoSession)
			}
		}
		assert.Equal(t, 1, first, "one has removed it")
		_, err = s.Ask(ctx, "still there?")
		assert.ErrorIs(t, err, session.ErrStopped)
	}
	// One that comes late, with the old one in hand, while there is a new one.
	removing := make(chan error, 4)
	_, err := rt.Spawn(ctx, "a", so)
	require.NoError(t, err)
	for range cap(removing) {
		go func() { removing <- rt.Remove(ctx, "a") }()
	}
	var second *session.Session
	for second == nil {
		if second, err = rt.Spawn(ctx, "a", so); err != nil {
			require.ErrorIs(t, err, understudy.ErrExists)
		}
	}
	succeeded := 0
	for range cap(removing) {
		if err := <-removing; err == nil {
			succeeded++
		}
	}
	if succeeded == 1 { // else a Remove that began late has meant the second
		_, err = second.Ask(ctx, "you are still there")
		assert.NoError(t, err)
		known, err := rt.Session("a")
		require.NoError(t, err)
		assert.Same(t, second, known)
	}
}

// A query waits for a pool whose one other session is parked, and an operator brings that one back.
func TestPoolsWaiterTakesASessionThatAnOperatorRestarts(t *testing.T) {
	none := supervisor.Intensity{MaxRestarts: 0, Within: time.Minute}
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) {
		o.Supervisor.Intensity = &none
		o.Pools = []understudy.PoolSpec{{Name: "p", Options: s, Min: 2, Max: 2, MaxQueue: 2}}
	})
	pool, _ := rt.Pool("p")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, s := range rt.Sessions() {
		_, err := s.Ask(ctx, "up")
		require.NoError(t, err)
	}
	parked, _ := rt.Session("p-1")
	_, err := parked.Ask(ctx, "[[crash]]")
	require.Error(t, err)
	require.Eventually(t, func() bool { return parked.Info().State == session.Failed }, patience, time.Millisecond)
	hold, drop := context.WithCancel(ctx)
	defer drop()
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { _, _ = session.Collect(pool.Query(hold, "[[hang]]")) })
	other, _ := rt.Session("p-2")
	require.Eventually(t, func() bool { return other.Info().State == session.Busy }, patience, time.Millisecond)
	answered := make(chan error, 1)
	go func() { _, err := session.Collect(pool.Query(ctx, "waits")); answered <- err }()
	require.Never(t, func() bool { return len(answered) > 0 }, 50*time.Millisecond, 10*time.Millisecond, "there is nobody for it")
	require.NoError(t, rt.Restart(ctx, "p-1"))
	assert.NoError(t, <-answered)
	drop()
}

// Somebody asks a pool's only session by its name; the pool's query comes after that.
func TestPoolWaitsForASessionThatWasAskedByName(t *testing.T) {
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) {
		o.Pools = []understudy.PoolSpec{{Name: "p", Options: s, Min: 1, Max: 1, MaxQueue: 1}}
	})
	pool, _ := rt.Pool("p")
	only, _ := rt.Session("p-1")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := only.Ask(ctx, "up")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() { _, err := only.Ask(ctx, "[[sleep:1]]"); assert.NoError(t, err) })
	require.Eventually(t, func() bool { return only.Info().State == session.Busy }, patience, time.Millisecond)
	answer, err := session.Collect(pool.Query(ctx, "after that"))
	require.NoError(t, err)
	assert.Equal(t, "echo: after that", answer.Text)
	all.Wait()
}
