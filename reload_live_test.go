package understudy_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// liveRig is a runtime on the simulated CLI that is reloaded.
type liveRig struct {
	*testing.T
	rt     *understudy.Runtime
	dir    string // of its data
	cli    session.CLI
	policy understudy.SupervisorOptions
	like   session.Options
	spec   understudy.ReloadSpec
}

func newLiveRig(t *testing.T, change func(r *liveRig)) *liveRig {
	path, args, env := sessiontest.CLI(t)
	r := &liveRig{T: t, dir: t.TempDir(), like: session.Options{CWD: t.TempDir(), Env: env}, spec: understudy.ReloadSpec{Drain: patience}}
	change(r)
	r.cli = session.CLI{Path: path, Args: args}
	r.start()
	return r
}

// start starts it, once more if it was shut down.
func (r *liveRig) start() {
	r.Helper()
	rt, err := understudy.Start(r.Context(), understudy.Options{
		DataDir: r.dir, CLI: r.cli, Supervisor: r.policy,
		Sessions: r.spec.Sessions, Groups: r.spec.Groups, Pools: r.spec.Pools, Budgets: r.spec.Budgets, Limits: r.spec.Limits,
	})
	require.NoError(r, err)
	r.rt = rt
	r.Cleanup(func() { shutdown(r.T, rt) })
}

func (r *liveRig) sessions(names ...string) (all []understudy.SessionSpec) {
	for _, name := range names {
		all = append(all, understudy.SessionSpec{Name: name, Options: r.like})
	}
	return all
}

func (r *liveRig) reload() []understudy.Change {
	r.Helper()
	changes, err := r.rt.Reload(r.Context(), r.spec)
	require.NoError(r, err)
	again, err := r.rt.Reload(r.Context(), r.spec)
	require.NoError(r, err)
	assert.Empty(r, again, "it is what it was to be")
	return changes
}

// ask has the session say something, and gives the generation that did.
func (r *liveRig) ask(name string) int {
	r.Helper()
	s, err := r.rt.Session(name)
	require.NoError(r, err)
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	_, err = s.Ask(ctx, "hello")
	require.NoError(r, err)
	return s.Info().Generation
}

// tree is what is below the sessions, by paths.
func (r *liveRig) tree() (paths []string) {
	tree, err := r.rt.Tree(r.Context())
	require.NoError(r, err)
	var walk func(n debug.Node, path string)
	walk = func(n debug.Node, path string) {
		for _, child := range n.Children {
			paths = append(paths, path+child.Name)
			walk(child, path+child.Name+"/")
		}
	}
	for _, n := range tree.Children {
		if n.Name == "sessions" {
			walk(n, "")
		}
	}
	return paths
}

