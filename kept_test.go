package understudy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// kept are the sessions that are not there, by name.
func (r *liveRig) kept() map[string]debug.Node {
	r.Helper()
	nodes, err := r.rt.Backend(nil).(debug.KeptBackend).Kept(r.Context())
	require.NoError(r, err)
	all := make(map[string]debug.Node)
	for _, n := range nodes {
		assert.Equal(r, debug.StateKept, n.State)
		all[n.Name] = n
	}
	return all
}

// TestWhatAReloadHasTakenAwayIsRemoved: it is seen, and removed for good; what it has spent of a shared budget stays spent, once.
func TestWhatAReloadHasTakenAwayIsRemoved(t *testing.T) {
	t.Parallel()
	r := newLiveRig(t, func(r *liveRig) {
		r.spec.Budgets = []session.BudgetSpec{{Name: "team", LimitUSD: 10}}
		r.like.Budgets = []string{"team"}
		r.spec.Sessions = r.sessions("stays", "goes")
		home := true
		own := r.like
		own.IsolateHome = &home
		r.spec.Sessions = append(r.spec.Sessions, understudy.SessionSpec{Name: "own", Options: own})
	})
	endpoint := r.rt.Backend(nil).(debug.RemoveBackend)
	ask := func(name string) *session.Session {
		t.Helper()
		s, err := r.rt.Session(name)
		require.NoError(t, err)
		_, err = s.Ask(t.Context(), "remember plum")
		require.NoError(t, err)
		return s
	}
	ask("stays")
	went := ask("goes")
	id, cost := went.Info().SessionID, went.Spending().USD
	require.Positive(t, cost)
	ask("own")
	assert.Empty(t, r.kept())

	all := r.spec.Sessions
	r.spec.Sessions = all[:1]
	r.reload()
	kept := r.kept()
	require.Len(t, kept, 2)
	node := kept["goes"]
	assert.Equal(t, id, node.SessionID)
	assert.InDelta(t, cost, node.CostUSD, 1e-9)
	assert.Equal(t, []int{1, 1, 0}, []int{node.Generation, node.Turns, node.Queue})
	assert.False(t, node.Since.IsZero())
	assert.Equal(t, []bool{false, false, true}, []bool{node.Configured, node.IsolatedHome, kept["own"].IsolatedHome})

	spent := r.rt.Budgets()[0].SpentUSD
	require.NoError(t, endpoint.Remove(t.Context(), "goes", false))
	assert.InDelta(t, spent, r.rt.Budgets()[0].SpentUSD, 1e-9)
	assert.NoFileExists(t, filepath.Join(r.dir, "state", "goes.json"))
	assert.Equal(t, debug.NoSuchSession, debug.CodeOf(endpoint.Remove(t.Context(), "goes", true)))
	assert.NotContains(t, r.kept(), "goes")

	require.DirExists(t, filepath.Join(r.dir, "home", "own"))
	require.NoError(t, r.rt.RemoveIdle(t.Context(), "own"))
	assert.NoDirExists(t, filepath.Join(r.dir, "home", "own"))
	assert.Empty(t, r.kept())

	r.spec.Sessions = all[:2]
	r.reload()
	again := ask("goes")
	assert.NotEqual(t, id, again.Info().SessionID)
	assert.Equal(t, 1, again.Info().Generation)
	assert.InDelta(t, cost, again.Spending().USD, 1e-9)
	assert.InDelta(t, spent+cost, r.rt.Budgets()[0].SpentUSD, 1e-9)
}

