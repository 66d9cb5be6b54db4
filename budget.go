package understudy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// openBudgets makes the budgets that sessions share. One whose file is damaged begins anew; it returns what is to be said about that.
func (rt *Runtime) openBudgets() (setAside []string, err error) {
	rt.budgets = make(map[string]*session.Budget, len(rt.options.Budgets))
	var problems []error
	for _, spec := range rt.options.Budgets {
		b, damage, err := rt.openBudget(spec)
		if damage != "" {
			setAside = append(setAside, damage)
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		rt.budgets[spec.Name] = b
	}
	return setAside, errors.Join(problems...)
}

// openBudget makes one of them. damage is what was wrong with its file, if it begins anew for that.
func (rt *Runtime) openBudget(spec session.BudgetSpec) (b *session.Budget, damage string, err error) {
	dir := ""
	if rt.options.DataDir != "" {
		dir = filepath.Join(rt.options.DataDir, "budgets")
	}
	b, err = session.NewBudget(spec, dir, rt.onBudget)
	if damaged, ok := errors.AsType[*session.StateError](err); ok {
		rt.log.Error().Err(damaged).Str("budget", spec.Name).Msg("budget could not be read")
		return b, damaged.Error(), nil
	}
	if err != nil {
		return nil, "", err
	}
	return b, "", nil
}

// noteDamage puts down that a file of the data directory could not be read and was set aside.
func (rt *Runtime) noteDamage(text string) {
	rt.record(audit.Record{Kind: audit.SessionNotice, Detail: map[string]any{"notice": string(session.NoticeStateDamaged), "text": text}})
}

// onBudget is told when a shared budget passes a threshold, or cannot be written.
func (rt *Runtime) onBudget(s session.BudgetState, err error) {
	event := audit.Budget{Name: s.Name, SpentUSD: s.SpentUSD, LimitUSD: s.LimitUSD, Window: s.Per}
	line := rt.log.Warn().Str("budget", s.Name).Float64("spent_usd", s.SpentUSD).Float64("limit_usd", s.LimitUSD)
	switch {
	case err != nil:
		rt.log.Error().Err(err).Str("budget", s.Name).Msg("budget is not on disk")
	case s.Exhausted():
		line.Msg("budget is exhausted")
		rt.record(event.Exhausted())
	default:
		line.Msg("budget is nearly exhausted")
		rt.record(event.Warned(s.SpentUSD / s.LimitUSD))
	}
}

// budgetsOf are the budgets that a session's options name. rt.mu is held.
func (rt *Runtime) budgetsOf(name string, o session.Options) ([]*session.Budget, error) {
	var found []*session.Budget
	for _, budget := range o.Budgets {
		b := rt.budgets[budget]
		if b == nil {
			return nil, fmt.Errorf("session %s: budgets: there is no budget %q", name, budget)
		}
		if !slices.Contains(found, b) {
			found = append(found, b)
		}
	}
	return found, nil
}

// validateBudgets looks at the budgets and at who names them.
func (rt *Runtime) validateBudgets() error {
	var problems []error
	names := make(map[string]bool)
	for _, b := range rt.options.Budgets {
		if names[b.Name] {
			problems = append(problems, fmt.Errorf("budget %s: a budget of that name is there already", b.Name))
		}
		names[b.Name] = true
		if _, err := session.NewBudget(b, "", nil); err != nil {
			problems = append(problems, err)
		}
	}
	known := func(whose string, o session.Options) {
		for _, name := range o.Budgets {
			if !names[name] {
				problems = append(problems, fmt.Errorf("%s: budgets: there is no budget %q", whose, name))
			}
		}
	}
	var inside func(Group)
	inside = func(g Group) {
		for _, s := range g.Sessions {
			known("session "+s.Name, s.Options)
		}
		for _, below := range g.Groups {
			inside(below)
		}
	}
	inside(Group{Sessions: rt.options.Sessions, Groups: rt.options.Groups})
	for _, p := range rt.options.Pools {
		known("pool "+p.Name, p.Options)
	}
	return errors.Join(problems...)
}

// Costs is what all sessions have spent in their lives, and what is left of the shared budgets.
func (rt *Runtime) Costs() debug.Costs {
	found := debug.Costs{Budgets: budgetNodes(rt.Budgets())}
	for _, s := range rt.Sessions() {
		spent := s.Spending()
		models := make(map[string]debug.ModelCost, len(spent.Models))
		for model, c := range spent.Models {
			models[model] = debug.ModelCost{Tokens: debug.Tokens{
				Input: c.InputTokens, Output: c.OutputTokens, CacheRead: c.CacheReadTokens, CacheCreation: c.CacheWriteTokens,
			}, USD: c.USD}
		}
		found.Sessions = append(found.Sessions, debug.SessionCost{
			Name: s.Name(), USD: spent.USD, EstimatedUSD: spent.EstimatedUSD, LimitUSD: spent.LimitUSD, Turns: spent.Turns,
			Budgets: spent.Budgets, Models: models,
		})
	}
	return found.Sum()
}

func (b *backend) Costs(context.Context) (debug.Costs, error) { return b.Runtime.Costs(), nil }

// budgetNodes are the shared budgets as the tree has them.
func budgetNodes(states []session.BudgetState) []debug.Budget {
	var all []debug.Budget
	for _, s := range states {
		all = append(all, debug.Budget{
			Name: s.Name, LimitUSD: s.LimitUSD, SpentUSD: s.SpentUSD, LeftUSD: max(s.LimitUSD-s.SpentUSD, 0), PerSeconds: s.Per.Seconds(),
			Window: known(s.Window), ResetsAt: known(s.ResetsAt), Exhausted: s.Exhausted(), Sessions: s.Sessions,
		})
	}
	return all
}

// Budgets describes the shared budgets, sorted by name.
func (rt *Runtime) Budgets() []session.BudgetState {
	rt.mu.Lock()
	budgets := rt.budgets // which a reload replaces as a whole
	rt.mu.Unlock()
	var all []session.BudgetState
	for _, b := range budgets {
		all = append(all, b.State())
	}
	slices.SortFunc(all, func(a, b session.BudgetState) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