// TestReloadOfGroups has sessions come, go and move in groups that go on, and groups come, go and begin anew.
func TestReloadOfGroups(t *testing.T) {
	t.Parallel()
	r := newLiveRig(t, func(r *liveRig) {
		r.spec.Sessions = r.sessions("alone")
		r.spec.Groups = []understudy.Group{
			{Name: "team", Sessions: r.sessions("same", "gone", "moved"), Groups: []understudy.Group{{Name: "inner", Sessions: r.sessions("deep")}}},
			{Name: "row", Strategy: supervisor.RestForOne, Sessions: r.sessions("first", "second", "third")},
			{Name: "old", Sessions: r.sessions("last")},
		}
	})
	for _, name := range []string{"alone", "same", "gone", "moved", "deep", "first", "second", "third", "last"} {
		require.Equal(t, 1, r.ask(name), name)
	}
	r.spec.Sessions = r.sessions("alone", "moved")
	r.spec.Groups = []understudy.Group{
		{Name: "team", Sessions: append(r.sessions("same", "new"), understudy.SessionSpec{Name: "gone", Options: altered(r.like, func(o *session.Options) { o.Model = "opus" })}),
			Groups: []understudy.Group{{Name: "inner", Intensity: &supervisor.Intensity{MaxRestarts: 9, Within: time.Minute}, Sessions: r.sessions("deep")}}},
		{Name: "row", Strategy: supervisor.RestForOne, Sessions: r.sessions("first", "third")},
		{Name: "fresh", Strategy: supervisor.OneForAll, Groups: []understudy.Group{{Name: "cell", Sessions: r.sessions("cellmate")}}},
	}
	dry := r.spec
	dry.DryRun = true
	changes, err := r.rt.Reload(t.Context(), dry)
	require.NoError(t, err)
	want := []understudy.Change{
		{Session: "moved", Action: debug.Changed, Fields: []debug.FieldChange{{Field: "group", Before: "team", After: ""}}},
		{Session: "new", Action: debug.Added},
		{Session: "gone", Action: debug.Changed, Fields: []debug.FieldChange{{Field: "model", After: "opus"}}},
		{Session: "deep", Action: debug.Changed, Fields: []debug.FieldChange{{Field: "group", Before: "team/inner", After: "team/inner, started anew"}}},
		{Session: "cellmate", Action: debug.Added},
		{Session: "last", Action: debug.Removed},
		{Session: "second", Action: debug.Removed},
		{Setting: "supervisors.team.supervisors.inner", Action: debug.Changed, Fields: []debug.FieldChange{{Field: "max_restarts", Before: 3, After: 9}, {Field: "max_seconds", Before: 5.0, After: 60.0}}},
		{Setting: "supervisors.fresh", Action: debug.Added},
		{Setting: "supervisors.fresh.supervisors.cell", Action: debug.Added},
		{Setting: "supervisors.old", Action: debug.Removed},
	}
	assert.Equal(t, want, changes)
	assert.Equal(t, want, r.reload())
	for name, generation := range map[string]int{
		"alone": 1, "same": 1, "first": 1, "third": 1, "moved": 2, "new": 1, "gone": 2, "deep": 2, "cellmate": 1,
	} {
		assert.Equal(t, generation, r.ask(name), name)
	}
	assert.ElementsMatch(t, []string{
		"alone", "moved", "team", "team/same", "team/inner", "team/inner/deep", "team/new", "team/gone", "row", "row/first", "row/third", "fresh", "fresh/cell", "fresh/cell/cellmate",
	}, r.tree())

	// In a group that goes in order another one in between is another group.
	r.spec.Groups[1].Sessions = r.sessions("first", "second", "third")
	changes = r.reload()
	assert.Contains(t, changes, understudy.Change{Setting: "supervisors.row", Action: debug.Changed, Fields: []debug.FieldChange{{Field: "order"}}})
	assert.Equal(t, 2, r.ask("first"))
	assert.Equal(t, 2, r.ask("third"))

	// A group that is started again comes up with what it has now, and not with what it once had.
	members := func() (found int) {
		for _, name := range r.tree() {
			if name == "team/same" || name == "team/new" || name == "team/gone" {
				found++
			}
		}
		return found
	}
	require.Equal(t, 3, members())
	r.spec.Groups[0].Sessions = r.spec.Groups[0].Sessions[:2]
	r.reload()
	for range 5 { // more often than it may
		s, err := r.rt.Session("new")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err = s.Ask(ctx, "[[crash]]")
		cancel()
		if errors.Is(err, session.ErrFailed) || errors.Is(err, session.ErrStopped) {
			break
		}
	}
	assert.Eventually(t, func() bool {
		s, err := r.rt.Session("new")
		return err == nil && s.Info().State == session.Idle && members() == 2
	}, patience, 10*time.Millisecond)
	_, err = r.rt.Session("gone")
	assert.ErrorIs(t, err, understudy.ErrNoSession)
}

