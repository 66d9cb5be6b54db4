package protocol_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
)

func decode[M protocol.Message](t *testing.T, line string) M {
	t.Helper()
	m, err := protocol.Decode([]byte(line))
	require.NoError(t, err, line)
	got, ok := m.(M)
	require.True(t, ok, "%T for %s", m, line)
	return got
}

func TestDecodeRefusesWhatIsNoFrame(t *testing.T) {
	for _, line := range []string{
		"", "  ", "null", "true", "12", `"x"`, "[]", `[{"type":"user"}]`, "warning: something", "{", `{"type"`, `{"type":}`,
		`{"type":"keep_alive",}`, `{"type":"keep_alive"} x`, `{"type":"keep_alive"}{}`, `{type:"x"}`, `{"type":"a` + "\x01" + `"}`,
		`{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":1e}`, `{"a":.5}`, `{"a":tru}`, `{"a":[1,]}`, `{"a":[1 2]}`, `{"a" 1}`,
		`{"type":"user","message":{"role":"user","content":[{"type":"text","text":"x"}`, "{\"a\":\x00}",
		`{"a":` + strings.Repeat("[", 10001) + strings.Repeat("]", 10001) + `}`,
	} {
		m, err := protocol.Decode([]byte(line))
		var de *protocol.DecodeError
		require.ErrorAs(t, err, &de, "%.60q gave %v", line, m)
		assert.Nil(t, m)
		assert.LessOrEqual(t, len(de.Excerpt), 400)
	}
}

func TestDecodeErrorShowsForeignTextOnly(t *testing.T) {
	_, err := protocol.Decode([]byte("(node:1) Warning: x"))
	assert.EqualError(t, err, `decode frame: byte 0: expected a JSON object: line starts with "(node:1) Warning: x"`)
	_, err = protocol.Decode([]byte(`{"type":"user","message":{"content":"secret`))
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "secret")
	assert.Contains(t, err.Error(), "unexpected end of input")
}

func TestDecodeKeyOrderAndDuplicates(t *testing.T) {
	a := decode[*protocol.Assistant](t, `{"message":{"content":[{"text":"x","type":"text"}],"id":"m"},"session_id":"s","type":"assistant"}`)
	assert.Equal(t, "x", a.Text())
	assert.IsType(t, &protocol.TextBlock{}, a.Message.Content[0])

	decode[*protocol.Status](t, `{"subtype":"status","type":"system"}`)
	decode[*protocol.Status](t, `{"status":null,"subtype":"status","uuid":"u","type":"system"}`)

	// The last of equal keys counts, for the type too.
	u := decode[*protocol.User](t, `{"type":"assistant","message":{"role":"user","content":"a"},"message":{"content":"b"},"type":"user"}`)
	assert.Equal(t, "b", u.Message.Content.Text())
	assert.Empty(t, u.Message.Role, "the first message must not shine through")
	decode[*protocol.Init](t, `{"type":"system","subtype":"status","subtype":"init"}`)
	decode[*protocol.Unknown](t, `{"type":"user","message":{"content":"b"},"type":7}`)
	u2 := decode[*protocol.User](t, `{"type":"user","message":{"content":[{"type":"text","type":"tool_use","id":"1","name":"N"},{"type":"image","text":"y","type":"text"}]}}`)
	assert.IsType(t, &protocol.ToolUseBlock{}, u2.Message.Content.Blocks()[0])
	assert.IsType(t, &protocol.TextBlock{}, u2.Message.Content.Blocks()[1])
	r := decode[*protocol.Result](t, `{"type":"result","num_turns":3,"num_turns":"x"}`)
	assert.Zero(t, r.NumTurns)

	// Keys are exact, also when written with escapes.
	r = decode[*protocol.Result](t, `{"type":"result","Subtype":"no","s\u0075btype":"success","is_error":false}`)
	assert.Equal(t, "success", r.Subtype)
	decode[*protocol.KeepAlive](t, `{"t\u0079pe":"keep_\u0061live"}`)
}

func TestDecodeUnknown(t *testing.T) {
	for line, want := range map[string]string{
		`{}`:                                     "",
		`{"type":7}`:                             "",
		`{"type":"future","subtype":"thing"}`:    "future/thing",
		`{"type":"system"}`:                      "system",
		`{"type":"system","subtype":5}`:          "system",
		`{"subtype":"init","session_id":"s"}`:    "/init",
		`{"type":"transcript_mirror","type":7}`:  "",
		`{"type":"system","subtype":"ui_toast"}`: "system/ui_toast",
	} {
		m := decode[*protocol.Unknown](t, line)
		assert.Equal(t, want, m.Kind(), line)
		assert.Empty(t, m.Reason, line)
	}
	u := decode[*protocol.Unknown](t, `{"type":"system","subtype":"future","thing":1,"session_id":"s"}`)
	assert.Equal(t, "system", u.Type)
	assert.Equal(t, "future", u.Subtype)
	assert.Equal(t, "s", protocol.SessionOf(u))
	assert.JSONEq(t, `{"type":"system","subtype":"future","thing":1,"session_id":"s"}`, string(u.Raw()))
	assert.Empty(t, protocol.UnknownFields(u), "its type is the news")
	for _, sub := range []string{"task_started", "task_progress", "task_updated", "task_notification", "background_tasks_changed"} {
		assert.Equal(t, sub, decode[*protocol.TaskEvent](t, `{"type":"system","subtype":"`+sub+`"}`).Subtype)
	}
}

