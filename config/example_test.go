package config_test

import (
	"fmt"

	"github.com/understudy-run/understudy/config"
)

func ExampleParse() {
	const text = `
version: 1
defaults:
  permission_mode: dont_ask
  api_key: ${env:ANTHROPIC_API_KEY}
sessions:
  reviewer:
    model: sonnet
    allowed_tools: [Read, Grep]
    turn_timeout: 10m
  writer:
    permission_mode: accept_edits
`
	lookup := map[string]string{"ANTHROPIC_API_KEY": "test-key"}
	c, err := config.Parse("/etc/understudy.yaml", []byte(text), func(name string) (string, bool) {
		value, ok := lookup[name]
		return value, ok
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.DataDir, c.Supervisor.Intensity())
	for _, s := range c.Sessions {
		fmt.Println(s.Name, s.Options.PermissionMode, s.Options.AllowedTools, s.Options.TurnTimeout, s.Options.APIKey)
	}
	// Output:
	// /etc/data {3 5s}
	// reviewer dontAsk [Read Grep] 10m0s [redacted]
	// writer acceptEdits [] 0s [redacted]
}

func ExampleDiagnostics() {
	const text = `version: 1
sessions:
  reviewer:
    max_turn: 10
    restart: always
    turn_timeout: 30
`
	_, err := config.Parse("/etc/understudy.yaml", []byte(text), nil)
	fmt.Println(err)
	// Output:
	// /etc/understudy.yaml:4:5: sessions.reviewer.max_turn: unknown key (got "max_turn"); did you mean max_turns?
	// /etc/understudy.yaml:5:14: sessions.reviewer.restart: expected permanent, transient or temporary (got "always")
	// /etc/understudy.yaml:6:19: sessions.reviewer.turn_timeout: expected a duration such as 5s or 1m30s (got "30"); for seconds, write 30s
}

func ExampleConfig_ParseSession() {
	c, err := config.Parse("/etc/understudy.yaml", []byte("defaults: {model: sonnet, max_turns: 10}"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	o, err := c.ParseSession("helper", []string{"max_turns=3", "allowed_tools=[Read, 'Bash(git log:*)']"})
	fmt.Println(o.Model, o.MaxTurns, o.AllowedTools, err)
	// Output: sonnet 3 [Read Bash(git log:*)] <nil>
}
