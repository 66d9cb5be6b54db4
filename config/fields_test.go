package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/keyproxy"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// optionRows are a value of each option, as it is written and as it arrives.
var optionRows = map[string]struct {
	yaml string
	want any
}{
	"model":                         {"claude-x", "claude-x"},
	"system_prompt":                 {"|\n      You review.\n      You do: not edit.", "You review.\nYou do: not edit.\n"},
	"append_system_prompt":          {`"a\tb # c"`, "a\tb # c"},
	"cwd":                           {"/srv", "/srv"},
	"exclusive_cwd":                 {"true", true},
	"add_dir":                       {"[/a, b]", []string{"/a", "/etc/b"}},
	"permission_mode":               {"accept_edits", protocol.ModeAcceptEdits},
	"allowed_tools":                 {"[Read, 'Bash(git log:*)']", []string{"Read", "Bash(git log:*)"}},
	"disallowed_tools":              {"\n      - Write\n      - Bash(rm:*)", []string{"Write", "Bash(rm:*)"}},
	"tools":                         {"[]", []string{}},
	"fallback_model":                {"'sonnet,haiku'", "sonnet,haiku"},
	"append_subagent_system_prompt": {"x", "x"},
	"exclude_dynamic_sections":      {"true", true},
	"system_prompt_snapshot":        {"false", new(false)},
	"plan_mode_instructions":        {"x", "x"},
	"thinking":                      {"{type: enabled, budget_tokens: 4000, display: omitted}", session.Thinking{Type: "enabled", BudgetTokens: 4000, Display: "omitted"}},
	"max_thinking_tokens":           {"0", new(0)},
	"effort":                        {"xhigh", session.EffortXHigh},
	"betas":                         {"[context-1m-2025-08-07]", []string{"context-1m-2025-08-07"}},
	"output_format":                 {"{type: json_schema, schema: {type: object, required: [a]}}", session.OutputFormat{Type: "json_schema", Schema: map[string]any{"type": "object", "required": []any{"a"}}}},
	"agents": {
		"{r: {description: d, prompt: p, tools: [Read], permission_mode: plan, max_turns: 3, effort: low, mcp_servers: [x], omit_claude_md: true}}",
		map[string]session.Agent{"r": {Description: "d", Prompt: "p", Tools: []string{"Read"}, PermissionMode: protocol.ModePlan, MaxTurns: 3, Effort: "low", MCPServers: []string{"x"}, OmitClaudeMD: true}},
	},
	"agent":   {"r", "r"},
	"skills":  {"[all]", []string{"all"}},
	"plugins": {"[{path: /a, skip_mcp_discovery: true}, {path: b}]", []session.Plugin{{Path: "/a", SkipMCPDiscovery: true}, {Path: "/etc/b"}}},
	"mcp_servers": {
		"{a: {command: x, args: [y], env: {T: s}}, b: {type: http, url: 'http://h/p', headers: {Authorization: 'Bearer t'}, timeout: 2s, always_load: true}}",
		map[string]session.MCPServer{
			"a": {Command: "x", Args: []string{"y"}, Env: map[string]session.Secret{"T": "s"}},
			"b": {Type: "http", URL: "http://h/p", Headers: map[string]session.Secret{"Authorization": "Bearer t"}, Timeout: 2 * time.Second, AlwaysLoad: new(true)},
		},
	},
	"mcp_config":                   {"m.json", "/etc/m.json"},
	"strict_mcp_config":            {"false", new(false)},
	"project_config_root":          {"/a", "/a"},
	"worktree":                     {"true", session.Toggle{On: true}},
	"file":                         {"['file_1:a.txt']", []string{"file_1:a.txt"}},
	"enable_file_checkpointing":    {"true", true},
	"permission_prompts":           {"none", session.PromptsNone},
	"permission_prompt_tool":       {"mcp__a__b", "mcp__a__b"},
	"dangerously_skip_permissions": {"true", true},
	"tool_aliases":                 {"{Bash: mcp__box__bash}", map[string]string{"Bash": "mcp__box__bash"}},
	"tool_config":                  {"{ask_user_question: {preview_format: html}}", toolConfig("html")},
	"disable_slash_commands":       {"true", true},
	"task_budget":                  {"20000", 20000},
	"session_id":                   {"f47ac10b-58cc-4372-a567-0e02b2c3d479", "f47ac10b-58cc-4372-a567-0e02b2c3d479"},
	"resume":                       {"my talk", "my talk"},
	"continue":                     {"true", true},
	"from_pr":                      {"'12'", "12"},
	"fork_session":                 {"true", true},
	"resume_session_at":            {"x", "x"},
	"resume_drops_turn":            {"x", "x"},
	"title":                        {"x", "x"},
	"managed_settings":             {"{permissions: {deny: [Bash]}}", map[string]any{"permissions": map[string]any{"deny": []any{"Bash"}}}},
	"include_hook_events":          {"true", true},
	"forward_subagent_text":        {"true", true},
	"replay_user_messages":         {"true", true},
	"prompt_suggestions":           {"true", true},
	"agent_progress_summaries":     {"true", true},
	"per_task_stop_affordance":     {"true", true},
	"verbatim_prompts":             {"true", true},
	"debug":                        {"'hooks,mcp'", session.Toggle{On: true, Value: "hooks,mcp"}},
	"debug_file":                   {"d.log", "/etc/d.log"},
	"max_line_bytes":               {"1048576", 1048576},
	"max_turns":                    {"10", 10},
	"max_budget_usd":               {"1.50", 1.5},
	"max_subagents":                {"4", 4},
	"max_identical_tool_calls":     {"10", 10},
	"max_tool_cycles":              {"10", 10},
	"no_session_persistence":       {"true", true},
	"sandbox": {
		"{enabled: true, network: {allowedDomains: [go.dev], strictAllowlist: true, httpProxyPort: 80}, filesystem: {denyRead: [~/.ssh]}, " +
			"credentials: {envVars: [{name: A, mode: deny}]}, excludedCommands: [], ignoreViolations: {'*': [/x]}, ripgrep: {command: rg}}",
		session.Sandbox{
			Enabled: new(true), Network: session.SandboxNetwork{AllowedDomains: []string{"go.dev"}, StrictAllowlist: new(true), HTTPProxyPort: 80},
			Filesystem:       session.SandboxFilesystem{DenyRead: []string{"~/.ssh"}},
			Credentials:      session.SandboxCredentials{EnvVars: []session.SandboxCredentialVariable{{Name: "A", Mode: "deny"}}},
			ExcludedCommands: []string{}, IgnoreViolations: map[string][]string{"*": {"/x"}}, Ripgrep: &session.SandboxRipgrep{Command: "rg"},
		},
	},
	"api_key_file":       {"key", "/etc/key"},
	"api_key_credential": {"anthropic", "anthropic"},
	"api_key_delivery":   {"proxy", session.DeliverProxy},
	"api_proxy": {
		"{upstream: 'https://x.example', models: [claude-*], requests_per_minute: 5, tokens_per_minute: 6, max_budget_usd: 1.5, prices: {'*': {input: 1, output: 2}}}",
		session.APIProxy{Upstream: "https://x.example", Limits: keyproxy.Limits{
			Models: []string{"claude-*"}, RequestsPerMinute: 5, TokensPerMinute: 6, MaxBudgetUSD: 1.5, Prices: map[string]keyproxy.Price{"*": {Input: 1, Output: 2}},
		}},
	},
	"profile":                            {"review", session.ProfileReview},
	"trust_workspace":                    {"true", true},
	"claude_md":                          {"[CLAUDE.md]", []string{"CLAUDE.md"}},
	"allow_dangerously_skip_permissions": {"true", true},
	"confine_files":                      {"false", new(false)},
	"roots":                              {"[/srv]", []string{"/srv"}},
	"isolate_home":                       {"true", new(true)},
	"unset_env":                          {"[TERM]", []string{"TERM"}},
	"sensitive":                          {"true", true},
	"settings":                           {"{permissions: {deny: [Read]}}", session.Settings{Values: map[string]any{"permissions": map[string]any{"deny": []any{"Read"}}}}},
	"setting_sources":                    {"[user]", []string{"user"}},
	"env":                                {"{LANG: C.UTF-8, PORT: '8080', EMPTY: ''}", map[string]string{"LANG": "C.UTF-8", "PORT": "8080", "EMPTY": ""}},
	"inherit_env":                        {"[LC_*, TZ]", []string{"LC_*", "TZ"}},
	"api_key":                            {"sk-test", session.Secret("sk-test")},
	"restart":                            {"transient", supervisor.Transient},
	"shutdown":                           {"brutal_kill", supervisor.BrutalKill},
	"include_partial_messages":           {"true", true},
	"extra_args": {
		"{debug: , verbose: true, --effort: high, -max-thinking-tokens: 1000, price: 1.50, text: 'true'}",
		map[string]*string{"debug": nil, "verbose": nil, "effort": new("high"), "max-thinking-tokens": new("1000"), "price": new("1.50"), "text": new("true")},
	},
	"start_timeout":      {"1m30s", 90 * time.Second},
	"stall_timeout":      {"-1s", -time.Second},
	"turn_timeout":       {"500ms", 500 * time.Millisecond},
	"control_timeout":    {"'10s'", 10 * time.Second},
	"permission_timeout": {"1h", time.Hour},
	"containment": {
		"{require: [pid_namespace], without: [cgroup]}",
		process.Containment{Require: []process.Layer{process.LayerPIDNamespace}, Without: []process.Layer{process.LayerCgroup}},
	},
	"launcher": {
		"{kind: docker, image: claude, network: bridge, user: '1000', mounts: [/data], args: [--gpus, all]}",
		process.Launcher{Kind: process.LaunchDocker, Image: "claude", Network: "bridge", User: "1000", Mounts: []string{"/data"}, Args: []string{"--gpus", "all"}},
	},
	"limits":            {"{memory: 1.5GiB, processes: 200, cpus: 1.5}", process.Limits{Memory: 1536 << 20, Processes: 200, CPUs: 1.5}},
	"redeliver":         {"true", true},
	"interrupt_grace":   {"3s", 3 * time.Second},
	"idle_timeout":      {"15m", 15 * time.Minute},
	"resume_attempts":   {"4", 4},
	"on_resume_failure": {"fresh", session.ResumeFresh},
	"budgets":           {"[team, day]", []string{"team", "day"}},
	"max_queue":         {"7", 7},
	"max_unread_bytes":  {"1048576", int64(1048576)},
}

