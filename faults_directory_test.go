package understudy_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// alone is o with a directory of its own.
func alone(o session.Options) session.Options {
	o.ExclusiveCWD = true
	return o
}

// Fault: a session is spawned in a directory that another one has to itself (exclusive_cwd): in the same one, above it, below it, by a link,
// in one that is not there yet, as a pool, as a fork, with it in add_dir; or it wants one to itself in which others work
// Outcome: it is refused (ErrDirectoryTaken, 409), with the name of the other session, also when that is stopped or its process was killed;
// nothing is left of what was refused; when the other one is removed the directory is free
// On: simulated
func TestADirectoryOfOneSession(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.spec = alone(r.spec)
	r.boot()
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(r.work, link))
	require.NoError(t, os.Mkdir(filepath.Join(r.work, "below"), 0o700))
	elsewhere := altered(r.spec, func(o *session.Options) { o.CWD, o.ExclusiveCWD = t.TempDir(), false })
	at := func(dir string) session.Options {
		return altered(elsewhere, func(o *session.Options) { o.CWD = dir })
	}
	refused := func(when string) {
		for name, o := range map[string]session.Options{
			"the same": at(r.work), "below": at(filepath.Join(r.work, "below")), "not there": at(filepath.Join(r.work, "new")), "a link": at(link),
			"above": at(filepath.Dir(r.work)), "too": alone(at(r.work)),
			"added": altered(elsewhere, func(o *session.Options) { o.AddDir = []string{r.work} }),
		} {
			_, err := r.rt.Spawn(r.within(), "other", o)
			require.ErrorIs(t, err, understudy.ErrDirectoryTaken, "%s, %s", name, when)
			require.ErrorContains(t, err, "session worker is to have it to itself (exclusive_cwd)", name)
		}
		_, err := r.rt.Session("other")
		require.ErrorIs(t, err, understudy.ErrNoSession)
	}
	refused("idle")
	r.mustAsk("hello")
	_, err := r.rt.Fork(r.within(), "worker", "copy")
	require.ErrorIs(t, err, understudy.ErrDirectoryTaken, "a copy would be in the same directory")
	r.killIdle()
	refused("after a restart")
	require.NoError(t, r.rt.Stop(r.within(), "worker"))
	refused("stopped: it can be started again")
	require.NoError(t, r.rt.Restart(r.within(), "worker"))

	server := httptest.NewServer(debug.Handler(r.rt.Backend(func(string, []string) (session.Options, error) { return at(r.work), nil }),
		debug.Options{Actions: true, Authorize: func(*http.Request, debug.Access) (string, error) { return "alice", nil }}))
	defer server.Close()
	response, err := http.Post(server.URL+"/debug/understudy/sessions", "application/json", strings.NewReader(`{"name":"other"}`))
	require.NoError(t, err)
	assert.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusConflict, response.StatusCode)

	for name, spec := range map[string]understudy.ReloadSpec{
		"a pool":    {Pools: []understudy.PoolSpec{{Name: "p", Options: at(r.work)}}},
		"a session": {Sessions: []understudy.SessionSpec{{Name: "s", Options: at(r.work)}}},
		"two": {Sessions: []understudy.SessionSpec{
			{Name: "one", Options: elsewhere}, {Name: "two", Options: alone(elsewhere)}}},
		"a pool of two": {Pools: []understudy.PoolSpec{{Name: "p", Options: alone(elsewhere), Max: 2}}},
	} {
		_, err := r.rt.Reload(r.within(), spec)
		require.ErrorIs(t, err, understudy.ErrReload, name)
	}
	_, err = r.rt.Spawn(r.within(), "reader", altered(elsewhere, func(o *session.Options) {
		o.Profile, o.AllowedTools, o.AddDir = session.ProfileReview, nil, []string{r.work}
	}))
	require.NoError(t, err, "who may not write there may look")

	require.NoError(t, r.rt.Remove(r.within(), "worker"))
	_, err = r.rt.Spawn(r.within(), "one", at(r.work))
	require.NoError(t, err, "it is free")
	_, err = r.rt.Spawn(r.within(), "too", alone(at(link)))
	require.ErrorIs(t, err, understudy.ErrDirectoryTaken)
	require.ErrorContains(t, err, "session one works there, and this one is to have it to itself")

	_, err = r.rt.Spawn(r.within(), "two", at(filepath.Join(r.work, "below")))
	require.NoError(t, err, "nobody has said that it is to be alone")
	var told []string
	for _, record := range r.records(audit.LintFinding) {
		if record.Detail["rule"] == "cwd-shared" {
			told = append(told, record.Session)
			assert.Contains(t, record.Detail["message"], "session one")
		}
	}
	assert.Equal(t, []string{"two"}, told, "and that is told")
}

