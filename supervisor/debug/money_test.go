package debug

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rich is a fake that knows what was spent of each model.
type rich struct {
	*fake
	costs Costs
	err   error
}

func (r *rich) Costs(context.Context) (Costs, error) { return r.costs, r.err }

func sampleCosts() Costs {
	haiku := ModelCost{Tokens{Input: 1200, Output: 640, CacheRead: 90_000}, 0.12}
	sonnet := ModelCost{Tokens{Input: 4200, Output: 18_300, CacheRead: 1_250_000, CacheCreation: 96_000}, 1.9}
	return Costs{
		Sessions: []SessionCost{
			{Name: "writer", USD: 0.12, Turns: 3, Models: map[string]ModelCost{"claude-haiku": haiku}},
			{Name: "reviewer", USD: 2.02, EstimatedUSD: 0.02, LimitUSD: 2, Turns: 37, Budgets: []string{"team", "trial"}, Models: map[string]ModelCost{"claude-sonnet": sonnet, "claude-haiku": haiku}},
		},
		Budgets: sampleBudgets(),
	}
}

func TestCosts(t *testing.T) {
	b := &rich{fake: newFake(), costs: sampleCosts()}
	h := fixed(b, Options{})
	w := ask(h, "GET", Path+"budgets", "", header("Accept", "application/json"))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	assert.Equal(t, "Accept", w.Header().Get("Vary"))
	_, compiler := openAPI(t)
	valid(t, compiler, "openapi.json#/components/schemas/Costs", w.Body.Bytes(), "costs")
	var got Costs
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	assert.Equal(t, "reviewer", got.Sessions[0].Name, "the dearest first")
	assert.InDelta(t, 2.14, got.TotalUSD, 1e-9)
	assert.InDelta(t, 0.02, got.EstimatedUSD, 1e-9)
	assert.Equal(t, 40, got.Turns)
	assert.Equal(t, Tokens{Input: 2400, Output: 1280, CacheRead: 180_000}, got.Models["claude-haiku"].Tokens)
	assert.Equal(t, sampleBudgets()[0].Sessions, got.Budgets[0].Sessions)
	for name, o := range map[string]RenderOptions{"cost.txt": {Now: noon}, "cost-60.txt": {Now: noon, Width: 60}, "cost-color.txt": {Now: noon, Color: true}} {
		var text strings.Builder
		require.NoError(t, RenderCosts(&text, got, o))
		golden(t, name, text.String())
	}

	b.err = &Error{Unavailable, "not now"}
	refused(t, ask(h, "GET", Path+"budgets", "", header("Accept", "application/json")), Unavailable, "not now")
}

// TestCostsOfATree: of a backend that does not know more, the tree's figures are all there is.
func TestCostsOfATree(t *testing.T) {
	w := ask(fixed(newFake(), Options{}), "GET", Path+"budgets", "", header("Accept", "application/json"))
	var got Costs
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	assert.InDelta(t, 1.914+0.12+0.3, got.TotalUSD, 1e-9)
	assert.Equal(t, []string{"team", "trial"}, got.Sessions[0].Budgets)
	assert.Len(t, got.Budgets, 2)
	empty := newFake()
	empty.root = Node{Name: "root", Kind: "supervisor", State: "running"}
	w = ask(fixed(empty, Options{}), "GET", Path+"budgets", "", header("Accept", "application/json"))
	assert.JSONEq(t, `{"total_usd":0,"estimated_usd":0,"turns":0,"models":{},"sessions":[],"budgets":[]}`, w.Body.String())
	var text strings.Builder
	require.NoError(t, RenderCosts(&text, Costs{}, RenderOptions{Now: noon}))
	assert.Equal(t, 2, strings.Count(text.String(), "\n"), "%s", text.String())
}

func TestSumsHaveNoNoise(t *testing.T) {
	of := func(usd float64) SessionCost {
		return SessionCost{USD: usd, EstimatedUSD: usd, Models: map[string]ModelCost{"m": {USD: usd}}}
	}
	sum := Costs{Sessions: []SessionCost{of(0.1), of(0.2)}}.Sum()
	for _, usd := range []float64{sum.TotalUSD, sum.EstimatedUSD, sum.Models["m"].USD} {
		assert.InDelta(t, 0.3, usd, 0, "as JSON it is read by people, and compared by programs")
	}
}
