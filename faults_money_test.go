package understudy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
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

// Fault: many sessions have long turns running at the same time that spend from one budget, none of which would spend it alone; ten sessions, and
// fifty in the long run
// Outcome: each turn is interrupted; all together they pass four fifths of what the limit allows for by two model calls each at most
// On: simulated
func TestManyTurnsPassASharedBudgetByAStepEach(t *testing.T) {
	t.Parallel()
	const call = 0.005 // what the simulation takes for one
	sessions := 10
	if os.Getenv(lengthVariable) != "" {
		sessions = 50
	}
	limit := 4 * call * float64(sessions)
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) {
		o.Budgets = []session.BudgetSpec{{Name: "team", LimitUSD: limit}}
		s.Budgets = []string{"team"}
		for i := range sessions {
			o.Sessions = append(o.Sessions, understudy.SessionSpec{Name: fmt.Sprint("s", i), Options: s})
		}
	})
	var all sync.WaitGroup
	for _, s := range rt.Sessions() {
		all.Go(func() {
			_, err := s.Ask(t.Context(), strings.Repeat(bash("true"), 5*sessions)) // more than all of it
			figures, ok := errors.AsType[*session.BudgetError](err)
			if assert.True(t, ok, "%s: %v", s.Name(), err) {
				assert.Equal(t, "team", figures.Budget)
			}
		})
	}
	all.Wait()
	spent := rt.Budgets()[0].SpentUSD
	t.Logf("%d turns: a limit of %.3f USD, passed by %.3f, which is %.1f model calls each", sessions, limit, spent-limit, (spent-limit)/call/float64(sessions))
	assert.GreaterOrEqual(t, spent, limit)
	// The call that passes the limit is known of when it has been made; then each turn may have one that is not known of yet, and make another.
	assert.LessOrEqual(t, spent, (limit/call/0.8+1+2*float64(sessions))*call+1e-9)
}

// Fault: sessions of several groups spend from a budget of their group and from one of all at the same time, every third is killed in a turn, and
// the runtime is started again in the middle; ten sessions, and fifty in the long run
// Outcome: each budget is passed by one turn of each of its sessions at most; who is refused is told which budget it is, and the figures; sessions,
// budgets, what `understudy cost` prints and the audit log agree on what was spent
// On: simulated
func TestNestedBudgetsWithManySessions(t *testing.T) {
	t.Parallel()
	const groups, turn = 5, 0.01 // of two model calls at most
	each := 2
	if os.Getenv(lengthVariable) != "" {
		each = 10
	}
	limits := map[string]float64{"fleet": 0.02 * groups * float64(each)}
	var options understudy.Options
	begin := func(o *understudy.Options, s session.Options) {
		if options.DataDir == "" {
			options = *o
			tolerant := &supervisor.Intensity{MaxRestarts: 1000, Within: time.Minute}
			quick := &supervisor.Backoff{Initial: time.Millisecond}
			for g := range groups {
				team := fmt.Sprint("team", g)
				limits[team] = 1
				if g < 2 {
					limits[team] = 0.01 * float64(each)
				}
				group := understudy.Group{Name: fmt.Sprint("group", g), Intensity: tolerant, Backoff: quick}
				for i := range each {
					own := s
					own.Budgets = []string{team, "fleet"}
					group.Sessions = append(group.Sessions, understudy.SessionSpec{Name: fmt.Sprint("s", g, "-", i), Options: own})
				}
				options.Groups = append(options.Groups, group)
			}
			for name, limit := range limits {
				options.Budgets = append(options.Budgets, session.BudgetSpec{Name: name, LimitUSD: limit})
			}
		}
		*o = options
	}
	rt := runtimeWith(t, begin)
	spend := func(most int) (refused map[string]int) {
		refused = make(map[string]int)
		var all sync.WaitGroup
		var mu sync.Mutex
		for n, s := range rt.Sessions() {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				for i := range most {
					prompt := "spend"
					if n%3 == 0 && i == 1 {
						prompt = bash("kill -9 $CLAUDE_PID; read -t 5 < /dev/zero")
					}
					_, err := s.Ask(ctx, prompt)
					if _, crashed := errors.AsType[*session.CrashError](err); crashed || err == nil {
						continue
					}
					figures, ok := errors.AsType[*session.BudgetError](err)
					if assert.True(t, ok, "%v", err) {
						assert.ErrorIs(t, err, session.ErrBudgetExhausted)
						assert.GreaterOrEqual(t, figures.SpentUSD, figures.LimitUSD)
						assert.Equal(t, limits[figures.Budget], figures.LimitUSD)
						mu.Lock()
						refused[figures.Budget]++
						mu.Unlock()
					}
					return
				}
			})
		}
		all.Wait()
		return refused
	}
	spend(2)
	require.NoError(t, rt.Shutdown(t.Context()))
	rt = runtimeWith(t, begin)
	refused := spend(1000)
	assert.Positive(t, refused["team0"]+refused["team1"], "%v", refused)
	assert.Positive(t, refused["fleet"], "%v", refused)
	assert.Equal(t, groups*each, refused["team0"]+refused["team1"]+refused["fleet"], "%v", refused)

	request := httptest.NewRequest("GET", "http://127.0.0.1"+debug.Path+"budgets", nil)
	request.RemoteAddr = "127.0.0.1:40000"
	page := httptest.NewRecorder()
	rt.DebugHandler(debug.Options{}).ServeHTTP(page, request)
	var costs debug.Costs
	require.NoError(t, json.Unmarshal(page.Body.Bytes(), &costs), "%s", page.Body)
	require.Len(t, costs.Sessions, groups*each)
	assert.Positive(t, costs.EstimatedUSD, "turns that were cut")
	spent := make(map[string]float64) // by session and by budget, as the sessions have it
	for _, s := range costs.Sessions {
		spent[s.Name] = s.USD
		for _, budget := range s.Budgets {
			spent[budget] += s.USD
		}
	}
	assert.InDelta(t, costs.TotalUSD, spent["fleet"], 1e-6)
	for _, b := range costs.Budgets {
		assert.InDelta(t, spent[b.Name], b.SpentUSD, 1e-6, b.Name)
		assert.Less(t, b.SpentUSD, b.LimitUSD+float64(len(b.Sessions))*turn, b.Name)
		for name, usd := range b.Sessions {
			assert.InDelta(t, spent[name], usd, 1e-6, "%s of %s", name, b.Name)
		}
	}
	accounted(t, rt, options.DataDir)
	recorded := make(map[string]float64)
	for r, err := range audit.Read(options.DataDir + "/audit") {
		require.NoError(t, err)
		recorded[r.Session] += r.CostUSD
	}
	for _, s := range costs.Sessions {
		assert.InDelta(t, s.USD, recorded[s.Name], 1e-6, s.Name)
	}
}
