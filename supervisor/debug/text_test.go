package debug

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func text(t *testing.T, o RenderOptions) (tree, ps string) {
	t.Helper()
	o.Now = noon
	var a, b strings.Builder
	require.NoError(t, RenderTree(&a, sample(), o))
	require.NoError(t, RenderSessions(&b, sample().Sessions(), o))
	return a.String(), b.String()
}

func TestTextIsAsRecorded(t *testing.T) {
	for name, o := range map[string]RenderOptions{"": {}, "-100": {Width: 100}, "-40": {Width: 40}, "-color": {Color: true}} {
		tree, ps := text(t, o)
		golden(t, "tree"+name+".txt", tree)
		golden(t, "ps"+name+".txt", ps)
	}
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestTextFits: no line is wider than the terminal, and colours change nothing but colours.
func TestTextFits(t *testing.T) {
	for width := 1; width < 160; width++ {
		tree, ps := text(t, RenderOptions{Width: width})
		for line := range strings.Lines(tree + ps) {
			assert.LessOrEqual(t, cells(strings.TrimSuffix(line, "\n")), width)
		}
		colored, coloredPS := text(t, RenderOptions{Width: width, Color: true})
		assert.Equal(t, tree, escapes.ReplaceAllString(colored, ""))
		assert.Equal(t, ps, escapes.ReplaceAllString(coloredPS, ""))
	}
}

// TestTextIsHarmless: what an agent names a file must not move the operator's cursor.
func TestTextIsHarmless(t *testing.T) {
	const evil = "a\x1b[2J\x1b]0;title\a\r\n\u202eb\u200b\x9b31m\xff"
	n := Node{
		Name: evil, Kind: KindSession, State: "failed" + evil, Reason: evil, LastExit: &Exit{Reason: evil},
		SessionFields: &SessionFields{SessionID: evil, Tool: evil, ToolArg: evil, Model: evil},
	}
	failed := n
	failed.State = "failed"
	n.Children = []Node{failed}
	var out strings.Builder
	require.NoError(t, RenderTree(&out, n, RenderOptions{Now: noon}))
	require.NoError(t, RenderSessions(&out, n.Sessions(), RenderOptions{Now: noon}))
	assert.Equal(t, 4+3, strings.Count(out.String(), "\n"), "no line of its own")
	assert.NotRegexp(t, "[\x00-\x09\x0b-\x1f\x7f-\u009f\u202e\u200b]", out.String())
}

func TestWideTextIsAligned(t *testing.T) {
	n := Node{Name: "root", Kind: "supervisor", State: "running", Children: []Node{
		{Name: "評価者", Kind: KindSession, State: "idle", SessionFields: &SessionFields{Tool: "Read", ToolArg: "a"}},
		{Name: "e\u0301tude", Kind: KindSession, State: "idle", SessionFields: &SessionFields{Tool: "Read", ToolArg: "b"}},
		{Name: "plain", Kind: KindSession, State: "idle", SessionFields: &SessionFields{Tool: "Read", ToolArg: "c"}},
	}}
	var out strings.Builder
	require.NoError(t, RenderTree(&out, n, RenderOptions{Now: noon}))
	at := -1
	for line := range strings.Lines(out.String()) {
		before, _, found := strings.Cut(line, "○")
		if !found {
			continue
		}
		if at < 0 {
			at = cells(before)
		}
		assert.Equal(t, at, cells(before), line)
	}
	assert.Positive(t, at)
}

func TestTroubleInWords(t *testing.T) {
	try := noon.Add(100 * time.Millisecond)
	past := noon.Add(-time.Second)
	exit := &Exit{Reason: "exit status 1"}
	for want, n := range map[string]Node{
		"":                              {State: "busy", LastExit: exit},
		"exit status 1; next try in 1s": {State: "restarting", LastExit: exit, NextTry: &try},
		"exit status 1; next try now":   {State: "restarting", LastExit: exit, NextTry: &past},
		"exit status 1; starting again": {State: "restarting", LastExit: exit},
		"no reason is known; not tried again until it is restarted": {State: "failed"},
		"bad flag; not tried again until it is restarted":           {State: "failed", LastExit: exit, Reason: "bad flag"},
	} {
		assert.Equal(t, want, trouble(n, noon))
	}
}

type fullDisk struct{}

var errFull = errors.New("no space left")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestTextReportsTheWritersError(t *testing.T) {
	assert.ErrorIs(t, RenderTree(fullDisk{}, sample(), RenderOptions{}), errFull)
	assert.ErrorIs(t, RenderSessions(fullDisk{}, nil, RenderOptions{}), errFull)
}
