package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/transcript"
)

func TestHistory(t *testing.T) {
	config, work := t.TempDir(), t.TempDir()
	dir := filepath.Join(config, "projects", transcript.Key(work))
	require.NoError(t, os.MkdirAll(dir, 0o700))
	line := `{"type":"user","message":{"role":"user","content":"look\u001b[31m here"},"uuid":"u","cwd":"/x","sessionId":"s"}`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "s.jsonl"), []byte(line+"\n{torn"), 0o600))
	understudy := func(args ...string) (int, string, string) {
		var out, side bytes.Buffer
		code := run(t.Context(), append([]string{"history", "--config-dir", config}, args...), strings.NewReader(""), &out, &side)
		return code, out.String(), side.String()
	}
	code, out, _ := understudy(work)
	assert.Equal(t, exitDone, code)
	assert.Contains(t, out, "1 prompts")
	code, out, _ = understudy(work, "--json")
	assert.Equal(t, exitDone, code)
	assert.Contains(t, out, `"damaged_lines":1`)
	_, out, _ = understudy("--all")
	assert.Contains(t, out, "s  ")
	code, out, side := understudy(t.TempDir())
	assert.Equal(t, exitDone, code)
	assert.Empty(t, out)
	assert.Contains(t, side, "no conversations")

	code, out, side = understudy("show", "s")
	assert.Equal(t, exitDone, code)
	assert.Contains(t, out, "> look")
	assert.Contains(t, side, "1 lines of ")
	_, out, _ = understudy("show", "s", "--json")
	assert.Equal(t, line+"\n", out)
	code, _, side = understudy("show", "absent")
	assert.Equal(t, exitNoSession, code)
	assert.Contains(t, side, "no such conversation")
	code, _, side = understudy("show", "s", "--agent", "a")
	assert.Equal(t, exitError, code)
	assert.Contains(t, side, "had no subagents")
}
