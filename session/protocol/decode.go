package protocol

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// DecodeError says that a line is no frame: it is not exactly one JSON object.
type DecodeError struct {
	Offset int    // of the offending byte in the line
	Reason string // what is wrong there
	// Excerpt is the start of the line, at most 120 bytes. Only Error of a line which
	// does not start with a brace (a warning, a stack trace) shows it: the others are
	// broken frames, and may carry prompts or tool input.
	Excerpt string
}

func (e *DecodeError) Error() string {
	where := "decode frame: byte " + strconv.Itoa(e.Offset) + ": " + e.Reason
	if strings.HasPrefix(strings.TrimLeft(e.Excerpt, " \t\r\n"), "{") {
		return where
	}
	return where + ": line starts with " + strconv.Quote(e.Excerpt)
}

const maxExcerpt = 120

// Decode reads one line of the CLI's stdout, or one that is meant for its stdin.
// White space around the object, a newline included, does not matter.
//
// What is no JSON object is a *DecodeError. Everything else is a message: an
// unknown type or system subtype becomes *Unknown, with the bytes kept. A known field of the wrong type is left at its zero value, its
// bytes are kept too, and Defects names it. The frame as a whole becomes *Unknown, with
// a Reason, only if it cannot be used without the field: the request_id of a
// control frame, the message of an assistant or user frame. The flag is_error
// reads as true when it is no boolean.
//
// As in JavaScript the last of several equal keys counts, keys are compared
// exactly, and null in a field that is no pointer is its zero value. Bytes that
// are no UTF-8 become U+FFFD in strings and stay as they are in Raw. Arrays and
// objects may be nested 10,000 deep.
//
// Decode copies the line once and keeps the copy as long as the message lives;
// the caller may reuse line at once. It is safe for concurrent use.
func Decode(line []byte) (Message, error) {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	d.begin(bytes.Clone(line))
	m := d.message()
	if d.msg != "" {
		return nil, d.error()
	}
	d.b = nil // the message's
	return m, nil
}

// decoders are kept: reading by a plan calls through it, so that one made for each line would be on the heap.
var decoders = sync.Pool{New: func() any { return new(decoder) }}

type decoder struct {
	scanner
	reason string // why the value being read cannot be what its type says
	odd    bool   // keys without a field were seen
	redo   bool   // the guess at a value's kind was wrong
	blocks int    // nesting of content blocks
	look   *inspection
	shared bool // strings are parts of the line
	orders hotOrders
}

// begin makes a kept decoder ready for a line of its own, which nobody changes any more.
func (d *decoder) begin(line []byte) {
	d.scanner = scanner{b: line}
	d.reason, d.odd, d.redo, d.blocks, d.look = "", false, false, 0, nil
	d.shared = len(line) <= maxShared
}

func (d *decoder) error() error {
	return &DecodeError{Offset: d.off, Reason: d.msg, Excerpt: strings.ToValidUTF8(string(d.b[:min(len(d.b), maxExcerpt)]), "\uFFFD")}
}

func (d *decoder) message() Message {
	if d.next() != '{' {
		d.fail("expected a JSON object")
		return nil
	}
	if m := d.hot(); m != nil {
		return m
	}
	start := d.mark()
	p, guess := d.messagePlan()
	if d.msg != "" {
		return nil
	}
	v := reflect.New(p.typ)
	ok := d.object(p, v.Elem(), guess)
	if d.redo {
		// A later key contradicts the first ones. The last one counts, so look at all.
		d.redo = false
		d.back(start)
		if p = d.scanMessagePlan(); d.msg != "" {
			return nil
		}
		v = reflect.New(p.typ)
		ok = d.object(p, v.Elem(), false)
	}
	if !ok || !d.end() {
		return nil
	}
	if reason := d.reason; reason != "" && p != unknownMessage {
		d.back(start)
		v = reflect.New(unknownMessage.typ)
		d.object(unknownMessage, v.Elem(), false)
		v.Interface().(*Unknown).Reason = reason
	}
	m := v.Interface().(Message)
	if d.odd {
		*m.strange() = true
	}
	return m
}

// HasUnknownFields says whether a decoded message has keys that no typed field covers, itself or in what it holds. It costs
// nothing; UnknownFields says which. It may be true of a frame that has an unusual order of keys, and none of them unknown.
func HasUnknownFields(m Message) bool {
	return m != nil && *m.strange()
}

