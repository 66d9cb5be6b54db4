package sessiontest_test

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func withState(t *testing.T, args ...string) *host {
	t.Helper()
	env := map[string]string{}
	maps.Copy(env, stateEvents)
	return start(t, env, args...)
}

var stateEvents = map[string]string{"CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS": "1"}

func TestTurnWithPromptID(t *testing.T) {
	h := withState(t)
	h.initialize(nil)
	h.forget()
	id := h.prompt("hello")
	h.untilKind("idle")
	assert.Equal(t, []string{"running", "command queued", "command started", "init", "assistant", "result", "command completed", "idle"}, h.kinds())
	for _, f := range h.seen {
		switch f.kind() {
		case "init":
			assert.Equal(t, []any{id}, f["user_message_uuids"])
		case "assistant", "result":
			assert.Equal(t, id, f["user_message_uuid"], f.kind())
			assert.Equal(t, []any{id}, f["user_message_uuids"], f.kind())
		case "command queued":
			assert.Equal(t, id, f["command_uuid"])
		}
	}
	assert.Zero(t, h.end())
}

func TestPromptWithoutID(t *testing.T) {
	h := start(t, nil)
	h.write(`{"type":"user","message":{"role":"user","content":[{"type":"text","text":"hello"}]},"parent_tool_use_id":null,"session_id":"default"}`)
	result := h.untilType("result")
	assert.Equal(t, []string{"init", "assistant", "result"}, h.kinds())
	assert.NotContains(t, result, "user_message_uuid")
	assert.Equal(t, "echo: hello", result["result"])
	assert.Zero(t, h.end())
}

// What a directive of the prompt makes the final text, and how many turns it takes: one, and one for each tool.
func TestDirectivesOfTheModel(t *testing.T) {
	tests := map[string]struct {
		prompt string
		want   string
		turns  float64
	}{
		"echo":            {"hello", "echo: hello", 1},
		"say":             {"x [[say:good day]]", "good day", 1},
		"sleep":           {"[[sleep:1ms]] [[say:slept]]", "slept", 1},
		"sleep seconds":   {"[[sleep:0.001]] [[say:slept]]", "slept", 1},
		"no directive":    {"[[Tool]] [[nonsense:x]] [[", "echo: [[Tool]] [[nonsense:x]] [[", 1},
		"one tool":        {`[[tool:Bash {"command":"echo a"}]] [[say:done]]`, "done", 2},
		"nested brackets": {`[[tool:Bash {"command":"echo ']] [[say:no]]'"}]] [[say:done]]`, "done", 2},
		"two tools":       {`[[tool:Bash {"command":"echo a"}]] [[tool:Bash {"command":"echo b"}]] [[say:done]]`, "done", 3},
		"a round of two":  {`[[tools:{"use":[{"name":"Bash","input":{"command":"echo a"}},{"name":"Bash","input":{"command":"echo b"}}]}]] [[say:done]]`, "done", 3},
		"unknown tool":    {`[[tool:Nope {}]] [[say:done]]`, "done", 2},
		"loop":            {`[[loop:3]] [[say:done]]`, "done", 4},
		"slow":            {`[[slow:10ms]] [[say:0123456789]]`, "9", 1},
		"a failed call":   {`[[status:529 2]] [[say:done]]`, "done", 1},
		"stderr":          {`[[stderr:oops]] [[say:done]]`, "done", 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := start(t, map[string]string{"UNDERSTUDY_SIM_RETRY": "1ms"})
			result := h.turn(test.prompt)
			assert.Equal(t, test.want, result["result"])
			assert.Equal(t, test.turns, result["num_turns"])
			assert.Zero(t, h.end())
			if name == "stderr" {
				assert.Equal(t, "oops\n", h.stderr.String())
			}
		})
	}
}

func TestHugeLine(t *testing.T) {
	h := start(t, nil)
	const size = 1 << 20
	result := h.turn("[[hugeline:" + strconv.Itoa(size) + "]]")
	assert.Len(t, result["result"], size)
	h.turn(strings.Repeat("y", size)) // and a huge one to it
	assert.Zero(t, h.end())
}

