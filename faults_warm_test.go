package understudy_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// warmNodes are the processes that wait, as the tree shows them.
func (r *rig) warmNodes() []understudy.Node {
	r.Helper()
	tree, err := r.rt.Tree(r.within())
	require.NoError(r, err)
	for _, n := range tree.Children {
		if n.Name == "warm" {
			return n.Children
		}
	}
	return nil
}

// warmedUp waits until n processes wait, and returns their pids.
func (r *rig) warmedUp(n int) []int {
	r.Helper()
	var pids []int
	r.until("processes wait", func() bool {
		pids = nil
		for _, node := range r.warmNodes() {
			if node.SessionFields != nil && node.State == "warm" && node.PID > 0 { // 0: it has died just now
				pids = append(pids, node.PID)
			}
		}
		return len(pids) == n
	})
	return pids
}

// warmRig is a rig that keeps processes of its template "worker" waiting. It has no session yet.
func warmRig(t *testing.T, realCLI bool, count int) *rig {
	r := newRig(t, realCLI)
	r.options.Warm = []understudy.WarmSpec{{Template: "worker", Options: r.spec, Count: count}}
	return r
}

// up starts the runtime without a session.
func (r *rig) up() {
	r.Helper()
	var err error
	r.rt, err = understudy.Start(r.within(), r.options)
	require.NoError(r, err)
	rt := r.rt
	r.Cleanup(func() { shutdown(r.T, rt) })
}

// TestWarmStart follows a process from when it waits to when the session that has taken it is resumed by another runtime.
//
// Fault: a session that has taken a process which waited is killed, and then the runtime ends
// Outcome: the session, its conversation, its counts and its records are those of any other
// On: simulated, real
func TestWarmStart(t *testing.T) {
	t.Parallel()
	both(t, map[string]func(*rig){"taken, killed, resumed": func(r *rig) {
		t := r.T
		tools, starts := make(chan string, 10), make(chan string, 10)
		r.spec.ToolCallback = func(e session.ToolEvent) { tools <- e.Session }
		r.spec.Hooks.SessionStart = []session.Hook[protocol.SessionStartInput, protocol.SessionStartOutput]{{
			Call: func(_ context.Context, in protocol.SessionStartInput) (protocol.SessionStartOutput, error) {
				starts <- in.SessionID
				return protocol.SessionStartOutput{}, nil
			},
		}}
		r.options.Warm = []understudy.WarmSpec{{Template: "worker", Options: r.spec, Count: 1}}
		r.up()
		waited := r.warmedUp(1)[0]
		node := r.warmNodes()[0]
		assert.Equal(t, "worker", node.Kind)
		assert.Equal(t, "worker-1", node.Name)
		assert.NotEmpty(t, node.Containment)
		assert.Empty(t, r.rt.Sessions(), "it is no session yet")

		var err error
		r.Session, err = r.rt.SpawnFrom(r.within(), "worker", "one")
		require.NoError(t, err)
		assert.Equal(t, waited, r.Info().PID, "it has taken the process that waited")
		assert.Equal(t, 1, r.Info().Generation)
		assert.Contains(t, r.mustAsk(bash("echo from a warm process")).Text, "from a warm process")
		again := r.warmedUp(1)[0]
		assert.NotEqual(t, waited, again, "another one waits in its place")

		r.killIdle()
		assert.Equal(t, 2, r.Info().Generation)
		assert.Contains(t, r.history(), "from a warm process")
		spent, turns := r.Info().CostUSD, r.Info().Turns
		assert.Positive(t, spent)
		id := r.Info().SessionID
		shutdown(t, r.rt)
		assert.False(t, alive(again), "nothing waits any more")

		r.options.Respawn = func(string, session.Options) (session.Options, error) { return r.spec, nil }
		r.up()
		r.Session, err = r.rt.Session("one")
		require.NoError(t, err)
		assert.Contains(t, r.history(), "from a warm process")
		assert.Equal(t, id, r.Info().SessionID)
		assert.Greater(t, r.Info().CostUSD, spent)
		assert.Equal(t, turns+1, r.Info().Turns)
		shutdown(t, r.rt)

		started := r.records(audit.SessionStarted)
		require.GreaterOrEqual(t, len(started), 2)
		assert.Equal(t, "~worker-1", started[0].Session)
		taken := slices.IndexFunc(started, func(r audit.Record) bool { return r.Session == "one" })
		require.Positive(t, taken)
		assert.Equal(t, "~worker-1", started[taken].Detail["waited_as"])
		assert.EqualValues(t, waited, started[taken].Detail["pid"])
		assert.Equal(t, id, started[taken].SessionID)
		assert.Equal(t, started[0].Detail["argv"], started[taken].Detail["argv"])
		assert.Contains(t, started[taken].Detail["env"], "CLAUDE_CODE_TMPDIR")
		intents := r.records(audit.ToolIntent)
		require.Len(t, intents, 1)
		assert.Equal(t, "one", intents[0].Session)
		assert.Equal(t, 1, intents[0].Generation)
		assert.Equal(t, id, intents[0].SessionID)
		assert.Equal(t, "one", <-tools, "the callback hears of the session that has taken it")
		assert.Empty(t, starts, "hooks of a session's start wait for a session")
	}})
}