// messagePlan chooses by the first keys of an object when they say it, which
// saves reading the object twice. The second result is true then.
func (d *decoder) messagePlan() (*plan, bool) {
	start := d.mark()
	typ, ok := d.firstTag("type")
	if !ok {
		d.back(start)
		return d.scanMessagePlan(), false
	}
	p := messagePlans[string(typ)]
	if string(typ) == "system" {
		sub, ok := d.tag("subtype", false)
		p = nil
		if ok {
			p = systemPlans[string(sub)]
		}
	}
	d.back(start)
	if p == nil || p == taskEvent {
		return d.scanMessagePlan(), false
	}
	return p, true
}

// scanMessagePlan chooses after a look at the whole object.
func (d *decoder) scanMessagePlan() *plan {
	typ, sub := d.scanTags("type", "subtype")
	switch {
	case typ == nil:
		return unknownMessage
	case *typ != "system":
		if p := messagePlans[*typ]; p != nil {
			return p
		}
		return unknownMessage
	case sub == nil:
		return unknownMessage
	}
	if p := systemPlans[*sub]; p != nil {
		return p
	}
	return unknownMessage
}

// firstTag reads the value of key if it is the first of the object under the
// cursor and a plain string. The cursor ends behind it, or anywhere.
func (d *decoder) firstTag(key string) ([]byte, bool) {
	d.i++
	return d.tag(key, true)
}

func (d *decoder) tag(key string, first bool) ([]byte, bool) {
	if !first {
		if d.next() != ',' {
			return nil, false
		}
		d.i++
	}
	// Probing must leave no error behind: the real pass reports it, at its place.
	s := scanner{b: d.b, i: d.i}
	if s.next() != '"' {
		return nil, false
	}
	k, ok := s.key()
	if !ok || !k.is(key) || s.at() != '"' {
		return nil, false
	}
	v, ok := s.str()
	d.i = s.i
	return v.b, ok && !v.escaped
}

// scanTags reads the last values of two keys of the object under the cursor,
// nil where there is none or where it is no string, and leaves the cursor there.
func (d *decoder) scanTags(key1, key2 string) (v1, v2 *string) {
	start := d.mark()
	if !d.enter() {
		return nil, nil
	}
	for first := true; d.more(first, '}'); first = false {
		k, ok := d.key()
		if !ok {
			return nil, nil
		}
		to := &v1
		switch string(k.bytes()) {
		case key1:
		case key2:
			to = &v2
		default:
			if !d.skip() {
				return nil, nil
			}
			continue
		}
		*to = nil
		if d.at() == '"' {
			p, ok := d.str()
			if !ok {
				return nil, nil
			}
			text := p.text()
			*to = &text
		} else if !d.skip() {
			return nil, nil
		}
	}
	if d.msg == "" {
		d.back(start)
	}
	return v1, v2
}

type mark struct{ i, depth int }

func (d *decoder) mark() mark  { return mark{d.i, d.depth} }
func (d *decoder) back(m mark) { d.i, d.depth = m.i, m.depth }

// object reads the object under the cursor into the struct v. With guess, a
// constant key with another value than the plan's sets d.redo and ends it.
func (d *decoder) object(p *plan, v reflect.Value, guess bool) bool {
	start := d.i
	if !d.enter() {
		return false
	}
	var touched uint64
	for first := true; d.more(first, '}'); first = false {
		k, ok := d.key()
		if !ok {
			return false
		}
		if f := p.find(k); f != nil {
			if touched&f.bit != 0 && !f.value(v).IsZero() {
				f.place(v).SetZero()
			}
			touched |= f.bit
			d.member(f, v)
			if d.msg != "" {
				return false
			}
			continue
		}
		c := p.constant(k)
		switch {
		case c == nil:
			d.unknown(k)
		case guess:
			if d.at() != '"' {
				d.redo = true
				return false
			}
			val, ok := d.str()
			if !ok {
				return false
			}
			if !val.is(c.value) {
				d.redo = true
				return false
			}
			continue
		}
		if !d.skip() {
			return false
		}
	}
	if d.msg != "" {
		return false
	}
	if missing := p.essential &^ touched; missing != 0 && d.reason == "" {
		for _, f := range p.fields {
			if f.bit&missing != 0 {
				d.reason = f.name + " is missing"
				break
			}
		}
	}
	v.Addr().Interface().(holder).hold(d.b[start:d.i:d.i])
	return true
}

