package sessiontest_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var stateEvents = map[string]string{"CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS": "1"}

func withState(t *testing.T, args ...string) *host {
	t.Helper()
	env := map[string]string{}
	maps.Copy(env, stateEvents)
	return start(t, env, args...)
}

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

func TestGarbageAndExit(t *testing.T) {
	h := start(t, nil)
	h.prompt("[[garbage:hello {]] [[stderr:it broke]] [[exit:3]]")
	f := h.untilType("garbage")
	assert.Equal(t, "hello {\n", f["line"])
	assert.Equal(t, 3, h.exit())
	assert.Equal(t, "it broke\n", h.stderr.String())
}

func TestTornAndUnknownFrames(t *testing.T) {
	h := start(t, nil)
	h.prompt("[[unknown]] [[torn]]")
	assert.Equal(t, "never_seen_before", h.untilKind("never_seen_before").str("type"))
	torn := h.next()
	assert.Equal(t, "garbage", torn.str("type"))
	assert.NotContains(t, torn.str("line"), "\n")
	assert.Zero(t, h.exit(), "and no result")
}

func TestCrashInsideAProcess(t *testing.T) {
	for _, moment := range []string{"crash", "crash:early", "crash:answer", "crash:result"} {
		t.Run(moment, func(t *testing.T) {
			h := start(t, nil)
			h.prompt("[[" + moment + "]]")
			assert.Equal(t, 137, h.exit())
			results := 0
			for _, f := range h.seen {
				if f.kind() == "result" {
					results++
				}
			}
			want := map[string]int{"crash:result": 1}[moment]
			assert.Equal(t, want, results)
		})
	}
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

func TestControls(t *testing.T) {
	h := start(t, nil, "--model=sonnet")
	answer := h.initialize(nil)
	assert.Equal(t, "2.1.330", answer.str("response", "response", "claude_code_version"))
	assert.NotContains(t, answer["response"].(map[string]any)["response"], "hooks_applied")

	ask := func(body frame) frame {
		h.request(body)
		return h.untilType("control_response")
	}
	assert.Equal(t, "unsupported_request", ask(frame{"subtype": "nonsense"}).str("response", "error_code"))
	assert.Equal(t, "invalid_mode", ask(frame{"subtype": "set_permission_mode", "mode": "nope"}).str("response", "error_code"))
	assert.Equal(t, "bypass_not_launched", ask(frame{"subtype": "set_permission_mode", "mode": "bypassPermissions"}).str("response", "error_code"))
	assert.Equal(t, "acceptEdits", ask(frame{"subtype": "set_permission_mode", "mode": "acceptEdits"}).str("response", "response", "mode"))
	assert.Equal(t, "acceptEdits", h.untilKind("status")["permissionMode"])
	assert.Equal(t, "claude-haiku-5-5", ask(frame{"subtype": "set_model", "model": "haiku"}).str("response", "response", "model"))

	h.prompt("hello")
	init := h.untilKind("init")
	assert.Equal(t, "claude-haiku-5-5", init["model"])
	assert.Equal(t, "acceptEdits", init["permissionMode"])
	assert.InDelta(t, 0.00125, h.untilType("result")["total_cost_usd"], 1e-9)

	h.prompt("[[sleep:1h]]")
	h.untilKind("init")
	assert.Equal(t, "success", ask(frame{"subtype": "mcp_status"}).str("response", "subtype"), "answered in the middle of a turn")
	ask(frame{"subtype": "end_session"})
	assert.Zero(t, h.exit())
}

func TestMalformedHooksLeaveTheSessionUnguarded(t *testing.T) {
	h := start(t, nil)
	answer := h.initialize(frame{"PreToolUse": "x"})
	assert.Equal(t, "error", answer.str("response", "subtype"))
	assert.Contains(t, answer.str("response", "error"), "initialize: hooks must map")
	assert.Equal(t, "success", h.turn(`[[tool:Bash {"command":"echo x"}]]`)["subtype"])
	assert.Zero(t, h.end())
}

func TestBadInputEndsTheProcess(t *testing.T) {
	tests := map[string]string{
		"not json {":                             "Error parsing streaming input line (type=unknown, 10 chars): SyntaxError\n",
		`{"type":"user"}`:                        "Error: Expected message role 'user', got 'undefined'\n",
		`{"type":"control_request"}`:             "Error: Missing request on control_request\n",
		`{"type":"user","message":{"role":"x"}}`: "Error: Expected message role 'user', got 'x'\n",
	}
	for line, want := range tests {
		t.Run(line, func(t *testing.T) {
			h := start(t, nil)
			h.write(line)
			assert.Equal(t, 1, h.exit())
			assert.Equal(t, want, h.stderr.String())
			assert.Empty(t, h.seen)
		})
	}
}

func TestToleratedInput(t *testing.T) {
	h := start(t, nil)
	for _, line := range []string{"", "   ", "\xef\xbb\xbf{}", "[1,2]", `{"type":"keep_alive"}`, `{"type":"nonsense"}`, `{"type":"control_response","response":{"request_id":"unknown"}}` + "\r"} {
		h.write(line)
	}
	assert.Equal(t, "echo: hello", h.turn("hello")["result"])
	assert.Zero(t, h.end())
}

func TestHooks(t *testing.T) {
	deny := frame{"hookSpecificOutput": frame{"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": "not today"}}
	rewrite := frame{"hookSpecificOutput": frame{"hookEventName": "PreToolUse", "permissionDecision": "allow", "updatedInput": frame{"command": "touch rewritten"}}}
	tests := map[string]struct {
		matcher string
		command string
		answer  any
		events  []string
		result  string
		left    string // a file that the command left
	}{
		"no opinion":     {"Bash", "echo hi", frame{}, []string{"PreToolUse", "PostToolUse"}, "hi", ""},
		"expression":     {"Ba.*", "echo hi", frame{}, []string{"PreToolUse", "PostToolUse"}, "hi", ""},
		"case matters":   {"bash", "echo hi", deny, []string{"PostToolUse"}, "hi", ""},
		"deny":           {"*", "echo hi", deny, []string{"PreToolUse"}, "PreToolUse:Bash hook error: not today", ""},
		"legacy block":   {"", "echo hi", frame{"decision": "block", "reason": "no"}, []string{"PreToolUse"}, "PreToolUse:Bash hook error: no", ""},
		"allow rewrites": {"Edit|Bash", "touch x", rewrite, []string{"PreToolUse", "PostToolUse"}, "(Bash completed with no output)", "rewritten"},
		"failure":        {"Bash", "echo out; false", frame{}, []string{"PreToolUse", "PostToolUseFailure"}, "Exit code 1\nout", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := start(t, nil)
			all := []any{frame{"matcher": nil, "hookCallbackIds": []string{"after"}}}
			answer := h.initialize(frame{
				"PreToolUse":  []any{frame{"matcher": test.matcher, "hookCallbackIds": []string{"before"}}},
				"PostToolUse": all, "PostToolUseFailure": all,
			})
			assert.Equal(t, true, answer["response"].(map[string]any)["response"].(map[string]any)["hooks_applied"])
			h.prompt(`[[tool:Bash {"command":"` + test.command + `"}]]`)
			var events []string
			var text string
			h.until(func(f frame) bool {
				switch f.kind() {
				case "hook_callback":
					events = append(events, f.str("request", "input", "hook_event_name"))
					if f.str("request", "callback_id") == "before" {
						h.reply(f, test.answer)
					} else {
						h.reply(f, frame{})
					}
				case "user":
					text = f["message"].(map[string]any)["content"].([]any)[0].(map[string]any)["content"].(string)
				}
				return f.kind() == "result"
			})
			assert.Equal(t, test.events, events)
			assert.Equal(t, test.result, text)
			assert.Zero(t, h.end())
			if test.left != "" {
				assert.FileExists(t, test.left)
			}
		})
	}
}

