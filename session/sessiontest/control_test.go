package sessiontest_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
)

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
