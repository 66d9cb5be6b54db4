package protocol

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// maxDepth is the nesting of arrays and objects beyond which a line is refused.
// It equals the limit of encoding/json, so that whatever Decode accepts can be
// handed to encoding/json as raw bytes.
const maxDepth = 10000

// scanner walks the bytes of one JSON text. It validates what it passes, and
// allocates nothing but decoded strings. The first problem sticks in msg and off.
type scanner struct {
	b     []byte
	i     int
	depth int
	msg   string
	off   int
}

func (s *scanner) fail(msg string) bool {
	if s.msg == "" {
		s.msg, s.off = msg, s.i
	}
	return false
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// next gives the byte a value starts with, 0 at the end of the input.
func (s *scanner) next() byte {
	s.space()
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// enter passes an opening bracket.
func (s *scanner) enter() bool {
	s.i++
	s.depth++
	if s.depth > maxDepth {
		return s.fail("nested too deeply")
	}
	return true
}

// leave passes a closing bracket.
func (s *scanner) leave() {
	s.i++
	s.depth--
}

// more passes what stands between two members of a container. It returns
// false at the closing bracket (which it passes) and on an error.
func (s *scanner) more(first bool, end byte) bool {
	switch c := s.next(); {
	case c == end && c != 0:
		s.leave()
		return false
	case first:
		return true
	case c == ',':
		s.i++
		if s.next() == end {
			return s.fail("trailing comma")
		}
		return true
	case c == 0 && s.i >= len(s.b):
		return s.fail("unexpected end of input")
	default:
		return s.fail("expected a comma or a closing bracket")
	}
}

// key passes an object key and its colon.
func (s *scanner) key() (span, bool) {
	if s.next() != '"' {
		return span{}, s.fail("expected an object key")
	}
	k, ok := s.str()
	if !ok {
		return k, false
	}
	if s.next() != ':' {
		return k, s.fail("expected a colon after an object key")
	}
	s.i++
	s.space()
	return k, true
}

// span is a string between its quotes, as it stands in the input.
type span struct {
	b       []byte
	at      int  // where it begins in the input
	escaped bool // has a backslash
	high    bool // has a byte above 0x7f
}

// bytes gives the string's value; it is part of the input where that is possible.
func (p span) bytes() []byte {
	if !p.escaped && (!p.high || utf8.Valid(p.b)) {
		return p.b
	}
	return unescape(p.b)
}

// text gives the string's value as a string of its own.
func (p span) text() string {
	b := p.bytes()
	if len(b) <= maxCommon {
		if w, ok := commonWords[string(b)]; ok {
			return w
		}
	}
	return string(b)
}

// maxShared is the longest line whose strings are parts of it. Of a longer one a kept string would hold on to
// too much; most frames are shorter by far.
const maxShared = 4 << 10

// text gives a span's value as a string.
func (d *decoder) text(p span) string {
	if len(d.b) > maxShared || p.escaped || p.high && !utf8.Valid(p.b) {
		return p.text()
	}
	// The line is the message's own and never changes: Raw says so to those who get it.
	return unsafe.String(unsafe.SliceData(p.b), len(p.b))
}

// is compares without allocating.
func (p span) is(s string) bool { return !p.escaped && string(p.b) == s }

// commonWords are short values that stand in most frames; sharing them saves an allocation each.
var commonWords = map[string]string{
	"": "", "assistant": "assistant", "user": "user", "message": "message", "end_turn": "end_turn",
	"tool_use": "tool_use", "success": "success", "completed": "completed", "default": "default", "standard": "standard",
	"Bash": "Bash", "Read": "Read", "Edit": "Edit", "Write": "Write", "Grep": "Grep", "Glob": "Glob",
}

const maxCommon = 9

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// str passes a string. The cursor stands on its opening quote.
func (s *scanner) str() (span, bool) {
	b := s.b
	start := s.i + 1
	i := start
	var escaped bool
	var high uint64
	for {
		if i+8 <= len(b) {
			// Eight bytes at a time up to the first quote, backslash or control character.
			// The lowest mark is exact; a borrow can only set false ones above it.
			x := binary.LittleEndian.Uint64(b[i:])
			q := x ^ ('"' * ones)
			e := x ^ ('\\' * ones)
			m := ((q-ones)&^q | (e-ones)&^e | (x-0x20*ones)&^x) & highs
			if m == 0 {
				high |= x & highs
				i += 8
				continue
			}
			high |= x & highs & ((m & -m) - 1)
			i += bits.TrailingZeros64(m) >> 3
		}
		if i >= len(b) {
			s.i = i
			return span{}, s.fail("unexpected end of input in a string")
		}
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			return span{b[start:i], start, escaped, high != 0}, true
		case c == '\\':
			n := escapeLen(b[i:])
			if n == 0 {
				s.i = i
				return span{}, s.fail("invalid escape in a string")
			}
			escaped = true
			i += n
		case c < 0x20:
			s.i = i
			return span{}, s.fail("control character in a string")
		default:
			high |= uint64(c) & 0x80
			i++
		}
	}
}

// escapeLen is the length of the escape sequence at the start of b, 0 if it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if hex4(b) >= 0 {
			return 6
		}
	}
	return 0
}

