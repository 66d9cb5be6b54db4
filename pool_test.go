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
)

func TestPoolGrowsQueuesRefusesAndShrinks(t *testing.T) {
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
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		assert.NoError(t, rt.Shutdown(ctx))
	})
	pool, err := rt.Pool("workers")
	require.NoError(t, err)
	_, err = rt.Pool("nobody")
	assert.ErrorIs(t, err, understudy.ErrNoSession)

	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
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
	assert.Eventually(t, func() bool { return len(rt.Sessions()) == 1 }, 20*time.Second, 5*time.Millisecond, "it shrinks to its minimum")
	answer, err := session.Collect(pool.Query(ctx, "still here"))
	require.NoError(t, err)
	assert.Equal(t, "echo: still here", answer.Text)

	cancelled, stop := context.WithCancel(ctx)
	stop()
	_, err = session.Collect(pool.Query(cancelled, "x"))
	assert.ErrorIs(t, err, context.Canceled)
}
