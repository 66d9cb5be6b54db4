package session_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
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

// Fault: the runtime that came after one that was killed is itself stopped in order, before it has run what that had left
// Outcome: the prompts, for which nobody waits, are left to the next one, which runs them in order; none is said to be lost. One
// that comes meanwhile is refused
// On: simulated
func TestWhatWasLeftIsLeftAgainByAnOrderlyEnd(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.Redeliver = true
	before, next := leftBehind(t, sp, "[[sleep:60]] x")
	shorten(t, next)
	moments := listen(&next)
	next.Options.Env = maps.Clone(sp.Options.Env)
	next.Options.Env["UNDERSTUDY_SIM_STARTUP"] = "silent"
	stuck, err := session.New(before.sys, next)
	require.NoError(t, err)
	began := make(chan error, 1)
	go func() {
		_, err := before.sup.StartChild(t.Context(), again(stuck))
		began <- err
	}()
	require.Eventually(t, func() bool { return stuck.Info().PID > 0 }, time.Minute, time.Millisecond)
	require.NoError(t, stuck.Drain(t.Context()))
	_, err = stuck.Ask(t.Context(), "too late")
	require.ErrorIs(t, err, session.ErrStopped)
	require.NoError(t, before.sup.TerminateChild(t.Context(), "again"))
	require.Error(t, <-began)
	stuck.Closing()
	require.NoError(t, stuck.Settle())
	assert.Equal(t, 3, session.StoredQueue(next.StateDir, "a"))
	assert.Zero(t, noticed(moments)[string(session.NoticeQueueLost)])

	last := next
	last.Runtime += "-last"
	last.Options.Env = sp.Options.Env
	b := start(t, last)
	require.Eventually(t, func() bool { return b.Info().Turns == 4 }, time.Minute, time.Millisecond, "%+v", b.Info())
	assert.True(t, strings.HasSuffix(b.mustAsk("[[history]]").Text, "| waiting 1 | waiting 2"))
}

// again is how a supervisor holds another session of the same name.
func again(s *session.Session) supervisor.ChildSpec {
	child := s.ChildSpec(supervisor.DefaultIntensity, supervisor.Backoff{})
	child.ID = "again"
	return child
}

// Fault: queries wait in a session that delivers again, and it is stopped on request, or parked; later the runtime is killed
// Outcome: whoever asked was told so: the next runtime has nothing of it to run
// On: simulated
func TestWhatWasRefusedDoesNotRunLater(t *testing.T) {
	t.Run("stopped", func(t *testing.T) {
		sp := spec(t, "a")
		sp.Options.Redeliver = true
		b := start(t, sp)
		first, cut := b.background("[[sleep:60]] x")
		<-first
		_, waiting := b.background("waiting")
		require.Eventually(t, func() bool { return session.StoredQueue(sp.StateDir, "a") == 2 }, time.Minute, time.Millisecond)
		require.NoError(t, b.sup.TerminateChild(t.Context(), "a"))
		require.Error(t, <-cut)
		require.ErrorIs(t, <-waiting, session.ErrStopped)
		require.NoError(t, b.Settle())
		assert.Zero(t, session.StoredQueue(sp.StateDir, "a"))
	})
	t.Run("parked", func(t *testing.T) {
		sp := spec(t, "a")
		sp.Options.Redeliver = true
		sp.Options.ResumeAttempts = 1
		b := start(t, sp)
		b.mustAsk("remember")
		_, cut := b.background("[[exit:3]]")
		_, again := b.background("[[exit:3]] again")
		_, waiting := b.background("waiting")
		require.Error(t, <-cut)
		<-again
		<-waiting
		b.await(supervisor.ChildParked)
		assert.Eventually(t, func() bool { return session.StoredQueue(sp.StateDir, "a") == 0 }, time.Minute, time.Millisecond)
		require.NoError(t, b.Settle())
	})
}

// cutOff has a session's actor killed without a word, as the end of its runtime would, and starts it from what is on disk.
func cutOff(t *testing.T, redeliver bool, running string) (before, after *bench, moments chan session.Moment) {
	t.Helper()
	sp := spec(t, "a")
	sp.Options.Redeliver = redeliver
	before, next := leftBehind(t, sp, running)
	moments = listen(&next)
	after = start(t, next)
	return before, after, moments
}

// leftBehind is what there is of a session, and the one that goes on with it, when its runtime is killed while a prompt runs and two wait.
func leftBehind(t *testing.T, sp session.Spec, running string) (before *bench, next session.Spec) {
	t.Helper()
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
	next = sp
	next.StateDir = copied
	next.Runtime += "-next"
	return before, next
}

// shorten has the prompt that ran take no minute: it is the same one.
func shorten(t *testing.T, next session.Spec) {
	t.Helper()
	path := filepath.Join(next.StateDir, "a.json")
	record, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(record), "[[sleep:60]] x")
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(record), "[[sleep:60]] x", "waiting 0", 1)), 0o600))
}

// Fault: the caller of a prompt that waits takes it back (redeliver), and the runtime is killed
// Outcome: the next one does not have it: it is off the disk before long, though nothing else happens
// On: simulated
func TestAPromptThatIsTakenBackIsNotDelivered(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.Redeliver = true
	b := start(t, sp)
	first, _ := b.background("[[sleep:60]] x")
	<-first
	ctx, takeBack := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { _, err := b.Ask(ctx, "waiting"); gone <- err }() // ends with its context
	require.Eventually(t, func() bool { return session.StoredQueue(sp.StateDir, "a") == 2 }, time.Minute, time.Millisecond)
	takeBack()
	require.ErrorIs(t, <-gone, context.Canceled)
	require.Eventually(t, func() bool { return session.StoredQueue(sp.StateDir, "a") == 1 }, 20*time.Second, time.Millisecond)
}
