package understudy_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// TestWriteAhead has each kind of tool run in each permission mode on the real CLI. The intent is in the log on disk
// when the tool's effect can be seen; and when the log is gone in the middle of a turn, no tool runs any more.
func TestWriteAhead(t *testing.T) {
	t.Parallel()
	for _, mode := range []protocol.PermissionMode{
		protocol.ModeDefault, protocol.ModeAcceptEdits, protocol.ModeBypassPermissions, protocol.ModeDontAsk,
	} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			writeAhead(newRig(t, true), mode)
		})
	}
}

func writeAhead(r *rig, mode protocol.PermissionMode) {
	dir := filepath.Join(r.options.DataDir, "audit")
	r.spec.PermissionMode = mode
	r.spec.AllowedTools = []string{"Bash", "Write", "Task", "Agent", lookTool}
	switch mode {
	case protocol.ModeAcceptEdits:
		r.spec.AllowedTools = []string{"Bash", "Task", "Agent", lookTool} // the mode allows Write
	case protocol.ModeBypassPermissions:
		r.spec.AllowedTools, r.spec.AllowDangerouslySkipPermissions = nil, true // it allows all
		r.spec.Env["IS_SANDBOX"] = "1"
		needSandbox(r) // without one the mode is refused
		r.spec.Sandbox.Enabled = new(true)
	}
	self, err := os.Executable()
	require.NoError(r, err)
	servers, err := json.Marshal(map[string]any{"mcpServers": map[string]any{"look": map[string]any{
		"type": "stdio", "command": self, "env": map[string]string{lookVariable: dir, "GOCOVERDIR": os.Getenv("GOCOVERDIR")},
	}}})
	require.NoError(r, err)
	r.spec.ExtraArgs = map[string]*string{"mcp-config": new(string(servers))}
	r.boot()
	file := func(name string) string { return filepath.Join(r.work, name) }
	content := func(name string) string {
		data, err := os.ReadFile(file(name))
		require.NoError(r, err, "the tool has run")
		return strings.TrimSpace(string(data))
	}

	// Bash looks for the intent that has its own command in it.
	look := func(mark, to string) string {
		return "grep -ac 'tool.intent.*" + mark + "' " + audit.Path(dir) + " > " + file(to)
	}
	r.mustAsk(bash(look("mark-of-bash", "bash")))
	assert.Equal(r, "1", content("bash"))

	// Of Write the file system tells when the file is there.
	seen := r.onCreate(func() int { return intents(dir, "Write") }, "written")
	r.mustAsk(call("Write", map[string]any{"file_path": file("written"), "content": "text"}))
	assert.Equal(r, "text", content("written"))
	assert.Equal(r, 1, <-seen)

	// The tool of an MCP server, which may still be coming up.
	tries := 0
	r.until("the MCP server's tool has run", func() bool {
		tries++
		r.mustAsk(call(lookTool, map[string]any{"file": file("mcp")}))
		return exists(file("mcp"))
	})
	assert.Equal(r, intents(dir, lookTool), atoi(r, content("mcp")))

	// A subagent's.
	r.mustAsk(subagent(bash(look("mark-of-subagent", "sub"))))
	// Two intents have the mark: that of the subagent itself, whose prompt it is in, and that of its tool.
	r.until("the subagent's tool has run", func() bool { return exists(file("sub")) && content("sub") != "" })
	assert.Equal(r, "2", content("sub"))
	var mine audit.Record
	r.until("the subagent's tool is in the log", func() bool {
		for _, record := range r.records(audit.ToolResult) {
			if record.ParentToolUseID != "" {
				mine = record
			}
		}
		return mine.Seq > 0
	})
	assert.Equal(r, "Bash", mine.Tool)
	assert.NotEmpty(r, mine.AgentID)

	// The log is taken away while the first tool of this turn runs; the others are refused, and leave nothing.
	r.until("idle", func() bool { return r.Info().State == session.Idle })
	before := len(r.records(audit.ToolIntent))
	first, entered, open := r.gate("first")
	turn := r.background(bash(first) + bash("touch "+file("bash2")) +
		call("Write", map[string]any{"file_path": file("written2"), "content": "text"}) +
		call(lookTool, map[string]any{"file": file("mcp2")}) + subagent(bash("touch "+file("sub2"))))
	entered()
	require.NoError(r, os.Rename(dir, dir+".away"))
	open()
	require.NoError(r, turn.wait(r.T), "the session lives")
	for _, name := range []string{"bash2", "written2", "mcp2", "sub2"} {
		assert.NoFileExists(r, file(name))
	}
	_, err = r.ask("another turn")
	require.ErrorIs(r, err, session.ErrAuditUnavailable)
	require.ErrorIs(r, r.Info().Refusing, session.ErrAuditUnavailable)
	tree, err := r.rt.Tree(r.within())
	require.NoError(r, err)
	sessions := tree.Sessions()
	require.Len(r, sessions, 1)
	assert.Contains(r, sessions[0].Refusing, "put it back")
	assert.Equal(r, "idle", sessions[0].State)

	require.NoError(r, os.Rename(dir+".away", dir))
	r.until("the log works again", func() bool { return r.Info().Refusing == nil })
	assert.Equal(r, "echo: and on", r.mustAsk("and on").Text)
	assert.Equal(r, 1, r.Info().Generation)
	shutdown(r.T, r.rt)
	assert.Equal(r, before+1, len(r.records(audit.ToolIntent)), "what was refused is not in the log")
	for _, record := range r.records() {
		assert.NoError(r, audit.Check(record))
	}
	started := r.records(audit.SessionStarted)[0]
	assert.Equal(r, "2.1.330", started.Detail["cli_version"])
	assert.Len(r, started.Detail["cli_sha256"], 64)
	report, err := audit.Verify(context.Background(), dir, audit.VerifyOptions{Invariants: true})
	require.NoError(r, err)
	for _, finding := range report.Findings {
		assert.NotEqual(r, audit.Tampered, finding.Class, "%s", finding)
		assert.NotContains(r, finding.Text, "it has no intent")
	}
}

