package understudy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wallTime is where a time may lose its monotonic reading, or is made of what has none, and why. Everywhere else in these rooms what is
// compared and subtracted goes by the monotonic clock: that of the wall may be set while everything runs.
var wallTime = map[string]string{
	"record.go":                   "written down",
	"session/budget.go":           "windows of a budget begin by the clock on the wall; one that is set back begins none again",
	"session/governor.go":         "a hold is over when either clock says so",
	"session/hold.go":             "the API says when a limit ends; and what is shown",
	"session/process/identity.go": "of a file, as a name for what it was",
	"session/request.go":          "when a file was changed, told to the CLI",
}

// TestDurationsGoByTheMonotonicClock looks for what takes the monotonic reading off a time.
func TestDurationsGoByTheMonotonicClock(t *testing.T) {
	strips := map[string]bool{"UTC": true, "Local": true, "In": true, "Round": true, "UnixNano": true, "UnixMilli": true, "UnixMicro": true}
	used := make(map[string]bool)
	for _, room := range []string{".", "actor", "supervisor", "session", "session/process"} {
		files, err := filepath.Glob(filepath.Join(room, "*.go"))
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			set := token.NewFileSet()
			parsed, err := parser.ParseFile(set, file, source, parser.SkipObjectResolution)
			require.NoError(t, err)
			ast.Inspect(parsed, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				s, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				x, _ := s.X.(*ast.Ident)
				made := x != nil && x.Name == "time" && (strings.HasPrefix(s.Sel.Name, "Unix") || s.Sel.Name == "Date" || s.Sel.Name == "Parse")
				if !made && (!strips[s.Sel.Name] || x != nil && (x.Name == "math" || x.Name == "reflect")) {
					return true
				}
				used[file] = true
				assert.Contains(t, wallTime, file, "%s: %s takes the monotonic reading off a time, or makes one without: say here why that may be", set.Position(call.Pos()), s.Sel.Name)
				return true
			})
		}
	}
	for file := range wallTime {
		assert.True(t, used[file], "%s: there is none any more", file)
	}
}
