package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/understudy-run/understudy/audit/internal/format"
)

var marks = regexp.MustCompile(`\[redacted [a-z-]+ [0-9a-f]{12}\]`)

// unmark leaves out of marks what differs.
func unmark(s string) string { return marks.ReplaceAllString(s, redactedMark) }

// whole is the payload of a record.
func whole(e encoded) []byte {
	head := format.Head{V: Version, Seq: 1, Kind: string(e.kind), Session: e.session}
	if e.session != "" {
		head.SessionSeq = 1
	}
	return append(head.Append(nil), e.rest...)
}

func TestRedactText(t *testing.T) {
	for _, test := range []struct{ secret, in, want string }{
		{"sk-12345678", "key=sk-12345678;", "key=[redacted];"},
		{"sk-12345678", "sk-12345678sk-12345678", "[redacted][redacted]"},
		{"sk-12345678", "sk-1234567", "sk-1234567"},
		{"short", "short", "short"},
		{"aaaaaaaa", "aaaaaaaaaaa", "[redacted]"},
		{"pass\"word\n", `{"k":"pass\"word\n"}`, `{"k":"[redacted]"}`},
		{"pass\"word\n", `"{\"k\":\"pass\\\"word\\n\"}"`, `"{\"k\":\"[redacted]\"}"`},
		{"a/b/c/d/e", `a\/b\/c\/d\/e`, "[redacted]"},
		{"key-\U0001f511-key", `key-\ud83d\udd11-key`, "[redacted]"},
		{"sk-12345678", `\u0073k-1234567\u0038`, "[redacted]"},
		{"sk-12345678\n", "sk-12345678", "[redacted]"},
		{"abcdefg\xff", "abcdefg\xff", "[redacted]"},
		{`abcdefg\`, "abcdefg\n", "[redacted]"}, // its JSON is abcdefg\n
		{"redacted", "redacted", "redacted"},    // a part of the mark
		{"x[redact", "xLONGSECRET", "xLONGSECRET"},
	} {
		assert.Equal(t, test.want, unmark(newRedactor([]string{test.secret}, nil).text(test.in, &tally{})), "%q in %q", test.secret, test.in)
	}
	both := newRedactor([]string{"x[redact", "LONGSECRET"}, nil)
	assert.Equal(t, "[redacted]", both.text("xLONGSECRET", &tally{}), "the mark must not complete a secret")
}

func TestRedactJSON(t *testing.T) {
	red := newRedactor([]string{"12345678", "sk-secret", "tab\there"}, nil)
	for in, want := range map[string]string{
		`{"n":1.2e3,"s":"a\u0062","z":null}`: `{"n":1.2e3,"s":"a\u0062","z":null}`,
		`{"sk-secret":{"n":0.12345678}}`:     `{"[redacted]":{"n":"[redacted]"}}`,
		`[12345678,-1,true]`:                 `["[redacted]",-1,true]`,
		`["tab\there","tab\u0009here"]`:      `["[redacted]","[redacted]"]`,
		`"\"sk-secret\""`:                    `"\"[redacted]\""`,
	} {
		assert.Equal(t, want, unmark(string(red.json([]byte(in), &tally{}))))
	}
}

// spell writes s as a JSON string, escaping each unit as it comes.
func spell(t *rapid.T, s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range s {
		plain := quote(string(r))
		if rapid.IntRange(0, 3).Draw(t, "escape") > 0 {
			out.Write(plain[1 : len(plain)-1])
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			if rapid.Bool().Draw(t, "upper") {
				fmt.Fprintf(&out, `\u%04X`, unit)
			} else {
				fmt.Fprintf(&out, `\u%04x`, unit)
			}
		}
	}
	out.WriteByte('"')
	return out.String()
}

// What is found harmless at a glance is what a thorough look leaves as it is.
func TestHarmlessIsWhatAThoroughLookLeavesAlone(t *testing.T) {
	alphabet := rapid.StringOfN(rapid.RuneFrom([]rune("abcdefgh \"\\/\n\t\b\x7f<\u00e9\u2028\U0001f511{}:,sk-ant")), 0, 40, -1)
	parts := []string{
		"abcdefgh", `abc\def"gh`, "sk-ant-api03-abcdefgh", "https://u:pw@host", `{"password":"x"}`, `{"a":{"api_key":"b"}}`, "abcdefg\\", "\u2028abcdefgh",
	}
	seen := 0
	rapid.Check(t, func(t *rapid.T) {
		secrets := rapid.SliceOfN(rapid.SampledFrom([]string{"abcdefgh", `abc\def"gh`, "abcdefg\\", "\nabcdefg", `\nabcdefg`, "\u2028abcdefgh", "12345678"}), 0, 3).Draw(t, "secrets")
		red := newRedactor(secrets, []byte("salt"))
		if rapid.Bool().Draw(t, "values only") {
			red = red.valuesOnly()
		}
		s := alphabet.Draw(t, "text") + rapid.SampledFrom(append(parts, "", "", "")).Draw(t, "part") + alphabet.Draw(t, "more")
		n := &tally{}
		if red.harmless(s) {
			seen++
			if got := red.textThoroughly(s, n); got != s || len(n.counts) > 0 {
				t.Fatalf("%q was found harmless, and is redacted to %q", s, got)
			}
		}
		raw := []byte(spell(t, s))
		if rapid.Bool().Draw(t, "as others write it") {
			raw = quote(s)
		}
		raw = append(append([]byte(`{"k":12345,"`), raw[1:]...), []byte(`:[true,`+string(raw)+`]}`)...)
		if !json.Valid(raw) {
			t.Fatalf("%s", raw)
		}
		before := string(raw)
		if red.harmlessJSON(raw, n) {
			seen++
			if got := red.jsonThoroughly(raw, n); string(got) != before || len(n.counts) > 0 {
				t.Fatalf("%s was found harmless, and is redacted to %s", before, got)
			}
		}
	})
	assert.Positive(t, seen, "nothing was found harmless")
}

func TestRecordID(t *testing.T) {
	at := time.Date(2026, 11, 26, 15, 0, 0, 123e6, time.UTC)
	seen := make(map[string]bool)
	for range 1000 {
		id, err := uuid.Parse(string(appendID(nil, at)))
		require.NoError(t, err)
		assert.EqualValues(t, 7, id.Version())
		assert.Equal(t, uuid.RFC4122, id.Variant())
		seconds, ns := id.Time().UnixTime()
		assert.Equal(t, at.UnixMilli(), time.Unix(seconds, ns).UnixMilli())
		seen[id.String()] = true
	}
	assert.Len(t, seen, 1000)
}

var texts = rapid.StringOfN(rapid.RuneFrom([]rune("abc \"\\/\n\t<\u00e9\u2028\U0001f511{}:,")), 0, 30, -1)

// leaks looks for a secret in JSON: in all its strings, as deep as JSON is in them, and in the bytes.
func leaks(raw []byte, secret string) bool {
	if bytes.Contains(raw, []byte(secret)) || bytes.Contains(raw, quote(secret)[1:len(quote(secret))-1]) {
		return true
	}
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return false
	}
	var walk func(any) bool
	walk = func(value any) bool {
		switch v := value.(type) {
		case string:
			return strings.Contains(v, secret) || leaks([]byte(v), secret)
		case []any:
			if slices.ContainsFunc(v, walk) {
				return true
			}
		case map[string]any:
			for key, element := range v {
				if walk(key) || walk(element) {
					return true
				}
			}
		}
		return false
	}
	return walk(value)
}