func subagent(prompt string) string {
	return call("Task", map[string]any{"description": "look", "prompt": prompt, "subagent_type": "general-purpose", "run_in_background": false})
}

func atoi(r *rig, text string) (n int) {
	require.NoError(r, json.Unmarshal([]byte(text), &n))
	return n
}

// TestWitness has the real CLI report its tools to the witness, which finds the same in the log.
func TestWitness(t *testing.T) {
	t.Parallel()
	r := newRig(t, true)
	r.options.Audit.Witness = true
	r.spec.AllowedTools, r.spec.DisallowedTools = []string{"Bash", "Write", "Task", "Agent"}, []string{"Bash(rm:*)"}
	r.boot()
	r.mustAsk(bash("echo one; env | grep -c OTEL_EXPORTER > otel"))
	r.mustAsk(bash("exit 3"))
	r.mustAsk(bash("rm nothing"))
	r.mustAsk(call("Write", map[string]any{"file_path": filepath.Join(r.work, "file"), "content": "text"}))
	r.mustAsk(subagent(bash("echo in a subagent")))
	r.until("the witness has compared all", func() bool {
		status, _ := r.rt.Witness()
		return status.Matched == 6
	})
	status, ok := r.rt.Witness()
	assert.True(t, ok)
	assert.Zero(t, status.Differences)
	assert.Zero(t, status.Missing)
	assert.NotZero(t, status.Events)
	assert.Empty(t, r.records(audit.WitnessDiffers))
	data, _ := os.ReadFile(filepath.Join(r.work, "otel"))
	t.Logf("variables of the witness in a tool's environment: %s", data)
	shutdown(t, r.rt)
	for _, record := range r.records(audit.SessionStarted) {
		assert.Contains(t, record.Detail["env"], "OTEL_EXPORTER_OTLP_LOGS_HEADERS")
	}
}

// TestWitnessFindsWhatTheLogHasLost has the real CLI use a tool while a log that need not work does not: the CLI's own word
// is all there is of it.
func TestWitnessFindsWhatTheLogHasLost(t *testing.T) {
	t.Parallel() // the CLI is given some seconds to say what it has to say
	r := newRig(t, true)
	r.options.Audit.Witness, r.options.Audit.Mode = true, audit.BestEffort
	r.boot()
	r.mustAsk(bash("echo one"))
	dir := filepath.Join(r.options.DataDir, "audit")
	require.NoError(t, os.Rename(dir, dir+".away"))
	r.mustAsk(bash("echo lost > lost"))
	assert.FileExists(t, filepath.Join(r.work, "lost"))
	require.NoError(t, os.Rename(dir+".away", dir))
	r.until("the log works again", func() bool { return r.rt.Audit().Health() == nil && len(r.records(audit.LogGap)) > 0 })
	r.mustAsk(bash("echo two"))
	r.until("the witness has found it", func() bool {
		status, _ := r.rt.Witness()
		return status.Differences > 0 && status.Matched == 2
	})
	shutdown(t, r.rt)
	differences := r.records(audit.WitnessDiffers)
	require.Len(t, differences, 1)
	d := differences[0]
	assert.Equal(t, "the CLI reports a tool use that the log has no intent of", d.Detail["difference"])
	assert.Equal(t, "Bash", d.Tool)
	events, _ := d.Detail["events"].([]any)
	assert.ElementsMatch(t, []any{"tool_decision accept", "tool_result true"}, events)
	require.NotEmpty(t, d.ToolUseID)
	for _, intent := range r.records(audit.ToolIntent) {
		assert.NotEqual(t, d.ToolUseID, intent.ToolUseID)
	}
}
