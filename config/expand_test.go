package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

func TestExpand(t *testing.T) {
	lookup := environment("A=a", "EMPTY=", "NESTED=${env:A}", "_x1=y")
	for text, want := range map[string]string{
		"": "", "plain": "plain", "$": "$", "$A": "$A", "a$": "a$", "{env:A}": "{env:A}",
		"${env:A}": "a", "x${env:A}y${env:A}": "xaya", "${env:EMPTY}": "", "${env:_x1}": "y",
		"${env:A:-b}": "a", "${env:NONE:-b}": "b", "${env:EMPTY:-b}": "b", "${env:NONE:-}": "", "${env:NONE:-a:-b c}": "a:-b c", "${env:NONE:-$}": "$",
		"$${env:A}": "${env:A}", "$$": "$$", "$$${env:A}": "$${env:A}", "$${": "${", "a$${b}c": "a${b}c", "$${env:A}${env:A}": "${env:A}a",
		"${env:NESTED}": "${env:A}",
	} {
		got, _, problems := expand(text, lookup)
		assert.Empty(t, problems, text)
		assert.Equal(t, want, got, text)
	}
	for text, n := range map[string]int{
		"${": 1, "${env:A": 1, "a ${env:NONE} ${env:A} ${env:NONE2}": 2, "${file:/x}": 1, "${A}": 1, "${}": 1, "${env:}": 1, "${env:A-b}": 1, "${env:1}": 1,
		"${ENV:A}": 1, "${env: A}": 1, "${env:A}${": 1, "${env:NONE:-${env:A}}": 1, "${env:NONE:-$${}": 1,
	} {
		_, _, problems := expand(text, lookup)
		assert.Len(t, problems, n, text)
	}
}

// A value from the environment is of the type that is wanted.
func TestExpandedTypes(t *testing.T) {
	c := mustParse(t, `
supervisor: {max_restarts: "${env:N}", backoff: {initial: "${env:D}", jitter: "${env:F}"}}
defaults:
  model: ${env:N}
  max_turns: ${env:N}
  max_budget_usd: ${env:F}
  no_session_persistence: ${env:B}
  turn_timeout: ${env:D}
  stall_timeout: -${env:D}
  permission_mode: ${env:M}
  shutdown: ${env:D}
  tools: ["${env:LIST}", "a${env:N}b"]
  sandbox:
    enabled: ${env:B}
    excludedCommands: ["${env:B}"]
  extra_args: {effort: "${env:N}", debug: "${env:B}"}
  env: {N: "${env:N}"}
`, "N=3", "F=0.5", "B=true", "D=5s", "M=accept_edits", "LIST=x")
	o := c.Defaults
	assert.Equal(t, 3, c.Supervisor.MaxRestarts)
	assert.Equal(t, supervisor.Backoff{Initial: 5 * time.Second, Jitter: 0.5}, c.Supervisor.Backoff)
	assert.Equal(t, "3", o.Model)
	assert.Equal(t, 3, o.MaxTurns)
	assert.Equal(t, 0.5, o.MaxBudgetUSD)
	assert.True(t, o.NoSessionPersistence)
	assert.Equal(t, 5*time.Second, o.TurnTimeout)
	assert.Equal(t, -5*time.Second, o.StallTimeout)
	assert.Equal(t, protocol.ModeAcceptEdits, o.PermissionMode)
	assert.Equal(t, supervisor.Within(5*time.Second), o.Shutdown)
	assert.Equal(t, []string{"x", "a3b"}, o.Tools)
	assert.Equal(t, session.Sandbox{Enabled: new(true), ExcludedCommands: []string{"true"}}, o.Sandbox)
	assert.Equal(t, "3", *o.ExtraArgs["effort"])
	assert.Equal(t, "true", *o.ExtraArgs["debug"], "text, for it comes from a variable")
	assert.Equal(t, map[string]string{"N": "3"}, o.Env)
}

// Whatever a variable holds arrives unchanged, in one value, and nothing else changes.
func TestExpansionIsNoStructure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(
			rapid.StringMatching(`[ -~\n\t]{0,40}`),
			rapid.SampledFrom([]string{"a\nmax_turns: 5", "}, max_turns: 5", "${env:V}", "$${", "*a", "&a", "!!str", "null", "~", "true", "5", "[a]", "\"", "'", "# x", "---", ""}),
		).Draw(t, "value")
		c, err := parseFile("/x", []byte("defaults:\n  system_prompt: ${env:V}\n  model: \"<${env:V}>\"\n  env: {V: '${env:V}'}\n"), directories("V="+value))
		require.NoError(t, err)
		require.Equal(t, value, c.Defaults.SystemPrompt)
		require.Equal(t, "<"+value+">", c.Defaults.Model)
		require.Equal(t, map[string]string{"V": value}, c.Defaults.Env)
		require.Zero(t, c.Defaults.MaxTurns)
	})
}
