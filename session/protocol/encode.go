package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"
)

// Encode writes a message as one line of JSON, without the newline.
//
// A decoded message is written from the bytes it was read from and from its
// typed fields: a field that still has the value these bytes decode to keeps
// them, an edited one is replaced, and keys without a typed field, nulls and
// values of a wrong type stay, in nested objects and list elements too. So
// Encode(Decode(line)) is the same JSON value as line. A field with omitempty in
// its tag that was set to its zero value is removed.
//
// A message built in Go is written from its fields alone. It is an error if one
// the CLI cannot do without is missing: such a line would end the process.
//
// U+2028 and U+2029 are always escaped, since the CLI's line reader may take them for line ends.
func Encode(m Message) ([]byte, error) {
	if m == nil || reflect.ValueOf(m).IsNil() {
		return nil, errors.New("encode frame: message is nil")
	}
	b, err := marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s frame: %w", m.Kind(), err)
	}
	return b, nil
}

// marshal writes any struct of this package, given by pointer.
func marshal(v any) ([]byte, error) {
	rv := reflect.ValueOf(v).Elem()
	var e encoder
	size := 256
	if raw := v.(holder).Raw(); raw != nil {
		size = len(raw) + 64
	}
	dst := e.object(make([]byte, 0, size), planOf(rv.Type()), rv)
	if e.err != nil {
		return nil, e.err
	}
	return dst, nil
}

type encoder struct {
	err error
}

