package audit

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/audit.md's table of kinds anew")

// TestDocs holds the table in docs/audit.md to the schema.
func TestDocs(t *testing.T) {
	const path = "../docs/audit.md"
	const begin, end = "<!-- kinds: written by go test ./audit -run TestDocs -update -->\n", "<!-- end of kinds -->"
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(data), begin)
	require.True(t, ok, "%s: there is no mark", path)
	got, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "%s: there is no end mark", path)
	var want strings.Builder
	want.WriteString("\n| kind | what it says | has | may have |\n|---|---|---|---|\n")
	names := func(fields []string) string {
		var out []string
		for _, field := range fields {
			switch field {
			case "session", "session_seq", "session_id", "generation", "policy": // said above the table
			default:
				out = append(out, "`"+field+"`")
			}
		}
		return strings.Join(out, " ")
	}
	for _, s := range Schema() {
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", s.Kind, s.Text, names(s.Always), names(s.Sometimes))
	}
	want.WriteString("\n")
	if *update && got != want.String() {
		require.NoError(t, os.WriteFile(path, []byte(before+begin+want.String()+end+after), 0o644))
		return
	}
	assert.Equal(t, want.String(), got, "run go test ./audit -run TestDocs -update")
}
