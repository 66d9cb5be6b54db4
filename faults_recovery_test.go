package understudy_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
)

// notices are the kinds of notices in the audit log.
func notices(t *testing.T, dataDir string) []string {
	t.Helper()
	var kinds []string
	for r, err := range audit.Read(filepath.Join(dataDir, "audit")) {
		require.NoError(t, err)
		if r.Kind == audit.SessionNotice {
			kinds = append(kinds, r.Detail["notice"].(string))
		}
	}
	return kinds
}

func asks(t *testing.T, rt *understudy.Runtime, name, prompt string) session.Answer {
	t.Helper()
	s, err := rt.Session(name)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answer, err := s.Ask(ctx, prompt)
	require.NoError(t, err)
	return answer
}

// Fault: the runtime ends, and there are sessions that are in no configuration
// Outcome: the next one starts them again with their options, conversation and counts, and says so; those that were stopped on
// request, and those of which a secret was not kept, it does not start without being told how
// On: simulated
func TestSpawnedSessionsComeBack(t *testing.T) {
	t.Parallel()
	var first understudy.Options
	var plain session.Options
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) { first, plain = *o, s })
	plain.MaxTurns = 7
	keyed := plain
	keyed.APIKey = madeUpKey
	for name, o := range map[string]session.Options{"plain": plain, "stopped": plain, "keyed": keyed} {
		_, err := rt.Spawn(t.Context(), name, o)
		require.NoError(t, err)
		asks(t, rt, name, "I am "+name)
	}
	require.NoError(t, rt.Stop(t.Context(), "stopped"))
	require.NoError(t, rt.Shutdown(t.Context()))
	state, err := os.ReadFile(filepath.Join(first.DataDir, "state", "keyed.json"))
	require.NoError(t, err)
	assert.NotContains(t, string(state), madeUpKey)

	rt = runtimeWith(t, func(o *understudy.Options, _ session.Options) { *o = first })
	assert.Equal(t, "history: I am plain", asks(t, rt, "plain", "[[history]]").Text)
	s, err := rt.Session("plain")
	require.NoError(t, err)
	assert.Equal(t, 7, s.Options().MaxTurns)
	info := s.Info()
	assert.Equal(t, 2, info.Generation)
	assert.Equal(t, 2, info.Turns)
	assert.InDelta(t, 0.01, info.CostUSD, 1e-9)
	for _, name := range []string{"stopped", "keyed"} {
		_, err := rt.Session(name)
		assert.ErrorIs(t, err, understudy.ErrNoSession, name)
	}
	assert.Contains(t, notices(t, first.DataDir), string(session.NoticeRecovered))
	require.NoError(t, rt.Shutdown(t.Context()))

	first.Respawn = func(name string, kept session.Options) (session.Options, error) {
		if name == "keyed" {
			assert.Empty(t, kept.APIKey)
			kept.APIKey = madeUpKey
		}
		return kept, nil
	}
	rt = runtimeWith(t, func(o *understudy.Options, _ session.Options) { *o = first })
	assert.Equal(t, "history: I am keyed", asks(t, rt, "keyed", "[[history]]").Text)
	require.NoError(t, rt.Remove(t.Context(), "plain"))
	require.NoError(t, rt.Shutdown(t.Context()))
	rt = runtimeWith(t, func(o *understudy.Options, _ session.Options) { *o = first })
	_, err = rt.Session("plain")
	assert.ErrorIs(t, err, understudy.ErrNoSession, "what was removed stays so")
}

// Fault: the runtime dies in the moment in which it sends a session's first prompt, before its record says that there is a conversation
// Outcome: the next one is told so by the CLI, resumes it and says that it was found; the id is the same
// On: simulated, real
func TestAConversationThatNoRecordKnowsOfIsResumed(t *testing.T) {
	t.Parallel()
	both(t, map[string]func(*rig){"found": func(r *rig) {
		r.boot()
		r.mustAsk("remember")
		id := r.Info().SessionID
		shutdown(r.T, r.rt)
		file := filepath.Join(r.options.DataDir, "state", "worker.json")
		record, err := os.ReadFile(file)
		require.NoError(r, err)
		require.Contains(r, string(record), `"begun":true`)
		require.NoError(r, os.WriteFile(file, []byte(strings.Replace(string(record), `"begun":true`, `"begun":false`, 1)), 0o600))
		r.options.Respawn = func(_ string, _ session.Options) (session.Options, error) { return r.spec, nil }
		rt, err := understudy.Start(r.within(), r.options)
		require.NoError(r, err)
		r.rt = rt
		r.Cleanup(func() { shutdown(r.T, rt) })
		r.Session, err = rt.Session("worker")
		require.NoError(r, err)
		assert.Contains(r, r.history(), "remember")
		assert.Equal(r, id, r.Info().SessionID)
		assert.Contains(r, notices(r.T, r.options.DataDir), string(session.NoticeConversationFound))
	}})
}