// A wrong type spoils a field. Only what a frame cannot do without makes it Unknown.
func TestDecodeWrongTypes(t *testing.T) {
	line := `{"type":"result","subtype":"error_max_turns","is_error":"yes","num_turns":"three","total_cost_usd":1e999,` +
		`"duration_ms":12.7,"duration_api_ms":1e3,"usage":[1],"modelUsage":{"m":{"costUSD":0.5},"n":7},"errors":["a",1],` +
		`"stop_reason":false,"permission_denials":[{"tool_name":4}],"session_id":{"deep":[1]},"queued_turn_count":99999999999999999999}`
	r := decode[*protocol.Result](t, line)
	assert.True(t, r.IsError, "an is_error that is no boolean must not read as success")
	assert.True(t, r.Failed())
	assert.Equal(t, int64(12), r.DurationMS)
	assert.Equal(t, int64(1000), r.DurationAPIMS)
	assert.Zero(t, r.NumTurns)
	assert.Zero(t, r.TotalCostUSD)
	assert.Nil(t, r.ModelUsage)
	assert.Nil(t, r.Errors)
	assert.Nil(t, r.StopReason)
	assert.Nil(t, r.QueuedTurnCount)
	assert.Len(t, r.PermissionDenials, 1)
	assert.Equal(t, []string{
		"errors: want an array of strings, found an array",
		"is_error: want a boolean, found a string",
		"modelUsage: want an object, each value an object, found an object",
		"num_turns: want an integer, found a string",
		"permission_denials[].tool_name: want a string, found a number",
		"queued_turn_count: want an integer, found a number",
		"session_id: want a string, found an object",
		"stop_reason: want a string, found a boolean",
		"total_cost_usd: want a number, found a number",
		"usage: want an object, found an array",
	}, protocol.Defects(r))
	out, err := protocol.Encode(r)
	require.NoError(t, err)
	assert.Equal(t, value(t, []byte(line)), value(t, out))

	for line, reason := range map[string]string{
		`{"type":"assistant","message":"hi"}`:                                               "message: want an object, found a string",
		`{"type":"assistant"}`:                                                              "message is missing",
		`{"type":"user","message":null}`:                                                    "message: want an object, found null",
		`{"type":"control_request","request":{"subtype":"interrupt"}}`:                      "request_id is missing",
		`{"type":"control_request","request_id":7,"request":{"subtype":"interrupt"}}`:       "request_id: want a string, found a number",
		`{"type":"control_request","request_id":"7","request":[]}`:                          "request: want an object, found an array",
		`{"type":"control_response","response":{"subtype":"success"}}`:                      "request_id is missing",
		`{"type":"control_cancel_request"}`:                                                 "request_id is missing",
		`{"type":"system","subtype":"session_state_changed","state":{}}`:                    "state: want a string, found an object",
		`{"type":"user","message":{"content":"a"},"message":[]}`:                            "message: want an object, found an array",
		`{"request_id":"a","request_id":null,"request":{},"type":"control_cancel_request"}`: "request_id: want a string, found null",
	} {
		m := decode[*protocol.Unknown](t, line)
		assert.Equal(t, reason, m.Reason, line)
		assert.JSONEq(t, line, string(m.Raw()))
		out, err := protocol.Encode(m)
		require.NoError(t, err)
		assert.JSONEq(t, line, string(out))
	}
}

