package understudy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// fleetRig is a runtime whose sessions are those of its options.
func fleetRig(t *testing.T, names ...string) *rig {
	r := newRig(t, false)
	for _, name := range names {
		r.options.Sessions = append(r.options.Sessions, understudy.SessionSpec{Name: name, Options: r.spec})
	}
	r.boot() // with a session "worker" that was spawned
	for _, name := range names {
		r.until(name+" is idle", func() bool { return r.named(name).Info().State == session.Idle })
	}
	return r
}

func (r *rig) named(name string) *session.Session {
	r.Helper()
	s, err := r.rt.Session(name)
	require.NoError(r, err)
	return s
}

func altered(o session.Options, change func(*session.Options)) session.Options {
	change(&o)
	return o
}

// TestReloadLeavesAloneWhatIsTheSame changes one session in the middle of a turn, removes one, adds one.
func TestReloadLeavesAloneWhatIsTheSame(t *testing.T) {
	t.Parallel()
	r := fleetRig(t, "same", "other", "gone")
	same, other, gone := r.named("same"), r.named("other"), r.named("gone")
	pid, conversation := same.Info().PID, other.Info().SessionID
	_, err := other.Ask(r.within(), "the word is pear")
	require.NoError(t, err)

	command, entered, open := r.gate("turn")
	answers := make(chan error, 1)
	go func() { // ends with the turn
		_, err := other.Ask(r.within(), `[[tool:Bash {"command":"`+command+`"}]]`)
		answers <- err
	}()
	entered()

	spec := understudy.ReloadSpec{
		Sessions: []understudy.SessionSpec{
			{Name: "same", Options: r.spec}, {Name: "new", Options: r.spec},
			{Name: "other", Options: altered(r.spec, func(o *session.Options) { o.Model, o.APIKey = "opus", "sk-ant-another-key" })},
		},
		Drain: patience, Principal: "somebody", Configuration: understudy.Configuration{Path: "/etc/u.yaml", SHA256: "00"}, DryRun: true,
	}
	want := []understudy.Change{
		{Session: "new", Action: debug.Added},
		{Session: "other", Action: debug.Changed, Fields: []debug.FieldChange{{Field: "api_key"}, {Field: "model", After: "opus"}}},
		{Session: "gone", Action: debug.Removed},
	}
	changes, err := r.rt.Reload(r.within(), spec)
	require.NoError(t, err)
	assert.Equal(t, want, changes)
	assert.Equal(t, session.Busy, other.Info().State, "that was a dry run")

	spec.DryRun = false
	type end struct {
		changes []understudy.Change
		err     error
	}
	done := make(chan end, 1)
	go func() { // ends with the reload
		changes, err := r.rt.Reload(r.within(), spec)
		done <- end{changes, err}
	}()
	r.until("it takes no more prompts", func() bool {
		_, err := other.Ask(r.within(), "too late")
		return errors.Is(err, session.ErrStopped)
	})
	open()
	require.NoError(t, <-answers, "the turn that ran came to its end")
	got := <-done
	require.NoError(t, got.err)
	assert.Equal(t, want, got.changes)

	assert.Equal(t, pid, same.Info().PID)
	assert.Same(t, same, r.named("same"))
	_, err = r.rt.Session("gone")
	assert.ErrorIs(t, err, understudy.ErrNoSession)
	_, err = gone.Ask(r.within(), "Hello")
	assert.ErrorIs(t, err, session.ErrStopped)
	answer, err := r.named("other").Ask(r.within(), "[[history]]")
	require.NoError(t, err)
	assert.Contains(t, answer.Text, "the word is pear")
	info := r.named("other").Info()
	assert.Equal(t, conversation, info.SessionID)
	assert.Equal(t, 2, info.Generation)
	_, err = r.named("new").Ask(r.within(), "Hello")
	require.NoError(t, err)

	// What is there is the measure of the next one; who comes back goes on where he was.
	changes, err = r.rt.Reload(r.within(), spec)
	require.NoError(t, err)
	assert.Empty(t, changes)
	spec.Sessions = append(spec.Sessions, understudy.SessionSpec{Name: "gone", Options: r.spec})
	changes, err = r.rt.Reload(r.within(), spec)
	require.NoError(t, err)
	assert.Equal(t, []understudy.Change{{Session: "gone", Action: debug.Added}}, changes)
	r.until("it is back", func() bool { return r.named("gone").Info().State == session.Idle })
	assert.Equal(t, 2, r.named("gone").Info().Generation)

	r.until("it is on record", func() bool { return len(r.records(audit.ConfigLoaded)) == 3 })
	record := r.records(audit.ConfigLoaded)[0]
	assert.Equal(t, "somebody", record.Principal)
	assert.Equal(t, "/etc/u.yaml", record.Detail["path"])
	assert.Equal(t, []any{"other"}, record.Detail["changed"])
}

