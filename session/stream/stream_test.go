package stream_test

import (
	"errors"
	"iter"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/stream"
)

var errLost = errors.New("lost")

// turn is the messages of these lines, and an error behind them if there is one.
func turn(t testing.TB, failure error, lines ...string) stream.Messages {
	return func(yield func(protocol.Message, error) bool) {
		for _, line := range lines {
			m, err := protocol.Decode([]byte(line))
			require.NoError(t, err, line)
			if !yield(m, nil) {
				return
			}
		}
		if failure != nil {
			yield(nil, failure)
		}
	}
}

// conversation has a subagent, parallel tools, thinking and a tool that was cut off.
var conversation = []string{
	`{"type":"system","subtype":"init","session_id":"s"}`,
	`{"type":"assistant","message":{"id":"m1","content":[{"type":"thinking","thinking":"hm","signature":"x"}]},"parent_tool_use_id":null}`,
	`{"type":"assistant","message":{"id":"m1","content":[{"type":"text","text":"Let me look. "}]},"parent_tool_use_id":null}`,
	`{"type":"assistant","message":{"id":"m1","content":[{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"ls"}}]},"parent_tool_use_id":null}`,
	`{"type":"assistant","message":{"id":"m1","content":[{"type":"tool_use","id":"t2","name":"Read","input":{}}]},"parent_tool_use_id":null}`,
	`{"type":"assistant","message":{"id":"s1","content":[{"type":"text","text":"subagent"},{"type":"tool_use","id":"t3","name":"Bash","input":{}}]},"parent_tool_use_id":"task"}`,
	`{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t2","content":"read"}]},"parent_tool_use_id":null}`,
	`{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t3","content":"sub"}]},"parent_tool_use_id":"task"}`,
	`{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"a b","is_error":true}]},"parent_tool_use_id":null}`,
	`{"type":"assistant","message":{"id":"m2","content":[{"type":"text","text":"Done."}]},"parent_tool_use_id":null}`,
	`{"type":"assistant","message":{"id":"m2","content":[{"type":"tool_use","id":"t4","name":"Bash","input":{}}]},"parent_tool_use_id":null}`,
	`{"type":"result","subtype":"success","is_error":false,"result":"Done.","num_turns":2,"session_id":"s","stop_reason":"end_turn","total_cost_usd":0.5,"structured_output":{"safe":true,"score":7}}`,
}

func list[T any](t *testing.T, seq iter.Seq2[T, error]) (values []T, failure error) {
	for v, err := range seq {
		require.NoError(t, failure, "something follows an error")
		if err != nil {
			failure = err
			continue
		}
		values = append(values, v)
	}
	return values, failure
}

func TestTakenApart(t *testing.T) {
	for name, seq := range map[string]struct {
		got  func(stream.Messages) iter.Seq2[string, error]
		want string
	}{
		"text":     {func(m stream.Messages) iter.Seq2[string, error] { return stream.Text(m) }, "Let me look. |Done."},
		"all text": {func(m stream.Messages) iter.Seq2[string, error] { return stream.Text(m, stream.Everyone()) }, "Let me look. |subagent|Done."},
		"subagent": {func(m stream.Messages) iter.Seq2[string, error] { return stream.Text(m, stream.Subagent("task")) }, "subagent"},
		"nobody":   {func(m stream.Messages) iter.Seq2[string, error] { return stream.Text(m, stream.Subagent("x")) }, ""},
		"thinking": {func(m stream.Messages) iter.Seq2[string, error] { return stream.Thinking(m) }, "hm"},
		"deltas":   {func(m stream.Messages) iter.Seq2[string, error] { return stream.TextDeltas(m) }, "Let me look. |Done."},
		"uses": {func(m stream.Messages) iter.Seq2[string, error] {
			return mapped(stream.ToolUses(m), func(u *protocol.ToolUseBlock) string { return u.ID })
		}, "t1|t2|t4"},
		"results": {func(m stream.Messages) iter.Seq2[string, error] {
			return mapped(stream.ToolResults(m, nil), func(r *protocol.ToolResultBlock) string { return r.ToolUseID })
		}, "t2|t1"},
		"results of Bash": {func(m stream.Messages) iter.Seq2[string, error] {
			return mapped(stream.ToolResults(m, []string{"Bash"}, stream.Everyone()), func(r *protocol.ToolResultBlock) string { return r.ToolUseID })
		}, "t3|t1"},
		"calls": {func(m stream.Messages) iter.Seq2[string, error] {
			return mapped(stream.ToolCalls(m, nil), func(c stream.ToolCall) string {
				if c.Result == nil {
					return c.Use.ID + " cut"
				}
				return c.Use.ID + " " + c.Result.Content.Text()
			})
		}, "t2 read|t1 a b|t4 cut"},
		"kinds": {func(m stream.Messages) iter.Seq2[string, error] {
			return mapped(stream.OfKind(m, "system", "result/success", "assist", "user/"), protocol.Message.Kind)
		}, "system/init|result/success"},
		"results by type": {func(m stream.Messages) iter.Seq2[string, error] {
			return mapped(stream.OfType[*protocol.Result](m), func(r *protocol.Result) string { return r.Result })
		}, "Done."},
		"messages": {func(m stream.Messages) iter.Seq2[string, error] {
			return mapped(stream.Assemble(m), func(m *protocol.AssistantMessage) string { return m.ID })
		}, "m1|m1|m1|m1|m2|m2"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := list(t, seq.got(turn(t, nil, conversation...)))
			require.NoError(t, err)
			assert.Equal(t, seq.want, strings.Join(got, "|"))

			// The same with an error at the end: nothing of either is lost.
			got, err = list(t, seq.got(turn(t, errLost, conversation...)))
			require.ErrorIs(t, err, errLost)
			assert.Equal(t, seq.want, strings.Join(got, "|"))

			// Whoever leaves is not called again, and neither is the source.
			for range seq.got(turn(t, nil, conversation...)) {
				break
			}
		})
	}
}

