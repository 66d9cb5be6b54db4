package session_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
)

// rejected is what the CLI says when a usage limit is reached.
func rejected(until time.Time) string {
	return fmt.Sprintf(`[[frame:{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":%d,"rateLimitType":"five_hour"}}]]`, until.Unix())
}

// Fault: one session hears that a usage limit is reached, until a time
// Outcome: the other sessions of the account wait until then, without a restart, and their queries are answered after it;
// another account's session does not wait
// On: simulated
func TestAUsageLimitIsKnownToAllSessionsOfTheAccount(t *testing.T) {
	g := governed(t, session.Limits{})
	made := func(name string, key session.Secret) *bench {
		sp := spec(t, name)
		sp.Governor = g
		sp.Options.APIKey = key
		sp.Options.Env["CLAUDE_CONFIG_DIR"] = "" // each has its own, which is an account of its own
		delete(sp.Options.Env, "CLAUDE_CONFIG_DIR")
		sp.Options.Env["HOME"] = t.TempDir()
		return start(t, sp)
	}
	home := t.TempDir()
	shared := func(name string) *bench {
		sp := spec(t, name)
		sp.Governor = g
		sp.Options.Env["CLAUDE_CONFIG_DIR"] = home
		return start(t, sp)
	}
	a, b, other := shared("a"), shared("b"), made("other", "sk-ant-another-account")
	until := time.Now().Add(2 * time.Second)
	_, err := a.ask(rejected(until) + "[[status:400]]")
	require.Error(t, err)

	_, rest := b.background("after the limit")
	info := b.until(session.Held)
	assert.False(t, info.HeldUntil.Before(time.Unix(until.Unix(), 0)))
	assert.Contains(t, info.Waits, "five_hour")
	other.mustAsk("not my limit")
	require.NoError(t, <-rest)
	assert.False(t, time.Now().Before(time.Unix(until.Unix(), 0)), "not before the limit is over")
	info = b.Info()
	assert.Equal(t, 1, info.Generation)
	assert.Zero(t, info.Restarts)
	assert.True(t, info.HeldUntil.IsZero())
}

// Fault: while a usage limit is reached, callers of one session come and give up, one after the other, and the CLI begins a turn by itself
// Outcome: the session is held again behind that turn; another session of the account waits no longer for it
// On: simulated
func TestWhoWaitsForALimitDoesNotHoldUpOthers(t *testing.T) {
	g := governed(t, session.Limits{})
	home := t.TempDir()
	made := func(name string) *bench {
		sp := spec(t, name)
		sp.Governor = g
		sp.Options.Env["CLAUDE_CONFIG_DIR"] = home
		return start(t, sp)
	}
	a, b := made("a"), made("b")
	until := time.Now().Add(time.Hour)
	a.mustAsk(`[[selfturn:200ms by itself]]`)
	_, err := a.ask(rejected(until) + "[[status:400]]")
	require.Error(t, err)
	a.background("first")
	require.Eventually(t, func() bool { return a.Info().Turns == 3 }, time.Minute, time.Millisecond, "its own turn")
	a.until(session.Held)
	for range 40 {
		ctx, giveUp := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() { _, err := a.Ask(ctx, "hello"); gone <- err }() // ends with its context
		require.Eventually(t, func() bool { return a.Info().Queue == 2 }, time.Minute, 100*time.Microsecond)
		giveUp()
		require.ErrorIs(t, <-gone, context.Canceled)
	}
	b.background("hello")
	assert.Less(t, b.until(session.Held).HeldUntil.Sub(until), 3*time.Second)
}

// Fault: the API answers 529 or 429 until the CLI gives up
// Outcome: the turn ends as overloaded, not as a crash; the CLI's tries are shown; the next query waits
// On: simulated
func TestAnOverloadedAPIIsNoCrash(t *testing.T) {
	for _, status := range []int{429, 529} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			sp := spec(t, "a")
			sp.Governor = governed(t, session.Limits{})
			sp.Options.Env["CLAUDE_CODE_MAX_RETRIES"] = "2"
			sp.Options.Env["UNDERSTUDY_SIM_RETRY"] = "300ms"
			b := start(t, sp)
			_, rest := b.background(fmt.Sprintf("[[status:%d]]", status))
			require.Eventually(t, func() bool {
				retry := b.Info().Retry
				return retry != nil && retry.Attempt == 1 && retry.Most == 2 && retry.Status == status
			}, time.Minute, time.Millisecond)
			err := <-rest
			require.ErrorIs(t, err, session.ErrOverloaded)
			assert.Nil(t, b.Info().Retry)
			b.background("next")
			info := b.until(session.Held)
			assert.Greater(t, time.Until(info.HeldUntil), 20*time.Second)
			assert.Equal(t, 1, info.Generation)
			require.NoError(t, b.sup.TerminateChild(t.Context(), "a"), "a stop does not wait for the API")
		})
	}
}
