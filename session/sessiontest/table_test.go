package sessiontest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

func TestDirectives(t *testing.T) {
	tests := map[string][]directive{
		"":                        nil,
		"plain [text] [[ ]]":      nil,
		"[[crash]]":               {{name: "crash"}},
		"[[sleep:1s]][[say: x ]]": {{"sleep", "1s"}, {"say", "x"}},
		"[[[say:x]]]":             {{"say", "x"}},
		"[[say:a [b] c]]":         {{"say", "a [b] c"}},
		"[[say:unclosed":          nil,
		"[[Say:x]] [[say:y]]":     {{"say", "y"}},
		`[[tool:Bash {"command":"[[ -f x ]] && echo '[[say:no]]'"}]] [[hang]]`: {
			{"tool", `Bash {"command":"[[ -f x ]] && echo '[[say:no]]'"}`}, {name: "hang"},
		},
		`[[say:a {b]] c`: {{"say", "a {b"}},
		`[[selfturn:1s {"prompt":"[[tool:Read {}]]"}]]`: {{"selfturn", `1s {"prompt":"[[tool:Read {}]]"}`}},
	}
	for text, want := range tests {
		assert.Equal(t, want, directives(text), text)
	}
}

// Any text can be a prompt, and a script of any text ends.
func TestScriptTakesAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := []string{"[[", "]]", "tool:", "Bash ", "{", "}", `"`, ":", "sleep:", "1s", "loop", "tools:", `{"use":[]}`, "x", "selfturn:", "status:", "529"}
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom(pieces)).Draw(t, "pieces"), "")
		n := rapid.IntRange(0, 5).Draw(t, "n")
		for _, simulated := range []bool{false, true} {
			for _, use := range script(text, n, simulated).tools {
				if !json.Valid(use.input) {
					t.Fatalf("script(%q, %d) uses a tool with input %q", text, n, use.input)
				}
			}
		}
	})
}

func TestScriptInOrder(t *testing.T) {
	const prompt = `[[sleep:1s]] [[tool:Bash {}]] [[sleep:2s]] [[status:529]] [[ask:Read {}]] [[sleep:3s]] [[crash]]`
	first, second, third := script(prompt, 0, true), script(prompt, 1, true), script(prompt, 2, true)
	assert.Equal(t, time.Second, first.delay())
	assert.Equal(t, "Bash", first.tools[0].name)
	assert.Zero(t, first.status)
	assert.Equal(t, 2*time.Second, second.delay())
	assert.Equal(t, 529, second.status)
	assert.True(t, second.tools[0].ask)
	assert.Equal(t, 3*time.Second, third.delay())
	assert.Equal(t, "crash", third.before[1].name)
	assert.Empty(t, third.tools)
}

func TestSelfTurnOnTheRealCLI(t *testing.T) {
	c := script("[[selfturn:1500ms wake up]]", 0, false)
	assert.JSONEq(t, `{"command":"read -t 1.500 < /dev/zero; true","run_in_background":true,"description":"wake up"}`, string(c.tools[0].input))
	assert.Empty(t, script("[[selfturn:1500ms wake up]]", 1, false).tools)
}

