package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
)

func TestBudgetWindows(t *testing.T) {
	now := time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)
	b, err := NewBudget(BudgetSpec{Name: "team", LimitUSD: 10, Per: 24 * time.Hour}, "", nil)
	require.NoError(t, err)
	b.now = func() time.Time { return now }

	b.count("old", 100) // before it had the budget
	assert.NoError(t, b.allow("old", 0))
	b.count("old", 104)
	b.count("old", 104) // twice is once
	b.count("new", 0)
	b.count("new", 5)
	assert.InDelta(t, 9, b.State().SpentUSD, 1e-9)
	assert.NoError(t, b.allow("new", 0))
	b.count("new", 7) // over it by this turn
	refused := b.allow("new", 0)
	require.ErrorIs(t, refused, ErrBudgetExhausted)
	var figures *BudgetError
	require.ErrorAs(t, refused, &figures)
	assert.Equal(t, BudgetError{Session: "new", Budget: "team", SpentUSD: 11, LimitUSD: 10, ResetsAt: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)}, *figures)
	assert.ErrorContains(t, refused, "spent 11.0000 of 10.0000 USD (budget team), again from 2026-03-02T00:00:00Z")

	now = now.Add(2 * time.Hour)
	assert.NoError(t, b.allow("new", 0), "another day")
	assert.Zero(t, b.State().SpentUSD)
	b.count("new", 9)
	assert.InDelta(t, 2, b.State().SpentUSD, 1e-9)

	b.count("new", 0) // another session of that name
	b.count("new", 1)
	assert.InDelta(t, 3, b.State().SpentUSD, 1e-9)
}

// Fault: the clock is set back an hour, over the beginning of a budget's window
// Outcome: the window goes on; nothing that was spent is forgotten, and the window before does not begin again
// On: memory
func TestBudgetWhenTheClockIsSetBack(t *testing.T) {
	now := time.Date(2026, 3, 2, 0, 10, 0, 0, time.UTC)
	b, err := NewBudget(BudgetSpec{Name: "team", LimitUSD: 10, Per: time.Hour}, "", nil)
	require.NoError(t, err)
	b.now = func() time.Time { return now }
	b.count("a", 0)
	b.count("a", 10)
	require.Error(t, b.allow("a", 0))
	now = now.Add(-time.Hour)
	assert.Error(t, b.allow("a", 0))
	b.count("a", 11)
	assert.InDelta(t, 11, b.State().SpentUSD, 1e-9)
	now = now.Add(2 * time.Hour)
	assert.NoError(t, b.allow("a", 0))
}

// Fault: the clock was far ahead when a budget's window began, or has been set back further than a window lasts; also over a restart
// Outcome: the budget does not wait for the day on which the window would end: what was spent counts in the window of this time
// On: memory
func TestBudgetWhenTheClockWasAhead(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2036, 3, 2, 0, 10, 0, 0, time.UTC)
	open := func() *Budget {
		b, err := NewBudget(BudgetSpec{Name: "team", LimitUSD: 10, Per: time.Hour}, dir, nil)
		require.NoError(t, err)
		b.now = func() time.Time { return now }
		return b
	}
	b := open()
	b.count("a", 0)
	b.count("a", 10)
	b.Flush()
	now = now.AddDate(-10, 0, 0)
	for _, b := range []*Budget{b, open()} {
		var refused *BudgetError
		require.ErrorAs(t, b.allow("a", 0), &refused)
		assert.Equal(t, time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC), refused.ResetsAt)
	}
	b.Flush()
	now = now.Add(time.Hour)
	for _, b := range []*Budget{b, open()} {
		require.NoError(t, b.allow("a", 0))
		assert.Zero(t, b.State().SpentUSD)
	}
	b.Flush()
}

// Fault: ten sessions that share a budget spend at the same time
// Outcome: the budget is passed by one turn of each at most, and no turn begins after that
// On: memory
func TestBudgetIsPassedByOneTurnOfEachAtMost(t *testing.T) {
	const sessions, price, limit = 10, 1.0, 25.0
	b, err := NewBudget(BudgetSpec{Name: "team", LimitUSD: limit}, "", nil)
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range sessions {
		name := fmt.Sprint("s", i)
		b.count(name, 0)
		all.Go(func() {
			for life := price; b.allow(name, 0) == nil; life += price {
				b.count(name, life)
			}
		})
	}
	all.Wait()
	spent := b.State().SpentUSD
	assert.GreaterOrEqual(t, spent, limit)
	assert.Less(t, spent, limit+sessions*price)
}

func TestBudgetTellsOnceOfEachThreshold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan float64, 10)
		b, err := NewBudget(BudgetSpec{Name: "team", LimitUSD: 10}, "", func(s BudgetState, _ error) { told <- s.SpentUSD })
		require.NoError(t, err)
		for _, life := range []float64{0, 7.9, 8, 9, 10, 11, 12} {
			b.count("a", life)
			synctest.Wait()
		}
		close(told)
		var seen []float64
		for s := range told {
			seen = append(seen, s)
		}
		assert.Equal(t, []float64{8, 10}, seen)
	})
}