// Fault: a directory is moved from one session to another by one reload, and two sessions change places
// Outcome: what ends ends first: nothing is refused, and each works where the configuration says
// On: simulated
func TestADirectoryMovesInOneReload(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	first, second := alone(r.spec), alone(altered(r.spec, func(o *session.Options) { o.CWD = t.TempDir() }))
	r.options.Sessions = []understudy.SessionSpec{{Name: "a", Options: first}, {Name: "b", Options: second}}
	var err error
	r.rt, err = understudy.Start(r.within(), r.options)
	require.NoError(t, err)
	defer shutdown(t, r.rt)
	reload := func(sessions ...understudy.SessionSpec) {
		changes, err := r.rt.Reload(r.within(), understudy.ReloadSpec{Sessions: sessions, Drain: patience})
		require.NoError(t, err)
		for _, c := range changes {
			assert.Empty(t, c.Error, c.Name())
		}
		for _, s := range sessions {
			assert.Equal(t, s.Options.CWD+"\n", asksFor(t, r.rt, s.Name, "pwd"))
		}
	}
	reload(understudy.SessionSpec{Name: "a", Options: second}, understudy.SessionSpec{Name: "b", Options: first})
	reload(understudy.SessionSpec{Name: "a", Options: second}, understudy.SessionSpec{Name: "c", Options: first})
}

// asksFor is what a command says that a session runs.
func asksFor(t *testing.T, rt *understudy.Runtime, name, command string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	asks(t, rt, name, bash(command+" > "+out))
	said, err := os.ReadFile(out)
	require.NoError(t, err)
	return string(said)
}

// Fault: the directory that a session has to itself is given another name while it works there, and another one is made under the old name
// Outcome: nobody else gets it under its new name until the session's next process works in the one that has the old name now
// On: simulated
func TestADirectoryThatIsRenamed(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.spec = alone(r.spec)
	r.spec.CWD = filepath.Join(r.work, "old")
	require.NoError(t, os.Mkdir(r.spec.CWD, 0o700))
	r.boot()
	renamed := filepath.Join(r.work, "renamed")
	require.NoError(t, os.Rename(r.spec.CWD, renamed))
	require.NoError(t, os.Mkdir(filepath.Join(renamed, "below"), 0o700))
	there := altered(r.spec, func(o *session.Options) { o.CWD, o.ExclusiveCWD = renamed, false })
	for _, o := range []session.Options{there, alone(there), altered(there, func(o *session.Options) { o.CWD += "/below" })} {
		_, err := r.rt.Spawn(r.within(), "other", o)
		require.ErrorIs(t, err, understudy.ErrDirectoryTaken)
		require.ErrorContains(t, err, "session worker")
	}
	require.NoError(t, os.Mkdir(r.spec.CWD, 0o700))
	require.NoError(t, r.rt.Restart(r.within(), "worker"))
	_, err := r.rt.Spawn(r.within(), "other", alone(there))
	require.NoError(t, err, "it is another directory")
}

// Fault: twenty sessions are spawned at once that each want the same directory to themselves; and one is removed and spawned again at once
// Outcome: exactly one is there, the others are refused; who comes after a removal gets the directory
// On: simulated
func TestManyWantOneDirectory(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	var err error
	r.rt, err = understudy.Start(r.within(), r.options)
	require.NoError(t, err)
	defer shutdown(t, r.rt)
	ctx := r.within()
	errs := make([]error, 20)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = r.rt.Spawn(ctx, "s"+string(rune('a'+i)), alone(r.spec)) })
	}
	all.Wait()
	there := r.rt.Sessions()
	require.Len(t, there, 1)
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		assert.ErrorIs(t, err, understudy.ErrDirectoryTaken)
	}
	assert.Equal(t, 1, won)

	name := there[0].Name()
	for range 3 { // the same name, and another one, as soon as it is gone
		require.NoError(t, r.rt.Remove(ctx, name))
		name += "x"
		_, err := r.rt.Spawn(ctx, name, alone(r.spec))
		require.NoError(t, err)
		gone := make(chan error, 1)
		go func() { gone <- r.rt.Remove(ctx, name) }() // ends with the session
		for {
			if _, err = r.rt.Spawn(ctx, name, alone(r.spec)); !errors.Is(err, understudy.ErrExists) {
				break
			}
		}
		require.NoError(t, err, "who has its name has its directory")
		require.NoError(t, <-gone)
	}
}

