package protocol_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
)

// What is read quickly reads as the plans would read it: each key of a usual frame in turn is left out, doubled, given a
// value of each type, or a name that nobody knows.
func TestQuickReadingIsPlainReading(t *testing.T) {
	same := func(line string) {
		t.Helper()
		want, wantErr := protocol.DecodePlainly([]byte(line))
		got, err := protocol.Decode([]byte(line))
		require.Equal(t, wantErr, err, line)
		require.Equal(t, want, got, line)
		if err == nil {
			require.Equal(t, protocol.HasUnknownFields(want), protocol.HasUnknownFields(got), line)
		}
	}
	const assistant = `{"type":"assistant","message":{"model":"m","id":"msg","type":"message","role":"assistant","content":[{"type":"text","text":"a \"b\" ü"}],` +
		`"stop_reason":null,"stop_sequence":"s","usage":{"input_tokens":1000,"output_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"service_tier":"standard"},` +
		`"context_management":null},"parent_tool_use_id":"toolu","session_id":"s","uuid":"u","timestamp":"t","request_id":"r","error":"overloaded"}`
	const event = `{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}},"session_id":"s",` +
		`"parent_tool_use_id":null,"uuid":"u","ttft_ms":1.5}`
	count := 0
	for _, line := range []string{assistant, event} {
		same(line)
		same(" \t" + line + "\n")
		for i := range line {
			same(line[:i])                  // torn
			same(line[:i] + " " + line[i:]) // with a space somewhere
			if line[i] != '"' || !strings.Contains(line[i+1:], `"`) {
				continue
			}
			key, rest, _ := strings.Cut(line[i+1:], `"`)
			after, isKey := strings.CutPrefix(rest, ":")
			if !isKey {
				continue
			}
			count++
			same(line[:i] + `"new":7,` + line[i:])
			same(line[:i] + `"` + key + `_new":` + after)
			same(line[:i] + fmt.Sprintf(`"\u%04x%s":`, key[0], key[1:]) + after)
			for _, value := range []string{`null`, `true`, `"x"`, `"\u00fc"`, `0`, `12`, `012`, `1.5`, `1e3`, `-1`, `99999999999999999999`, `[]`, `[{"type":"text","text":"y"}]`, `{}`, `{"type":"text"}`, `nul`, `"x`} {
				same(line[:i] + `"` + key + `":` + value + `,` + line[i:]) // and then the other value
				same(line[:i] + `"` + key + `":` + value + `,"other":` + after)
				same(strings.TrimSuffix(line, "}") + `,"` + key + `":` + value + `}`)
			}
		}
	}
	assert.Greater(t, count, 25)
}

// Whatever the delta looks like, the text is what the parsed event says.
func TestDeltasArePeekedAt(t *testing.T) {
	for _, event := range []string{
		`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\u0041"}}`,
		`{"type":"content_block_delta","index":0,"delta":{"text":"a","type":"text_delta"}}`,
		`{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"},"delta":{"type":"text_delta","text":"b"}}`,
		`{"type":"content_block_delta","delta":{"type":"text_delta","text":"a","text":"b"}}`,
		`{"type":"content_block_delta","delta":{"type":"text_delta","type":"thinking_delta","thinking":"b"}}`,
		`{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"b"},"new":1}`,
		`{"type":"content_block_delta","delta":{"type":"text_delta","text":7}}`,
		`{"type":"content_block_delta","delta":{"type":"text_delta"}}`,
		`{"type":"content_block_delta","delta":null}`,
		`{"type":"message_stop"}`, `{}`, `[]`, `null`, `{"delta"`, ``,
	} {
		m := &protocol.StreamEvent{Event: []byte(event)}
		e, err := m.Parse()
		text, ok := m.TextDelta()
		assert.Equal(t, err == nil && e.Delta.Type == "text_delta", ok, event)
		if ok {
			assert.Equal(t, e.Delta.Text, text, event)
		}
		thinking, ok := m.ThinkingDelta()
		assert.Equal(t, err == nil && e.Delta.Type == "thinking_delta", ok, event)
		if ok {
			assert.Equal(t, e.Delta.Thinking, thinking, event)
		}
	}
}

// The text of an event that was put into the frame afterwards is not shared with whoever has it.
func TestTextOfAnEventOfOnesOwn(t *testing.T) {
	m, err := protocol.Decode([]byte(`{"type":"stream_event","event":{"type":"ping"}}`))
	require.NoError(t, err)
	event, ok := m.(*protocol.StreamEvent)
	require.True(t, ok)
	own := []byte(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"mine"}}`)
	event.Event = own
	text, ok := event.TextDelta()
	require.True(t, ok)
	copy(own, strings.Repeat("x", len(own)))
	assert.Equal(t, "mine", text)
	event.Event = nil
	_, ok = event.TextDelta()
	assert.False(t, ok)
}
