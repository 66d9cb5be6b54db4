package understudy_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/understudy-run/understudy"

// rooms says which of our packages each may import, besides what those may. It is the diagram of the
// rooms: imports point one way.
var rooms = map[string][]string{
	"":                      {"supervisor/debug", "session", "session/protocol", "session/process", "supervisor", "audit", "audit/remote", "actor"},
	"cmd/understudy":        {"", "config", "config/lint", "metrics", "audit", "audit/remote", "actor", "supervisor", "supervisor/debug", "session", "session/protocol", "session/process", "session/sessiontest", "session/transcript", "session/install"},
	"config":                {"session", "session/protocol", "session/process", "supervisor", "audit"}, // process: sizes
	"config/lint":           {"config", "session", "session/process", "session/protocol", "supervisor"},
	"supervisor/debug":      {"supervisor", "actor", "session/toolname"},
	"session":               {"supervisor", "audit", "actor", "session/protocol", "session/process", "session/keyproxy", "session/toolname"},
	"traces":                {"session"},
	"hosttest":              {},                                                                                 // what an operator has: the daemon, its unit and its command
	"metrics":               {"supervisor", "actor", "session", "session/protocol", "session/process", "audit"}, // the other gauges: what sessions and the log say of themselves
	"session/tool":          {"session"},
	"supervisor":            {"actor"},
	"audit":                 {"actor", "audit/internal/format", "session/toolname"}, // toolname: a leaf; logs have tools by the names of their time
	"audit/internal/format": {"audit/internal/lanes"},
	"audit/internal/lanes":  {},
	"audit/remote":          {"audit", "actor", "session/toolname"},
	"actor":                 {},
	"session/protocol":      {},
	"session/transcript":    {"session/protocol"},
	"session/stream":        {"session/protocol", "session/toolname"},
	"session/toolname":      {},
	"session/process":       {},
	"session/keyproxy":      {},
	"session/install":       {},
	"session/sessiontest":   {"session/install"},
}

// homes says where a foreign package may be imported.
var homes = map[string][]string{
	"github.com/anthdm/hollywood": {"actor"},
	"github.com/goccy/go-yaml":    {"config"},
	"github.com/spf13/cobra":      {"cmd/understudy"},
	"github.com/prometheus":       {"metrics", "cmd/understudy"},
	"go.opentelemetry.io":         {"traces"},
	"os/exec":                     {"session/install", "session/process", "session/sessiontest"},
	"net/http":                    {"supervisor/debug", "session/sessiontest", "audit/remote", "session/keyproxy", "cmd/understudy", ""}, // keyproxy: it is a proxy; cmd: the type of headers; the root: the type of DebugHandler
	"os/signal":                   {"cmd/understudy", "session/sessiontest", "session/process"},                                          // process: the first process of a pid namespace
	"flag":                        {},
	"log":                         {"supervisor/debug", "session/keyproxy"}, // the type of http.Server.ErrorLog
	"log/slog":                    {},
}

func TestImportsPointOneWay(t *testing.T) {
	seen := make(map[string]bool)
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "data") {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(file, "go.mod")); d.IsDir() && file != "." && err == nil {
			return filepath.SkipDir // a module of its own
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		room := path.Dir(filepath.ToSlash(file))
		if room == "." {
			room = ""
		}
		may, known := rooms[room]
		if !assert.True(t, known, "%s: room %q is not in the diagram", file, room) {
			return nil
		}
		seen[room] = true
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if ours, ok := strings.CutPrefix(imported, module); ok {
				ours = strings.TrimPrefix(ours, "/")
				assert.True(t, slices.Contains(may, ours), "%s imports %q, which its room may not", file, ours)
			}
			for foreign, allowed := range homes {
				if imported == foreign || strings.HasPrefix(imported, foreign+"/") && foreign != "log" && foreign != "net/http" {
					assert.True(t, slices.Contains(allowed, room), "%s imports %q, whose home is %q", file, imported, allowed)
				}
			}
		}
		return nil
	})
	require.NoError(t, err)
	for room := range rooms {
		assert.True(t, seen[room], "room %q has no Go file", room)
	}
}
