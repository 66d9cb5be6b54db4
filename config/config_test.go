package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, p := range pairs {
			if k, v, _ := strings.Cut(p, "="); k == name {
				return v, true
			}
		}
		return "", false
	}
}

// mustParse parses a file /etc/understudy.yaml on a machine where every path is a directory.
func mustParse(t testing.TB, text string, env ...string) *Config {
	t.Helper()
	c, err := parseFile("/etc/understudy.yaml", []byte(text), directories(env...))
	require.NoError(t, err)
	return c
}

func directories(env ...string) surroundings {
	s := machine("", "/any/")
	return surroundings{lookup: environment(env...), stat: func(string) (fs.FileInfo, error) { return s.stat("/any") }}
}

func TestExampleOfTheDesign(t *testing.T) {
	archive, err := txtar.ParseFile("../testdata/config/accepted.txtar")
	require.NoError(t, err)
	c := mustParse(t, string(archive.Files[0].Data), "ANTHROPIC_API_KEY=key", "UNDERSTUDY_TOKEN=token")

	assert.Equal(t, 1, c.Version)
	assert.Equal(t, "/etc/data", c.DataDir)
	assert.Equal(t, "claude", c.CLI.Path)
	assert.Equal(t, Supervisor{
		Strategy: supervisor.OneForOne, MaxRestarts: 3, MaxSeconds: 5,
		Backoff: supervisor.Backoff{Initial: 200 * time.Millisecond, Max: 30 * time.Second, Factor: 2, Jitter: 0.2, ResetAfter: time.Minute},
	}, c.Supervisor)
	assert.Equal(t, supervisor.Intensity{MaxRestarts: 3, Within: 5 * time.Second}, c.Supervisor.Intensity())
	assert.Equal(t, session.Options{PermissionMode: protocol.ModeDontAsk, APIKey: "key"}, c.Defaults)
	assert.Equal(t, []Session{{Name: "reviewer", Options: session.Options{
		Model: "sonnet", SystemPrompt: "You review Go code.", CWD: "/srv/app", AddDir: []string{"/srv/shared"}, PermissionMode: protocol.ModePlan,
		AllowedTools: []string{"Read", "Glob", "Grep"}, DisallowedTools: []string{"Bash(rm:*)"}, MaxTurns: 10, MaxBudgetUSD: 1,
		Sandbox: session.Sandbox{Enabled: new(true)}, Env: map[string]string{"LANG": "C.UTF-8"}, APIKey: "key",
		Restart: supervisor.Permanent, Shutdown: supervisor.Within(5 * time.Second),
	}}}, c.Sessions)
	assert.Equal(t, Audit{Dir: "/etc/data/audit", Mode: AuditRequired}, c.Audit)
	assert.Equal(t, Debug{Listen: "127.0.0.1:7070", Token: "token"}, c.Debug)
	assert.Equal(t, "/etc/understudy.yaml", c.Path)
}

func TestDefaultsOfTheFile(t *testing.T) {
	for _, text := range []string{"version: 1", "sessions:", "sessions: {}", "supervisor:\ndefaults:\naudit:\ndebug:\ncli:\nsupervisors:\ntemplates:\npools:\n", "{}", "version: null\ndata_dir: ~\naudit: {mode: null}"} {
		c := mustParse(t, text)
		assert.Equal(t, 1, c.Version, text)
		assert.Equal(t, "/etc/data", c.DataDir, text)
		assert.Equal(t, "claude", c.CLI.Path, text)
		assert.Equal(t, supervisor.DefaultIntensity, c.Supervisor.Intensity(), text)
		assert.Equal(t, supervisor.OneForOne, c.Supervisor.Strategy, text)
		assert.Equal(t, supervisor.Backoff{Initial: 200 * time.Millisecond, Jitter: 0.2}, c.Supervisor.Backoff, text)
		assert.Zero(t, c.Defaults, text)
		assert.Empty(t, c.AllSessions(), text)
		assert.Empty(t, c.Supervisors, text)
		assert.Empty(t, c.Templates, text)
		assert.Empty(t, c.Pools, text)
		assert.Equal(t, Audit{Dir: "/etc/data/audit", Mode: "required"}, c.Audit, text)
		assert.Zero(t, c.Debug, text)
	}
	assert.Equal(t, "/var/lib/audit", mustParse(t, "data_dir: /var/lib").Audit.Dir, "the audit log goes with the data")
	assert.Zero(t, mustParse(t, "supervisor: {max_restarts: 0}").Supervisor.MaxRestarts, "0 is a value")
}

