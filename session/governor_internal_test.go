package session

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Fault: twenty sessions of one account hear that a usage limit is reached, and the runtime is started again
// Outcome: they go on one by one after the limit's end, none before it, four a second; the next runtime knows of the limit
// On: memory
func TestSessionsGoOnOneByOneAfterALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		g, err := NewGovernor(Limits{}, dir, nil)
		require.NoError(t, err)
		until := time.Now().Add(90 * time.Second)
		assert.True(t, g.limited("acme", until, "usage limit reached"))
		for range 19 {
			assert.False(t, g.limited("acme", until, "usage limit reached"), "no news")
		}
		g.Flush()
		g, err = NewGovernor(Limits{}, dir, nil)
		require.NoError(t, err)
		for i := range 20 {
			wait, why := g.held("acme")
			at := wait - 90*time.Second
			assert.GreaterOrEqual(t, at, time.Duration(i)*rampStep)
			assert.Less(t, at, time.Duration(i+1)*rampStep)
			assert.Equal(t, "usage limit reached", why)
		}
		wait, _ := g.held("other")
		assert.Zero(t, wait)
		time.Sleep(90 * time.Second)
		wait, _ = g.held("acme")
		assert.Zero(t, wait)
		g.served("acme")
		g.Flush()
		data, err := os.ReadFile(filepath.Join(dir, "limits.json"))
		require.NoError(t, err)
		assert.NotContains(t, string(data), "acme")
	})
}

// Fault: the API is overloaded for ten minutes, and eight sessions of an account hear so each time
// Outcome: they count once; the wait doubles from half a minute to a quarter of an hour, and is forgotten after a success
// On: memory
func TestOverloadBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, err := NewGovernor(Limits{}, "", nil)
		require.NoError(t, err)
		for _, want := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
			until, news := g.overloaded("a")
			assert.True(t, news)
			for range 7 {
				again, news := g.overloaded("a")
				assert.False(t, news)
				assert.Equal(t, until, again)
			}
			wait := time.Until(until)
			assert.GreaterOrEqual(t, wait, want)
			assert.LessOrEqual(t, wait, want+want/5+1)
			time.Sleep(wait)
		}
		g.served("a")
		until, _ := g.overloaded("a")
		assert.Less(t, time.Until(until), 40*time.Second)
	})
}

// Fault: a CLI says that a usage limit ends in a hundred years, has ended, or ends at no time at all
// Outcome: nobody waits longer than the longest window there is, and nobody for a limit that is over
// On: memory
func TestALimitIsNotBelievedWithoutBounds(t *testing.T) {
	g, err := NewGovernor(Limits{}, "", nil)
	require.NoError(t, err)
	assert.True(t, g.limited("a", time.Now().AddDate(100, 0, 0), "limit"))
	wait, _ := g.held("a")
	assert.LessOrEqual(t, wait, maxHold+rampStep)
	assert.False(t, g.limited("b", time.Now().Add(-time.Second), "limit"))
	wait, _ = g.held("b")
	assert.Zero(t, wait)
}

// Fault: the file of the API's limits is damaged
// Outcome: it is set aside with an error that says so; nobody waits
// On: memory
func TestDamagedLimitsAreSetAside(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{`{"version":1,"holds":{`, `{"version":7}`, ``} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "limits.json"), []byte(text), 0o600))
		g, err := NewGovernor(Limits{}, dir, nil)
		require.ErrorContains(t, err, "limits.json.damaged")
		wait, _ := g.held("a")
		assert.Zero(t, wait)
	}
	// One that was changed by hand is not damaged, and does not end the runtime.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "limits.json"), []byte(`{"version":1,"holds":{"a":{"failures":-1}}}`), 0o600))
	g, err := NewGovernor(Limits{}, dir, nil)
	require.NoError(t, err)
	_, news := g.overloaded("a")
	assert.True(t, news)
	g.Flush()
	g, err = NewGovernor(Limits{MaxBusy: -1}, dir, nil)
	assert.Nil(t, g)
	assert.ErrorContains(t, err, "max_busy -1")
}

func TestSlotsAreGivenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		require.True(t, s.try())
		var order []int
		var mu sync.Mutex
		for i := range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			if i == 2 {
				defer cancel()
			}
			go func() {
				if s.acquire(ctx, false) == nil {
					mu.Lock()
					order = append(order, i)
					mu.Unlock()
					s.release()
				}
			}()
			synctest.Wait()
			if i == 2 {
				cancel()
				synctest.Wait()
			} else {
				t.Cleanup(cancel)
			}
		}
		assert.True(t, s.wanted())
		assert.False(t, s.try(), "others wait")
		s.release()
		synctest.Wait()
		assert.Equal(t, []int{0, 1, 3, 4}, order)
		assert.True(t, s.try())
		s.take() // by force
		s.release()
		assert.False(t, s.try())
		s.release()
		assert.True(t, s.try())
	})
}

func TestSlotsAreNeverMoreThanThereAre(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		most := rapid.IntRange(1, 4).Draw(rt, "most")
		s := newSlots(most)
		var all sync.WaitGroup
		var mu sync.Mutex
		held, worst := 0, 0
		for i := range rapid.IntRange(1, 20).Draw(rt, "takers") {
			all.Go(func() {
				ctx, cancel := context.WithCancel(context.Background())
				if i%3 == 0 {
					cancel()
				}
				defer cancel()
				if s.acquire(ctx, false) != nil {
					return
				}
				mu.Lock()
				held++
				worst = max(worst, held)
				mu.Unlock()
				mu.Lock()
				held--
				mu.Unlock()
				s.release()
			})
		}
		all.Wait()
		if worst > most || s.used != 0 || len(s.waiting) != 0 {
			rt.Fatalf("most %d: %d at once; %d used and %d waiting in the end", most, worst, s.used, len(s.waiting))
		}
	})
}

// Fault: a hundred sessions are to be started at once, and ten a minute may be, five at once
// Outcome: five are started at once, and one each six seconds after that
// On: memory
func TestStartsAreSpread(t *testing.T) {
	b := &bucket{every: 6 * time.Second, burst: 5}
	now := time.Unix(1000, 0)
	began := now
	for i := range 100 {
		now = now.Add(b.take(now)) // which took nothing if it has to wait
		if now.After(began) {
			assert.Zero(t, b.take(now))
		}
		want := max(0, time.Duration(i-4)*6*time.Second)
		assert.Equal(t, want, now.Sub(began), "start %d", i)
	}
	now = now.Add(2 * time.Hour)
	for range 5 {
		assert.Zero(t, b.take(now))
	}
	assert.Equal(t, 6*time.Second, b.take(now))
}

// Fault: fifty sessions wait for their start (starts_per_minute), and are stopped
// Outcome: what they have not used is there for the next: it waits no longer than for one start
// On: memory
func TestStartsThatAreGivenUpCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, err := NewGovernor(Limits{StartsPerMinute: 60, StartBurst: 1}, "", nil)
		require.NoError(t, err)
		first, err := g.admit(t.Context(), t.Context(), false, func(string) { t.Error("waits") })
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		for range 50 {
			go func() { // ends when it is given up
				_, err := g.admit(ctx, t.Context(), false, func(string) {})
				assert.ErrorIs(t, err, context.Canceled)
			}()
		}
		synctest.Wait()
		assert.Equal(t, 51, g.Usage().Processes)
		stop()
		synctest.Wait()
		began := time.Now()
		next, err := g.admit(t.Context(), t.Context(), false, func(why string) { assert.Equal(t, "starts_per_minute", why) })
		require.NoError(t, err)
		assert.Equal(t, time.Second, time.Since(began))
		first.leave()
		next.leave()
		assert.Equal(t, Usage{}, g.Usage())
	})
}

// TestAccounts tells those apart that pay with keys of different files.
func TestAccounts(t *testing.T) {
	one := account(Options{APIKeyFile: "/etc/one"})
	assert.Equal(t, one, account(Options{APIKeyFile: "/etc/one", Model: "haiku"}))
	for _, other := range []Options{{}, {APIKeyFile: "/etc/two"}, {APIKeyCredential: "/etc/one"}} {
		assert.NotEqual(t, one, account(other), "%q %q", other.APIKeyFile, other.APIKeyCredential)
	}
}

