package stream_test

import (
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/stream"
)

// of is an event of a conversation ("" is the main one) and of a message.
func of(parent, message, event string) string {
	where := "null"
	if parent != "" {
		where = `"` + parent + `"`
	}
	return fmt.Sprintf(`{"type":"stream_event","parent_tool_use_id":%s,"api_message_id":%q,"event":%s}`, where, message, event)
}

func start(parent, message string) string {
	return of(parent, message, `{"type":"message_start","message":{"id":"`+message+`","role":"assistant","content":[]}}`)
}

func begin(parent, message, kind string) string {
	return of(parent, message, fmt.Sprintf(`{"type":"content_block_start","index":0,"content_block":{"type":%q,%q:""}}`, kind, kind))
}

func piece(parent, message, kind, text string) string {
	return of(parent, message, fmt.Sprintf(`{"type":"content_block_delta","index":0,"delta":{"type":"%s_delta",%q:%q}}`, kind, kind, text))
}

func whole(parent, message, kind, text string) string {
	where := "null"
	if parent != "" {
		where = `"` + parent + `"`
	}
	return fmt.Sprintf(`{"type":"assistant","message":{"id":%q,"content":[{"type":%q,%q:%q}]},"parent_tool_use_id":%s}`, message, kind, kind, text, where)
}

func joined(t *testing.T, seq iter.Seq2[string, error]) string {
	t.Helper()
	got, err := list(t, seq)
	require.NoError(t, err)
	return strings.Join(got, "|")
}

// Two conversations write at the same time, and think before they speak.
func TestDeltasOfSeveralConversations(t *testing.T) {
	lines := []string{
		start("", "m"), begin("", "m", "thinking"), piece("", "m", "thinking", "h"), start("task", "s"), begin("task", "s", "text"),
		piece("task", "s", "text", "su"), piece("", "m", "thinking", "m"), whole("", "m", "thinking", "hm"), piece("task", "s", "text", "b"),
		piece("", "m", "text", "He"), whole("task", "s", "text", "sub"), piece("", "m", "text", "llo"), whole("", "m", "text", "Hello"),
		// A subagent whose answers come whole.
		whole("other", "o", "thinking", "whole"), whole("other", "o", "text", "also"),
		`{"type":"result","subtype":"success","result":"Hello"}`,
	}
	messages := turn(t, nil, lines...)
	assert.Equal(t, "He|llo", joined(t, stream.TextDeltas(messages)))
	assert.Equal(t, "su|b", joined(t, stream.TextDeltas(messages, stream.Subagent("task"))))
	assert.Equal(t, "su|b|He|llo|also", joined(t, stream.TextDeltas(messages, stream.Everyone())))
	assert.Equal(t, "h|m", joined(t, stream.ThinkingDeltas(messages)))
	assert.Equal(t, "h|m|whole", joined(t, stream.ThinkingDeltas(messages, stream.Everyone())))
	assert.Equal(t, "Hello", joined(t, stream.Text(messages)), "what comes whole has no pieces in it")
	assert.Equal(t, "hm", joined(t, stream.Thinking(messages)))
	s, err := stream.Collect(messages, stream.Everyone())
	require.NoError(t, err)
	assert.Equal(t, "subHelloalso", s.Text)

	for _, deltas := range []func(stream.Messages, ...stream.Option) iter.Seq2[string, error]{stream.TextDeltas, stream.ThinkingDeltas} {
		_, err := list(t, deltas(turn(t, errLost, lines...)))
		require.ErrorIs(t, err, errLost)
		for range deltas(turn(t, errLost, lines...)) {
			break
		}
	}
}

// The pieces of a message break off, and it is asked for again: as a whole, in pieces, or in vain.
func TestPiecesThatBreakOff(t *testing.T) {
	broken := []string{start("", "m"), begin("", "m", "text"), piece("", "m", "text", "Hel")}
	result := `{"type":"result","subtype":"success","result":"Hello"}`
	stop := of("", "n", `{"type":"message_stop"}`)
	for name, tt := range map[string]struct {
		lines            []string
		deltas, messages string
	}{
		"whole":            {[]string{whole("", "n", "text", "Hello")}, "Hel|Hello", "Hello"},
		"in pieces":        {[]string{start("", "n"), begin("", "n", "text"), piece("", "n", "text", "Hello"), whole("", "n", "text", "Hello"), stop}, "Hel|Hello", "Hello"},
		"in vain":          {[]string{`{"type":"assistant","message":{"id":"x","model":"<synthetic>","content":[{"type":"text","text":"API Error"}]},"parent_tool_use_id":null}`}, "Hel|API Error", "API Error|Hel"},
		"it was the whole": {[]string{whole("", "m", "text", "Hel")}, "Hel", "Hel"},
		"nothing":          {nil, "Hel", "Hel"},
	} {
		t.Run(name, func(t *testing.T) {
			for end, lines := range map[string][]string{"a result": append(append(broken[:3:3], tt.lines...), result), "no result": append(broken[:3:3], tt.lines...)} {
				assert.Equal(t, tt.deltas, joined(t, stream.TextDeltas(turn(t, nil, lines...))), end)
				text := func(m *protocol.AssistantMessage) string { return protocol.TextOf(m.Content) }
				assert.Equal(t, tt.messages, joined(t, mapped(stream.Assemble(turn(t, nil, lines...)), text)), end)
				// An error costs nothing of it.
				got, err := list(t, stream.Assemble(turn(t, errLost, lines...)))
				require.ErrorIs(t, err, errLost)
				assert.Len(t, got, len(strings.Split(tt.messages, "|")))
				for range stream.Assemble(turn(t, errLost, lines...)) {
					break
				}
			}
		})
	}
}

