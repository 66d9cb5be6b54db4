package protocol_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
)

var update = flag.Bool("update", false, "rewrite the golden files")

type recorded struct {
	name  string // file:line
	dir   string // in: to the CLI, out: from it
	frame []byte
}

// transcripts reads the frames of testdata/transcripts: a header that says what the file shows and where it is from, then the
// frames, → to the CLI and ← from it.
func transcripts(tb testing.TB) []recorded {
	tb.Helper()
	files, err := filepath.Glob("../../testdata/transcripts/*.txtar")
	require.NoError(tb, err)
	require.NotEmpty(tb, files)
	var all []recorded
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(tb, err)
		all = append(all, frames(tb, filepath.Base(file), txtar.Parse(data))...)
	}
	return all
}

func frames(tb testing.TB, name string, archive *txtar.Archive) (all []recorded) {
	require.NotEmpty(tb, archive.Comment, "%s: it does not say what it shows", name)
	require.Equal(tb, "frames", archive.Files[0].Name, name)
	n := 0
	for line := range strings.Lines(string(archive.Files[0].Data)) {
		n++
		line = strings.TrimSuffix(line, "\n")
		r := recorded{name: name + ":" + itoa(n), dir: "out"}
		frame, ok := strings.CutPrefix(line, "← ")
		if !ok {
			r.dir = "in"
			frame, ok = strings.CutPrefix(line, "→ ")
		}
		require.True(tb, ok, "%s: %q", r.name, line)
		r.frame = []byte(frame)
		all = append(all, r)
	}
	return all
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// value reads JSON with numbers kept as they are written.
func value(tb testing.TB, b []byte) any {
	tb.Helper()
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	require.NoError(tb, dec.Decode(&v), "%s", b)
	return v
}

func TestTranscriptsRoundTrip(t *testing.T) {
	kinds := map[string]int{}
	for _, r := range transcripts(t) {
		m, err := protocol.Decode(r.frame)
		require.NoError(t, err, r.name)
		kinds[m.Kind()]++
		if u, ok := m.(*protocol.Unknown); ok {
			t.Errorf("%s: decodes to Unknown: %s %s", r.name, u.Kind(), u.Reason)
			continue
		}
		assert.Empty(t, protocol.Defects(m), r.name)
		assert.Equal(t, string(r.frame), string(m.Raw()), r.name)
		out, err := protocol.Encode(m)
		require.NoError(t, err, r.name)
		assert.Equal(t, value(t, r.frame), value(t, out), r.name)
		assert.NotContains(t, string(out), "\n", r.name)
		for _, b := range contentOf(m) {
			if u, ok := b.(*protocol.UnknownBlock); ok {
				t.Errorf("%s: unknown block %s %s", r.name, u.Type, u.Reason)
			}
		}
		if q, ok := m.(*protocol.ControlRequest); ok {
			if u, ok := q.Request.(*protocol.UnknownRequest); ok {
				assert.Empty(t, u.Reason, r.name)
				assert.Contains(t, []string{"get_context_usage", "nonsense_subtype"}, u.Subtype, r.name)
			}
		}
	}
	for _, kind := range []string{
		"system/init", "system/status", "system/api_retry", "system/permission_denied", "assistant", "user", "stream_event",
		"result/success", "result/error_max_turns", "result/error_max_budget_usd", "result/error_during_execution",
		"control_request/initialize", "control_request/can_use_tool", "control_request/hook_callback",
		"control_request/mcp_message", "control_request/interrupt", "control_response/success", "control_response/error",
	} {
		assert.NotZero(t, kinds[kind], "no %s in the transcripts", kind)
	}
}

func contentOf(m protocol.Message) []protocol.ContentBlock {
	switch m := m.(type) {
	case *protocol.Assistant:
		return m.Message.Content
	case *protocol.User:
		return m.Message.Content.Blocks()
	}
	return nil
}

// TestUntypedFields shows which keys of the recorded frames no typed field
// covers. A change in the golden file is a change of what the package understands.
func TestUntypedFields(t *testing.T) {
	byKind := map[string][]string{}
	for _, r := range transcripts(t) {
		m, err := protocol.Decode(r.frame)
		require.NoError(t, err)
		byKind[m.Kind()] = append(byKind[m.Kind()], protocol.UnknownFields(m)...)
	}
	var kinds []string
	for k := range byKind {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	var sb strings.Builder
	for _, k := range kinds {
		slices.Sort(byKind[k])
		for _, f := range slices.Compact(byKind[k]) {
			sb.WriteString(k + " " + f + "\n")
		}
	}
	golden(t, "untyped.golden", sb.String())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), got, "run with -update if this is meant")
}