// Fault: a runtime is killed in a turn, with a prompt behind it, and the session is not in the next one's configuration; what it has left is
// removed while first the data directory and then the state alone cannot be written, twice each, and then once more
// Outcome: without --force it is refused for the prompts; with it the error says what cannot be written, and all is there as before, the
// conversation too; then it is gone. What the cut turn has cost is counted once: in the shared budget, on disk before the record goes, and in the audit log
// On: simulated
func TestFaultKeptThatCannotBeRemoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	home := true
	r.spec.IsolateHome, r.spec.Redeliver, r.spec.Budgets = &home, true, []string{"team"}
	r.options.Budgets = []session.BudgetSpec{{Name: "team", LimitUSD: 10}}
	book := func() string { return filepath.Join(r.options.DataDir, "budgets", "team.json") }
	if _, is := r.taskOfVictim(); is {
		delete(r.spec.Env, "HOME")
		delete(r.spec.Env, "CLAUDE_CONFIG_DIR")
		r.configured(r.spec)
		r.inTurn()
		r.background("behind it")
		r.until("it is on disk", func() bool { return len(r.onDisk().Queue) == 2 && exists(book()) })
		killYourself()
	}
	r.kills("")
	var err error
	r.rt, err = understudy.Start(r.within(), r.options)
	require.NoError(t, err)
	defer shutdown(t, r.rt)
	before, err := r.rt.Kept()
	require.NoError(t, err)
	require.Len(t, before, 1)
	assert.Equal(t, 2, before[0].Queue)
	cost := before[0].CostUSD
	require.Positive(t, cost)
	spent := func() float64 { return r.rt.Budgets()[0].SpentUSD }
	onDisk := func() float64 {
		data, err := os.ReadFile(book())
		require.NoError(t, err)
		var kept struct {
			Gone     float64 `json:"gone_usd"`
			Sessions map[string]struct {
				Last float64 `json:"last_usd"`
			} `json:"sessions"`
		}
		require.NoError(t, json.Unmarshal(data, &kept))
		return kept.Gone + kept.Sessions["worker"].Last
	}

	err = r.rt.Backend(nil).(debug.RemoveBackend).Remove(t.Context(), "worker", false)
	assert.Equal(t, debug.AtWork, debug.CodeOf(err))
	require.ErrorContains(t, err, "prompts wait: 2")
	require.ErrorIs(t, r.rt.RemoveIdle(t.Context(), "worker"), session.ErrAtWork)
	assert.Zero(t, spent())
	for _, c := range []struct{ dir, what string }{{"", "save budget team"}, {"state", "remove state of session worker"}} {
		writable := readOnly(t, filepath.Join(r.options.DataDir, c.dir))
		for range 2 {
			err := r.rt.Remove(t.Context(), "worker")
			require.ErrorIs(t, err, syscall.EROFS)
			require.ErrorContains(t, err, c.what)
		}
		writable()
		now, err := r.rt.Kept()
		require.NoError(t, err)
		assert.Equal(t, before, now)
		assert.DirExists(t, filepath.Join(r.options.DataDir, "home", "worker"))
		assert.InDelta(t, cost, spent(), 1e-9)
	}
	assert.InDelta(t, cost, onDisk(), 1e-9)
	require.NoError(t, r.rt.Remove(t.Context(), "worker"))
	assert.InDelta(t, cost, spent(), 1e-9)
	left, err := r.rt.Kept()
	require.NoError(t, err)
	assert.Empty(t, left)
	assert.NoDirExists(t, filepath.Join(r.options.DataDir, "home", "worker"))
	require.ErrorIs(t, r.rt.Remove(t.Context(), "worker"), understudy.ErrNoSession)

	crashed := r.records(audit.SessionCrashed)
	require.Len(t, crashed, 1)
	assert.InDelta(t, cost, crashed[0].CostUSD, 1e-9)
	lost := slices.DeleteFunc(notices(t, r.options.DataDir), func(kind string) bool { return kind != string(session.NoticeQueueLost) })
	assert.Len(t, lost, 1)
}

