package understudy_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
)

// Fault: the CLI's binary is removed, or replaced by what is none, and then its process ends
// Outcome: the session is parked at once, with the path and what to do, and the one restart that found it missing is all that is spent; when the binary is there again
// a restart on request brings the session back with its conversation
// On: simulated
func TestTheBinaryGoesAwayBetweenRestarts(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(string) error{
		"removed": os.Remove,
		"replaced": func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path, []byte("no program"), 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, false)
			path := filepath.Join(t.TempDir(), "claude")
			program := r.options.CLI.Path
			require.NoError(t, os.Symlink(program, path))
			r.options.CLI.Path = path
			r.boot()
			r.mustAsk("the word is pear")
			require.NoError(t, spoil(path))
			r.kill()
			r.until("it is parked", func() bool { return r.Info().State == session.Failed })
			reason := r.Info().Reason
			require.ErrorContains(t, reason, path)
			start, ok := errors.AsType[*process.StartError](reason)
			require.True(t, ok, "%v", reason)
			assert.NotEmpty(t, start.Hint)
			assert.Equal(t, 1, r.Info().Restarts, "the one that found it missing")
			_, err := r.ask("hello")
			require.ErrorIs(t, err, session.ErrFailed)

			require.NoError(t, os.RemoveAll(path))
			require.NoError(t, os.Symlink(program, path))
			require.NoError(t, r.rt.Restart(r.within(), "worker"))
			assert.Contains(t, r.history(), "the word is pear")
		})
	}
}

// Fault: HOME cannot be written
// Outcome: the session works; its conversation is lost with its process, which is said, and the next one begins a new one
// On: simulated, real
func TestAHomeThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	both(t, map[string]func(*rig){"no directory at all": func(r *rig) {
		r.spec.Env = with(with(r.spec.Env, "HOME", "/dev/null/home"), "CLAUDE_CONFIG_DIR", "/dev/null/home/.claude")
		r.boot()
		assert.Contains(r, r.mustAsk(bash("echo it works")).Text, "it works")
		r.killIdle()
		r.mustAsk("hello")
		assert.Contains(r, notices(r.T, r.options.DataDir), string(session.NoticeConversationLost))
		assert.Equal(r, 2, r.Info().Turns)
	}})
}

// Fault: the CLI writes a line of 64 MiB, garbage, or half a line before it ends
// Outcome: each ends the process with a CrashError that names it; no memory is taken for what is beyond max_line_bytes; the next process
// goes on with the conversation
// On: simulated
func TestAStdoutThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ prompt, want string }{
		"a line of 64 MiB": {"[[hugeline:67108864]]", "line longer than 16777216 bytes"},
		"half a line":      {"[[torn]]", "unexpected EOF"},
		"garbage":          {`[[garbage:{"type":"assistant",]] [[hang]]`, "garbage on stdout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, false)
			r.boot()
			r.mustAsk("before")
			_, err := r.ask(c.prompt)
			var crash *session.CrashError
			require.ErrorAs(t, err, &crash)
			require.ErrorContains(t, err, c.want)
			assert.Contains(t, r.history(), "before")
			assert.Equal(t, 1, r.Info().Restarts)
		})
	}
}

// Fault: the CLI closes its stdout and goes on running
// Outcome: it is ended, and the error says so
// On: process
func TestACLIThatClosesItsStdout(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	script := filepath.Join(t.TempDir(), "claude")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\nexec >&-\nexec sleep 600\n"), 0o700))
	r.options.CLI = session.CLI{Path: script}
	r.up()
	_, err := r.rt.Spawn(r.within(), "worker", r.spec)
	var crash *session.CrashError
	require.ErrorAs(t, err, &crash)
	require.ErrorContains(t, err, "it closed its stdout and went on running")
	assert.Equal(t, process.ClassProtocol, crash.Class)
}

// Fault: a session is stopped, or whoever spawns it goes away, while its CLI comes up
// Outcome: the stop is soon; nothing is left of the CLI, and a spawned session is not there
// On: simulated, real
func TestStopWhileTheCLIComesUp(t *testing.T) {
	t.Parallel()
	both(t, map[string]func(*rig){"stop": func(r *rig) {
		if !r.real {
			r.spec.Env = with(r.spec.Env, "UNDERSTUDY_SIM_STARTUP", "slow:10s")
		}
		r.options.Sessions = []understudy.SessionSpec{{Name: "worker", Options: r.spec}}
		r.up()
		s, err := r.rt.Session("worker")
		require.NoError(r, err)
		r.Session = s
		r.until("there is a process", func() bool { return r.Info().PID != 0 })
		pid := r.Info().PID
		require.NoError(r, r.rt.Stop(r.within(), "worker"))
		assert.False(r, alive(pid))
		r.until("it is stopped", func() bool { return r.Info().State == session.Stopped })
		assert.Empty(r, process.SweepPrefix(r.Launch().Marker).Killed)
		_, err = r.ask("hello")
		require.ErrorIs(r, err, session.ErrStopped)
	}})
}

