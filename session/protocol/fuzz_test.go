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
		`{"is_error":"x","modelUsage":{"a":{"costUSD":-0}},"permission_denials":[{}],"type":"result"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := protocol.Decode(line)
		trimmed := bytes.TrimLeft(line, " \t\r\n")
		valid := json.Valid(line) && len(trimmed) > 0 && trimmed[0] == '{'
		require.Equal(t, valid, err == nil, "encoding/json disagrees: %v", err)
		if err != nil {
			return
		}
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
		assert.Equal(t, protocol.Defects(m), protocol.Defects(m2))
		// A key that stands there twice counts once when it is written again.
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
