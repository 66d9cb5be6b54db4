package understudy_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// query asks in the background.
func (r *liveRig) query(ask func(context.Context, string) iter.Seq2[protocol.Message, error], prompt string) <-chan error {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	end := make(chan error, 1)
	go func() { // ends with the query
		defer cancel()
		_, err := session.Collect(ask(ctx, prompt))
		end <- err
	}()
	return end
}

// Fault: a prompt comes to a pool whose only session is being stopped by its name, in a turn of the pool's or of somebody else's
// Outcome: it fails as soon as that has stopped
// On: simulated
func TestNobodyWaitsForAPoolThatHasStopped(t *testing.T) {
	for _, past := range []bool{false, true} {
		t.Run(fmt.Sprintf("past the pool: %v", past), func(t *testing.T) {
			t.Parallel()
			r := newLiveRig(t, func(r *liveRig) {
				r.like.Shutdown = supervisor.Within(4 * time.Second)
				r.spec.Pools = []understudy.PoolSpec{{Name: "workers", Options: r.like, MaxQueue: 1}}
			})
			pool, err := r.rt.Pool("workers")
			require.NoError(t, err)
			require.NoError(t, <-r.query(pool.Query, "hello"))
			worker, err := r.rt.Session("workers-1")
			require.NoError(t, err)
			query := pool.Query
			if past {
				query = worker.Query
			}
			hung := r.query(query, "[[hang]]")
			require.Eventually(t, func() bool { return worker.Info().State == session.Busy }, patience, time.Millisecond)
			stopped := make(chan error, 1)
			go func() { stopped <- r.rt.Stop(context.Background(), "workers-1") }() // ends with the session
			require.Eventually(t, func() bool { return worker.Info().State == session.Draining }, patience, time.Millisecond)
			waits := r.query(pool.Query, "hello")
			require.Error(t, <-hung)
			require.NoError(t, <-stopped)
			require.ErrorIs(t, <-waits, session.ErrFailed)
			require.NoError(t, r.rt.Restart(t.Context(), "workers-1"))
			require.NoError(t, <-r.query(pool.Query, "hello"))
		})
	}
}

// TestAPoolOfALowerMinimumShrinks has a pool of sessions of which most have never been asked anything.
func TestAPoolOfALowerMinimumShrinks(t *testing.T) {
	t.Parallel()
	r := newLiveRig(t, func(r *liveRig) {
		r.spec.Pools = []understudy.PoolSpec{{Name: "workers", Options: r.like, Min: 3, IdleTimeout: 10 * time.Millisecond}}
	})
	pool, err := r.rt.Pool("workers")
	require.NoError(t, err)
	require.NoError(t, <-r.query(pool.Query, "hello"))
	r.spec.Pools[0].Min, r.spec.Pools[0].Max = 1, 3
	r.reload()
	require.Eventually(t, func() bool { return pool.State().Sessions == 1 }, patience, time.Millisecond)
	require.NoError(t, <-r.query(pool.Query, "hello"))
}
