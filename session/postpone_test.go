package session_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
)

// logged gives a session an audit log that it needs, and that is not open yet.
func logged(t *testing.T, sp *session.Spec) (open func()) {
	sp.Audit = audit.New(actor.NewSystem(actor.Options{}), audit.Options{Dir: filepath.Join(t.TempDir(), "audit"), Logger: sp.Logger})
	var pid actor.PID
	t.Cleanup(func() { // after the session has ended
		pid.Stop(nil)
		<-pid.Done()
	})
	return func() {
		var err error
		pid, err = sp.Audit.Start(t.Context())
		require.NoError(t, err)
	}
}

// Fault: an earlier runtime has left prompts to be delivered once more, and the audit log that has to have them is not open; later it is
// Outcome: they wait for it, and the session says so; a new prompt is refused meanwhile; they are delivered, in their order, within seconds.
// An idle session's process is ended meanwhile, once, and started for them
// On: simulated
func TestWhatWasLeftWaitsForTheAuditLog(t *testing.T) {
	for name, idle := range map[string]time.Duration{"awake": 0, "hibernated": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			sp := spec(t, "a")
			sp.Options.Redeliver = true
			_, next := leftBehind(t, sp, "[[sleep:60]] x")
			shorten(t, next)
			next.Options.IdleTimeout = idle
			open := logged(t, &next)
			moments := listen(&next)
			b := start(t, next)
			rest := session.Idle
			if idle > 0 {
				rest = session.Hibernated
			}
			b.until(rest)
			info := b.Info()
			assert.Equal(t, "the audit log, for 3 prompts of an earlier runtime (redeliver)", info.Waits)
			assert.Equal(t, 3, info.Queue)
			if idle == 0 {
				_, err := b.ask("a new one")
				require.ErrorIs(t, err, session.ErrAuditUnavailable)
			}
			generation := b.Info().Generation
			open()
			require.Eventually(t, func() bool { return b.Info().Turns == 4 }, time.Minute, time.Millisecond, "%+v", b.Info())
			b.until(rest)
			assert.Empty(t, b.Info().Waits)
			assert.Zero(t, b.Info().Queue)
			if idle > 0 {
				generation++
			}
			assert.Equal(t, generation, b.Info().Generation)
			assert.True(t, strings.HasSuffix(b.mustAsk("[[history]]").Text, "waiting 1 | waiting 2"))
			told := noticed(moments)
			assert.Equal(t, 1, told[string(session.NoticePromptsWait)])
			assert.Zero(t, told[string(session.NoticeQueueLost)])
		})
	}
}

// Fault: the audit log fails at the very record of a prompt that an earlier runtime has left, and later it works again
// Outcome: the prompt waits as if the log had not been open: it was not given to a process, and the count on disk says so. A runtime that ends
// meanwhile leaves all of them to the next one, which delivers them in their order; none is said to be lost
// On: simulated
func TestWhatWasLeftMeetsAFailingAuditLog(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.Redeliver = true
	_, next := leftBehind(t, sp, "[[sleep:60]] x")
	shorten(t, next)
	open := logged(t, &next)
	open()
	dir := next.Audit.Status().Path
	moments := listen(&next)
	// Another session has the only turn that there may be, so that the first prompt is about to go out when the log has nothing to do.
	next.Governor = governed(t, session.Limits{MaxBusy: 1})
	first := spec(t, "first")
	first.Governor = next.Governor
	busy := start(t, first)
	began, ended := busy.background("[[sleep:60]] x")
	<-began
	b := start(t, next)
	require.Eventually(t, func() bool { return b.Info().Waits == "max_busy" && next.Audit.Status().Queue == 0 }, time.Minute, time.Millisecond, "%+v", b.Info())
	require.NoError(t, os.Rename(dir, dir+".away"))
	require.NoError(t, next.Audit.Health(), "nobody knows")
	require.NoError(t, busy.Interrupt(t.Context()))
	require.Error(t, <-ended)
	require.Eventually(t, func() bool { return strings.HasPrefix(b.Info().Waits, "the audit log, for 3 prompts") }, time.Minute, time.Millisecond, "%+v", b.Info())
	counted := []int{1, 0, 0}
	require.Eventually(t, func() bool { return slices.Equal(counted, session.StoredAttempts(next.StateDir, "a")) }, time.Minute, time.Millisecond)
	require.NoError(t, b.Drain(t.Context()))
	require.NoError(t, b.sup.TerminateChild(t.Context(), "a"))
	b.Closing()
	require.NoError(t, b.Settle())
	assert.Equal(t, counted, session.StoredAttempts(next.StateDir, "a"))
	told := noticed(moments)
	assert.Equal(t, 1, told[string(session.NoticePromptsWait)])
	assert.Zero(t, told[string(session.NoticeQueueLost)])

	require.NoError(t, os.Rename(dir+".away", dir))
	last := next
	last.Runtime += "-last"
	b = start(t, last)
	require.Eventually(t, func() bool { return b.Info().Turns == 4 }, time.Minute, time.Millisecond, "%+v", b.Info())
	assert.True(t, strings.HasSuffix(b.mustAsk("[[history]]").Text, "waiting 1 | waiting 2"))
	assert.Zero(t, noticed(moments)[string(session.NoticeQueueLost)])
}
