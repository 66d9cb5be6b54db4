package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
)

// FuzzParse: whatever is in the file, the answer is a configuration or what is wrong with it, with places that exist.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("../testdata/config/*.txtar")
	require.NoError(f, err)
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		require.NoError(f, err)
		f.Add(archive.Files[0].Data)
	}
	for _, s := range []string{
		"", "a", "a: [", "\xff", "\ufeff", "? a\n: b", "a: &b *b", "<<: *a", "a: !!str", "a: |2-\n  x", "%YAML\n---\n", "---\n---\n", "\t", "- - - a", "{a, b: , ? c}",
		"defaults: {<<: [{model: x}, 5]}", "sessions: {a: &a {env: {b: ${env:A}}}, b: *a}", "defaults: {extra_args: {-: x, --a: y, a: }}",
		"supervisors: {a: &a {sessions: {b: }}, c: {supervisors: {<<: {d: *a}}}}", "templates: {t: {model: x}}\npools: {p: {template: t, min: 2, max: 3}, q: {options: {model: y}}}",
		"supervisors: {a: &a {supervisors: {b: &b {supervisors: {c: }}}}, d: {supervisors: {e: *a, f: *b}}}",
	} {
		f.Add([]byte(s))
	}
	around := directories("A=a", "N=5", "HOME=/home/me")
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseFile("/etc/x.yaml", data, around)
		if err == nil {
			require.Equal(t, Version, c.Version)
			requireRunnable(t, c)
			return
		}
		require.Nil(t, c)
		ds, ok := err.(Diagnostics)
		require.True(t, ok && len(ds) > 0, "%T", err)
		lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data)), "\n")
		last := Diagnostic{Line: 1}
		for _, d := range ds {
			require.NotEmpty(t, d.Message)
			require.Equal(t, "/etc/x.yaml", d.File)
			require.Positive(t, d.Line, "%v", d)
			require.Positive(t, d.Col, "%v", d)
			require.LessOrEqual(t, d.Line, len(lines), "%v", d)
			require.False(t, d.Line < last.Line || d.Line == last.Line && d.Col < last.Col, "%v after %v", d, last)
			last = d
		}
		require.Len(t, strings.Split(ds.Error(), "\n"), len(ds), "one line each")
		require.NotEmpty(t, ds.Render(true))
	})
}

// requireRunnable requires what the runtime does of names, options and numbers.
func requireRunnable(t *testing.T, c *Config) {
	t.Helper()
	seen := map[string]bool{}
	for _, s := range c.AllSessions() {
		require.True(t, session.ValidName(s.Name), "%q", s.Name)
		require.False(t, seen[s.Name], "%q", s.Name)
		seen[s.Name] = true
		require.NoError(t, s.Options.Validate())
	}
	for _, template := range c.Templates {
		require.NoError(t, template.Options.Validate())
	}
	var level func(s Supervisor, sessions []Session, groups []Group, pools []Pool)
	level = func(s Supervisor, sessions []Session, groups []Group, pools []Pool) {
		require.Contains(t, strategies, string(s.Strategy))
		require.GreaterOrEqual(t, s.MaxRestarts, 0)
		require.Positive(t, s.MaxSeconds)
		names := map[string]bool{}
		unique := func(name string) {
			require.True(t, session.ValidName(name) && !names[name], "%q", name)
			names[name] = true
		}
		for _, s := range sessions {
			unique(s.Name)
		}
		for _, p := range pools {
			unique(p.Name)
			require.True(t, 1 <= p.Min && p.Min <= p.Max && p.Max <= maxPool && p.MaxQueue >= 0 && p.IdleTimeout > 0, "%+v", p)
			require.NoError(t, p.Options.Validate())
			for n := 1; n <= p.Max; n++ {
				name := fmt.Sprintf("%s-%d", p.Name, n)
				require.True(t, session.ValidName(name) && !seen[name], "%q", name)
			}
		}
		for _, g := range groups {
			unique(g.Name)
			level(g.Supervisor, g.Sessions, g.Supervisors, nil)
		}
	}
	level(c.Supervisor, c.Sessions, c.Supervisors, c.Pools)
}

// FuzzParseSession is FuzzParse for a pair of the command line.
func FuzzParseSession(f *testing.F) {
	for _, s := range []string{"model=x", "tools=[a, b]", "env={A: b}", "settings={", "max_turns=5", "x", "=", "sandbox={a: *b}", "shutdown=-1s", "tools=\n- a", "tools=---\n--- a", "template=t", "template=x", "template"} {
		f.Add(s)
	}
	c, err := parseFile("/etc/x.yaml", []byte("defaults: {model: x, env: {A: a}}\ntemplates: {t: {model: y}}"), directories("A=a"))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, pair string) {
		o, err := c.ParseSession("x", []string{pair})
		if err == nil {
			require.NoError(t, o.Validate())
			return
		}
		require.NotEmpty(t, err.(Diagnostics))
		require.NotEmpty(t, err.(Diagnostics).Render(false))
		for _, d := range err.(Diagnostics) {
			require.Contains(t, []string{"-o #1", "--template"}, d.File)
		}
	})
}

// The package reads no variable by itself.
func TestNoVariableIsReadUnasked(t *testing.T) {
	require.NoError(t, os.Setenv("UNDERSTUDY_CONFIG_TEST", "x"))
	defer os.Unsetenv("UNDERSTUDY_CONFIG_TEST")
	_, err := Parse("/etc/x.yaml", []byte("defaults: {model: \"${env:UNDERSTUDY_CONFIG_TEST}\"}"), nil)
	require.ErrorContains(t, err, "environment variable UNDERSTUDY_CONFIG_TEST is not set")
}
