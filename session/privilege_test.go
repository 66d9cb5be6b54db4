package session

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

func TestProfiles(t *testing.T) {
	for _, p := range Profiles() {
		o := Options{Profile: p}
		require.NoError(t, o.Validate(), p)
		assert.Empty(t, o.Loosened(), p)
		for _, finding := range ReviewRules(o.Effective()) {
			assert.Failf(t, "a profile's own rules are in order", "%s: %+v", p, finding)
		}
		effective := o.Effective()
		assert.Equal(t, effective, effective.Effective(), "filling in twice changes nothing")
		assert.True(t, effective.confined(), p)
		assert.Positive(t, effective.MaxBudgetUSD, p)
		var read Profile
		require.NoError(t, read.UnmarshalText([]byte(p)))
	}
	var p Profile
	assert.ErrorContains(t, p.UnmarshalText([]byte("revue")), "expected review, ci, edit or interactive")
	assert.ErrorContains(t, Options{Profile: "revue"}.Validate(), "expected review, ci, edit or interactive")
	assert.Equal(t, Options{MaxTurns: 3}, Options{MaxTurns: 3}.Effective(), "without a profile nothing is filled in")
}

func TestAProfileIsOverriddenAndNeverLoosenedInSilence(t *testing.T) {
	for _, test := range []struct {
		name string
		o    Options
		want []string
	}{
		{"stricter", Options{Profile: ProfileCI, PermissionMode: protocol.ModePlan, MaxTurns: 5, MaxBudgetUSD: 0.5, TurnTimeout: time.Minute, Tools: []string{"Read"}}, nil},
		{"its commands", Options{Profile: ProfileCI, AllowedTools: []string{"Read", "Bash(make test)"}}, nil},
		{"mode", Options{Profile: ProfileReview, PermissionMode: protocol.ModeAcceptEdits}, []string{"permission_mode is acceptEdits, the profile has plan"}},
		{"tools", Options{Profile: ProfileReview, Tools: []string{"Read", "Bash"}, AllowedTools: []string{"Read", "Bash(git:*)"}}, []string{
			"tools is also [Bash], the profile has [Read, Glob, Grep]", "allowed_tools is also [Bash(git:*)], the profile has [Read, Glob, Grep]",
		}},
		{"what it denies", Options{Profile: ProfileCI, AllowedTools: []string{"WebFetch"}}, []string{"disallowed_tools is without it, the profile has WebFetch"}},
		{"limits", Options{Profile: ProfileEdit, MaxTurns: 500, MaxBudgetUSD: 50, TurnTimeout: 9 * time.Hour}, []string{
			"max_turns is 500, the profile has 100", "max_budget_usd is 50, the profile has 5", "turn_timeout is 9h0m0s, the profile has 1h0m0s",
		}},
		{"sandbox", Options{Profile: ProfileCI, Sandbox: Sandbox{Enabled: new(false), FailIfUnavailable: new(false), ExcludedCommands: []string{"docker"}, Filesystem: SandboxFilesystem{Disabled: new(true)}}}, []string{
			"sandbox.enabled is false, the profile has true", "sandbox.failIfUnavailable is false, the profile has true",
			"sandbox.excludedCommands is docker, the profile has none", "sandbox.filesystem.disabled is true, the profile has false",
		}},
		{"files and sources", Options{Profile: ProfileInteractive, ConfineFiles: new(false), TrustWorkspace: true, SettingSources: []string{"user"}}, []string{
			"confine_files is false, the profile has true", "trust_workspace is true, the profile has false", "setting_sources is user, the profile has none",
		}},
	} {
		var got []string
		for _, l := range test.o.Loosened() {
			got = append(got, l.String())
		}
		assert.Equal(t, test.want, got, test.name)
	}
	o := Options{Profile: ProfileCI, DisallowedTools: []string{"Bash(rm:*)"}, Sandbox: Sandbox{Filesystem: SandboxFilesystem{DenyRead: []string{"/srv/other"}}}}.Effective()
	assert.Equal(t, []string{"Bash(rm:*)", "WebFetch", "WebSearch"}, o.DisallowedTools, "what is forbidden adds up")
	assert.Equal(t, append([]string{"/srv/other"}, SecretPlaces()...), o.Sandbox.Filesystem.DenyRead)
	assert.True(t, o.Sandbox.On())
}

