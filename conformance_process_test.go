package understudy_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/supervisor"
)

func leaving(r *rig) {
	r.boot()
	for m, err := range r.Query(r.within(), "[[sleep:60]] left") {
		require.NoError(r, err)
		require.Equal(r, "system/init", m.Kind())
		break
	}
	assert.Equal(r, "echo: next", r.mustAsk("next").Text)
	ctx, cancel := context.WithTimeout(r.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := r.Ask(ctx, "[[sleep:60]] too long")
	assert.ErrorIs(r, err, context.DeadlineExceeded)
	assert.Equal(r, "echo: last", r.mustAsk("last").Text)
	assert.Equal(r, 1, r.Info().Generation)
}

func stopped(r *rig) {
	r.boot()
	command, entered, _ := r.gate("gate")
	cut := r.background(bash("echo $$ > pid; " + command))
	entered()
	queued := r.background("queued")
	r.until("the second query is queued", func() bool { return r.Info().Queue == 1 })
	pid, cli := r.pidIn("pid"), r.Info().PID
	require.NoError(r, r.rt.Stop(r.within(), "worker"))
	assert.Error(r, cut.wait(r.T))
	assert.ErrorIs(r, queued.wait(r.T), session.ErrStopped)
	assert.False(r, alive(pid))
	assert.False(r, alive(cli))
	assert.Equal(r, session.Stopped, r.Info().State)
	_, err := r.ask("after")
	assert.ErrorIs(r, err, session.ErrStopped)
	require.NoError(r, r.rt.Restart(r.within(), "worker"))
	assert.Equal(r, "echo: again", r.mustAsk("again").Text)
	assert.Equal(r, 2, r.Info().Generation)
}

func toolsOfAKilledCLI(r *rig) {
	r.boot()
	command, entered, _ := r.gate("gate")
	cut := r.background(bash("echo $$ > pid; " + command))
	entered()
	pid := r.pidIn("pid")
	r.kill()
	assert.Error(r, cut.wait(r.T))
	r.until("the next generation is ready", func() bool { return r.Info().Generation == 2 && r.Info().State == session.Idle })
	assert.False(r, alive(pid), "before the next generation runs")
}

// nothingSurvives leaves daemons behind in the ways that a tool has, and looks for them after the shutdown.
func nothingSurvives(r *rig) {
	r.boot()
	r.mustAsk(bash(`setsid sh -c 'echo $$ > daemon; exec sleep 600' </dev/null >/dev/null 2>&1 & true`))
	daemon := r.pidIn("daemon")
	command, entered, _ := r.gate("gate")
	r.mustAsk(tool("echo $$ > task; "+command, `,"run_in_background":true`))
	entered()
	task := r.pidIn("task")
	last, lastEntered, _ := r.gate("last")
	cut := r.background(bash("echo $$ > tool; env -i setsid sh -c 'echo $$ > bare; exec sleep 600' & " + last))
	lastEntered()
	tool, bare, cli := r.pidIn("tool"), r.pidIn("bare"), r.Info().PID
	for _, pid := range []int{daemon, task, tool, bare, cli} {
		require.True(r, alive(pid))
	}
	shutdown(r.T, r.rt)
	assert.Error(r, cut.wait(r.T))
	assert.False(r, alive(cli), "the CLI")
	assert.False(r, alive(tool), "the tool that ran")
	assert.False(r, alive(bare), "its child without session and environment")
	assert.False(r, alive(task), "the background task")
	assert.False(r, alive(daemon), "the daemon")
}

func badStarts(r *rig) {
	silent := filepath.Join(r.work, "silent")
	require.NoError(r, os.WriteFile(silent, []byte("#!/bin/sh\nexit 0\n"), 0o700))
	notExecutable := filepath.Join(r.work, "plain")
	require.NoError(r, os.WriteFile(notExecutable, []byte("text"), 0o600))
	for _, test := range []struct {
		name   string
		change func(*rig)
		want   []string
	}{
		{"missing binary", func(r *rig) { r.options.CLI = session.CLI{Path: "/does/not/exist"} }, []string{"/does/not/exist"}},
		{"name that is not on PATH", func(r *rig) { r.options.CLI = session.CLI{Path: "no-such-claude"} }, []string{"no-such-claude"}},
		{"binary that says nothing", func(r *rig) { r.options.CLI = session.CLI{Path: silent} }, []string{"did not start"}},
		{"file that is no program", func(r *rig) { r.options.CLI = session.CLI{Path: notExecutable} }, []string{notExecutable}},
		{"missing directory", func(r *rig) { r.spec.CWD = "/no/such/directory" }, []string{"/no/such/directory"}},
		{"unknown flag", func(r *rig) { r.spec.ExtraArgs = map[string]*string{"no-such-flag": nil} }, []string{"no-such-flag"}},
		{"unknown mode", func(r *rig) { r.spec.PermissionMode = "wat" }, []string{"wat"}},
		{"bypass as root", func(r *rig) {
			r.spec.PermissionMode, r.spec.AllowDangerouslySkipPermissions = protocol.ModeBypassPermissions, true
			r.spec.Sandbox.Enabled = new(true) // without one, the mode is refused before anything runs
		}, []string{"root"}},
	} {
		if test.name == "bypass as root" && (os.Getuid() != 0 || !exists("/usr/bin/bwrap") || !exists("/usr/bin/socat")) {
			continue
		}
		bad := *r
		test.change(&bad)
		rt, err := understudy.Start(r.within(), bad.options)
		require.NoError(r, err, test.name)
		_, err = rt.Spawn(r.within(), "worker", bad.spec)
		require.Error(r, err, test.name)
		for _, want := range test.want {
			assert.ErrorContains(r, err, want, test.name)
		}
		var crash *session.CrashError
		if assert.ErrorAs(r, err, &crash, test.name) {
			assert.Equal(r, session.PhaseStart, crash.Phase, test.name)
			assert.Equal(r, test.name != "binary that says nothing", supervisor.Permanently(err), "%s: %v", test.name, crash.Class)
		}
		_, err = rt.Session("worker")
		assert.ErrorIs(r, err, understudy.ErrNoSession, test.name)
		shutdown(r.T, rt)
	}
}

// TestWhatLeftEverythingIsEnded is about a daemon that has left its session, cleared its environment and lost its parents
// before anybody looked. No trace of it leads back to the CLI, but the kernel gives it to the nearest subreaper: a program
// that is one, as the understudy command is, ends it when it ends itself.
func TestWhatLeftEverythingIsEnded(t *testing.T) {
	t.Parallel()
	if os.Getenv(orphanVariable) == "" {
		for _, name := range []string{"sim", "real"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if name == "real" {
					sessiontest.RealCLI(t)
				}
				self, err := os.Executable()
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
				defer cancel()
				cmd := exec.CommandContext(ctx, self, "-test.run=^TestWhatLeftEverythingIsEnded$", "-test.v")
				cmd.Env = append(os.Environ(), orphanVariable+"="+name)
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, "%s", out)
				assert.NotContains(t, string(out), "SKIP")
			})
		}
		return
	}
	require.NoError(t, process.BecomeSubreaper())
	r := newRig(t, os.Getenv(orphanVariable) == "real")
	r.spec.Containment.Without = []process.Layer{process.LayerPIDNamespace, process.LayerCgroup} // which leave nothing to be done
	r.boot()
	r.mustAsk(bash(`env -i setsid sh -c 'echo $$ > daemon; exec sleep 600' </dev/null >/dev/null 2>&1 & true`))
	daemon := r.pidIn("daemon")
	require.True(t, alive(daemon))
	shutdown(t, r.rt)
	report := process.SweepOrphans()
	require.NoError(t, report.Err)
	assert.False(t, alive(daemon))
	assert.Empty(t, process.SweepOrphans().Killed)
}