// TestReloadOfPools widens a pool whose queue is full, and gives it other options while all its sessions are in a turn: no
// query is lost.
func TestReloadOfPools(t *testing.T) {
	t.Parallel()
	r := newLiveRig(t, func(r *liveRig) {
		r.spec.Pools = []understudy.PoolSpec{{Name: "workers", Options: r.like, MaxQueue: 8}}
	})
	pool, err := r.rt.Pool("workers")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answers := make(chan error, 4)
	for range 4 {
		go func() { // ends with its turn
			_, err := session.Collect(pool.Query(ctx, "[[sleep:1s]] x"))
			answers <- err
		}()
	}
	require.Eventually(t, func() bool { s, err := r.rt.Session("workers-1"); return err == nil && s.Info().State == session.Busy }, patience, time.Millisecond)
	r.spec.Pools = []understudy.PoolSpec{
		{Name: "workers", Options: altered(r.like, func(o *session.Options) { o.Model = "opus" }), Min: 2, Max: 3, MaxQueue: 8}, {Name: "others", Options: r.like},
	}
	assert.Equal(t, []understudy.Change{
		{Setting: "pools.workers", Action: debug.Changed, Fields: []debug.FieldChange{{Field: "min", Before: 1, After: 2}, {Field: "max", Before: 1, After: 3}, {Field: "model", After: "opus"}}},
		{Setting: "pools.others", Action: debug.Added},
	}, r.reload())
	for range 4 {
		assert.NoError(t, <-answers)
	}
	assert.Eventually(t, func() bool {
		all := r.rt.Sessions()
		opus := 0
		for _, s := range all {
			if s.Options().Model == "opus" && s.Info().State == session.Idle {
				opus++
			}
		}
		return opus >= 2 && opus <= 3 && len(all) == opus+1
	}, patience, 10*time.Millisecond, "those of before are gone when they were free")
	_, err = session.Collect(pool.Query(ctx, "hello"))
	require.NoError(t, err)

	r.spec.Pools = []understudy.PoolSpec{{Name: "workers", Options: r.spec.Pools[0].Options, Max: 1}}
	r.reload()
	_, err = r.rt.Pool("others")
	assert.ErrorIs(t, err, understudy.ErrNoSession)
	assert.Eventually(t, func() bool { return len(r.rt.Sessions()) == 1 }, patience, 10*time.Millisecond)
	_, err = session.Collect(pool.Query(ctx, "hello"))
	require.NoError(t, err)
	r.spec.Pools = nil
	assert.Equal(t, []understudy.Change{{Setting: "pools.workers", Action: debug.Removed}}, r.reload())
	_, err = session.Collect(pool.Query(ctx, "hello"))
	assert.ErrorIs(t, err, session.ErrStopped)
	assert.Empty(t, r.rt.Sessions())
	assert.Empty(t, r.tree())
}

// poolNode is what the tree says of a pool, nil if there is none.
func poolNode(n debug.Node, name string) *debug.Pool {
	if n.Name == name {
		return n.Pool
	}
	for _, child := range n.Children {
		if found := poolNode(child, name); found != nil {
			return found
		}
	}
	return nil
}

// TestWhoWaitsInAPoolIsNotTurnedAway makes the queue shorter than it is.
func TestWhoWaitsInAPoolIsNotTurnedAway(t *testing.T) {
	t.Parallel()
	r := newLiveRig(t, func(r *liveRig) {
		r.spec.Pools = []understudy.PoolSpec{{Name: "workers", Options: r.like, MaxQueue: 2}}
	})
	pool, err := r.rt.Pool("workers")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	hold, release := context.WithCancel(ctx)
	held := make(chan error, 1)
	go func() { // ends with its turn
		_, err := session.Collect(pool.Query(hold, "[[hang]]"))
		held <- err
	}()
	require.Eventually(t, func() bool { s, err := r.rt.Session("workers-1"); return err == nil && s.Info().State == session.Busy }, patience, time.Millisecond)
	answers := make(chan error, 2)
	for range cap(answers) {
		go func() { // ends with its turn
			_, err := session.Collect(pool.Query(ctx, "x"))
			answers <- err
		}()
	}
	require.Eventually(t, func() bool { return pool.State().Waiting == 2 }, patience, time.Millisecond)
	assert.Equal(t, []session.PoolState{{Name: "workers", Sessions: 1, Busy: 1, Min: 1, Max: 1, Waiting: 2, MaxQueue: 2}}, r.rt.Pools())
	tree, err := r.rt.Tree(ctx)
	require.NoError(t, err)
	assert.Equal(t, &debug.Pool{Sessions: 1, Busy: 1, Min: 1, Max: 1, Waiting: 2, MaxQueue: 2}, poolNode(tree, "workers"))
	r.spec.Pools[0].MaxQueue = 0
	r.reload()
	_, err = session.Collect(pool.Query(ctx, "x"))
	assert.ErrorIs(t, err, understudy.ErrBusy)
	release()
	assert.ErrorIs(t, <-held, context.Canceled)
	for range cap(answers) {
		assert.NoError(t, <-answers)
	}
}

