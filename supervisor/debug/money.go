package debug

import (
	"cmp"
	"context"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Budget is a limit that several sessions share, and how far it is spent.
type Budget struct {
	Name       string             `json:"name"`
	LimitUSD   float64            `json:"limit_usd"`
	SpentUSD   float64            `json:"spent_usd"`             // in this window
	LeftUSD    float64            `json:"left_usd"`              // 0 or more
	PerSeconds float64            `json:"per_seconds,omitempty"` // how long a window is; 0: there is one, without an end
	Window     *time.Time         `json:"window,omitempty"`      // when it began
	ResetsAt   *time.Time         `json:"resets_at,omitempty"`   // when the next begins
	Exhausted  bool               `json:"exhausted"`             // queries of its sessions are refused
	Sessions   map[string]float64 `json:"sessions"`              // US dollars that each has spent in this window, but for those that were removed
}

// Costs is what is spent, in US dollars, and of which models, over the whole lives of the sessions.
type Costs struct {
	TotalUSD     float64              `json:"total_usd"`
	EstimatedUSD float64              `json:"estimated_usd"` // part of it: turns that were cut, by the tokens seen in their frames
	Turns        int                  `json:"turns"`
	Models       map[string]ModelCost `json:"models"`
	Sessions     []SessionCost        `json:"sessions"` // the dearest first
	Budgets      []Budget             `json:"budgets"`  // shared ones, by name
}

// SessionCost is what a session has spent in its life.
type SessionCost struct {
	Name         string               `json:"name"`
	USD          float64              `json:"usd"`
	EstimatedUSD float64              `json:"estimated_usd"`
	LimitUSD     float64              `json:"limit_usd"` // 0: no limit of its own
	Turns        int                  `json:"turns"`
	Budgets      []string             `json:"budgets,omitempty"` // shared ones that it spends from
	Models       map[string]ModelCost `json:"models"`
}

// ModelCost is what was used of one model.
type ModelCost struct {
	Tokens
	USD float64 `json:"usd"`
}

func (c ModelCost) plus(d ModelCost) ModelCost {
	return ModelCost{Tokens{
		Input: c.Input + d.Input, Output: c.Output + d.Output,
		CacheRead: c.CacheRead + d.CacheRead, CacheCreation: c.CacheCreation + d.CacheCreation,
	}, c.USD + d.USD}
}

// Sum fills in the totals from the sessions, and sorts these.
func (c Costs) Sum() Costs {
	c.TotalUSD, c.EstimatedUSD, c.Turns, c.Models = 0, 0, 0, make(map[string]ModelCost)
	for _, s := range c.Sessions {
		c.TotalUSD += s.USD
		c.EstimatedUSD += s.EstimatedUSD
		c.Turns += s.Turns
		for model, used := range s.Models {
			sum := c.Models[model].plus(used)
			sum.USD = nano(sum.USD)
			c.Models[model] = sum
		}
	}
	c.TotalUSD, c.EstimatedUSD = nano(c.TotalUSD), nano(c.EstimatedUSD)
	slices.SortStableFunc(c.Sessions, func(a, b SessionCost) int {
		return cmp.Or(cmp.Compare(b.USD, a.USD), strings.Compare(a.Name, b.Name))
	})
	if c.Sessions == nil {
		c.Sessions = []SessionCost{} // [] and not null
	}
	if c.Budgets == nil {
		c.Budgets = []Budget{}
	}
	return c
}

// nano takes away what a sum of binary fractions has behind a billionth of a dollar.
func nano(usd float64) float64 { return math.Round(usd*1e9) / 1e9 }

// CostBackend is a Backend that knows what was spent of each model. Of another one the costs are what its tree says.
type CostBackend interface {
	Backend
	// Costs is what all sessions have spent. It waits for none of them.
	Costs(ctx context.Context) (Costs, error)
}

// costs answers GET budgets to a program.
func (h *handler) costs(w http.ResponseWriter, r *http.Request, root Node) {
	if b, ok := h.backend.(CostBackend); ok {
		found, err := b.Costs(r.Context())
		if err != nil {
			refuse(w, err)
			return
		}
		writeJSON(w, http.StatusOK, found.Sum())
		return
	}
	found := Costs{Budgets: root.SharedBudgets}
	for _, n := range root.Sessions() {
		if s := n.SessionFields; s != nil {
			found.Sessions = append(found.Sessions, SessionCost{
				Name: n.Name, USD: s.CostUSD, LimitUSD: s.BudgetUSD, Turns: s.Turns, Budgets: s.Budgets, Models: map[string]ModelCost{},
			})
		}
	}
	writeJSON(w, http.StatusOK, found.Sum())
}

// Costs asks what was spent.
func (c *Client) Costs(ctx context.Context) (Costs, error) {
	var found Costs
	err := c.read(ctx, "budgets", &found)
	return found, err
}

// budgetItem is a shared budget in words.
type budgetItem struct {
	Name, Left, Per string
	Meter           *meter
	Resets          *moment
	Sessions        []budgetShare
}

type budgetShare struct{ Name, USD string }

func budgetItems(budgets []Budget, now time.Time) []budgetItem {
	var all []budgetItem
	for _, b := range budgets {
		i := budgetItem{Name: b.Name, Left: dollars(b.LeftUSD), Per: perOf(b), Resets: until(b.ResetsAt, now), Meter: &meter{
			min(b.SpentUSD, b.LimitUSD), b.LimitUSD, 0.75 * b.LimitUSD, 0.9 * b.LimitUSD, dollars(b.SpentUSD) + "/" + dollars(b.LimitUSD),
			dollars(b.SpentUSD) + " of " + dollars(b.LimitUSD) + " used",
		}}
		for _, name := range spenders(b.Sessions) {
			i.Sessions = append(i.Sessions, budgetShare{name, dollars(b.Sessions[name])})
		}
		all = append(all, i)
	}
	return all
}

// spenders are the sessions of a budget, those that have spent most first.
func spenders(of map[string]float64) []string {
	return slices.SortedFunc(maps.Keys(of), func(a, b string) int {
		return cmp.Or(cmp.Compare(of[b], of[a]), strings.Compare(a, b))
	})
}

// perOf is a budget's window in words.
func perOf(b Budget) string {
	if b.PerSeconds == 0 {
		return "for good"
	}
	per := (time.Duration(b.PerSeconds * float64(time.Second))).String()
	per = strings.TrimSuffix(per, "0s")
	if strings.HasSuffix(per, "h0m") {
		per = strings.TrimSuffix(per, "0m")
	}
	return "per " + per
}

// RenderCosts writes what was spent as tables: sessions, models, shared budgets. TOKENS are those that went to the model, came
// from it, and were read from the cache and written to it.
func RenderCosts(w io.Writer, c Costs, o RenderOptions) error {
	o = o.withDefaults()
	sessions := &table{columns: []column{
		{title: "SESSION", gives: true}, {title: "COST", right: true}, {title: "ESTIMATED", right: true}, {title: "TURNS", right: true},
		{title: "IN", right: true}, {title: "OUT", right: true}, {title: "CACHE READ", right: true}, {title: "CACHE WRITE", right: true}, {title: "BUDGETS"},
	}}
	line := func(name string, usd, limit, estimated float64, turns int, used ModelCost, budgets, tone string) {
		money := dollars(usd)
		if limit > 0 {
			money += "/" + dollars(limit)
		}
		guess := "-"
		if estimated > 0 {
			guess = dollars(estimated)
		}
		if limit > 0 && usd >= limit {
			tone = "bad"
		}
		sessions.rows = append(sessions.rows, row{cells: []cell{
			{text: harmless(name), tone: tone}, {text: money, tone: tone}, {text: guess}, {text: number(turns)},
			{text: short(used.Input)}, {text: short(used.Output)}, {text: short(used.CacheRead)}, {text: short(used.CacheCreation)}, {text: harmless(budgets)},
		}})
	}
	for _, s := range c.Sessions {
		line(s.Name, s.USD, s.LimitUSD, s.EstimatedUSD, s.Turns, sumOf(s.Models), strings.Join(s.Budgets, " "), "")
	}
	line("total", c.TotalUSD, 0, c.EstimatedUSD, c.Turns, sumOf(c.Models), "", "title")
	if err := sessions.write(w, o); err != nil {
		return err
	}
	if len(c.Models) > 0 {
		models := &table{columns: []column{
			{title: "MODEL", gives: true}, {title: "COST", right: true}, {title: "IN", right: true}, {title: "OUT", right: true},
			{title: "CACHE READ", right: true}, {title: "CACHE WRITE", right: true},
		}}
		names := slices.SortedFunc(maps.Keys(c.Models), func(a, b string) int {
			return cmp.Or(cmp.Compare(c.Models[b].USD, c.Models[a].USD), strings.Compare(a, b))
		})
		for _, name := range names {
			m := c.Models[name]
			models.rows = append(models.rows, row{cells: []cell{
				{text: harmless(name)}, {text: dollars(m.USD)}, {text: short(m.Input)}, {text: short(m.Output)}, {text: short(m.CacheRead)}, {text: short(m.CacheCreation)},
			}})
		}
		if err := newSection(w, models, o); err != nil {
			return err
		}
	}
	if len(c.Budgets) == 0 {
		return nil
	}
	budgets := &table{columns: []column{
		{title: "BUDGET"}, {title: "SPENT", right: true}, {title: "LEFT", right: true}, {title: "WINDOW"}, {title: "AGAIN FROM"}, {title: "SESSIONS", gives: true},
	}}
	for _, b := range c.Budgets {
		var who []string
		for _, name := range spenders(b.Sessions) {
			who = append(who, harmless(name)+" "+dollars(b.Sessions[name]))
		}
		again, tone := "-", ""
		if b.ResetsAt != nil {
			again = b.ResetsAt.UTC().Format("2006-01-02 15:04Z")
		}
		if b.Exhausted {
			tone = "bad"
		}
		budgets.rows = append(budgets.rows, row{cells: []cell{
			{text: harmless(b.Name), tone: tone}, {text: dollars(b.SpentUSD) + "/" + dollars(b.LimitUSD), tone: tone}, {text: dollars(b.LeftUSD)},
			{text: perOf(b)}, {text: again}, {text: strings.Join(who, ", ")},
		}})
	}
	return newSection(w, budgets, o)
}

func newSection(w io.Writer, t *table, o RenderOptions) error {
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	return t.write(w, o)
}

func sumOf(models map[string]ModelCost) ModelCost {
	var sum ModelCost
	for _, m := range models {
		sum = sum.plus(m)
	}
	return sum
}