func TestSessionOverDefaults(t *testing.T) {
	const defaults = `
sessions:  # before the defaults: the order does not matter
  other: {}
  one: %
defaults:
  model: sonnet
  max_turns: 5
  max_budget_usd: 2
  no_session_persistence: true
  tools: [Read, Grep]
  allowed_tools: [Read]
  env: {A: a, B: b}
  sandbox: {enabled: true, network: {allowedDomains: [a.example], strictAllowlist: true}, filesystem: {denyRead: [/secret]}}
  extra_args: {debug: , effort: high}
  settings: {a: 1}
  shutdown: 1s
  api_key: key
`
	base := func(change func(*session.Options)) session.Options {
		high := "high"
		o := session.Options{
			Model: "sonnet", MaxTurns: 5, MaxBudgetUSD: 2, NoSessionPersistence: true, Tools: []string{"Read", "Grep"}, AllowedTools: []string{"Read"},
			Env: map[string]string{"A": "a", "B": "b"},
			Sandbox: session.Sandbox{
				Enabled:    new(true),
				Network:    session.SandboxNetwork{AllowedDomains: []string{"a.example"}, StrictAllowlist: new(true)},
				Filesystem: session.SandboxFilesystem{DenyRead: []string{"/secret"}},
			},
			ExtraArgs: map[string]*string{"debug": nil, "effort": &high}, Settings: session.Settings{Values: map[string]any{"a": 1.0}},
			Shutdown: supervisor.Within(time.Second), APIKey: "key",
		}
		change(&o)
		return o
	}
	for own, change := range map[string]func(*session.Options){
		"":                                func(*session.Options) {},
		"{}":                              func(*session.Options) {},
		"~":                               func(*session.Options) {},
		"{max_turns: 0}":                  func(o *session.Options) { o.MaxTurns = 0 },
		"{model: ''}":                     func(o *session.Options) { o.Model = "" },
		"{model: null}":                   func(o *session.Options) { o.Model = "" },
		"{max_budget_usd: ~}":             func(o *session.Options) { o.MaxBudgetUSD = 0 },
		"{no_session_persistence: false}": func(o *session.Options) { o.NoSessionPersistence = false },
		"{tools: []}":                     func(o *session.Options) { o.Tools = []string{} },
		"{tools: null}":                   func(o *session.Options) { o.Tools = nil },
		"{allowed_tools: [Grep]}":         func(o *session.Options) { o.AllowedTools = []string{"Grep"} },
		"{env: {B: c, C: d}}":             func(o *session.Options) { o.Env = map[string]string{"A": "a", "B": "c", "C": "d"} },
		"{env: }":                         func(*session.Options) {},
		"{env: {}}":                       func(*session.Options) {},
		"{env: null}":                     func(o *session.Options) { o.Env = nil },
		"{shutdown: infinity}":            func(o *session.Options) { o.Shutdown = supervisor.Infinity },
		"{settings: {b: 2}}":              func(o *session.Options) { o.Settings = session.Settings{Values: map[string]any{"b": 2.0}} },
		"{settings: null}":                func(o *session.Options) { o.Settings = session.Settings{} },
		"{extra_args: {--debug: api}}": func(o *session.Options) {
			api := "api"
			o.ExtraArgs["debug"] = &api
		},
		"{sandbox: {enabled: false}}": func(o *session.Options) { o.Sandbox.Enabled = new(false) },
		"{sandbox: {network: {allowedDomains: [b.example]}}}": func(o *session.Options) {
			o.Sandbox.Network.AllowedDomains = []string{"b.example"}
		},
	} {
		c := mustParse(t, strings.Replace(defaults, "%", own, 1))
		got, ok := c.Session("one")
		require.True(t, ok)
		assert.Equal(t, base(change), got, own)

		untouched := base(func(*session.Options) {})
		other, _ := c.Session("other")
		assert.Equal(t, untouched, other, "another session, beside %s", own)
		assert.Equal(t, untouched, c.Defaults, "the defaults, beside %s", own)
	}
}

func TestSessionsKeepTheirOrderAndShareNothing(t *testing.T) {
	c := mustParse(t, `
defaults: {env: {A: a}, tools: [Read], sandbox: {network: {allowedDomains: [a]}}, extra_args: {effort: high}, settings: {a: {b: [1]}}}
sessions: {zeta: , alpha: , mid.dle-1_x: , "10": }
`)
	var names []string
	for _, s := range c.Sessions {
		names = append(names, s.Name)
	}
	assert.Equal(t, []string{"zeta", "alpha", "mid.dle-1_x", "10"}, names)

	o := c.Sessions[0].Options
	o.Env["A"], o.Tools[0], *o.ExtraArgs["effort"] = "changed", "changed", "changed"
	o.Sandbox.Network.AllowedDomains[0] = "changed"
	o.Settings.Values["a"].(map[string]any)["b"].([]any)[0] = "changed"
	assert.Equal(t, c.Defaults, c.Sessions[1].Options)
	assert.Equal(t, "a", c.Defaults.Env["A"])

	_, ok := c.Session("nobody")
	assert.False(t, ok)
}

