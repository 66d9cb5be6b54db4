package protocol_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/sessiontest"
)

// TestTranscripts decodes each transcript and compares what became of every frame with its section "decoded": the Go type, the
// kind, the content blocks, and what no field covers. go test -update writes it anew.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("../../testdata/transcripts/*.txtar")
	require.NoError(t, err)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			archive := txtar.Parse(data)
			assert.Regexp(t, `Recorded from|made by hand`, string(archive.Comment), "it does not say where it is from")
			var got strings.Builder
			for _, r := range frames(t, filepath.Base(file), archive) {
				m, err := protocol.Decode(r.frame)
				require.NoError(t, err, r.name)
				fmt.Fprintf(&got, "%s %s %s", map[string]string{"in": "→", "out": "←"}[r.dir], strings.TrimPrefix(fmt.Sprintf("%T", m), "*protocol."), m.Kind())
				for _, b := range contentOf(m) {
					fmt.Fprintf(&got, " %s", strings.TrimPrefix(fmt.Sprintf("%T", b), "*protocol."))
				}
				if list := protocol.UnknownFields(m); len(list) > 0 {
					fmt.Fprintf(&got, " unknown: %s", strings.Join(list, ", "))
				}
				for _, d := range protocol.Defects(m) {
					fmt.Fprintf(&got, " defect: %s", d)
				}
				got.WriteString("\n")
			}
			i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "decoded" })
			if *update {
				if i < 0 {
					archive.Files = append(archive.Files, txtar.File{Name: "decoded"})
					i = len(archive.Files) - 1
				}
				archive.Files[i].Data = []byte(got.String())
				require.NoError(t, os.WriteFile(file, txtar.Format(archive), 0o644))
			}
			require.GreaterOrEqual(t, i, 0, "it has no section decoded: run with -update")
			assert.Equal(t, string(archive.Files[i].Data), got.String(), "run with -update if this is meant")
		})
	}
}

// Every type of frame and of content block is in a transcript, recorded or made, and every request with its answer, in its
// direction.
func TestEveryTypeIsInATranscript(t *testing.T) {
	kinds, blocks := map[string]bool{}, map[string]bool{}
	asked, answered := map[string]string{}, map[string]bool{} // by file, direction and id; by direction and subtype
	var see func(list []protocol.ContentBlock)
	see = func(list []protocol.ContentBlock) {
		for _, b := range list {
			if b.Raw() == nil { // the text of a plain string
				continue
			}
			var tag struct{ Type string }
			require.NoError(t, json.Unmarshal(b.Raw(), &tag))
			blocks[tag.Type] = true
			if result, ok := b.(*protocol.ToolResultBlock); ok {
				see(result.Content.Blocks())
			}
			_, unknown := b.(*protocol.UnknownBlock)
			assert.False(t, unknown, "%s", b.Raw())
		}
	}
	for _, r := range transcripts(t) {
		m, err := protocol.Decode(r.frame)
		require.NoError(t, err, r.name)
		kind := m.Kind()
		if !strings.HasPrefix(kind, "system/") {
			kind, _, _ = strings.Cut(kind, "/")
		}
		kinds[kind] = true
		see(contentOf(m))
		file, _, _ := strings.Cut(r.name, ":")
		switch m := m.(type) {
		case *protocol.ControlRequest:
			asked[file+" "+r.dir+" "+m.RequestID] = m.Request.RequestSubtype()
		case *protocol.ControlResponse:
			back := map[string]string{"in": "out", "out": "in"}[r.dir]
			answered[back+" "+asked[file+" "+back+" "+m.RequestID()]] = true
		}
	}
	for _, body := range protocol.Requests() {
		assert.True(t, answered["in "+body.RequestSubtype()], "no transcript has the request %s to the CLI, and its answer", body.RequestSubtype())
	}
	for _, body := range []protocol.ControlBody{&protocol.CanUseTool{}, &protocol.HookCallback{}, &protocol.MCPMessage{}, &protocol.Elicitation{}, &protocol.UserDialog{}} {
		assert.True(t, answered["out "+body.RequestSubtype()], "no transcript has the request %s of the CLI, and its answer", body.RequestSubtype())
	}
	for _, k := range protocol.KnownKinds() {
		assert.True(t, kinds[k], "no transcript has a frame %s", k)
	}
	for _, b := range protocol.KnownBlocks() {
		assert.True(t, blocks[b], "no transcript has a block %s", b)
	}
}

// hostOnly are subtypes of system in the CLI's schema that have no type here: they are about screens of the CLI's own, or about
// other products of its maker.
var hostOnly = []string{
	"cloud_session_delta", "code_change_published", "dev_intent", "feedback_draft_queued", "file_attachments_missing", "file_snapshot",
	"thinking", "turn_handoff_available", "ui_focus", "ui_invalidate", "ui_log", "ui_notify", "ui_notify_cancel", "ui_panes", "ui_placed",
	"ui_scroll", "ui_status", "ui_toast", "upgrade_relay_marker",
}

// The schema that the real CLI has in it names no subtype of system that is neither typed nor left out on purpose.
func TestTheCLIHasNoOtherSubtypes(t *testing.T) {
	data, err := os.ReadFile(sessiontest.RealCLI(t))
	require.NoError(t, err)
	known := protocol.KnownKinds()
	found := 0
	for rest := data; ; {
		const mark = `("system"),subtype:`
		_, after, ok := bytes.Cut(rest, []byte(mark))
		if !ok {
			break
		}
		rest = after
		_, quoted, ok := bytes.Cut(after[:min(len(after), 20)], []byte(`("`))
		if !ok {
			continue
		}
		name, _, ok := bytes.Cut(after[len(after[:min(len(after), 20)])-len(quoted):][:60], []byte(`")`))
		if !ok {
			continue
		}
		found++
		sub := string(name)
		assert.True(t, slices.Contains(known, "system/"+sub) || slices.Contains(hostOnly, sub), "the CLI has a subtype %q of system, which has no type here", sub)
	}
	assert.Greater(t, found, 50, "the schema is not where it was: look for it")
}
