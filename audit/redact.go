package audit

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
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
type redactor struct {
	secrets     []string
	secretBytes [][]byte // the same
	salt        []byte
	plain       bool // known values only, no patterns
}

// tally counts what was replaced in one record, and has room for what redacting it needs.
type tally struct {
	counts  []Redaction
	compact bytes.Buffer // see clean
	layer   []byte       // see harmlessJSON
}

// maxTally bounds the memory that is kept for the next record.
const maxTally = 256 << 10

// release gives it back to tallies.
func (n *tally) release() {
	n.counts = nil
	if n.compact.Cap()+cap(n.layer) <= maxTally {
		tallies.Put(n)
	}
}

func (n *tally) add(rule string) {
	for i := range n.counts {
		if n.counts[i].Rule == rule {
			n.counts[i].N++
			return
		}
	}
	n.counts = append(n.counts, Redaction{rule, 1})
}

func newRedactor(values []string, salt []byte) *redactor {
	r := &redactor{salt: salt}
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
	for _, secret := range r.secrets {
		r.secretBytes = append(r.secretBytes, []byte(secret))
	}
	return r
}

func (r *redactor) with(values []string) *redactor {
	return newRedactor(append(slices.Clone(values), r.secrets...), r.salt)
}

func (r *redactor) salted(salt []byte) *redactor {
	salted := *r
	salted.salt = salt
	return &salted
}

// valuesOnly leaves patterns alone.
func (r *redactor) valuesOnly() *redactor {
	plain := *r
	plain.plain = true
	return &plain
}

// mark is what a secret is replaced by: equal secrets of one log have equal marks, and nobody without the
// log's salt can try values.
func (r *redactor) mark(rule, secret string) string {
	mac := hmac.New(sha256.New, r.salt)
	mac.Write([]byte(secret)) // never fails
	return "[redacted " + rule + " " + hex.EncodeToString(mac.Sum(nil)[:6]) + "]"
}

// text redacts a string that will be written as a JSON string.
func (r *redactor) text(s string, n *tally) string {
	if r.harmless(s) {
		return s
	}
	return r.textThoroughly(s, n)
}

// harmless reports what most texts are: that nothing in it needs an escape, so that it is its own JSON and there is but
// one layer of it, and that neither a value nor a pattern is in it. All else is looked at thoroughly.
func (r *redactor) harmless(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return len(s) < min(minSecret, shortest) || !r.in(s) && (r.plain || wordsIn(patternWords, s) == 0)
}

func (r *redactor) textThoroughly(s string, n *tally) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	if s == "" || len(r.secrets) == 0 && !r.suspicious(s) {
		return s
	}
	if spans := r.find(s); len(spans) > 0 {
		s = r.replace(s, spans, n)
		if len(r.find(s)) > 0 { // what stood around a secret makes one together with the mark
			return redactedMark
		}
	}
	// A secret that ends in a backslash could be seen in the escaped text though it is not in the text.
	if strings.IndexFunc(s, escaped) >= 0 && r.in(string(quote(s))) {
		n.add(ruleValue)
		return redactedMark
	}
	return s
}

// escaped reports whether a character has another form in JSON.
func escaped(c rune) bool {
	return c < ' ' || c == '"' || c == '\\' || c == '\u2028' || c == '\u2029'
}

// json redacts compact, valid JSON: its strings, keys too, and numbers. All else stays byte for byte.
func (r *redactor) json(raw []byte, n *tally) []byte {
	if r.harmlessJSON(raw, n) {
		return raw
	}
	return r.jsonThoroughly(raw, n)
}

// harmlessJSON is harmless for compact, valid JSON. With its escapes undone it must not have another layer of them, and
// they must be those with which its strings would be written anew.
func (r *redactor) harmlessJSON(raw []byte, n *tally) bool {
	layer := raw
	if i := bytes.IndexByte(raw, '\\'); i >= 0 {
		layer = append(n.layer[:0], raw[:i]...)
		for ; i < len(raw); i++ {
			c := raw[i]
			if c == '\\' && i+1 < len(raw) {
				i++
				if c = simpleEscapes[raw[i]]; c == 0 {
					return false
				}
			}
			layer = append(layer, c)
		}
		n.layer = layer
		// Where a line or paragraph separator is written as it is, writing the string anew would escape it.
		if r.inBytes(raw) || bytes.Contains(raw, []byte("\u2028")) || bytes.Contains(raw, []byte("\u2029")) {
			return false
		}
	}
	return !r.inBytes(layer) && (r.plain || wordsIn(patternWords, layer) == 0 && !hasSecretField(layer))
}

