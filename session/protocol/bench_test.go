package protocol_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
)

// assistantLine is an assistant frame of about 600 bytes, the size most have.
func assistantLine() []byte {
	return []byte(`{"type":"assistant","message":{"id":"msg_3b1d564d8aef4cf39f5a","type":"message","role":"assistant","model":"claude-opus-5-5","content":[{"type":"text","text":"` +
		strings.Repeat("word ", 20) + `"}],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1000,"output_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":0},"context_management":null},"parent_tool_use_id":null,"session_id":"6707845e-151e-4a35-8d56-6930a05f63c9","uuid":"4eca0bfc-7c6a-4740-9e85-212a5e33b10a","timestamp":"2026-11-23T09:51:37.413Z"}`)
}

func BenchmarkDecode(b *testing.B) {
	bench := func(name string, line []byte) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				if _, err := protocol.Decode(line); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	bench("assistant", assistantLine())
	seen := map[string]bool{}
	for _, r := range transcripts(b) {
		m, err := protocol.Decode(r.frame)
		require.NoError(b, err)
		if k := m.Kind(); !seen[k] && (k == "result/success" || k == "system/init" || k == "user" && r.dir == "out") {
			seen[k] = true
			bench(k, r.frame)
		}
	}
}

// BenchmarkEncodingJSON is the same line read into any, for comparison.
func BenchmarkEncodingJSON(b *testing.B) {
	line := assistantLine()
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		var v any
		if err := json.Unmarshal(line, &v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	m, err := protocol.Decode(assistantLine())
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := protocol.Encode(m); err != nil {
			b.Fatal(err)
		}
	}
}
