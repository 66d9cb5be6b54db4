package session

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/understudy-run/understudy/session/protocol"
)

// result is one with a total, and with what was used since the last one, if that is not negative.
func result(total, since float64) *protocol.Result {
	m := &protocol.Result{TotalCostUSD: total}
	if since >= 0 {
		m.ModelUsageSinceLastResult = map[string]protocol.ModelUsage{"m": {CostUSD: since, InputTokens: 10, OutputTokens: 1}}
	}
	return m
}

func TestLedger(t *testing.T) {
	const unsaid = -1
	type step struct{ total, since, want float64 }
	for name, processes := range map[string][]struct {
		resumed bool
		results []step
		clean   bool
	}{
		"a clean end": {{false, []step{{1, 1, 1}, {3, 2, 2}}, true}, {true, []step{{4, 1, 1}}, true}},
		"killed: the next goes on from the saved total": {
			{false, []step{{1, 1, 1}}, true}, {true, []step{{3, 2, 2}}, false}, {true, []step{{6, 5, 5}}, false}, {true, []step{{1.5, .5, .5}}, false},
		},
		"1, 3, 6, killed, then 2: that is 8":       {{false, []step{{1, 1, 1}, {3, 2, 2}, {6, 3, 3}}, false}, {true, []step{{2, 2, 2}}, false}},
		"killed at first: the next begins at zero": {{false, []step{{5, 5, 5}}, false}, {true, []step{{7, 7, 7}, {8, 1, 1}}, false}},
		"saved though it looked killed":            {{false, []step{{5, 5, 5}}, false}, {true, []step{{7, 2, 2}}, false}},
		"not saved though it looked clean":         {{false, []step{{5, 5, 5}}, true}, {true, []step{{7, 7, 7}}, false}},
		"/clear in between":                        {{false, []step{{5, 5, 5}, {1, 1, 1}}, true}},
		"a result that was not seen":               {{false, []step{{1, 1, 1}, {5, 1, 4}}, true}},
		"a CLI that says only totals":              {{false, []step{{1, unsaid, 1}, {3, unsaid, 2}}, true}, {true, []step{{4, unsaid, 1}}, false}, {true, []step{{3.5, unsaid, .5}}, false}},
		"totals that nobody spends":                {{false, []step{{1, 1, 1}, {math.Inf(1), 1, 0}, {-3, 1, 0}, {math.NaN(), 1, 0}, {2, 1, 1}}, true}},
		"parts that nobody spends":                 {{false, []step{{1, math.Inf(1), 1}, {2, math.NaN(), 1}}, true}},
	} {
		t.Run(name, func(t *testing.T) {
			var l ledger
			sum := 0.0
			for _, p := range processes {
				l.begin(p.resumed)
				for _, s := range p.results {
					sum += s.want
					assert.InDelta(t, s.want, l.report(result(s.total, s.since)), 1e-9, "%+v", s)
					assert.InDelta(t, sum, l.Spent, 1e-9)
				}
				l.end(p.clean)
			}
		})
	}
}

// Whatever is spent, however the processes end, and whichever of their totals is saved: what is counted is what was spent.
func TestLedgerCountsWhatWasSpent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l ledger
		saved, truth := 0.0, 0.0
		for process := range rapid.IntRange(1, 6).Draw(t, "processes") {
			total := saved
			l.begin(process > 0)
			for range rapid.IntRange(0, 4).Draw(t, "turns") {
				spent := float64(rapid.IntRange(0, 1000).Draw(t, "thousandths")) / 1000
				total += spent
				truth += spent
				l.report(result(total, spent))
			}
			if rapid.Bool().Draw(t, "saves") {
				saved = total
			}
			l.end(rapid.Bool().Draw(t, "looks clean"))
			kept, err := json.Marshal(l)
			require.NoError(t, err)
			l = ledger{}
			require.NoError(t, json.Unmarshal(kept, &l))
		}
		assert.InDelta(t, truth, l.Spent, 1e-6)
	})
}

// Fault: the CLI reports so many models that the record would fill the disk
// Outcome: the first 100 are kept apart, the money is counted in any case
// On: memory
func TestLedgerKeepsABoundedNumberOfModels(t *testing.T) {
	var l ledger
	l.begin(false)
	for i := range 1000 {
		m := result(float64(i+1), 1)
		m.ModelUsageSinceLastResult = map[string]protocol.ModelUsage{string(rune('a'+i%26)) + string(rune(0x4e00+i)): {CostUSD: 1}}
		l.report(m)
	}
	assert.Len(t, l.Models, maxModels)
	assert.InDelta(t, 1000, l.Spent, 1e-6)
}

func TestTallyChargesWhatTheFramesShow(t *testing.T) {
	frame := func(id, model, text string, in, out int64) *protocol.Assistant {
		data, err := json.Marshal(map[string]any{"type": "assistant", "message": map[string]any{
			"id": id, "type": "message", "role": "assistant", "model": model, "content": []any{map[string]any{"type": "text", "text": text}},
			"usage": map[string]any{"input_tokens": in, "output_tokens": out},
		}})
		require.NoError(t, err)
		m, err := protocol.Decode(data)
		require.NoError(t, err)
		return m.(*protocol.Assistant)
	}
	var seen tally
	seen.see(frame("1", "claude-haiku-5-5", "hello", 1000, 1))
	seen.see(frame("1", "claude-haiku-5-5", "hello", 1000, 1)) // another block of the same message
	seen.see(frame("2", "claude-haiku-5-5", "hello", 1000, 200))
	seen.see(frame("3", protocol.SyntheticModel, "API Error", 0, 0))
	var l ledger
	l.begin(false)
	charged := l.charge(l.used(&seen))
	assert.InDelta(t, 2*1000e-6+(200+18)*5e-6, charged, 50e-6)
	assert.InDelta(t, charged, l.Spent, 1e-12)
	assert.InDelta(t, charged, l.Estimated, 1e-12)

	// A session that pays half of the list is charged half.
	half := ledger{Models: map[string]Cost{"claude-haiku-5-5": {InputTokens: 1000, USD: 0.0005}}}
	assert.InDelta(t, charged/2, half.charge(half.used(&seen)), 1e-9)
	assert.Zero(t, (&ledger{}).charge(nil))
	assert.Greater(t, listPrice("claude-of-tomorrow", Cost{InputTokens: 1000}), listPrice("claude-haiku-5-5", Cost{InputTokens: 1000}))
}

// Fault: a CLI says again and again that a turn has cost hundreds of millions
// Outcome: the session's record is still one that is believed: neither the conversation nor what was spent is forgotten at the next start
// On: memory
func TestWhatIsSpentStaysBelievable(t *testing.T) {
	r := newRecord("a")
	for range 3 {
		r.Ledger.begin(false)
		r.Ledger.report(result(9e8, 9e8))
	}
	assert.InDelta(t, maxTotal, r.Ledger.Spent, 1)
	assert.NoError(t, r.check("a"))
	r.Ledger.charge(map[string]Cost{"m": {USD: 9e8}})
	assert.NoError(t, r.check("a"))
}

// Fault: a CLI makes up the name of another model for each turn
// Outcome: no more of them are remembered than there can be
// On: memory
func TestModelsThatAreMadeUp(t *testing.T) {
	l := newLoop(newSession(nil, Spec{Name: "a"}, newRecord("a")))
	for i := range 3 * maxModels {
		name := strconv.Itoa(i)
		l.tellResult(&protocol.Result{ModelUsage: map[string]protocol.ModelUsage{name: {CostUSD: 1}}}, 1)
	}
	assert.LessOrEqual(t, len(l.chronicle.models), maxModels)
}
