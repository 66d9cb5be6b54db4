package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/config"
	"github.com/understudy-run/understudy/session/process"
)

// safe is a configuration in which nothing is found. Each row of the table below breaks one thing in it.
const safe = `version: 1
data_dir: %[1]s/data
cli: {path: %[1]s/claude}
defaults:
  profile: ci
  api_key: ${env:KEY}
  api_key_delivery: proxy
  api_proxy: {max_budget_usd: 5}
  isolate_home: true
  limits: {memory: 2GiB, processes: 300}
  allowed_tools: [Read, "Bash(git log:*)"]
sessions:
  worker:
    cwd: %[1]s/work
audit: {keep_age: 720h, anchors: [{file: %[1]s/anchor}]}
`

// place makes the directories of a configuration.
func place(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "work"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "claude"), nil, 0o500))
	return dir
}

func host() Host {
	h := Here()
	h.UID, h.Container, h.Home = 1000, false, "/home/agent"
	h.Environ = nil
	h.Program = func(string) bool { return true }
	h.Layers = func() []process.LayerStatus {
		return []process.LayerStatus{
			{Layer: process.LayerPIDNamespace, Available: true}, {Layer: process.LayerCgroup, Detail: "it is not ours to divide", Fix: "Delegate=yes"},
		}
	}
	return h
}

func check(t *testing.T, text string, h Host) []Finding {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "understudy.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	cfg, err := config.Load(path, func(name string) (string, bool) { return "secret-value", name == "KEY" })
	require.NoError(t, err, text)
	return Check(cfg, h)
}

