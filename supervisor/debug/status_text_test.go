package debug

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStatusIsAsRecorded(t *testing.T) {
	root := sample()
	for file, c := range map[string]struct {
		name string
		o    RenderOptions
	}{
		"status.txt":        {"reviewer", RenderOptions{Now: noon}},
		"status-60.txt":     {"reviewer", RenderOptions{Now: noon, Width: 60}},
		"status-color.txt":  {"nightly", RenderOptions{Now: noon, Color: true}},
		"status-failed.txt": {"importer", RenderOptions{Now: noon}},
	} {
		n, ok := root.Session(c.name)
		require.True(t, ok)
		s := Status{Path: "root/sessions/" + c.name, Node: n, Setup: Setup{Containment: []string{"cgroup"}}}
		if c.name == "reviewer" {
			s.History, s.Stderr = samplePast(), []string{"a warning", "red: \x1b[31m and a bell \a"}
		} else {
			s.History = History{LastWords: []string{"fatal: out of memory"}}
		}
		var b strings.Builder
		require.NoError(t, RenderStatus(&b, s, c.o))
		golden(t, file, b.String())
		if !c.o.Color {
			assert.NotContains(t, b.String(), "\x1b")
		}
		for line := range strings.Lines(b.String()) {
			if c.o.Width > 0 {
				assert.LessOrEqual(t, cells(strings.TrimRight(line, "\n")), c.o.Width, line)
			}
		}
	}
}

func TestCutPainted(t *testing.T) {
	red := "\x1b[31m"
	for _, c := range []struct {
		line  string
		width int
		want  string
	}{
		{"abcdef", 0, "abcdef"}, {"abcdef", 6, "abcdef"}, {"abcdef", 5, "abcd…"}, {"abc", 1, "…"}, {"", 3, ""},
		{red + "abcdef\x1b[0m", 4, red + "abc…\x1b[0m"}, {red + "abc\x1b[0mdef", 6, red + "abc\x1b[0mdef"}, {red + "abc\x1b[0mdef", 5, red + "abc\x1b[0md…"},
		{"日本語", 6, "日本語"}, {"日本語", 5, "日本…"},
	} {
		assert.Equal(t, c.want, cutPainted(c.line, c.width), "%q %d", c.line, c.width)
	}
}
