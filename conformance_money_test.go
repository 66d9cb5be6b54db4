package understudy_test

import (
	"syscall"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/sessiontest"
)

// money ends the process in both ways between turns that cost half a cent each.
func money(r *rig) {
	r.boot()
	turns := 0
	spend := func() {
		r.Helper()
		r.mustAsk("spend")
		turns++
		assert.InDelta(r, 0.005*float64(turns), r.Info().CostUSD, 1e-9, "after %d turns", turns)
	}
	restart := func() { require.NoError(r, r.rt.Restart(r.within(), "worker")) }
	spend()
	spend()
	hangUp, term := func() { r.signalIdle(syscall.SIGHUP) }, func() { r.signalIdle(syscall.SIGTERM) }
	for _, end := range []func(){r.killIdle, restart, restart, r.killIdle, r.killIdle, restart, hangUp, r.killIdle, restart, term, term, restart, r.killIdle} {
		end()
		spend()
	}
	restart()
	r.killIdle()
	spend()
	assert.Equal(r, 16, r.Info().Generation)
	spending := r.Spending()
	assert.Len(r, spending.Models, 1)
	for _, cost := range spending.Models {
		assert.InDelta(r, spending.USD, cost.USD, 1e-9)
		assert.EqualValues(r, turns*sessiontest.InputTokens, cost.InputTokens)
		assert.EqualValues(r, turns*sessiontest.OutputTokens, cost.OutputTokens)
	}
	assert.Zero(r, spending.EstimatedUSD)
}

// cutTurnCosts: what a turn had cost that a SIGKILL cut is estimated from its frames, and counted once.
func cutTurnCosts(r *rig) {
	r.boot()
	r.mustAsk("spend")
	before := r.Info().CostUSD
	command, entered, _ := r.gate("gate")
	cut := r.background(bash(command))
	entered()
	r.kill()
	require.Error(r, cut.wait(r.T))
	r.until("the next generation", func() bool { return r.Info().State == session.Idle })
	spending := r.Spending()
	estimate := spending.USD - before
	assert.InDelta(r, 0.0045, estimate, 0.001, "one model call, of which the frames do not have all that was written")
	assert.InDelta(r, estimate, spending.EstimatedUSD, 1e-9)
	r.mustAsk("spend")
	assert.InDelta(r, before+estimate+0.005, r.Info().CostUSD, 1e-9, "the next result does not have it once more")
	crashed := r.records(audit.SessionCrashed)
	require.Len(r, crashed, 1)
	assert.InDelta(r, estimate, crashed[0].CostUSD, 1e-9)
}

func maxBudget(r *rig) {
	r.spec.MaxBudgetUSD = 0.012
	r.boot()
	r.mustAsk("one")
	r.mustAsk("two")
	_, err := r.ask("three")
	var result *session.ResultError
	require.ErrorAs(r, err, &result, "the CLI itself notices")
	assert.ErrorIs(r, err, session.ErrBudgetExhausted)
	_, err = r.ask("four")
	assert.ErrorIs(r, err, session.ErrBudgetExhausted)
	assert.InDelta(r, 0.015, r.Info().CostUSD, 1e-9)
	assert.Equal(r, 1, r.Info().Generation)
	assert.Empty(r, r.records(audit.SessionCrashed))
}

func maxBudgetOverAKill(r *rig) {
	r.spec.MaxBudgetUSD = 0.014
	r.boot()
	r.mustAsk("one")
	r.killIdle()
	r.mustAsk("two")
	r.killIdle()
	_, err := r.ask("three") // reaches what is left in the first turn of its process
	assert.ErrorIs(r, err, session.ErrBudgetExhausted)
	assert.InDelta(r, 0.015, r.Info().CostUSD, 1e-9)
	require.NoError(r, r.rt.Restart(r.within(), "worker"))
	_, err = r.ask("four")
	assert.ErrorIs(r, err, session.ErrBudgetExhausted, "a restart brings no new money")
}