// TestReloadIsRefusedAsAWhole has one thing wrong beside many that are right.
func TestReloadIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	r := fleetRig(t, "a")
	before := r.named("a").Info().PID
	good := understudy.SessionSpec{Name: "new", Options: r.spec}
	for name, bad := range map[string]understudy.SessionSpec{
		"options": {Name: "b", Options: altered(r.spec, func(o *session.Options) { o.MaxTurns = -1 })},
		"name":    {Name: "../b", Options: r.spec},
		"twice":   good,
		"budget":  {Name: "b", Options: altered(r.spec, func(o *session.Options) { o.Budgets = []string{"team"} })},
	} {
		changes, err := r.rt.Reload(r.within(), understudy.ReloadSpec{Sessions: []understudy.SessionSpec{good, bad}, Drain: time.Second})
		require.ErrorIs(t, err, understudy.ErrReload, name)
		assert.Empty(t, changes)
		_, err = r.rt.Session("new")
		assert.ErrorIs(t, err, understudy.ErrNoSession, name)
		assert.Equal(t, before, r.named("a").Info().PID)
	}
	assert.Empty(t, r.records(audit.ConfigLoaded))
}

// TestReloadThatIsCutHalfWay has the runtime drained while a session ends its turn for a reload: what did not happen is said,
// and the session is stopped.
func TestReloadThatIsCutHalfWay(t *testing.T) {
	t.Parallel()
	r := fleetRig(t, "a", "b")
	a := r.named("a")
	command, entered, open := r.gate("turn")
	answers := make(chan error, 1)
	go func() { // ends with the turn
		_, err := a.Ask(r.within(), `[[tool:Bash {"command":"`+command+`"}]]`)
		answers <- err
	}()
	entered()
	done := make(chan []understudy.Change, 1)
	go func() { // ends with the reload
		changes, err := r.rt.Reload(r.within(), understudy.ReloadSpec{
			Drain: patience,
			Sessions: []understudy.SessionSpec{
				{Name: "a", Options: altered(r.spec, func(o *session.Options) { o.Model = "opus" })}, {Name: "b", Options: r.spec},
			},
		})
		assert.NoError(t, err)
		done <- changes
	}()
	r.until("it takes no more prompts", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond) // one that is not too late is taken back
		defer cancel()
		_, err := a.Ask(ctx, "too late")
		return errors.Is(err, session.ErrStopped)
	})
	drained := make(chan error, 1)
	go func() { drained <- r.rt.Drain(r.within()) }() // ends with the turn
	r.until("the runtime is being drained", func() bool {
		_, err := r.rt.Spawn(r.within(), "late", r.spec)
		return errors.Is(err, session.ErrStopped)
	})
	open()
	require.NoError(t, <-answers)
	changes := <-done
	require.Len(t, changes, 1)
	assert.Contains(t, changes[0].Error, "drained")
	require.NoError(t, <-drained)
	_, err := r.rt.Session("a")
	assert.ErrorIs(t, err, understudy.ErrNoSession)
	assert.Equal(t, 1, r.named("b").Info().Generation)
}
