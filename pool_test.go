package understudy_test

import (
	"context"
	"errors"
	"fmt"
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
)

func TestPoolGrowsQueuesRefusesAndShrinks(t *testing.T) {
	t.Parallel()
	path, args, env := sessiontest.CLI(t)
	rt, err := understudy.Start(t.Context(), understudy.Options{
		DataDir: t.TempDir(), CLI: session.CLI{Path: path, Args: args},
		Pools: []understudy.PoolSpec{{
			Name: "workers", Min: 1, Max: 2, MaxQueue: 1, IdleTimeout: 50 * time.Millisecond,
			Options: session.Options{CWD: t.TempDir(), Env: env},
		}},
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		assert.NoError(t, rt.Shutdown(ctx))
	})
	pool, err := rt.Pool("workers")
	require.NoError(t, err)
	_, err = rt.Pool("nobody")
	assert.ErrorIs(t, err, understudy.ErrNoSession)

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = session.Collect(pool.Query(ctx, "the first is up"))
	require.NoError(t, err)
	var all sync.WaitGroup
	var mu sync.Mutex
	outcomes := make(map[string]int)
	for range 6 {
		all.Go(func() {
			answer, err := session.Collect(pool.Query(ctx, "[[sleep:1]] x"))
			outcome := "answered"
			switch {
			case errors.Is(err, understudy.ErrBusy):
				outcome = "busy"
			case err != nil:
				outcome = err.Error()
			case answer.Result == nil:
				outcome = "no result"
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[outcome]++
		})
	}
	all.Wait()
	assert.Equal(t, map[string]int{"answered": 3, "busy": 3}, outcomes)
	assert.Eventually(t, func() bool { return len(rt.Sessions()) == 1 }, patience, 5*time.Millisecond, "it shrinks to its minimum")
	answer, err := session.Collect(pool.Query(ctx, "still here"))
	require.NoError(t, err)
	assert.Equal(t, "echo: still here", answer.Text)

	cancelled, stop := context.WithCancel(ctx)
	stop()
	_, err = session.Collect(pool.Query(cancelled, "x"))
	assert.ErrorIs(t, err, context.Canceled)
}

// Sessions that are all alike cannot have one conversation; they can each begin with a copy of one.
func TestAPoolHasNoConversationInCommon(t *testing.T) {
	t.Parallel()
	path, args, env := sessiontest.CLI(t)
	start := func(n int, o session.Options) error {
		o.CWD, o.Env = t.TempDir(), env
		rt, err := understudy.Start(t.Context(), understudy.Options{
			DataDir: t.TempDir(), CLI: session.CLI{Path: path, Args: args}, Pools: []understudy.PoolSpec{{Name: "workers", Max: n, Options: o}},
		})
		if err == nil {
			shutdown(t, rt)
		}
		return err
	}
	const id = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
	for option, o := range map[string]session.Options{
		"session_id": {SessionID: id}, "resume": {Resume: id}, "continue": {Continue: true}, "from_pr": {FromPR: "12"},
	} {
		var problem session.Problem
		require.ErrorAs(t, start(2, o), &problem, option)
		assert.Equal(t, option, problem.Path)
	}
	assert.ErrorContains(t, start(2, session.Options{Continue: true, ForkSession: true, SessionID: id}), "session_id")
	assert.NoError(t, start(2, session.Options{Continue: true, ForkSession: true}))
	assert.NoError(t, start(1, session.Options{SessionID: id}), "one session may")
}

// Fault: the sessions of a pool have nothing to do for their idle_timeout, and later a usage limit is reached and who waits for its end goes away
// Outcome: the next prompt wakes one; the one after that waits for the end of the limit, and is answered
// On: simulated
func TestAPoolOfSessionsThatHibernateOrAreHeld(t *testing.T) {
	t.Parallel()
	path, args, env := sessiontest.CLI(t)
	rt, err := understudy.Start(t.Context(), understudy.Options{
		DataDir: t.TempDir(), CLI: session.CLI{Path: path, Args: args},
		Pools: []understudy.PoolSpec{{
			Name: "workers", MaxQueue: 1, Options: session.Options{CWD: t.TempDir(), Env: env, IdleTimeout: time.Millisecond},
		}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, rt) })
	pool, err := rt.Pool("workers")
	require.NoError(t, err)
	_, err = rt.Session("workers")
	require.ErrorIs(t, err, understudy.ErrNoSession)
	require.ErrorContains(t, err, "is a pool")
	worker, err := rt.Session("workers-1")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	becomes := func(state session.State) {
		t.Helper()
		require.Eventually(t, func() bool { return worker.Info().State == state }, patience, time.Millisecond)
	}

	becomes(session.Hibernated)
	answer, err := session.Collect(pool.Query(ctx, "hello"))
	require.NoError(t, err)
	assert.Equal(t, "echo: hello", answer.Text)

	over := time.Now().Add(2 * time.Second)
	_, err = session.Collect(pool.Query(ctx, fmt.Sprintf(`[[frame:{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":%d,"rateLimitType":"five_hour"}}]][[status:400]]`, over.Unix())))
	require.Error(t, err)
	impatient, leave := context.WithCancel(ctx)
	gone := make(chan error, 1)
	go func() { // ends with impatient
		_, err := session.Collect(pool.Query(impatient, "not answered"))
		gone <- err
	}()
	becomes(session.Held)
	leave()
	require.ErrorIs(t, <-gone, context.Canceled)
	answer, err = session.Collect(pool.Query(ctx, "[[history]]"))
	require.NoError(t, err)
	assert.NotContains(t, answer.Text, "not answered")
	assert.False(t, time.Now().Before(over.Truncate(time.Second)))
}

// Fault: there is no room for another process (max_processes) when a pool is to grow for a prompt, and then one of its sessions has nothing to do
// Outcome: that one takes the prompt; the session that was to come is there when there is room
// On: simulated
func TestAPoolGrowsWhereThereIsNoRoom(t *testing.T) {
	t.Parallel()
	path, args, env := sessiontest.CLI(t)
	work := t.TempDir()
	rt, err := understudy.Start(t.Context(), understudy.Options{
		DataDir: t.TempDir(), CLI: session.CLI{Path: path, Args: args}, Limits: session.Limits{MaxProcesses: 1},
		Pools: []understudy.PoolSpec{{Name: "workers", Max: 2, MaxQueue: 1, Options: session.Options{CWD: work, Env: env, AllowedTools: []string{"Bash"}}}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, rt) })
	pool, err := rt.Pool("workers")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ask := func(ctx context.Context, prompt string) <-chan error {
		end := make(chan error, 1)
		go func() { // ends with the query
			_, err := session.Collect(pool.Query(ctx, prompt))
			end <- err
		}()
		return end
	}
	require.NoError(t, <-ask(ctx, "the first is up"))
	require.NoError(t, syscall.Mkfifo(filepath.Join(work, "gate"), 0o600))
	first := ask(ctx, bash("read x < gate"))
	gate, err := os.OpenFile(filepath.Join(work, "gate"), os.O_WRONLY, 0) // the tool runs
	require.NoError(t, err)

	impatient, leave := context.WithCancel(ctx)
	gone := ask(impatient, "not answered")
	var second *session.Session
	waits := func() bool {
		second, err = rt.Session("workers-2")
		return err == nil && second.Info().Waits == "max_processes"
	}
	require.Eventually(t, waits, patience, time.Millisecond)
	leave()
	require.ErrorIs(t, <-gone, context.Canceled)
	require.Eventually(t, func() bool { return len(rt.Sessions()) == 1 }, patience, time.Millisecond, "what was started for it goes too")

	answered := ask(ctx, "hello")
	require.Eventually(t, waits, patience, time.Millisecond)
	reload := func(processes int) {
		t.Helper()
		_, err = rt.Reload(ctx, understudy.ReloadSpec{
			Pools:  []understudy.PoolSpec{{Name: "workers", Max: 3, MaxQueue: 1, Options: session.Options{CWD: work, Env: env, AllowedTools: []string{"Bash"}}}},
			Limits: session.Limits{MaxProcesses: processes},
		})
		require.NoError(t, err)
	}
	reload(1) // who waits looks again
	_, err = gate.WriteString("go\n")
	require.NoError(t, err)
	require.NoError(t, gate.Close())
	require.NoError(t, <-first)
	require.NoError(t, <-answered)
	assert.Equal(t, 2, pool.State().Sessions, "one was started for it, and no second one")
	require.NoError(t, <-ask(ctx, "once more"))

	reload(2)
	require.Eventually(t, func() bool { s, err := rt.Session("workers-2"); return err == nil && s.Info().State == session.Idle }, patience, time.Millisecond)
	require.NoError(t, <-ask(ctx, "two"))
}