// deaf halts a process that lives on and does nothing: an idle session would never find out by itself.
func deaf(r *rig) {
	r.spec.ControlTimeout = 500 * time.Millisecond
	r.boot()
	r.mustAsk("hello")
	pid := r.Info().PID
	halt := func() {
		r.Helper()
		require.NoError(r, syscall.Kill(pid, syscall.SIGSTOP))
		r.until("it is halted", func() bool { return halted(pid) })
	}

	halt()
	require.ErrorIs(r, r.SetModel(r.within(), "haiku"), context.DeadlineExceeded)
	require.NoError(r, syscall.Kill(pid, syscall.SIGCONT))
	r.until("it was only slow", func() bool { return r.SetModel(r.within(), "haiku") == nil })
	assert.Equal(r, pid, r.Info().PID)

	halt()
	require.ErrorIs(r, r.SetModel(r.within(), "sonnet"), context.DeadlineExceeded)
	assert.Equal(r, "history: hello", r.history(), "the conversation goes on in the next process")
	info := r.Info()
	assert.Equal(r, 2, info.Generation)
	require.NotNil(r, info.LastExit)
	assert.ErrorContains(r, info.LastExit.Reason, "it left 5 control requests in a row unanswered, each for 500ms (control_timeout)")
	assert.Len(r, r.records(audit.SessionCrashed), 1)
}