func TestPrivilegesThatNeedEachOther(t *testing.T) {
	bypass := protocol.ModeBypassPermissions
	for _, test := range []struct {
		o    Options
		want string // "": it is in order
	}{
		{Options{PermissionMode: bypass}, "allow_dangerously_skip_permissions: true"},
		{Options{PermissionMode: bypass, AllowDangerouslySkipPermissions: true}, "needs a sandbox"},
		{Options{PermissionMode: bypass, AllowDangerouslySkipPermissions: true, Sandbox: Sandbox{Enabled: new(true)}}, ""},
		{Options{PermissionMode: bypass, AllowDangerouslySkipPermissions: true, Sandbox: Sandbox{Enabled: new(true), FailIfUnavailable: new(false)}}, "needs a sandbox"},
		{Options{PermissionMode: bypass, AllowDangerouslySkipPermissions: true, Sandbox: Sandbox{Enabled: new(true), AllowUnsandboxedCommands: new(true)}}, "needs a sandbox"},
		{Options{PermissionMode: bypass, AllowDangerouslySkipPermissions: true, Sandbox: Sandbox{Environment: "docker", Container: "my-sandbox"}}, ""},
		{Options{SettingSources: []string{"user"}}, ""},
		{Options{SettingSources: []string{"project"}}, "trust_workspace"},
		{Options{SettingSources: []string{"local"}, TrustWorkspace: true}, ""},
		{Options{AllowedTools: []string{"Read, Write"}}, "one tool or rule"},
		{Options{DisallowedTools: []string{"Bash("}}, "balanced"},
		{Options{Sandbox: Sandbox{Container: "x"}}, "expected docker beside container"},
		{Options{Sandbox: Sandbox{Environment: "docker"}}, "name of the container"},
		{Options{Sandbox: Sandbox{Environment: "podmann", Container: "x"}}, "expected docker"},
		{Options{Sandbox: Sandbox{Network: SandboxNetwork{HTTPProxyPort: 70000}}}, "port"},
		{Options{Sandbox: Sandbox{Credentials: SandboxCredentials{EnvVars: []SandboxCredentialVariable{{Name: "A", Mode: "hide"}}}}}, "deny or mask"},
		{Options{UnsetEnv: []string{"A"}, Env: map[string]string{"A": "b"}}, "remove one"},
		{Options{IsolateHome: new(true), Env: map[string]string{"HOME": "/x"}}, "remove one"},
		{Options{Roots: []string{"srv"}}, "absolute path"},
		{Options{Settings: Settings{Values: map[string]any{"permissions": "x"}}}, "expected an object"},
	} {
		err := test.o.Validate()
		if test.want == "" {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, test.want)
		}
	}
}

