package understudy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// toolOptions are about what the model can use.
var toolOptions = map[string]optionTest{
	"agents": {func(r *optionRig) {
		r.spec.Agents = map[string]session.Agent{"helper": {Description: "helps", Prompt: "You are the helper.", Model: "haiku", Tools: []string{"Read"}}}
	}, func(r *optionRig) {
		assert.Contains(r, r.init.Agents, "helper")
		r.subagent()
		below := r.call("[[say:from below]]")
		assert.Contains(r, below.System, "You are the helper.")
		assert.Contains(r, below.Model, "haiku")
		assert.NotContains(r, below.Tools, "Bash")
	}},
	"plugins": {func(r *optionRig) {
		server := `{"mcpServers": {"%": {"command": "/does/not/exist"}}}`
		one, two := filepath.Join(r.work, "plugins", "one"), filepath.Join(r.work, "plugins", "two")
		for name, dir := range map[string]string{"one": one, "two": two} {
			r.write(filepath.Join(dir, ".claude-plugin", "plugin.json"), `{"name": "`+name+`", "version": "1.0.0", "description": "a plugin"}`)
			r.write(filepath.Join(dir, "commands", "greet.md"), "---\ndescription: greets\n---\nGreet $ARGUMENTS from "+name+".")
			r.write(filepath.Join(dir, ".mcp.json"), strings.ReplaceAll(server, "%", "of-"+name))
		}
		r.spec.Plugins = []session.Plugin{{Path: one}, {Path: two, SkipMCPDiscovery: true}}
	}, func(r *optionRig) {
		var names []string
		for _, p := range r.init.Plugins {
			names = append(names, p.Name)
		}
		assert.Subset(r, names, []string{"one", "two"})
		assert.Contains(r, r.init.SlashCommands, "one:greet")
		r.mustAsk("/two:greet the world")
		requests := r.api.Requests()
		assert.Contains(r, string(requests[len(requests)-1].Body), "Greet the world from two.")
	}},
	"skills": {func(r *optionRig) {
		r.write(filepath.Join(r.config, "skills", "knitting", "SKILL.md"), "---\nname: knitting\ndescription: How to knit a sock.\n---\nKnit the heel first.")
		r.write(filepath.Join(r.config, "skills", "sewing", "SKILL.md"), "---\nname: sewing\ndescription: How to sew a sail.\n---\nSew.")
		r.spec.Skills = []string{"knitting"}
	}, func(r *optionRig) {
		assert.Contains(r, r.init.Skills, "knitting")
		assert.Contains(r, string(r.call("hello").Body), "How to knit a sock.")
		assert.NotContains(r, string(r.call("hello").Body), "How to sew a sail.")
		answer := r.mustAsk(`[[tool:Skill {"skill":"knitting"}]]`)
		assert.Empty(r, answer.Result.PermissionDenials, "a rule allows it")
	}},
	"mcp_servers": {func(r *optionRig) {
		r.spec.MCPServers = map[string]session.MCPServer{"probe": probeServer("from the environment")}
		r.spec.AllowedTools = append(r.spec.AllowedTools, "mcp__probe", "mcp__filed")
	}, func(r *optionRig) {
		assert.Contains(r, r.use(`mcp__probe__shout {"text":"hello"}`), "HELLO from the environment")
	}},
	"mcp_config": {func(r *optionRig) {
		path := filepath.Join(r.work, "servers.json")
		data, err := json.Marshal(map[string]any{"mcpServers": map[string]any{"filed": map[string]any{
			"command": os.Args[0], "env": map[string]string{probeVariable: "from the file"},
		}}})
		require.NoError(r, err)
		r.write(path, string(data))
		r.spec.MCPConfig = path
	}, func(r *optionRig) {
		assert.Contains(r, r.use(`mcp__filed__shout {"text":"hello"}`), "HELLO from the file")
	}},
	"permission_mode": {func(r *optionRig) { r.spec.PermissionMode = protocol.ModeAcceptEdits }, func(r *optionRig) {
		assert.Equal(r, protocol.ModeAcceptEdits, r.init.PermissionMode)
	}},
	"allowed_tools": {func(r *optionRig) { r.spec.AllowedTools = append(r.spec.AllowedTools, "Bash", "Task") }, func(r *optionRig) {
		assert.Equal(r, "ran", strings.TrimSpace(r.use(`Bash {"command":"echo ran"}`)))
	}},
	"disallowed_tools": {func(r *optionRig) { r.spec.DisallowedTools = []string{"Bash(touch forbidden)", "Edit"} }, func(r *optionRig) {
		r.use(`Bash {"command":"touch forbidden"}`)
		assert.False(r, exists(filepath.Join(r.work, "forbidden")))
		assert.NotContains(r, r.init.Tools, "Edit")
	}},
	"tools": {func(r *optionRig) {
		r.spec.Tools = []string{"Bash", "Read", "Write", "Edit", "Task", "Skill", "AskUserQuestion", "NotebookEdit"}
	}, func(r *optionRig) {
		assert.Contains(r, r.init.Tools, "Write")
		assert.NotContains(r, r.init.Tools, "WebFetch")
	}},
	"tool_aliases": {func(r *optionRig) { r.spec.ToolAliases = map[string]string{"Whisper": "mcp__probe__shout"} }, func(r *optionRig) {
		assert.Contains(r, r.use(`Whisper {"text":"alias"}`), "ALIAS")
	}},
	"tool_config": {func(r *optionRig) { r.spec.ToolConfig.AskUserQuestion.PreviewFormat = "html" }, func(r *optionRig) {
		var body struct {
			Tools []struct{ Name, Description string }
		}
		require.NoError(r, json.Unmarshal(r.call("hello").Body, &body))
		i := slices.IndexFunc(body.Tools, func(tool struct{ Name, Description string }) bool { return tool.Name == "AskUserQuestion" })
		require.GreaterOrEqual(r, i, 0)
		assert.Contains(r, body.Tools[i].Description, "Preview content must be a self-contained HTML fragment")
	}},
}
