package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

func TestParseSession(t *testing.T) {
	c := mustParse(t, "defaults: {model: sonnet, max_turns: 5, env: {A: a}, tools: [Read], max_budget_usd: 1}", "HOME=/home/me", "N=9")
	for _, r := range []struct {
		pairs  []string
		change func(*session.Options)
	}{
		{nil, func(*session.Options) {}},
		{[]string{"model=opus"}, func(o *session.Options) { o.Model = "opus" }},
		{[]string{"model="}, func(o *session.Options) { o.Model = "" }},
		{[]string{"model=null"}, func(o *session.Options) { o.Model = "" }},
		{[]string{`model="null"`}, func(o *session.Options) { o.Model = "null" }},
		{[]string{"model=5"}, func(o *session.Options) { o.Model = "5" }},
		{[]string{"system_prompt=Be kind: [always] # ok, 'yes'\n{and} brief="}, func(o *session.Options) {
			o.SystemPrompt = "Be kind: [always] # ok, 'yes'\n{and} brief="
		}},
		{[]string{`system_prompt="two\nlines"`}, func(o *session.Options) { o.SystemPrompt = "two\nlines" }},
		{[]string{"append_system_prompt=$${x} ${env:N}"}, func(o *session.Options) { o.AppendSystemPrompt = "${x} 9" }},
		{[]string{"max_turns=0"}, func(o *session.Options) { o.MaxTurns = 0 }},
		{[]string{"max_turns=${env:N}", " turn_timeout =1m"}, func(o *session.Options) { o.MaxTurns, o.TurnTimeout = 9, time.Minute }},
		{[]string{"tools=[]"}, func(o *session.Options) { o.Tools = []string{} }},
		{[]string{"tools=null", "max_budget_usd=null"}, func(o *session.Options) { o.Tools, o.MaxBudgetUSD = nil, 0 }},
		{[]string{"allowed_tools=[Read, 'Bash(git:*)']"}, func(o *session.Options) { o.AllowedTools = []string{"Read", "Bash(git:*)"} }},
		{[]string{"env={B: b}"}, func(o *session.Options) { o.Env = map[string]string{"A": "a", "B": "b"} }},
		{[]string{"sandbox={enabled: true}", "no_session_persistence=true"}, func(o *session.Options) {
			o.Sandbox, o.NoSessionPersistence = session.Sandbox{Enabled: new(true)}, true
		}},
		{[]string{"permission_mode=accept_edits", "restart=temporary", "shutdown=2s", "api_key=sk-x", "cwd=work", "add_dir=[~/a]"}, func(o *session.Options) {
			o.PermissionMode, o.Restart, o.Shutdown, o.APIKey = protocol.ModeAcceptEdits, supervisor.Temporary, supervisor.Within(2*time.Second), "sk-x"
			o.CWD, o.AddDir = "/etc/work", []string{"/home/me/a"}
		}},
		{[]string{`settings={"a": 1}`, "extra_args={debug: }"}, func(o *session.Options) {
			o.Settings, o.ExtraArgs = session.Settings{Values: map[string]any{"a": 1.0}}, map[string]*string{"debug": nil}
		}},
	} {
		want := session.Options{Model: "sonnet", MaxTurns: 5, Env: map[string]string{"A": "a"}, Tools: []string{"Read"}, MaxBudgetUSD: 1}
		r.change(&want)
		got, err := c.ParseSession("new", r.pairs)
		require.NoError(t, err, r.pairs)
		assert.Equal(t, want, got, r.pairs)
	}
	assert.Equal(t, map[string]string{"A": "a"}, c.Defaults.Env, "the defaults are not touched")
}

