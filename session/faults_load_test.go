package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// Fault: 200 queries are put on one session at the same time
// Outcome: as many as max_queue allows wait, and each gets its own answer; the others are refused at once
// On: simulated
func TestTwoHundredQueriesOnOneSession(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.MaxQueue = 50
	b := start(t, sp)
	first, rest := b.background("[[sleep:300ms]]")
	<-first
	var all sync.WaitGroup
	var mu sync.Mutex
	ends := make(map[string]int)
	for i := range 200 {
		all.Go(func() {
			answer, err := b.ask(fmt.Sprint("query ", i))
			end := "answered"
			if errors.Is(err, session.ErrQueueFull) {
				end = "refused"
			} else if assert.NoError(t, err) {
				assert.Equal(t, fmt.Sprint("echo: query ", i), answer.Text, "its own answer")
			}
			mu.Lock()
			ends[end]++
			mu.Unlock()
		})
	}
	require.NoError(t, <-rest)
	all.Wait()
	assert.GreaterOrEqual(t, ends["answered"], 50)
	assert.Equal(t, 200, ends["answered"]+ends["refused"])
	b.mustAsk("and it goes on")
}

// Fault: the embedder's permission callback never returns, whatever becomes of its context
// Outcome: the tool is denied after permission_timeout, the turn ends, and the session can be stopped
// On: simulated
func TestACallbackThatNeverReturns(t *testing.T) {
	sp := spec(t, "a")
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	sp.Options.AllowedTools = nil
	sp.Options.PermissionTimeout = 200 * time.Millisecond
	sp.Options.CanUseTool = func(context.Context, *protocol.CanUseTool) (protocol.PermissionResult, error) {
		<-release
		return protocol.Deny{Message: "too late"}, nil
	}
	b := start(t, sp)
	answer := b.mustAsk(`[[ask:Bash {"command":"touch never"}]]`)
	assert.Len(t, answer.Result.PermissionDenials, 1)
	assert.True(t, answer.AllDenied())
	require.NoError(t, b.sup.TerminateChild(t.Context(), "a"))
}

// Fault: a caller begins to read its turn and never reads on
// Outcome: the turn comes to its end, control requests are answered meanwhile, and the next query is served
// On: simulated
func TestAConsumerThatNeverReads(t *testing.T) {
	b := start(t, spec(t, "a"))
	ctx, leave := context.WithCancel(t.Context())
	stuck, left := make(chan struct{}), make(chan struct{})
	go func() { // ends with ctx
		defer close(left)
		for range b.Query(ctx, "[[loop:20]]") {
			close(stuck)
			<-ctx.Done()
			return
		}
	}()
	<-stuck
	require.NoError(t, b.SetModel(t.Context(), "haiku"))
	assert.Equal(t, "echo: next", b.mustAsk("next").Text)
	assert.Equal(t, 2, b.Info().Turns)
	leave()
	<-left
}

// Fault: 10,000 queries are put on a session whose CLI reads nothing any more; the CLI is killed, and the session is stopped
// Outcome: as many as max_queue allows wait, each of the others is refused at once; those that wait run in their order in the next process;
// the stop does not wait for them, and each of them is told
// On: simulated
func TestTenThousandQueriesOnACLIThatReadsNothing(t *testing.T) {
	const most, sends = 20, 10_000
	sp := spec(t, "a")
	sp.Options.MaxQueue, sp.Options.Shutdown = most, supervisor.Within(2*time.Second)
	b := start(t, sp)
	hang := func() (end chan error) {
		_, end = b.background("[[stderr:hangs]] [[hang:hard]]")
		require.Eventually(t, func() bool { return len(b.Stderr()) > 0 && b.Info().State == session.Busy }, time.Minute, time.Millisecond)
		return end
	}
	fill := func() (ends []chan error) {
		for i := range most {
			_, end := b.background(fmt.Sprintf("number %02d", i))
			require.Eventually(t, func() bool { return b.Info().Queue == i+1 }, time.Minute, 100*time.Microsecond)
			ends = append(ends, end)
		}
		return ends
	}
	cut, ends := hang(), fill()
	for range sends {
		_, err := b.ask("one too many")
		require.ErrorIs(t, err, session.ErrQueueFull)
	}
	info := b.Info()
	assert.Equal(t, most, info.Queue)
	assert.LessOrEqual(t, info.Mailbox, most+1, "who is refused costs the actor nothing")
	b.kill()
	var crash *session.CrashError
	require.ErrorAs(t, <-cut, &crash)
	var want strings.Builder
	want.WriteString("history: [[stderr:hangs]] [[hang:hard]]")
	for i, end := range ends {
		require.NoError(t, <-end, "query %d", i)
		fmt.Fprintf(&want, " | number %02d", i)
	}
	assert.Equal(t, want.String(), b.mustAsk("[[history]]").Text, "in their order")

	cut, ends = hang(), fill()
	stopped := make(chan error, 1)
	go func() { stopped <- b.sup.TerminateChild(context.Background(), "a") }() // ends with the session
	for i, end := range append(ends, cut) {
		require.ErrorIs(t, <-end, session.ErrStopped, "query %d", i)
	}
	require.NoError(t, <-stopped)
	_, err := b.ask("after")
	assert.ErrorIs(t, err, session.ErrStopped)
}