// besideRows are what some options are nothing without.
var besideRows = map[string]string{
	"strict_mcp_config": "trust_workspace: true",
	"file":              "env: {CLAUDE_CODE_SESSION_ACCESS_TOKEN: t}", "fork_session": "continue: true",
	"dangerously_skip_permissions": "allow_dangerously_skip_permissions: true\n    sandbox: {enabled: true}",
	"resume_session_at":            "resume: x", "resume_drops_turn": "resume: x\n    resume_session_at: y",
}

// Every field of a session that has a json name can be written in a file, and arrives.
func TestEveryOptionOfASession(t *testing.T) {
	options := reflect.TypeFor[session.Options]()
	seen := map[string]bool{}
	for i := range options.NumField() {
		f := options.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if key == "-" {
			assert.Contains(t, []reflect.Kind{reflect.Func, reflect.Struct, reflect.Slice}, f.Type.Kind(), "%s has no json name", f.Name)
			continue
		}
		require.NotEmpty(t, key, "%s has no json name and no -", f.Name)
		r, ok := optionRows[key]
		require.True(t, ok, "no row for %s", key)
		seen[key] = true
		for _, place := range []string{
			"defaults:\n    %s: %s\n", "sessions:\n  one:\n    %s: %s\n", "supervisors:\n g:\n  sessions:\n   one:\n    %s: %s\n",
			"templates:\n one:\n    %s: %s\n", "pools:\n one:\n  options:\n    %s: %s\n", "pools: {one: {template: t}}\ntemplates:\n t:\n    %s: %s\n",
		} {
			around := directories()
			if key == "settings" || key == "mcp_config" {
				around = machine("", "/etc/m.json")
			}
			yaml := r.yaml
			if besideRows[key] != "" {
				yaml += "\n    " + besideRows[key]
			}
			c, err := parseFile("/etc/understudy.yaml", fmt.Appendf(nil, "budgets: {team: {limit_usd: 1}, day: {limit_usd: 1}}\n"+place, key, yaml), around)
			require.NoError(t, err, key)
			got := c.Defaults
			switch all := c.AllSessions(); {
			case len(all) > 0:
				got = all[len(all)-1].Options
			case len(c.Pools) > 0:
				got = c.Pools[0].Options
			case len(c.Templates) > 0:
				got = c.Templates[0].Options
			}
			v := reflect.ValueOf(&got).Elem()
			assert.Equal(t, r.want, v.Field(i).Interface(), key)
			if besideRows[key] == "" {
				v.Field(i).SetZero()
				assert.Zero(t, got, "%s fills its own field alone", key)
			}
		}
	}
	assert.Len(t, optionRows, len(seen), "a row for a key that is none")

	keys := SessionKeys()
	assert.Len(t, keys, len(seen))
	assert.Equal(t, "model", keys[0])
	keys[0] = "changed"
	assert.Equal(t, "model", SessionKeys()[0])
}

