package audit

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

// checkCompact: what it says yes to is what json.Compact makes of it.
func checkCompact(t interface{ Fatalf(string, ...any) }, raw []byte) {
	if !isCompact(raw) {
		return
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil || !bytes.Equal(compact.Bytes(), raw) {
		t.Fatalf("%q is said to be compact: %v, %q", raw, err, compact.Bytes())
	}
}

func TestIsCompact(t *testing.T) {
	for _, yes := range []string{
		`{}`, `[]`, `""`, `0`, `-1.5`, `1e5`, `-0.5E-07`, `[2E+1,3e0]`, `"12345678"`, `"1234567\"12345678é\\"`, `true`, `false`, `null`, `[[],{},[{}]]`, `{"a":[1,2,{"b":"c d"}],"e":"\n\u12aF\\\""}`,
		`"` + "\u2028é\x7f" + `"`, strings.Repeat("[", 64) + strings.Repeat("]", 64),
	} {
		assert.True(t, isCompact([]byte(yes)), yes)
		checkCompact(t, []byte(yes))
		for i := range len(yes) {
			cut := []byte(yes[:i])
			assert.True(t, !isCompact(cut) || json.Valid(cut), "%s", cut)
			assert.False(t, isCompact(append(append(cut[:i:i], ' '), yes[i:]...)) && !strings.Contains(yes, `"`), "a space in %s at %d", yes, i)
		}
		assert.False(t, isCompact([]byte(yes+" ")))
		assert.False(t, isCompact([]byte(" "+yes)))
	}
	for _, no := range []string{
		``, ` `, `{ }`, `[1, 2]`, `{"a" :1}`, `{"a": 1}`, `[1,]`, `[,1]`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{1:2}`, `[}`, `{]`, `]`, `01`, `-`, `1.`, `.5`,
		`+1`, `tru`, `nul`, `True`, `"`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`, "\"\n\"", "\"\x00\"", `{}{}`, `1 2`, `[1]2`, `NaN`, `1e`, `1e+`, `1.e5`, `e5`, `1e5.0`, `'a'`, `"12345678`, `"1234567`, "\"1234567\n1234567\"", "\"\x1f2345678\"",
		strings.Repeat("[", 65) + strings.Repeat("]", 65), strings.Repeat("[", 1000), `[{"a":1]}`, "\u00a01",
	} {
		assert.False(t, isCompact([]byte(no)), no)
	}
}

// TestIsCompactOnlyIfItIs changes valid JSON a little, which is where a mistake would be.
func TestIsCompactOnlyIfItIs(t *testing.T) {
	alphabet := []byte(`{}[]",:\/ut0123456789.-+eE truefalsnl` + "\n\x00\xff")
	rapid.Check(t, func(t *rapid.T) {
		raw := []byte(rapid.SampledFrom([]string{
			`{"a":[1,-2.5,{"b":"c\u00e9\n"}],"d":{"e":{}},"f":[]}`, `[true,false,null,"x\\",[[["y"]]]]`, `{"command":"go test ./... 2>&1"}`,
		}).Draw(t, "valid"))
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			at := rapid.IntRange(0, len(raw)-1).Draw(t, "at")
			switch rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				raw[at] = rapid.SampledFrom(alphabet).Draw(t, "byte")
			case 1:
				raw = append(raw[:at:at], raw[at+1:]...)
			default:
				raw = append(append(raw[:at:at], rapid.SampledFrom(alphabet).Draw(t, "byte")), raw[at:]...)
			}
			if len(raw) == 0 {
				return
			}
		}
		checkCompact(t, raw)
	})
}

func FuzzIsCompact(f *testing.F) {
	f.Add([]byte(`{"a":[1,-2.5,{"b":"c\u00e9\n"}],"d":{"e":{}},"f":[]}`))
	f.Add([]byte(`[true,false,null,"x\\"]`))
	f.Fuzz(func(t *testing.T, raw []byte) { checkCompact(t, raw) })
}
