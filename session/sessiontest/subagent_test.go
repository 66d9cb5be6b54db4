package sessiontest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/sessiontest"
)

// with finds a frame that has these values.
func (h *host) with(want frame) (found []frame) {
	for _, f := range h.seen {
		fits := true
		for key, value := range want {
			fits = fits && f[key] == value
		}
		if fits {
			found = append(found, f)
		}
	}
	return found
}

// results are what the tools of the main conversation answered, in the order in which they did.
func (h *host) results() (texts []string) {
	for _, f := range h.with(frame{"type": "user", "parent_tool_use_id": nil}) {
		for _, block := range f["message"].(map[string]any)["content"].([]any) {
			data, _ := json.Marshal(block.(map[string]any)["content"]) // it was JSON
			texts = append(texts, string(data))
		}
	}
	return texts
}

// A subagent in the background ends behind the turn, and its end is a turn of its own; the session is idle after that.
func TestSubagentInTheBackground(t *testing.T) {
	h := start(t, map[string]string{"CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS": "1"}, "--allowedTools=Bash")
	fifo := filepath.Join(t.TempDir(), "gate")
	h.initialize(nil)
	h.prompt(sessiontest.Delegate(`[[tool:Bash {"command":"mkfifo `+fifo+`; read x < `+fifo+`; echo opened"}]] [[say:below]]`, true) + "[[say:given]]")
	h.untilType("result")
	h.prompt("[[say:meanwhile]]")
	assert.Equal(t, "meanwhile", h.untilType("result")["result"])
	require.Empty(t, h.with(frame{"state": "idle"}), "a subagent is at work")
	open(t, fifo)
	last := h.untilType("result")
	h.untilKind("idle")
	assert.Equal(t, "task-notification", last.str("origin", "kind"))
	assert.Contains(t, last["result"], "<result>below</result>")
	for _, f := range h.with(frame{"type": "assistant"}) {
		if f["parent_tool_use_id"] != nil {
			assert.NotEmpty(t, f.str("agent_id"))
		}
	}
	assert.Len(t, h.with(frame{"subtype": "task_notification", "status": "completed"}), 1)
	assert.InDelta(t, 0.005*6, last["total_cost_usd"], 1e-9, "calls of the subagent count")
	assert.Zero(t, h.end())
}

// open lets a command that reads a named pipe go on, once it is there.
func open(t *testing.T, fifo string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := os.Stat(fifo)
		return err == nil
	}, patience, 1e6)
	f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = fmt.Fprintln(f, "go")
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// Twenty are at work at most, those of subagents included, and only three levels deep.
func TestSubagentsBeyondTheLimits(t *testing.T) {
	h := start(t, map[string]string{"CLAUDE_CODE_MAX_CONCURRENT_SUBAGENTS": "2"})
	h.initialize(nil)
	two := sessiontest.Delegates(false, "[[sleep:10ms]][[say:a]]", sessiontest.Delegate("[[say:c]]", false)+"[[say:b]]", "[[say:d]]")
	assert.Equal(t, "done", h.turn(two + "[[say:done]]")["result"])
	refused := 0
	for _, text := range h.results() {
		if strings.Contains(text, "Concurrent subagent limit reached. You can run 2 subagents at once.") {
			refused++
		}
	}
	assert.Equal(t, 1, refused, "of the main conversation's")

	h.forget()
	deep := "[[say:bottom]]"
	for range 4 {
		deep = sessiontest.Delegate(deep, false)
	}
	f := start(t, nil, "--forward-subagent-text")
	f.initialize(nil)
	f.turn(deep)
	assert.Len(t, f.with(frame{"subtype": "task_started"}), 3)
	told := false
	for _, m := range f.with(frame{"type": "user"}) {
		data, _ := json.Marshal(m)
		told = told || strings.Contains(string(data), "Task is not among the tools available here.")
	}
	assert.True(t, told)
}

