package understudy_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// Fault: restarts and stops of one session are asked for at the same time, also while it is coming up
// Outcome: each request ends, with or without an error; afterwards there is one process at most, and a restart brings the session back
// On: simulated
func TestRestartsAndStopsAtTheSameTime(t *testing.T) {
	t.Parallel()
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) {
		s.Env = with(s.Env, "UNDERSTUDY_SIM_STARTUP", "slow:100ms")
		o.Sessions = []understudy.SessionSpec{{Name: "a", Options: s}}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if i%4 == 3 {
				_ = rt.Stop(ctx, "a") // the answer depends on who comes first
				return
			}
			_ = rt.Restart(ctx, "a")
		})
	}
	all.Wait()
	require.NoError(t, ctx.Err(), "nothing hangs")
	require.NoError(t, rt.Restart(ctx, "a"))
	assert.Equal(t, "echo: hello", asks(t, rt, "a", "hello").Text)
	s, err := rt.Session("a")
	require.NoError(t, err)
	require.NoError(t, rt.Stop(ctx, "a"))
	assert.Eventually(t, func() bool { return s.Info().State == session.Stopped }, patience, time.Millisecond)
	assert.Zero(t, s.Info().PID)
}

// Fault: the CLI crashes and its session waits for its restart, for long
// Outcome: that it is one restart more is on disk by then, as is what the last turn has cost
// On: simulated
func TestARestartThatWaitsIsOnDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.options.Supervisor.Backoff = &supervisor.Backoff{Initial: time.Hour}
	r.boot()
	r.mustAsk("hello")
	r.kill()
	var kept struct {
		Restarts, Turns int
	}
	r.until("it is on disk", func() bool {
		data, err := os.ReadFile(filepath.Join(r.options.DataDir, "state", "worker.json"))
		return err == nil && json.Unmarshal(data, &kept) == nil && kept.Restarts == 1
	})
	assert.Equal(t, session.Restarting, r.Info().State)
	assert.Equal(t, 1, kept.Turns)
}