// simpleEscapes are the escapes that quote writes, but for that of the backslash.
var simpleEscapes = [256]byte{'"': '"', 'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f'}

func (r *redactor) inBytes(b []byte) bool {
	return slices.ContainsFunc(r.secretBytes, func(secret []byte) bool { return bytes.Contains(b, secret) })
}

func (r *redactor) jsonThoroughly(raw []byte, n *tally) []byte {
	text := string(raw)
	if len(r.secrets) == 0 && !r.suspicious(text) || bytes.IndexByte(raw, '\\') < 0 && !r.in(text) && !r.suspicious(text) {
		return raw
	}
	out := make([]byte, 0, len(raw))
	hide := false         // the value that follows is a secret by its name
	depth, hidden := 0, 0 // what encloses, and since when all that is in it is one
	for i := 0; i < len(raw); {
		switch c := raw[i]; c {
		case '{', '}', '[', ']', ',', ':':
			out = append(out, c)
			i++
			switch c {
			case '{', '[':
				if depth++; hide && hidden == 0 {
					hidden = depth
				}
			case '}', ']':
				if depth--; depth < hidden {
					hidden = 0
				}
			}
			hide = hide && c == ':'
		case '"':
			end := stringEnd(raw, i)
			switch key := end < len(raw) && raw[end] == ':'; {
			case (hide || hidden > 0 && !key) && end-i > 2:
				n.add(ruleField)
				out = append(out, quote(r.mark(ruleField, string(raw[i+1:end-1])))...)
			default:
				out = append(out, r.literal(raw[i:end], n)...)
				hide = key && !r.plain && secretField(raw[i+1:end-1])
			}
			i = end
		default:
			end := i + 1
			for end < len(raw) && !bytes.ContainsRune([]byte(`{}[],:"`), rune(raw[end])) {
				end++
			}
			switch number := raw[i] == '-' || '0' <= raw[i] && raw[i] <= '9'; {
			case r.in(string(raw[i:end])):
				n.add(ruleValue)
				out = append(out, quote(r.mark(ruleValue, string(raw[i:end])))...)
			case number && (hide || hidden > 0):
				n.add(ruleField)
				out = append(out, quote(r.mark(ruleField, string(raw[i:end])))...)
			default:
				out = append(out, raw[i:end]...)
			}
			i = end
		}
	}
	return out
}

// literal redacts one JSON string.
func (r *redactor) literal(quoted []byte, n *tally) []byte {
	text := string(quoted)
	if bytes.IndexByte(quoted, '\\') < 0 && !r.in(text) && !r.suspicious(text) {
		return quoted
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		n.add(ruleValue)
		return []byte(`"` + redactedMark + `"`) // the caller saw to it that it is valid; do not trust it
	}
	clean := s
	if len(s) > 0 && (s[0] == '{' || s[0] == '[') && json.Valid([]byte(s)) { // it has names of its own
		clean = string(r.json([]byte(s), n))
	}
	if clean = r.text(clean, n); clean != s {
		return quote(clean)
	}
	if r.in(text) { // in the escapes, as they came
		n.add(ruleValue)
		return []byte(`"` + redactedMark + `"`)
	}
	return quoted
}

func (r *redactor) in(s string) bool {
	return slices.ContainsFunc(r.secrets, func(secret string) bool { return strings.Contains(s, secret) })
}

// span is a part of a text, in bytes.
type span struct {
	start, end int
	rule       string // why it is redacted
	secret     string
}

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
				spans = append(spans, place(origin, start, end, ruleValue, secret))
				from = start + 1
			}
		}
		if !r.plain {
			for _, m := range matches(layer) {
				spans = append(spans, place(origin, m.start, m.end, m.rule, layer[m.start:m.end]))
			}
		}
		if !strings.Contains(layer, `\`) {
			break
		}
		layer, origin = unescape(layer, origin)
	}
	return spans
}

// place is a part of a layer, in the text that it comes from.
func place(origin []span, start, end int, rule, secret string) span {
	if origin == nil {
		return span{start, end, rule, secret}
	}
	return span{origin[start].start, origin[end-1].end, rule, secret}
}

// replace puts a mark in the place of each span, one for those that overlap.
func (r *redactor) replace(s string, spans []span, n *tally) string {
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	var out strings.Builder
	at := 0
	for i, sp := range spans {
		if i > 0 && sp.start < at { // overlaps the one before
			at = max(at, sp.end)
			continue
		}
		out.WriteString(s[at:sp.start])
		out.WriteString(r.mark(sp.rule, sp.secret))
		n.add(sp.rule)
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
		where := span{start: i, end: i + n}
		if origin != nil {
			where = span{start: origin[i].start, end: origin[i+n-1].end}
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
