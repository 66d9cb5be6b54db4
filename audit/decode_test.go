package audit

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// checkDecode: what is decoded without encoding/json is what that decodes.
func checkDecode(t interface{ Fatalf(string, ...any) }, d *decoder, payload []byte) bool {
	if d.this == nil {
		d.this, d.last = &Record{}, &Record{}
	}
	if !d.quick(payload) {
		return false
	}
	got := *d.this
	var want Record
	if err := json.Unmarshal(payload, &want); err != nil || !reflect.DeepEqual(want, got) {
		t.Fatalf("%q is decoded as\n%+v, and by encoding/json as\n%+v, %v", payload, got, want, err)
	}
	d.this, d.last = d.last, d.this
	var v view
	if !v.parse(payload) {
		t.Fatalf("%q has no fields", payload)
	}
	return true
}

// odd are texts that are spelled in JSON in more than one way, or are not what they seem.
var odd = rapid.SampledFrom([]string{"", "a", "Bash", `q"uote`, `back\slash`, "new\nline", "é\u2028", "<b>", "\U0001f600", "\x00", "\ufffd", `{"a":1}`, "],", strings.Repeat("long ", 50)})

// oddJSON is any JSON.
func oddJSON(t *rapid.T, depth int) any {
	switch kind := rapid.IntRange(0, 7).Draw(t, "type"); {
	case kind < 2:
		return odd.Draw(t, "text")
	case kind == 2:
		return rapid.SampledFrom([]any{0, -1, 1.5, 1e-9, 3e22, uint64(1) << 63, json.Number("-0.0")}).Draw(t, "number")
	case kind == 3:
		return rapid.SampledFrom([]any{true, false, nil}).Draw(t, "word")
	case depth > 4:
		return []any{}
	case kind < 6:
		all := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			all = append(all, oddJSON(t, depth+1))
		}
		return all
	default:
		all := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			all[odd.Draw(t, "name")] = oddJSON(t, depth+1)
		}
		return all
	}
}

// oddRecord has each field or has it not.
func oddRecord(t *rapid.T) Record {
	some := func(name string) bool { return rapid.Bool().Draw(t, name) }
	at := time.Date(2025, 11, 5, 8, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(t, "time")))
	r := Record{
		Kind: rapid.SampledFrom(Kinds()).Draw(t, "kind"), Time: at, Runtime: odd.Draw(t, "runtime"), Actor: odd.Draw(t, "actor"),
		Session: odd.Draw(t, "session"), SessionID: odd.Draw(t, "session id"), Generation: rapid.IntRange(-1, 3).Draw(t, "generation"),
		Turn: rapid.IntRange(0, 3).Draw(t, "turn"), ToolUseID: odd.Draw(t, "use"), ParentToolUseID: odd.Draw(t, "parent"), AgentID: odd.Draw(t, "agent"),
		Tool: odd.Draw(t, "tool"), Outcome: Outcome(odd.Draw(t, "outcome")), MonoNS: rapid.Int64().Draw(t, "mono"),
		CostUSD: rapid.Float64().Draw(t, "cost"), TotalCostUSD: rapid.SampledFrom([]float64{0, 0.1, 1e-7, 1e21, -3}).Draw(t, "total"),
		Principal: odd.Draw(t, "principal"), Policy: odd.Draw(t, "policy"),
	}
	raw := func(name string) json.RawMessage {
		if !some(name) {
			return nil
		}
		data, err := json.Marshal(oddJSON(t, 0))
		require.NoError(t, err)
		return data
	}
	r.Input, r.Output = raw("input"), raw("output")
	if some("is error") {
		r.IsError = new(some("error"))
	}
	if some("decision") {
		r.Decision = &Decision{Outcome: Deny, By: odd.Draw(t, "by"), Rule: odd.Draw(t, "rule"), Reason: odd.Draw(t, "reason"), Rules: rapid.SliceOfN(odd, 0, 2).Draw(t, "rules")}
	}
	if some("exit") {
		r.Exit = &Exit{Reason: odd.Draw(t, "exit"), Code: rapid.IntRange(-1, 1).Draw(t, "code"), Signal: odd.Draw(t, "signal")}
	}
	if some("detail") {
		r.Detail = map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "details") {
			r.Detail[odd.Draw(t, "name")] = oddJSON(t, 0)
		}
	}
	return r
}