func TestWithoutAGovernorNothingWaits(t *testing.T) {
	var g *Governor
	a, err := g.admit(t.Context(), t.Context(), false, func(string) { t.Error("waits") })
	require.NoError(t, err)
	a.taken()
	a.ready()
	a.leave()
	assert.False(t, g.limited("a", time.Now().Add(time.Hour), ""))
	wait, _ := g.held("a")
	assert.Zero(t, wait)
	g.served("a")
}

// TestOtherLimitsHoldAtOnce widens and narrows what is in use and waited for.
func TestOtherLimitsHoldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, err := NewGovernor(Limits{MaxBusy: 1}, "", nil)
		require.NoError(t, err)
		require.True(t, g.turns.try())
		got := make(chan int, 3)
		for i := range 3 {
			go func() { // ends when it has its turn
				if g.turns.acquire(t.Context(), false) == nil {
					got <- i
				}
			}()
			synctest.Wait()
		}
		assert.Empty(t, got)
		require.NoError(t, g.SetLimits(Limits{MaxBusy: 3}))
		synctest.Wait()
		assert.Len(t, got, 2, "those who have waited longest")
		require.NoError(t, g.SetLimits(Limits{MaxBusy: 2}))
		g.turns.release()
		synctest.Wait()
		assert.Len(t, got, 2, "there are still as many as there may be")
		require.NoError(t, g.SetLimits(Limits{}))
		synctest.Wait()
		assert.Len(t, got, 3)
		assert.Equal(t, 3, g.Usage().Busy, "what is not limited is counted: a limit may come")
		require.NoError(t, g.SetLimits(Limits{MaxBusy: 3}))
		assert.False(t, g.turns.try())
		assert.ErrorContains(t, g.SetLimits(Limits{MaxBusy: -1}), "max_busy -1")
		assert.False(t, g.turns.try(), "nothing has changed")

		// Processes that rest make room for a limit that is lower, no more of them than have to.
		for range 5 {
			require.True(t, g.processes.try())
		}
		slept := 0
		for range 4 {
			assert.False(t, g.resting(&loop{}, func() { slept++ }))
		}
		require.NoError(t, g.SetLimits(Limits{MaxProcesses: 3}))
		assert.Equal(t, 2, slept)

		// Starts a minute.
		now := time.Now()
		require.NoError(t, g.SetLimits(Limits{StartsPerMinute: 60, StartBurst: 1}))
		assert.Zero(t, g.starts.take(now))
		assert.Equal(t, time.Second, g.starts.take(now))
		require.NoError(t, g.SetLimits(Limits{}))
		assert.Zero(t, g.starts.take(now))
	})
}

// Fault: fifty sessions are to be started at once, four may be coming up, and some are given up or never come up
// Outcome: never more than four come up at a time, and everybody has his turn
// On: memory
func TestFiftyStartsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const starts, most = 50, 4
		g, err := NewGovernor(Limits{MaxStarting: most, MaxProcesses: 2 * starts}, "", nil)
		require.NoError(t, err)
		var mu sync.Mutex
		up, given, worst := 0, 0, 0
		for i := range starts {
			ctx, cancel := context.WithCancel(t.Context())
			if i%10 == 9 { // given up while it waits
				time.AfterFunc(time.Millisecond, cancel)
			}
			go func() { // ends when it has come up
				defer cancel()
				a, err := g.admit(ctx, t.Context(), false, func(string) {})
				if err != nil {
					mu.Lock()
					given++
					mu.Unlock()
					return
				}
				a.taken()
				mu.Lock()
				worst = max(worst, g.Usage().Starting)
				mu.Unlock()
				time.Sleep(time.Second)
				if i%10 == 8 { // it has not come up in its time
					a.leave()
					return
				}
				a.ready()
				a.ready() // twice is once
				mu.Lock()
				up++
				mu.Unlock()
			}()
			synctest.Wait() // in this order
		}
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, most, worst)
		assert.Equal(t, 5, given)
		assert.Equal(t, 40, up)
		assert.Equal(t, Usage{Processes: 40}, g.Usage())
	})
}
