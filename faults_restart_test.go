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

// Fault: the CLI crashes on each resume of a conversation, and the runtime is killed after each of these crashes and started again
// Outcome: the crashes are counted over all of them: the second parks the session; each runtime after that tries once, and parks it with
// the reason; when the CLI resumes again the next one goes on with the conversation
// On: simulated
func TestCrashesOfAConversationAreCountedOverRuntimes(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	good := r.spec
	r.options.Supervisor.Backoff = &supervisor.Backoff{Initial: time.Hour} // the runtime is gone before the next process
	start := func(spec session.Options) (*understudy.Runtime, *session.Session) {
		o := r.options
		o.Sessions = []understudy.SessionSpec{{Name: "worker", Options: spec}}
		rt, err := understudy.Start(r.within(), o)
		require.NoError(t, err)
		s, err := rt.Session("worker")
		require.NoError(t, err)
		return rt, s
	}
	await := func(s *session.Session, state session.State) session.Info {
		require.Eventually(t, func() bool { return s.Info().State == state }, patience, time.Millisecond, "%s", state)
		return s.Info()
	}
	rt, s := start(good)
	_, err := s.Ask(r.within(), "remember")
	require.NoError(t, err)
	shutdown(t, rt)

	bad := good
	bad.Env = with(good.Env, "UNDERSTUDY_SIM_STARTUP", "exit:3")
	for i, state := range []session.State{session.Restarting, session.Failed, session.Failed} {
		rt, s := start(bad)
		info := await(s, state)
		assert.Equal(t, i+2, info.Generation, "one process each")
		if state == session.Failed {
			var crash *session.CrashError
			require.ErrorAs(t, info.Reason, &crash)
			assert.True(t, crash.Poisoned)
			_, err := s.Ask(r.within(), "hello")
			assert.ErrorIs(t, err, session.ErrFailed)
		}
		killed := t.TempDir() // what a runtime leaves that is killed now: an end in order changes the record
		require.NoError(t, os.CopyFS(filepath.Join(killed, "state"), os.DirFS(filepath.Join(r.options.DataDir, "state"))))
		shutdown(t, rt)
		r.options.DataDir = killed
	}

	rt, s = start(good)
	defer shutdown(t, rt)
	await(s, session.Idle)
	answer, err := s.Ask(r.within(), "[[history]]")
	require.NoError(t, err)
	assert.Equal(t, "history: remember", answer.Text)
	assert.Equal(t, 5, s.Info().Generation)
}
