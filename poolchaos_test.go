package understudy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// TestChaosOfAPool asks a pool more than it can take, while its sessions are killed, stopped, restarted and removed by their names, are
// asked past the pool, and the pool is reloaded with other options and sizes. Every query is answered or fails with a typed error, and
// afterwards the pool answers, has the sessions that it is to have, and nobody waits.
func TestChaosOfAPool(t *testing.T) {
	t.Parallel()
	length := chaosLength(t, 3*time.Second)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := newLiveRig(t, func(r *liveRig) {
		r.policy.Intensity = &supervisor.Intensity{MaxRestarts: 4, Within: 3 * time.Second}
		r.policy.Backoff = &supervisor.Backoff{Initial: 5 * time.Millisecond, Max: 50 * time.Millisecond}
		r.spec.Pools = []understudy.PoolSpec{{Name: "workers", Options: r.like, Min: 2, Max: 4, MaxQueue: 6, IdleTimeout: 50 * time.Millisecond}}
	})
	pool, err := r.rt.Pool("workers")
	require.NoError(t, err)

	var mu sync.Mutex
	ends := make(map[string]int)
	over := make(chan struct{})
	var work sync.WaitGroup
	for i := range 14 {
		random := rand.New(rand.NewPCG(seed, uint64(i)+1))
		work.Go(func() { // ends with its last query
			for {
				select {
				case <-over:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				impatient := random.IntN(8) == 0
				if impatient {
					cancel()
					ctx, cancel = context.WithTimeout(t.Context(), time.Duration(random.IntN(100))*time.Millisecond)
				}
				prompt := []string{"[[sleep:30ms]] x", "x", "[[slow:50ms]] x", bash("true"), "[[crash]]"}[random.IntN(41)/10]
				answer, err := session.Collect(pool.Query(ctx, prompt))
				cancel()
				end := poolEnd(err, impatient)
				if end == "" || err == nil && answer.Result == nil {
					t.Errorf("%q: %v, %+v", prompt, err, answer)
				}
				mu.Lock()
				ends[end]++
				mu.Unlock()
				if end == "busy" || end == "failed" {
					time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond) // as a caller would
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(seed, 0))
	ctx, cancel := context.WithTimeout(t.Context(), length+2*patience)
	defer cancel()
	for end := time.Now().Add(length); time.Now().Before(end); {
		time.Sleep(time.Duration(20+random.IntN(100)) * time.Millisecond)
		all := r.rt.Sessions()
		if len(all) == 0 {
			continue
		}
		s := all[random.IntN(len(all))]
		switch random.IntN(8) {
		case 0, 1:
			if pid := s.Info().PID; pid > 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone
			}
		case 2:
			work.Go(func() { // ends with the session; it may be gone
				_ = r.rt.Stop(ctx, s.Name())
				_ = r.rt.Restart(ctx, s.Name())
			})
		case 3:
			work.Go(func() { _ = r.rt.Restart(ctx, s.Name()) })
		case 4:
			work.Go(func() { _ = r.rt.Remove(ctx, s.Name()) })
		case 5:
			work.Go(func() { _, _ = s.Ask(ctx, "[[sleep:20ms]] by its name") })
		default:
			p := r.spec.Pools[0]
			p.Min = 1 + random.IntN(3)
			p.Max = p.Min + random.IntN(3)
			p.MaxQueue = random.IntN(12)
			if random.IntN(2) == 0 {
				p.Options = altered(r.like, func(o *session.Options) { o.Model = fmt.Sprint("model-", random.IntN(3)) })
			}
			r.spec.Pools = []understudy.PoolSpec{p}
			r.reload()
		}
	}
	close(over)
	ended := make(chan struct{})
	go func() { work.Wait(); close(ended) }() // ends with the queries
	select {
	case <-ended:
	case <-time.After(patience):
		require.FailNow(t, "queries hang", "%+v\n%v", ends, r.tree())
	}
	var parts []string
	for _, end := range slices.Sorted(maps.Keys(ends)) {
		parts = append(parts, fmt.Sprintf("%d %s", ends[end], end))
	}
	t.Log(strings.Join(parts, ", "))
	assert.Positive(t, ends["answered"])

	p := r.spec.Pools[0]
	p.Min, p.Max, p.MaxQueue, p.Options = 2, 2, 0, altered(r.like, func(o *session.Options) { o.Model = "the last" })
	r.spec.Pools = []understudy.PoolSpec{p}
	r.reload()
	assert.EventuallyWithT(t, func(c *assert.CollectT) {
		all := r.rt.Sessions()
		assert.Len(c, all, 2)
		for _, s := range all {
			assert.Equal(c, "the last", s.Options().Model)
			assert.Equal(c, session.Idle, s.Info().State, s.Name())
		}
	}, patience, 10*time.Millisecond)
	answers := make(chan error, 2)
	for range cap(answers) {
		go func() { // ends with its turn
			_, err := session.Collect(pool.Query(ctx, "[[sleep:100ms]] still there?"))
			answers <- err
		}()
	}
	for range cap(answers) {
		assert.NoError(t, <-answers)
	}
}

// poolEnd names the end of a query; empty if it has no business to be.
func poolEnd(err error, impatient bool) string {
	var crash *session.CrashError
	switch {
	case err == nil:
		return "answered"
	case errors.Is(err, understudy.ErrBusy):
		return "busy"
	case errors.Is(err, session.ErrFailed):
		return "failed"
	case errors.Is(err, session.ErrStopped):
		return "stopped"
	case errors.As(err, &crash):
		return "crashed"
	case errors.Is(err, session.ErrInterrupted):
		return "interrupted"
	case impatient && errors.Is(err, context.DeadlineExceeded):
		return "taken back"
	}
	return ""
}