func TestDecodeNestedUnknownKinds(t *testing.T) {
	u := decode[*protocol.User](t, `{"type":"user","message":{"role":"user","content":[
		{"type":"tool_result","tool_use_id":"t1","is_error":1,"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
		{"type":"tool_result","content":"no id"}, {"type":"hologram","x":[1]}, {"text":"no type"}, null, "bare", 7,
		{"type":"tool_use","id":"i","name":5,"input":{}}]}}`)
	b := u.Message.Content.Blocks()
	require.Len(t, b, 8)
	res := b[0].(*protocol.ToolResultBlock)
	assert.True(t, res.IsError)
	assert.Equal(t, "ab", res.Content.Text())
	for i, want := range []protocol.UnknownBlock{
		{Type: "tool_result", Reason: "tool_use_id is missing"},
		{Type: "hologram"},
		{Reason: "type is missing or no string"},
		{Reason: "want an object, found null"},
		{Reason: "want an object, found a string"},
		{Reason: "want an object, found a number"},
		{Type: "tool_use", Reason: "name: want a string, found a number"},
	} {
		got := b[i+1].(*protocol.UnknownBlock)
		assert.Equal(t, want.Type, got.Type)
		assert.Equal(t, want.Reason, got.Reason)
		assert.NotEmpty(t, got.Raw())
	}
	out, err := protocol.Encode(u)
	require.NoError(t, err)
	assert.JSONEq(t, string(u.Raw()), string(out))
	assert.NotContains(t, string(out), "\n")

	q := decode[*protocol.ControlRequest](t, `{"type":"control_request","request_id":"1","request":{"subtype":"can_use_tool","tool_name":["Bash"],"input":{}}}`)
	bad := q.Request.(*protocol.UnknownRequest)
	assert.Equal(t, "can_use_tool", bad.Subtype)
	assert.Equal(t, "tool_name: want a string, found an array", bad.Reason)
	h := decode[*protocol.ControlRequest](t, `{"type":"control_request","request_id":"1","request":{"input":{"tool_name":"Bash"},"callback_id":"h","subtype":"hook_callback"}}`)
	assert.Equal(t, "hook_event_name is missing", h.Request.(*protocol.UnknownRequest).Reason)
}

func TestDecodeStrings(t *testing.T) {
	u := decode[*protocol.User](t, `{"type":"user","message":{"role":"user","content":"\"\\\/\b\f\n\r\té😀\ud83d\ude00\ud83dx`+"\xff"+`z"}}`)
	want := "\"\\/\b\f\n\r\té😀😀\uFFFDx\uFFFDz"
	assert.Equal(t, want, u.Message.Content.Text())
	out, err := protocol.Encode(u)
	require.NoError(t, err)
	assert.Equal(t, []byte(u.Raw()), out, "bytes that were not touched stay")

	// U+2028 and U+2029 end a line for some readers.
	u = decode[*protocol.User](t, "{\"type\":\"user\",\"\u2028\":\"\u2029\",\"message\":{\"role\":\"user\",\n\"content\":\"a\u2028b—c\"}}")
	out, err = protocol.Encode(u)
	require.NoError(t, err)
	assert.NotContains(t, string(out), "\u2028")
	assert.NotContains(t, string(out), "\u2029")
	assert.NotContains(t, string(out), "\n")
	assert.JSONEq(t, string(u.Raw()), string(out))
	out, err = protocol.Encode(protocol.NewUserText("", "a\u2028b<\x01\xff\n"))
	require.NoError(t, err)
	assert.Contains(t, string(out), `"a\u2028b<\u0001\ufffd\n"`)
}

// Strings of every length with a quote at every offset: the scanner takes eight bytes at a time.
func TestDecodeStringBoundaries(t *testing.T) {
	for n := range 40 {
		for at := range n + 1 {
			for _, c := range []string{"", `"`, "\\", "é", "\x7f", "\x00", "!", "!!"} {
				text := strings.Repeat("a", at) + c + strings.Repeat("b", n-at)
				b, err := json.Marshal(map[string]any{"type": "user", "message": map[string]any{"role": "user", "content": text}})
				require.NoError(t, err)
				m, err := protocol.Decode(b)
				require.NoError(t, err)
				require.Equal(t, text, m.(*protocol.User).Message.Content.Text())
			}
		}
	}
}

func TestDecodeDepthAndHostileNesting(t *testing.T) {
	deep := `{"type":"x","a":` + strings.Repeat("[", 9998) + strings.Repeat("]", 9998) + `}`
	decode[*protocol.Unknown](t, deep)

	// Tool results in tool results, with the type at the end of each.
	var sb strings.Builder
	const levels = 4000
	sb.WriteString(`{"type":"user","message":{"role":"user","content":`)
	sb.WriteString(strings.Repeat(`[{"content":`, levels) + `"x"` + strings.Repeat(`,"tool_use_id":"t","type":"tool_result"}]`, levels))
	sb.WriteString(`}}`)
	u := decode[*protocol.User](t, sb.String())
	out, err := protocol.Encode(u)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(u.Raw(), out))
}

func TestDecodeCopiesTheLine(t *testing.T) {
	line := []byte(` {"type":"user","message":{"role":"user","content":"abc"},"tool_use_result":{"k":"v"}} ` + "\n")
	m, err := protocol.Decode(line)
	require.NoError(t, err)
	for i := range line {
		line[i] = 'X'
	}
	u := m.(*protocol.User)
	assert.Equal(t, "abc", u.Message.Content.Text())
	assert.Equal(t, `{"k":"v"}`, string(u.ToolUseResult))
	assert.Equal(t, `{"type":"user","message":{"role":"user","content":"abc"},"tool_use_result":{"k":"v"}}`, string(u.Raw()))
}
