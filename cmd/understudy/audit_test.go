package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
)

// writtenLog is a closed log of a few records.
func writtenLog(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "audit")
	trail := audit.New(actor.NewSystem(actor.Options{}), audit.Options{Dir: dir, Reserve: -1})
	pid, err := trail.Start(context.Background())
	require.NoError(t, err)
	for _, r := range []audit.Record{
		{Kind: audit.ToolIntent, Session: "worker", Tool: "Bash", ToolUseID: "t1", Input: json.RawMessage(`{"command":"ls"}`)},
		{Kind: audit.ToolDecision, Session: "worker", Tool: "Bash", ToolUseID: "t1", Decision: &audit.Decision{Outcome: audit.Deny, By: "rule"}},
		{Kind: audit.ToolIntent, Session: "other", Tool: "Read", ToolUseID: "t2"},
	} {
		require.NoError(t, trail.Append(context.Background(), r))
	}
	pid.Stop(nil)
	<-pid.Done()
	return dir
}

// command runs one command line.
func command(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func TestAuditOffline(t *testing.T) {
	dir := writtenLog(t)
	at := func(args ...string) []string { return append([]string{"audit", "--dir", dir}, args...) }

	code, out, _ := command(t, "", at("verify")...)
	assert.Equal(t, 0, code)
	assert.Contains(t, out, "unchanged: records 1 to 5 in 1 segment, signed up to 5 by understudy-audit/")
	code, out, _ = command(t, "", at("verify", "--invariants")...)
	assert.Equal(t, 3, code)
	assert.Contains(t, out, "tool use t1: its intent has no result, denial or orphan")
	code, out, _ = command(t, "", at("verify", "--json")...)
	assert.Equal(t, 0, code)
	assert.True(t, json.Valid([]byte(out)))

	code, out, _ = command(t, "", at("query", "--outcome", "deny")...)
	assert.Equal(t, 0, code)
	assert.Contains(t, out, "tool.decision")
	assert.Equal(t, 1, strings.Count(out, "\n"))
	_, out, _ = command(t, "", at("query", "--kind", "tool.", "--session", "other", "--json", "--since", "1h")...)
	assert.Equal(t, 1, strings.Count(out, "\n"))
	_, out, _ = command(t, "", at("query", "--until", "1h")...)
	assert.Empty(t, out)
	for _, bad := range [][]string{{"query", "--kind", "x"}, {"query", "--since", "soon"}, {"export", "--format", "xml"}, {"prove", "0"}, {"query", "-n", "-1"}} {
		code, _, text := command(t, "", at(bad...)...)
		assert.Equal(t, exitUsage, code, bad)
		assert.Contains(t, text, "expected", bad)
	}
	for _, encoding := range audit.Encodings {
		code, out, _ = command(t, "", at("export", "--format", string(encoding))...)
		assert.Equal(t, 0, code)
		assert.Equal(t, 5, strings.Count(out, "\n"))
	}

	code, checkpoint, _ := command(t, "", at("checkpoint")...)
	assert.Equal(t, 0, code)
	code, _, _ = command(t, checkpoint, at("verify", "--checkpoint", "-")...)
	assert.Equal(t, 0, code)
	code, proof, _ := command(t, "", at("prove", "2")...)
	assert.Equal(t, 0, code)
	key := filepath.Join(dir, "audit.pub")
	code, out, _ = command(t, proof, "audit", "--dir", "nowhere", "verify-proof", "-", "--key", key)
	assert.Equal(t, 0, code)
	assert.Contains(t, out, "proved: record 2 is in the checkpoint of 5 records")
	code, _, text := command(t, strings.Replace(proof, "tool.intent", "tool.result", 1), at("verify-proof", "-")...)
	assert.Equal(t, 1, code)
	assert.Contains(t, text, "not proved: record 2 is not in the checkpoint")
	code, proof, _ = command(t, "", at("consistency", "1", "newest")...)
	assert.Equal(t, 0, code)
	code, out, _ = command(t, proof, at("verify-proof", "-")...)
	assert.Equal(t, 0, code)
	assert.Contains(t, out, "contains that of 1")

	// A changed log, a torn one, and none.
	path := audit.Path(dir)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.Replace(content, []byte(`"ls"`), []byte(`"rm"`), 1), 0o600))
	code, out, _ = command(t, "", at("verify")...)
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "changed at record 2 (audit.00000000000000000001.log, byte ")
	code, _, text = command(t, "", at("query")...)
	assert.Equal(t, 1, code)
	assert.Contains(t, text, "1 damaged place in all: run understudy audit verify")
	require.NoError(t, os.WriteFile(path, append(content, "half"...), 0o600))
	code, out, _ = command(t, "", at("verify")...)
	assert.Equal(t, 2, code)
	assert.Contains(t, out, "torn at record 6")
	code, _, text = command(t, "", "audit", "--dir", filepath.Join(dir, "none"), "verify")
	assert.Equal(t, 1, code)
	assert.Contains(t, text, "audit.pub")
}
