package keyproxy

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"time"
)

// Limits are what a session may do with the key. The zero value limits nothing but paths.
type Limits struct {
	// Models are names or patterns such as claude-haiku-*. None: every model.
	Models []string `json:"models,omitzero"`
	// RequestsPerMinute and TokensPerMinute bound what is asked and what is used. 0: no limit.
	RequestsPerMinute int `json:"requests_per_minute,omitzero"`
	TokensPerMinute   int `json:"tokens_per_minute,omitzero"`
	// MaxBudgetUSD bounds what may be spent by this proxy's own count. 0: no limit.
	MaxBudgetUSD float64 `json:"max_budget_usd,omitzero"`
	// Prices are by model name or pattern; the longest that matches counts. What none matches has a default, which for
	// models that are not known is the dearest.
	Prices map[string]Price `json:"prices,omitzero"`
}

// Price is what a million tokens cost in USD.
type Price struct {
	Input      float64 `json:"input"`
	Output     float64 `json:"output"`
	CacheRead  float64 `json:"cache_read,omitzero"`  // a tenth of Input if 0
	CacheWrite float64 `json:"cache_write,omitzero"` // 1.25 times Input if 0
}

// prices are list prices by family, for what Limits say nothing about. They are there to stop a session, not to bill it.
var prices = map[string]Price{
	"*opus*": {Input: 5, Output: 25}, "*sonnet*": {Input: 3, Output: 15}, "*haiku*": {Input: 1, Output: 5},
	"*": {Input: 15, Output: 75},
}

// Problems is what is wrong with the limits, each with its key.
func (l Limits) Problems() map[string]string {
	out := map[string]string{}
	for i, m := range l.Models {
		if _, err := path.Match(m, ""); err != nil || m == "" {
			out[fmt.Sprintf("models[%d]", i)] = "expected the name of a model, or a pattern such as claude-haiku-*"
		}
	}
	if l.RequestsPerMinute < 0 {
		out["requests_per_minute"] = "expected 0 (no limit) or more"
	}
	if l.TokensPerMinute < 0 {
		out["tokens_per_minute"] = "expected 0 (no limit) or more"
	}
	if !(l.MaxBudgetUSD >= 0) || math.IsInf(l.MaxBudgetUSD, 0) {
		out["max_budget_usd"] = "expected 0 (no limit) or more"
	}
	for m, p := range l.Prices {
		if _, err := path.Match(m, ""); err != nil || m == "" || !p.valid() {
			out["prices"] = "expected patterns of models, and prices of 0 or more"
		}
	}
	return out
}

func (p Price) valid() bool {
	for _, v := range []float64{p.Input, p.Output, p.CacheRead, p.CacheWrite} {
		if !(v >= 0) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

func (l Limits) allows(model string) bool {
	return len(l.Models) == 0 || slices.ContainsFunc(l.Models, func(pattern string) bool { return matches(pattern, model) })
}

func matches(pattern, model string) bool {
	ok, err := path.Match(pattern, model)
	return err == nil && ok && !strings.Contains(model, "/")
}

func (l Limits) price(model string) Price {
	best, found := "", Price{}
	for _, table := range []map[string]Price{l.Prices, prices} {
		for pattern, price := range table {
			if matches(pattern, model) && (len(pattern) > len(best) || len(pattern) == len(best) && pattern < best) {
				best, found = pattern, price
			}
		}
		if best != "" {
			break
		}
	}
	if best == "" {
		found = prices["*"]
	}
	if found.CacheRead == 0 {
		found.CacheRead = found.Input / 10
	}
	if found.CacheWrite == 0 {
		found.CacheWrite = found.Input * 1.25
	}
	return found
}

// window counts within the last minute.
type window struct {
	events []event
	sum    int
}

type event struct {
	at time.Time
	n  int
}

// at drops what is older than a minute.
func (w *window) at(now time.Time) int {
	i := 0
	for i < len(w.events) && now.Sub(w.events[i].at) >= time.Minute {
		w.sum -= w.events[i].n
		i++
	}
	w.events = w.events[i:]
	return w.sum
}

func (w *window) add(now time.Time, n int) {
	if n == 0 {
		return
	}
	if last := len(w.events) - 1; last >= 0 && now.Sub(w.events[last].at) < 100*time.Millisecond { // bounded, whatever the rate
		w.events[last].n += n
	} else {
		w.events = append(w.events, event{now, n})
	}
	w.sum += n
}

// free is when the oldest event leaves the window.
func (w *window) free(now time.Time) time.Duration {
	if len(w.events) == 0 {
		return 0
	}
	return max(time.Second, time.Minute-now.Sub(w.events[0].at))
}
