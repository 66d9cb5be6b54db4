package sessiontest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shared is the environment of several processes on the same conversations.
func shared(t *testing.T) map[string]string {
	t.Chdir(t.TempDir())
	return map[string]string{"CLAUDE_CONFIG_DIR": t.TempDir()}
}

const session = "aaaaaaaa-0000-4000-8000-000000000001"

func TestResume(t *testing.T) {
	env := shared(t)
	h := start(t, env, "--session-id="+session, "--model=haiku")
	first := h.prompt("first")
	h.untilType("result")
	assert.Zero(t, h.end())

	h = start(t, env, "--session-id="+session)
	assert.Equal(t, 1, h.exit())
	assert.Equal(t, "Error: Session ID "+session+" is already in use.\n", h.stderr.String())

	env["CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS"] = "1"
	h = start(t, env, "--resume="+session)
	result := h.turn("[[history]]")
	assert.Equal(t, "history: first", result["result"])
	assert.Equal(t, session, result["session_id"])
	assert.InDelta(t, 0.0025, result["total_cost_usd"], 1e-9, "goes on from the saved total, with the model of before")
	h.untilKind("idle")
	h.forget()
	h.promptAs(first, "first")
	h.untilKind("idle")
	assert.Equal(t, []string{"command completed", "idle"}, h.kinds(), "an answered prompt is dropped")

	unanswered := h.prompt("[[crash]]")
	assert.Equal(t, 137, h.exit())
	h = start(t, env, "--resume="+session)
	h.promptAs(unanswered, "again")
	result = h.untilType("result")
	assert.Equal(t, "echo: again", result["result"], "an unanswered one runs")
	assert.InDelta(t, 0.0025, result["total_cost_usd"], 1e-9, "nothing was saved by the one that crashed")
	assert.Equal(t, "history: first | [[history]] | [[crash]]", h.turn("[[history]]")["result"], "recorded once")
	assert.Zero(t, h.end())
}

func TestCrashBeforeAnythingWasWritten(t *testing.T) {
	env := shared(t)
	h := start(t, env, "--session-id="+session)
	h.prompt("[[crash:early]]")
	assert.Equal(t, 137, h.exit())

	h = start(t, env, "--resume="+session)
	assert.Equal(t, 1, h.exit())
	assert.Equal(t, "No conversation found with session ID: "+session+"\n", h.stderr.String())

	h = start(t, env, "--session-id="+session)
	assert.Equal(t, "echo: hello", h.turn("hello")["result"])
	assert.Zero(t, h.end())
}

func TestNoSessionPersistence(t *testing.T) {
	env := shared(t)
	h := start(t, env, "--session-id="+session, "--no-session-persistence")
	h.turn("hello")
	assert.Zero(t, h.end())
	entries, err := os.ReadDir(env["CLAUDE_CONFIG_DIR"])
	require.NoError(t, err)
	assert.Empty(t, entries)
}

func TestForkAndContinue(t *testing.T) {
	env := shared(t)
	h := start(t, env, "--session-id="+session)
	h.turn("first")
	assert.Zero(t, h.end())

	const other = "bbbbbbbb-0000-4000-8000-000000000001"
	h = start(t, env, "--resume="+session, "--fork-session", "--session-id="+other)
	result := h.turn("[[history]]")
	assert.Equal(t, "history: first", result["result"])
	assert.Equal(t, other, result["session_id"])
	assert.Zero(t, h.end())

	h = start(t, env, "--continue")
	assert.Equal(t, other, h.turn("x")["session_id"], "the newest of the directory")
	assert.Zero(t, h.end())
}

func TestDamagedTranscript(t *testing.T) {
	env := shared(t)
	h := start(t, env, "--session-id="+session)
	h.turn("first")
	assert.Zero(t, h.end())
	files, err := filepath.Glob(filepath.Join(env["CLAUDE_CONFIG_DIR"], "projects", "*", session+".jsonl"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(files[0], append([]byte("garbage\n"), data[:len(data)-20]...), 0o600))

	h = start(t, env, "--resume="+session)
	assert.Equal(t, "history: first", h.turn("[[history]]")["result"])
	assert.Zero(t, h.end())
	h = start(t, env, "--resume="+session)
	assert.Equal(t, "history: first | [[history]]", h.turn("[[history]]")["result"], "the torn line swallowed nothing")
	assert.Zero(t, h.end())
}