func TestHookThatNeverAnswers(t *testing.T) {
	h := start(t, nil)
	h.initialize(frame{"PreToolUse": []any{frame{"matcher": "Bash", "hookCallbackIds": []string{"slow"}, "timeout": 0.05}}})
	result := h.turn(`[[tool:Bash {"command":"touch x"}]]`)
	assert.Contains(t, h.kinds(), "control_cancel_request")
	assert.Empty(t, result["permission_denials"])
	assert.Zero(t, h.end())
	assert.NoFileExists(t, "x", "the tool has not run")
}

func TestHookThatFails(t *testing.T) {
	for _, onFailure := range []string{"", "block"} {
		t.Run("on failure "+onFailure, func(t *testing.T) {
			h := start(t, nil, "--allowedTools=Bash")
			h.initialize(frame{"PreToolUse": []any{frame{"hookCallbackIds": []string{"bad"}, "onFailure": onFailure}}})
			h.prompt(`[[tool:Bash {"command":"touch x"}]]`)
			f := h.untilKind("hook_callback")
			h.send(frame{"type": "control_response", "response": frame{"subtype": "error", "request_id": f.str("request_id"), "error": "boom"}})
			h.untilKind("informational")
			h.untilType("result")
			assert.Zero(t, h.end())
			if onFailure == "block" {
				assert.NoFileExists(t, "x")
			} else {
				assert.FileExists(t, "x", "an error is no opinion")
			}
		})
	}
}

