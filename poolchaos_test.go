package understudy_test

import (
	"context"
	"errors"
	"fmt"
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
	u := newTurmoil(t, 3*time.Second)
	r := newLiveRig(t, func(r *liveRig) {
		r.policy.Intensity = &supervisor.Intensity{MaxRestarts: 4, Within: 3 * time.Second}
		r.policy.Backoff = &supervisor.Backoff{Initial: 5 * time.Millisecond, Max: 50 * time.Millisecond}
		r.spec.Pools = []understudy.PoolSpec{{Name: "workers", Options: r.like, Min: 2, Max: 4, MaxQueue: 6, IdleTimeout: 50 * time.Millisecond}}
	})
	pool, err := r.rt.Pool("workers")
	require.NoError(t, err)

	for i := range 14 {
		random := u.random(i + 1)
		u.repeat(func() bool {
			ctx, cancel, impatient := u.within(t.Context(), random, 8, 100*time.Millisecond)
			defer cancel()
			prompt := []string{"[[sleep:30ms]] x", "x", "[[slow:50ms]] x", bash("true"), "[[crash]]"}[random.IntN(41)/10]
			answer, err := session.Collect(pool.Query(ctx, prompt))
			end := poolEnd(err, impatient)
			if end == "" || err == nil && answer.Result == nil {
				t.Errorf("%q: %v, %+v", prompt, err, answer)
			}
			u.ended(end)
			if end == "busy" || end == "failed" {
				time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond) // as a caller would
			}
			return true
		})
	}
	random := u.random(0)
	ctx, cancel := context.WithTimeout(t.Context(), u.length+2*patience)
	defer cancel()
	for end := time.Now().Add(u.length); time.Now().Before(end); {
		time.Sleep(time.Duration(20+random.IntN(100)) * time.Millisecond) // as operators do
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
			u.work.Go(func() { // ends with the session; it may be gone
				_ = r.rt.Stop(ctx, s.Name())
				_ = r.rt.Restart(ctx, s.Name())
			})
		case 3:
			u.work.Go(func() { _ = r.rt.Restart(ctx, s.Name()) })
		case 4:
			u.work.Go(func() { _ = r.rt.Remove(ctx, s.Name()) })
		case 5:
			u.work.Go(func() { _, _ = s.Ask(ctx, "[[sleep:20ms]] by its name") })
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
	close(u.over)
	u.await(t, func() string { return fmt.Sprint(r.rt.Pools(), r.tree()) })
	t.Log(u)
	assert.Positive(t, u.ends["answered"])

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
	accounted(t, r.rt, r.dir)
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