func TestQueuedPromptsMerge(t *testing.T) {
	h := withState(t)
	a := h.prompt("[[sleep:50ms]] first")
	h.untilKind("init")
	b, c := h.prompt("second"), h.prompt("third")
	h.untilKind("idle")
	assert.Equal(t, []string{
		"running", "command queued", "command started", "init", "command queued", "command queued", "assistant", "result",
		"command completed", "command started", "command started", "init", "assistant", "result", "command completed",
		"command completed", "idle",
	}, h.kinds())
	last := h.seen[len(h.seen)-4]
	assert.Equal(t, "echo: second\nthird", last["result"])
	assert.Equal(t, c, last["user_message_uuid"])
	assert.Equal(t, []any{b, c}, last["user_message_uuids"])
	assert.NotEqual(t, a, b)
	assert.Zero(t, h.end())
}

func TestPromptsWrittenTogetherHaveTheirTurns(t *testing.T) {
	h := start(t, nil)
	h.prompt("first")
	h.prompt("second")
	assert.Equal(t, "echo: first", h.untilType("result")["result"])
	assert.Equal(t, "echo: second", h.untilType("result")["result"])
	assert.Zero(t, h.end())
}

func TestPromptJoinsATurnWithAToolRoundToCome(t *testing.T) {
	h := start(t, nil, "--allowedTools=Bash")
	a := h.prompt(`[[tool:Bash {"command":"read -t 0.1 < /dev/zero; true"}]] [[say:done]]`)
	h.untilType("assistant")
	h.forget()
	b := h.prompt("me too")
	result := h.untilType("result")
	assert.Equal(t, []string{"command queued", "user", "command started", "assistant", "command completed", "result"}, h.kinds())
	assert.Equal(t, a, result["user_message_uuid"])
	assert.Equal(t, []any{a, b}, result["user_message_uuids"])
	assert.Equal(t, a, h.untilKind("command completed")["command_uuid"])
	assert.Equal(t, "history: "+`[[tool:Bash {"command":"read -t 0.1 < /dev/zero; true"}]] [[say:done]] | me too`, h.turn("[[history]]")["result"])
	assert.Zero(t, h.end())
}

func TestSelfTurn(t *testing.T) {
	h := withState(t)
	h.turn("[[selfturn:10ms wake up]]")
	h.untilKind("idle")
	h.forget()
	h.untilKind("idle")
	assert.Equal(t, []string{
		"task_updated", "task_notification", "background_tasks_changed", "running", "init", "assistant", "result", "idle",
	}, h.kinds())
	for _, f := range h.seen {
		assert.NotContains(t, f, "user_message_uuids", f.kind())
	}
	result := h.seen[6]
	assert.Equal(t, "task-notification", result.str("origin", "kind"))
	assert.Equal(t, "echo: wake up", result["result"])
	assert.Zero(t, h.end())
}

func TestSelfTurnOfABackgroundCommand(t *testing.T) {
	h := start(t, nil, "--allowedTools=Bash")
	result := h.turn(`[[tool:Bash {"command":"read -t 0.05 < /dev/zero; true","run_in_background":true,"description":"[[say:woken]]"}]]`)
	assert.Equal(t, "success", result["subtype"])
	assert.Contains(t, h.kinds(), "task_started")
	self := h.untilType("result")
	assert.Equal(t, "woken", self["result"])
	assert.Equal(t, "task-notification", self.str("origin", "kind"))
	assert.Zero(t, h.end())
}

// A prompt that comes in the middle of a self turn joins it when there is a tool round to come.
func TestPromptJoinsASelfTurn(t *testing.T) {
	h := start(t, nil)
	h.turn(`[[selfturn:1ms {"prompt":"[[sleep:100ms]] [[loop:1]]"}]]`)
	h.untilKind("init")
	h.forget()
	id := h.prompt("mine")
	result := h.untilType("result")
	assert.Equal(t, []string{"command queued", "assistant", "user", "command started", "assistant", "command completed", "result"}, h.kinds())
	assert.Equal(t, "task-notification", result.str("origin", "kind"))
	assert.Equal(t, id, result["user_message_uuid"])
	assert.Equal(t, []any{id}, result["user_message_uuids"])
	assert.Zero(t, h.end())
}

func TestPromptWaitsForASelfTurnWithoutTools(t *testing.T) {
	h := start(t, nil)
	h.turn(`[[selfturn:1ms {"prompt":"[[sleep:50ms]] self"}]]`)
	h.untilKind("init")
	id := h.prompt("mine")
	self := h.untilType("result")
	assert.NotContains(t, self, "user_message_uuids")
	mine := h.untilType("result")
	assert.Equal(t, id, mine["user_message_uuid"])
	assert.NotContains(t, mine, "origin")
	assert.Equal(t, "echo: mine", mine["result"])
	assert.Zero(t, h.end())
}