func TestPermissionAnswers(t *testing.T) {
	tests := map[string]struct {
		answer any
		text   string
		ran    bool
		end    string
	}{
		"allow":           {frame{"behavior": "allow"}, "(Bash completed with no output)", true, "success"},
		"deny":            {frame{"behavior": "deny", "message": "no"}, "no", false, "success"},
		"deny, interrupt": {frame{"behavior": "deny", "message": "no", "interrupt": true}, "The user doesn't want to proceed", false, "error_during_execution"},
		"without message": {frame{"behavior": "deny"}, "The canUseTool callback returned an invalid", false, "success"},
		"nothing":         {frame{}, "The canUseTool callback returned an invalid", false, "success"},
		"allow from now on": {frame{"behavior": "allow", "updatedPermissions": []any{frame{
			"type": "addRules", "behavior": "allow", "destination": "session", "rules": []any{frame{"toolName": "Bash", "ruleContent": "touch:*"}},
		}}}, "(Bash completed with no output)", true, "success"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := start(t, nil, "--permission-prompt-tool=stdio")
			h.initialize(nil)
			h.prompt(`[[tool:Bash {"command":"touch x"}]]`)
			h.reply(h.untilKind("can_use_tool"), test.answer)
			result := h.untilType("user")["message"].(map[string]any)["content"].([]any)[0].(map[string]any)
			assert.Contains(t, result["content"], test.text)
			end := h.untilType("result")
			assert.Equal(t, test.end, end["subtype"])
			assert.Equal(t, !test.ran, len(end["permission_denials"].([]any)) == 1)
			if name == "allow from now on" {
				h.forget()
				h.turn(`[[tool:Bash {"command":"touch y"}]]`)
				assert.NotContains(t, h.kinds(), "can_use_tool")
				h.prompt(`[[ask:Bash {"command":"touch z"}]]`)
				h.reply(h.untilKind("can_use_tool"), frame{"behavior": "deny", "message": "asked all the same"})
				h.untilType("result")
			}
			_ = h.end()
			_, err := os.Stat("x")
			assert.Equal(t, test.ran, err == nil)
		})
	}
}