// Every key of supervisors, groups and pools can be written, and arrives.
func TestEveryKeyOfSupervisorsAndPools(t *testing.T) {
	rows := map[reflect.Type]map[string]struct {
		yaml string
		want any
	}{
		groupType: {
			"strategy":     {"rest_for_one", supervisor.RestForOne},
			"max_restarts": {"0", 0},
			"max_seconds":  {"60", 60},
			"backoff":      {"{initial: 1s, max: 2s, factor: 3, jitter: 0, reset_after: 4s}", supervisor.Backoff{Initial: time.Second, Max: 2 * time.Second, Factor: 3, ResetAfter: 4 * time.Second}},
			"sessions":     {"{b: , a: {model: x}}", []Session{{Name: "b"}, {Name: "a", Options: session.Options{Model: "x"}}}},
			"supervisors":  {"{b: , a: {max_restarts: 9}}", []Group{{Name: "b", Supervisor: defaultSupervisor()}, {Name: "a", Supervisor: changed(func(s *Supervisor) { s.MaxRestarts = 9 })}}},
		},
		supervisorType: {
			"strategy":     {"one_for_all", supervisor.OneForAll},
			"max_restarts": {"7", 7},
			"max_seconds":  {"31536000", 31536000},
			"backoff":      {"{max: 10s}", supervisor.Backoff{Initial: 200 * time.Millisecond, Max: 10 * time.Second, Jitter: 0.2}},
		},
		poolType: {
			"template":     {"t", "t"},
			"options":      {"{model: x}", session.Options{Model: "x"}},
			"min":          {"3", 3},
			"max":          {"1000", 1000},
			"max_queue":    {"16", 16},
			"idle_timeout": {"90s", 90 * time.Second},
		},
	}
	for typ, keys := range rows {
		for _, key := range keysOf(typ) {
			r, ok := keys[key]
			require.True(t, ok, "no row for %s of %v", key, typ)
			var got reflect.Value
			switch typ {
			case groupType:
				got = reflect.ValueOf(mustParse(t, fmt.Sprintf("supervisors: {g: {%s: %s}}", key, r.yaml)).Supervisors[0])
			case supervisorType:
				got = reflect.ValueOf(mustParse(t, fmt.Sprintf("supervisor: {%s: %s}", key, r.yaml)).Supervisor)
			case poolType:
				got = reflect.ValueOf(mustParse(t, fmt.Sprintf("templates: {t: }\npools: {p: {%s: %s}}", key, r.yaml)).Pools[0])
			}
			index, _ := fieldOf(typ, key)
			assert.Equal(t, r.want, got.FieldByIndex(index).Interface(), "%s of %v", key, typ)
		}
		assert.Len(t, keys, len(keysOf(typ)), "a row for a key that is none")
	}
}

