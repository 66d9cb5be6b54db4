package understudy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// edit changes a session's record on disk, of a session that is not there.
func (r *liveRig) edit(name string, change func(record map[string]any)) {
	r.Helper()
	path := filepath.Join(r.dir, "state", name+".json")
	data, err := os.ReadFile(path)
	require.NoError(r, err)
	var record map[string]any
	require.NoError(r, json.Unmarshal(data, &record))
	change(record)
	data, err = json.Marshal(record)
	require.NoError(r, err)
	require.NoError(r, os.WriteFile(path, data, 0o600))
}

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

	// What the turn had cost in which a runtime was killed is counted when the record is, and not lost with it.
	const cut = 0.25
	r.edit("goes", func(record map[string]any) {
		record["running"] = map[string]any{"claude-opus-5-5": map[string]any{"input_tokens": 1, "output_tokens": 1, "usd": cut}}
	})
	assert.InDelta(t, cost+cut, r.kept()["goes"].CostUSD, 1e-9)
	spent := r.rt.Budgets()[0].SpentUSD
	require.NoError(t, endpoint.Remove(t.Context(), "goes", false))
	assert.InDelta(t, spent+cut, r.rt.Budgets()[0].SpentUSD, 1e-9)
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
	assert.InDelta(t, spent+cut+cost, r.rt.Budgets()[0].SpentUSD, 1e-9)

	recovered := 0
	for record, err := range audit.Read(filepath.Join(r.dir, "audit")) {
		require.NoError(t, err)
		if record.Kind == audit.SessionCrashed && record.Detail["recovered"] == true {
			recovered++
			assert.InDelta(t, cut, record.CostUSD, 1e-9)
		}
	}
	assert.Equal(t, 1, recovered)
}

// TestKeptThatIsNotRemovedUnasked: prompts that would be delivered once more are somebody's work, and a damaged record is evidence.
func TestKeptThatIsNotRemovedUnasked(t *testing.T) {
	t.Parallel()
	r := newLiveRig(t, func(r *liveRig) { r.spec.Sessions = r.sessions("queued", "damaged") })
	endpoint := r.rt.Backend(nil).(debug.RemoveBackend)
	for _, s := range r.rt.Sessions() {
		_, err := s.Ask(t.Context(), "hello")
		require.NoError(t, err)
	}
	r.spec.Sessions = nil
	r.reload()
	r.edit("queued", func(record map[string]any) {
		record["queue"] = []any{map[string]any{"uuid": "1", "line": `{"type":"user"}`}, map[string]any{"uuid": "2"}}
	})
	assert.Equal(t, 1, r.kept()["queued"].Queue)
	err := endpoint.Remove(t.Context(), "queued", false)
	assert.Equal(t, debug.AtWork, debug.CodeOf(err))
	assert.ErrorContains(t, err, "prompts wait: 1")
	require.ErrorIs(t, r.rt.RemoveIdle(t.Context(), "queued"), session.ErrAtWork)
	assert.Contains(t, r.kept(), "queued")
	require.NoError(t, endpoint.Remove(t.Context(), "queued", true))

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
