package protocol

import (
	"encoding/binary"
	"math/bits"
	"reflect"
	"slices"
	"unsafe"
)

// Two kinds of frames come by the thousand: answers and pieces of them. They are read here as their plans would read them, but
// into one piece of memory each, and in one pass that knows what comes next: the CLI writes no white space, and its keys come in the
// order in which they came the last time. What is unusual (a wrong type, a key that stands there twice or in another spelling, white
// space) is left to the plans.

const (
	assistantHead   = `{"type":"assistant",`
	streamEventHead = `{"type":"stream_event",`
	textBlocksHead  = `[{"type":"text",`
	deltaHead       = `{"type":"content_block_delta","index":`
	deltaMiddle     = `,"delta":{"type":`
)

// hotKeys are the keys of a struct that is read here.
type hotKeys struct {
	written []string // as they stand in the line, with the colon
	fields  []*field // of the plan; nil for those that are read here
}

// The keys of hot frames, in about the order in which CLI 2.1.330 and the API write them. Those of the plan come behind them.
var assistantKeys, messageKeys, textKeys, usageKeys, eventKeys hotKeys

func init() {
	assistantKeys = hotKeysOf(reflect.TypeFor[Assistant](), "type", "message", "parent_tool_use_id", "session_id", "uuid", "timestamp", "request_id")
	messageKeys = hotKeysOf(reflect.TypeFor[AssistantMessage](), "type", "model", "id", "role", "content", "stop_reason", "stop_sequence", "usage")
	textKeys = hotKeysOf(reflect.TypeFor[TextBlock](), "type", "text")
	usageKeys = hotKeysOf(reflect.TypeFor[Usage](), "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
	eventKeys = hotKeysOf(reflect.TypeFor[StreamEvent](), "type", "event", "session_id", "parent_tool_use_id", "uuid", "api_message_id")
}

func hotKeysOf(t reflect.Type, names ...string) (k hotKeys) {
	p := planOf(t)
	for _, name := range names {
		k.written, k.fields = append(k.written, `"`+name+`":`), append(k.fields, nil)
	}
	for i := range p.fields {
		if f := &p.fields[i]; !slices.Contains(names, f.name) {
			k.written, k.fields = append(k.written, `"`+f.name+`":`), append(k.fields, f)
		}
	}
	if len(k.written) > maxHotKeys {
		panic("protocol: " + t.String() + " has more keys than are remembered")
	}
	return k
}

const maxHotKeys = 32

// hotOrder remembers which key came behind which, as its number plus one, by the number of the one before plus one. Zero: the next one.
type hotOrder [maxHotKeys + 2]uint8

type hotOrders struct{ assistant, message, text, usage, event hotOrder }

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
	switch {
	case d.has(assistantHead):
		frame := new(hotAssistant)
		m, ok = &frame.Assistant, d.hotAssistant(frame)
	case d.has(streamEventHead):
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

// has reports whether the line goes on with a word.
func (d *decoder) has(word string) bool {
	return len(d.b)-d.i >= len(word) && string(d.b[d.i:d.i+len(word)]) == word
}

// pass passes a word.
func (d *decoder) pass(word string) bool {
	if !d.has(word) {
		return false
	}
	d.i += len(word)
	return true
}

// once takes down that a key was seen, and reports whether it is the first time.
func once(seen *uint64, key int) bool {
	bit := uint64(1) << key
	again := *seen&bit != 0
	*seen |= bit
	return !again
}

// What hotKey returns besides the number of a key.
const (
	hotFirst   = -1         // what is handed to it before the first
	hotOther   = maxHotKeys // a key that is not known; the cursor is on it
	hotEnd     = -2         // the object is over
	hotUnusual = -3
)

// hotKey passes the next key of an object, and what stands before it, and says which it is. The cursor is on the object's brace, or behind
// the value of the last key.
func (d *decoder) hotKey(keys *hotKeys, order *hotOrder, last int) int {
	rest := d.b[d.i:]
	if len(rest) == 0 {
		return hotUnusual
	}
	before := byte(',')
	if last == hotFirst {
		before = '{'
	}
	if rest[0] != before {
		if rest[0] == '}' && last != hotFirst {
			d.leave()
			return hotEnd
		}
		return hotUnusual
	}
	guess := last + 1
	if known := order[guess]; known != 0 {
		guess = int(known) - 1
	}
	if guess < len(keys.written) {
		if w := keys.written[guess]; len(rest) > len(w) && string(rest[1:1+len(w)]) == w {
			d.i += 1 + len(w)
			if last == hotFirst {
				d.depth++
			}
			return guess
		}
	}
	if last == hotFirst {
		d.depth++
	}
	d.i++
	for i, w := range keys.written {
		if d.pass(w) {
			order[last+1] = uint8(i) + 1
			return i
		}
	}
	return hotOther
}

func (d *decoder) hotAssistant(to *hotAssistant) bool {
	start := d.i
	var seen uint64
	for key := hotFirst; ; {
		next := d.hotKey(&assistantKeys, &d.orders.assistant, key)
		ok := next == hotOther || next >= 0 && once(&seen, next)
		switch next {
		case 0: // type
			ok = ok && d.pass(`"assistant"`)
		case 1: // message
			ok = ok && d.hotMessage(to)
		case 2: // parent_tool_use_id
			ok = ok && d.hotOptional(&to.ParentToolUseID)
		case 3: // session_id
			ok = ok && d.hotString(&to.SessionID)
		case 4: // uuid
			ok = ok && d.hotString(&to.UUID)
		case 5: // timestamp
			ok = ok && d.hotString(&to.Timestamp)
		case 6: // request_id
			ok = ok && d.hotString(&to.RequestID)
		case hotEnd:
			to.hold(d.b[start:d.i])
			to.odd = d.odd
			return !once(&seen, 1) // without a message it is no answer
		default:
			ok = d.cold(&assistantKeys, next, ok, &to.Assistant)
		}
		if !ok {
			return false
		}
		key = next
	}
}

func (d *decoder) hotMessage(to *hotAssistant) bool {
	start := d.i
	m := &to.Message
	var seen uint64
	for key := hotFirst; ; {
		next := d.hotKey(&messageKeys, &d.orders.message, key)
		ok := next == hotOther || next >= 0 && once(&seen, next)
		switch next {
		case 0: // type
			ok = ok && d.skip()
		case 1: // model
			ok = ok && d.hotString(&m.Model)
		case 2: // id
			ok = ok && d.hotString(&m.ID)
		case 3: // role
			ok = ok && d.hotString(&m.Role)
		case 4: // content
			ok = ok && d.hotContent(to)
		case 5: // stop_reason
			ok = ok && d.hotOptional(&m.StopReason)
		case 6: // stop_sequence
			ok = ok && d.hotOptional(&m.StopSequence)
		case 7: // usage
			ok = ok && d.hotUsage(&m.Usage)
		case hotEnd:
			m.hold(d.b[start:d.i])
			return true
		default:
			ok = d.cold(&messageKeys, next, ok, m)
		}
		if !ok {
			return false
		}
		key = next
	}
}

// hotContent reads blocks: a text alone, or any.
func (d *decoder) hotContent(to *hotAssistant) bool {
	start := d.mark()
	if d.has(textBlocksHead) {
		d.enter()
		if d.hotText(&to.text) && d.has("]") {
			d.leave()
			to.blocks[0] = &to.text
			to.Message.Content = to.blocks[:]
			return true
		}
		if d.msg != "" {
			return false
		}
		d.back(start)
	}
	if d.at() != '[' {
		return false
	}
	var ok bool
	to.Message.Content, ok = d.blockList()
	return ok
}

func (d *decoder) hotText(to *TextBlock) bool {
	start := d.i
	var seen uint64
	for key := hotFirst; ; {
		next := d.hotKey(&textKeys, &d.orders.text, key)
		ok := next == hotOther || next >= 0 && once(&seen, next)
		switch next {
		case 0: // type
			ok = ok && d.pass(`"text"`)
		case 1: // text
			ok = ok && d.hotString(&to.Text)
		case hotEnd:
			to.hold(d.b[start:d.i])
			return true
		default:
			ok = d.cold(&textKeys, next, ok, to)
		}
		if !ok {
			return false
		}
		key = next
	}
}

func (d *decoder) hotUsage(to *Usage) bool {
	start := d.i
	var seen uint64
	for key := hotFirst; ; {
		next := d.hotKey(&usageKeys, &d.orders.usage, key)
		ok := next == hotOther || next >= 0 && once(&seen, next)
		switch next {
		case 0: // input_tokens
			ok = ok && d.hotCount(&to.InputTokens)
		case 1: // cache_creation_input_tokens
			ok = ok && d.hotCount(&to.CacheCreationInputTokens)
		case 2: // cache_read_input_tokens
			ok = ok && d.hotCount(&to.CacheReadInputTokens)
		case 3: // output_tokens
			ok = ok && d.hotCount(&to.OutputTokens)
		case hotEnd:
			to.hold(d.b[start:d.i])
			return true
		default:
			ok = d.cold(&usageKeys, next, ok, to)
		}
		if !ok {
			return false
		}
		key = next
	}
}

func (d *decoder) hotEvent(to *StreamEvent) bool {
	start := d.i
	var seen uint64
	for key := hotFirst; ; {
		next := d.hotKey(&eventKeys, &d.orders.event, key)
		ok := next == hotOther || next >= 0 && once(&seen, next)
		switch next {
		case 0: // type
			ok = ok && d.pass(`"stream_event"`)
		case 1: // event
			from := d.i
			ok = ok && d.at() == '{' && d.hotDelta()
			to.Event = d.b[from:d.i:d.i]
		case 2: // session_id
			ok = ok && d.hotString(&to.SessionID)
		case 3: // parent_tool_use_id
			ok = ok && d.hotOptional(&to.ParentToolUseID)
		case 4: // uuid
			ok = ok && d.hotString(&to.UUID)
		case 5: // api_message_id
			ok = ok && d.hotString(&to.APIMessageID)
		case hotEnd:
			to.hold(d.b[start:d.i])
			to.odd = d.odd
			return true
		default:
			ok = d.cold(&eventKeys, next, ok, to)
		}
		if !ok {
			return false
		}
		key = next
	}
}

// hotDelta passes an event: a piece of a block, as the API writes it, or any.
func (d *decoder) hotDelta() bool {
	start := d.i
	var s string
	if d.pass(deltaHead) && d.digits() && d.pass(deltaMiddle) &&
		d.hotString(&s) && d.pass(",") && d.hotString(&s) && d.pass(":") && d.hotString(&s) && d.pass("}}") {
		return true
	}
	d.i, d.msg, d.off = start, "", 0
	return d.skip()
}

// cold reads the value of a key that is not among the usual ones, by the struct's plan.
func (d *decoder) cold(keys *hotKeys, key int, first bool, to any) bool {
	switch {
	case !first || key == hotUnusual:
		return false
	case key == hotOther:
		if d.at() != '"' {
			return false
		}
		k, ok := d.str()
		if !ok || k.escaped || d.at() != ':' {
			return false
		}
		d.i++
		d.unknown(k)
		return d.skip()
	}
	d.space()
	return d.member(keys.fields[key], reflect.ValueOf(to).Elem()) || d.msg == ""
}

// hotString reads a string.
func (d *decoder) hotString(to *string) bool {
	if d.at() != '"' {
		return false
	}
	b, start := d.b, d.i+1
	for i := start; d.shared && i+8 <= len(b); i += 8 {
		// As in str, but bytes above 0x7f are left to it as well.
		x := binary.LittleEndian.Uint64(b[i:])
		q := x ^ ('"' * ones)
		e := x ^ ('\\' * ones)
		m := ((q-ones)&^q | (e-ones)&^e | (x-0x20*ones)&^x | x) & highs
		if m == 0 {
			continue
		}
		if i += bits.TrailingZeros64(m) >> 3; b[i] != '"' {
			break
		}
		*to = unsafe.String(&b[start], i-start) // see text
		d.i = i + 1
		return true
	}
	v, ok := d.str()
	if ok {
		*to = d.text(v)
	}
	return ok
}

func (d *decoder) hotOptional(to **string) bool {
	if d.pass("null") {
		return true
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
	return true // what comes behind it is looked at there
}