func toolConfig(format string) (c session.ToolConfig) {
	c.AskUserQuestion.PreviewFormat = format
	return c
}

func changed(change func(*Supervisor)) Supervisor {
	s := defaultSupervisor()
	change(&s)
	return s
}

func TestSettings(t *testing.T) {
	around := machine(`JSON={"a": 1}`, "/etc/s.json")
	for written, want := range map[string]session.Settings{
		"s.json":                      {Path: "/etc/s.json"},
		"/etc/s.json":                 {Path: "/etc/s.json"},
		`'{"a": {"b": "c"}}'`:         {Values: map[string]any{"a": map[string]any{"b": "c"}}},
		"{a: true, b: '${env:JSON}'}": {Values: map[string]any{"a": true, "b": `{"a": 1}`}},
		"${env:JSON}":                 {Values: map[string]any{"a": 1.0}},
		"{}":                          {Values: map[string]any{}},
	} {
		c, err := parseFile("/etc/x.yaml", []byte("defaults:\n  settings: "+written), around)
		require.NoError(t, err, written)
		assert.Equal(t, want, c.Defaults.Settings, written)
	}
}

// The keys of secrets are known to the masking of excerpts, which goes by names.
func TestSecretsAreKnownByTheirKeys(t *testing.T) {
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		for f := range typ.Fields() {
			if f.Type == reflect.TypeFor[session.Secret]() {
				key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				assert.Regexp(t, secretKey, key)
			} else if f.Type.Kind() == reflect.Struct && f.IsExported() {
				visit(f.Type)
			}
		}
	}
	visit(reflect.TypeFor[Config]())
}