// What cannot be started is an error of the tool, and the kinds of initialize have models and tools of their own.
func TestKindsOfSubagents(t *testing.T) {
	h := start(t, nil, "--disallowedTools=Agent(Explore)")
	h.request(frame{"subtype": "initialize", "agents": frame{"helper": frame{"description": "h", "prompt": "p", "model": "haiku", "tools": []string{"Read"}}}})
	h.untilType("control_response")
	use := func(kind string) string {
		return `[[tool:Agent {"description":"d","prompt":"[[tool:Bash {\"command\":\"true\"}]]","run_in_background":false,"subagent_type":"` + kind + `"}]]`
	}
	h.turn(use("nobody") + use("Explore") + `[[tool:Task {"prompt":"x"}]]`)
	results := h.results()
	require.Len(t, results, 3)
	assert.Contains(t, results[0], "Agent type 'nobody' not found. Available agents: claude, Explore, general-purpose, Plan, statusline-setup, helper")
	assert.Contains(t, results[1], "Agent type 'Explore' has been denied by permission rule 'Agent(Explore)' from cliArg.")
	assert.Contains(t, results[2], "InputValidationError: Agent failed due to the following issue:")
	h.forget()
	result := h.turn(use("helper"))
	answers := h.with(frame{"type": "assistant", "subagent_type": "helper"})
	require.NotEmpty(t, answers)
	assert.Equal(t, "claude-haiku-5-5", answers[0].str("message", "model"))
	assert.Contains(t, result["modelUsage"], "claude-haiku-5-5")
	data, _ := json.Marshal(h.seen)
	assert.Contains(t, string(data), "Bash is not among the tools available here.")
}

// The budget's end ends the turn, subagents in the background, and not one in the foreground.
func TestSubagentsAndTheBudget(t *testing.T) {
	for _, background := range []bool{false, true} {
		h := start(t, nil, "--max-budget-usd=0.02", "--allowedTools=Bash")
		h.initialize(nil)
		h.prompt(sessiontest.Delegate("[[loop:6]]", background))
		ended := h.untilKind("task_notification")
		if background {
			assert.Equal(t, "stopped", ended["status"])
			assert.Equal(t, "error_max_budget_usd", h.turn("more")["subtype"])
			assert.InDelta(t, 0.02, h.with(frame{"type": "result"})[1]["total_cost_usd"], 1e-9)
			continue
		}
		assert.Equal(t, "completed", ended["status"])
		results := h.with(frame{"type": "result"})
		require.Len(t, results, 1, "before the subagent has ended")
		assert.Equal(t, "error_max_budget_usd", results[0]["subtype"])
		assert.InDelta(t, 0.04, h.turn("more")["total_cost_usd"], 1e-9)
	}
}

// A subagent that is killed with its CLI stays in the files as far as it came, and the conversation can be resumed.
func TestSubagentOfAKilledCLI(t *testing.T) {
	env := map[string]string{}
	h := start(t, env, "--session-id=aaaaaaaa-0000-4000-8000-000000000001", "--allowedTools=Bash")
	h.initialize(nil)
	h.prompt(sessiontest.Delegates(false, `[[tool:Bash {"command":"true"}]] [[crash]]`, "[[sleep:20]]"))
	assert.Equal(t, sessiontest.ExitKilled, h.exit())
	files, err := filepath.Glob(filepath.Join(env["CLAUDE_CONFIG_DIR"], "projects", "*", "aaaaaaaa-0000-4000-8000-000000000001", "subagents", "agent-*.jsonl"))
	require.NoError(t, err)
	assert.Len(t, files, 2)
	again := start(t, env, "--resume=aaaaaaaa-0000-4000-8000-000000000001")
	again.initialize(nil)
	assert.Contains(t, again.turn("[[history]]")["result"], "history: [[tools:")
}

// The end of stdin closes the questions of subagents, and waits for those in the background.
func TestSubagentAtTheEndOfInput(t *testing.T) {
	h := start(t, nil, "--permission-prompt-tool=stdio")
	h.initialize(nil)
	h.prompt(sessiontest.Delegate(`[[ask:Bash {"command":"make"}]] [[say:below]]`, true))
	question := h.untilKind("can_use_tool")
	assert.NotEmpty(t, question.str("request", "agent_id"))
	assert.Zero(t, h.end())
	assert.Len(t, h.with(frame{"subtype": "task_notification", "status": "completed"}), 1)
	assert.Len(t, h.with(frame{"type": "result"}), 2)
}
