package format

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Head is what every record begins with:
//
//	{"v":1,"seq":7,"kind":"tool.intent","session":"reviewer","session_seq":4,"lost":2,
//
// session, session_seq and lost are left out if there are none.
type Head struct {
	V          int
	Seq        uint64
	Kind       string
	Session    string
	SessionSeq uint64
	Lost       uint64
}

// Append appends it, with the comma that follows.
func (h Head) Append(b []byte) []byte {
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, int64(h.V), 10)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, h.Seq, 10)
	b = append(b, `,"kind":"`...)
	b = append(b, h.Kind...)
	b = append(b, '"')
	if h.Session != "" {
		b = append(b, `,"session":`...)
		b = AppendString(b, h.Session)
		b = append(b, `,"session_seq":`...)
		b = strconv.AppendUint(b, h.SessionSeq, 10)
	}
	if h.Lost > 0 {
		b = append(b, `,"lost":`...)
		b = strconv.AppendUint(b, h.Lost, 10)
	}
	return append(b, ',')
}

// AppendString appends a JSON string, as encoding/json writes it without the escapes for HTML.
func AppendString[T string | []byte](b []byte, s T) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0 // what is not copied yet
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			switch {
			case r == utf8.RuneError && size == 1:
				b = append(append(b, s[from:i]...), `\ufffd`...)
			case r == '\u2028' || r == '\u2029': // JavaScript would take them for the end of a line
				b = append(append(b, s[from:i]...), '\\', 'u', '2', '0', '2', hex[r&0xf])
			default:
				i += size
				continue
			}
			i += size
			from = i
			continue
		}
		b = append(append(b, s[from:i]...), '\\')
		switch c {
		case '"', '\\':
			b = append(b, c)
		case '\b':
			b = append(b, 'b')
		case '\f':
			b = append(b, 'f')
		case '\n':
			b = append(b, 'n')
		case '\r':
			b = append(b, 'r')
		case '\t':
			b = append(b, 't')
		default:
			b = append(b, 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
		i++
		from = i
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// ParseHead reads the head of a payload. It decodes nothing else, so that a whole log can be checked at the
// speed of its hashing. Kind and Session are copied only if they are not the same as in last.
func ParseHead(payload []byte, last Head) (Head, bool) {
	var h Head
	var n uint64
	rest, ok := bytes.CutPrefix(payload, []byte(`{"v":`))
	if !ok {
		return h, false
	}
	if n, rest, ok = digits(rest); !ok || n > 1<<30 {
		return h, false
	}
	h.V = int(n)
	if h.Seq, rest, ok = number(rest, `,"seq":`); !ok {
		return h, false
	}
	var text []byte
	if text, rest, ok = quoted(rest, `,"kind":`); !ok {
		return h, false
	}
	h.Kind = same(last.Kind, text[1:len(text)-1])
	if text, more, ok := quoted(rest, `,"session":`); ok {
		h.Session = same(last.Session, text[1:len(text)-1])
		if bytes.IndexByte(text, '\\') >= 0 && json.Unmarshal(text, &h.Session) != nil {
			return h, false
		}
		if h.SessionSeq, more, ok = number(more, `,"session_seq":`); !ok {
			return h, false
		}
		rest = more
	}
	if n, more, ok := number(rest, `,"lost":`); ok {
		h.Lost, rest = n, more
	}
	return h, len(rest) > 0 && rest[0] == ','
}

func same(last string, b []byte) string {
	if last == string(b) {
		return last
	}
	return string(b)
}

func number(b []byte, key string) (uint64, []byte, bool) {
	b, ok := bytes.CutPrefix(b, []byte(key))
	if !ok {
		return 0, b, false
	}
	return digits(b)
}

// quoted returns a JSON string with its quotes.
func quoted(b []byte, key string) (text, rest []byte, ok bool) {
	b, ok = bytes.CutPrefix(b, []byte(key))
	if !ok || len(b) < 2 || b[0] != '"' {
		return nil, b, false
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[:i+1], b[i+1:], true
		}
	}
	return nil, b, false
}

func digits(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && i < 19 && '0' <= b[i] && b[i] <= '9'; i++ {
		n = n*10 + uint64(b[i]-'0')
	}
	return n, b[i:], i > 0
}