func mapped[T any](seq iter.Seq2[T, error], f func(T) string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for v, err := range seq {
			if err != nil {
				yield("", err)
				return
			}
			if !yield(f(v), nil) {
				return
			}
		}
	}
}

func TestCollect(t *testing.T) {
	s, err := stream.Collect(turn(t, nil, conversation...))
	require.NoError(t, err)
	assert.Equal(t, "Let me look. Done.", s.Text)
	assert.Equal(t, "hm", s.Thinking)
	require.Len(t, s.Tools, 3)
	assert.Equal(t, "a b", s.Tools[0].Result.Content.Text())
	assert.True(t, s.Tools[0].Result.IsError)
	assert.Nil(t, s.Tools[2].Result)
	assert.Equal(t, "s", s.SessionID)
	assert.Equal(t, "end_turn", s.StopReason)
	assert.InDelta(t, 0.5, s.TotalCostUSD, 0)
	assert.Equal(t, 2, s.NumTurns)

	s, err = stream.Collect(turn(t, errLost, conversation[:5]...))
	require.ErrorIs(t, err, errLost)
	assert.Equal(t, "Let me look. ", s.Text)
	_, err = stream.Collect(turn(t, nil, conversation[:5]...))
	require.ErrorIs(t, err, stream.ErrNoResult)
}

func TestResult(t *testing.T) {
	text, err := stream.FinalText(turn(t, nil, conversation...))
	require.NoError(t, err)
	assert.Equal(t, "Done.", text)
	text, err = stream.FinalText(turn(t, errLost, conversation...))
	require.ErrorIs(t, err, errLost, "as a query ends behind an error result")
	assert.Equal(t, "Done.", text)
	_, err = stream.FinalText(turn(t, nil, conversation[0]))
	require.ErrorIs(t, err, stream.ErrNoResult)

	type verdict struct {
		Safe  bool
		Score int
	}
	v, err := stream.Structured[verdict](turn(t, nil, conversation...))
	require.NoError(t, err)
	assert.Equal(t, verdict{true, 7}, v)
	_, err = stream.Structured[[]string](turn(t, nil, conversation...))
	require.ErrorContains(t, err, "decode structured output")
	_, err = stream.Structured[verdict](turn(t, nil, `{"type":"result","subtype":"success","result":"I will not."}`))
	require.ErrorIs(t, err, stream.ErrNoOutput)
	require.ErrorContains(t, err, "I will not.")
	_, err = stream.Structured[verdict](turn(t, errLost, conversation...))
	require.ErrorIs(t, err, errLost)
}

func TestUntilResultAndTap(t *testing.T) {
	seen := 0
	got, err := list(t, stream.UntilResult(stream.Tap(turn(t, errLost, append(conversation, conversation...)...), func(protocol.Message) { seen++ })))
	require.NoError(t, err)
	assert.Len(t, got, len(conversation))
	assert.Equal(t, len(conversation), seen)
}

