package session_test

import (
	"context"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// Fault: the CLI says something on stdout that is no frame, when an idle session's process is being ended, or a session is stopped
// Outcome: it does not matter any more: the session hibernates, and the next query starts the next process; the stop is none that failed
// On: simulated
func TestLastWordsThatAreNoFrame(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.IdleTimeout = 50 * time.Millisecond
	sp.CLI.Path, sp.CLI.Args = "/bin/sh", append([]string{"-c", `"$@"; echo 'good bye'; echo '{"type":'`, "sh", sp.CLI.Path}, sp.CLI.Args...)
	b := start(t, sp)
	b.mustAsk("before")
	b.until(session.Hibernated)
	assert.Equal(t, "history: before", b.mustAsk("[[history]]").Text)
	b.until(session.Hibernated)
	b.mustAsk("hello")
	assert.Zero(t, b.Info().Restarts)
	sp.Name, sp.Options.IdleTimeout = "b", 0
	b = start(t, sp)
	require.NoError(t, b.sup.TerminateChild(t.Context(), "b"))
	assert.ErrorIs(t, b.await(supervisor.ChildStopped).Reason, actor.ErrShutdown)
}

// Fault: a control request comes while an idle session's process is being ended
// Outcome: the next process answers it, whether or not there is a query for that one
// On: simulated
func TestAControlRequestMeetsTheEndOfAnIdleProcess(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.IdleTimeout = 50 * time.Millisecond
	b := start(t, sp)
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	b.mustAsk("[[flush:" + pipe + "]]")
	done := b.flushing(pipe)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := b.Models(ctx) // nobody waits for it any more, and it is there nevertheless
	require.ErrorIs(t, err, context.DeadlineExceeded)
	done()
	require.Eventually(t, func() bool { return b.Info().Generation == 2 }, time.Minute, time.Millisecond, "%+v", b.Info())
}

// Fault: an idle session is to make room for another one (max_processes), or has been idle for idle_timeout, while it waits for the CLI's
// answer to a control request
// Outcome: it does when the answer is there
// On: simulated
func TestASessionThatIsAskedSomethingMakesRoomBehindIt(t *testing.T) {
	g := governed(t, session.Limits{MaxProcesses: 1})
	sp, other := spec(t, "a"), spec(t, "b")
	sp.Governor, other.Governor = g, g
	sp.Options.IdleTimeout = time.Hour
	b := start(t, sp)
	b.mustAsk("hello")
	pid := b.Info().PID
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := b.Models(ctx) // the session waits for it longer than who has asked
	require.ErrorIs(t, err, context.DeadlineExceeded)
	next, err := session.New(b.sys, other)
	require.NoError(t, err)
	started := make(chan error, 1)
	go func() { // ends when it has started
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := b.sup.StartChild(ctx, next.ChildSpec(supervisor.DefaultIntensity, supervisor.Backoff{}))
		started <- err
	}()
	require.Eventually(t, func() bool { return next.Info().Waits == "max_processes" }, time.Minute, time.Millisecond)
	require.NoError(t, b.Interrupt(t.Context())) // which nothing comes of: it has been asked to make room by then
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	require.NoError(t, <-started)
	b.until(session.Hibernated)
}

// Fault: a conversation is gone, and there is no room for the process that is to begin a new one (max_processes) for longer than
// start_timeout
// Outcome: it is started when there is room; that it had to wait is no crash
// On: simulated
func TestTheSecondProcessOfAStartWaitsForRoom(t *testing.T) {
	sp, other := spec(t, "a"), spec(t, "b")
	before := start(t, sp)
	before.mustAsk("hello")
	require.NoError(t, before.sup.TerminateChild(t.Context(), "a"))
	sp.Governor = governed(t, session.Limits{MaxProcesses: 1})
	other.Governor = sp.Governor
	sp.Options.StartTimeout = 3 * time.Second
	sp.Options.Env["CLAUDE_CONFIG_DIR"] = t.TempDir()
	sp.Options.Env["UNDERSTUDY_SIM_STARTUP"] = "slow:500ms"
	next, err := session.New(before.sys, other)
	require.NoError(t, err)
	ended := make(chan error, 1)
	begin := sync.OnceFunc(func() {
		go func() { // ends when it has been there for a while
			pid, err := next.Start(context.Background())
			if err == nil {
				time.Sleep(sp.Options.StartTimeout + time.Second) // what is tested is that this does not count
				pid.Stop(actor.ErrShutdown)
				<-pid.Done()
			}
			ended <- err
		}()
	})
	sp.OnMoment = func(m session.Moment) {
		if m.Kind == session.ProcessStarted {
			begin()
		}
	}
	b := start(t, sp)
	require.NoError(t, <-ended)
	b.mustAsk("hello")
	assert.Zero(t, b.Info().Restarts)
	assert.Len(t, b.History().Generations, 2)
}