// member reads the value under the cursor into a field of the struct v.
func (d *decoder) member(f *field, v reflect.Value) bool {
	if f.group >= 0 && d.at() == 'n' { // nothing to make a place for
		return d.literal("null")
	}
	return d.field(f, f.place(v))
}

// field reads the value under the cursor into a field. It returns false, with
// the value passed and the field at zero, if the type is wrong.
func (d *decoder) field(f *field, v reflect.Value) bool {
	start := d.mark()
	if d.at() == 'n' {
		if !d.literal("null") {
			return false
		}
		if f.essential {
			d.spoil(f, "null")
		}
		return !f.essential
	}
	reason := d.reason
	d.push(f.name)
	ok := f.codec.decode(d, v)
	d.pop()
	if ok || d.msg != "" {
		return ok
	}
	d.back(start)
	d.reason = reason
	v.SetZero()
	if !d.skip() {
		return false
	}
	if f.failsafe {
		v.SetBool(true)
	}
	d.spoil(f, describe(d.b[start.i:d.i]))
	return false
}

// spoil notes that a known field has a type it should not have.
func (d *decoder) spoil(f *field, found string) {
	if f.essential && d.reason == "" {
		d.reason = fmt.Sprintf("%s: want %s, found %s", f.name, f.codec.want, found)
	}
	if d.look != nil {
		d.look.defects = append(d.look.defects, d.look.at(f.name)+": want "+f.codec.want+", found "+found)
	}
}

// inspection collects what a frame has beyond, or against, the typed fields.
type inspection struct {
	path             []string
	unknown, defects []string
}

func (l *inspection) at(name string) string {
	return strings.ReplaceAll(strings.Join(append(l.path[:len(l.path):len(l.path)], name), "."), ".[]", "[]")
}

func (d *decoder) push(name string) {
	if d.look != nil {
		d.look.path = append(d.look.path, name)
	}
}

func (d *decoder) pop() {
	if d.look != nil {
		d.look.path = d.look.path[:len(d.look.path)-1]
	}
}

func (d *decoder) unknown(k span) {
	d.odd = true
	if d.look != nil {
		d.look.unknown = append(d.look.unknown, d.look.at(k.text()))
	}
}

func inspect(m Message) inspection {
	var l inspection
	d := decoder{scanner: scanner{b: m.Raw()}, look: &l}
	if len(d.b) > 0 {
		d.message()
	}
	for _, list := range []*[]string{&l.unknown, &l.defects} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return l
}

// UnknownFields lists the keys of a decoded message that have no typed field, as
// sorted paths such as `message.usage.speed`, with [] for the elements of an
// array and * for a key that is data. They are kept and written back. The list
// is for counters that show how far a new CLI has drifted from this package. A
// message built in Go has none. It decodes the message once more.
func UnknownFields(m Message) []string {
	if _, ok := m.(*Unknown); ok {
		return nil // its type is the news
	}
	return inspect(m).unknown
}

// Defects lists the known fields of a decoded message that had a wrong type, as
// sorted lines such as `num_turns: want an integer, found a string`. Such a
// field is at its zero value. It decodes the message once more.
func Defects(m Message) []string {
	return inspect(m).defects
}

// unmarshal reads a JSON object on its own into a struct of this package.
func unmarshal(data []byte, to any) error { return unmarshalKept(bytes.Clone(data), to) }

// unmarshalKept is unmarshal for bytes that nobody changes any more.
func unmarshalKept(data []byte, to any) error {
	d := decoder{scanner: scanner{b: data}}
	v := reflect.ValueOf(to).Elem()
	if d.next() != '{' {
		d.fail("expected a JSON object")
		return d.error()
	}
	v.SetZero()
	if !d.object(planOf(v.Type()), v, false) || !d.end() {
		return d.error()
	}
	if d.reason != "" {
		return fmt.Errorf("decode %s: %s", strings.ToLower(v.Type().Name()), d.reason)
	}
	return nil
}
