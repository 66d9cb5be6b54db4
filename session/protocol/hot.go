package protocol

import (
	"bytes"
	"reflect"
)

// Two kinds of frames come by the thousand: answers and pieces of them. They are read here as their plans would read them, but
// into one piece of memory each, and without a search for the keys that all of them have. What is unusual (a wrong type, a key that
// stands there twice or in another spelling) is left to the plans.

var (
	assistantHead   = []byte(`{"type":"assistant",`)
	streamEventHead = []byte(`{"type":"stream_event",`)
	textBlockHead   = []byte(`{"type":"text",`)
	blocksEnd       = []byte(`]`)
)

var hotPlans struct{ assistant, message, usage, text, event *plan }

func init() {
	hotPlans.assistant = planOf(reflect.TypeFor[Assistant]())
	hotPlans.message = planOf(reflect.TypeFor[AssistantMessage]())
	hotPlans.usage = planOf(reflect.TypeFor[Usage]())
	hotPlans.text = planOf(reflect.TypeFor[TextBlock]())
	hotPlans.event = planOf(reflect.TypeFor[StreamEvent]())
}

// hotAssistant is an answer together with what most of them hold.
type hotAssistant struct {
	Assistant
	text   TextBlock
	blocks [1]ContentBlock
}

// hot reads the frame under the cursor if it is one of those kinds and nothing about it is unusual. A nil has left no trace.
func (d *decoder) hot() Message {
	if d.look != nil { // every key is of interest
		return nil
	}
	start := d.mark()
	var m Message
	ok := false
	switch rest := d.b[d.i:]; {
	case bytes.HasPrefix(rest, assistantHead):
		frame := new(hotAssistant)
		m, ok = &frame.Assistant, d.hotAssistant(frame)
	case bytes.HasPrefix(rest, streamEventHead):
		event := new(StreamEvent)
		m, ok = event, d.hotEvent(event)
	default:
		return nil
	}
	if ok && d.end() {
		return m
	}
	d.back(start)
	d.msg, d.off, d.reason, d.odd, d.redo, d.blocks = "", 0, "", false, false, 0
	return nil
}

// once takes down that a key was seen, and reports whether it is the first time.
func once(seen *uint64, key int) bool {
	bit := uint64(1) << key
	again := *seen&bit != 0
	*seen |= bit
	return !again
}

func (d *decoder) hotAssistant(to *hotAssistant) bool {
	start := d.i
	if !d.enter() {
		return false
	}
	var seen, cold uint64
	for first := true; d.more(first, '}'); first = false {
		k, ok := d.key()
		if !ok || k.escaped {
			return false
		}
		switch string(k.b) {
		case "type":
			ok = once(&seen, 0) && d.hotWord("assistant")
		case "message":
			ok = once(&seen, 1) && d.at() == '{' && d.hotMessage(to)
		case "parent_tool_use_id":
			ok = once(&seen, 2) && d.hotOptional(&to.ParentToolUseID)
		case "session_id":
			ok = once(&seen, 3) && d.hotString(&to.SessionID)
		case "uuid":
			ok = once(&seen, 4) && d.hotString(&to.UUID)
		case "timestamp":
			ok = once(&seen, 5) && d.hotString(&to.Timestamp)
		case "request_id":
			ok = once(&seen, 6) && d.hotString(&to.RequestID)
		default:
			ok = d.cold(hotPlans.assistant, &to.Assistant, k, &cold)
		}
		if !ok {
			return false
		}
	}
	to.raw = d.b[start:d.i:d.i]
	to.odd = d.odd
	return d.msg == "" && !once(&seen, 1) // without a message it is no answer
}

func (d *decoder) hotMessage(to *hotAssistant) bool {
	start := d.i
	if !d.enter() {
		return false
	}
	m := &to.Message
	var seen, cold uint64
	for first := true; d.more(first, '}'); first = false {
		k, ok := d.key()
		if !ok || k.escaped {
			return false
		}
		switch string(k.b) {
		case "type":
			ok = d.skip()
		case "id":
			ok = once(&seen, 0) && d.hotString(&m.ID)
		case "role":
			ok = once(&seen, 1) && d.hotString(&m.Role)
		case "model":
			ok = once(&seen, 2) && d.hotString(&m.Model)
		case "content":
			ok = once(&seen, 3) && d.at() == '[' && d.hotContent(to)
		case "stop_reason":
			ok = once(&seen, 4) && d.hotOptional(&m.StopReason)
		case "stop_sequence":
			ok = once(&seen, 5) && d.hotOptional(&m.StopSequence)
		case "usage":
			ok = once(&seen, 6) && d.at() == '{' && d.hotUsage(&m.Usage)
		default:
			ok = d.cold(hotPlans.message, m, k, &cold)
		}
		if !ok {
			return false
		}
	}
	m.raw = d.b[start:d.i:d.i]
	return d.msg == ""
}

