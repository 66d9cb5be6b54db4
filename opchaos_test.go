package understudy_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/supervisor"
)

// TestChaosOfOperators has several operators do everything at once to the same few names: spawn, fork, stop, restart, remove, ask,
// interrupt, reload, kill. Each gets an answer, or an error that says what it is; afterwards what is there can be asked and removed, and
// then nothing is left: no process, no state, nobody who waits.
func TestChaosOfOperators(t *testing.T) {
	t.Parallel()
	u := newTurmoil(t, 3*time.Second)
	path, args, env := sessiontest.CLI(t)
	env["HOME"] = t.TempDir()
	like := session.Options{CWD: t.TempDir(), Env: env, AllowedTools: []string{"Bash"}}
	dataDir := t.TempDir()
	options := understudy.Options{
		DataDir: dataDir, CLI: session.CLI{Path: path, Args: args},
		Supervisor: understudy.SupervisorOptions{
			Intensity: &supervisor.Intensity{MaxRestarts: 4, Within: 3 * time.Second},
			Backoff:   &supervisor.Backoff{Initial: 5 * time.Millisecond, Max: 50 * time.Millisecond},
		},
	}
	rt, err := understudy.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, rt) })

	names := []string{"a", "b", "c", "d", "e"}
	ctx, cancel := context.WithTimeout(t.Context(), u.length+2*patience)
	defer cancel()
	for i := range 8 {
		random := u.random(i)
		u.repeat(func() bool {
			name, other := names[random.IntN(len(names))], names[random.IntN(len(names))]
			within, cancel, impatient := u.within(ctx, random, 6, 60*time.Millisecond)
			defer cancel()
			done := u.watch(t, name+" "+other)
			what, err := operate(within, rt, random, like, name, other)
			done()
			end := operatorEnd(err, impatient)
			if end == "" {
				t.Errorf("%s %s %s: %v", what, name, other, err)
			}
			u.ended(what + " " + end)
			return true
		})
	}
	time.AfterFunc(u.length, func() { close(u.over) })
	<-u.over
	u.await(t, func() string { return fmt.Sprint(rt.Sessions()) })
	t.Log(u)

	runtimeID := ""
	for _, s := range rt.Sessions() {
		runtimeID = filepath.Dir(s.Launch().Marker)
		assert.NoError(t, rt.Restart(ctx, s.Name()), s.Name())
		answer, err := s.Ask(ctx, "still there?")
		if assert.NoError(t, err, "%s: %+v", s.Name(), s.Info()) {
			assert.Equal(t, "echo: still there?", answer.Text, s.Name())
		}
		assert.NoError(t, rt.Remove(ctx, s.Name()), s.Name())
	}
	assert.Empty(t, rt.Sessions())
	tree, err := rt.Supervision(ctx)
	require.NoError(t, err)
	for _, child := range tree.Children {
		if child.Name == "sessions" {
			assert.Empty(t, child.Children)
		}
	}
	files, err := filepath.Glob(filepath.Join(dataDir, "state", "*"))
	require.NoError(t, err)
	for _, f := range files {
		info, err := os.Stat(f)
		require.NoError(t, err)
		// What a reload ends keeps its conversation, for the next configuration that names it.
		assert.True(t, info.IsDir() || filepath.Base(f) == "conf.json", "state left: %s", f)
	}
	accounted(t, rt, dataDir)
	if runtimeID != "" {
		assert.Empty(t, process.SweepPrefix(runtimeID+"/").Killed, "processes left behind")
	}
}

func operate(ctx context.Context, rt *understudy.Runtime, random *rand.Rand, like session.Options, name, other string) (what string, err error) {
	switch random.IntN(16) {
	case 0, 1, 2:
		_, err = rt.Spawn(ctx, name, like)
		return "spawn", err
	case 3:
		if name == other {
			return "nothing", nil
		}
		_, err = rt.Fork(ctx, name, other)
		return "fork", err
	case 4:
		return "stop", rt.Stop(ctx, name)
	case 5, 6:
		return "restart", rt.Restart(ctx, name)
	case 7, 8:
		return "remove", rt.Remove(ctx, name)
	case 9:
		s, err := rt.Session(name)
		if err == nil {
			err = s.Interrupt(ctx)
		}
		return "interrupt", err
	case 10:
		if s, err := rt.Session(name); err == nil {
			if pid := s.Info().PID; pid > 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone
			}
		}
		return "kill", nil
	case 11:
		spec := understudy.ReloadSpec{Drain: 10 * time.Millisecond}
		if random.IntN(2) == 0 {
			o := like
			o.Model = fmt.Sprint("model-", random.IntN(2))
			spec.Sessions = []understudy.SessionSpec{{Name: "conf", Options: o}}
		}
		_, err = rt.Reload(ctx, spec)
		return "reload", err
	default:
		s, err := rt.Session(name)
		if err == nil {
			_, err = s.Ask(ctx, []string{"x", "[[sleep:20ms]] x", bash("sleep 0.02"), "[[crash]]"}[random.IntN(31)/10])
		}
		return "ask", err
	}
}

// operatorEnd names the end of an operation; empty if it has no business to be.
func operatorEnd(err error, impatient bool) string {
	var crash *session.CrashError
	for _, end := range []struct {
		text  string
		cause error
	}{
		{"no session", understudy.ErrNoSession}, {"exists", understudy.ErrExists}, {"taken", understudy.ErrConversationTaken},
		{"failed", session.ErrFailed}, {"stopped", session.ErrStopped}, {"interrupted", session.ErrInterrupted}, {"not running", session.ErrNotRunning},
		{"dropped", session.ErrDropped}, {"not found", supervisor.ErrNotFound}, {"terminated", supervisor.ErrTerminated},
		{"no conversation", session.ErrNoConversation},
	} {
		if errors.Is(err, end.cause) {
			return end.text
		}
	}
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &crash):
		return "crashed"
	case impatient && errors.Is(err, context.DeadlineExceeded):
		return "taken back"
	}
	return ""
}
