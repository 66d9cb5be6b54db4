package audit

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// TestDocumentedRecord holds the package comment to what it says.
func TestDocumentedRecord(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	var line string
	for l := range strings.Lines(string(doc)) {
		if rest, ok := strings.CutPrefix(l, "//\t"+`{"v":`); ok {
			line = `{"v":` + strings.TrimSuffix(rest, "\n")
		}
	}
	r, err := decode([]byte(line))
	require.NoError(t, err)
	assert.Equal(t, ToolIntent, r.Kind)
	e, err := encode(r, newRedactor(nil, nil), levels{}, nil)
	require.NoError(t, err)
	head := format.Head{V: r.V, Seq: r.Seq, Kind: string(r.Kind), Session: r.Session, SessionSeq: r.SessionSeq}
	payload := append(head.Append(nil), e.rest...)
	assert.Equal(t, line, string(payload))

	text := strings.ReplaceAll(string(doc), "\n// ", " ")
	frame := format.AppendFrame(nil, payload)
	assert.Contains(t, text, fmt.Sprintf("% x. seq is 1", frame[:format.HeaderSize]))
	var leaf format.Leaf
	var tree format.Frontier
	tree.Add(leaf.Hash(payload), nil)
	assert.Contains(t, text, "in base64, "+leaf.Hash(payload).String()+".")
	body := format.Checkpoint{Origin: "understudy-audit/example", Size: 1, Root: tree.Root()}.Body()
	assert.Contains(t, string(doc), "//\t"+strings.ReplaceAll(strings.TrimSuffix(body, "\n"), "\n", "\n//\t"))
}
