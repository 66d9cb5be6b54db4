package session

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRulesThatFit: the CLI says that a rule decided, and not which.
func TestRulesThatFit(t *testing.T) {
	for _, test := range []struct {
		tool  string
		input map[string]any
		rules []string
		want  []string
	}{
		{"Bash", map[string]any{"command": "git status"}, []string{"Bash(git:*)", "Bash(go test:*)", "Read"}, []string{"Bash(git:*)"}},
		{"Bash", map[string]any{"command": "git"}, []string{"Bash(git:*)"}, []string{"Bash(git:*)"}},
		{"Bash", map[string]any{"command": "gitk"}, []string{"Bash(git:*)", "Bash(gitk)"}, []string{"Bash(gitk)"}},
		{"Bash", map[string]any{"command": "git status && go test ./..."}, []string{"Bash(git:*)", "Bash(go test:*)", "Bash(rm:*)"}, []string{"Bash(git:*)", "Bash(go test:*)"}},
		{"Bash", map[string]any{"command": "echo $(rm x)"}, []string{"Bash(curl:*)", "Bash(rm:*)"}, []string{"Bash(rm:*)"}},
		{"Bash", map[string]any{"command": "npm run build"}, []string{"Bash(npm run *)", "Bash(npm * build)", "Bash(npm test *)"}, []string{"Bash(npm run *)", "Bash(npm * build)"}},
		{"Bash", map[string]any{"command": "npm test"}, []string{"Bash(npm test *)", "Bash(npm run *)"}, []string{"Bash(npm test *)"}},
		{"Bash", map[string]any{"command": "ls"}, []string{"Bash", "Bash(*)", "Bash(ls)"}, []string{"Bash", "Bash(*)", "Bash(ls)"}},
		{"Bash", map[string]any{"command": "timeout 5 rm x"}, []string{"Bash(rm:*)", "Bash(curl:*)", "Read"}, []string{"Bash(rm:*)", "Bash(curl:*)"}}, // none by its text
		{"Read", map[string]any{"file_path": "/repo/src/a.go"}, []string{"Read(src/**)", "Read(/src/**)", "Read(doc/**)", "Read(//repo/**)", "Read(*.go)"},
			[]string{"Read(src/**)", "Read(/src/**)", "Read(//repo/**)", "Read(*.go)"}},
		{"Read", map[string]any{"file_path": "/home/me/.ssh/id"}, []string{"Read(~/.ssh/**)", "Read(~/.aws/**)"}, []string{"Read(~/.ssh/**)"}},
		{"Read", map[string]any{"file_path": "src/a.go"}, []string{"Read(src/a.go)", "Read(src/b.go)"}, []string{"Read(src/a.go)"}},
		{"Read", map[string]any{"file_path": "/repo/deep/secret/x"}, []string{"Read(secret)", "Read(other)"}, []string{"Read(secret)"}},
		{"Grep", map[string]any{"path": "/repo/src"}, []string{"Read(src/**)", "Read(/src)", "Grep"}, []string{"Read(/src)", "Grep"}},
		{"Write", map[string]any{"file_path": "/repo/src/a"}, []string{"Edit", "Edit(src/**)", "Write(src/**)", "Write(*)"}, []string{"Edit(src/**)", "Write(*)"}},
		{"NotebookEdit", map[string]any{"notebook_path": "/repo/n.ipynb"}, []string{"Edit(*.ipynb)", "NotebookEdit"}, []string{"Edit(*.ipynb)", "NotebookEdit"}},
		{"Agent", map[string]any{}, []string{"Task", "Bash"}, []string{"Task"}},
		{"Task", map[string]any{}, []string{"Agent"}, []string{"Agent"}},
		{"mcp__hub__get", map[string]any{}, []string{"mcp__hub", "mcp__hub__*", "mcp__hub__get", "mcp__hub__g*", "mcp__hub__put", "mcp__other"},
			[]string{"mcp__hub", "mcp__hub__*", "mcp__hub__get", "mcp__hub__g*"}},
		{"WebFetch", map[string]any{"url": "https://pkg.go.dev/x"}, []string{"WebFetch(domain:*.go.dev)", "WebFetch(domain:pkg.go.dev)", "WebFetch(domain:go.dev)"},
			[]string{"WebFetch(domain:*.go.dev)", "WebFetch(domain:pkg.go.dev)"}},
		{"WebSearch", map[string]any{"query": "go"}, []string{"WebSearch(go)", "WebSearch(rust)"}, []string{"WebSearch(go)"}},
		{"Bash", map[string]any{"command": "ls"}, []string{"Read", "not (a rule"}, nil},
		{"Bash", map[string]any{"command": 7}, []string{"Bash(ls)"}, []string{"Bash(ls)"}},
	} {
		input, err := json.Marshal(test.input)
		require.NoError(t, err)
		got, _ := rulesFor(test.rules, test.tool, input, "/repo")
		assert.Equal(t, test.want, got, "%s %s", test.tool, input)
	}
}

func TestConfiguredRules(t *testing.T) {
	o := Options{AllowedTools: []string{"Read"}, DisallowedTools: []string{"Write"}, Settings: Settings{Values: map[string]any{
		"permissions": map[string]any{"allow": []any{"Grep", 1}, "deny": []string{"Glob"}},
	}}}
	assert.Equal(t, []string{"Read", "Grep"}, o.configuredRules(false))
	assert.Equal(t, []string{"Write", "Glob"}, o.configuredRules(true))
	assert.Empty(t, Options{}.configuredRules(true))
}