func TestParseSessionMistakes(t *testing.T) {
	c := mustParse(t, "defaults: {allowed_tools: [Read]}")
	_, err := c.ParseSession("a b", []string{
		"modle=x", "max_turns=many", "tools=", "env={B: c", "allowed_tools=[Read, Read Grep]", "turn_timeout=5", "model", "max_turns=3",
		"disallowed_tools=[Read]", "restart=permanant", "=x", "no_session_persistence=yes", "model=a\x1bb", "settings={x", "permission_mode=${env:M}",
	})
	assert.EqualError(t, err, `spawn: invalid name of a session (got "a b"); up to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit
-o #1: modle: unknown key (got "modle"); did you mean model?
-o #2: max_turns: expected a whole number (got "many")
-o #3: tools: no value after =; null takes back what the defaults say, [] is the empty list
-o #4: env: not valid YAML: could not find flow mapping end token '}'
-o #5: allowed_tools[1]: expected one tool or rule (got "Read Grep"); write one rule an entry; commas and spaces go inside of parentheses only
-o #6: turn_timeout: expected a duration such as 5s or 1m30s (got "5"); for seconds, write 5s
-o #7: expected key=value (got "model"); such as model=sonnet or 'allowed_tools=[Read, Grep]'
-o #8: max_turns: given twice, first in -o #2; a later value does not add to an earlier one: write a list such as [a, b]
-o #9: disallowed_tools[0]: this tool is both allowed and disallowed (got "Read"); remove it from one of allowed_tools and disallowed_tools
-o #10: restart: expected permanent, transient or temporary (got "permanant"); did you mean permanent?
-o #11: expected key=value (got "=x"); such as model=sonnet or 'allowed_tools=[Read, Grep]'
-o #12: no_session_persistence: expected true or false (got "yes"); did you mean true?
-o #13: model: control character U+001B; in double quotes it can be written as an escape, such as "\x1b"
-o #14: settings: not valid YAML: could not find flow map content
-o #15: permission_mode: environment variable M is not set (got "${env:M}"); set it, or give a default: ${env:M:-default}`)
	_, err = c.ParseSession("x", []string{"env={A: !!str 5}", "add_dir=[*a]"})
	assert.EqualError(t, err, `-o #1: env.A: YAML tags are not supported (got "!!str"); write the value alone; quotes make it text
-o #2: add_dir[0]: no anchor of this name before it (got "*a"); quotes make it text`)
	_, err = c.ParseSession("x", []string{"allowed_tools=[Read, Read Grep]"})
	assert.Contains(t, "\n"+err.(Diagnostics).Render(false), `
-o #1: allowed_tools[1]: expected one tool or rule (got "Read Grep")
       | allowed_tools=[Read, Read Grep]
       |                      ^
`)
}

func TestParseSessionFromATemplate(t *testing.T) {
	c := mustParse(t, "defaults: {model: sonnet, max_turns: 5}\ntemplates: {worker: {model: haiku, env: {A: a}}, plain: }\npools: {workers: {max: 3}}")
	for _, r := range []struct {
		pairs []string
		want  session.Options
	}{
		{[]string{"template=worker"}, session.Options{Model: "haiku", MaxTurns: 5, Env: map[string]string{"A": "a"}}},
		{[]string{"template=plain"}, session.Options{Model: "sonnet", MaxTurns: 5}},
		{[]string{"template=worker", "max_turns=1", "env={B: b}"}, session.Options{Model: "haiku", MaxTurns: 1, Env: map[string]string{"A": "a", "B": "b"}}},
		{[]string{"template=worker", "model=null"}, session.Options{MaxTurns: 5, Env: map[string]string{"A": "a"}}},
	} {
		got, err := c.ParseSession("new", r.pairs)
		require.NoError(t, err, r.pairs)
		assert.Equal(t, r.want, got, r.pairs)
	}
	of, _ := c.Template("worker")
	assert.Equal(t, map[string]string{"A": "a"}, of.Env, "the template is not touched")

	_, err := c.ParseSession("workers-3", []string{"template=wroker", "max_turn=1", "template=worker"})
	assert.EqualError(t, err, `spawn: the sessions of the pool workers are called workers-1 to workers-3 (got "workers-3"); give this session another name
--template: unknown template (got "wroker"); did you mean worker?
-o #1: max_turn: unknown key (got "max_turn"); did you mean max_turns?
-o #2: a template comes before the options; give it once, with --template NAME`)
	_, err = c.ParseSession("workers-4", []string{"template="})
	assert.EqualError(t, err, `--template: unknown template; expected one of: plain, worker`)
	_, err = mustParse(t, "version: 1").ParseSession("x", []string{"template=worker"})
	assert.EqualError(t, err, `--template: unknown template (got "worker"); there are none: write it under templates`)
}

// A Config that somebody made without Load knows no variables, and its paths start from the working directory.
func TestParseSessionWithoutAFile(t *testing.T) {
	var c Config
	o, err := c.ParseSession("x", []string{"max_turns=1", "cwd=."})
	require.NoError(t, err)
	assert.Equal(t, session.Options{MaxTurns: 1, CWD: "."}, o)
	_, err = c.ParseSession("x", []string{"model=${env:HOME}"})
	assert.ErrorContains(t, err, "environment variable HOME is not set")
}
