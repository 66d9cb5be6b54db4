package understudy_test

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var updateFaults = flag.Bool("update", false, "rewrite docs/faults.md from the tests")

// faultRow is a fault that a test brings about. It is written in the test's doc comment, once or several times:
//
//	// Fault: what happens
//	// Outcome: what is expected of the runtime then
//	// On: simulated, real
//
// A text may go on over several lines. On says what plays the CLI: "simulated" is the simulation, "real" the real
// CLI, "process" a real process that is neither, "memory" nothing, since it is a function or a clock that is tested.
type faultRow struct{ room, test, fault, outcome, on string }

const faultsPage = "docs/faults.md"

// faultsHead is all of the page that is not the table.
const faultsHead = `# Faults

What may happen to a session, its processes and the runtime, and what comes of it. Every row is a test that brings the
fault about; this page is generated from the tests (` + "`go test . -run TestFaultsPage -update`" + `), and a test holds it to them.

"simulated" is the simulated CLI, "real" is Claude Code itself against a stand-in of the Messages API, "process" a
real process that is neither, "memory" a test of a decision or a clock without any process.
`

func TestFaultsPage(t *testing.T) {
	rows := faultsIn(t, ".")
	var page strings.Builder
	page.WriteString(faultsHead)
	room := "\x00"
	for _, r := range rows {
		if r.room != room {
			room = r.room
			fmt.Fprintf(&page, "\n## %s\n\n| fault | what comes of it | on | test |\n|---|---|---|---|\n", cmp.Or(r.room, "the runtime"))
		}
		fmt.Fprintf(&page, "| %s | %s | %s | `%s` |\n", r.fault, r.outcome, r.on, r.test)
	}
	if *updateFaults {
		require.NoError(t, os.WriteFile(faultsPage, []byte(page.String()), 0o644))
	}
	have, err := os.ReadFile(faultsPage)
	require.NoError(t, err)
	assert.Equal(t, page.String(), string(have), "the tests say something else: go test . -run TestFaultsPage -update")
}

// faultsIn reads the tests below a directory. In files called faults_*_test.go every test has to be a fault; elsewhere
// a test may be one.
func faultsIn(t *testing.T, root string) []faultRow {
	var rows []faultRow
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "data") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		room := path.Dir(filepath.ToSlash(file))
		if room == "." {
			room = ""
		}
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") || f.Name.Name == "TestMain" {
				continue
			}
			found, err := faultsOf(f.Doc.Text())
			if err != nil {
				assert.NoError(t, err, "%s: %s", file, f.Name.Name)
			}
			if strings.HasPrefix(path.Base(filepath.ToSlash(file)), "faults_") {
				assert.NotEmpty(t, found, "%s: %s says no Fault", file, f.Name.Name)
			}
			for _, r := range found {
				r.room, r.test = room, f.Name.Name
				rows = append(rows, r)
			}
		}
		return nil
	})
	require.NoError(t, err)
	slices.SortStableFunc(rows, func(a, b faultRow) int { return cmp.Compare(a.room, b.room) })
	return rows
}

// faultsOf reads the faults of a doc comment.
func faultsOf(doc string) ([]faultRow, error) {
	var rows []faultRow
	var field *string
	for line := range strings.Lines(doc) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "Fault:"); ok {
			rows = append(rows, faultRow{fault: strings.TrimSpace(text)})
			field = &rows[len(rows)-1].fault
			continue
		}
		if len(rows) == 0 {
			continue
		}
		r := &rows[len(rows)-1]
		if text, ok := strings.CutPrefix(line, "Outcome:"); ok {
			field, line = &r.outcome, text
		} else if text, ok := strings.CutPrefix(line, "On:"); ok {
			field, line = &r.on, text
		}
		switch {
		case line == "":
			field = nil // the paragraph is over
		case field != nil:
			*field = strings.TrimSpace(*field + " " + strings.TrimSpace(line))
		}
	}
	for i, r := range rows {
		if r.fault == "" || r.outcome == "" || r.on == "" {
			return nil, fmt.Errorf("fault %d: expected Fault, Outcome and On, got %+v", i+1, r)
		}
		for on := range strings.SplitSeq(r.on, ", ") {
			if !slices.Contains([]string{"simulated", "real", "process", "memory"}, on) {
				return nil, fmt.Errorf("fault %q: On is %q: expected simulated, real, process or memory, with commas between them", r.fault, r.on)
			}
		}
		for _, text := range []string{r.fault, r.outcome} {
			if strings.Contains(text, "|") {
				return nil, fmt.Errorf("fault %q: a table takes no %q", r.fault, "|")
			}
		}
	}
	return rows, nil
}

func TestFaultsOfAComment(t *testing.T) {
	rows, err := faultsOf("TestX is about\nsomething.\n\nFault: the disk\nis full\nOutcome: it says so\nOn: memory\nFault: b\nOutcome: c\nOn: simulated, real\n\nMore text.\n")
	require.NoError(t, err)
	assert.Equal(t, []faultRow{
		{fault: "the disk is full", outcome: "it says so", on: "memory"}, {fault: "b", outcome: "c", on: "simulated, real"},
	}, rows)
	rows, err = faultsOf("TestX is about something.")
	require.NoError(t, err)
	assert.Empty(t, rows)
	for _, wrong := range []string{"Fault: a\nOn: real", "Fault: a\nOutcome: b", "Fault: a\nOutcome: b\nOn: somewhere", "Fault: a | b\nOutcome: b\nOn: real"} {
		_, err = faultsOf(wrong)
		assert.Error(t, err, wrong)
	}
}