func TestPolicy(t *testing.T) {
	rules := func(texts ...string) []rule { return parseRules(texts) }
	bash := func(command string) string {
		data, _ := json.Marshal(map[string]string{"command": command})
		return string(data)
	}
	tests := map[string]struct {
		policy      policy
		tool, input string
		want        string
	}{
		"reads inside":            {policy{}, "Read", `{"file_path":"/repo/a"}`, "allow mode"},
		"reads outside":           {policy{}, "Read", `{"file_path":"/etc/passwd"}`, "deny"},
		"reads in an added dir":   {policy{dirs: []string{"/added"}}, "Read", `{"file_path":"/added/a"}`, "allow mode"},
		"climbs out":              {policy{}, "Read", `{"file_path":"/repo/../etc/passwd"}`, "deny"},
		"harmless command":        {policy{}, "Bash", bash("ls -l | wc -l"), "allow subcommandResults"},
		"redirect":                {policy{}, "Bash", bash("echo x > f"), "deny"},
		"hidden command":          {policy{}, "Bash", bash("echo $(rm x)"), "deny"},
		"asks":                    {policy{promptTool: true}, "Bash", bash("make"), "ask"},
		"prompts none":            {policy{promptsNone: true, promptTool: true}, "Bash", bash("make"), "deny asyncAgent"},
		"dontAsk":                 {policy{mode: "dontAsk", promptTool: true}, "Bash", bash("make"), "deny mode"},
		"allow subcommandResults": {policy{mode: "dontAsk", allowed: rules("Bash(make:*)")}, "Bash", bash("make all"), "allow subcommandResults"},
		"allow rule, word":        {policy{allowed: rules("Bash(make:*)")}, "Bash", bash("makefoo"), "deny"},
		"allow rule, every part":  {policy{allowed: rules("Bash(make:*)")}, "Bash", bash("make && rm x"), "deny"},
		"allow rules, every part": {policy{allowed: rules("Bash(make:*),Bash(rm x)")}, "Bash", bash("make && rm x"), "allow subcommandResults"},
		"glob":                    {policy{allowed: rules("Bash(npm run *)")}, "Bash", bash("npm run test"), "allow subcommandResults"},
		"rule and harmless":       {policy{allowed: rules("Bash(make:*)")}, "Bash", bash("make; ls"), "allow subcommandResults"},
		"bare rule, command":      {policy{allowed: rules("Bash")}, "Bash", bash("ls; make"), "allow rule"},
		"bare rule":               {policy{allowed: rules("Write")}, "Write", `{"file_path":"/etc/x"}`, "allow rule"},
		"path rule":               {policy{allowed: rules("Write(/srv/**)")}, "Write", `{"file_path":"/srv/a/b"}`, "allow rule"},
		"deny wins":               {policy{mode: "bypassPermissions", denied: rules("Bash(rm:*)"), allowed: rules("Bash")}, "Bash", bash("ls; rm x"), "deny subcommandResults"},
		"bypass":                  {policy{mode: "bypassPermissions"}, "Bash", bash("rm x"), "allow mode"},
		"plan, write":             {policy{mode: "plan", allowed: rules("Write")}, "Write", `{"file_path":"/repo/a"}`, "deny mode"},
		"plan, read":              {policy{mode: "plan"}, "Read", `{"file_path":"/repo/a"}`, "allow mode"},
		"plan, command":           {policy{mode: "plan", promptTool: true}, "Bash", bash("touch x"), "deny classifier"},
		"acceptEdits, write":      {policy{mode: "acceptEdits"}, "Write", `{"file_path":"/repo/a"}`, "allow mode"},
		"acceptEdits, outside":    {policy{mode: "acceptEdits"}, "Write", `{"file_path":"/etc/a"}`, "deny"},
		"acceptEdits, touch":      {policy{mode: "acceptEdits"}, "Bash", bash("touch x"), "allow subcommandResults"},
		"acceptEdits, other":      {policy{mode: "acceptEdits"}, "Bash", bash("curl x"), "deny"},
		"quoted operator":         {policy{allowed: rules("Bash(grep:*)")}, "Bash", bash("grep 'a;b' x"), "allow subcommandResults"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.policy.dirs = append(test.policy.dirs, "/repo")
			v := test.policy.decide(test.tool, json.RawMessage(test.input))
			assert.Equal(t, test.want, strings.TrimSpace(v.decision+" "+v.reason))
			assert.Equal(t, v.decision == "deny", v.message != "", "a denial says why")
		})
	}
}

func TestParseRules(t *testing.T) {
	got := parseRules([]string{"Read,Glob Bash(git log:*)", "Bash(echo a, b)", "", "Write(*)"})
	assert.Equal(t, []rule{{tool: "Read"}, {tool: "Glob"}, {"Bash", "git log:*"}, {"Bash", "echo a, b"}, {tool: "Write"}}, got)
}

func TestHookMatcher(t *testing.T) {
	name := func(s string) *string { return &s }
	tests := []struct {
		matcher *string
		tool    string
		want    bool
	}{
		{nil, "Bash", true}, {name(""), "Bash", true}, {name("*"), "Bash", true}, {name("Bash"), "Bash", true},
		{name("bash"), "Bash", false}, {name("Ba.*"), "Bash", true}, {name("Edit|Write"), "Write", true},
		{name("Edit|Write"), "WriteMore", false}, {name("mcp__.*__add"), "mcp__calc__add", true}, {name("("), "Bash", false},
	}
	for _, test := range tests {
		m := hookMatcher{Matcher: test.matcher}
		assert.Equal(t, test.want, m.matches(test.tool), "%v on %s", test.matcher, test.tool)
	}
}

var minimal = []string{"--print", "--verbose", "--input-format=stream-json", "--output-format=stream-json"}