// Fault: a process that waits for a session is killed, and killed again
// Outcome: another one waits in its place; a session that comes meanwhile starts a process of its own
// On: simulated
func TestAWarmProcessIsKilled(t *testing.T) {
	t.Parallel()
	r := warmRig(t, false, 1)
	r.up()
	killed := 0
	for range 2 {
		r.until("another one waits", func() bool {
			pid := r.warmedUp(1)[0]
			if pid == killed { // its end was not noticed yet
				return false
			}
			killed = pid
			return true
		})
		send(t, killed, syscall.SIGKILL)
	}
	s, err := r.rt.SpawnFrom(r.within(), "worker", "one")
	require.NoError(t, err)
	_, err = s.Ask(r.within(), "hello")
	require.NoError(t, err)
	r.warmedUp(1)
}

// Fault: a session takes a process that waits just when that has died
// Outcome: it starts one of its own, and whoever asked for it sees nothing of that
// On: simulated
func TestAWarmProcessDiesWhileItIsTaken(t *testing.T) {
	t.Parallel()
	r := warmRig(t, false, 1)
	r.up()
	pid := r.warmedUp(1)[0]
	send(t, pid, syscall.SIGKILL)
	s, err := r.rt.SpawnFrom(r.within(), "worker", "one")
	require.NoError(t, err)
	answer, err := s.Ask(r.within(), "hello")
	require.NoError(t, err)
	assert.Contains(t, answer.Text, "hello")
	assert.NotEqual(t, pid, s.Info().PID)
}

// Fault: a file that processes are started with changes while some wait, or their directory is another one by now
// Outcome: they are thrown away; the session starts a process of its own, and others wait that have seen the change
// On: simulated
func TestAWarmProcessThatIsOutOfDate(t *testing.T) {
	t.Parallel()
	r := warmRig(t, false, 2)
	instructions := filepath.Join(r.work, "CLAUDE.md")
	require.NoError(t, os.WriteFile(instructions, []byte("Be brief."), 0o600))
	r.options.Warm[0].Options.ClaudeMD = []string{"CLAUDE.md"}
	r.up()
	old := r.warmedUp(2)
	require.NoError(t, os.WriteFile(instructions, []byte("Be thorough, and say why."), 0o600))
	s, err := r.rt.SpawnFrom(r.within(), "worker", "one")
	require.NoError(t, err)
	assert.NotContains(t, old, s.Info().PID)
	r.until("the old ones are gone", func() bool { return !slices.ContainsFunc(old, alive) })
	fresh := r.warmedUp(2)
	s, err = r.rt.SpawnFrom(r.within(), "worker", "two")
	require.NoError(t, err)
	assert.Contains(t, fresh, s.Info().PID)
}

