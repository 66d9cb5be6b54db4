package understudy_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// inTurn has the session in a turn with a tool that runs, and what that has cost so far on disk.
func (r *rig) inTurn() (q running, open func()) {
	r.Helper()
	command, entered, open := r.gate("gate")
	q = r.background(bash(command))
	entered()
	r.until("what the turn has cost is on disk", func() bool {
		state, err := os.ReadFile(filepath.Join(r.options.DataDir, "state", "worker.json"))
		return err == nil && strings.Contains(string(state), `"running":{`)
	})
	return q, open
}

// Fault: the runtime is killed in a turn that has made model calls, and the next one once more, before it has written anything of it
// Outcome: what the turn had cost by its frames is counted once, against the session's budget and a shared one; it is in the audit log, which
// tells of the end of the process, and of the tool that ran
// On: simulated, real
func TestTheRuntimeIsKilledInATurn(t *testing.T) {
	t.Parallel()
	both(t, map[string]func(*rig){"killed twice": func(r *rig) {
		r.spec.Budgets = []string{"team"}
		r.options.Budgets = []session.BudgetSpec{{Name: "team", LimitUSD: 10}}
		r.boot()
		r.mustAsk("spend")
		spent := r.Info().CostUSD
		require.Positive(r, spent)
		_, open := r.inTurn()

		left := filepath.Join(r.TempDir(), "left") // what is on disk now is what a runtime that is killed now would leave
		r.until("all that was handed to the log is in it", func() bool { return r.rt.Audit().Status().Queue == 0 })
		require.NoError(r, os.CopyFS(left, os.DirFS(r.options.DataDir)))
		require.NoError(r, os.Chmod(filepath.Join(left, "audit"), 0o700))
		state, err := os.ReadFile(filepath.Join(left, "state", "worker.json"))
		require.NoError(r, err)
		open()
		shutdown(r.T, r.rt)

		r.options.DataDir, r.checked = left, 0
		r.options.Respawn = func(string, session.Options) (session.Options, error) { return r.spec, nil }
		once := 0.0
		for range 2 {
			require.NoError(r, os.WriteFile(filepath.Join(left, "state", "worker.json"), state, 0o600))
			r.up()
			r.Session, err = r.rt.Session("worker")
			require.NoError(r, err)
			spending := r.Spending()
			assert.Greater(r, spending.USD, spent)
			assert.InDelta(r, spending.EstimatedUSD, spending.USD-spent, 1e-9)
			if once != 0 {
				assert.InDelta(r, once, spending.USD, 1e-9, "counted once")
			}
			once = spending.USD
			assert.InDelta(r, once, r.rt.Budgets()[0].SpentUSD, 1e-9)
			assert.Equal(r, 1, r.Info().Turns, "one has come to its end")
			shutdown(r.T, r.rt)
		}
		r.up()
		r.Session, err = r.rt.Session("worker")
		require.NoError(r, err)
		assert.InDelta(r, once, r.Info().CostUSD, 1e-9)
		r.mustAsk("spend")
		assert.Greater(r, r.Info().CostUSD, once)

		crashed := r.records(audit.SessionCrashed)
		require.Len(r, crashed, 2, "it was said twice, since the second was not told that the first had")
		for _, c := range crashed {
			assert.Equal(r, true, c.Detail["recovered"])
			assert.Equal(r, audit.Killed, c.Outcome)
			assert.Equal(r, 2, c.Turn)
			assert.Equal(r, 1, c.Generation)
			assert.InDelta(r, once-spent, c.CostUSD, 1e-9)
			assert.InDelta(r, once, c.TotalCostUSD, 1e-9)
		}
		orphans := r.records(audit.ToolOrphan)
		require.Len(r, orphans, 1)
		assert.Equal(r, r.records(audit.ToolIntent)[0].ToolUseID, orphans[0].ToolUseID)
		accounted(r.T, r.rt, left)
	}})
}

