package protocol_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
)

func FuzzDecode(f *testing.F) {
	for _, r := range transcripts(f) {
		f.Add([]byte(r.frame))
	}
	for _, s := range []string{
		`{"type":"result","type":"user","message":{"content":[{"text":"\ud800","type":"text"},null,7]}}`,
		`{"type":"system","subtype":"task_started","usage":{"total_tokens":1e400},"patch":null}`,
		`{"type":"control_request","request_id":"1","request":{"subtype":"initialize","hooks":{"Stop":[{"matcher":null,"hookCallbackIds":[]}]}}}`,
		`{"type":"assistant","message":{"id":"m","type":"message","usage":{"input_tokens":12,"speed":7},"content":[{"type":"text","text":"x","new":1}]},"uuid":null}`,
		`{"type":"assistant","message":{"usage":{"input_tokens":1.5,"output_tokens":007}},"uuid":"a","uuid":"b"}`,
		`{"type":"stream_event","event":{"delta":{"type":"text_delta","text":"\u0041"}},"parent_tool_use_id":"t","ttft_ms":12}`,
		`{"is_error":"x","modelUsage":{"a":{"costUSD":-0}},"permission_denials":[{}],"type":"result"}`,
	} {
		f.Add([]byte(s))
	}
	for _, s := range oddLines() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := protocol.Decode(line)
		trimmed := bytes.TrimLeft(line, " \t\r\n")
		valid := json.Valid(line) && len(trimmed) > 0 && trimmed[0] == '{'
		require.Equal(t, valid, err == nil, "encoding/json disagrees: %v", err)
		plain, plainErr := protocol.DecodePlainly(line)
		require.Equal(t, plainErr, err, "what is read quickly must not read otherwise")
		if err != nil {
			return
		}
		require.Equal(t, plain, m)
		protocol.UnknownFields(m)
		protocol.Defects(m)
		protocol.SessionOf(m)
		out, err := protocol.Encode(m)
		require.NoError(t, err)
		require.NotContains(t, string(out), "\n")
		var was, is any
		require.NoError(t, decodeNumbers(line, &was))
		require.NoError(t, decodeNumbers(out, &is))
		require.Equal(t, was, is)
		m2, err := protocol.Decode(out)
		require.NoError(t, err)
		assert.Equal(t, m.Kind(), m2.Kind())
		assert.Equal(t, reflect.TypeOf(m), reflect.TypeOf(m2))
		// A key that stands there twice counts once when it is written again.
		assert.Subset(t, protocol.Defects(m), protocol.Defects(m2))
		assert.Subset(t, protocol.UnknownFields(m), protocol.UnknownFields(m2))
		out2, err := protocol.Encode(m2)
		require.NoError(t, err)
		assert.Equal(t, string(out), string(out2))
	})
}

// oddLines are lines for each way in which a line can be read: in one pass or by a plan, with a guess at its kind or without, with
// strings that are parts of the line or not; and what may stand in the way of each.
func oddLines() (all []string) {
	const (
		answer = `{"type":"assistant","message":{"model":"m","id":"i","type":"message","role":"assistant","content":[{"type":"text","text":"x"}],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":2}},"parent_tool_use_id":null,"session_id":"s","uuid":"u"}`
		piece  = `{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}},"session_id":"s","parent_tool_use_id":null,"uuid":"u"}`
		tool   = `{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":"x","content":[{"type":"text","text":"x"},{"type":"image","source":{"type":"base64","data":"x"}}]}]}}`
		late   = `{"message":{"content":[{"text":"x","type":"text"}]},"uuid":"u","type":"assistant"}`
		asked  = `{"type":"control_request","request_id":"x","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"x"},"permission_suggestions":[{"type":"setMode","mode":"x"}]}}`
	)
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, line := range []string{answer, piece, tool, late, asked} {
		half := len(line) / 2
		all = append(all, line, " "+line+"\r\n", line[:half], line[:len(line)-1], line+"}", line+line, line[half:], // torn, and run together
			strings.ReplaceAll(line, `,"`, ` , "`), strings.ReplaceAll(line, `":`, `" :\t`)) // as nobody writes it yet
		for _, value := range []string{`\ud800`, `\udc00\ud800`, `\ud83d\ude00`, `\u0000`, "\xff", "\u2028", "a\tb", `\"\\\/`, `\x`, `\u12`, strings.Repeat("ü", 3000)} {
			all = append(all, strings.Replace(line, `"x"`, `"`+value+`"`, 1), strings.Replace(line, `{"`, `{"`+value+`":1,"`, 1))
		}
		for _, value := range []string{`null`, `7`, `-0`, `1e400`, `01`, `true`, `{}`, `[null]`, nested(50)} {
			all = append(all, strings.Replace(line, `"x"`, value, 1), strings.Replace(line, `}`, `,"new":`+value+`}`, 1))
		}
		// A key that stands there twice, in each object, as it is or spelt otherwise; the last one counts.
		for _, key := range []string{"type", "message", "content", "event", "delta", "text", "usage", "input", "request", "subtype", "is_error", "supersedes", "uuid"} {
			for _, again := range []string{key, fmt.Sprintf(`\u%04x%s`, key[0], key[1:]), strings.ToUpper(key)} {
				all = append(all, strings.Replace(line, `}`, `,"`+again+`":"assistant"}`, 1), strings.TrimSuffix(line, "}")+`,"`+again+`":{"type":"user"}}`)
			}
		}
	}
	return append(all, `{"type":"assistant","message":{"content":`+nested(9_990)+`}}`, `{"type":"x","y":`+nested(10_000)+`}`, strings.Repeat(`{"type":`, 12_000))
}

func decodeNumbers(b []byte, to *any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(to)
}
