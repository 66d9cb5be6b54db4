package protocol_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
)

func encode(t *testing.T, m protocol.Message) string {
	t.Helper()
	b, err := protocol.Encode(m)
	require.NoError(t, err)
	return string(b)
}

// Each case decodes a line, edits typed fields and names the whole line that must come out.
func TestEncodeEdits(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		edit func(protocol.Message)
		want string
	}{
		"scalar, unknown and null stay": {
			`{"type":"result","subtype":"success","is_error":false,"stop_reason":null,"total_cost_usd":1e-3,"new":{"a":null},"num_turns":1}`,
			func(m protocol.Message) { m.(*protocol.Result).NumTurns = 2 },
			`{"type":"result","subtype":"success","is_error":false,"stop_reason":null,"total_cost_usd":1e-3,"new":{"a":null},"num_turns":2}`,
		},
		"to zero": {
			`{"type":"result","is_error":true,"num_turns":4,"result":"x","errors":["a"],"usage":{"input_tokens":7,"speed":"fast"}}`,
			func(m protocol.Message) {
				r := m.(*protocol.Result)
				r.IsError, r.NumTurns, r.Result, r.Errors, r.Usage.InputTokens = false, 0, "", nil, 0
			},
			`{"type":"result","is_error":false,"num_turns":0,"usage":{"input_tokens":0,"speed":"fast"}}`,
		},
		"added, pointer set": {
			`{"type":"result","stop_reason":null}`,
			func(m protocol.Message) {
				r := m.(*protocol.Result)
				r.StopReason, r.SessionID, r.QueuedTurnCount = new("end_turn"), "s", new(0)
			},
			`{"type":"result","stop_reason":"end_turn","session_id":"s","queued_turn_count":0}`,
		},
		"pointer cleared": {
			`{"type":"result","stop_reason":"end_turn","api_error_status":529}`,
			func(m protocol.Message) {
				m.(*protocol.Result).StopReason = nil
				m.(*protocol.Result).APIErrorStatus = nil
			},
			`{"type":"result","stop_reason":null}`,
		},
		"struct in a map": {
			`{"type":"result","modelUsage":{"m":{"costUSD":1,"x":[null]}}}`,
			func(m protocol.Message) {
				r := m.(*protocol.Result)
				u := r.ModelUsage["m"]
				u.CostUSD = 2
				r.ModelUsage["m"] = u
			},
			`{"type":"result","modelUsage":{"m":{"costUSD":2,"x":[null]}}}`,
		},
		"nested block": {
			`{"type":"assistant","message":{"id":"m","diag":null,"content":[{"type":"text","text":"a","n":1},{"type":"tool_use","id":"1","name":"Bash","input":{},"caller":{"x":1}}]}}`,
			func(m protocol.Message) {
				a := m.(*protocol.Assistant)
				a.Message.Content[0].(*protocol.TextBlock).Text = "b"
				a.Message.Content[1].(*protocol.ToolUseBlock).Input = json.RawMessage(`{"command":"ls"}`)
			},
			`{"type":"assistant","message":{"id":"m","diag":null,"content":[{"type":"text","text":"b","n":1},{"type":"tool_use","id":"1","name":"Bash","input":{"command":"ls"},"caller":{"x":1}}]}}`,
		},
		"blocks moved and added": {
			`{"type":"assistant","message":{"content":[{"type":"text","text":"a","n":1},{"type":"new","k":2}]}}`,
			func(m protocol.Message) {
				a := m.(*protocol.Assistant)
				c := a.Message.Content
				a.Message.Content = []protocol.ContentBlock{c[1], c[0], &protocol.ToolUseBlock{ID: "i", Name: "N"}}
			},
			`{"type":"assistant","message":{"content":[{"type":"new","k":2},{"type":"text","text":"a","n":1},{"type":"tool_use","id":"i","name":"N","input":{}}]}}`,
		},
		"tool result deep inside": {
			`{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"a","n":1}],"cache":{}}]}}`,
			func(m protocol.Message) {
				b := m.(*protocol.User).Message.Content.Blocks()[0].(*protocol.ToolResultBlock)
				b.IsError = true
				b.Content.Blocks()[0].(*protocol.TextBlock).Text = "c"
			},
			`{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"c","n":1}],"cache":{},"is_error":true}]}}`,
		},
		"content replaced": {
			`{"type":"user","message":{"role":"user","content":[{"type":"text","text":"a"}],"z":1},"uuid":"u"}`,
			func(m protocol.Message) { m.(*protocol.User).Message.Content = protocol.TextContent("new") },
			`{"type":"user","message":{"role":"user","content":"new","z":1},"uuid":"u"}`,
		},
		"wrong type replaced": {
			`{"type":"result","is_error":"yes","num_turns":[],"usage":7,"modelUsage":[]}`,
			func(m protocol.Message) {
				r := m.(*protocol.Result)
				r.IsError, r.NumTurns = false, 3
				r.ModelUsage = map[string]protocol.ModelUsage{}
			},
			`{"type":"result","is_error":false,"num_turns":3,"usage":7,"modelUsage":{}}`,
		},
		"duplicates of an edited key go": {
			`{"type":"result","num_turns":1,"q":1,"num_turns":2,"q":2}`,
			func(m protocol.Message) { m.(*protocol.Result).NumTurns = 3 },
			`{"type":"result","num_turns":3,"q":2}`,
		},
		"escaped key": {
			`{"type":"result","num\u005fturns":1}`,
			func(m protocol.Message) { m.(*protocol.Result).NumTurns = 3 },
			`{"type":"result","num_turns":3}`,
		},
		"list of structs": {
			`{"type":"user","message":{"role":"user","content":"x"},"tool_result_meta":[{"id":"a","n":1,"permission_decision":{"decision":"accept","source":"config","w":0}},{"id":"b","n":2}]}`,
			func(m protocol.Message) {
				u := m.(*protocol.User)
				u.ToolResultMeta[0].PermissionDecision.Source = "hook"
				u.ToolResultMeta = append(u.ToolResultMeta, protocol.ToolResultMeta{ID: "c"})
			},
			`{"type":"user","message":{"role":"user","content":"x"},"tool_result_meta":[{"id":"a","n":1,"permission_decision":{"decision":"accept","source":"hook","w":0}},{"id":"b","n":2},{"id":"c"}]}`,
		},
		"control request": {
			`{"type":"control_request","request_id":"1","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"a":1},"future":true},"z":null}`,
			func(m protocol.Message) {
				q := m.(*protocol.ControlRequest)
				q.RequestID = "2"
				q.Request.(*protocol.CanUseTool).Input = json.RawMessage(`{"a":2}`)
			},
			`{"type":"control_request","request_id":"2","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"a":2},"future":true},"z":null}`,
		},
		"message replaced as a whole": {
			`{"type":"assistant","message":{"id":"m","diag":1},"x":1}`,
			func(m protocol.Message) {
				m.(*protocol.Assistant).Message = protocol.AssistantMessage{ID: "n", Role: "assistant", Model: "o"}
			},
			`{"type":"assistant","message":{"type":"message","id":"n","role":"assistant","model":"o","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0}},"x":1}`,
		},
		"unknown retyped": {
			`{"type":"future","k":[1,{"a":null}]}`,
			func(m protocol.Message) { m.(*protocol.Unknown).Subtype = "s" },
			`{"type":"future","k":[1,{"a":null}],"subtype":"s"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := protocol.Decode([]byte(c.line))
			require.NoError(t, err)
			assert.JSONEq(t, c.line, encode(t, m), "before the edit")
			c.edit(m)
			got := encode(t, m)
			assert.JSONEq(t, c.want, got)
			again, err := protocol.Decode([]byte(got))
			require.NoError(t, err)
			assert.JSONEq(t, c.want, encode(t, again))
			assert.JSONEq(t, c.line, string(m.Raw()), "Raw is the line as it came")
		})
	}
}

// Every recorded frame is edited and must differ from itself in the edited key only.
func TestTranscriptsEdited(t *testing.T) {
	n := 0
	for _, r := range transcripts(t) {
		m, err := protocol.Decode(r.frame)
		require.NoError(t, err)
		want := value(t, r.frame).(map[string]any)
		switch m := m.(type) {
		case *protocol.Assistant:
			m.Message.Usage.OutputTokens = 4711
			want["message"].(map[string]any)["usage"].(map[string]any)["output_tokens"] = json.Number("4711")
		case *protocol.User:
			m.ParentToolUseID = new("t")
			want["parent_tool_use_id"] = "t"
		case *protocol.Result:
			m.TotalCostUSD = 1.5
			want["total_cost_usd"] = json.Number("1.5")
			for k, u := range m.ModelUsage {
				u.InputTokens = 9
				m.ModelUsage[k] = u
				want["modelUsage"].(map[string]any)[k].(map[string]any)["inputTokens"] = json.Number("9")
			}
		case *protocol.Init:
			m.Tools = m.Tools[:1]
			want["tools"] = want["tools"].([]any)[:1]
		case *protocol.ControlRequest:
			m.RequestID = "r"
			want["request_id"] = "r"
		case *protocol.ControlResponse:
			m.Response.RequestID = "r"
			want["response"].(map[string]any)["request_id"] = "r"
		default:
			continue
		}
		n++
		assert.Equal(t, any(want), value(t, []byte(encode(t, m))), r.name)
	}
	assert.Greater(t, n, 100)
}

func TestEncodeBuilt(t *testing.T) {
	assert.Equal(t, `{"type":"user","message":{"role":"user","content":"hi"},"parent_tool_use_id":null,"session_id":"","uuid":"u"}`,
		encode(t, protocol.NewUserText("u", "hi")))
	assert.Equal(t, `{"type":"user","message":{"role":"user","content":[{"type":"text","text":"a"}]},"parent_tool_use_id":null,"session_id":""}`,
		encode(t, protocol.NewUserBlocks("", &protocol.TextBlock{Text: "a"})))
	assert.Equal(t, `{"type":"system","subtype":"status","status":null,"uuid":"","session_id":"s"}`,
		encode(t, &protocol.Status{SessionID: "s"}))
	assert.Equal(t, `{"type":"keep_alive"}`, encode(t, &protocol.KeepAlive{}))
	b, err := json.Marshal(map[string]any{"m": protocol.NewUserText("", "hi")})
	require.NoError(t, err)
	assert.Contains(t, string(b), `{"m":{"type":"user"`)
}

func TestEncodeRefuses(t *testing.T) {
	for name, m := range map[string]protocol.Message{
		"nil":               nil,
		"typed nil":         (*protocol.User)(nil),
		"no message":        &protocol.User{},
		"role":              &protocol.User{Message: protocol.UserMessage{Role: "assistant", Content: protocol.TextContent("x")}},
		"no request":        &protocol.ControlRequest{RequestID: "1"},
		"nil request":       protocol.NewControlRequest("1", (*protocol.Interrupt)(nil)),
		"nil raw request":   protocol.NewControlRequest("1", (*protocol.UnknownRequest)(nil)),
		"no request id":     protocol.NewControlRequest("", &protocol.Interrupt{}),
		"no mode":           protocol.NewControlRequest("1", &protocol.SetPermissionMode{}),
		"broken raw":        &protocol.StreamEvent{Event: json.RawMessage(`{"a":`)},
		"two values in raw": &protocol.StreamEvent{Event: json.RawMessage("{}\n{}")},
		"nil block":         protocol.NewUserBlocks("", nil),
		"not a number":      &protocol.Result{TotalCostUSD: math.NaN()},
	} {
		b, err := protocol.Encode(m)
		assert.Error(t, err, name)
		assert.Nil(t, b, name)
	}
	_, err := protocol.Encode(protocol.NewControlRequest("", &protocol.Interrupt{}))
	assert.EqualError(t, err, "encode control_request/interrupt frame: request_id is empty")
}