// payloadOf is a record as the log has it.
func payloadOf(t *rapid.T, r Record) []byte {
	e, err := encode(r, newRedactor(nil, nil), levels{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return whole(e)
}

func TestDecodeIsThatOfEncodingJSON(t *testing.T) {
	quick := 0
	rapid.Check(t, func(t *rapid.T) {
		var d decoder
		for range 3 { // what is the same as in the record before is not decoded again
			payload := payloadOf(t, oddRecord(t))
			if !checkDecode(t, &d, payload) {
				t.Fatalf("it was left to encoding/json: %s", payload)
			}
			quick++
			// And a little wrong.
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				at := rapid.IntRange(0, len(payload)-1).Draw(t, "at")
				payload[at] = rapid.SampledFrom([]byte(`{}[]",:\/u0e- x`+"\n\xff")).Draw(t, "byte")
			}
			checkDecode(t, &d, payload)
		}
	})
	assert.Positive(t, quick)
}

func TestDecodeOfWhatIsWrittenOtherwise(t *testing.T) {
	const head = `{"v":1,"seq":1,"kind":"x",`
	for payload, quick := range map[string]bool{
		head + `"id":"i","time":"2025-11-05T08:30:00Z"}`:                                 true,
		head + `"id":"i","time":"2025-11-05T08:30:00Z","detail":{"a":1,"a":2}}`:          true,
		head + `"time":"2025-11-05T08:30:00Z","id":"i"}`:                                 false, // another order
		head + `"id":"i","id":"j","time":"2025-11-05T08:30:00Z"}`:                        false,
		head + `"id":"i", "time":"2025-11-05T08:30:00Z"}`:                                false,
		head + `"id":"i","time":"2025-11-05T08:30:00Z","future":1}`:                      false,
		head + `"id":"i","time":"2025-11-05T08:30:00Z","Tool":"Bash"}`:                   false, // encoding/json takes it for tool
		head + `"id":"i","time":"2025-11-05T08:30:00Z","tool":null}`:                     false,
		head + `"id":"i","time":"2025-11-05T08:30:00Z","decision":{"BY":"rule"}}`:        false,
		head + `"id":"i","time":"2025-11-05T08:30:00Z","decision":{"by":"a","by":"b"}}`:  false,
		head + `"id":"i","time":"2025-11-05T08:30:00Z","exit":{"code":1,"more":2}}`:      false,
		head + `"id":"i","time":"2025-11-05T08:30:00Z","detail":` + nested(70) + `}`:     false,
		head + `"id":"i","time":"2025-11-05T08:30:00Z","input":` + nested(70) + `}`:      false,
		head + `"id":"i","time":"2025-11-05T08:30:00Z","exit":null,"detail":null}`:       false,
		head + `"id":"i","time":"2025-11-05T08:30:00+01:00","input":0,"is_error":false}`: true,
	} {
		d := decoder{this: &Record{}, last: &Record{}}
		assert.Equal(t, quick, d.quick([]byte(payload)), payload)
		var want Record
		require.NoError(t, json.Unmarshal([]byte(payload), &want), payload)
		got, err := decode([]byte(payload))
		require.NoError(t, err, payload)
		assert.Equal(t, want, got, payload)
	}
	for _, payload := range []string{
		head, head + `}`, head + `"id":"i"`, head + `"id":"i"}}`, head + `"id":"i"},`, head + `"id":1}`, head + `"id":"i","time":"yesterday"}`,
		head + `"id":"i","time":"2025-11-05T08:30:00Z","detail":[1]}`, head + `"id":"i","turn":1.5}`, head + `"id":"i","turn":99999999999999999999}`,
		head + `"id":"i","cost_usd":1e999}`, head + `"id":"i","detail":{"a":1e999}}`, head + `"id":"i","is_error":1}`, `{"v":01,"seq":1,"kind":"x","id":"i"}`,
		`{"v":1,"seq":1,"kind":"` + "\n" + `","id":"i"}`,
	} {
		_, err := decode([]byte(payload))
		assert.Error(t, err, payload)
	}
}

func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"v":1,"seq":2,"kind":"tool.result","session":"a","session_seq":1,"lost":3,"id":"0192f4a1","time":"2025-11-05T08:30:00.1Z","mono_ns":5,` +
		`"runtime":"r1","actor":"root","session_id":"6f","generation":2,"turn":3,"tool_use_id":"toolu_01","parent_tool_use_id":"p","agent_id":"g",` +
		`"tool":"Bash","outcome":"deny","input":{"a":[1,"\u00e9"]},"output":"x","is_error":true,"decision":{"outcome":"deny","by":"rule","rules":["a","b"],` +
		`"reason":"no"},"exit":{"reason":"x","code":-1,"signal":"killed"},"cost_usd":1e-7,"total_cost_usd":0.5,"principal":"uid 0","policy":"9f",` +
		`"detail":{"a":{"b":[true,null,-1.5e3]}},"redactions":[{"rule":"value","n":2}]}`))
	var d decoder
	f.Fuzz(func(t *testing.T, payload []byte) { checkDecode(t, &d, payload) })
}