// Fault: sessions need all the processes that max_processes allows, while some wait for sessions of another kind
// Outcome: those that wait make room, never the other way round, and come back when there is room again
// On: simulated
func TestWarmProcessesMakeRoom(t *testing.T) {
	t.Parallel()
	r := warmRig(t, false, 2)
	r.options.Limits.MaxProcesses = 2
	r.up()
	old := r.warmedUp(2)
	other := r.spec
	other.Model = "haiku"
	for _, name := range []string{"a", "b"} {
		s, err := r.rt.Spawn(r.within(), name, other)
		require.NoError(t, err)
		assert.NotContains(t, old, s.Info().PID)
	}
	assert.False(t, slices.ContainsFunc(old, alive))
	for _, n := range r.warmNodes() {
		assert.NotEqual(t, "warm", n.State)
	}
	require.NoError(t, r.rt.Remove(r.within(), "a"))
	r.warmedUp(1)
	require.NoError(t, r.rt.Remove(r.within(), "b"))
	r.warmedUp(2)
}

// Fault: the templates change while processes wait, and then the runtime is drained
// Outcome: those of a template that is as it was go on waiting, others are ended; after a drain none waits
// On: simulated
func TestTemplatesChange(t *testing.T) {
	t.Parallel()
	r := warmRig(t, false, 1)
	other := r.spec
	other.Model = "haiku"
	r.options.Warm = append(r.options.Warm, understudy.WarmSpec{Template: "other", Options: other, Count: 1})
	r.up()
	r.warmedUp(2)
	pid := func(name string) int {
		for _, n := range r.warmNodes() {
			if n.Name == name && n.State == "warm" && n.SessionFields != nil {
				return n.PID
			}
		}
		return 0
	}
	worker, was := pid("worker-1"), pid("other-1")
	require.ErrorContains(t, r.rt.SetWarm(r.within(), []understudy.WarmSpec{{Template: "worker", Options: session.Options{SessionID: "x"}, Count: -1}}), "warm -1")
	assert.Equal(t, worker, pid("worker-1"))

	other.Model = "opus"
	changed := []understudy.WarmSpec{r.options.Warm[0], {Template: "other", Options: other, Count: 1}, {Template: "third", Options: r.spec, Count: 1}}
	require.NoError(t, r.rt.SetWarm(r.within(), changed))
	assert.False(t, alive(was))
	r.warmedUp(3)
	assert.Equal(t, worker, pid("worker-1"))
	_, err := r.rt.SpawnFrom(r.within(), "fourth", "x")
	require.ErrorIs(t, err, understudy.ErrNoTemplate)
	s, err := r.rt.SpawnFrom(r.within(), "other", "x")
	require.NoError(t, err)
	assert.Equal(t, "opus", s.Info().Model)

	require.NoError(t, r.rt.Drain(r.within()))
	assert.False(t, alive(worker))
	assert.Empty(t, r.warmNodes())
}

// Fault: the options of a template change while sessions live on processes that have waited for one of it
// Outcome: those that wait from then on come up at once
// On: simulated
func TestWarmProcessesOfATemplateThatChanges(t *testing.T) {
	t.Parallel()
	r := warmRig(t, false, 1)
	var failed atomic.Int32
	r.options.OnEvent = func(e supervisor.Event) {
		if e.Kind == supervisor.StartFailed {
			failed.Add(1)
		}
	}
	r.up()
	for _, name := range []string{"a", "b"} {
		r.warmedUp(1)
		_, err := r.rt.SpawnFrom(r.within(), "worker", name)
		require.NoError(t, err)
	}
	before := r.warmedUp(1)
	changed := altered(r.spec, func(o *session.Options) { o.Model = "opus" })
	require.NoError(t, r.rt.SetWarm(r.within(), []understudy.WarmSpec{{Template: "worker", Options: changed, Count: 1}}))
	assert.NotEqual(t, before, r.warmedUp(1))
	assert.Zero(t, failed.Load(), "starts that failed")
}
