package understudy_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/sessiontest"
)

// countdown is a context that ends when it is waited for the n-th time.
type countdown struct {
	context.Context
	end  context.CancelFunc
	left atomic.Int32
}

func newCountdown(ctx context.Context, n int) *countdown {
	c := &countdown{}
	c.Context, c.end = context.WithCancel(ctx)
	c.left.Store(int32(n))
	return c
}

func (c *countdown) Done() <-chan struct{} {
	if c.left.Add(-1) == 0 {
		c.end()
	}
	return c.Context.Done()
}

// TestRemoveWhoseCallerIsGone: a removal whose context ends on its way has happened, or it has not: what is known can be started.
func TestRemoveWhoseCallerIsGone(t *testing.T) {
	t.Parallel()
	path, args, env := sessiontest.CLI(t)
	env["HOME"] = t.TempDir()
	like := session.Options{CWD: t.TempDir(), Env: env}
	rt, err := understudy.Start(t.Context(), understudy.Options{DataDir: t.TempDir(), CLI: session.CLI{Path: path, Args: args}})
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, rt) })

	removed := 0
	for n := 1; removed < 3; n++ {
		require.Less(t, n, 30)
		_, err := rt.Spawn(t.Context(), "a", like)
		require.NoError(t, err)
		ctx := newCountdown(t.Context(), n)
		err = rt.Remove(ctx, "a")
		ctx.end()
		if err == nil {
			removed++
			_, err = rt.Session("a")
			require.ErrorIs(t, err, understudy.ErrNoSession)
			continue
		}
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, rt.Restart(t.Context(), "a"), "it is known, after %d", n)
		require.NoError(t, rt.Remove(t.Context(), "a"))
	}
}

// Fault: a session is removed, and what ends its process does not answer for long (a container engine, a disk)
// Outcome: the caller is told within 10 s; nobody else gets the name until the process has ended, and then everybody may
// On: simulated
func TestFaultRemovalThatTakesLong(t *testing.T) {
	t.Parallel()
	path, args, env := sessiontest.CLI(t)
	work := t.TempDir()
	env["HOME"] = t.TempDir()
	like := session.Options{CWD: work, Env: env}
	slow := like
	gate := filepath.Join(work, "gate")
	require.NoError(t, syscall.Mkfifo(gate, 0o600))
	slow.Launcher = process.Launcher{Kind: process.LaunchCommand, Command: []string{"nice", "-n", "1"}, Kill: []string{"sh", "-c", "read open < " + gate}}
	dataDir := t.TempDir()
	rt, err := understudy.Start(t.Context(), understudy.Options{DataDir: dataDir, CLI: session.CLI{Path: path, Args: args}})
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, rt) })
	understudy.Parting(rt, 100*time.Millisecond)
	s, err := rt.Spawn(t.Context(), "a", slow)
	require.NoError(t, err)

	err = rt.Remove(t.Context(), "a")
	require.ErrorContains(t, err, "its name is free once it has")
	_, err = rt.Spawn(t.Context(), "a", like)
	require.ErrorIs(t, err, understudy.ErrExists)
	_, err = s.Ask(t.Context(), "are you there?")
	assert.ErrorIs(t, err, session.ErrStopped)

	open, err := os.OpenFile(gate, os.O_RDWR, 0) // which waits for nobody
	require.NoError(t, err)
	require.NoError(t, open.Close())
	require.Eventually(t, func() bool { _, err := rt.Session("a"); return err != nil }, patience, time.Millisecond)
	assert.NoFileExists(t, filepath.Join(dataDir, "state", "a.json"))
	next, err := rt.Spawn(t.Context(), "a", like)
	require.NoError(t, err)
	assert.Equal(t, 1, next.Info().Generation)
}

// TestASessionMadeAnewIsNotTakenForTheOneBefore: it has the name and the generation of what was removed, and another marker: whatever looks
// for what that one has left, and however late, does not find the new one.
func TestASessionMadeAnewIsNotTakenForTheOneBefore(t *testing.T) {
	t.Parallel()
	path, args, env := sessiontest.CLI(t)
	env["HOME"] = t.TempDir()
	dir := t.TempDir()
	rt, err := understudy.Start(t.Context(), understudy.Options{DataDir: t.TempDir(), CLI: session.CLI{Path: path, Args: args}})
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, rt) })
	for range 2 {
		s, err := rt.Spawn(t.Context(), "a", session.Options{CWD: dir, Env: env, AllowedTools: []string{"Bash"}})
		require.NoError(t, err)
		_, err = s.Ask(t.Context(), bash(`echo "$UNDERSTUDY_SESSION" >> markers`))
		require.NoError(t, err)
		assert.Equal(t, 1, s.Info().Generation)
		require.NoError(t, rt.Remove(t.Context(), "a"))
	}
	data, err := os.ReadFile(filepath.Join(dir, "markers"))
	require.NoError(t, err)
	markers := strings.Fields(string(data))
	require.Len(t, markers, 2)
	assert.NotEqual(t, markers[0], markers[1])
	assert.Equal(t, filepath.Dir(markers[0]), filepath.Dir(markers[1]), "what is before the last slash is the session's")
}