// TestKeptThatIsDamaged: it is evidence, and no name leads out of the directory.
func TestKeptThatIsDamaged(t *testing.T) {
	t.Parallel()
	r := newLiveRig(t, func(r *liveRig) { r.spec.Sessions = r.sessions("damaged") })
	endpoint := r.rt.Backend(nil).(debug.RemoveBackend)
	r.ask("damaged")
	r.spec.Sessions = nil
	r.reload()
	path := filepath.Join(r.dir, "state", "damaged.json")
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	assert.Contains(t, r.kept()["damaged"].Reason, "cannot be read")
	assert.ErrorContains(t, endpoint.Remove(t.Context(), "damaged", false), "set aside")
	assert.FileExists(t, path+".damaged")
	assert.Equal(t, debug.NoSuchSession, debug.CodeOf(endpoint.Remove(t.Context(), "damaged", true)))
	assert.Empty(t, r.kept())
	assert.Equal(t, debug.NoSuchSession, debug.CodeOf(endpoint.Remove(t.Context(), "../lock", true)))
}

// Fault: a session that a reload has taken away is removed while another reload, or somebody else, brings it back
// Outcome: it is removed before that, and is a new one; or it is back with all that it had, and its removal is refused
// On: simulated
func TestFaultRemovedWhileItComesBack(t *testing.T) {
	t.Parallel()
	r := newLiveRig(t, func(*liveRig) {})
	with, without := r.spec, r.spec
	with.Sessions = r.sessions("a")
	endpoint := r.rt.Backend(nil).(debug.RemoveBackend)
	removed, refused := 0, 0
	for range 10 {
		_, err := r.rt.Reload(t.Context(), with)
		require.NoError(t, err)
		s, err := r.rt.Session("a")
		require.NoError(t, err)
		require.Eventually(t, func() bool { return s.Info().State == session.Idle }, patience, patience/10000)
		before := s.Info()
		_, err = r.rt.Reload(t.Context(), without)
		require.NoError(t, err)

		var both sync.WaitGroup
		var reloaded, gone error
		both.Go(func() { _, reloaded = r.rt.Reload(t.Context(), with) })
		both.Go(func() { gone = endpoint.Remove(t.Context(), "a", false) })
		both.Wait()
		require.NoError(t, reloaded)
		s, err = r.rt.Session("a")
		require.NoError(t, err)
		require.Eventually(t, func() bool { return s.Info().State == session.Idle }, patience, patience/10000)
		now := s.Info()
		if gone == nil {
			removed++
			assert.NotEqual(t, before.SessionID, now.SessionID)
			assert.Equal(t, 1, now.Generation)
		} else {
			refused++
			assert.Equal(t, debug.Conflict, debug.CodeOf(gone), "%v", gone)
			assert.Equal(t, before.SessionID, now.SessionID)
			assert.Equal(t, before.Generation+1, now.Generation)
		}
		assert.FileExists(t, filepath.Join(r.dir, "state", "a.json"))
	}
	t.Logf("removed %d times, refused %d", removed, refused)

	// Of several who remove it one does.
	_, err := r.rt.Reload(t.Context(), without)
	require.NoError(t, err)
	var all sync.WaitGroup
	done := make(chan error, 8)
	for range cap(done) {
		all.Go(func() { done <- endpoint.Remove(t.Context(), "a", false) })
	}
	all.Wait()
	close(done)
	removed = 0
	for err := range done {
		if err == nil {
			removed++
		} else {
			assert.Equal(t, debug.NoSuchSession, debug.CodeOf(err), "%v", err)
		}
	}
	assert.Equal(t, 1, removed)
	assert.Empty(t, r.kept())

	_, err = r.rt.Reload(t.Context(), with)
	require.NoError(t, err)
	s, err := r.rt.Session("a")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.Info().State == session.Idle }, patience, patience/10000) // one that was never started has left nothing
	_, err = r.rt.Reload(t.Context(), without)
	require.NoError(t, err)
	require.Contains(t, r.kept(), "a")
	shutdown(t, r.rt)
	require.ErrorIs(t, r.rt.Remove(t.Context(), "a"), session.ErrStopped, "the directory may be another runtime's by now")
	assert.FileExists(t, filepath.Join(r.dir, "state", "a.json"))
}
