package protocol_test

import (
	"bytes"
	"encoding/json"
	"reflect"
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

func decodeNumbers(b []byte, to *any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(to)
}