func TestPaths(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "etc/work"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "etc/settings.json"), []byte("{}"), 0o644))
	file := filepath.Join(dir, "etc/understudy.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`
data_dir: ../var
cli: {path: ./claude}
defaults: {cwd: work, add_dir: [., "~/work", "${env:WORK}"], settings: settings.json}
sessions: {a: {cwd: ..}, b: {cwd: ""}}
`), 0o644))
	c, err := Load(file, environment("HOME="+filepath.Join(dir, "etc"), "WORK=./work"))
	require.NoError(t, err)
	assert.Equal(t, file, c.Path)
	assert.Equal(t, filepath.Join(dir, "var"), c.DataDir)
	assert.Equal(t, filepath.Join(dir, "var/audit"), c.Audit.Dir)
	assert.Equal(t, filepath.Join(dir, "etc/claude"), c.CLI.Path)
	assert.Equal(t, filepath.Join(dir, "etc/work"), c.Defaults.CWD)
	assert.Equal(t, []string{filepath.Join(dir, "etc"), filepath.Join(dir, "etc/work"), filepath.Join(dir, "etc/work")}, c.Defaults.AddDir)
	assert.Equal(t, filepath.Join(dir, "etc/settings.json"), c.Defaults.Settings.Path)
	assert.Equal(t, dir, c.Sessions[0].Options.CWD)
	assert.Empty(t, c.Sessions[1].Options.CWD)

	for written, want := range map[string]string{"claude": "claude", "simulated": "simulated", "~/bin/claude": "/home/me/bin/claude", "/opt/../usr/claude": "/usr/claude"} {
		assert.Equal(t, want, mustParse(t, "cli: {path: "+written+"}", "HOME=/home/me").CLI.Path)
	}

	// A relative name of the file starts from the working directory, as for every program.
	t.Chdir(dir)
	c, err = Load("etc/understudy.yaml", environment("HOME="+filepath.Join(dir, "etc"), "WORK=./work"))
	require.NoError(t, err)
	assert.Equal(t, "work", filepath.Base(c.Defaults.CWD))
	assert.True(t, filepath.IsAbs(c.Defaults.CWD))
}

func TestLoadWithoutAFile(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(filepath.Join(dir, "none.yaml"), nil)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.EqualError(t, err, filepath.Join(dir, "none.yaml")+": no such file or directory; give the file with -f FILE")

	_, err = Load(dir, nil)
	assert.EqualError(t, err, dir+": is a directory")
	assert.IsType(t, Diagnostics{}, err)
}

func TestPermissionModes(t *testing.T) {
	for written, want := range map[string]protocol.PermissionMode{
		"acceptEdits": protocol.ModeAcceptEdits, "accept_edits": protocol.ModeAcceptEdits, "bypass_permissions": protocol.ModeBypassPermissions,
		"dont_ask": protocol.ModeDontAsk, "auto": protocol.ModeAuto, "default": protocol.ModeDefault, "plan": protocol.ModePlan, "manual": protocol.ModeManual,
	} {
		assert.Equal(t, want, mustParse(t, "defaults: {permission_mode: "+written+"}").Defaults.PermissionMode)
	}
}

func TestListen(t *testing.T) {
	for listen, ok := range map[string]bool{
		"127.0.0.1:7070": true, "[::1]:0": true, "localhost:80": true, "127.1.2.3:1": true, `""`: true,
		"0.0.0.0:7070": false, "192.0.2.1:1": false, `"[::]:1"`: false, "example.com:1": false, "127.0.0.1:http": false, "127.0.0.1:99999": false, "127.0.0.1": false,
	} {
		_, err := Parse("/etc/x", []byte("debug: {listen: '"+strings.Trim(listen, `"`)+"'}"), nil)
		assert.Equal(t, ok, err == nil, "%s: %v", listen, err)
	}
	_, err := Parse("/etc/x", []byte("debug: {listen: 'x:1', token: '${env:T}'}"), nil)
	assert.Len(t, err, 1, "there is a token, only its variable is not set: %v", err)
	_, err = Parse("/etc/x", []byte("debug: {listen: 'x:1', token: '${env:T:-}'}"), nil)
	assert.ErrorContains(t, err, "needs debug.token")
	assert.Equal(t, "0.0.0.0:7070", mustParse(t, "debug: {listen: 0.0.0.0:7070, token: x}").Debug.Listen)
}
