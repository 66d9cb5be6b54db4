package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// A line that is made of a payload is what is made of the record in it.
func TestLinesAreWhatEncodeMakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := payloadOf(t, oddRecord(t))
		r, err := decode(content)
		require.NoError(t, err)
		p := payload{payload: content}
		p.head, p.ok = format.ParseHead(content, format.Head{})
		for _, encoding := range Encodings {
			e, err := newEncoder(encoding, "a source")
			require.NoError(t, err)
			line, err := e.payload(nil, &p, &decoder{})
			require.NoError(t, err)
			want, err := encoding.Encode(r, "a source")
			require.NoError(t, err)
			require.NotContains(t, string(line), "\n")
			require.JSONEq(t, plainNumbers(want), plainNumbers(line), encoding)
		}
	})
}

// plainNumbers has what a log keeps as it was, and encoding/json does not: 1e0 is 1 here, also in JSON in JSON.
func plainNumbers(line []byte) string {
	var v any
	if json.Unmarshal(line, &v) != nil {
		return string(line)
	}
	var walk func(any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case string:
			return plainNumbers([]byte(v))
		case map[string]any:
			for key := range v {
				v[key] = walk(v[key])
			}
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		}
		return v
	}
	out, err := json.Marshal(walk(v))
	if err != nil {
		panic(err)
	}
	return string(out)
}

