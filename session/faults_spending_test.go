package session_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
)

// modelCall is a frame of a model call that has cost four dollars, which the simulation itself does not count.
func modelCall(n int) string {
	return fmt.Sprintf(`[[frame:{"type":"assistant","message":{"id":"msg_%d","type":"message","role":"assistant","model":"claude-sonnet-4-5",`+
		`"content":[{"type":"text","text":"x"}],"usage":{"input_tokens":1333333,"output_tokens":1}},"parent_tool_use_id":null}]]`, n)
}

// Fault: a turn goes on when what its frames say passes max_budget_usd, and has no result
// Outcome: it is interrupted before its next model call, and charged for what it had cost; what comes after is refused
// On: simulated
func TestATurnWithoutAResultIsHeldToItsBudget(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.MaxBudgetUSD = 6
	b := start(t, sp)
	_, err := b.ask(modelCall(1) + modelCall(2) + modelCall(3) + "[[sleep:600]]")
	require.ErrorIs(t, err, session.ErrBudgetExhausted)
	var budget *session.BudgetError
	require.ErrorAs(t, err, &budget)
	assert.InDelta(t, 6.4, budget.SpentUSD, 0.01, "four fifths of two calls of four dollars")
	assert.Equal(t, 1, b.Info().Generation, "it is no crash")
}

// Fault: a session's turn goes on when its frames say that a shared budget is spent, which the CLI does not know
// Outcome: it is interrupted before its next model call
// On: simulated
func TestATurnWithoutAResultIsHeldToASharedBudget(t *testing.T) {
	team, err := session.NewBudget(session.BudgetSpec{Name: "team", LimitUSD: 3}, "", nil)
	require.NoError(t, err)
	sp := spec(t, "a")
	sp.Budgets, sp.Options.Budgets = []*session.Budget{team}, []string{"team"}
	b := start(t, sp)
	_, err = b.ask(modelCall(1) + modelCall(2) + "[[sleep:600]]")
	require.ErrorIs(t, err, session.ErrBudgetExhausted)
	assert.ErrorContains(t, err, "budget team")
}

// Fault: two sessions share a budget, and the turns of both run when it is spent; neither has a result, nor would either have spent it alone
// Outcome: one of them is interrupted before its next model call, for what both have spent; when the other's turn has ended with less than its
// frames said, what is left may be spent
// On: simulated
func TestTurnsThatRunAtTheSameTimeKnowOfEachOther(t *testing.T) {
	team, err := session.NewBudget(session.BudgetSpec{Name: "team", LimitUSD: 6}, "", nil)
	require.NoError(t, err)
	var both [2]*bench
	for i, name := range []string{"a", "b"} {
		sp := spec(t, name)
		sp.Budgets, sp.Options.Budgets = []*session.Budget{team}, []string{"team"}
		both[i] = start(t, sp)
	}
	a, b := both[0], both[1]
	_, end := a.background(modelCall(1) + modelCall(2) + "[[sleep:600]]")
	require.Eventually(t, func() bool { return session.Owed(team, "a") > 3 }, time.Minute, time.Millisecond, "a's first call is known of")
	_, err = b.ask(modelCall(1) + modelCall(2) + "[[sleep:600]]")
	var budget *session.BudgetError
	require.ErrorAs(t, err, &budget)
	assert.InDelta(t, 6.4, budget.SpentUSD, 0.1, "four fifths of a call of four dollars each")
	assert.Equal(t, "team", budget.Budget)
	require.NoError(t, a.Interrupt(t.Context()))
	require.Error(t, <-end)
	assert.Less(t, team.State().SpentUSD, 1.0, "what frames say that have a result is counted by that")
	_, err = b.ask("and now")
	assert.NoError(t, err)
}