// Fault: the disk is full where the state is kept, and later has room again
// Outcome: the session works on and says what is not on disk; the record that is there stays whole; when there is room it is written
// On: simulated
func TestAFullDiskForState(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	state := filepath.Join(r.options.DataDir, "state")
	require.NoError(t, os.Mkdir(state, 0o700))
	smallDisk(t, state)
	r.boot()
	r.mustAsk("one")
	r.until("the record is on disk", func() bool { return r.Info().Unsaved == "" && exists(filepath.Join(state, "worker.json")) })
	room := fillUp(t, state)
	before, err := os.ReadFile(filepath.Join(state, "worker.json"))
	require.NoError(t, err)
	r.mustAsk("two")
	r.until("it is said", func() bool { return r.Info().Unsaved != "" })
	assert.Contains(t, r.Info().Unsaved, "no space left on device")
	after, err := os.ReadFile(filepath.Join(state, "worker.json"))
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after), "the old record is whole")
	room()
	r.until("it is written", func() bool { return r.Info().Unsaved == "" })
	left, err := filepath.Glob(filepath.Join(state, "*.new-*"))
	require.NoError(t, err)
	assert.Empty(t, left, "nothing half written stays behind")
	r.killIdle()
	assert.Contains(t, r.history(), "two")
}

// Fault: the API refuses every call of a conversation, as when it has become too long
// Outcome: each query ends with a ResultError; that is no crash: the process goes on, no restart is spent, and when the API takes calls
// again the conversation goes on
// On: simulated, real
func TestAConversationThatTheAPIRefuses(t *testing.T) {
	t.Parallel()
	both(t, map[string]func(*rig){"refused": func(r *rig) {
		r.boot()
		r.mustAsk("the word is pear")
		for range 3 {
			_, err := r.ask("[[status:400]]")
			var refused *session.ResultError
			require.ErrorAs(r, err, &refused)
		}
		assert.Contains(r, r.history(), "the word is pear")
		info := r.Info()
		assert.Equal(r, 1, info.Generation)
		assert.Zero(r, info.Restarts)
		assert.Equal(r, session.Idle, info.State)
	}})
}

// Fault: somebody sends /clear, so that the CLI goes on in another conversation, and then its process is killed
// Outcome: it is said, and the conversation that is resumed is the one that the CLI was in
// On: real
func TestAClearedConversation(t *testing.T) {
	t.Parallel()
	r := newRig(t, true)
	r.boot()
	r.mustAsk("the word is pear")
	before := r.Info().SessionID
	r.mustAsk("/clear")
	r.mustAsk("the word is plum")
	after := r.Info().SessionID
	require.NotEqual(t, before, after)
	r.killIdle()
	history := r.mustAsk("[[history]]").Text
	assert.Contains(t, history, "plum")
	assert.NotContains(t, history, "pear")
	assert.Equal(t, after, r.Info().SessionID)
	kept, err := filepath.Glob(filepath.Join(r.config, "projects", "*", before+".jsonl"))
	require.NoError(t, err)
	assert.Len(t, kept, 1, "the conversation before is still there")
	moved := 0
	for _, record := range r.records(audit.SessionNotice) {
		if record.Detail["notice"] == string(session.NoticeConversationMoved) {
			moved++
			assert.Equal(t, before, record.Detail["before"])
			assert.Equal(t, after, record.Detail["conversation"])
		}
	}
	assert.Equal(t, 1, moved, "said once")
}

// Fault: the API refuses the model of one session, again and again, while others of the same account are asked
// Outcome: each of its queries fails at once; nobody else waits, and no restart is spent
// On: simulated, real
func TestARefusedModelBesideOthers(t *testing.T) {
	t.Parallel()
	both(t, map[string]func(*rig){"refused": func(r *rig) {
		r.boot()
		refused, err := r.rt.Spawn(r.within(), "refused", r.spec)
		require.NoError(r, err)
		for range 4 {
			_, err := refused.Ask(r.within(), "[[status:404]]")
			var failed *session.ResultError
			require.ErrorAs(r, err, &failed)
			r.mustAsk("hello")
		}
		for _, info := range []session.Info{refused.Info(), r.Info()} {
			assert.Equal(r, session.Idle, info.State)
			assert.Equal(r, 1, info.Generation)
			assert.Zero(r, info.Restarts)
		}
		assert.Empty(r, r.records(audit.SessionNotice), "nothing was held")
	}})
}
