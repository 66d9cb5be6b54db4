package protocol_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
)

func TestControlRequestsBuilt(t *testing.T) {
	raw, err := protocol.NewRequest("rename_thing", map[string]any{"title": "a<b", "subtype": "no"})
	require.NoError(t, err)
	plain, err := protocol.NewRequest("get_thing", nil)
	require.NoError(t, err)
	for want, body := range map[string]protocol.ControlBody{
		`{"subtype":"interrupt"}`:                                          &protocol.Interrupt{},
		`{"subtype":"interrupt","cancel_queued":true}`:                     &protocol.Interrupt{CancelQueued: true},
		`{"subtype":"set_model","model":null}`:                             &protocol.SetModel{},
		`{"subtype":"set_model","model":"haiku"}`:                          &protocol.SetModel{Model: new("haiku")},
		`{"subtype":"set_permission_mode","mode":"acceptEdits"}`:           &protocol.SetPermissionMode{Mode: protocol.ModeAcceptEdits},
		`{"subtype":"set_max_thinking_tokens","max_thinking_tokens":null}`: &protocol.SetMaxThinkingTokens{},
		`{"subtype":"mcp_status"}`:                                         &protocol.MCPStatus{},
		`{"subtype":"mcp_set_servers","servers":{}}`:                       &protocol.MCPSetServers{},
		`{"subtype":"stop_task","task_id":"t"}`:                            &protocol.StopTask{TaskID: "t"},
		`{"subtype":"end_session"}`:                                        &protocol.EndSession{},
		`{"subtype":"initialize"}`:                                         &protocol.Initialize{},
		`{"subtype":"mcp_message","server_name":"c","message":{}}`:         &protocol.MCPMessage{ServerName: "c", Message: json.RawMessage(`{}`)},
		`{"subtype":"rename_thing","title":"a<b"}`:                         raw,
		`{"subtype":"get_thing"}`:                                          plain,
		`{"subtype":"initialize","hooks":{"PostToolUse":[{"matcher":null,"hookCallbackIds":[]}],"PreToolUse":[{"matcher":"Bash","hookCallbackIds":["h0"],"timeout":60,"onFailure":"block"}]},"sdkMcpServers":["calc"],"appendSystemPrompt":"x"}`: &protocol.Initialize{
			Hooks: map[string][]protocol.HookMatcher{
				protocol.HookPreToolUse:  {{Matcher: new("Bash"), HookCallbackIDs: []string{"h0"}, Timeout: 60, OnFailure: protocol.OnFailureBlock}},
				protocol.HookPostToolUse: {{}},
			},
			SDKMCPServers: []string{"calc"}, AppendSystemPrompt: "x",
		},
	} {
		line := encode(t, protocol.NewControlRequest("r1", body))
		assert.JSONEq(t, `{"type":"control_request","request_id":"r1","request":`+want+`}`, line)
		back := decode[*protocol.ControlRequest](t, line)
		assert.IsType(t, body, back.Request)
		assert.Equal(t, body.RequestSubtype(), back.Request.RequestSubtype())
		assert.JSONEq(t, line, encode(t, back))
	}
	for _, fields := range []any{[]int{1}, json.RawMessage(`{`), func() {}} {
		_, err := protocol.NewRequest("x", fields)
		assert.Error(t, err)
	}
	_, err = protocol.NewRequest("", nil)
	assert.Error(t, err)
}

func TestControlRequestsFromTranscripts(t *testing.T) {
	var ask *protocol.CanUseTool
	hooks := map[string]*protocol.HookCallback{}
	for _, r := range transcripts(t) {
		m, err := protocol.Decode(r.frame)
		require.NoError(t, err)
		q, ok := m.(*protocol.ControlRequest)
		if !ok {
			continue
		}
		switch b := q.Request.(type) {
		case *protocol.CanUseTool:
			if b.ToolUseID == "toolu_549741cf9a5442fd999d" {
				ask = b
			}
		case *protocol.HookCallback:
			hooks[b.Input.HookEventName+b.Input.ToolName] = b
		case *protocol.MCPMessage:
			if r.dir == "out" {
				assert.Equal(t, "calc", b.ServerName)
			}
			assert.True(t, json.Valid(b.Message))
		}
	}
	require.NotNil(t, ask)
	assert.Equal(t, "Bash", ask.ToolName)
	assert.JSONEq(t, `{"command":"touch denied.txt"}`, string(ask.Input))
	assert.Equal(t, "/workspace/denied.txt", ask.BlockedPath)
	require.Len(t, ask.PermissionSuggestions, 3)
	assert.Equal(t, "addRules", ask.PermissionSuggestions[0].Type)
	assert.Equal(t, "touch denied.txt", *ask.PermissionSuggestions[0].Rules[0].RuleContent)
	assert.Equal(t, []string{"/workspace"}, ask.PermissionSuggestions[1].Directories)
	assert.Equal(t, protocol.ModeAcceptEdits, ask.PermissionSuggestions[2].Mode)

	post := hooks["PostToolUseRead"]
	require.NotNil(t, post)
	assert.Equal(t, "hook_1", post.CallbackID)
	assert.Equal(t, "/workspace", post.Input.CWD)
	assert.Equal(t, protocol.ModeDefault, post.Input.PermissionMode)
	assert.Equal(t, "medium", post.Input.Effort.Level)
	assert.InDelta(t, 7, *post.Input.DurationMS, 0)
	assert.NotEmpty(t, post.Input.ToolResponse)
	require.Contains(t, hooks, "PreToolUseBash")
	pre, err := json.Marshal(hooks["PreToolUseBash"].Input)
	require.NoError(t, err)
	assert.JSONEq(t, string(hooks["PreToolUseBash"].Input.Raw()), string(pre))
}