// Where the messages of the pieces are not said, a frame is that of the pieces before it; unless it is the CLI's own.
func TestPiecesOfUnknownMessages(t *testing.T) {
	own := `{"type":"assistant","message":{"id":"x","model":"<synthetic>","content":[{"type":"text","text":"API Error"}]},"parent_tool_use_id":null}`
	messages := turn(t, nil, piece("", "", "text", "a"), whole("", "m", "text", "a"), whole("", "m", "text", "b"), piece("", "", "text", "c"), own)
	assert.Equal(t, "a|b|c|API Error", joined(t, stream.TextDeltas(messages)))
}

// Of several conversations that were cut off each comes, in the same order each time, before what comes behind the result.
func TestAllThatWasCutOff(t *testing.T) {
	lines := []string{start("", "m")}
	want := "m"
	for i := range 9 {
		id := fmt.Sprint("s", i)
		lines, want = append(lines, start(id, id)), want+"|"+id
	}
	lines = append(lines, `{"type":"result","subtype":"error_during_execution"}`, whole("", "n", "text", "next"))
	id := func(m *protocol.AssistantMessage) string { return m.ID }
	assert.Equal(t, want+"|n", joined(t, mapped(stream.Assemble(turn(t, nil, lines...), stream.Everyone()), id)))
}

func TestEvents(t *testing.T) {
	lines := []string{
		start("", "m"), begin("", "m", "text"), piece("", "m", "text", "a"), piece("task", "s", "text", "b"), whole("", "m", "text", "a"),
		`{"type":"stream_event","parent_tool_use_id":"odd","event":[]}`,
	}
	name := func(e protocol.Event) string { return e.Type + e.Delta.Text }
	messages := turn(t, nil, lines...)
	assert.Equal(t, "message_start|content_block_start|content_block_deltaa", joined(t, mapped(stream.Events(messages, nil), name)))
	assert.Equal(t, "content_block_deltaa", joined(t, mapped(stream.Events(messages, []string{"content_block_delta"}), name)))
	assert.Equal(t, "content_block_deltab", joined(t, mapped(stream.Events(messages, nil, stream.Subagent("task")), name)))
	_, err := list(t, stream.Events(messages, nil, stream.Everyone()))
	require.ErrorContains(t, err, "read partial message")
	got, err := list(t, stream.Events(turn(t, errLost, lines...), nil))
	require.ErrorIs(t, err, errLost)
	assert.Len(t, got, 3)
	for range stream.Events(turn(t, errLost, lines...), nil) {
		break
	}
}

// Messages of several turns, as Watch gives them.
func TestSeveralResults(t *testing.T) {
	lines := append(conversation[:len(conversation):len(conversation)],
		whole("", "n", "text", " Again."), `{"type":"result","subtype":"error_max_turns","is_error":true,"num_turns":9,"session_id":"s2","result":"Again."}`)
	r, err := stream.FinalResult(turn(t, nil, lines...))
	require.NoError(t, err)
	assert.Equal(t, 9, r.NumTurns)
	s, err := stream.Collect(turn(t, nil, lines...))
	require.NoError(t, err)
	assert.Equal(t, "Let me look. Done. Again.", s.Text)
	assert.Equal(t, "s2", s.SessionID)
	assert.True(t, s.IsError)
	s, err = stream.Collect(stream.UntilResult(turn(t, nil, lines...)))
	require.NoError(t, err)
	assert.Equal(t, "Let me look. Done.", s.Text)
	blocks, err := list(t, stream.Blocks(turn(t, nil, lines...), stream.Subagent("task")))
	require.NoError(t, err)
	require.Len(t, blocks, 2)
	assert.IsType(t, &protocol.TextBlock{}, blocks[0])
	assert.IsType(t, &protocol.ToolUseBlock{}, blocks[1])
}