// Words that are suggested are words that are taken.
func TestSuggestedWords(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[protocol.PermissionMode](), reflect.TypeFor[session.Profile](), reflect.TypeFor[session.APIKeyDelivery](), reflect.TypeFor[supervisor.Restart](), shutdownType, reflect.TypeFor[session.Effort](), reflect.TypeFor[session.PermissionPrompts]()} {
		words := wordsOf(typ)
		require.NotEmpty(t, words)
		for _, w := range words {
			w = strings.TrimPrefix(w, "a duration such as ")
			d := &decoder{report: &report{}, surroundings: directories(), budget: &budget{left: 10}}
			assert.True(t, d.decode("x", &node{kind: scalarNode, text: w, plain: true}, reflect.New(typ).Elem()), "%v %s", typ, w)
		}
	}
}

func TestDiagnosticsAsJSON(t *testing.T) {
	_, err := Parse("/etc/x.yaml", []byte("zoo: 1\n"), nil)
	data, jsonErr := json.Marshal(err)
	require.NoError(t, jsonErr)
	assert.JSONEq(t, `[{"file": "/etc/x.yaml", "line": 1, "col": 1, "path": "zoo", "value": "zoo", "message": "unknown key", "hint": "expected one of: audit, budgets, cli, data_dir, debug, defaults, drain_timeout, ignore, limits, pools, sessions, supervisor, supervisors, templates, version"}]`, string(data))
}