func TestNoSecretGetsThrough(t *testing.T) { rapid.Check(t, noSecretGetsThrough) }

// FuzzRedact looks for longer than the test does.
func FuzzRedact(f *testing.F) { f.Fuzz(rapid.MakeFuzz(noSecretGetsThrough)) }

// noSecretGetsThrough plants a secret in every field of a record, spelt in any way that JSON has, over layers of JSON in JSON.
func noSecretGetsThrough(t *rapid.T) {
	// It begins and ends with letters, so that it cannot be found across the quotes of JSON itself.
	secret := "Sk" + texts.Draw(t, "secret") + "zzzzzZ"
	plant := func(name string) string {
		return texts.Draw(t, name+" before") + secret + texts.Draw(t, name+" after")
	}
	value := spell(t, plant("input"))
	for range rapid.IntRange(0, 3).Draw(t, "layers") {
		value = spell(t, `{"k":`+value+`}`)
	}
	r := Record{
		Kind: ToolResult, Session: plant("session"), Tool: plant("tool"), Principal: plant("principal"),
		Input:    json.RawMessage(`{"a":` + value + `,` + spell(t, plant("key")) + `:[1]}`),
		Output:   json.RawMessage(plant("malformed")),
		Decision: &Decision{Deny, plant("by"), plant("rule"), []string{plant("rules")}, plant("reason")},
		Exit:     &Exit{Reason: plant("exit")},
		Detail:   map[string]any{plant("detail key"): []string{plant("detail"), value}},
	}
	if rapid.Bool().Draw(t, "big") {
		r.Output = json.RawMessage(`[` + strings.Repeat(value+",", 1+maxBody/len(value)) + `0]`)
	}
	e, err := encode(r, newRedactor([]string{secret}, nil), levels{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	line := whole(e)
	if _, err := decode(line); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	if leaks(line, secret) {
		t.Fatalf("%q is in %s", secret, line)
	}
	if bytes.Count(line, []byte("\n")) != 0 {
		t.Fatal("not one line")
	}
}

// TestNothingElseIsTouched: without a secret, what was given is what is read.
func TestNothingElseIsTouched(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := texts.Draw(t, "text")
		raw := `{` + spell(t, s) + `:[` + spell(t, s) + `,1.50]}`
		e, err := encode(Record{Kind: ToolIntent, Tool: s, Input: json.RawMessage(raw)}, newRedactor([]string{"Sksecret"}, nil), levels{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := decode(whole(e))
		if err != nil {
			t.Fatal(err)
		}
		if r.Tool != s {
			t.Fatalf("tool %q, want %q", r.Tool, s)
		}
		// encoding/json may spell the two line separators out.
		if got := strings.NewReplacer("\u2028", `\u2028`).Replace(raw); string(r.Input) != raw && string(r.Input) != got {
			t.Fatalf("input %s, want %s", r.Input, raw)
		}
	})
}

func TestSecretsAreNotInTheFile(t *testing.T) {
	const first, second = "sk-first-secret", "second \"quoted\" secret"
	trail := newTrail(t, Options{Redact: []string{first}, Runtime: first}, nil)
	pid := start(t, trail)
	trail.Redact(second)
	for _, r := range []Record{
		{Kind: AdminAction, Principal: first, Detail: map[string]any{first: second}},
		{Kind: ToolIntent, Tool: second, Input: json.RawMessage(`{"x":"\u0073k-first-secret second \"quoted\" secret"}`)},
	} {
		require.NoError(t, trail.Append(deadline(t), r))
		trail.Post(r)
	}
	stop(t, pid)
	raw, err := os.ReadFile(Path(trail.options.Dir))
	require.NoError(t, err)
	for line := range bytes.Lines(raw) {
		for _, secret := range []string{first, second} {
			assert.False(t, leaks(line, secret), "%s", line)
		}
	}
	assert.Len(t, read(t, trail.options.Dir), 6)
}

func TestBodies(t *testing.T) {
	red, n := newRedactor(nil, nil), &tally{}
	assert.Nil(t, body(nil, red, n))
	assert.JSONEq(t, `{"malformed":true,"text":"{\"a\":\ufffd"}`, string(body([]byte("{\"a\":\xff"), red, n)))
	assert.Equal(t, `{"a":[1,2]}`, string(body([]byte("{\n  \"a\": [1, 2]\n}"), red, n)))

	fits := []byte(`"` + strings.Repeat("x", maxBody-2) + `"`)
	assert.Equal(t, fits, []byte(body(fits, red, n)))
	over := []byte(`"` + strings.Repeat("é", maxBody/2) + `"`)
	var short struct {
		Truncated bool
		Bytes     int
		SHA256    string
		Head      string
	}
	require.NoError(t, json.Unmarshal(body(over, red, n), &short))
	assert.True(t, short.Truncated)
	assert.Equal(t, maxBody+2, short.Bytes)
	assert.Len(t, short.SHA256, 64)
	assert.Equal(t, string(over[:maxHead-1]), short.Head, "at the boundary of a rune")

	trail := newTrail(t, Options{}, nil)
	pid := start(t, trail)
	require.NoError(t, trail.Append(deadline(t), Record{
		Kind: ToolResult, Input: over, Output: over, Tool: strings.Repeat("t", maxText+1),
		Detail: map[string]any{"x": string(over)},
	}))
	stop(t, pid)
	r := read(t, trail.options.Dir)[1]
	assert.Equal(t, true, r.Detail["truncated"])
	assert.Contains(t, string(r.Input), `{"truncated":true,"bytes":65538,"sha256":"`)
	assert.Equal(t, r.Input, r.Output)
	assert.Equal(t, strings.Repeat("t", maxText)+"… (8193 bytes)", r.Tool)
}