func (e *encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

func (e *encoder) object(dst []byte, p *plan, v reflect.Value) []byte {
	self := v.Addr().Interface()
	raw := self.(holder).Raw()
	switch {
	case raw == nil:
		return e.fresh(dst, p, v)
	case raw[0] != '{':
		return appendOneLine(dst, raw)
	}
	return e.merged(dst, p, v, raw)
}

// fresh writes a struct that was built in Go.
func (e *encoder) fresh(dst []byte, p *plan, v reflect.Value) []byte {
	if p.checks {
		if err := v.Addr().Interface().(checker).check(); err != nil {
			e.fail(err)
		}
	}
	dst = append(dst, '{')
	comma := false
	key := func(name string) {
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		dst = append(appendString(dst, name), ':')
	}
	for _, c := range p.consts {
		key(c.key)
		dst = appendString(dst, c.value)
	}
	for i := range p.fields {
		f := &p.fields[i]
		fv := f.value(v)
		if isEmpty(fv) {
			if f.essential {
				e.fail(fmt.Errorf("%s is empty", f.name))
			}
			if f.omitEmpty {
				continue
			}
		}
		key(f.name)
		dst = e.value(dst, f, fv)
	}
	return append(dst, '}')
}

func (e *encoder) value(dst []byte, f *field, v reflect.Value) []byte {
	if f.object && v.Len() == 0 {
		return append(dst, "{}"...)
	}
	return f.codec.encode(e, dst, v)
}

// merged writes a struct over the object it was read from.
func (e *encoder) merged(dst []byte, p *plan, v reflect.Value, raw []byte) []byte {
	// The last of several equal keys is the one that counts; the others of a known
	// field must not survive an edit.
	var last [64]int
	var present uint64
	walk(raw, func(at int, k span, _ []byte) {
		if f := p.find(k); f != nil {
			last[f.pos] = at
			present |= f.bit
		}
	})
	dst = append(dst, '{')
	comma := false
	open := func() {
		if comma {
			dst = append(dst, ',')
		}
		comma = true
	}
	walk(raw, func(at int, k span, val []byte) {
		f := p.find(k)
		if f != nil && last[f.pos] != at {
			return
		}
		keep := f == nil
		if f != nil {
			fv := f.value(v)
			keep = f.unchanged(fv, val)
			if !keep && f.omitEmpty && isEmpty(fv) {
				return
			}
		}
		open()
		dst = append(dst, '"')
		dst = append(appendOneLine(dst, k.b), '"', ':')
		if keep {
			dst = appendOneLine(dst, val)
			return
		}
		dst = e.value(dst, f, f.value(v))
	})
	for i := range p.fields {
		f := &p.fields[i]
		fv := f.value(v)
		if present&f.bit != 0 || fv.IsZero() || f.omitEmpty && isEmpty(fv) {
			continue
		}
		open()
		dst = append(appendString(dst, f.name), ':')
		dst = e.value(dst, f, fv)
	}
	return append(dst, '}')
}

// unchanged says whether the bytes of a field may stand as they are. A field
// with structs in it is written anew unless it is empty: each struct merges with its own bytes.
func (f *field) unchanged(v reflect.Value, val []byte) bool {
	if !f.codec.plain && !isEmpty(v) {
		return false
	}
	was := reflect.New(v.Type()).Elem()
	d := decoder{scanner: scanner{b: val}}
	d.field(f, was)
	if !f.codec.plain {
		return isEmpty(was) && was.IsZero() == v.IsZero()
	}
	switch v.Kind() {
	case reflect.String:
		return v.String() == was.String()
	case reflect.Bool:
		return v.Bool() == was.Bool()
	case reflect.Int, reflect.Int64:
		return v.Int() == was.Int()
	case reflect.Float64:
		return v.Float() == was.Float()
	}
	if v.Type() == typeRaw {
		return bytes.Equal(v.Bytes(), was.Bytes())
	}
	return reflect.DeepEqual(v.Interface(), was.Interface())
}

// walk calls f for the members of a valid object: where the key stands, the key, the value.
func walk(raw []byte, f func(at int, k span, val []byte)) {
	s := scanner{b: raw}
	if s.next() != '{' || !s.enter() {
		return
	}
	for first := true; s.more(first, '}'); first = false {
		at := s.i
		k, ok := s.key()
		if !ok {
			return
		}
		start := s.i
		if !s.skip() {
			return
		}
		f(at, k, raw[start:s.i])
	}
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return v.IsZero()
}

// foreign writes JSON that came from the embedder.
func (e *encoder) foreign(dst []byte, raw []byte) []byte {
	if len(raw) == 0 {
		return append(dst, "null"...)
	}
	if !validJSON(raw) {
		e.fail(fmt.Errorf("a raw value is not valid JSON: it starts with %q", raw[:min(len(raw), 40)]))
		return dst
	}
	return appendOneLine(dst, raw)
}

// appendOneLine copies JSON bytes, or the inside of a JSON string, without
// anything a line reader could take for the end of a line.
func appendOneLine(dst, raw []byte) []byte {
	if bytes.IndexByte(raw, '\n') < 0 && bytes.IndexByte(raw, '\r') < 0 && bytes.IndexByte(raw, 0xe2) < 0 {
		return append(dst, raw...)
	}
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '\n' || c == '\r':
			// Valid JSON has them between values only.
		case c == 0xe2 && i+2 < len(raw) && raw[i+1] == 0x80 && raw[i+2]&^1 == 0xa8:
			dst = append(dst, `\u202`...)
			dst = append(dst, '8'+raw[i+2]&1)
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string. Unlike encoding/json it leaves <, > and & alone.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		n := 1
		var esc []byte
		switch {
		case c == '"' || c == '\\':
			esc = []byte{'\\', c}
		case c == '\n':
			esc = []byte(`\n`)
		case c == '\r':
			esc = []byte(`\r`)
		case c == '\t':
			esc = []byte(`\t`)
		case c < ' ':
			esc = []byte{'\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15]}
		default:
			var r rune
			r, n = utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				esc = []byte(`\ufffd`)
			case r == '\u2028':
				esc = []byte(`\u2028`)
			case r == '\u2029':
				esc = []byte(`\u2029`)
			}
		}
		if esc != nil {
			dst = append(append(dst, s[start:i]...), esc...)
			start = i + n
		}
		i += n
	}
	return append(append(dst, s[start:]...), '"')
}

// toJSON turns what an embedder hands us into JSON: bytes as they are, anything else by encoding/json.
func toJSON(v any) (json.RawMessage, error) {
	if raw, ok := v.(json.RawMessage); ok {
		if !validJSON(raw) {
			return nil, errors.New("not valid JSON")
		}
		return raw, nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return appendOneLine(nil, buf.Bytes()), nil
}