func ids(all []Finding) []string {
	var out []string
	for _, f := range all {
		out = append(out, f.Rule)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestEachRuleFindsWhatItIsFor(t *testing.T) {
	dir := place(t)
	base := fmt.Sprintf(safe, dir)
	require.Empty(t, check(t, base, host()), "what the others are compared with")

	session := func(lines string) func(string) string {
		return func(text string) string {
			return strings.Replace(text, "  worker:\n", "  worker:\n    "+strings.ReplaceAll(lines, "\n", "\n    ")+"\n", 1)
		}
	}
	swap := func(old, now string) func(string) string {
		return func(text string) string {
			require.Contains(t, text, old)
			return strings.Replace(text, old, now, 1)
		}
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "work", ".claude"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "open.json"), []byte("{}"), 0o600))
	require.NoError(t, os.Chmod(filepath.Join(dir, "open.json"), 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "work", ".claude", "settings.json"), []byte(`{"hooks": {"SessionStart": []}, "env": {"LD_PRELOAD": "x", "ANTHROPIC_BASE_URL": "y"}, "apiKeyHelper": "z", "sandbox": {"excludedCommands": ["*"]}, "permissions": {"defaultMode": "acceptEdits"}}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "work", ".mcp.json"), []byte(`{"mcpServers": {"spy": {"command": "x"}}}`), 0o600))
	broken := map[string]struct {
		change func(string) string
		host   func(*Host)
		key    string // what the line of one of its findings holds
	}{
		"S01": {session("permission_mode: bypassPermissions\nallow_dangerously_skip_permissions: true"), nil, "permission_mode: bypass"},
		"S02": {session("allowed_tools: [Bash]"), nil, "allowed_tools: [Bash]"},
		"S03": {swap("profile: ci", "permission_mode: dontAsk"), nil, ""},
		"S04": {swap("${env:KEY}", "sk-literal-in-the-file"), nil, "api_key: sk-"},
		"S05": {swap("audit: {", "audit: {mode: best_effort, "), nil, "audit: {mode"},
		"S06": {swap("cwd: "+dir+"/work", "cwd: /etc"), nil, "cwd: /etc"},
		"S07": {session("sandbox: {enabled: false}"), nil, "sandbox: {enabled: false}"},
		"S08": {session("sensitive: true"), nil, ""},
		"S09": {session("restart: temporary"), nil, "restart: temporary"},
		"L10": {session("trust_workspace: true"), nil, "trust_workspace: true"},
		"L11": {session("trust_workspace: true"), nil, ""},
		"L12": {session("sandbox: {allowUnsandboxedCommands: true}"), nil, "allowUnsandboxedCommands: true"},
		"L13": {session("sandbox: {bwrapPath: /x}"), nil, "bwrapPath"},
		"L14": {session("sandbox: {excludedCommands: [docker], network: {allowedDomains: ['*', localhost]}}"), nil, "excludedCommands"},
		"L15": {session("sandbox: {network: {strictAllowlist: false}}"), nil, "strictAllowlist: false"},
		"L16": {func(text string) string {
			text = strings.Replace(text, "profile: ci", "permission_mode: dontAsk\n  sandbox: {enabled: true}", 1)
			return strings.Replace(text, "isolate_home: true", "isolate_home: false", 1)
		}, nil, ""},
		"L17": {session("confine_files: false"), nil, "confine_files: false"},
		"L18": {func(text string) string {
			return session("sandbox: {enabled: false}")(strings.Replace(text, "api_key_delivery: proxy", "api_key_delivery: env", 1))
		}, nil, "api_key_delivery: env"},
		"L19": {session("inherit_env: [AWS_*]"), nil, "inherit_env"},
		"L20": {session("system_prompt: use secret-value\nenv: {MY_TOKEN: '${env:KEY}'}"), nil, "system_prompt"},
		"L21": {session("settings: " + dir + "/open.json"), nil, "settings:"},
		"L22": {swap("version: 1", "version: 1"), func(h *Host) { h.UID = 0 }, ""},
		"L23": {session("containment: {require: [pid_namespace, cgroup]}"), nil, "containment"},
		"L24": {session("isolate_home: false\nsandbox: {environment: docker, container: box}"), nil, "container: box"},
		"L25": {swap("cli: {path: "+dir+"/claude}", "cli: {path: "+dir+"/landrun}"), nil, ""},
		"L26": {swap("limits: {memory: 2GiB, processes: 300}", "limits: {memory: 2GiB}"), nil, ""},
		"L27": {session("settings: {hooks: {PreToolUse: []}}"), nil, "settings"},
		"L28": {session("permission_mode: default"), nil, "permission_mode: default"},
		"L29": {swap("cli: {path: "+dir+"/claude}", "cli: {path: claude}"), nil, "cli:"},
		"L30": {session("env: {ANTHROPIC_BASE_URL: 'http://10.0.0.1'}"), nil, "ANTHROPIC_BASE_URL"},
		"L31": {swap("audit:", "debug: {listen: '0.0.0.0:7070', token: '${env:KEY}'}\naudit:"), nil, "debug:"},
		"L32": {swap("data_dir: "+dir+"/data", "data_dir: "+dir+"/work/data"), nil, "data_dir"},
		"L33": {session("env: {OTEL_LOG_USER_PROMPTS: '1'}"), nil, "OTEL_LOG_USER_PROMPTS"},
		"L34": {swap("keep_age: 720h, ", ""), nil, "audit:"},
		"L35": {session("mcp_servers: {x: {command: x}}"), nil, "mcp_servers"},
		"L36": {session("allowed_tools: [Read, WebFetch]"), nil, "allowed_tools"},
		"L37": {func(text string) string {
			return strings.Replace(swap("  worker:\n", "  other: {cwd: "+dir+"/work}\n  worker:\n")(text), "isolate_home: true", "isolate_home: false", 1)
		}, nil, ""},
		"L38": {swap("api_proxy: {max_budget_usd: 5}", "api_proxy: {requests_per_minute: 5}"), nil, ""},
		"L39": {session("shutdown: brutal_kill"), nil, "shutdown: brutal_kill"},
		"L40": {session("allowed_tools: [Read, 'Read(/srv/**)']"), nil, "allowed_tools"},
		"L41": {session("max_turns: 5000"), nil, "max_turns: 5000"},
		"L42": {swap("  worker:\n", "  other: {cwd: "+dir+"/work/.claude}\n  worker:\n"), nil, "cwd: " + dir + "/work"},
	}
	for _, rule := range Rules() {
		t.Run(rule.ID, func(t *testing.T) {
			test, ok := broken[rule.ID]
			require.True(t, ok, "no case for %s", rule.ID)
			h := host()
			if test.host != nil {
				test.host(&h)
			}
			text := test.change(base)
			all := check(t, text, h)
			var mine []Finding
			for _, f := range all {
				if f.Rule == rule.ID {
					mine = append(mine, f)
				}
			}
			require.NotEmpty(t, mine, "%v", ids(all))
			lines := strings.Split(text, "\n")
			placed := false
			for _, f := range mine {
				assert.NotEmpty(t, f.Message)
				assert.NotEmpty(t, f.Why)
				assert.NotEmpty(t, f.Fix)
				assert.NotContains(t, f.Message, "secret-value")
				assert.NotContains(t, f.Message, "sk-literal")
				if strings.HasSuffix(f.File, "understudy.yaml") && f.Line > 0 {
					placed = placed || strings.Contains(lines[f.Line-1], test.key)
				}
			}
			assert.True(t, placed || test.key == "", "no finding in a line with %q: %+v", test.key, mine)

			// And it can be accepted, for a reason.
			var accepted strings.Builder
			accepted.WriteString(text + "ignore:\n")
			for _, id := range ids(all) {
				accepted.WriteString("  - {rule: " + id + ", reason: for the test}\n")
			}
			assert.False(t, Failed(check(t, accepted.String(), h)))
		})
	}
}

// TestWhereARuleLooks has what a rule is about said in another place.
func TestWhereARuleLooks(t *testing.T) {
	dir := place(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "settings.json"), []byte(
		`{"hooks":{"PreToolUse":[]},"env":{"ANTHROPIC_BASE_URL":"http://10.0.0.1","LD_PRELOAD":"x","OTEL_LOG_USER_PROMPTS":"1"}}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "wrapper"), []byte("#!/bin/sh\nexec landrun --rw . -- claude \"$@\"\n"), 0o500))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "harmless"), []byte("#!/bin/sh\nexec setpriv --no-new-privs claude \"$@\"\n"), 0o500))
	base := fmt.Sprintf(safe, dir)
	session := func(lines string) string {
		return strings.Replace(base, "  worker:\n", "  worker:\n    "+lines+"\n", 1)
	}
	without := func(missing string) func(*Host) {
		return func(h *Host) { h.Program = func(name string) bool { return name != missing } }
	}
	for name, test := range map[string]struct {
		text string
		host func(*Host)
		want []string // rules
		says string
	}{
		"settings in a file":          {session("settings: " + dir + "/settings.json"), nil, []string{"L19", "L27", "L30", "L33", "L35"}, "LD_PRELOAD changes what code runs"},
		"a client without a way back": {session("launcher: {kind: command, command: [ssh, host]}"), nil, []string{"L24"}, "nothing ends it there"},
		"a client with one":           {session("launcher: {kind: command, command: [ssh, host], kill: [ssh, host, end-it]}"), nil, nil, ""},
		"a container of others":       {session("isolate_home: false\n    launcher: {kind: docker, container: box}"), nil, []string{"L24"}, "box exists by itself"},
		"landlock by a command":       {session("launcher: {kind: command, command: [setpriv, --landlock-access, fs, --]}"), nil, []string{"L25"}, "started by setpriv"},
		"landlock by a script":        {strings.Replace(base, dir+"/claude", dir+"/wrapper", 1), nil, []string{"L25"}, "started by landrun"},
		"a script without it":         {strings.Replace(base, dir+"/claude", dir+"/harmless", 1), nil, nil, ""},
		"no engine":                   {session("launcher: {kind: podman, image: x, network: none}"), without("podman"), []string{"L23"}, "podman is not to be found here"},
		"no sandbox tools":            {base, without("socat"), []string{"L23"}, "the sandbox needs socat"},
		"no container":                {session("containment: {require: [container]}"), nil, []string{"L23"}, "no launcher that makes one"},
		"a container":                 {session("sandbox: {enabled: false}\n    containment: {require: [container]}\n    launcher: {kind: docker, image: x, network: none}"), nil, []string{"L41"}, "sandbox.enabled"},
	} {
		t.Run(name, func(t *testing.T) {
			h := host()
			if test.host != nil {
				test.host(&h)
			}
			all := check(t, test.text, h)
			assert.Equal(t, test.want, ids(all), "%+v", all)
			var out bytes.Buffer
			require.NoError(t, WriteText(&out, all))
			assert.Contains(t, out.String(), test.says)
		})
	}
}