// hotContent reads blocks: a text alone, or any.
func (d *decoder) hotContent(to *hotAssistant) bool {
	start := d.mark()
	if !d.enter() {
		return false
	}
	if bytes.HasPrefix(d.b[d.i:], textBlockHead) && d.hotText(&to.text) && bytes.HasPrefix(d.b[d.i:], blocksEnd) {
		d.leave()
		to.blocks[0] = &to.text
		to.Message.Content = to.blocks[:]
		return true
	}
	if d.msg != "" {
		return false
	}
	d.back(start)
	var ok bool
	to.Message.Content, ok = d.blockList()
	return ok
}

func (d *decoder) hotText(to *TextBlock) bool {
	start := d.i
	if !d.enter() {
		return false
	}
	var seen, cold uint64
	for first := true; d.more(first, '}'); first = false {
		k, ok := d.key()
		if !ok || k.escaped {
			return false
		}
		switch string(k.b) {
		case "type":
			ok = d.hotWord("text")
		case "text":
			ok = once(&seen, 0) && d.hotString(&to.Text)
		default:
			ok = d.cold(hotPlans.text, to, k, &cold)
		}
		if !ok {
			return false
		}
	}
	to.raw = d.b[start:d.i:d.i]
	return d.msg == ""
}

func (d *decoder) hotUsage(to *Usage) bool {
	start := d.i
	if !d.enter() {
		return false
	}
	var seen, cold uint64
	for first := true; d.more(first, '}'); first = false {
		k, ok := d.key()
		if !ok || k.escaped {
			return false
		}
		switch string(k.b) {
		case "input_tokens":
			ok = once(&seen, 0) && d.hotCount(&to.InputTokens)
		case "output_tokens":
			ok = once(&seen, 1) && d.hotCount(&to.OutputTokens)
		case "cache_creation_input_tokens":
			ok = once(&seen, 2) && d.hotCount(&to.CacheCreationInputTokens)
		case "cache_read_input_tokens":
			ok = once(&seen, 3) && d.hotCount(&to.CacheReadInputTokens)
		default:
			ok = d.cold(hotPlans.usage, to, k, &cold)
		}
		if !ok {
			return false
		}
	}
	to.raw = d.b[start:d.i:d.i]
	return d.msg == ""
}

func (d *decoder) hotEvent(to *StreamEvent) bool {
	start := d.i
	if !d.enter() {
		return false
	}
	var seen, cold uint64
	for first := true; d.more(first, '}'); first = false {
		k, ok := d.key()
		if !ok || k.escaped {
			return false
		}
		switch string(k.b) {
		case "type":
			ok = once(&seen, 0) && d.hotWord("stream_event")
		case "event":
			from := d.i
			ok = once(&seen, 1) && d.at() == '{' && d.skip()
			to.Event = d.b[from:d.i:d.i]
		case "parent_tool_use_id":
			ok = once(&seen, 2) && d.hotOptional(&to.ParentToolUseID)
		case "session_id":
			ok = once(&seen, 3) && d.hotString(&to.SessionID)
		case "uuid":
			ok = once(&seen, 4) && d.hotString(&to.UUID)
		default:
			ok = d.cold(hotPlans.event, to, k, &cold)
		}
		if !ok {
			return false
		}
	}
	to.raw = d.b[start:d.i:d.i]
	to.odd = d.odd
	return d.msg == ""
}

// cold reads the value of a key that is not among the usual ones, by the struct's plan.
func (d *decoder) cold(p *plan, to any, k span, seen *uint64) bool {
	f := p.find(k)
	if f == nil {
		d.unknown(k)
		return d.skip()
	}
	if !once(seen, f.pos) {
		return false
	}
	return d.field(f, reflect.ValueOf(to).Elem().Field(f.index)) || d.msg == ""
}

// hotWord passes a string that is known beforehand.
func (d *decoder) hotWord(word string) bool {
	if d.at() != '"' {
		return false
	}
	v, ok := d.str()
	return ok && v.is(word)
}

func (d *decoder) hotString(to *string) bool {
	if d.at() != '"' {
		return false
	}
	v, ok := d.str()
	if ok {
		*to = d.text(v)
	}
	return ok
}

func (d *decoder) hotOptional(to **string) bool {
	if d.at() == 'n' {
		return d.literal("null")
	}
	s := new(string)
	*to = s
	return d.hotString(s)
}

func (d *decoder) hotCount(to *int64) bool {
	from := d.i
	var n int64
	for ; d.i < len(d.b) && d.b[d.i] >= '0' && d.b[d.i] <= '9'; d.i++ {
		n = n*10 + int64(d.b[d.i]-'0')
	}
	*to = n
	if digits := d.i - from; digits == 0 || digits > 18 || digits > 1 && d.b[from] == '0' {
		return false
	}
	switch d.at() {
	case ',', '}', ' ', '\n', '\r', '\t': // it was all of the number
		return true
	}
	return false
}