// Fault: the runtime is killed between a turn's result and the writing of a shared budget
// Outcome: what the session's record has and the budget has not is counted when the session is there again, once
// On: memory
func TestBudgetIsOnDisk(t *testing.T) {
	dir := t.TempDir()
	open := func() *Budget {
		b, err := NewBudget(BudgetSpec{Name: "team", LimitUSD: 10, Per: 24 * time.Hour}, dir, nil)
		require.NoError(t, err)
		return b
	}
	b := open()
	b.count("a", 0)
	b.count("a", 3)
	require.NoError(t, b.Flush())
	b = open()
	b.count("a", 4) // its record is one turn further
	b.count("a", 4)
	assert.InDelta(t, 4, b.State().SpentUSD, 1e-9)
	require.NoError(t, b.Flush())
	assert.InDelta(t, 4, open().State().SpentUSD, 1e-9)
}

// Fault: the file of a shared budget is damaged
// Outcome: it is set aside, under a name of its own each time, with an error that says so; the budget begins anew
// On: memory
func TestADamagedBudgetIsSetAside(t *testing.T) {
	for name, text := range map[string]string{
		"torn": `{"version":1,"name":"te`, "version": `{"version":9,"name":"team","sessions":{}}`, "foreign": `{"version":1,"name":"other","sessions":{}}`,
		"negative": `{"version":1,"name":"team","gone_usd":-1,"sessions":{}}`, "backwards": `{"version":1,"name":"team","sessions":{"a":{"base_usd":2,"last_usd":1}}}`,
		"empty": ``,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, aside := range []string{"team.json.damaged", "team.json.damaged-2"} {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "team.json"), []byte(text), 0o600))
				b, err := NewBudget(BudgetSpec{Name: "team", LimitUSD: 1}, dir, nil)
				damaged, ok := errors.AsType[*StateError](err)
				require.True(t, ok, "%v", err)
				assert.ErrorContains(t, damaged, aside)
				require.FileExists(t, filepath.Join(dir, aside))
				b.count("a", 0)
				b.count("a", 1)
				assert.Error(t, b.allow("a", 0))
				require.NoError(t, b.Flush())
			}
		})
	}
}

// Fault: the directory of a shared budget cannot be written
// Outcome: the budget goes on in memory, and each failure is told
// On: memory
func TestABudgetThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	told := make(chan error, 10)
	b, err := NewBudget(BudgetSpec{Name: "team", LimitUSD: 10}, dir, func(_ BudgetState, err error) { told <- err })
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(dir, nil, 0o600)) // no directory can be made of it
	b.count("a", 0)
	b.count("a", 2)
	assert.ErrorContains(t, b.Flush(), "save budget team")
	assert.ErrorContains(t, <-told, "save budget team")
	assert.InDelta(t, 2, b.State().SpentUSD, 1e-9)
}

func TestBudgetSpecs(t *testing.T) {
	for _, spec := range []BudgetSpec{{Name: "a b", LimitUSD: 1}, {Name: "a"}, {Name: "a", LimitUSD: -1}, {Name: "a", LimitUSD: 1, Per: time.Second}, {Name: "a", LimitUSD: 1, Per: -time.Hour}} {
		_, err := NewBudget(spec, "", nil)
		assert.Error(t, err, "%+v", spec)
	}
}

// TestABudgetIsSetWhileItRuns widens a limit that was passed, narrows it, and changes the length of its windows.
func TestABudgetIsSetWhileItRuns(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 30, 0, 0, time.UTC) // a Wednesday
	var warned []string
	b, err := NewBudget(BudgetSpec{Name: "team", LimitUSD: 10, Per: 24 * time.Hour}, "", func(s BudgetState, err error) {
		warned = append(warned, fmt.Sprintf("%g of %g", s.SpentUSD, s.LimitUSD))
	})
	require.NoError(t, err)
	b.now = func() time.Time { return now }
	b.count("a", 0)
	b.count("a", 10)
	require.ErrorIs(t, b.allow("a", 0), ErrBudgetExhausted)
	require.NoError(t, b.Set(BudgetSpec{Name: "team", LimitUSD: 20, Per: 24 * time.Hour}))
	assert.NoError(t, b.allow("a", 0), "at once")
	assert.InDelta(t, 10, b.State().SpentUSD, 1e-9)
	b.count("a", 17)
	b.count("a", 20)
	assert.Equal(t, []string{"10 of 10", "17 of 20", "20 of 20"}, warned, "of what comes to pass again somebody is told again")
	require.NoError(t, b.Set(BudgetSpec{Name: "team", LimitUSD: 24, Per: 24 * time.Hour}))
	b.count("a", 21)
	assert.Len(t, warned, 3, "that it is nearly spent was told")

	// A week has begun before the day: the window goes on, until the next week.
	require.NoError(t, b.Set(BudgetSpec{Name: "team", LimitUSD: 24, Per: 7 * 24 * time.Hour}))
	assert.InDelta(t, 21, b.State().SpentUSD, 1e-9)
	assert.Equal(t, time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC), b.State().ResetsAt)
	now = now.Add(24 * time.Hour)
	assert.InDelta(t, 21, b.State().SpentUSD, 1e-9)
	now = time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC)
	assert.Zero(t, b.State().SpentUSD)
	// An hour has begun since.
	b.count("a", 25)
	now = now.Add(90 * time.Minute)
	require.NoError(t, b.Set(BudgetSpec{Name: "team", LimitUSD: 24, Per: time.Hour}))
	assert.Zero(t, b.State().SpentUSD)

	assert.ErrorContains(t, b.Set(BudgetSpec{Name: "team", LimitUSD: -1}), "limit_usd")
	assert.ErrorContains(t, b.Set(BudgetSpec{Name: "other", LimitUSD: 1}), "cannot become")
	assert.InDelta(t, 24, b.State().LimitUSD, 1e-9)
}