func TestTheWholeEnvironmentIsReported(t *testing.T) {
	dir := place(t)
	text := strings.Replace(fmt.Sprintf(safe, dir), "  worker:\n", "  worker:\n    inherit_env: all\n", 1)
	h := host()
	h.Environ = []string{"PATH=/bin", "GITHUB_TOKEN=x", "DB_PASSWORD=y"}
	all := check(t, text, h)
	require.Equal(t, []string{"L19"}, ids(all))
	assert.Equal(t, Error, all[0].Severity)
	assert.Contains(t, all[0].Message, "DB_PASSWORD, GITHUB_TOKEN among it")
	assert.True(t, Failed(all))
}

func TestATrustedRepositoryIsListed(t *testing.T) {
	dir := place(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "work", ".claude"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "work", ".claude", "settings.json"), []byte(
		`{"hooks": {"SessionStart": []}, "env": {"LD_PRELOAD": "x", "ANTHROPIC_BASE_URL": "y"}, "apiKeyHelper": "z", "sandbox": {"excludedCommands": ["*"]}, "permissions": {"defaultMode": "acceptEdits"}}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "work", ".mcp.json"), []byte(`{"mcpServers": {"spy": {"command": "x"}}}`), 0o600))
	text := strings.Replace(fmt.Sprintf(safe, dir), "  worker:\n", "  worker:\n    trust_workspace: true\n", 1)
	var out bytes.Buffer
	require.NoError(t, WriteText(&out, check(t, text, host())))
	for _, attack := range []string{"hooks: a program runs at SessionStart", "LD_PRELOAD changes what code runs", "ANTHROPIC_BASE_URL sends the key", "apiKeyHelper: a program runs",
		"sandbox.excludedCommands is the repository's", "permissions.defaultMode: acceptEdits", `the MCP server "spy" is started`} {
		assert.Contains(t, out.String(), attack)
	}
}

func TestAcceptedFindings(t *testing.T) {
	dir := place(t)
	text := strings.Replace(fmt.Sprintf(safe, dir), "  worker:\n", "  worker:\n    restart: temporary\n", 1)
	assert.True(t, Failed(check(t, text, host())))
	all := check(t, text+"ignore: [{rule: S09, session: worker, reason: a one-off}, {rule: L99, reason: gone}]\n", host())
	assert.False(t, Failed(all))
	assert.Equal(t, []string{"L00", "S09"}, ids(all))
	assert.True(t, Failed(check(t, text+"ignore: [{rule: S09, session: other, reason: not this one}]\n", host())))
	_, err := config.Parse("/x/u.yaml", []byte("ignore: [{rule: S09}]"), nil)
	assert.ErrorContains(t, err, "for a reason")
}

func TestReports(t *testing.T) {
	dir := place(t)
	text := strings.Replace(fmt.Sprintf(safe, dir), "  worker:\n", "  worker:\n    restart: temporary\n    max_turns: 5000\n", 1) + "ignore: [{rule: L41, reason: 'long <work>'}]\n"
	all := check(t, text, host())
	var out bytes.Buffer
	require.NoError(t, WriteText(&out, all))
	assert.Contains(t, out.String(), "understudy.yaml:14:5: error S09 supervised: worker: temporary: it is never started again\n    why: ")
	assert.Contains(t, out.String(), "accepted: long <work>")
	assert.Contains(t, out.String(), "errors: 1, warnings: 0, notes: 0, accepted: 1")
	out.Reset()
	require.NoError(t, WriteJSON(&out, all))
	var back []Finding
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	assert.Equal(t, all, back)
	out.Reset()
	require.NoError(t, WriteJSON(&out, nil))
	assert.Equal(t, "[]\n", out.String())
	out.Reset()
	require.NoError(t, WriteSARIF(&out, "v1", all))
	var sarif struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID, Level string
				Suppressions  []struct{ Justification string }
				Locations     []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine, StartColumn int }
					}
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &sarif))
	assert.Equal(t, "2.1.0", sarif.Version)
	run := sarif.Runs[0]
	assert.Len(t, run.Tool.Driver.Rules, len(Rules())+1, "and L00")
	require.Len(t, run.Results, 2)
	assert.Equal(t, "error", run.Results[0].Level)
	assert.Equal(t, 14, run.Results[0].Locations[0].PhysicalLocation.Region.StartLine)
	uri, err := url.Parse(run.Results[0].Locations[0].PhysicalLocation.ArtifactLocation.URI)
	require.NoError(t, err)
	assert.Equal(t, "file", uri.Scheme)
	known := map[string]bool{}
	for _, rule := range run.Tool.Driver.Rules {
		known[rule.ID] = true
	}
	for _, result := range run.Results {
		assert.True(t, known[result.RuleID], result.RuleID)
		assert.Contains(t, []string{"error", "warning", "note"}, result.Level)
	}
	assert.Equal(t, "long <work>", run.Results[1].Suppressions[0].Justification)
	require.NoError(t, WriteSARIF(&out, "v1", nil))
	assert.ErrorIs(t, WriteText(failing{}, all), errFull)
}

var errFull = errors.New("full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

// The ids stay: configurations name them.
func TestRuleIDs(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rules() {
		assert.Regexp(t, `^[SL][0-9]{2}$`, r.ID)
		assert.False(t, seen[r.ID] || seen[r.Name])
		seen[r.ID], seen[r.Name] = true, true
		assert.NotEmpty(t, r.Why)
		assert.NotEmpty(t, r.Fix)
	}
	assert.Len(t, Rules(), 42)
}