// hex4 reads \uXXXX at the start of b, -1 if it does not stand there.
func hex4(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// unescape gives the value of a validated string. What is no valid UTF-8 and what
// is half a surrogate pair becomes U+FFFD, as encoding/json has it.
func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c == '\\':
			if r := hex4(b[i:]); r >= 0 {
				i += 6
				if utf16.IsSurrogate(r) {
					if pair := utf16.DecodeRune(r, hex4(b[i:])); pair != utf8.RuneError {
						r = pair
						i += 6
					} else {
						r = utf8.RuneError
					}
				}
				out = utf8.AppendRune(out, r)
				continue
			}
			e := b[i+1]
			switch e {
			case 'b':
				e = '\b'
			case 'f':
				e = '\f'
			case 'n':
				e = '\n'
			case 'r':
				e = '\r'
			case 't':
				e = '\t'
			}
			out = append(out, e)
			i += 2
		case c < utf8.RuneSelf:
			out = append(out, c)
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			out = utf8.AppendRune(out, r)
			i += n
		}
	}
	return out
}

// number passes a number and returns its bytes.
func (s *scanner) number() ([]byte, bool) {
	start := s.i
	if s.b[s.i] == '-' {
		s.i++
	}
	switch c := s.at(); {
	case c == '0':
		s.i++
	case c >= '1' && c <= '9':
		s.digits()
	default:
		return nil, s.fail("invalid number")
	}
	if s.at() == '.' {
		s.i++
		if !s.digits() {
			return nil, s.fail("invalid number")
		}
	}
	if c := s.at(); c == 'e' || c == 'E' {
		s.i++
		if c := s.at(); c == '+' || c == '-' {
			s.i++
		}
		if !s.digits() {
			return nil, s.fail("invalid number")
		}
	}
	return s.b[start:s.i], true
}

func (s *scanner) at() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

func (s *scanner) literal(word string) bool {
	if !bytes.HasPrefix(s.b[s.i:], []byte(word)) {
		return s.fail("invalid value")
	}
	s.i += len(word)
	return true
}

// skip passes any value.
func (s *scanner) skip() bool {
	switch c := s.next(); {
	case c == '"':
		_, ok := s.str()
		return ok
	case c == '{':
		if !s.enter() {
			return false
		}
		for first := true; s.more(first, '}'); first = false {
			if _, ok := s.key(); !ok || !s.skip() {
				return false
			}
		}
		return s.msg == ""
	case c == '[':
		if !s.enter() {
			return false
		}
		for first := true; s.more(first, ']'); first = false {
			if !s.skip() {
				return false
			}
		}
		return s.msg == ""
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	case c == '-' || c >= '0' && c <= '9':
		_, ok := s.number()
		return ok
	case c == 0 && s.i >= len(s.b):
		return s.fail("unexpected end of input")
	default:
		return s.fail("invalid value")
	}
}

// end checks that nothing but white space is left.
func (s *scanner) end() bool {
	s.space()
	if s.i < len(s.b) {
		return s.fail("bytes after the end of the JSON value")
	}
	return s.msg == ""
}

// validJSON says whether b is exactly one JSON value.
func validJSON(b []byte) bool {
	s := scanner{b: b}
	return s.skip() && s.end()
}

// describe names the kind of a JSON value by its first byte, for messages.
func describe(raw []byte) string {
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}