func TestEndOfInput(t *testing.T) {
	t.Run("finishes the turn", func(t *testing.T) {
		h := start(t, nil, "--allowedTools=Bash")
		h.prompt(`[[tool:Bash {"command":"read -t 0.1 < /dev/zero; true"}]]`)
		h.untilType("assistant")
		assert.Zero(t, h.end())
		assert.Contains(t, h.kinds(), "result")
	})
	t.Run("answers its own question", func(t *testing.T) {
		h := start(t, nil, "--permission-prompt-tool=stdio")
		h.prompt(`[[tool:Bash {"command":"touch x"}]]`)
		h.untilKind("can_use_tool")
		assert.Zero(t, h.end())
		assert.Contains(t, h.kinds(), "result")
		assert.NoFileExists(t, "x")
	})
	t.Run("waits for background work", func(t *testing.T) {
		h := start(t, nil)
		h.turn("[[selfturn:50ms late]]")
		h.forget()
		assert.Zero(t, h.end())
		assert.Contains(t, h.kinds(), "result")
	})
	t.Run("after an error", func(t *testing.T) {
		h := start(t, map[string]string{"CLAUDE_CODE_MAX_RETRIES": "0"})
		assert.Equal(t, true, h.turn("[[status:500]]")["is_error"])
		assert.Equal(t, 1, h.end())
	})
	t.Run("before anything", func(t *testing.T) {
		assert.Zero(t, start(t, nil).end())
	})
}

func TestInvalidKey(t *testing.T) {
	h := start(t, map[string]string{
		"UNDERSTUDY_SIM_KEY": "right", "ANTHROPIC_API_KEY": "wrong", "CLAUDE_CODE_MAX_RETRIES": "1", "UNDERSTUDY_SIM_RETRY": "1ms",
	})
	result := h.turn("hello")
	retry := h.seen[3]
	assert.Equal(t, "api_retry", retry.kind())
	assert.Equal(t, "authentication_failed", retry["error"])
	assert.Equal(t, float64(401), retry["error_status"])
	assert.Equal(t, true, result["is_error"])
	assert.Equal(t, float64(401), result["api_error_status"])
	assert.Equal(t, 1, h.end())
}

// shared is the environment of several processes on the same conversations.
func shared(t *testing.T) map[string]string {
	t.Chdir(t.TempDir())
	return map[string]string{"CLAUDE_CONFIG_DIR": t.TempDir()}
}

const session = "aaaaaaaa-0000-4000-8000-000000000001"

func TestResume(t *testing.T) {
	env := shared(t)
	h := start(t, env, "--session-id="+session, "--model=haiku")
	first := h.prompt("first")
	h.untilType("result")
	assert.Zero(t, h.end())

	h = start(t, env, "--session-id="+session)
	assert.Equal(t, 1, h.exit())
	assert.Equal(t, "Error: Session ID "+session+" is already in use.\n", h.stderr.String())

	env["CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS"] = "1"
	h = start(t, env, "--resume="+session)
	result := h.turn("[[history]]")
	assert.Equal(t, "history: first", result["result"])
	assert.Equal(t, session, result["session_id"])
	assert.InDelta(t, 0.0025, result["total_cost_usd"], 1e-9, "goes on from the saved total, with the model of before")
	h.untilKind("idle")
	h.forget()
	h.promptAs(first, "first")
	h.untilKind("idle")
	assert.Equal(t, []string{"command completed", "idle"}, h.kinds(), "an answered prompt is dropped")

	unanswered := h.prompt("[[crash]]")
	assert.Equal(t, 137, h.exit())
	h = start(t, env, "--resume="+session)
	h.promptAs(unanswered, "again")
	result = h.untilType("result")
	assert.Equal(t, "echo: again", result["result"], "an unanswered one runs")
	assert.InDelta(t, 0.0025, result["total_cost_usd"], 1e-9, "nothing was saved by the one that crashed")
	assert.Equal(t, "history: first | [[history]] | [[crash]]", h.turn("[[history]]")["result"], "recorded once")
	assert.Zero(t, h.end())
}