// Fault: two runtimes with data directories of their own have each a session that is to have the same directory to itself
// Outcome: the second is refused and told who has it, or parked where it is in the configuration; it can be restarted when the first one is
// removed, or its runtime has ended. The CLI has no descriptor of the lock, and there is none for sessions without the option
// On: simulated
func TestTwoRuntimesOnOneDirectory(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	plain := r.spec
	r.spec = alone(r.spec)
	r.boot()
	assert.Zero(t, descriptorsOf(t, r.Info().PID, r.work), "the CLI does not have the lock")
	mine := descriptorsOf(t, os.Getpid(), r.work)
	assert.Equal(t, 1, mine, "the runtime has")

	other := newRig(t, false)
	other.options.Sessions = []understudy.SessionSpec{{Name: "late", Options: r.spec}}
	rt, err := understudy.Start(r.within(), other.options)
	require.NoError(t, err, "the others of its sessions are to work")
	defer shutdown(t, rt)
	late, err := rt.Session("late")
	require.NoError(t, err)
	r.until("it is parked", func() bool { return late.Info().State == session.Failed })
	require.ErrorIs(t, late.Info().Reason, understudy.ErrDirectoryTaken)
	require.ErrorContains(t, late.Info().Reason, "is held by another ")
	require.NoError(t, rt.Remove(r.within(), "late"))
	_, err = rt.Spawn(r.within(), "worker", r.spec)
	require.ErrorIs(t, err, understudy.ErrDirectoryTaken)
	require.ErrorContains(t, err, r.work)
	_, err = rt.Spawn(r.within(), "plain", plain)
	require.NoError(t, err, "who has not said that it is to be alone asks nobody")
	assert.Equal(t, mine, descriptorsOf(t, os.Getpid(), r.work))
	require.NoError(t, rt.Remove(r.within(), "plain"))

	require.NoError(t, r.rt.Remove(r.within(), "worker"))
	assert.Zero(t, descriptorsOf(t, os.Getpid(), r.work))
	_, err = rt.Spawn(r.within(), "worker", r.spec)
	require.NoError(t, err)
	_, err = r.rt.Spawn(r.within(), "again", r.spec)
	require.ErrorIs(t, err, understudy.ErrDirectoryTaken)
	shutdown(t, rt)
	_, err = r.rt.Spawn(r.within(), "again", r.spec)
	require.NoError(t, err)
}

// descriptorsOf is how many descriptors of a directory a process has.
func descriptorsOf(t *testing.T, pid int, dir string) (n int) {
	t.Helper()
	real, err := filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	links, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
	require.NoError(t, err)
	require.NotEmpty(t, links)
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == real {
			n++
		}
	}
	return n
}

// Fault: two sessions share a directory, and both processes are killed
// Outcome: each goes on with its own conversation
// On: simulated, real
func TestSessionsThatShareADirectory(t *testing.T) {
	t.Parallel()
	both(t, map[string]func(*rig){"shared": func(r *rig) {
		r.boot()
		_, err := r.rt.Spawn(r.within(), "other", r.spec)
		require.NoError(r, err)
		r.mustAsk("I am worker")
		asks(r.T, r.rt, "other", "I am other")
		other := r.named("other")
		r.killIdle()
		first := r.Session
		r.Session = other
		r.killIdle()
		r.Session = first
		assert.NotEqual(r, first.Info().SessionID, other.Info().SessionID)
		assert.Contains(r, r.history(), "I am worker")
		assert.NotContains(r, r.history(), "I am other")
		said := asks(r.T, r.rt, "other", "[[history]]").Text
		assert.Contains(r, said, "I am other")
		assert.NotContains(r, said, "I am worker")
	}})
}