// TestRemovedFromAPool takes sessions of a pool away by their names: they come again, or make room for others.
func TestRemovedFromAPool(t *testing.T) {
	t.Parallel()
	r := newLiveRig(t, func(r *liveRig) {
		r.spec.Pools = []understudy.PoolSpec{{Name: "workers", Options: r.like, Min: 2, Max: 2}}
	})
	pool, err := r.rt.Pool("workers")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.Eventually(t, func() bool { // until then the supervisor of the pool is still starting
		tree, err := r.rt.Tree(ctx)
		require.NoError(t, err)
		sessions := tree.Sessions()
		return len(sessions) == 2 && sessions[0].State == "idle" && sessions[1].State == "idle" && poolNode(tree, "workers").Failed == 0
	}, patience, time.Millisecond)
	for range 3 {
		for _, name := range []string{"workers-1", "workers-2"} {
			require.NoError(t, r.rt.Remove(ctx, name))
		}
	}
	assert.ElementsMatch(t, []string{"workers", "workers/workers-1", "workers/workers-2"}, r.tree())
	_, err = session.Collect(pool.Query(ctx, "hello"))
	assert.NoError(t, err)
	assert.ErrorIs(t, r.rt.Remove(ctx, "workers-3"), understudy.ErrNoSession)
}

// Fault: a session is reloaded to spend from another budget, or from none, and later from the first again, also over a restart of the runtime
// Outcome: what it has spent meanwhile is not the first one's, what it had spent before still is
// On: simulated
func TestASessionThatComesBackToABudget(t *testing.T) {
	t.Parallel()
	r := newLiveRig(t, func(r *liveRig) {
		r.like.Budgets = []string{"team"}
		r.spec.Sessions = r.sessions("one")
		r.spec.Budgets = []session.BudgetSpec{{Name: "other", LimitUSD: 1}, {Name: "team", LimitUSD: 1}}
	})
	from := func(budgets ...string) {
		t.Helper()
		r.like.Budgets = budgets
		r.spec.Sessions = r.sessions("one")
		require.Len(t, r.reload(), 1)
	}
	turns := func(budget string) int { // what a budget has counted, in turns
		t.Helper()
		for _, b := range r.rt.Budgets() {
			if b.Name == budget {
				return int(b.SpentUSD/0.005 + 0.5)
			}
		}
		require.FailNow(t, "there is no budget "+budget)
		return 0
	}
	r.ask("one")
	from("other")
	r.ask("one")
	from()
	r.ask("one")
	from("team")
	assert.Equal(t, 1, turns("team"))
	r.ask("one")
	assert.Equal(t, 2, turns("team"))
	assert.Equal(t, 1, turns("other"))

	from("other", "team")
	r.ask("one")
	require.NoError(t, r.rt.Shutdown(t.Context()))
	r.like.Budgets = []string{"other"}
	r.spec.Sessions = r.sessions("one")
	r.start()
	r.ask("one")
	from("team")
	r.ask("one")
	assert.Equal(t, 4, turns("team"))
	assert.Equal(t, 3, turns("other"))
}

// TestReloadOfBudgetsAndLimits lets a session go on whose budget was spent, and has one that needs a new budget.
func TestReloadOfBudgetsAndLimits(t *testing.T) {
	t.Parallel()
	r := newLiveRig(t, func(r *liveRig) {
		r.like.Budgets = []string{"team"}
		r.spec.Sessions = r.sessions("one")
		r.spec.Budgets = []session.BudgetSpec{{Name: "team", LimitUSD: 1e-6}}
		r.spec.Limits.MaxBusy = 1
	})
	r.ask("one")
	s, err := r.rt.Session("one")
	require.NoError(t, err)
	_, err = s.Ask(t.Context(), "once more")
	require.ErrorIs(t, err, session.ErrBudgetExhausted)
	pid := s.Info().PID

	r.spec.Budgets = []session.BudgetSpec{{Name: "team", LimitUSD: 5}, {Name: "trial", LimitUSD: 1, Per: time.Hour}}
	r.spec.Sessions = append(r.spec.Sessions, understudy.SessionSpec{Name: "two", Options: altered(r.like, func(o *session.Options) { o.Budgets = []string{"trial"} })})
	r.spec.Limits.MaxBusy = 2
	assert.Equal(t, []understudy.Change{
		{Session: "two", Action: debug.Added},
		{Setting: "budgets.team", Action: debug.Changed, Fields: []debug.FieldChange{{Field: "limit_usd", Before: 1e-6, After: 5.0}}},
		{Setting: "budgets.trial", Action: debug.Added},
		{Setting: "limits", Action: debug.Changed, Fields: []debug.FieldChange{{Field: "max_busy", Before: 1, After: 2}}},
	}, r.reload())
	r.ask("one")
	r.ask("two")
	assert.Equal(t, pid, s.Info().PID, "the session was not touched")
	assert.Len(t, r.rt.Budgets(), 2)

	// A budget that a spawned session spends from cannot go.
	_, err = r.rt.Spawn(t.Context(), "spawned", r.like)
	require.NoError(t, err)
	r.spec.Budgets = r.spec.Budgets[1:]
	r.spec.Sessions = r.spec.Sessions[1:]
	_, err = r.rt.Reload(t.Context(), r.spec)
	require.ErrorIs(t, err, understudy.ErrReload)
	assert.ErrorContains(t, err, "session spawned, which was spawned, spends from it")
	r.ask("one")
	r.spec.Groups = []understudy.Group{{Name: "spawned"}}
	_, err = r.rt.Reload(t.Context(), r.spec)
	assert.ErrorContains(t, err, "spawned: a session that was spawned has this name")
	r.spec.Groups = nil
	require.NoError(t, r.rt.Remove(t.Context(), "spawned"))
	r.reload()
	assert.Len(t, r.rt.Budgets(), 1)
}

