package audit

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// What the invariants are told of a record that is not decoded is what they would be told of it decoded.
func TestFactsAreThoseOfTheRecord(t *testing.T) {
	followed := map[Kind]bool{
		ToolIntent: true, ToolResult: true, ToolOrphan: true, ToolDecision: true, TurnResult: true, SessionStarted: true, SessionStopped: true, SessionCrashed: true,
	}
	rapid.Check(t, func(t *rapid.T) {
		var reader factReader
		r := oddRecord(t)
		r.Kind = rapid.SampledFrom(append(Kinds(), ToolIntent, ToolResult, ToolDecision, TurnResult, SessionStarted)).Draw(t, "of kind")
		switch rapid.IntRange(0, 5).Draw(t, "intent") {
		case 0:
			r.Detail = map[string]any{"intent_recorded": true}
		case 1:
			r.Detail = map[string]any{"intent_recorded": false, "a": map[string]any{"intent_recorded": true}}
		case 2:
			r.Detail = map[string]any{"intent_recorded": "true"}
		case 3:
			r.Detail = map[string]any{"intent_recorded": rapid.Bool().Draw(t, "recorded"), "late": true}
		case 4:
			r.Detail = map[string]any{"intent_recorded": true, "late": "true"}
		}
		payload := payloadOf(t, r)
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			at := rapid.IntRange(len(`{"v":1,"seq":1,`), len(payload)-1).Draw(t, "at")
			payload[at] = rapid.SampledFrom([]byte(`{}[]",:\/u0e- x`+"\n\xff")).Draw(t, "byte")
		}
		head, ok := format.ParseHead(payload, format.Head{})
		if !ok {
			return
		}
		got := reader.facts(payload, head)
		written, err := decode(payload)
		if (err != nil) != (got.err != nil) {
			t.Fatalf("%s: %v, and decoded %v", payload, got.err, err)
		}
		if err != nil || !followed[Kind(head.Kind)] {
			return
		}
		want := factsOf(&written)
		var report, wanted Report
		a, b := newInvariants(&report), newInvariants(&wanted)
		a.record(&head, &got)
		b.record(&head, &want)
		if fmt.Sprint(report) != fmt.Sprint(wanted) || !maps.Equal(a.open, b.open) || !maps.Equal(a.spent, b.spent) {
			t.Fatalf("%s: %+v, and decoded %+v", payload, got, want)
		}
	})
}

// The writer forgets the numbers of sessions that were not heard of for long, and so does who checks them: of a log with
// ever more sessions no more is remembered than the last.
func TestInvariantsOfManySessions(t *testing.T) {
	dir := filepath.Join(scratch(t), "audit")
	l, _, err := openLog(realDisk{}, Options{Dir: dir, SegmentBytes: 1 << 20, SegmentAge: time.Hour, Reserve: -1}, &memory{}, time.Now)
	require.NoError(t, err)
	none := newRedactor(nil, nil)
	for i := range 4 * maxSessions / 1000 {
		if l.due(l.offset) != "" {
			require.NoError(t, l.rotate())
		}
		b := l.begin()
		for j := range 1000 {
			for _, r := range []Record{
				{Kind: TurnResult, Session: fmt.Sprintf("s%d", 1000*i+j), CostUSD: 1, TotalCostUSD: 1},
				{Kind: TurnResult, Session: "always", CostUSD: 1, TotalCostUSD: float64(1000*i + j + 1)},
			} {
				e, err := encode(r, none, levels{}, nil)
				require.NoError(t, err)
				b.add(&e, 0)
			}
		}
		require.NoError(t, l.commit(b))
		require.NoError(t, l.sign())
	}
	// One that was forgotten begins anew.
	b := l.begin()
	e, err := encode(Record{Kind: TurnResult, Session: "s0", CostUSD: 1, TotalCostUSD: 5}, none, levels{}, nil)
	require.NoError(t, err)
	b.add(&e, 0)
	require.NoError(t, l.commit(b))
	require.NoError(t, l.sign())
	l.close()

	v := newVerification(dir)
	report, err := v.verify(context.Background(), VerifyOptions{Invariants: true})
	require.NoError(t, err)
	assert.Empty(t, report.Findings)
	assert.Greater(t, report.Segments, 2)
	assert.Less(t, len(v.invariants.sessions), 2*maxSessions)
	assert.LessOrEqual(t, len(v.invariants.spent), len(v.invariants.sessions))
}

// So many tools at a time are not real: what there is no room for is said, and nothing wrong is said of the rest.
func TestInvariantsOfTooManyIntents(t *testing.T) {
	report := &Report{}
	v := newInvariants(report)
	head := format.Head{Seq: 1, Kind: string(ToolIntent), Session: "a"}
	for i := range maxOpen + 2 {
		head.Seq = uint64(i + 1)
		v.record(&head, &facts{toolUse: fmt.Append(nil, i)})
	}
	head.Kind = string(ToolResult)
	for i := range maxOpen + 2 {
		head.Seq++
		v.record(&head, &facts{toolUse: fmt.Append(nil, i), recorded: yes, outcome: OK})
	}
	v.end()
	require.Len(t, report.Findings, 1)
	assert.Equal(t, Note, report.Findings[0].Class)
	assert.Contains(t, report.Findings[0].Text, "2 intents were not followed")
}