func TestArgumentsRefused(t *testing.T) {
	tests := map[string]string{
		"--nonsense":                   "error: unknown option '--nonsense'",
		"--nonsense=x":                 "error: unknown option '--nonsense'",
		"-z":                           "error: unknown option '-z'",
		"--model":                      "error: option '--model <value>' argument missing",
		"--max-turns=x":                "error: option '--max-turns <turns>' argument 'x' is invalid. must be a number",
		"--max-budget-usd=0":           "error: option '--max-budget-usd <amount>' argument '0' is invalid. --max-budget-usd must be a number greater than 0",
		"--permission-mode=foo":        "error: option '--permission-mode <mode>' argument 'foo' is invalid. Allowed choices are acceptEdits, auto, bypassPermissions, manual, dontAsk, plan.",
		"--thinking=x":                 "error: option '--thinking <mode>' argument 'x' is invalid. Allowed choices are enabled, adaptive, disabled.",
		"--session-id=abc":             "Error: Invalid session ID. Must be a valid UUID.",
		"--setting-sources=foo":        "Error processing --setting-sources: Invalid setting source: foo. Valid options are: user, project, local",
		"--settings=/nowhere/x":        "Error: Settings file not found: /nowhere/x",
		"--initialize-fields=foo":      "error: option '--initialize-fields <names>' argument 'foo' is invalid. This Claude Code does not take \"foo\" in --initialize-fields. Update Claude Code, or send the value by its flag.",
		"--initialize-fields=settings": "Error: --initialize-fields requires --await-initialize and --input-format=stream-json with stdin piped, and cannot be used with --sdk-url or a subcommand.",
		"--output-format=text":         "Error: the simulation speaks --input-format stream-json with --output-format stream-json only",
		"--permission-prompts=some":    "error: option '--permission-prompts <target>' argument 'some' is invalid. Allowed choices are host, none.",
	}
	for arg, want := range tests {
		_, err := parseArguments(append(slices.Clone(minimal), arg))
		assert.EqualError(t, err, want, arg)
	}
	_, err := parseArguments(append(slices.Clone(minimal), "--await-initialize", "--initialize-fields=settings", "--settings={}"))
	assert.EqualError(t, err, "Error: --initialize-fields=settings cannot be used with --settings.")
	_, err = parseArguments(append(slices.Clone(minimal), "--await-initialize", "--managed-settings-in-initialize", "--managed-settings={}"))
	assert.EqualError(t, err, "Error: --managed-settings-in-initialize cannot be used with --managed-settings.")
	_, err = parseArguments([]string{"--print", "--input-format=stream-json", "--output-format=stream-json"})
	assert.EqualError(t, err, "Error: When using --print, --output-format=stream-json requires --verbose")
}

func TestArgumentsAccepted(t *testing.T) {
	inv, err := parseArguments(append(slices.Clone(minimal),
		"--model", "haiku", "--permission-mode=manual", "--allowedTools", "Read", "Bash(ls:*)", "--disallowed-tools=Bash(rm:*)",
		"--tools=Read,Bash", "--add-dir", "/a", "--add-dir=/b", "--setting-sources=", "--strict-mcp-config", "--mcp-config={}",
		"--max-turns=3", "--max-budget-usd=0.5", "--no-session-persistence", "--include-partial-messages", "--effort=silly",
		`--settings={"permissions":{"allow":["Write"],"deny":["Bash(curl:*)"]}}`, "--permission-prompt-tool=stdio",
		"--system-prompt", "", "--append-system-prompt=x", "--thinking=adaptive", "--await-initialize", "--debug",
		"--session-id=aaaaaaaa-0000-4000-8000-000000000001", "--permission-prompts=host"))
	assert.NoError(t, err)
	assert.Equal(t, "haiku", inv.model)
	assert.Equal(t, "default", inv.permissionMode)
	assert.Equal(t, []rule{{tool: "Read"}, {"Bash", "ls:*"}, {tool: "Write"}}, inv.allowed)
	assert.Equal(t, []rule{{"Bash", "rm:*"}, {"Bash", "curl:*"}}, inv.denied)
	assert.Equal(t, []string{"Read", "Bash"}, inv.tools)
	assert.Equal(t, []string{"/a", "/b"}, inv.addDirs)
	assert.Equal(t, 3, inv.maxTurns)
	assert.Equal(t, 0.5, inv.maxBudget)
	assert.False(t, inv.persist)
	assert.True(t, inv.partial && inv.promptTool)
	assert.Len(t, inv.warnings, 1)

	inv, err = parseArguments(append(slices.Clone(minimal), "--tools", ""))
	assert.NoError(t, err)
	assert.Equal(t, []string{}, inv.tools)
	inv, err = parseArguments([]string{"-v"})
	assert.NoError(t, err)
	assert.True(t, inv.version)
}