func TestWhatPrivilegesBecome(t *testing.T) {
	settings := func(o Options) map[string]any {
		t.Helper()
		require.NoError(t, o.Validate())
		o = o.withDefaults()
		l := process.Launch{Settings: o.Settings.Values}
		o.secure(&l)
		text, err := l.SettingsJSON()
		require.NoError(t, err)
		var out map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &out))
		return out
	}
	hard := map[string]any{"blockFileToolReadsOutsideWorkingDirectories": true, "blockWritesOutsideWorkingDirectories": true, "disableBypassPermissionsMode": "disable"}
	assert.Equal(t, map[string]any{"permissions": hard}, settings(Options{}), "what is sent unasked")
	assert.Equal(t, map[string]any{"permissions": map[string]any{"disableBypassPermissionsMode": "disable"}}, settings(Options{ConfineFiles: new(false)}))
	got := settings(Options{Settings: Settings{Values: map[string]any{"x": 1, "permissions": map[string]any{"deny": []any{"Read"}, "disableBypassPermissionsMode": "no"}}}})
	assert.Equal(t, []any{"Read"}, got["permissions"].(map[string]any)["deny"], "one's own permissions are kept")
	assert.Equal(t, "disable", got["permissions"].(map[string]any)["disableBypassPermissionsMode"])
	assert.Equal(t, 1.0, got["x"])

	// As the guide says it, and as it is meant.
	assert.Equal(t, map[string]any{"environment": "docker", "container": "my-sandbox"}, settings(Options{Sandbox: Sandbox{Environment: "docker", Container: "my-sandbox"}})["sandbox"])
	assert.Equal(t, map[string]any{"enabled": true, "failIfUnavailable": true, "allowUnsandboxedCommands": false}, settings(Options{Sandbox: Sandbox{Enabled: new(true)}})["sandbox"])
	assert.Equal(t, map[string]any{"enabled": true, "failIfUnavailable": false, "allowUnsandboxedCommands": true},
		settings(Options{Sandbox: Sandbox{Enabled: new(true), FailIfUnavailable: new(false), AllowUnsandboxedCommands: new(true)}})["sandbox"])

	var l process.Launch
	Options{TrustWorkspace: true}.secure(&l)
	assert.Equal(t, []string{"project", "local"}, l.SettingSources)
	assert.True(t, l.WorkspaceMCP)
	Options{}.secure(&l)
	assert.Empty(t, l.SettingSources)
	assert.False(t, l.WorkspaceMCP)
}

func TestDirectoriesLieInRoots(t *testing.T) {
	root := t.TempDir()
	inside, outside := filepath.Join(root, "inside"), t.TempDir()
	require.NoError(t, os.Mkdir(inside, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(root, "file"), nil, 0o600))
	link := filepath.Join(root, "link")
	require.NoError(t, os.Symlink(outside, link))
	within := filepath.Join(root, "within")
	require.NoError(t, os.Symlink("inside", within))
	roots := []string{root}
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{CWD: inside}, ""},
		{Options{CWD: inside, Roots: roots, AddDir: []string{root, within}}, ""},
		{Options{CWD: link}, ""},
		{Options{CWD: link, Roots: roots}, "leads to"},
		{Options{CWD: inside, AddDir: []string{link}, Roots: roots}, "leads to"},
		{Options{CWD: outside, Roots: roots}, "in none of roots"},
		{Options{CWD: root + "x", Roots: roots}, "does not exist"},
		{Options{CWD: filepath.Join(root, "file")}, "no directory"},
		{Options{CWD: "relative"}, "absolute"},
		{Options{CWD: inside, AddDir: []string{"relative"}}, "absolute"},
		{Options{Roots: roots}, "in none of roots"}, // the directory of the test
		{Options{CWD: inside, Roots: []string{filepath.Join(root, "none")}}, "roots"},
	} {
		err := test.o.directories()
		if test.want == "" {
			assert.NoError(t, err, "%+v", test.o)
		} else {
			assert.ErrorContains(t, err, test.want)
		}
	}
}

func TestInstructionsOfARepository(t *testing.T) {
	work, outside := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	write(filepath.Join(work, "CLAUDE.md"), "Use tabs.\n")
	write(filepath.Join(outside, "ours.md"), "Be brief.")
	write(filepath.Join(work, "long.md"), strings.Repeat("x", maxInstructions+1))
	require.NoError(t, os.Symlink(filepath.Join(outside, "ours.md"), filepath.Join(work, "link.md")))
	o := Options{CWD: work, AppendSystemPrompt: "First.", ClaudeMD: []string{"CLAUDE.md", filepath.Join(outside, "ours.md")}}
	l := process.Launch{AppendSystemPrompt: o.AppendSystemPrompt}
	require.NoError(t, o.prepare(&l))
	assert.Equal(t, "First.\n\n# Instructions from CLAUDE.md\n\nUse tabs.\n\n# Instructions from ours.md\n\nBe brief.", l.AppendSystemPrompt)
	for name, want := range map[string]string{"none.md": "no such file", "link.md": "leads to", "long.md": "larger than 96 KiB", ".": "not a regular file"} {
		_, err := Options{CWD: work, ClaudeMD: []string{name}}.instructions()
		assert.ErrorContains(t, err, want, name)
	}
}