// TestWhatIsSpentDoesNotDependOnTheOrder sums what twenty sessions have spent, which a map has in another order each time.
func TestWhatIsSpentDoesNotDependOnTheOrder(t *testing.T) {
	b := book{Sessions: make(map[string]share)}
	for i := range 20 {
		b.Sessions[strconv.Itoa(i)] = share{Base: float64(i) / 3, Last: float64(i)/3 + 0.005}
	}
	for range 1000 {
		require.InDelta(t, 0.1, b.spent(), 0)
	}
}

// Fault: the runtime is killed when a shared budget is on disk with a turn's cost and the session's record is not yet, or cannot be written
// Outcome: what was counted stays counted, and nothing of what the session had spent in its life before is counted once more
// On: memory
func TestARecordThatIsOlderThanABudget(t *testing.T) {
	b, err := NewBudget(BudgetSpec{Name: "team", LimitUSD: 100}, "", nil)
	require.NoError(t, err)
	spec := Spec{Name: "a", StateDir: t.TempDir(), Budgets: []*Budget{b}}
	for round := range 3 {
		s, err := New(actor.NewSystem(actor.Options{}), spec)
		require.NoError(t, err)
		if round == 0 {
			s.desk.update(func(r *record, _ *Info) { r.Generation, r.Ledger.Spent = 1, 50 })
			s.spent(0, 50)
			require.NoError(t, s.Settle())
		}
		s.spent(50, 51) // and that is on disk with the budget alone
		assert.InDelta(t, 51+float64(round), b.State().SpentUSD, 1e-9)
	}
}

// TestABudgetForgetsWhoIsRemoved has a session for each job, of a name of its own, that spends and is removed.
func TestABudgetForgetsWhoIsRemoved(t *testing.T) {
	dir := t.TempDir()
	b, err := NewBudget(BudgetSpec{Name: "team", LimitUSD: 1000, Per: time.Hour}, dir, nil)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, b.Flush()) })
	now := time.Now()
	b.now = func() time.Time { return now }
	for i := range 50 {
		s := spender(t, fmt.Sprint("job-", i), b)
		s.spent(0, 1.5)
		s.owe(3)
		require.NoError(t, s.Forget(t.Context()))
	}
	assert.Empty(t, b.book.Sessions)
	assert.Empty(t, b.owed)
	assert.InDelta(t, 75, b.State().SpentUSD, 1e-9, "it stays spent")

	s := spender(t, "job-7", b)
	s.spent(0, 2)
	assert.InDelta(t, 77, b.State().SpentUSD, 1e-9, "another one of that name begins at zero")
	b.Flush()
	again, err := NewBudget(b.spec, dir, nil)
	require.NoError(t, err)
	again.now = b.now
	assert.Equal(t, b.State(), again.State())

	now = now.Add(time.Hour)
	require.NoError(t, s.Forget(t.Context()))
	assert.Zero(t, b.State().SpentUSD, "it was spent in the window before")
}

// TestForgetWaitsForWhatAKilledActorHasSpent: what a turn had cost that was cut is known when all is over that the actor has left.
func TestForgetWaitsForWhatAKilledActorHasSpent(t *testing.T) {
	b, err := NewBudget(BudgetSpec{Name: "team", LimitUSD: 10}, "", nil)
	require.NoError(t, err)
	s := spender(t, "a", b)
	synctest.Test(t, func(t *testing.T) {
		s.desk.attended.enter()
		impatient, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, s.Forget(impatient), context.DeadlineExceeded)

		forgotten := make(chan error, 1)
		go func() { forgotten <- s.Forget(t.Context()) }() // ends with it
		synctest.Wait()
		s.spent(0, 2)
		s.desk.attended.leave()
		require.NoError(t, <-forgotten)
	})
	assert.InDelta(t, 2, b.State().SpentUSD, 1e-9)
	assert.Empty(t, b.State().Sessions)
}

// spender is a session that was not started.
func spender(t *testing.T, name string, b *Budget) *Session {
	t.Helper()
	s, err := New(actor.NewSystem(actor.Options{}), Spec{Name: name, StateDir: t.TempDir(), Budgets: []*Budget{b}})
	require.NoError(t, err)
	return s
}