func TestHookInputFailure(t *testing.T) {
	var in protocol.HookInput
	require.NoError(t, json.Unmarshal([]byte(`{"hook_event_name":"PostToolUseFailure","tool_name":"Bash","tool_input":{},"tool_use_id":"t","error":"exit 1","is_interrupt":true,"duration_ms":1.5,"new":1}`), &in))
	assert.Equal(t, "exit 1", in.Error)
	assert.True(t, in.IsInterrupt)
	assert.InDelta(t, 1.5, *in.DurationMS, 0)
}

func TestControlResponses(t *testing.T) {
	var initialized, interrupted, refused int
	for _, r := range transcripts(t) {
		m, err := protocol.Decode(r.frame)
		require.NoError(t, err)
		resp, ok := m.(*protocol.ControlResponse)
		if !ok || r.dir != "out" {
			continue
		}
		if resp.Err() != nil && strings.HasPrefix(r.name, "requests.") { // where the CLI refuses what it knows
			continue
		}
		if err := resp.Err(); err != nil {
			refused++
			var ce *protocol.ControlError
			require.ErrorAs(t, err, &ce)
			assert.Equal(t, protocol.ErrorCodeUnsupported, ce.Code)
			assert.EqualError(t, err, "control request req_20: Unsupported control request subtype: nonsense_subtype (unsupported_request)")
			_, err := resp.Initialize()
			assert.ErrorAs(t, err, &ce)
			continue
		}
		if r.name == "interrupt.jsonl:6" || string(resp.Response.Payload) == `{"still_queued": []}` {
			got, err := resp.Interrupt()
			require.NoError(t, err)
			assert.Empty(t, got.StillQueued)
			interrupted++
			continue
		}
		got, err := resp.Initialize()
		require.NoError(t, err)
		if got.PID != 0 {
			initialized++
			assert.Equal(t, "2.1.330", got.ClaudeCodeVersion)
			assert.Equal(t, "ANTHROPIC_API_KEY", got.Account.APIKeySource)
			back, err := json.Marshal(got)
			require.NoError(t, err)
			assert.JSONEq(t, string(resp.Response.Payload), string(back))
		}
	}
	assert.Equal(t, 1, refused)
	assert.Equal(t, 1, interrupted)
	assert.Greater(t, initialized, 10)

	none := decode[*protocol.ControlResponse](t, `{"type":"control_response","response":{"subtype":"success","request_id":"1"}}`)
	got, err := none.Interrupt()
	require.NoError(t, err)
	assert.Nil(t, got.StillQueued)
	odd := decode[*protocol.ControlResponse](t, `{"type":"control_response","response":{"subtype":"later","request_id":"1"}}`)
	assert.EqualError(t, odd.Err(), `control request 1: answered with subtype "later" and no text`)
	wrong := decode[*protocol.ControlResponse](t, `{"type":"control_response","response":{"subtype":"success","request_id":"1","response":[]}}`)
	_, err = wrong.Initialize()
	assert.ErrorContains(t, err, "control request 1: read the answer")
}