// Fault: the records of a session, of the API's limits and of a budget are damaged at the same time
// Outcome: the runtime starts; each is set aside and said so in the audit log; a session begins a new conversation
// On: simulated
func TestDamagedStateIsSetAsideAndSaid(t *testing.T) {
	t.Parallel()
	var first understudy.Options
	begin := func(o *understudy.Options, s session.Options) {
		if first.DataDir == "" {
			first = *o
			s.Budgets = []string{"team"}
			first.Budgets = []session.BudgetSpec{{Name: "team", LimitUSD: 1}}
			first.Sessions = []understudy.SessionSpec{{Name: "a", Options: s}}
		}
		*o = first
	}
	rt := runtimeWith(t, begin)
	asks(t, rt, "a", "remember")
	require.NoError(t, rt.Shutdown(t.Context()))
	for _, file := range []string{"state/a.json", "budgets/team.json", "limits.json"} {
		require.NoError(t, os.WriteFile(filepath.Join(first.DataDir, file), []byte(`{"version":1,`), 0o600))
	}
	rt = runtimeWith(t, begin)
	assert.Equal(t, "history: ", asks(t, rt, "a", "[[history]]").Text)
	for _, file := range []string{"state/a.json.damaged", "budgets/team.json.damaged", "limits.json.damaged"} {
		assert.FileExists(t, filepath.Join(first.DataDir, file))
	}
	require.NoError(t, rt.Shutdown(t.Context()))
	damaged := 0
	for _, kind := range notices(t, first.DataDir) {
		if kind == string(session.NoticeStateDamaged) {
			damaged++
		}
	}
	assert.Equal(t, 3, damaged)
}

// Fault: the data directory cannot be written
// Outcome: the runtime does not start, and the error names the directory
// On: memory
func TestADataDirectoryThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := understudy.Start(t.Context(), understudy.Options{DataDir: filepath.Join(file, "data")})
	require.Error(t, err)
	assert.ErrorContains(t, err, "data directory")
	assert.ErrorContains(t, err, file)
}

// Fault: the state of a session cannot be written any more, and later it can
// Outcome: the session works on; it says what is not on disk, and that it is again
// On: simulated
func TestStateThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	var first understudy.Options
	var options session.Options
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) { first, options = *o, s })
	s, err := rt.Spawn(t.Context(), "a", options)
	require.NoError(t, err)
	state := filepath.Join(first.DataDir, "state")
	require.NoError(t, os.Rename(state, state+".away"))
	require.NoError(t, os.WriteFile(state, nil, 0o600)) // root may write anywhere, but not into a file as if it were a directory
	asks(t, rt, "a", "hello")
	require.Eventually(t, func() bool { return s.Info().Unsaved != "" }, patience, time.Millisecond)
	require.NoError(t, os.Remove(state))
	require.NoError(t, os.Rename(state+".away", state))
	require.Eventually(t, func() bool { return s.Info().Unsaved == "" }, patience, time.Millisecond)
	require.NoError(t, rt.Shutdown(t.Context())) // then all that was said is in the log
	kinds := notices(t, first.DataDir)
	assert.Contains(t, kinds, string(session.NoticeStateUnsaved))
	assert.Contains(t, kinds, string(session.NoticeStateSaved))
}

// Fault: the runtime was killed while it wrote the state of a session, of a budget and of the API's limits
// Outcome: the files that were being replaced count; what was half written is removed by the next runtime, and nothing else is
// On: simulated
func TestHalfWrittenStateIsRemoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	var half []string
	for _, name := range []string{"state/worker.json.new-17", "budgets/team.json.new-4", "limits.json.new-123456"} {
		half = append(half, filepath.Join(r.options.DataDir, name))
	}
	other := filepath.Join(r.options.DataDir, "state", "worker.json.damaged")
	for _, path := range append(half, other) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(`{"version":`), 0o600))
	}
	r.boot()
	for _, path := range half {
		assert.NoFileExists(t, path)
	}
	assert.FileExists(t, other)
}

// Fault: the runtime ends while its sessions wait for the end of a usage limit
// Outcome: the next one waits for it too: no query runs before, none is lost, and no restart is spent
// On: simulated
func TestAUsageLimitOutlivesTheRuntime(t *testing.T) {
	t.Parallel()
	var first understudy.Options
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) {
		o.Sessions = []understudy.SessionSpec{{Name: "a", Options: s}}
		first = *o
	})
	s, err := rt.Session("a")
	require.NoError(t, err)
	over := time.Unix(time.Now().Add(4*time.Second).Unix(), 0) // in whole seconds
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = s.Ask(ctx, fmt.Sprintf(`[[frame:{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":%d,"rateLimitType":"five_hour"}}]][[status:400]]`, over.Unix()))
	require.Error(t, err)
	require.NoError(t, rt.Shutdown(ctx))

	rt = runtimeWith(t, func(o *understudy.Options, _ session.Options) { *o = first })
	assert.Equal(t, "echo: after the limit", asks(t, rt, "a", "after the limit").Text)
	assert.False(t, time.Now().Before(over), "not before the limit is over")
	s, err = rt.Session("a")
	require.NoError(t, err)
	assert.Zero(t, s.Info().Restarts)
	assert.Equal(t, 2, s.Info().Turns)
}

// Fault: the audit log's directory is moved away before a session's first prompt is in it, and later put back; then the process is killed
// Outcome: the prompt is refused; the next process begins the conversation, and none is said to be lost
// On: simulated
func TestAPromptThatWasNotSentBeginsNoConversation(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.boot()
	dir := filepath.Join(r.options.DataDir, "audit")
	require.NoError(t, os.Rename(dir, dir+".away"))
	_, err := r.ask("the first")
	require.ErrorIs(t, err, session.ErrAuditUnavailable)
	require.NoError(t, os.Rename(dir+".away", dir))
	r.until("the log works again", func() bool { return r.Info().Refusing == nil })
	r.killIdle()
	assert.Equal(t, 2, r.Info().Generation)
	assert.Equal(t, "history: ", r.history())
	for _, notice := range r.records(audit.SessionNotice) {
		assert.NotEqual(t, string(session.NoticeConversationLost), notice.Detail["notice"])
	}
}
