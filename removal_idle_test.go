package understudy_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// TestRemoveThroughTheEndpoint removes sessions in every state as the debug endpoint does: without force nobody's work is lost, and what is
// refused stays as it is.
func TestRemoveThroughTheEndpoint(t *testing.T) {
	t.Parallel()
	path, args, env := sessiontest.CLI(t)
	env["HOME"] = t.TempDir()
	like := session.Options{CWD: t.TempDir(), Env: env, AllowedTools: []string{"Bash"}}
	rt, err := understudy.Start(t.Context(), understudy.Options{
		DataDir: t.TempDir(), CLI: session.CLI{Path: path, Args: args},
		Supervisor: understudy.SupervisorOptions{Backoff: &supervisor.Backoff{Initial: time.Hour}},
		Sessions:   []understudy.SessionSpec{{Name: "fixed", Options: like}},
		Groups:     []understudy.Group{{Name: "group", Sessions: []understudy.SessionSpec{{Name: "grouped", Options: like}}}},
		Pools:      []understudy.PoolSpec{{Name: "pool", Min: 1, Max: 1, Options: like}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, rt) })
	endpoint := rt.Backend(nil).(debug.RemoveBackend)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	spawn := func(t *testing.T, name string, change func(*session.Options)) *session.Session {
		o := like
		if change != nil {
			change(&o)
		}
		s, err := rt.Spawn(ctx, name, o)
		require.NoError(t, err)
		return s
	}
	reach := func(t *testing.T, s *session.Session, state session.State) {
		require.Eventually(t, func() bool { return s.Info().State == state }, patience, time.Millisecond, "%s", state)
	}
	query := func(s *session.Session, prompt string) <-chan error {
		end := make(chan error, 1)
		go func() { // ends with the turn
			_, err := s.Ask(ctx, prompt)
			end <- err
		}()
		return end
	}
	gone := func(t *testing.T, name string) {
		_, err := rt.Session(name)
		assert.ErrorIs(t, err, understudy.ErrNoSession)
		assert.Equal(t, debug.NoSuchSession, debug.CodeOf(endpoint.Remove(ctx, name, true)), "it is gone already")
	}
	refused := func(t *testing.T, s *session.Session, why string) {
		err := endpoint.Remove(ctx, s.Name(), false)
		assert.Equal(t, debug.AtWork, debug.CodeOf(err), "%v", err)
		assert.ErrorContains(t, err, why)
		now, err := rt.Session(s.Name())
		require.NoError(t, err)
		assert.Same(t, s, now)
	}

	t.Run("idle", func(t *testing.T) {
		s := spawn(t, "a", nil)
		require.NoError(t, <-query(s, "remember plum"))
		id := s.Info().SessionID
		require.NoError(t, endpoint.Remove(ctx, "a", false))
		gone(t, "a")
		again := spawn(t, "b", func(o *session.Options) { o.Resume = id })
		answer, err := again.Ask(ctx, "[[history]]")
		require.NoError(t, err)
		assert.Contains(t, answer.Text, "plum", "the conversation is the CLI's, and stays")
		require.NoError(t, endpoint.Remove(ctx, "b", false))
	})
	t.Run("in a turn", func(t *testing.T) {
		s := spawn(t, "a", nil)
		turn := query(s, "[[sleep:10m]]")
		reach(t, s, session.Busy)
		waits := query(s, "the next")
		require.Eventually(t, func() bool { return s.Info().Queue == 1 }, patience, time.Millisecond)
		refused(t, s, "prompts wait: 1")
		require.NoError(t, s.Interrupt(ctx))
		assert.ErrorIs(t, <-turn, session.ErrInterrupted)
		require.NoError(t, <-waits, "nothing has changed for it")
		reach(t, s, session.Idle)
		turn = query(s, "[[sleep:10m]]")
		reach(t, s, session.Busy)
		refused(t, s, "a turn is running")
		require.NoError(t, endpoint.Remove(ctx, "a", true))
		assert.Error(t, <-turn)
		gone(t, "a")
	})
	t.Run("with tasks in the background", func(t *testing.T) {
		s := spawn(t, "a", nil)
		require.NoError(t, <-query(s, `[[tool:Bash {"command":"sleep 600","run_in_background":true}]]`))
		refused(t, s, "tasks run in the background: 1")
		require.NoError(t, endpoint.Remove(ctx, "a", true))
		gone(t, "a")
	})
	t.Run("while it waits to be restarted", func(t *testing.T) {
		s := spawn(t, "a", nil)
		assert.Error(t, <-query(s, "[[crash]]"))
		reach(t, s, session.Restarting)
		waits := query(s, "later")
		require.Eventually(t, func() bool { return s.Info().Queue == 1 }, patience, time.Millisecond)
		refused(t, s, "prompts wait: 1")
		require.NoError(t, endpoint.Remove(ctx, "a", true))
		assert.ErrorIs(t, <-waits, session.ErrStopped)
		gone(t, "a")

		s = spawn(t, "a", nil)
		assert.Error(t, <-query(s, "[[crash]]"))
		reach(t, s, session.Restarting)
		require.NoError(t, endpoint.Remove(ctx, "a", false))
		gone(t, "a")
	})
	t.Run("parked", func(t *testing.T) {
		s := spawn(t, "a", func(o *session.Options) { o.Restart = supervisor.Temporary })
		assert.Error(t, <-query(s, "[[crash]]"))
		require.Eventually(t, func() bool { st := s.Info().State; return st == session.Failed || st == session.Stopped }, patience, time.Millisecond)
		require.NoError(t, endpoint.Remove(ctx, "a", false))
		gone(t, "a")
	})
	t.Run("stopped", func(t *testing.T) {
		spawn(t, "a", nil)
		require.NoError(t, rt.Stop(ctx, "a"))
		require.NoError(t, endpoint.Remove(ctx, "a", false))
		gone(t, "a")
	})
	t.Run("hibernated", func(t *testing.T) {
		s := spawn(t, "a", func(o *session.Options) { o.IdleTimeout = time.Millisecond })
		reach(t, s, session.Hibernated)
		require.NoError(t, endpoint.Remove(ctx, "a", false))
		gone(t, "a")
	})
	t.Run("by several at once, with prompts that come meanwhile", func(t *testing.T) {
		for _, force := range []bool{false, true} {
			s := spawn(t, "a", nil)
			var all sync.WaitGroup
			var mu sync.Mutex
			outcomes := map[debug.Code]int{}
			for range 4 {
				all.Go(func() {
					err := endpoint.Remove(ctx, "a", force)
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						outcomes["done"]++
					} else {
						outcomes[debug.CodeOf(err)]++
					}
				})
			}
			for range 4 {
				all.Go(func() {
					_, err := s.Ask(ctx, "hello")
					if err != nil {
						assert.True(t, errors.Is(err, session.ErrStopped) || errors.Is(err, session.ErrInterrupted), "%v", err)
					}
				})
			}
			all.Wait()
			assert.LessOrEqual(t, outcomes["done"], 1, "%v", outcomes)
			for code := range outcomes {
				assert.Contains(t, []debug.Code{"done", debug.NoSuchSession, debug.AtWork}, code)
			}
			if outcomes["done"] == 0 { // it had something to do, each time
				assert.False(t, force)
				require.NoError(t, <-query(s, "it takes prompts as before"))
				require.NoError(t, endpoint.Remove(ctx, "a", false))
			}
			gone(t, "a")
		}
	})
	t.Run("one whose remover goes away", func(t *testing.T) {
		s := spawn(t, "a", nil)
		left, leave := context.WithCancel(ctx)
		leave()
		assert.Error(t, endpoint.Remove(left, "a", false))
		require.NoError(t, <-query(s, "it takes prompts as before"))
		require.NoError(t, endpoint.Remove(ctx, "a", false))
	})
	t.Run("of the configuration", func(t *testing.T) {
		for _, name := range []string{"fixed", "grouped"} {
			for _, force := range []bool{false, true} {
				err := endpoint.Remove(ctx, name, force)
				assert.Equal(t, debug.Conflict, debug.CodeOf(err), name)
				assert.ErrorContains(t, err, "it is in the configuration")
			}
			s, err := rt.Session(name)
			require.NoError(t, err)
			require.NoError(t, <-query(s, "hello"))
		}
		spawn(t, "a", nil)
		tree, err := rt.Tree(ctx)
		require.NoError(t, err)
		for _, s := range tree.Sessions() { // the page has no button then
			assert.Equal(t, s.Name == "fixed" || s.Name == "grouped", s.Configured, s.Name)
		}
		require.NoError(t, endpoint.Remove(ctx, "a", false))
		// A program can: it knows what it has configured.
		require.NoError(t, rt.RemoveIdle(ctx, "fixed"))
		_, err = rt.Session("fixed")
		assert.ErrorIs(t, err, understudy.ErrNoSession)
	})
	t.Run("of a pool", func(t *testing.T) {
		pool, err := rt.Pool("pool")
		require.NoError(t, err)
		first, err := session.Collect(pool.Query(ctx, "hello"))
		require.NoError(t, err)
		name := ""
		for _, s := range rt.Sessions() {
			if s.Info().SessionID == first.Result.SessionID {
				name = s.Name()
			}
		}
		require.NotEmpty(t, name)
		require.NoError(t, endpoint.Remove(ctx, name, false))
		second, err := session.Collect(pool.Query(ctx, "hello"))
		require.NoError(t, err)
		assert.NotEqual(t, first.Result.SessionID, second.Result.SessionID, "another one has taken its place")
	})
}
