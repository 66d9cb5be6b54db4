package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	redactedMark = "[redacted]"
	minSecret    = 8 // shorter values would blot out ordinary words
	// maxEscapes is how many layers of JSON inside a JSON string are looked through.
	maxEscapes = 8
)

// redactor replaces secret values. It is immutable.
type redactor struct{ secrets []string }

func newRedactor(values []string) *redactor {
	r := &redactor{}
	for _, value := range values {
		// A key read from a file has a newline that its uses have not; invalid bytes do not get into JSON.
		for _, form := range []string{
			value, strings.TrimSpace(value), string([]rune(value)), strings.ToValidUTF8(value, "\ufffd"),
		} {
			// A part of the mark itself could never be got rid of.
			if len(form) >= minSecret && len(value) >= minSecret && !strings.Contains(redactedMark, form) {
				r.secrets = append(r.secrets, form)
			}
		}
	}
	slices.Sort(r.secrets)
	r.secrets = slices.Compact(r.secrets)
	return r
}

func (r *redactor) with(values []string) *redactor {
	return newRedactor(append(slices.Clone(values), r.secrets...))
}

// text redacts a string that will be written as a JSON string.
func (r *redactor) text(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	if len(r.secrets) == 0 || s == "" {
		return s
	}
	if spans := r.find(s); len(spans) > 0 {
		s = replace(s, spans)
		if len(r.find(s)) > 0 { // what stood around a secret makes one together with the mark
			return redactedMark
		}
	}
	// A secret that ends in a backslash could be seen in the escaped text though it is not in the text.
	if strings.IndexFunc(s, escaped) >= 0 && r.in(string(quote(s))) {
		return redactedMark
	}
	return s
}

// escaped reports whether a character has another form in JSON.
func escaped(c rune) bool {
	return c < ' ' || c == '"' || c == '\\' || c == '\u2028' || c == '\u2029'
}

// json redacts compact, valid JSON: its strings, keys too, and numbers. All else stays byte for byte.
func (r *redactor) json(raw []byte) []byte {
	if len(r.secrets) == 0 || bytes.IndexByte(raw, '\\') < 0 && !r.in(string(raw)) {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		switch c := raw[i]; c {
		case '{', '}', '[', ']', ',', ':':
			out = append(out, c)
			i++
		case '"':
			end := stringEnd(raw, i)
			out = append(out, r.literal(raw[i:end])...)
			i = end
		default:
			end := i + 1
			for end < len(raw) && !bytes.ContainsRune([]byte(`{}[],:"`), rune(raw[end])) {
				end++
			}
			if r.in(string(raw[i:end])) {
				out = append(out, `"`+redactedMark+`"`...)
			} else {
				out = append(out, raw[i:end]...)
			}
			i = end
		}
	}
	return out
}

// literal redacts one JSON string.
func (r *redactor) literal(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 && !r.in(string(quoted)) {
		return quoted
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return []byte(`"` + redactedMark + `"`) // the caller saw to it that it is valid; do not trust it
	}
	if clean := r.text(s); clean != s {
		return quote(clean)
	}
	if r.in(string(quoted)) { // in the escapes, as they came
		return []byte(`"` + redactedMark + `"`)
	}
	return quoted
}

func (r *redactor) in(s string) bool {
	return slices.ContainsFunc(r.secrets, func(secret string) bool { return strings.Contains(s, secret) })
}

// span is a part of a text, in bytes.
type span struct{ start, end int }

// find returns where secrets are, as they are or JSON-escaped, once or repeatedly as in JSON that is a
// string in other JSON.
func (r *redactor) find(s string) []span {
	var spans []span
	layer, origin := s, []span(nil)
	for range maxEscapes {
		for _, secret := range r.secrets {
			for from := 0; ; {
				i := strings.Index(layer[from:], secret)
				if i < 0 {
					break
				}
				start, end := from+i, from+i+len(secret)
				if origin == nil {
					spans = append(spans, span{start, end})
				} else {
					spans = append(spans, span{origin[start].start, origin[end-1].end})
				}
				from = start + 1
			}
		}
		if !strings.Contains(layer, `\`) {
			break
		}
		layer, origin = unescape(layer, origin)
	}
	return spans
}

// replace puts the mark in the place of each span, once for those that overlap.
func replace(s string, spans []span) string {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	var out strings.Builder
	at := 0
	for i, sp := range spans {
		if i > 0 && sp.start < at { // overlaps the one before
			at = max(at, sp.end)
			continue
		}
		out.WriteString(s[at:sp.start])
		out.WriteString(redactedMark)
		at = sp.end
	}
	out.WriteString(s[at:])
	return out.String()
}

// unescape undoes one layer of JSON escapes and leaves alone what is none. For each byte of the result it
// says which part of the original text it comes from; origin is the same for s, nil if s is the original.
func unescape(s string, origin []span) (string, []span) {
	out := make([]byte, 0, len(s))
	from := make([]span, 0, len(s))
	for i := 0; i < len(s); {
		decoded, n := escape(s[i:])
		where := span{i, i + n}
		if origin != nil {
			where = span{origin[i].start, origin[i+n-1].end}
		}
		out = append(out, decoded...)
		for range len(decoded) {
			from = append(from, where)
		}
		i += n
	}
	return string(out), from
}

// escape decodes what s begins with: an escape, or the byte itself. It returns how long it was.
func escape(s string) (string, int) {
	if s[0] != '\\' || len(s) < 2 {
		return s[:1], 1
	}
	switch s[1] {
	case '"', '\\', '/':
		return s[1:2], 2
	case 'b':
		return "\b", 2
	case 'f':
		return "\f", 2
	case 'n':
		return "\n", 2
	case 'r':
		return "\r", 2
	case 't':
		return "\t", 2
	case 'u':
		first, ok := hex4(s)
		if !ok {
			break
		}
		if utf16.IsSurrogate(first) {
			if second, ok := hex4(s[6:]); ok {
				if pair := utf16.DecodeRune(first, second); pair != utf8.RuneError {
					return string(pair), 12
				}
			}
			return "\ufffd", 6
		}
		return string(first), 6
	}
	return s[:1], 1
}

// hex4 reads the \uXXXX that s begins with.
func hex4(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}

// stringEnd returns where the JSON string ends that begins at start.
func stringEnd(raw []byte, start int) int {
	for i := start + 1; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(raw)
}

// quote makes a JSON string, without the escapes for HTML.
func quote(s string) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return []byte(`"` + redactedMark + `"`) // strings always encode
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
