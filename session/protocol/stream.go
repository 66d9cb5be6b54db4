package protocol

import (
	"encoding/json"
	"unicode/utf8"
	"unsafe"
)

// StreamEvent is an event of the API's stream, passed on as it comes. Only with
// partial messages switched on. The Assistant frame of a block comes between its
// last delta and its stop event.
type StreamEvent struct {
	wire
	Event           json.RawMessage     `json:"event"` // the API's event; see Parse
	ParentToolUseID *string             `json:"parent_tool_use_id"`
	SessionID       string              `json:"session_id"`
	UUID            string              `json:"uuid"`
	APIMessageID    string              `json:"api_message_id,omitempty"`
	Details         *StreamEventDetails `json:"-" wire:"inline"` // what few of them say, nil if this one says none of it
}

// StreamEventDetails is what few stream events say: the first of a message, as a rule.
type StreamEventDetails struct {
	TTFTMS           *float64        `json:"ttft_ms,omitempty"` // milliseconds to the first token
	UserMessageUUID  string          `json:"user_message_uuid,omitempty"`
	UserMessageUUIDs []string        `json:"user_message_uuids,omitempty"`
	ResumeReason     string          `json:"resume_reason,omitempty"`
	ThinkingDisplay  string          `json:"thinking_display,omitempty"`
	OwedRows         json.RawMessage `json:"owed_rows,omitempty"`
}

// Event is what most readers want of a stream event.
type Event struct {
	wire
	Type         string          `json:"type"`            // message_start, content_block_start, content_block_delta, …
	Index        int             `json:"index,omitempty"` // of the block
	Delta        Delta           `json:"delta,omitzero"`
	ContentBlock json.RawMessage `json:"content_block,omitempty"`
	Message      json.RawMessage `json:"message,omitempty"`
	Usage        json.RawMessage `json:"usage,omitempty"` // of message_delta: final counts
	Error        json.RawMessage `json:"error,omitempty"` // of error: the API broke off
}

// Delta is a piece of a block.
type Delta struct {
	wire
	Type             string          `json:"type,omitempty"` // text_delta, input_json_delta, thinking_delta, …
	Text             string          `json:"text,omitempty"`
	PartialJSON      string          `json:"partial_json,omitempty"`
	Thinking         string          `json:"thinking,omitempty"`
	Signature        string          `json:"signature,omitempty"`
	Citation         json.RawMessage `json:"citation,omitempty"`
	Content          *string         `json:"content,omitempty"` // of compaction_delta
	EncryptedContent *string         `json:"encrypted_content,omitempty"`
	StopSequence     *string         `json:"stop_sequence,omitempty"` // of message_delta
	StopReason       *string         `json:"stop_reason,omitempty"`   // of message_delta
}

// Parse reads the event. An event that is no object is an error.
func (m *StreamEvent) Parse() (Event, error) {
	var e Event
	err := unmarshalKept(m.Event, &e)
	return e, err
}

// TextDelta returns the text this event adds to the answer, if it does.
func (m *StreamEvent) TextDelta() (string, bool) {
	if text, sure := m.peek("text_delta", "text"); sure {
		return text, true
	}
	e, err := m.Parse()
	if err != nil || e.Delta.Type != "text_delta" {
		return "", false
	}
	return e.Delta.Text, true
}

// ThinkingDelta returns what this event adds to the model's reasoning, if it does.
func (m *StreamEvent) ThinkingDelta() (string, bool) {
	if text, sure := m.peek("thinking_delta", "thinking"); sure {
		return text, true
	}
	e, err := m.Parse()
	if err != nil || e.Delta.Type != "thinking_delta" {
		return "", false
	}
	return e.Delta.Thinking, true
}

// peek reads one string of a delta of that kind, if it is written in the way the API does it: `…"delta":{"type":K,"text":…}}`, and
// nothing else. It says whether it is sure of that.
func (m *StreamEvent) peek(kind, key string) (string, bool) {
	s := scanner{b: m.Event}
	if v, ok := s.written(kind, key); ok {
		return m.shared(v), true
	}
	s = scanner{b: m.Event}
	if s.next() != '{' || !s.enter() {
		return "", false
	}
	for first := true; s.more(first, '}'); first = false {
		k, ok := s.key()
		if !ok {
			return "", false
		}
		if !k.is("delta") {
			if k.escaped || !s.skip() {
				return "", false
			}
			continue
		}
		if s.at() != '{' || !s.enter() {
			return "", false
		}
		if k, ok := s.key(); !ok || !k.is("type") || s.at() != '"' {
			return "", false
		}
		if v, ok := s.str(); !ok || !v.is(kind) || !s.more(false, '}') {
			return "", false
		}
		if k, ok := s.key(); !ok || !k.is(key) || s.at() != '"' {
			return "", false
		}
		v, ok := s.str()
		if !ok || s.more(false, '}') || s.more(false, '}') || !s.end() {
			return "", false
		}
		return m.shared(v), true
	}
	return "", false
}

// written passes an event that is written exactly as the API does.
func (s *scanner) written(kind, key string) (span, bool) {
	word := func(w string) bool {
		if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
			return false
		}
		s.i += len(w)
		return true
	}
	if !word(`{"type":"content_block_delta","index":`) || !s.digits() || !word(`,"delta":{"type":"`) || !word(kind) || !word(`","`) || !word(key) || !word(`":`) || s.at() != '"' {
		return span{}, false
	}
	v, ok := s.str()
	return v, ok && word("}}") && s.i == len(s.b)
}

// shared is a string of the event: part of the frame's line as its other strings are, unless the event is somebody else's.
func (m *StreamEvent) shared(v span) string {
	line, event := uintptr(unsafe.Pointer(unsafe.StringData(m.raw))), uintptr(unsafe.Pointer(unsafe.SliceData(m.Event)))
	own := event >= line && event < line+uintptr(len(m.raw))
	if !own || len(m.raw) > maxShared || v.escaped || v.high && !utf8.Valid(v.b) {
		return string(v.bytes())
	}
	return unsafe.String(unsafe.SliceData(v.b), len(v.b))
}
