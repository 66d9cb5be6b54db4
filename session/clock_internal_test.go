package session

import (
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stepped is a time as it would be had somebody set the clock by d meanwhile: the wall's reading is another one, the monotonic one is
// as it was. Nothing in package time makes one.
func stepped(t testing.TB, now time.Time, d time.Duration) time.Time {
	t.Helper()
	steps := now
	// The first word has a bit that says that there is a monotonic reading, 33 bits of seconds and 30 of nanoseconds.
	word := (*uint64)(unsafe.Pointer(&steps))
	*word += uint64(int64(d/time.Second)) << 30
	require.Equal(t, d, steps.Round(0).Sub(now.Round(0)), "what the wall shows")
	require.Zero(t, steps.Sub(now), "what has passed")
	return steps
}

// Fault: the clock is set back an hour, or forward, while an account's queries wait for the end of a usage limit, or of an overload
// Outcome: nobody waits longer than it was to be; a clock that was behind, and is set right, ends it earlier
// On: memory
func TestHoldsWhenTheClockIsSet(t *testing.T) {
	g, err := NewGovernor(Limits{}, "", nil)
	require.NoError(t, err)
	began := time.Now()
	now := began
	g.now = func() time.Time { return now }
	require.True(t, g.limited("limit", began.Round(0).Add(10*time.Minute), "usage limit reached"))
	until, _ := g.overloaded("overload")
	overload := until.Sub(began)

	now = stepped(t, began, -time.Hour)
	wait, _ := g.held("limit")
	assert.InDelta(t, 10*time.Minute, wait, float64(2*rampStep))
	wait, _ = g.held("overload")
	assert.InDelta(t, overload, wait, float64(2*rampStep))
	assert.False(t, g.limited("limit", now.Round(0).Add(9*time.Minute), "usage limit reached"), "it has ended by then")
	_, news := g.overloaded("overload")
	assert.False(t, news)

	now = stepped(t, began.Add(10*time.Minute), -time.Hour)
	for _, account := range []string{"limit", "overload"} {
		wait, _ = g.held(account)
		assert.Zero(t, wait, "%s: it is over, whatever the clock on the wall says", account)
		g.served(account)
		assert.NotContains(t, g.holds, account)
	}

	now = began
	require.True(t, g.limited("limit", began.Round(0).Add(2*time.Hour), "usage limit reached"))
	now = stepped(t, began, 2*time.Hour)
	wait, _ = g.held("limit")
	assert.Zero(t, wait)
}

// Fault: the clock was a year ahead when it was written how long queries are to wait, and is right when the next runtime reads it
// Outcome: nobody waits longer than a hold of that kind may be: 18 minutes for an overload, 8 days for a usage limit
// On: memory
func TestHoldsOfAClockThatWasWrong(t *testing.T) {
	dir := t.TempDir()
	ahead := time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "limits.json"), []byte(`{"version":1,"holds":{
		"overload":{"until":"`+ahead+`","reason":"the API is overloaded","failures":3},
		"limit":{"until":"`+ahead+`","reason":"usage limit reached (five_hour)"},
		"over":{"until":"2020-01-01T00:00:00Z","reason":"usage limit reached (five_hour)"}}}`), 0o600))
	g, err := NewGovernor(Limits{}, dir, nil)
	require.NoError(t, err)
	for account, most := range map[string]time.Duration{"overload": 18 * time.Minute, "limit": maxHold} {
		wait, _ := g.held(account)
		assert.Positive(t, wait, account)
		assert.LessOrEqual(t, wait, most+rampStep, account)
	}
	wait, _ := g.held("over")
	assert.Zero(t, wait)
}

// Fault: the clock is set back an hour between starts of processes that are to be spread
// Outcome: each comes when it would have come
// On: memory
func TestStartsAreSpreadWhenTheClockIsSet(t *testing.T) {
	b := &bucket{}
	b.set(10, 2)
	now := time.Now()
	assert.Zero(t, b.take(now))
	assert.Zero(t, b.take(stepped(t, now, -time.Hour)))
	assert.Equal(t, 6*time.Second, b.take(stepped(t, now, -time.Hour)))
	assert.Zero(t, b.take(stepped(t, now.Add(6*time.Second), time.Hour)))
	assert.Equal(t, 6*time.Second, b.take(stepped(t, now.Add(6*time.Second), -time.Hour)))
}
