package protocol

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unsafe"
)

// The codec reads and writes structs after a plan made once per type from the
// `json` tags. It differs from encoding/json where a supervisor of somebody
// else's program has to: one pass instead of two, keys compared exactly, a wrong
// type spoils a field and not the frame, and each struct keeps the bytes it was
// read from, so that writing it back loses nothing.
//
// A second tag, `wire`, marks what a field means to the decoder:
//
//	essential  must be there with the right type, otherwise the message (or block, or
//	           control request) becomes its Unknown kind, with the reason
//	failsafe   a flag that reads as true when it has the wrong type
//	object     an empty value is written as {} instead of null
//	inline     a pointer to a struct whose keys stand among those of the struct around it: rare ones. It
//	           is nil as long as none of them has a value

// wire is embedded in every struct of the format and holds the bytes it was read
// from. Copying a struct copies the reference, so that a block moved to another
// message takes its unknown keys along.
type wire struct {
	part
	odd bool // of a message: it has keys without a field
}

func (w *wire) strange() *bool { return &w.odd }

// part is wire in structs that are parts of the messages which come by the thousand.
type part struct{ raw string }

// Raw returns the JSON this value was decoded from, and nil for a value that was
// built in Go. Later edits do not show in it. It must not be modified: the strings of the message are parts of it.
func (p part) Raw() json.RawMessage {
	if p.raw == "" {
		return nil
	}
	return unsafe.Slice(unsafe.StringData(p.raw), len(p.raw))
}

func (p *part) hold(raw json.RawMessage) { p.raw = unsafe.String(unsafe.SliceData(raw), len(raw)) }

type holder interface {
	Raw() json.RawMessage
	hold(json.RawMessage)
}

// constant is a key whose value says what kind a struct is; the Go type has it, no field does.
type constant struct{ key, value string }

// constants is implemented by the structs that have some.
type constants interface{ constants() []constant }

// checker is implemented by structs which can be built in a way the CLI would
// choke on; it is asked before a value built in Go is written.
type checker interface{ check() error }

type plan struct {
	typ       reflect.Type
	fields    []field
	consts    []constant
	essential uint64
	checks    bool
	session   *field     // session_id, if there is one
	table     [128]uint8 // 1 + index of the first field in the chain
}

type field struct {
	name      string
	index     int // in the struct, or in its group
	group     int // the index of the inline pointer that it is behind, -1 for none
	zero      reflect.Value
	pos       int // in the plan
	codec     *codec
	bit       uint64
	next      uint8 // chain of the hash table
	omitEmpty bool
	essential bool
	failsafe  bool
	object    bool
}

// codec is how one Go type reads and writes.
type codec struct {
	want string
	// decode reads the value under the cursor. On false it may have stopped anywhere;
	// either the input is broken (d.msg is set) or the value has another type.
	decode func(d *decoder, v reflect.Value) bool
	encode func(e *encoder, dst []byte, v reflect.Value) []byte
	// plain values hold no structs: comparing them with what their bytes decode to
	// says whether they were edited.
	plain bool
}

func hashKey(k []byte) uint8 {
	n := len(k)
	if n == 0 {
		return 0
	}
	return (uint8(n)*31 + k[0]*7 + k[n-1]*3 + k[n/2]) & 127
}

func (p *plan) find(k span) *field {
	b := k.b
	if k.escaped {
		b = k.bytes()
	}
	for at := p.table[hashKey(b)]; at != 0; {
		f := &p.fields[at-1]
		if f.name == string(b) {
			return f
		}
		at = f.next
	}
	return nil
}

func (p *plan) constant(k span) *constant {
	for i := range p.consts {
		if string(k.bytes()) == p.consts[i].key {
			return &p.consts[i]
		}
	}
	return nil
}

var plans struct {
	sync.Mutex
	building map[reflect.Type]*plan
	codecs   map[reflect.Type]*codec
	done     sync.Map // reflect.Type to *plan, those that are complete
}

// planOf returns the plan of a struct type. It panics for a type the codec
// cannot handle: that is a mistake in this package.
func planOf(t reflect.Type) *plan {
	if p, ok := plans.done.Load(t); ok {
		return p.(*plan)
	}
	plans.Lock()
	defer plans.Unlock()
	if plans.building == nil {
		plans.building = map[reflect.Type]*plan{}
		plans.codecs = map[reflect.Type]*codec{}
	}
	p := buildPlan(t)
	plans.done.Store(t, p)
	return p
}