func TestCrashBeforeAnythingWasWritten(t *testing.T) {
	env := shared(t)
	h := start(t, env, "--session-id="+session)
	h.prompt("[[crash:early]]")
	assert.Equal(t, 137, h.exit())

	h = start(t, env, "--resume="+session)
	assert.Equal(t, 1, h.exit())
	assert.Equal(t, "No conversation found with session ID: "+session+"\n", h.stderr.String())

	h = start(t, env, "--session-id="+session)
	assert.Equal(t, "echo: hello", h.turn("hello")["result"])
	assert.Zero(t, h.end())
}

func TestNoSessionPersistence(t *testing.T) {
	env := shared(t)
	h := start(t, env, "--session-id="+session, "--no-session-persistence")
	h.turn("hello")
	assert.Zero(t, h.end())
	entries, err := os.ReadDir(env["CLAUDE_CONFIG_DIR"])
	require.NoError(t, err)
	assert.Empty(t, entries)
}

func TestForkAndContinue(t *testing.T) {
	env := shared(t)
	h := start(t, env, "--session-id="+session)
	h.turn("first")
	assert.Zero(t, h.end())

	const other = "bbbbbbbb-0000-4000-8000-000000000001"
	h = start(t, env, "--resume="+session, "--fork-session", "--session-id="+other)
	result := h.turn("[[history]]")
	assert.Equal(t, "history: first", result["result"])
	assert.Equal(t, other, result["session_id"])
	assert.Zero(t, h.end())

	h = start(t, env, "--continue")
	assert.Equal(t, other, h.turn("x")["session_id"], "the newest of the directory")
	assert.Zero(t, h.end())
}

func TestDamagedTranscript(t *testing.T) {
	env := shared(t)
	h := start(t, env, "--session-id="+session)
	h.turn("first")
	assert.Zero(t, h.end())
	files, err := filepath.Glob(filepath.Join(env["CLAUDE_CONFIG_DIR"], "projects", "*", session+".jsonl"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(files[0], append([]byte("garbage\n"), data[:len(data)-20]...), 0o600))

	h = start(t, env, "--resume="+session)
	assert.Equal(t, "history: first", h.turn("[[history]]")["result"])
	assert.Zero(t, h.end())
	h = start(t, env, "--resume="+session)
	assert.Equal(t, "history: first | [[history]]", h.turn("[[history]]")["result"], "the torn line swallowed nothing")
	assert.Zero(t, h.end())
}

func TestStartup(t *testing.T) {
	t.Run("garbage", func(t *testing.T) {
		h := start(t, map[string]string{"UNDERSTUDY_SIM_STARTUP": "garbage"})
		assert.Equal(t, "garbage", h.next().str("type"))
		assert.Equal(t, 1, h.end())
	})
	t.Run("silent", func(t *testing.T) {
		h := start(t, map[string]string{"UNDERSTUDY_SIM_STARTUP": "silent"})
		h.request(frame{"subtype": "initialize"})
		assert.Equal(t, 1, h.end())
		assert.Empty(t, h.seen)
	})
	t.Run("slow", func(t *testing.T) {
		h := start(t, map[string]string{"UNDERSTUDY_SIM_STARTUP": "slow:20ms"})
		assert.Equal(t, "success", h.initialize(nil).str("response", "subtype"))
		assert.Zero(t, h.end())
	})
	t.Run("exit", func(t *testing.T) {
		assert.Equal(t, 7, start(t, map[string]string{"UNDERSTUDY_SIM_STARTUP": "exit:7"}).exit())
	})
}

func TestWorkByItself(t *testing.T) {
	h := start(t, map[string]string{"UNDERSTUDY_SIM_WORK_EVERY": "5ms"})
	h.initialize(nil)
	result := h.untilType("result")
	assert.Equal(t, "task-notification", result.str("origin", "kind"))
	assert.Equal(t, "success", result["subtype"])
	_ = h.end()
}