func TestControlAnswers(t *testing.T) {
	q := &protocol.CanUseTool{Input: json.RawMessage(`{"command":"ls"}`)}
	for want, payload := range map[string]any{
		`{"behavior":"allow","updatedInput":{"command":"ls"}}`: protocol.Allowed(q),
		`{"behavior":"allow"}`:                                 protocol.Allow{},
		`{"behavior":"deny","message":"no"}`:                   protocol.Deny{Message: "no"},
		`{"behavior":"deny","message":"no","interrupt":true}`:  &protocol.Deny{Message: "no", Interrupt: true},
		`{"behavior":"allow","updatedPermissions":[{"type":"setMode","mode":"plan","destination":"session"}]}`: protocol.Allow{
			UpdatedPermissions: []protocol.PermissionUpdate{{Type: "setMode", Mode: protocol.ModePlan, Destination: "session"}},
		},
		`{}`: protocol.Empty(),
		`{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":"r"}}`:                  protocol.DenyTool("r"),
		`{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":"denied by the host"}}`: protocol.DenyTool(""),
		`{"continue":false,"stopReason":"s"}`: protocol.HookOutput{Continue: new(false), StopReason: "s"},
		`{"mcp_response":{"jsonrpc":"2.0"}}`:  protocol.MCPResponse{Response: json.RawMessage(`{"jsonrpc":"2.0"}`)},
		`{"action":"decline"}`:                protocol.ElicitationResponse{Action: protocol.ElicitDecline},
		`{"still_queued":["u"]}`:              &protocol.InterruptResponse{StillQueued: []string{"u"}},
		`{"html":"<&>"}`:                      map[string]string{"html": "<&>"},
		`{"as":"is"}`:                         json.RawMessage(`{"as":"is"}`),
	} {
		m, err := protocol.NewControlSuccess("r", payload)
		require.NoError(t, err, want)
		line := encode(t, m)
		assert.Equal(t, `{"type":"control_response","response":{"subtype":"success","request_id":"r","response":`+want+`}}`, line)
	}
	m, err := protocol.NewControlSuccess("r", nil)
	require.NoError(t, err)
	assert.Equal(t, `{"type":"control_response","response":{"subtype":"success","request_id":"r"}}`, encode(t, m))
	assert.Equal(t, `{"type":"control_response","response":{"subtype":"error","request_id":"r","error":"no"}}`, encode(t, protocol.NewControlError("r", "no")))
	assert.Equal(t, `{"type":"control_response","response":{"subtype":"error","request_id":"r","error":"Unsupported control request subtype: x","error_code":"unsupported_request"}}`,
		encode(t, protocol.NewUnsupported("r", "x")))
}

func TestDenyNeedsAMessage(t *testing.T) {
	for _, d := range []any{protocol.Deny{}, &protocol.Deny{Message: " \n"}} {
		m, err := protocol.NewControlSuccess("r", d)
		require.ErrorIs(t, err, protocol.ErrDenyWithoutMessage)
		assert.Nil(t, m)
	}
	_, err := protocol.NewDeny("")
	require.ErrorIs(t, err, protocol.ErrDenyWithoutMessage)
	_, err = protocol.NewControlSuccess("r", protocol.Allow{UpdatedInput: json.RawMessage(`[1]`)})
	assert.Error(t, err)
	_, err = protocol.NewControlSuccess("", protocol.Allow{})
	assert.Error(t, err)

	got, err := protocol.ParsePermissionResult(json.RawMessage(`{"message":"m","interrupt":true,"x":1,"behavior":"deny"}`))
	require.NoError(t, err)
	deny := got.(protocol.Deny)
	assert.Equal(t, "m", deny.Message)
	assert.True(t, deny.Interrupt)
	deny.Message = ""
	_, err = json.Marshal(deny)
	require.ErrorIs(t, err, protocol.ErrDenyWithoutMessage, "a decoded one that was edited too")
	got, err = protocol.ParsePermissionResult(json.RawMessage(`{"behavior":"allow","updatedInput":{"a":1}}`))
	require.NoError(t, err)
	assert.Equal(t, `{"a":1}`, string(got.(protocol.Allow).UpdatedInput))
	for _, bad := range []string{`{}`, `{"behavior":"ask"}`, `{"behavior":"deny"}`, `[]`, ``, `{"behavior":`, `{"behavior":"allow","updatedInput":7}`} {
		_, err := protocol.ParsePermissionResult(json.RawMessage(bad))
		assert.Error(t, err, bad)
	}
}

func TestPermissionMode(t *testing.T) {
	for in, want := range map[string]protocol.PermissionMode{
		"default": "default", "plan": "plan", "auto": "auto", "manual": "manual",
		"acceptEdits": "acceptEdits", "accept_edits": "acceptEdits", "accept-edits": "acceptEdits",
		"dontAsk": "dontAsk", "dont_ask": "dontAsk", "bypass-permissions": "bypassPermissions",
	} {
		got, err := protocol.ParsePermissionMode(in)
		require.NoError(t, err, in)
		assert.Equal(t, want, got)
		assert.True(t, got.Valid())
	}
	for _, in := range []string{"", "Plan", "delegate", "accept_Edits", "accept edits"} {
		_, err := protocol.ParsePermissionMode(in)
		assert.Error(t, err, in)
		assert.False(t, protocol.PermissionMode(in).Valid())
	}
	_, err := protocol.ParsePermissionMode("delegate")
	assert.EqualError(t, err, `permission mode "delegate": want one of plan, dontAsk, acceptEdits, default, bypassPermissions, auto, manual`)
}

func TestStreamEvent(t *testing.T) {
	var text strings.Builder
	types := map[string]bool{}
	for _, r := range transcripts(t) {
		m, err := protocol.Decode(r.frame)
		require.NoError(t, err)
		if e, ok := m.(*protocol.StreamEvent); ok {
			ev, err := e.Parse()
			require.NoError(t, err)
			types[ev.Type] = true
			delta, _ := e.TextDelta()
			text.WriteString(delta)
		}
	}
	assert.Contains(t, text.String(), "echo:")
	for _, typ := range []string{"message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"} {
		assert.True(t, types[typ], typ)
	}
	_, err := (&protocol.StreamEvent{}).Parse()
	assert.Error(t, err)
}
