package protocol

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strconv"
)

func stringCodec() *codec {
	return &codec{
		want: "a string", plain: true,
		decode: func(d *decoder, v reflect.Value) bool {
			if d.at() != '"' {
				return false
			}
			p, ok := d.str()
			if ok {
				v.SetString(d.text(p))
			}
			return ok
		},
		encode: func(_ *encoder, dst []byte, v reflect.Value) []byte { return appendString(dst, v.String()) },
	}
}

func boolCodec() *codec {
	return &codec{
		want: "a boolean", plain: true,
		decode: func(d *decoder, v reflect.Value) bool {
			switch d.at() {
			case 't':
				v.SetBool(true)
				return d.literal("true")
			case 'f':
				v.SetBool(false)
				return d.literal("false")
			}
			return false
		},
		encode: func(_ *encoder, dst []byte, v reflect.Value) []byte { return strconv.AppendBool(dst, v.Bool()) },
	}
}

func isNumber(c byte) bool { return c == '-' || c >= '0' && c <= '9' }

// intCodec takes any JSON number: the sender knows floats only, and may write
// 12.0, 1e3 or 12.7. A fraction is cut off; what does not fit is a defect.
func intCodec() *codec {
	return &codec{
		want: "an integer", plain: true,
		decode: func(d *decoder, v reflect.Value) bool {
			if !isNumber(d.at()) {
				return false
			}
			b, ok := d.number()
			if !ok {
				return false
			}
			n, ok := parseInt(b)
			if ok {
				v.SetInt(n)
			}
			return ok
		},
		encode: func(_ *encoder, dst []byte, v reflect.Value) []byte { return strconv.AppendInt(dst, v.Int(), 10) },
	}
}

func parseInt(b []byte) (int64, bool) {
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(string(b), 64)
	// The bounds are exact in a float64; 2^63 itself does not fit.
	if err != nil || f < math.MinInt64 || f >= -math.MinInt64 {
		return 0, false
	}
	return int64(f), true
}

func floatCodec() *codec {
	return &codec{
		want: "a number", plain: true,
		decode: func(d *decoder, v reflect.Value) bool {
			if !isNumber(d.at()) {
				return false
			}
			b, ok := d.number()
			if !ok {
				return false
			}
			f, err := strconv.ParseFloat(string(b), 64)
			if err != nil {
				return false
			}
			v.SetFloat(f)
			return true
		},
		encode: func(e *encoder, dst []byte, v reflect.Value) []byte {
			b, err := json.Marshal(v.Float())
			if err != nil {
				e.fail(err)
			}
			return append(dst, b...)
		},
	}
}

func rawCodec() *codec {
	return &codec{
		want: "a JSON value", plain: true,
		decode: func(d *decoder, v reflect.Value) bool {
			start := d.i
			if !d.skip() {
				return false
			}
			v.SetBytes(d.b[start:d.i:d.i])
			return true
		},
		encode: func(e *encoder, dst []byte, v reflect.Value) []byte { return e.foreign(dst, v.Bytes()) },
	}
}

func stringsCodec() *codec {
	return &codec{
		want: "an array of strings", plain: true,
		decode: func(d *decoder, v reflect.Value) bool {
			if d.at() != '[' || !d.enter() {
				return false
			}
			list := []string{}
			for first := true; d.more(first, ']'); first = false {
				if d.next() != '"' {
					return false
				}
				p, ok := d.str()
				if !ok {
					return false
				}
				list = append(list, d.text(p))
			}
			v.Set(reflect.ValueOf(list))
			return d.msg == ""
		},
		encode: func(_ *encoder, dst []byte, v reflect.Value) []byte {
			dst = append(dst, '[')
			for i := range v.Len() {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = appendString(dst, v.Index(i).String())
			}
			return append(dst, ']')
		},
	}
}

func structCodec(t reflect.Type) *codec {
	p := buildPlan(t)
	return &codec{
		want: "an object",
		decode: func(d *decoder, v reflect.Value) bool {
			if d.at() != '{' {
				return false
			}
			return d.object(p, v, false)
		},
		encode: func(e *encoder, dst []byte, v reflect.Value) []byte { return e.object(dst, p, v) },
	}
}

func pointerCodec(t reflect.Type) *codec {
	elem := codecOf(t.Elem())
	return &codec{
		want: elem.want, plain: elem.plain,
		decode: func(d *decoder, v reflect.Value) bool {
			to := reflect.New(t.Elem())
			if !elem.decode(d, to.Elem()) {
				return false
			}
			v.Set(to)
			return true
		},
		encode: func(e *encoder, dst []byte, v reflect.Value) []byte {
			if v.IsNil() {
				return append(dst, "null"...)
			}
			return elem.encode(e, dst, v.Elem())
		},
	}
}

// sliceCodec is for arrays of one kind of element. One element of another type
// makes the whole field a defect: half a list is worse than none.
func sliceCodec(t reflect.Type) *codec {
	elem := codecOf(t.Elem())
	return &codec{
		want: "an array, each element " + elem.want, plain: elem.plain,
		decode: func(d *decoder, v reflect.Value) bool {
			if d.at() != '[' || !d.enter() {
				return false
			}
			v.Set(reflect.MakeSlice(t, 0, 0))
			d.push("[]")
			defer d.pop()
			n := 0
			for first := true; d.more(first, ']'); first = false {
				d.space()
				v.Grow(1)
				n++
				v.SetLen(n)
				if !elem.decode(d, v.Index(n-1)) {
					return false
				}
			}
			return d.msg == ""
		},
		encode: func(e *encoder, dst []byte, v reflect.Value) []byte {
			dst = append(dst, '[')
			for i := range v.Len() {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = elem.encode(e, dst, v.Index(i))
			}
			return append(dst, ']')
		},
	}
}

// mapCodec is for objects whose keys are data. A repeated key: the last one wins.
func mapCodec(t reflect.Type) *codec {
	elem := codecOf(t.Elem())
	return &codec{
		want: "an object, each value " + elem.want, plain: elem.plain,
		decode: func(d *decoder, v reflect.Value) bool {
			if d.at() != '{' || !d.enter() {
				return false
			}
			v.Set(reflect.MakeMap(t))
			d.push("*")
			defer d.pop()
			for first := true; d.more(first, '}'); first = false {
				k, ok := d.key()
				if !ok {
					return false
				}
				to := reflect.New(t.Elem()).Elem()
				if !elem.decode(d, to) {
					return false
				}
				v.SetMapIndex(reflect.ValueOf(d.text(k)).Convert(t.Key()), to)
			}
			return d.msg == ""
		},
		encode: func(e *encoder, dst []byte, v reflect.Value) []byte {
			if v.IsNil() {
				return append(dst, "{}"...)
			}
			keys := v.MapKeys()
			slices.SortFunc(keys, func(a, b reflect.Value) int {
				if a.String() < b.String() {
					return -1
				}
				return 1
			})
			dst = append(dst, '{')
			for i, k := range keys {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = append(appendString(dst, k.String()), ':')
				// A map's values have no address, and the codec of a struct needs one.
				to := reflect.New(t.Elem()).Elem()
				to.Set(v.MapIndex(k))
				dst = elem.encode(e, dst, to)
			}
			return append(dst, '}')
		},
	}
}