func buildPlan(t reflect.Type) *plan {
	if p := plans.building[t]; p != nil {
		return p
	}
	p := &plan{typ: t}
	plans.building[t] = p // before its fields: types refer to one another
	zero := reflect.New(t).Interface()
	if c, ok := zero.(constants); ok {
		p.consts = c.constants()
	} else if r, ok := zero.(ControlBody); ok && r.RequestSubtype() != "" {
		p.consts = kindOfRequest(r)
	}
	_, p.checks = zero.(checker)
	p.add(t, -1)
	for i := range p.fields {
		if f := &p.fields[i]; f.name == "session_id" && f.group < 0 && t.Field(f.index).Type.Kind() == reflect.String {
			p.session = f
		}
	}
	return p
}

// add puts the fields of a struct into the plan, or those of one of its groups.
func (p *plan) add(t reflect.Type, group int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		tag := sf.Tag.Get("json")
		if sf.Tag.Get("wire") == "inline" {
			p.add(sf.Type.Elem(), i)
			continue
		}
		if !sf.IsExported() || tag == "-" {
			continue
		}
		name, rest, _ := strings.Cut(tag, ",")
		if name == "" {
			panic(fmt.Sprintf("protocol: %s.%s has no json name", t, sf.Name))
		}
		f := field{
			name: name, index: i, group: group, zero: reflect.Zero(sf.Type), pos: len(p.fields), codec: codecOf(sf.Type), bit: 1 << len(p.fields),
			omitEmpty: rest == "omitempty" || rest == "omitzero",
		}
		switch w := sf.Tag.Get("wire"); w {
		case "":
		case "essential":
			f.essential = true
			p.essential |= f.bit
		case "failsafe":
			f.failsafe = true
		case "object":
			f.object = true
		default:
			panic(fmt.Sprintf("protocol: %s.%s: unknown wire tag %q", t, sf.Name, w))
		}
		if group >= 0 && (f.essential || !f.omitEmpty) {
			panic(fmt.Sprintf("protocol: %s.%s is behind a pointer: it has to be one that may be missing", t, sf.Name))
		}
		if len(p.fields) == 64 {
			panic(fmt.Sprintf("protocol: %s has more than 64 fields", t))
		}
		h := hashKey([]byte(name))
		f.next = p.table[h]
		p.fields = append(p.fields, f)
		p.table[h] = uint8(len(p.fields))
	}
}

// value is the field's value in a struct of the plan's type, which may not be set.
func (f *field) value(v reflect.Value) reflect.Value {
	if f.group >= 0 {
		if v = v.Field(f.group); v.IsNil() {
			return f.zero
		}
		v = v.Elem()
	}
	return v.Field(f.index)
}

// place is where the field's value goes.
func (f *field) place(v reflect.Value) reflect.Value {
	if f.group >= 0 {
		group := v.Field(f.group)
		if group.IsNil() {
			group.Set(reflect.New(group.Type().Elem()))
		}
		v = group.Elem()
	}
	return v.Field(f.index)
}

var (
	typeRaw     = reflect.TypeFor[json.RawMessage]()
	typeStrings = reflect.TypeFor[[]string]()
	typeContent = reflect.TypeFor[Content]()
	typeBlocks  = reflect.TypeFor[[]ContentBlock]()
	typeBody    = reflect.TypeFor[ControlBody]()
)

func codecOf(t reflect.Type) *codec {
	if c := plans.codecs[t]; c != nil {
		return c
	}
	c := makeCodec(t)
	plans.codecs[t] = c
	return c
}

func makeCodec(t reflect.Type) *codec {
	switch t {
	case typeRaw:
		return rawCodec()
	case typeStrings:
		return stringsCodec()
	case typeContent:
		return contentCodec()
	case typeBlocks:
		return blocksCodec()
	case typeBody:
		return bodyCodec()
	}
	switch t.Kind() {
	case reflect.String:
		return stringCodec()
	case reflect.Bool:
		return boolCodec()
	case reflect.Int, reflect.Int64:
		return intCodec()
	case reflect.Float64:
		return floatCodec()
	case reflect.Struct:
		return structCodec(t)
	case reflect.Pointer:
		return pointerCodec(t)
	case reflect.Slice:
		return sliceCodec(t)
	case reflect.Map:
		return mapCodec(t)
	}
	panic(fmt.Sprintf("protocol: no codec for %s", t))
}