// Fault: a session's actor is killed in a turn with a tool that runs, as a supervisor does when a stop takes too long
// Outcome: the query ends, what the turn had cost is counted, tool and process have their ends in the audit log, the conversation goes on
// On: simulated, real
func TestASessionsActorIsKilledInATurn(t *testing.T) {
	t.Parallel()
	both(t, map[string]func(*rig){"killed, and not started again": func(r *rig) {
		r.spec.Restart = supervisor.Temporary
		r.boot()
		q, _ := r.inTurn()
		worker, ok := r.rt.System().Lookup("root/sessions/worker")
		require.True(r, ok)
		worker.Kill()
		<-worker.Done()
		require.NoError(r, r.Settle(), "as at the end of a runtime")
		state, err := os.ReadFile(filepath.Join(r.options.DataDir, "state", "worker.json"))
		require.NoError(r, err)
		assert.Contains(r, string(state), `"estimated_usd":`)
		assert.NotContains(r, string(state), `"running":`)
		require.Error(r, q.wait(r.T))
		accounted(r.T, r.rt, r.options.DataDir)
	}, "killed": func(r *rig) {
		r.boot()
		r.mustAsk("spend")
		spent := r.Info().CostUSD
		q, _ := r.inTurn()
		worker, ok := r.rt.System().Lookup("root/sessions/worker")
		require.True(r, ok)
		worker.Kill()
		require.ErrorIs(r, q.wait(r.T), session.ErrStopped)
		r.until("the next generation is ready", func() bool { return r.Info().Generation == 2 && r.Info().State == session.Idle })
		after := r.Spending()
		assert.Greater(r, after.USD, spent)
		assert.InDelta(r, after.EstimatedUSD, after.USD-spent, 1e-9)
		assert.Contains(r, r.history(), "spend")

		crashed := r.records(audit.SessionCrashed)
		require.Len(r, crashed, 1)
		assert.InDelta(r, after.USD-spent, crashed[0].CostUSD, 1e-9)
		assert.Equal(r, 1, crashed[0].Generation)
		assert.Equal(r, 2, crashed[0].Turn)
		require.Len(r, r.records(audit.ToolOrphan), 1)
		accounted(r.T, r.rt, r.options.DataDir)

		r.options.Respawn = func(string, session.Options) (session.Options, error) { return r.spec, nil }
		rt, err := understudy.Start(r.within(), r.options)
		require.NoError(r, err)
		r.Cleanup(func() { shutdown(r.T, rt) })
		s, err := rt.Session("worker")
		require.NoError(r, err)
		assert.InDelta(r, after.USD-spent, s.Spending().EstimatedUSD, 1e-9)
	}})
}

// Fault: a session's actor is killed while it handles a message, and that takes its time
// Outcome: its query ends at once; its tools and its process have their ends in the log, and the next one comes up, when it has returned
// On: simulated
func TestASessionsActorIsKilledInTheMiddleOfAMessage(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	killed, returns := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(returns) })
	t.Cleanup(release)
	var once sync.Once
	r.options.OnMoment = func(m session.Moment) {
		if m.Kind == session.ToolStarted {
			once.Do(func() {
				close(killed)
				<-returns
			})
		}
	}
	r.boot()
	q := r.background(bash("sleep 600"))
	<-killed
	worker, ok := r.rt.System().Lookup("root/sessions/worker")
	require.True(t, ok)
	worker.Kill()
	require.ErrorIs(t, q.wait(t), session.ErrStopped)
	r.until("all that was handed to the log is in it", func() bool { return r.rt.Audit().Status().Queue == 0 })
	assert.Empty(t, r.records(audit.SessionCrashed))
	assert.Equal(t, 1, r.Info().Generation)
	release()
	r.until("the next generation is ready", func() bool { return r.Info().Generation == 2 && r.Info().State == session.Idle })
	assert.Len(t, r.records(audit.SessionCrashed), 1)
	accounted(t, r.rt, r.options.DataDir)
}
