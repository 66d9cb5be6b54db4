package session

import (
	"maps"

	"github.com/understudy-run/understudy/session/protocol"
)

// ledger keeps what a session has spent over all its processes, in US dollars.
//
// A CLI process reports a running total. It begins at what the transcript has, which a clean end writes (the end of
// stdin, SIGTERM, SIGINT, SIGHUP) and SIGKILL does not; after /clear it begins at zero. Where it began is not to be
// seen from outside for certain, so totals are never added up: each result also says what was used since the one
// before it, by model, and since the process's start in the first. That is what is counted. Totals are for a CLI that
// does not say it: differences to the last one then, and in the first result of a process to what it must have begun
// from.
type ledger struct {
	Spent     float64         `json:"spent_usd"`               // in the session's life
	Estimated float64         `json:"estimated_usd,omitempty"` // the part of Spent that no result reported: turns cut by the end of a process
	Last      float64         `json:"last_total"`              // the total that the running process last reported, or began from
	Saved     float64         `json:"saved_total"`             // the total at the last clean end, from which a resumed process goes on
	First     bool            `json:"first"`                   // the running process has reported nothing yet
	Models    map[string]Cost `json:"models,omitempty"`        // never changed in place: records share it
}

// Cost is what was used of one model.
type Cost struct {
	InputTokens      int64   `json:"input_tokens"`
	OutputTokens     int64   `json:"output_tokens"`
	CacheReadTokens  int64   `json:"cache_read_tokens,omitempty"`
	CacheWriteTokens int64   `json:"cache_write_tokens,omitempty"`
	USD              float64 `json:"usd"`
}

func (c Cost) plus(d Cost) Cost {
	return Cost{
		c.InputTokens + d.InputTokens, c.OutputTokens + d.OutputTokens,
		c.CacheReadTokens + d.CacheReadTokens, c.CacheWriteTokens + d.CacheWriteTokens, c.USD + d.USD,
	}
}

// maxTotal is more than anybody spends.
const maxTotal = 1e9

func believable(usd float64) bool { return usd >= 0 && usd <= maxTotal }

// begin is called when a process starts. resumed says that it continues the conversation.
func (l *ledger) begin(resumed bool) {
	l.First = true
	if resumed {
		l.Last = l.Saved
	} else {
		l.Last, l.Saved = 0, 0
	}
}

// report takes a result and returns what was spent since the one before.
//
// A total that no session can have spent is taken for none: it would give money back, or add up to what
// cannot be written to disk.
func (l *ledger) report(m *protocol.Result) float64 {
	if !believable(m.TotalCostUSD) {
		return 0
	}
	delta := m.TotalCostUSD - l.Last
	if delta < 0 { // it began anew
		delta = m.TotalCostUSD
	}
	if used, sum, ok := sinceLast(m); ok {
		l.use(used)
		// A difference within one process has a result in it that was not seen.
		if l.First || sum > delta {
			delta = sum
		}
	}
	l.First = false
	l.Last = m.TotalCostUSD
	l.Spent = min(l.Spent+delta, maxTotal) // a record with more would not be believed
	return delta
}

// sinceLast is what a result says was used since the one before.
func sinceLast(m *protocol.Result) (used map[string]Cost, sum float64, ok bool) {
	if m.ModelUsageSinceLastResult == nil {
		return nil, 0, false
	}
	used = make(map[string]Cost, len(m.ModelUsageSinceLastResult))
	for model, u := range m.ModelUsageSinceLastResult {
		if !believable(u.CostUSD) {
			return nil, 0, false
		}
		sum += u.CostUSD
		used[model] = Cost{max(u.InputTokens, 0), max(u.OutputTokens, 0), max(u.CacheReadInputTokens, 0), max(u.CacheCreationInputTokens, 0), u.CostUSD}
	}
	return used, sum, believable(sum)
}

func (l *ledger) use(used map[string]Cost) {
	models := maps.Clone(l.Models)
	if models == nil {
		models = make(map[string]Cost, len(used))
	}
	for model, cost := range used {
		models[cut(model, 100)] = models[cut(model, 100)].plus(cost)
	}
	if len(models) <= maxModels {
		l.Models = models
	}
}

// maxModels is more than there are; a CLI that makes up names must not fill the disk.
const maxModels = 100

// end is called when a process has ended. clean says that it could save its total.
func (l *ledger) end(clean bool) {
	if clean {
		l.Saved = l.Last
	}
}

// used is what a turn has cost so far, by its frames.
func (l *ledger) used(t *tally) map[string]Cost {
	if len(t.calls) == 0 {
		return nil
	}
	used := make(map[string]Cost)
	for _, call := range t.calls {
		cost := call.cost
		cost.USD = l.price(call.model, cost)
		model := cut(call.model, 100)
		used[model] = used[model].plus(cost)
	}
	return used
}

// charge adds what a cut turn has cost and returns it.
func (l *ledger) charge(used map[string]Cost) float64 {
	sum := 0.0
	for _, cost := range used {
		sum += cost.USD
	}
	if !believable(sum) || sum == 0 {
		return 0
	}
	l.use(used)
	l.Spent = min(l.Spent+sum, maxTotal)
	l.Estimated = min(l.Estimated+sum, maxTotal)
	return sum
}