// A log may have records of a later program: fields that are not known, and another order. They are exported, and in JSONL with
// all they have. What is no record is not.
func TestLinesOfWhatIsWrittenOtherwise(t *testing.T) {
	dir := filepath.Join(scratch(t), "audit")
	l, _, err := openLog(realDisk{}, Options{Dir: dir, SegmentBytes: 1 << 20, SegmentAge: time.Hour, Reserve: -1}, &memory{}, time.Now)
	require.NoError(t, err)
	path := l.path
	l.close()
	const later = `{"v":1,"seq":1,"kind":"tool.intent","session":"a","session_seq":1,"time":"2025-11-05T08:30:00Z","id":"i","future":{"x":1},"turn":2}`
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	for _, payload := range []string{
		later, `{"v":1,"seq":2,"kind":"tool.intent","id":"j", "time":"2025-11-05T08:30:01Z"}`, `{"v":1,"seq":3,"kind":"x","id":"k","turn":"one"}`,
		`{"v":2,"seq":4,"kind":"tool.intent","id":"l"}`, `{"v":1,"seq":5,"kind":"x",`, `{"x":1}`, `{"v":1,"seq":7,"kind":"x","id":"","time":"2025-11-05T08:30:01Z"}`,
	} {
		_, err := f.Write(format.AppendFrame(nil, []byte(payload)))
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	for _, encoding := range Encodings {
		var lines, damages []string
		for line, err := range (Log{dir}).Lines(context.Background(), Filter{}, encoding, "") {
			if err != nil {
				var damage *DamageError
				require.ErrorAs(t, err, &damage)
				damages = append(damages, fmt.Sprint(damage.Seq))
				continue
			}
			assert.True(t, json.Valid(line), "%s", line)
			lines = append(lines, string(line))
		}
		require.Len(t, lines, 2, encoding)
		assert.Equal(t, []string{"3", "4", "5", "6", "7"}, damages, encoding)
		if encoding == JSONL {
			assert.Equal(t, []string{later, `{"v":1,"seq":2,"kind":"tool.intent","id":"j","time":"2025-11-05T08:30:01Z"}`}, lines)
		}
	}
	for line, err := range (Log{dir}).Lines(context.Background(), Filter{Turn: 2}, JSONL, "") {
		if err == nil {
			assert.Equal(t, later, string(line))
		}
	}
	for _, err := range (Log{dir}).Lines(context.Background(), Filter{}, "xml", "") {
		require.ErrorContains(t, err, "expected one of [jsonl cloudevents ocsf otlp]")
	}
}

// TestCloudEvents holds events against the rules of CloudEvents 1.0.2: attributes in lower case and not empty, and what is required.
func TestCloudEvents(t *testing.T) {
	line, err := CloudEvents.Encode(Record{
		V: 1, Seq: 7, ID: "0192f4a1", Kind: ToolIntent, Session: `a "b"`, Time: time.Date(2025, 11, 5, 9, 30, 0, 1, time.FixedZone("", 3600)),
		Input: json.RawMessage(`{"a":1}`),
	}, "")
	require.NoError(t, err)
	assert.Equal(t, `{"specversion":"1.0","id":"0192f4a1","source":"understudy","type":"run.understudy.audit.tool.intent","subject":"a \"b\"",`+
		`"time":"2025-11-05T08:30:00.000000001Z","sequence":"7","datacontenttype":"application/json",`+
		`"data":{"v":1,"seq":7,"kind":"tool.intent","session":"a \"b\"","id":"0192f4a1","time":"2025-11-05T08:30:00.000000001Z","input":{"a":1}}}`, string(line))
}

// TestOTLP holds a request against the mapping of protobuf to JSON: names in lowerCamelCase, numbers of 64 bits as strings, enums as
// numbers, and nothing that the protocol does not have.
func TestOTLP(t *testing.T) {
	no := false
	contentType, body, err := OTLP.EncodeBatch([]Record{
		{V: 1, Seq: 1 << 62, ID: "i", Kind: ToolResult, Time: time.Unix(1, 5), Runtime: "r1", Tool: "Bash", Turn: 3, IsError: &no, CostUSD: 1e-7,
			Output:   json.RawMessage(`"say \"hi\""`),
			Decision: &Decision{Outcome: Deny, By: "rule", Rules: []string{"Bash(rm:*)", "Read(\"x\")"}}, Exit: &Exit{Reason: "killed", Code: -1}},
		{V: 1, Seq: 2, ID: "j", Kind: LogOpened, Outcome: Failed, Detail: map[string]any{"path": "<x>"}},
	}, "source")
	require.NoError(t, err)
	assert.Equal(t, "application/json", contentType)
	var request struct {
		ResourceLogs []struct {
			Resource struct {
				Attributes []keyValue `json:"attributes"`
			} `json:"resource"`
			ScopeLogs []struct {
				Scope struct {
					Name string `json:"name"`
				} `json:"scope"`
				LogRecords []struct {
					TimeUnixNano         string     `json:"timeUnixNano"`
					ObservedTimeUnixNano string     `json:"observedTimeUnixNano"`
					SeverityNumber       int        `json:"severityNumber"`
					SeverityText         string     `json:"severityText"`
					EventName            string     `json:"eventName"`
					Body                 anyValue   `json:"body"`
					Attributes           []keyValue `json:"attributes"`
				} `json:"logRecords"`
			} `json:"scopeLogs"`
		} `json:"resourceLogs"`
	}
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	require.NoError(t, strict.Decode(&request))
	require.Len(t, request.ResourceLogs, 1)
	assert.Equal(t, "service.instance.id", request.ResourceLogs[0].Resource.Attributes[1].Key)
	assert.Equal(t, "r1", *request.ResourceLogs[0].Resource.Attributes[1].Value.StringValue)
	require.Len(t, request.ResourceLogs[0].ScopeLogs, 1)
	records := request.ResourceLogs[0].ScopeLogs[0].LogRecords
	require.Len(t, records, 2)
	first := records[0]
	assert.Equal(t, "1000000005", first.TimeUnixNano)
	assert.Equal(t, "tool.result", first.EventName)
	assert.Equal(t, 9, first.SeverityNumber)
	assert.Equal(t, 17, records[1].SeverityNumber)
	shown := make(map[string]string)
	for _, a := range slices.Concat(first.Attributes, records[1].Attributes[1:]) {
		given := 0
		if a.Value.StringValue != nil {
			shown[a.Key], given = *a.Value.StringValue, given+1
		}
		if a.Value.IntValue != nil {
			shown[a.Key], given = *a.Value.IntValue, given+1
		}
		if a.Value.DoubleValue != nil {
			shown[a.Key], given = fmt.Sprint(*a.Value.DoubleValue), given+1
		}
		assert.Equal(t, 1, given, a.Key)
	}
	assert.Equal(t, map[string]string{
		"gen_ai.provider.name": "anthropic", "event.id": "j", "understudy.seq": "2", "understudy.outcome": "error", "understudy.detail": `{"path":"<x>"}`,
		"gen_ai.tool.name": "Bash", "gen_ai.tool.call.result": `"say \"hi\""`, "understudy.turn": "3", "understudy.cost_usd": "1e-07", "understudy.exit": "killed",
		"understudy.decision": "deny", "understudy.decision.by": "rule", "understudy.decision.rule": `Bash(rm:*), Read("x")`,
	}, shown)
	_, body, err = OTLP.EncodeBatch(nil, "source")
	require.NoError(t, err)
	assert.True(t, json.Valid(body))
}

type keyValue struct {
	Key   string   `json:"key"`
	Value anyValue `json:"value"`
}

type anyValue struct {
	StringValue *string  `json:"stringValue"`
	IntValue    *string  `json:"intValue"`
	DoubleValue *float64 `json:"doubleValue"`
}
