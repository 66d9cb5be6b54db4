package session_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// noticed are the kinds of notices that a session has given.
func noticed(moments chan session.Moment) map[string]int {
	kinds := make(map[string]int)
	for {
		select {
		case m := <-moments:
			if m.Kind == session.Noticed {
				kinds[m.Outcome]++
			}
		default:
			return kinds
		}
	}
}

func listen(sp *session.Spec) chan session.Moment {
	moments := make(chan session.Moment, 10_000)
	sp.OnMoment = func(m session.Moment) { moments <- m }
	return moments
}

// Fault: two processes in a row crash on a conversation that they resume
// Outcome: the session is parked with the reason and the conversation's id, however many restarts are left; a restart on
// request tries once more, and no longer
// On: simulated
func TestAConversationOnWhichProcessesCrashIsParked(t *testing.T) {
	sp := spec(t, "a")
	moments := listen(&sp)
	b := start(t, sp)
	b.mustAsk("remember")
	for range 3 {
		_, err := b.ask("[[exit:3]]")
		require.Error(t, err)
	}
	parked := b.await(supervisor.ChildParked)
	var crash *session.CrashError
	require.ErrorAs(t, parked.Reason, &crash)
	assert.True(t, crash.Poisoned)
	assert.ErrorContains(t, crash, b.Info().SessionID)
	assert.Equal(t, 3, b.Info().Generation)
	_, err := b.ask("hello")
	assert.ErrorIs(t, err, session.ErrFailed)
	assert.Equal(t, 1, noticed(moments)[string(session.NoticeResumeFailed)])

	_, err = b.sup.RestartChild(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, "history: remember | [[exit:3]] | [[exit:3]] | [[exit:3]]", b.mustAsk("[[history]]").Text, "it was only the prompts")
}

// Fault: a session is killed from outside again and again, without a turn in between
// Outcome: that is not its conversation's doing: it is resumed each time
// On: simulated
func TestKillsFromOutsideDoNotSpeakAgainstAConversation(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.OnResumeFailure = session.ResumeFresh
	b := start(t, sp)
	b.mustAsk("remember")
	id := b.Info().SessionID
	for generation := range 3 {
		b.kill()
		require.Eventually(t, func() bool { i := b.Info(); return i.State == session.Idle && i.Generation == generation+2 }, time.Minute, time.Millisecond)
	}
	assert.Equal(t, "history: remember", b.mustAsk("[[history]]").Text)
	assert.Equal(t, id, b.Info().SessionID)
}

// Fault: the runtime ends with a prompt running and two waiting, in a session that delivers again
// Outcome: the next runtime runs all three, in order, under their uuids; nobody waits for them, and watchers see them
// On: simulated
func TestWhatWasQueuedRunsAgain(t *testing.T) {
	_, next, moments := cutOff(t, true, "[[sleep:400ms]] running")
	require.Eventually(t, func() bool { return next.Info().Turns == 4 }, time.Minute, time.Millisecond, "%+v", next.Info())
	history := next.mustAsk("[[history]]").Text
	assert.Equal(t, "history: first | [[sleep:400ms]] running | waiting 1 | waiting 2", history)
	assert.Zero(t, noticed(moments)[string(session.NoticeQueueLost)])
}

// Fault: the runtime ends with a prompt running, which the model had begun to answer, in a session that delivers again
// Outcome: the CLI does not run it again, and that is said; what waited runs
// On: simulated
func TestAPromptThatTheCLIDoesNotRunAgainIsSaidToBeLost(t *testing.T) {
	_, next, moments := cutOff(t, true, `[[tool:Bash {"command":"exec tail -f /dev/null"}]]`)
	require.Eventually(t, func() bool { return next.Info().Turns == 3 }, time.Minute, time.Millisecond, "%+v", next.Info())
	history := next.mustAsk("[[history]]").Text
	assert.Contains(t, history, "waiting 1 | waiting 2")
	assert.Equal(t, 1, noticed(moments)[string(session.NoticeQueueLost)])
}

// Fault: the runtime ends with a prompt running and two waiting, in a session that does not deliver again
// Outcome: none of them runs, and the next runtime says how many there were
// On: simulated
func TestWhatWasQueuedIsSaidToBeLost(t *testing.T) {
	_, next, moments := cutOff(t, false, "[[sleep:400ms]] running")
	assert.Equal(t, 1, noticed(moments)[string(session.NoticeQueueLost)])
	assert.NotContains(t, next.mustAsk("[[history]]").Text, "waiting")
}

// cutOff has a session's actor killed without a word, as the end of its runtime would, and starts it from what is on disk.
func cutOff(t *testing.T, redeliver bool, running string) (before, after *bench, moments chan session.Moment) {
	t.Helper()
	sp := spec(t, "a")
	sp.Options.Redeliver = redeliver
	before = start(t, sp)
	before.mustAsk("first")
	first, _ := before.background(running)
	<-first
	if strings.HasPrefix(running, "[[tool:") {
		require.Eventually(t, func() bool { return before.Info().Tool != "" }, time.Minute, time.Millisecond)
	}
	for _, prompt := range []string{"waiting 1", "waiting 2"} {
		queued := before.Info().Queue
		before.background(prompt)
		require.Eventually(t, func() bool { return before.Info().Queue == queued+1 }, time.Minute, time.Millisecond)
	}
	stored := sp.StateDir
	require.Eventually(t, func() bool { return session.StoredQueue(stored, "a") == 3 }, time.Minute, time.Millisecond)
	copied := t.TempDir() // what a killed runtime would have left: an end in order changes the record
	require.NoError(t, os.CopyFS(copied, os.DirFS(stored)))
	require.NoError(t, before.sup.TerminateChild(t.Context(), "a"))
	again := sp
	again.StateDir = copied
	again.Runtime += "-next"
	moments = listen(&again)
	after = start(t, again)
	return before, after, moments
}
