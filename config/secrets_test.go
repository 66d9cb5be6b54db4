package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A secret is planted in every place where one can be, beside every kind of mistake: it must not be seen.
func TestSecretsAreNotShown(t *testing.T) {
	const secret = "hunter2.with_all-kinds"
	for _, text := range []string{
		// from the environment, where the value does not fit
		"version: ${env:S}", "data_dir: ~${env:S}", "supervisor: {max_seconds: \"${env:S}\", strategy: \"${env:S}\", backoff: {initial: \"${env:S}\"}}",
		"defaults: {permission_mode: \"${env:S}\", restart: \"${env:S}\", shutdown: \"${env:S}\", cwd: \"${env:S}\", add_dir: [\"${env:S}\"]}",
		"defaults: {no_session_persistence: \"${env:S}\", max_budget_usd: \"${env:S}\", turn_timeout: \"${env:S}\", settings: \"${env:S}\"}",
		"defaults: {settings: \"{${env:S}\", setting_sources: [\"${env:S}\"], allowed_tools: [\"(${env:S}\"], inherit_env: [\"=${env:S}\"], sandbox: {enabled: \"${env:S}\"}}",
		"defaults:\n  allowed_tools: [\"${env:S}\"]\n  disallowed_tools: [\"${env:S}\"]",
		"audit: {mode: \"${env:S}\"}\ndebug: {listen: \"${env:S}\"}",
		"defaults: {sandbox: \"${env:S}\", env: \"${env:S}\", tools: \"${env:S}\"}",
		// literal, beside a mistake
		"defaults:\n  api_key: %s\n  modle: x", "defaults:\n  modle: x\n  api_key: %s", "defaults: {api_key: %s, modle: x}", "defaults: {modle: x, api_key: \"%s\"}",
		"defaults:\n  api_key: [%s]", "defaults:\n  api_key: {%s: x}", "defaults:\n  api_key:\n    - %s\n  modle: x", "defaults:\n  api_key: |\n    %s\n  modle: x",
		"defaults:\n  api_key: &key %s\n  modle: x", "defaults:\n  api_key: \"\n    %s\"\n  modle: x", "defaults:\n  api_key:\n    %s\n  modle: x",
		"defaults:\n  api_key: %s\n\tmodel: x", "defaults:\n  api_key: \"%s\n  model: x", "defaults:\n  api_key: %s: x", "defaults: {api_key: %s",
		"defaults: {api_key: %s ${env:UNSET}}", "defaults:\n  api_key: %s ${env:UNSET}", "defaults:\n  api_key: ${env:UNSET:-%s", "defaults:\n  api_key: ${env:UNSET:-%s}\n  modle: x",
		"defaults:\n  api_key: ${file:%s}", "defaults:\n  apikey: %s", "defaults:\n  apiKey: %s", "debug:\n  token: %s\n  lisen: x", "debug: {token: [%s]}",
		"defaults:\n  env:\n    DB_PASSWORD: %s\n    X: 5", "defaults:\n  env: {GITHUB_TOKEN: %s, X: 5}", "debug:\n  token: \"%s\\0\"",
		"defaults:\n  env:\n    AWS_SECRET_ACCESS_KEY: %s\n  modle: x", "defaults:\n  env:\n    URL: https://me:%s@example.com\n  modle: x",
		"defaults:\n  env:\n    my.token: \"%s\\0\"",
		"pools: {a: {template: \"${env:S}\", min: \"${env:S}\", idle_timeout: \"${env:S}\"}}\ntemplates: {t: {permission_mode: \"${env:S}\"}}",
		"supervisors: {a: {strategy: \"${env:S}\", backoff: {max: \"${env:S}\"}, sessions: {b: {shutdown: \"${env:S}\"}}}}",
		"supervisors:\n  a:\n    sessions:\n      b:\n        api_key: %s\n        modle: x", "pools: {a: {options: {api_key: %s, modle: x}}}",
		"pools:\n  a:\n    options:\n      env:\n        X_TOKEN: %s\n    template: y\n", "templates: {a: {env: {TOKEN: [%s]}}}",
		"sessions:\n  a:\n    api_key: %s\n    api_key: %s", "version: 1\nsessions:\n  - api_key: %s\n",
	} {
		if n := strings.Count(text, "%s"); n > 0 {
			text = fmt.Sprintf(text, []any{secret, secret}[:n]...)
		}
		_, err := parseFile("/etc/x.yaml", []byte(text), machine("S="+secret, ""))
		require.Error(t, err, text)
		ds := err.(Diagnostics)
		for _, shown := range []string{ds.Error(), ds.Render(false), ds.Render(true), fmt.Sprintf("%+v", ds), fmt.Sprintf("%v", []Diagnostic(ds))} {
			assert.NotContains(t, shown, "hunter2", text)
		}
	}
	c := mustParse(t, "defaults: {api_key: "+secret+"}\ndebug: {token: "+secret+"}")
	for _, pair := range []string{"api_key=[" + secret + "], x", "apikey=" + secret, "api_key=\"" + secret, "env={TOKEN: " + secret, "api_key=" + secret + "\x00"} {
		_, err := c.ParseSession("x", []string{pair})
		if err != nil {
			assert.NotContains(t, err.(Diagnostics).Error()+err.(Diagnostics).Render(false), "hunter2", pair)
		}
	}
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", c, c, c), "hunter2")
}

func TestMaskLine(t *testing.T) {
	for line, want := range map[string]string{
		"model: sonnet": "model: sonnet", "  token: ${env:T} # x": "  token: ${env:T} # x", "{token: '${env:T}', x: y}": "{token: '${env:T}', x: y}",
		"token: abc": "token: [redacted]", "{token: abc, x: y}": "{token: [redacted]", "token:": "token:", "token: |": "token: |",
		"x: sk-ant-0123456789": "x: [redacted]", "max_turns: 5 # token: a": "max_turns: 5 # token: [redacted]", "monkey: banana": "monkey: banana",
		"API_KEY=abc": "API_KEY=[redacted]", "key: abc": "key: [redacted]", "keys: abc": "keys: abc",
	} {
		got, at := maskLine(line)
		assert.Equal(t, want, got, line)
		assert.Equal(t, got != line, at >= 0, line)
	}
}

// What is in a file must not reach the terminal as a command to it.
func TestRenderIsPlainText(t *testing.T) {
	_, err := Parse("/x\x1b[2J", []byte("\"\\e[31m\\u202Ex\": \"\\e]0;x\\a\"\ndata_dir: [\"\u202e\u0085\"]\ndefaults: {model: \""+strings.Repeat("é", 300)+"\", modle: x}\n"), nil)
	ds := err.(Diagnostics)
	require.Len(t, ds, 3)
	out := ds.Render(false)
	for _, r := range out + ds.Error() {
		assert.False(t, r < ' ' && r != '\n' || r == 0x85 || r == 0x202e, "%U", r)
	}
	for line := range strings.Lines(out) {
		assert.Less(t, len([]rune(line)), 200)
	}
	assert.Contains(t, out, "modle: x", "a long line is cut around the place")
	assert.Contains(t, ds.Render(true), "\x1b[1;31m")
}
