package process

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const someID = "550e8400-e29b-41d4-a716-446655440000"

var baseFlags = []string{"--print", "--verbose", "--input-format=stream-json", "--output-format=stream-json", "--await-initialize", "--strict-mcp-config"}

func TestArgv(t *testing.T) {
	for _, tc := range []struct {
		name string
		l    Launch
		want []string // after the base flags
	}{
		{"nothing set", Launch{}, []string{"--setting-sources="}},
		{"first start", Launch{SessionID: someID}, []string{"--setting-sources=", "--session-id=" + someID}},
		{"resume", Launch{SessionID: someID, Resume: true}, []string{"--setting-sources=", "--resume=" + someID}},
		{"sources", Launch{SettingSources: []string{"user", "project"}}, []string{"--setting-sources=user,project"}},
		{"no tools at all", Launch{Tools: []string{}}, []string{"--setting-sources=", "--tools="}},
		{"empty rules are no rules", Launch{AllowedTools: []string{}, DisallowedTools: []string{}}, []string{"--setting-sources="}},
		{
			"everything",
			Launch{
				Model: "sonnet", SystemPrompt: "-s", AppendSystemPrompt: "--a", AddDir: []string{"/x", "y z"}, PermissionMode: "dontAsk",
				AllowedTools: []string{"Read", "Bash(git log, git *)"}, DisallowedTools: []string{"Bash(rm:*)"}, Tools: []string{"Bash", "Read"},
				MaxTurns: 3, MaxBudgetUSD: new(0.000001), NoSessionPersistence: true, IncludePartialMessages: true, PermissionPromptStdio: true,
				ExtraArgs: map[string]*string{"--debug-file": new("-x"), "bare": nil, "betas": new("")},
			},
			[]string{
				"--setting-sources=", "--model=sonnet", "--system-prompt=-s", "--append-system-prompt=--a", "--add-dir=/x", "--add-dir=y z",
				"--permission-mode=dontAsk", "--allowedTools=Read,Bash(git log, git *)", "--disallowedTools=Bash(rm:*)", "--tools=Bash,Read",
				"--max-turns=3", "--max-budget-usd=0.000001", "--no-session-persistence", "--include-partial-messages",
				"--permission-prompt-tool=stdio", "--bare", "--betas=", "--debug-file=-x",
			},
		},
		{
			"the model",
			Launch{
				Model: "opus", FallbackModel: "sonnet,haiku", Agent: "reviewer", Thinking: "enabled", ThinkingDisplay: "omitted", MaxThinkingTokens: new(4000),
				Effort: "high", JSONSchema: `{"type":"object"}`, Betas: []string{"b-1", "b-2"}, TaskBudget: 20000, AppendSubagentSystemPrompt: "s",
			},
			[]string{
				"--setting-sources=", "--model=opus", "--fallback-model=sonnet,haiku", "--agent=reviewer",
				"--thinking-display=omitted", "--max-thinking-tokens=4000", "--effort=high", `--json-schema={"type":"object"}`, "--betas=b-1",
				"--betas=b-2", "--task-budget=20000", "--append-subagent-system-prompt=s",
			},
		},
		{"thinking is off", Launch{MaxThinkingTokens: new(0)}, []string{"--setting-sources=", "--max-thinking-tokens=0"}},
		{
			"places",
			Launch{
				Dir: "/d", ProjectConfigRoot: "/trusted", Worktree: "w", Files: []string{"file_1:a b.txt"}, MCPConfig: "m.json", DebugFile: "debug",
				Plugins: []Plugin{{Path: "p"}, {Path: "/q.zip", NoMCP: true}}, Debug: true,
			},
			[]string{
				"--setting-sources=", "--project-config-root=/trusted", "--worktree=w", "--file=file_1:a b.txt", "--mcp-config=/d/m.json",
				"--plugin-dir=/d/p", "--plugin-dir-no-mcp=/q.zip", "--debug", "--debug-file=/d/debug",
			},
		},
		{
			"frames and permissions",
			Launch{
				SkipPermissions: true, AllowSkipPermissions: true, ManagedSettings: map[string]any{"b": 1, "a": "<"}, IncludeHookEvents: true,
				ReplayUserMessages: true, DisableSlashCommands: true, Debug: true, DebugFilter: "hooks,mcp", PermissionPromptTool: "mcp__a__b",
			},
			[]string{
				"--setting-sources=", "--dangerously-skip-permissions", "--allow-dangerously-skip-permissions", "--managed-settings-in-initialize",
				"--include-hook-events", "--replay-user-messages", "--disable-slash-commands", "--debug=hooks,mcp", "--permission-prompt-tool=mcp__a__b",
			},
		},
		{
			"another conversation", Launch{ResumeFrom: "-a title", ResumeAt: "e", ResumeDropsTurn: "p"},
			[]string{"--setting-sources=", "--resume=-a title", "--resume-session-at=e", "--resume-drops-turn=p"},
		},
		{
			"a copy of it", Launch{ResumeFrom: "t", Fork: true, SessionID: someID},
			[]string{"--setting-sources=", "--resume=t", "--session-id=" + someID, "--fork-session"},
		},
		{"the latest one", Launch{Continue: true}, []string{"--setting-sources=", "--continue"}},
		{"one of a pull request", Launch{FromPR: "12"}, []string{"--setting-sources=", "--from-pr=12"}},
		{"nobody answers", Launch{PermissionPromptsNone: true}, []string{"--setting-sources=", "--permission-prompts=none"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.l.Argv()
			require.NoError(t, err)
			assert.Equal(t, append(slices.Clone(baseFlags), tc.want...), got)
		})
	}
	got, err := Launch{PrefixArgs: []string{"run", "-i", "image"}}.Argv()
	require.NoError(t, err)
	assert.Equal(t, []string{"run", "-i", "image", "--print"}, got[:4])
}

