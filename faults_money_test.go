package understudy_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
)

// Fault: ten sessions that share a budget spend it at the same time, and the runtime is started again
// Outcome: each passes the limit by one turn at most; what comes after is refused with the figures, before any model call; at
// 80 % and at 100 % the audit log is told; the next runtime still refuses
// On: simulated
func TestASharedBudgetWithTenSessions(t *testing.T) {
	t.Parallel()
	const sessions, price, limit = 10, 0.005, 0.1
	var options understudy.Options
	begin := func(o *understudy.Options, s session.Options) {
		s.Budgets = []string{"team"}
		if options.DataDir == "" {
			options = *o
			options.Budgets = []session.BudgetSpec{{Name: "team", LimitUSD: limit, Per: 24 * time.Hour}}
			for i := range sessions {
				options.Sessions = append(options.Sessions, understudy.SessionSpec{Name: fmt.Sprint("s", i), Options: s})
			}
		}
		*o = options
	}
	rt := runtimeWith(t, begin)
	var all sync.WaitGroup
	var mu sync.Mutex
	answered := 0
	for _, s := range rt.Sessions() {
		all.Go(func() {
			for {
				_, err := s.Ask(t.Context(), "spend")
				if err != nil {
					figures, ok := errors.AsType[*session.BudgetError](err)
					if assert.True(t, ok, "%v", err) {
						assert.ErrorIs(t, err, session.ErrBudgetExhausted)
						assert.Equal(t, "team", figures.Budget)
						assert.GreaterOrEqual(t, figures.SpentUSD, limit-1e-9)
						assert.False(t, figures.ResetsAt.IsZero())
					}
					return
				}
				mu.Lock()
				answered++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	state := rt.Budgets()[0]
	assert.InDelta(t, float64(answered)*price, state.SpentUSD, 1e-9)
	assert.GreaterOrEqual(t, state.SpentUSD, limit-1e-9)
	assert.Less(t, state.SpentUSD, limit+sessions*price)
	costs := rt.Costs()
	assert.InDelta(t, state.SpentUSD, costs.TotalUSD, 1e-9)
	assert.Equal(t, answered, costs.Turns)
	tree, err := rt.Tree(t.Context())
	require.NoError(t, err)
	require.Len(t, tree.SharedBudgets, 1)
	assert.InDelta(t, state.SpentUSD, tree.SharedBudgets[0].SpentUSD, 1e-9)
	assert.True(t, tree.SharedBudgets[0].Exhausted)
	s1, found := tree.Session("s1")
	require.True(t, found)
	assert.Equal(t, []string{"team"}, s1.Budgets)
	require.NoError(t, rt.Shutdown(t.Context()))

	var warned, exhausted int
	for r, err := range audit.Read(options.DataDir + "/audit") {
		require.NoError(t, err)
		switch r.Kind {
		case audit.BudgetWarned:
			warned++
		case audit.BudgetExhausted:
			exhausted++
		}
	}
	assert.Equal(t, 1, warned)
	assert.Equal(t, 1, exhausted)

	rt = runtimeWith(t, begin)
	s, err := rt.Session("s0")
	require.NoError(t, err)
	_, err = s.Ask(t.Context(), "spend")
	assert.ErrorIs(t, err, session.ErrBudgetExhausted)
	assert.InDelta(t, state.SpentUSD, rt.Budgets()[0].SpentUSD, 1e-9)
}

// Fault: a session names a budget that is not there
// Outcome: the runtime does not start; all mistakes are named at once
// On: memory
func TestASessionOfABudgetThatIsNotThere(t *testing.T) {
	t.Parallel()
	o := understudy.Options{
		Budgets:  []session.BudgetSpec{{Name: "team", LimitUSD: 1}, {Name: "team", LimitUSD: -1}},
		Sessions: []understudy.SessionSpec{{Name: "a", Options: session.Options{Budgets: []string{"taem"}}}},
	}
	_, err := understudy.Start(t.Context(), o)
	assert.ErrorContains(t, err, `session a: budgets: there is no budget "taem"`)
	assert.ErrorContains(t, err, "budget team: a budget of that name is there already")
	assert.ErrorContains(t, err, "limit_usd -1")
}