func TestDeltasComeOnce(t *testing.T) {
	lines := []string{
		event(`{"type":"message_start","message":{"id":"m","role":"assistant","content":[],"usage":{"input_tokens":9,"output_tokens":1}}}`),
		event(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`),
		event(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}`),
		event(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}`),
		`{"type":"assistant","message":{"id":"m","content":[{"type":"text","text":"Hello"}]},"parent_tool_use_id":null}`,
		event(`{"type":"content_block_stop","index":0}`),
		event(`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}`),
		event(`{"type":"message_stop"}`),
		`{"type":"assistant","message":{"id":"n","model":"<synthetic>","content":[{"type":"text","text":"API Error"}]},"parent_tool_use_id":null}`,
	}
	got, err := list(t, stream.TextDeltas(turn(t, nil, lines...)))
	require.NoError(t, err)
	assert.Equal(t, []string{"Hel", "lo", "API Error"}, got)
}

func event(e string) string {
	return `{"type":"stream_event","parent_tool_use_id":null,"event":` + e + `}`
}

func TestAssemble(t *testing.T) {
	lines := []string{
		event(`{"type":"message_start","message":{"id":"m","role":"assistant","content":[],"stop_reason":null,"usage":{"input_tokens":9,"output_tokens":1}}}`),
		event(`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`),
		event(`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"I think"}}`),
		event(`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}`),
		event(`{"type":"content_block_stop","index":0}`),
		event(`{"type":"ping"}`),
		event(`{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"","citations":null}}`),
		event(`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"I say"}}`),
		event(`{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"cited_text":"x"}}}`),
		event(`{"type":"content_block_stop","index":1}`),
		event(`{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t","name":"Bash","input":{}}}`),
		event(`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"command\":"}}`),
	}
	var a stream.Assembler
	for _, line := range lines {
		m, err := protocol.Decode([]byte(line))
		require.NoError(t, err)
		whole, err := a.Add(m.(*protocol.StreamEvent))
		require.NoError(t, err)
		require.Nil(t, whole)
	}
	half, err := a.Snapshot("")
	require.NoError(t, err)
	assert.Equal(t, "I say", protocol.TextOf(half.Content))
	assert.JSONEq(t, `{}`, string(half.Content[2].(*protocol.ToolUseBlock).Input), "half an input is none")
	none, err := a.Snapshot("task")
	require.NoError(t, err)
	assert.Nil(t, none)

	lines = append(lines,
		event(`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\"ls\"}"}}`),
		event(`{"type":"content_block_stop","index":2}`),
		event(`{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":42}}`),
		event(`{"type":"message_stop"}`),
		`{"type":"assistant","message":{"id":"m","content":[{"type":"text","text":"I say"}]},"parent_tool_use_id":null}`,
	)
	got, err := list(t, stream.Assemble(turn(t, nil, lines...)))
	require.NoError(t, err)
	require.Len(t, got, 1)
	data, err := got[0].MarshalJSON()
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"m","role":"assistant","stop_reason":"tool_use","usage":{"input_tokens":9,"output_tokens":42},"content":[
		{"type":"thinking","thinking":"I think","signature":"sig"},
		{"type":"text","text":"I say","citations":[{"cited_text":"x"}]},
		{"type":"tool_use","id":"t","name":"Bash","input":{"command":"ls"}}]}`, string(data))

	// Cut off: what there is comes before the result.
	cut := append(lines[:9:9], `{"type":"result","subtype":"error_during_execution","is_error":true}`)
	got, err = list(t, stream.Assemble(turn(t, errLost, cut...)))
	require.ErrorIs(t, err, errLost)
	require.Len(t, got, 1)
	assert.Equal(t, "I say", protocol.TextOf(got[0].Content))

	for name, bad := range map[string][]string{
		"no start":      {lines[1]},
		"no block":      {lines[0], lines[2]},
		"wrong order":   {lines[0], lines[6]},
		"no event":      {`{"type":"stream_event","event":[]}`},
		"no such index": {lines[0], event(`{"type":"content_block_delta","index":-1,"delta":{}}`)},
	} {
		_, err := list(t, stream.Assemble(turn(t, nil, bad...)))
		require.Error(t, err, name)
	}
}

// What the real CLI sent in pieces makes the same blocks as the frames it sent whole.
func TestAssembleAsRecorded(t *testing.T) {
	file := "../../testdata/transcripts/partial-messages.txtar"
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var lines []string
	for _, f := range txtar.Parse(data).Files {
		if f.Name == "frames" {
			for line := range strings.Lines(string(f.Data)) {
				if frame, ok := strings.CutPrefix(line, "← "); ok {
					lines = append(lines, frame)
				}
			}
		}
	}
	whole := map[string]string{}
	for m, err := range turn(t, nil, lines...) {
		require.NoError(t, err)
		if a, ok := m.(*protocol.Assistant); ok {
			whole[a.Message.ID] += a.Text()
		}
	}
	got, err := list(t, stream.Assemble(turn(t, nil, lines...)))
	require.NoError(t, err)
	require.Len(t, got, len(whole))
	for _, m := range got {
		assert.Equal(t, whole[m.ID], protocol.TextOf(m.Content))
		assert.NotNil(t, m.StopReason)
	}
}