func TestArgvRefuses(t *testing.T) {
	const key = "sk-ant-0123456789"
	for _, tc := range []struct {
		l    Launch
		want string
	}{
		{Launch{Resume: true}, "resume: no session id"},
		{Launch{SessionID: "nope"}, `session_id: "nope" is not a UUID`},
		{Launch{SessionID: someID[:35] + "g"}, "is not a UUID"},
		{Launch{SettingSources: []string{"global"}}, `unknown source "global"`},
		{Launch{PermissionMode: "accept_edits"}, "use one of acceptEdits"},
		{Launch{MaxTurns: -1}, "max_turns"},
		{Launch{MaxBudgetUSD: new(0.0)}, "max_budget_usd: 0 is not a positive amount"},
		{Launch{MaxBudgetUSD: new(-1.0)}, "max_budget_usd"},
		{Launch{MaxBudgetUSD: new(math.NaN())}, "max_budget_usd"},
		{Launch{MaxBudgetUSD: new(math.Inf(1))}, "max_budget_usd"},
		{Launch{AllowedTools: []string{"Read, Bash"}}, "write one rule an entry"},
		{Launch{AllowedTools: []string{""}}, "allowed_tools: an empty entry"},
		{Launch{DisallowedTools: []string{"Bash(rm"}}, "unbalanced parentheses"},
		{Launch{DisallowedTools: []string{"Bash)("}}, "unbalanced parentheses"},
		{Launch{AddDir: []string{""}}, "add_dir"},
		{Launch{PermissionPromptStdio: true, PermissionPromptsNone: true}, "exclude each other"},
		{Launch{ExtraArgs: map[string]*string{"print": nil}}, "--print can't be given here"},
		{Launch{ExtraArgs: map[string]*string{"--session-id": new("x")}}, "--session-id can't be given here"},
		{Launch{ExtraArgs: map[string]*string{"setting-sources": new("user")}}, "use setting_sources"},
		{Launch{ExtraArgs: map[string]*string{"p": nil}}, "not the long name"},
		{Launch{ExtraArgs: map[string]*string{"-p": nil}}, "not the long name"},
		{Launch{ExtraArgs: map[string]*string{"----x": nil}}, "not the long name"},
		{Launch{ExtraArgs: map[string]*string{"x=y": nil}}, "not the long name"},
		{Launch{ExtraArgs: map[string]*string{"bare": nil, "--bare": nil}}, "given twice"},
		{Launch{Effort: "high", ExtraArgs: map[string]*string{"effort": new("low")}}, "--effort is given by an option of its own already"},
		{Launch{Effort: "hi"}, "use one of low, medium, high, xhigh, max"},
		{Launch{Thinking: "on"}, "use one of adaptive, enabled, disabled"},
		{Launch{ThinkingDisplay: "on"}, "use one of summarized, omitted, highlights"},
		{Launch{MaxThinkingTokens: new(-1)}, "max_thinking_tokens: -1"},
		{Launch{TaskBudget: -1}, "task_budget: -1"},
		{Launch{Betas: []string{"a,b"}}, "write one name an entry"},
		{Launch{ProjectConfigRoot: "rel"}, "not absolute"},
		{Launch{Files: []string{"file_1"}}, "file_id:relative_path"},
		{Launch{Plugins: []Plugin{{}}}, "plugins"},
		{Launch{ManagedSettings: map[string]any{"f": func() {}}}, "managed_settings:"},
		{Launch{PermissionPromptStdio: true, PermissionPromptTool: "mcp__a__b"}, "exclude each other"},
		{Launch{PermissionPromptsNone: true, PermissionPromptTool: "mcp__a__b"}, "exclude each other"},
		{Launch{ResumeFrom: "a", Continue: true}, "choose one"},
		{Launch{ResumeFrom: "a", Resume: true, SessionID: someID}, "choose one"},
		{Launch{ResumeFrom: "a", SessionID: someID}, "fork_session"},
		{Launch{Fork: true}, "nothing to copy"},
		{Launch{ResumeAt: "a", Continue: true}, "nothing to resume"},
		{Launch{ResumeFrom: "a", ResumeDropsTurn: "a"}, "resume_session_at"},
		{Launch{SystemPrompt: "a\x00b"}, "NUL byte"},
		{Launch{SystemPrompt: strings.Repeat("x", 200<<10)}, `argument "--system-prompt": 204816 bytes`},
		{Launch{SystemPrompt: "use " + key, APIKey: key}, "contains the API key"},
		{Launch{PrefixArgs: []string{key}, APIKey: key}, `argument "[redacted]"`},
		{Launch{ExtraArgs: map[string]*string{"mcp-config": new(`{"token":"abcdefgh1"}`)}, Env: map[string]string{"MY_TOKEN": "abcdefgh1"}}, "or a secret from env"},
		{Launch{Settings: map[string]any{"f": func() {}}}, "settings:"},
		{Launch{Sandbox: map[string]any{"enabled": "yes"}}, "sandbox.enabled: a string, expected true or false"},
		{Launch{Settings: map[string]any{"sandbox": true}}, "sandbox: a boolean, expected an object"},
		{Launch{Settings: map[string]any{"sandbox": true}, Sandbox: map[string]any{}}, "nothing to merge"},
		{Launch{SettingsPath: "/does/not/exist.json"}, "/does/not/exist.json"},
		{Launch{SettingsPath: "/"}, "not a regular file"},
	} {
		_, err := tc.l.Argv()
		require.Error(t, err, tc.want)
		assert.Contains(t, err.Error(), tc.want)
		assert.NotContains(t, err.Error(), key)
	}
}

func TestArgvKeepsValuesWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[^\x00]{0,40}`).Draw(t, "text")
		got, err := Launch{SystemPrompt: text, ExtraArgs: map[string]*string{"debug-file": &text}}.Argv()
		if err != nil {
			t.Fatal(err)
		}
		if got[len(got)-1] != "--debug-file="+text {
			t.Fatalf("got %q", got)
		}
		for _, a := range got {
			if !strings.HasPrefix(a, "--") {
				t.Fatalf("%q stands alone", a)
			}
		}
	})
}

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	plainFile := write("plain.json", `{"a": 1.50, "big": 12345678901234567890}`)
	boxFile := write("box.json", `{"sandbox":{"enabled":true,"filesystem":{"denyRead":["/a"],"allowWrite":["/w"]}},"model":"x"}`)
	fullFile := write("full.json", `{"sandbox":{"enabled":true,"failIfUnavailable":false,"allowUnsandboxedCommands":true}}`)
	const secured, inFrame = `"allowUnsandboxedCommands":false,`, "in the first frame"
	long := "Bash(" + strings.Repeat("x", 70<<10) + ")"
	for _, tc := range []struct {
		name string
		l    Launch
		json string
		told string // the frame, if it is not in an argument
	}{
		{"nothing", Launch{}, "", ""},
		{"a map", Launch{Settings: map[string]any{"b": 1, "a": []string{"<&>"}}}, `{"a":["<&>"],"b":1}`, inFrame},
		{"a path", Launch{SettingsPath: plainFile}, `{"a":1.50,"big":12345678901234567890}`, inFrame},
		{"relative to cwd", Launch{Dir: dir, SettingsPath: "plain.json"}, `{"a":1.50,"big":12345678901234567890}`, inFrame},
		{"rules", Launch{Settings: map[string]any{"permissions": map[string]any{"deny": []string{"Bash(rm:*)"}}}}, `{"permissions":{"deny":["Bash(rm:*)"]}}`, ""},
		{
			"rules with a secret in them", Launch{APIKey: "sk-0123456789", Settings: map[string]any{"permissions": map[string]any{"deny": []string{"Bash(echo sk-0123456789)"}}}},
			`{"permissions":{"deny":["Bash(echo sk-0123456789)"]}}`, inFrame,
		},
		{
			"long rules", Launch{Settings: map[string]any{"permissions": map[string]any{"deny": []string{long}}}}, `{"permissions":{"deny":["` + long + `"]}}`, inFrame,
		},
		{"sandbox", Launch{Sandbox: map[string]any{"enabled": true}}, `{"sandbox":{` + secured + `"enabled":true,"failIfUnavailable":true}}`, ""},
		{
			"documented but unknown keys stay", Launch{Sandbox: map[string]any{"environment": "docker", "container": "c"}},
			`{"sandbox":{"container":"c","environment":"docker"}}`, "",
		},
		{"switched off", Launch{Sandbox: map[string]any{"enabled": false}}, `{"sandbox":{"enabled":false}}`, ""},
		{"chosen otherwise in the file", Launch{SettingsPath: fullFile}, `{"sandbox":{"allowUnsandboxedCommands":true,"enabled":true,"failIfUnavailable":false}}`, ""},
		{
			"a file whose sandbox is made safe", Launch{SettingsPath: boxFile},
			`{"model":"x","sandbox":{` + secured + `"enabled":true,"failIfUnavailable":true,"filesystem":{"allowWrite":["/w"],"denyRead":["/a"]}}}`, inFrame,
		},
		{
			"all three", Launch{
				SettingsPath: boxFile, Settings: map[string]any{"model": "y", "sandbox": map[string]any{"autoAllowBashIfSandboxed": true}},
				Sandbox: map[string]any{"filesystem": map[string]any{"denyRead": []string{"/b", "/a"}, "allowWrite": []string{}}},
			},
			`{"model":"y","sandbox":{` + secured + `"autoAllowBashIfSandboxed":true,"enabled":true,"failIfUnavailable":true,` +
				`"filesystem":{"allowWrite":[],"denyRead":["/a","/b"]}}}`, inFrame,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.l.SettingsJSON()
			require.NoError(t, err)
			assert.Equal(t, tc.json, got)
			args, err := tc.l.Argv()
			require.NoError(t, err)
			told, managed, err := tc.l.InHandshake()
			require.NoError(t, err)
			assert.Nil(t, managed)
			settled, err := tc.l.Settled()
			require.NoError(t, err)
			again, err := settled.Argv()
			require.NoError(t, err)
			assert.Equal(t, args, again)
			if tc.told == inFrame {
				text, err := encodeSettings(told)
				require.NoError(t, err)
				assert.Equal(t, tc.json, text)
				assert.Contains(t, args, "--initialize-fields=settings")
			} else {
				assert.Nil(t, told)
				assert.NotContains(t, args, "--initialize-fields=settings")
			}
			inArgument := tc.json != "" && tc.told == ""
			assert.Equal(t, inArgument, slices.Contains(args, "--settings="+tc.json))
			assert.Equal(t, inArgument, slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--settings") }))
		})
	}
	for text, want := range map[string]string{`{"a":`: "unexpected EOF", `[1]`: "not a JSON object", `null`: "null", `{} {}`: "something follows"} {
		path := write("broken.json", text)
		_, err := Launch{SettingsPath: path}.SettingsJSON()
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
	}
}

// TestSettledSettingsStay changes a settings file between the arguments and the first frame, which have to go together.
func TestSettledSettingsStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "settings.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"env":{"TOKEN":"a"}}`), 0o600))
	l, err := Launch{SettingsPath: path, ManagedSettings: map[string]any{"b": 1}}.Settled()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(`{}`), 0o600))
	args, err := l.Argv()
	require.NoError(t, err)
	assert.Contains(t, args, "--initialize-fields=settings")
	assert.Contains(t, args, "--managed-settings-in-initialize")
	settings, managed, err := l.InHandshake()
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"env": map[string]any{"TOKEN": "a"}}, settings)
	assert.Len(t, managed, 1)
	shown, err := l.ShownSettings()
	require.NoError(t, err)
	assert.Equal(t, `{"env":{"TOKEN":"[redacted]"}}`, shown)
}

