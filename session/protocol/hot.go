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

// The keys of hot frames in the order in which CLI 2.1.330 and the API write them, as they stand in the line. Another order, white space
// and further keys cost a search each, and nothing else.
var (
	assistantKeys = hotKeys("type", "message", "parent_tool_use_id", "session_id", "uuid", "timestamp", "request_id")
	messageKeys   = hotKeys("model", "id", "type", "role", "content", "stop_reason", "stop_sequence", "usage")
	textKeys      = hotKeys("type", "text")
	usageKeys     = hotKeys("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
	eventKeys     = hotKeys("type", "event", "session_id", "parent_tool_use_id", "uuid")
)

// A hotKey is a key as it stands in the line.
type hotKey struct{ name, written string }

func hotKeys(names ...string) (keys []hotKey) {
	for _, name := range names {
		keys = append(keys, hotKey{name, `"` + name + `":`})
	}
	return keys
}

// hotKey passes the next key and says which it is: the one that comes after the last, most often. It returns -1, and the key, if it is
// none of them.
func (d *decoder) hotKey(keys []hotKey, next *int) (at int, k span, ok bool) {
	for i := *next; i < len(keys) && i < *next+2; i++ { // one may be missing
		if w := keys[i].written; len(d.b)-d.i > len(w) && string(d.b[d.i:d.i+len(w)]) == w {
			d.i += len(w)
			d.space()
			*next = i + 1
			return i, k, true
		}
	}
	if k, ok = d.key(); !ok || k.escaped {
		return -1, k, false
	}
	for i := range keys {
		if keys[i].name == string(k.b) {
			*next = i + 1
			return i, k, true
		}
	}
	return -1, k, true
}

func (d *decoder) hotAssistant(to *hotAssistant) bool {
	start := d.i
	if !d.enter() {
		return false
	}
	var seen, cold uint64
	next := 0
	for first := true; d.more(first, '}'); first = false {
		at, k, ok := d.hotKey(assistantKeys, &next)
		if !ok {
			return false
		}
		switch at {
		case 0: // type
			ok = once(&seen, 0) && d.hotWord("assistant")
		case 1: // message
			ok = once(&seen, 1) && d.at() == '{' && d.hotMessage(to)
		case 2: // parent_tool_use_id
			ok = once(&seen, 2) && d.hotOptional(&to.ParentToolUseID)
		case 3: // session_id
			ok = once(&seen, 3) && d.hotString(&to.SessionID)
		case 4: // uuid
			ok = once(&seen, 4) && d.hotString(&to.UUID)
		case 5: // timestamp
			ok = once(&seen, 5) && d.hotString(&to.Timestamp)
		case 6: // request_id
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
	next := 0
	for first := true; d.more(first, '}'); first = false {
		at, k, ok := d.hotKey(messageKeys, &next)
		if !ok {
			return false
		}
		switch at {
		case 2: // type
			ok = d.skip()
		case 1: // id
			ok = once(&seen, 0) && d.hotString(&m.ID)
		case 3: // role
			ok = once(&seen, 1) && d.hotString(&m.Role)
		case 0: // model
			ok = once(&seen, 2) && d.hotString(&m.Model)
		case 4: // content
			ok = once(&seen, 3) && d.at() == '[' && d.hotContent(to)
		case 5: // stop_reason
			ok = once(&seen, 4) && d.hotOptional(&m.StopReason)
		case 6: // stop_sequence
			ok = once(&seen, 5) && d.hotOptional(&m.StopSequence)
		case 7: // usage
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
	next := 0
	for first := true; d.more(first, '}'); first = false {
		at, k, ok := d.hotKey(textKeys, &next)
		if !ok {
			return false
		}
		switch at {
		case 0: // type
			ok = d.hotWord("text")
		case 1: // text
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
	next := 0
	for first := true; d.more(first, '}'); first = false {
		at, k, ok := d.hotKey(usageKeys, &next)
		if !ok {
			return false
		}
		switch at {
		case 0: // input_tokens
			ok = once(&seen, 0) && d.hotCount(&to.InputTokens)
		case 3: // output_tokens
			ok = once(&seen, 1) && d.hotCount(&to.OutputTokens)
		case 1: // cache_creation_input_tokens
			ok = once(&seen, 2) && d.hotCount(&to.CacheCreationInputTokens)
		case 2: // cache_read_input_tokens
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
	next := 0
	for first := true; d.more(first, '}'); first = false {
		at, k, ok := d.hotKey(eventKeys, &next)
		if !ok {
			return false
		}
		switch at {
		case 0: // type
			ok = once(&seen, 0) && d.hotWord("stream_event")
		case 1: // event
			from := d.i
			ok = once(&seen, 1) && d.at() == '{' && d.skip()
			to.Event = d.b[from:d.i:d.i]
		case 3: // parent_tool_use_id
			ok = once(&seen, 2) && d.hotOptional(&to.ParentToolUseID)
		case 2: // session_id
			ok = once(&seen, 3) && d.hotString(&to.SessionID)
		case 4: // uuid
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