func TestInterrupt(t *testing.T) {
	tests := map[string]struct {
		prompt, args string
		hooks        any
		at           string // the frame that the interrupt follows
		want         []string
		reason       string
	}{
		"model": {
			prompt: "[[sleep:1h]]", at: "init",
			want: []string{"control_response", "user", "result", "command cancelled"}, reason: "aborted_streaming",
		},
		"retries": {
			prompt: "[[status:529]]", at: "api_retry",
			want: []string{"control_response", "user", "result", "command cancelled"}, reason: "aborted_streaming",
		},
		"a turn that never ends": {
			prompt: "[[nofinish]]", at: "assistant",
			want: []string{"control_response", "user", "result", "command cancelled"}, reason: "aborted_streaming",
		},
		"tool": {
			prompt: `[[tool:Bash {"command":"read -t 3600 < /dev/zero"}]]`, args: "--allowedTools=Bash", at: "assistant",
			want: []string{"control_response", "user", "user", "result", "command cancelled"}, reason: "aborted_tools",
		},
		"question": {
			prompt: `[[tool:Bash {"command":"touch x"}]]`, args: "--permission-prompt-tool=stdio", at: "can_use_tool",
			want: []string{"control_cancel_request", "control_response", "user", "user", "result", "command cancelled"}, reason: "aborted_tools",
		},
		"hook": {
			prompt: `[[tool:Bash {"command":"echo x"}]]`, at: "hook_callback",
			hooks: frame{"PreToolUse": []any{frame{"matcher": "Bash", "hookCallbackIds": []string{"hook"}}}},
			want:  []string{"control_cancel_request", "control_response", "user", "user", "result", "command cancelled"}, reason: "aborted_tools",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := start(t, nil, strings.Fields(test.args)...)
			h.initialize(test.hooks)
			h.prompt(test.prompt)
			h.untilKind(test.at)
			h.forget()
			h.request(frame{"subtype": "interrupt"})
			h.untilKind("command cancelled")
			assert.Equal(t, test.want, h.kinds())
			result := h.seen[len(h.seen)-2]
			assert.Equal(t, "error_during_execution", result["subtype"])
			assert.Equal(t, test.reason, result["terminal_reason"])
			assert.Equal(t, "echo: next", h.turn("next")["result"], "the session goes on")
			assert.Zero(t, h.end())
		})
	}
}

func TestInterruptWhileIdle(t *testing.T) {
	h := start(t, nil)
	h.initialize(nil)
	h.request(frame{"subtype": "interrupt"})
	f := h.next()
	assert.Equal(t, "success", f.str("response", "subtype"))
	assert.Zero(t, h.end())
	assert.Len(t, h.seen, 2, "no result: %v", h.kinds())
}

// An interrupt that is written in one go with a prompt comes too early to stop it, unless it takes back what is queued.
func TestInterruptBehindAPrompt(t *testing.T) {
	write := func(h *host, cancel bool) string {
		prompt := `{"type":"user","message":{"role":"user","content":"[[sleep:50ms]] hello"},"uuid":"11111111-0000-4000-8000-000000000000"}`
		body, err := json.Marshal(frame{"type": "control_request", "request_id": "i", "request": frame{"subtype": "interrupt", "cancel_queued": cancel}})
		require.NoError(t, err)
		h.write(prompt + "\n" + string(body))
		return "11111111-0000-4000-8000-000000000000"
	}
	t.Run("plain", func(t *testing.T) {
		h := start(t, nil)
		id := write(h, false)
		answer := h.untilType("control_response")
		assert.Equal(t, map[string]any{"still_queued": []any{id}}, answer["response"].(map[string]any)["response"])
		assert.Equal(t, "success", h.untilType("result")["subtype"])
		assert.Zero(t, h.end())
	})
	t.Run("cancel_queued", func(t *testing.T) {
		h := withState(t)
		id := write(h, true)
		h.untilKind("idle")
		assert.Equal(t, []string{"running", "command queued", "command cancelled", "control_response", "idle"}, h.kinds())
		assert.Equal(t, map[string]any{"still_queued": []any{}, "cancelled": []any{id}}, h.seen[3]["response"].(map[string]any)["response"])
		assert.Zero(t, h.end())
	})
}

func TestResentPrompt(t *testing.T) {
	h := withState(t)
	id := h.prompt("hello")
	h.untilKind("idle")
	h.forget()
	h.promptAs(id, "hello")
	h.untilKind("idle")
	assert.Equal(t, []string{"idle"}, h.kinds(), "no second turn")
	assert.Zero(t, h.end())
}