func TestCovered(t *testing.T) {
	settings, err := decodeObject([]byte(`{"apiKeyHelper":"cat key","permissions":{"deny":["Bash(rm:*)"]},"list":[{"headers":{"X":"a"}}],"env":{"A":"b"},"model":"x","secretCount":1}`))
	require.NoError(t, err)
	text, err := encodeSettings(Covered(settings))
	require.NoError(t, err)
	assert.Equal(t, `{"apiKeyHelper":"[redacted]","env":{"A":"[redacted]"},"list":[{"headers":{"X":"[redacted]"}}],"model":"x","permissions":{"deny":["Bash(rm:*)"]},"secretCount":1}`, text)
	assert.Nil(t, Covered(nil))
}

func TestMergingDoesNotTouchTheLaunch(t *testing.T) {
	box := map[string]any{"enabled": true}
	l := Launch{Settings: map[string]any{"sandbox": map[string]any{"x": 1}}, Sandbox: box}
	_, err := l.SettingsJSON()
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"enabled": true}, box)
	assert.Equal(t, map[string]any{"sandbox": map[string]any{"x": 1}}, l.Settings)
}

func TestEnviron(t *testing.T) {
	parent := []string{
		"PATH=/bin", "HOME=/h", "LC_ALL=C", "http_proxy=p", "LANG=", "CLAUDE_CONFIG_DIR=/c",
		"CLAUDECODE=1", "CLAUDE_CODE_SESSION_ID=outer", "CLAUDE_CODE_USE_BEDROCK=1", "LD_PRELOAD=/evil.so", "NODE_OPTIONS=--x", "ANTHROPIC_API_KEY=outer",
		"AWS_REGION=eu", "AWS_SECRET=s", "SSH_AUTH_SOCK=/s", "UNDERSTUDY_SESSION=outer", "CANARY=x", "broken", "=C:=x", "PATH=/usr/bin",
		"DISABLE_AUTOUPDATER=0", "PWD=/elsewhere",
	}
	ours := []string{"CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS=1", "CLAUDE_CODE_ENTRYPOINT=sdk-go"}
	base := []string{"CLAUDE_CONFIG_DIR=/c", "DISABLE_AUTOUPDATER=1", "HOME=/h", "LANG=", "LC_ALL=C", "PATH=/usr/bin", "http_proxy=p"}
	for _, tc := range []struct {
		name string
		l    Launch
		more []string
		less []string
	}{
		{"the default", Launch{}, nil, nil},
		{
			"key and marker", Launch{APIKey: "k", Marker: "a/b/1", Dir: "/srv"},
			[]string{"ANTHROPIC_API_KEY=k", "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST=1", "PWD=/srv", "UNDERSTUDY_SESSION=a/b/1"}, nil,
		},
		{"by name and by prefix", Launch{InheritEnv: []string{"AWS_*", "CLAUDE_CODE_USE_BEDROCK"}}, []string{"AWS_REGION=eu", "AWS_SECRET=s", "CLAUDE_CODE_USE_BEDROCK=1"}, nil},
		{
			"all", Launch{InheritEnv: []string{"all"}},
			[]string{"ANTHROPIC_API_KEY=outer", "AWS_REGION=eu", "AWS_SECRET=s", "CANARY=x", "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST=1", "PWD=/elsewhere", "SSH_AUTH_SOCK=/s"}, nil,
		},
		{"all but one", Launch{InheritEnv: []string{"all"}, UnsetEnv: []string{"ANTHROPIC_API_KEY", "AWS_SECRET", "PWD"}}, []string{"AWS_REGION=eu", "CANARY=x", "SSH_AUTH_SOCK=/s"}, nil},
		{"a wide prefix does not reach an outer session", Launch{InheritEnv: []string{"CLAUDE_*", "NODE_*", "SSH_*"}}, []string{"SSH_AUTH_SOCK=/s"}, nil},
		{"the key of the runtime, by wish", Launch{InheritEnv: []string{"ANTHROPIC_API_KEY"}}, []string{"ANTHROPIC_API_KEY=outer", "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST=1"}, nil},
		{
			"env wins", Launch{Env: map[string]string{"PATH": "/x", "DISABLE_AUTOUPDATER": "0", "NODE_OPTIONS": "--mine", "ANTHROPIC_AUTH_TOKEN": "t", "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST": ""}},
			[]string{"PATH=/x", "DISABLE_AUTOUPDATER=0", "NODE_OPTIONS=--mine", "ANTHROPIC_AUTH_TOKEN=t", "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST="},
			[]string{"PATH=/usr/bin", "DISABLE_AUTOUPDATER=1"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.l.Environ(parent)
			require.NoError(t, err)
			want := slices.DeleteFunc(slices.Concat(ours, base, tc.more), func(kv string) bool { return slices.Contains(tc.less, kv) })
			slices.SortFunc(want, func(a, b string) int {
				return strings.Compare(strings.SplitN(a, "=", 2)[0], strings.SplitN(b, "=", 2)[0])
			})
			assert.Equal(t, want, got)
		})
	}
	for _, tc := range []struct {
		l    Launch
		want string
	}{
		{Launch{Env: map[string]string{"A=B": "x"}}, "not a name"},
		{Launch{Env: map[string]string{"": "x"}}, "not a name"},
		{Launch{Env: map[string]string{"A": "hidden\x00"}}, "the value of A contains a NUL byte"},
		{Launch{Env: map[string]string{MarkerVariable: "x"}}, "set by the runtime"},
		{Launch{Env: map[string]string{"ANTHROPIC_API_KEY": "hidden"}, APIKey: "hidden2"}, "given twice"},
		{Launch{APIKey: "hidden\n"}, "api_key: contains a line break"},
		{Launch{Marker: "x\x00"}, "marker"},
		{Launch{InheritEnv: []string{"*"}}, "whole environment"},
		{Launch{InheritEnv: []string{"A*"}}, "ends in an underscore"},
		{Launch{InheritEnv: []string{"A_*_B"}}, "neither a name nor a prefix"},
		{Launch{InheritEnv: []string{""}}, "neither a name nor a prefix"},
		{Launch{InheritEnv: []string{"LD_PRELOAD"}}, "never inherited"},
		{Launch{InheritEnv: []string{"LD_*"}}, "never inherited"},
		{Launch{InheritEnv: []string{"CLAUDECODE"}}, "never inherited"},
		{Launch{InheritEnv: []string{"CLAUDE_CODE_*"}}, "outer session"},
		{Launch{InheritEnv: []string{"UNDERSTUDY_SESSION"}}, "never inherited"},
	} {
		_, err := tc.l.Environ(parent)
		require.Error(t, err, tc.want)
		assert.Contains(t, err.Error(), tc.want)
		assert.NotContains(t, err.Error(), "hidden")
	}
}

func TestALaunchPrintsNoSecret(t *testing.T) {
	l := Launch{
		APIKey: "secret-key", Env: map[string]string{"TOKEN": "secret-env"}, Settings: map[string]any{"env": "secret-settings"},
		ExtraArgs: map[string]*string{"x": new("secret-arg")}, SystemPrompt: "secret-prompt", Marker: "m",
	}
	type holder struct{ L Launch }
	var out []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		out = append(out, fmt.Sprintf(verb, l), fmt.Sprintf(verb, &l), fmt.Sprintf(verb, holder{l}), fmt.Sprintf(verb, []Launch{l}))
	}
	j, err := json.Marshal(map[string]any{"launch": l, "ptr": &l})
	require.NoError(t, err)
	out = append(out, l.String(), l.GoString(), string(j))
	for _, s := range out {
		assert.NotContains(t, s, "secret")
		assert.NotContains(t, s, fmt.Sprintf("%x", "secret"))
	}
	assert.Equal(t, `Launch{path: "claude", marker: "m", env: ["TOKEN"], api_key: [redacted]}`, l.String())
}