// TestReloadWithASessionOfAPoolsNames has the configuration name a session as one of a pool is called already: the pool would be without it.
func TestReloadWithASessionOfAPoolsNames(t *testing.T) {
	t.Parallel()
	r := newLiveRig(t, func(r *liveRig) {
		r.spec.Pools = []understudy.PoolSpec{{Name: "workers", Options: r.like}}
	})
	pool, err := r.rt.Pool("workers")
	require.NoError(t, err)
	require.NoError(t, <-r.query(pool.Query, "hello"))
	wanted := r.spec
	wanted.Sessions = r.sessions("workers-1")
	_, err = r.rt.Reload(t.Context(), wanted)
	require.ErrorIs(t, err, understudy.ErrReload)
	assert.ErrorContains(t, err, "session workers-1: one of pool workers has this name")
	require.NoError(t, <-r.query(pool.Query, "hello"))
	r.spec.Pools = nil
	r.reload()
	r.spec.Sessions = wanted.Sessions
	r.reload()
	assert.Equal(t, 1, r.ask("workers-1"))
}

// TestReloadOfAGroupThatDoesNotComeUp cannot change sessions of a group whose last one does not come up: another reload does.
func TestReloadOfAGroupThatDoesNotComeUp(t *testing.T) {
	t.Parallel()
	r := newLiveRig(t, func(r *liveRig) {
		r.spec.Limits.MaxProcesses = 3
		r.spec.Groups = []understudy.Group{{Name: "team", Sessions: r.sessions("same", "changed", "gone", "last")}}
	})
	require.Eventually(t, func() bool {
		s, err := r.rt.Session("last")
		return err == nil && s.Info().Waits == "max_processes"
	}, patience, time.Millisecond)
	r.spec.Groups = []understudy.Group{{Name: "team", Sessions: []understudy.SessionSpec{
		r.sessions("same")[0], {Name: "changed", Options: altered(r.like, func(o *session.Options) { o.Model = "opus" })}, r.sessions("last")[0],
	}}}
	first, err := r.rt.Reload(t.Context(), r.spec)
	require.NoError(t, err)
	for _, c := range first {
		assert.Contains(t, c.Error, supervisor.ErrStarting.Error(), c.Name())
	}
	assert.Len(t, first, 2)
	r.spec.Limits.MaxProcesses = 0
	_, err = r.rt.Reload(t.Context(), r.spec)
	require.NoError(t, err)
	require.Equal(t, 1, r.ask("last"), "it is up by now")
	var again []understudy.Change
	require.Eventually(t, func() bool {
		again, err = r.rt.Reload(t.Context(), r.spec)
		return err != nil || !slices.ContainsFunc(again, func(c understudy.Change) bool { return c.Error != "" })
	}, patience, 10*time.Millisecond, "%+v", again)
	require.NoError(t, err)
	s, err := r.rt.Session("changed")
	require.NoError(t, err)
	assert.Equal(t, "opus", s.Options().Model)
	_, err = r.rt.Session("gone")
	assert.ErrorIs(t, err, understudy.ErrNoSession)
	r.reload()
}
