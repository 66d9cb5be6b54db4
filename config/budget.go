package config

import (
	"reflect"
	"slices"
	"time"

	"github.com/understudy-run/understudy/session"
)

// Budget is an amount that several sessions share, by the key budgets of their options.
type Budget struct {
	Name string
	// LimitUSD is what they may spend together within a window, in US dollars.
	LimitUSD float64 `json:"limit_usd"`
	// Per is the length of a window, which begins at a whole multiple of it in UTC. 0, the default: one window for ever.
	Per time.Duration `json:"per"`
}

// Limits bound what all sessions do together.
type Limits struct {
	// MaxProcesses is how many CLIs may be there at the same time. 0, the default: no limit.
	MaxProcesses int `json:"max_processes"`
	// MaxBusy is how many turns may run at the same time. 0, the default: no limit.
	MaxBusy int `json:"max_busy"`
	// MaxStarting is how many CLIs may be coming up at the same time. 0, the default: twice the number of cores.
	MaxStarting int `json:"max_starting"`
	// StartsPerMinute is how many CLIs may be started a minute in the long run, and StartBurst how many at once; the
	// defaults are no limit, and StartsPerMinute.
	StartsPerMinute int `json:"starts_per_minute"`
	StartBurst      int `json:"start_burst"`
}

func (d *decoder) sharedBudgets(n *node) []Budget {
	var out []Budget
	d.members("budgets", n, budgetMember, func(path string, e entry) {
		b := Budget{Name: e.key}
		if e.value.kind != brokenNode && d.budget.left >= 0 {
			d.structure(path, e.value, reflect.ValueOf(&b).Elem())
			if e.value.kind == mappingNode && e.value.entry("limit_usd") == nil {
				d.add(e.line, e.col, Diagnostic{Path: path, Message: "a budget needs limit_usd", Hint: "such as {limit_usd: 50, per: 24h}"})
			}
		}
		out = append(out, b)
	})
	return out
}

// checkBudgetKey looks at a budget's key.
func (d *decoder) checkBudgetKey(path, key string, n *node, b *Budget) bool {
	switch key {
	case "limit_usd":
		return d.atLeast(path, n, b.LimitUSD > 0, "an amount above 0")
	case "per":
		return d.atLeast(path, n, b.Per == 0 || b.Per >= time.Minute, "1m or more, or 0s for no window")
	}
	return true
}

// checkBudgetNames looks at the budgets that options name. Those of the defaults are looked at when the budgets are known.
func (d *decoder) checkBudgetNames(path string, n *node, o session.Options) bool {
	list := n.entry("budgets")
	if d.budgetNames == nil || list == nil {
		return true
	}
	return d.each(join(path, "budgets"), list.value, o.Budgets, func(path string, n *node, name *string) bool {
		hint := suggest(*name, d.budgetNames)
		if hint == "" {
			hint = "write it under budgets, such as team: {limit_usd: 50, per: 24h}"
		}
		return *name == "" || slices.Contains(d.budgetNames, *name) || d.problem(path, n, "unknown budget", hint)
	})
}

func (c *Config) budgetNames() []string {
	names := []string{}
	for _, b := range c.Budgets {
		names = append(names, b.Name)
	}
	return names
}

// checkLimit looks at a key of the limits.
func (d *decoder) checkLimit(path, key string, n *node, l *Limits) bool {
	value := map[string]int{
		"max_processes": l.MaxProcesses, "max_busy": l.MaxBusy, "max_starting": l.MaxStarting,
		"starts_per_minute": l.StartsPerMinute, "start_burst": l.StartBurst,
	}[key]
	return d.atLeast(path, n, value >= 0, "0 or more")
}
