package understudy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// stopState is a state of a session that is stopped in it. reach brings it there and returns when it is; queries are what runs then.
type stopState struct {
	name  string
	reach func(r *rig, name string) (queries []<-chan error)
}

// start spawns a session that is not waited for.
func (r *rig) start(name string, o session.Options) *session.Session {
	r.Helper()
	go func() { _, _ = r.rt.Spawn(r.within(), name, o) }() // ends with the session, which is stopped
	var s *session.Session
	r.until("it is known", func() bool {
		var err error
		s, err = r.rt.Session(name)
		return err == nil
	})
	return s
}

func (r *rig) spawn(name string, o session.Options) *session.Session {
	r.Helper()
	s, err := r.rt.Spawn(r.within(), name, o)
	require.NoError(r, err)
	return s
}

// asked is the end of a query that runs in the background.
func (r *rig) asked(s *session.Session, prompt string) <-chan error {
	end := make(chan error, 1)
	go func() { // ends with the query
		_, err := s.Ask(r.within(), prompt)
		end <- err
	}()
	return end
}

func (r *rig) in(s *session.Session, state session.State) {
	r.Helper()
	r.until(s.Name()+" is "+string(state), func() bool { return s.Info().State == state })
}

var stopStates = []stopState{
	{"starting", func(r *rig, name string) []<-chan error {
		o := r.spec
		o.Env = with(o.Env, "UNDERSTUDY_SIM_STARTUP", "silent")
		s := r.start(name, o)
		r.until("there is a process", func() bool { return s.Info().PID != 0 })
		return nil
	}},
	{"idle", func(r *rig, name string) []<-chan error {
		r.spawn(name, r.spec)
		return nil
	}},
	{"in a turn, with another query behind it", func(r *rig, name string) []<-chan error {
		s := r.spawn(name, r.spec)
		running := r.asked(s, "[[sleep:600]]")
		r.in(s, session.Busy)
		waiting := r.asked(s, "next")
		r.until("it waits", func() bool { return s.Info().Queue == 1 })
		return []<-chan error{running, waiting}
	}},
	{"a tool runs", func(r *rig, name string) []<-chan error {
		s := r.spawn(name, r.spec)
		running := r.asked(s, bash("touch "+name+".entered; read x < /dev/zero"))
		r.until("it runs", func() bool { return exists(filepath.Join(r.work, name+".entered")) })
		return []<-chan error{running}
	}},
	{"somebody is asked for permission", func(r *rig, name string) []<-chan error {
		o := r.spec
		o.AllowedTools = nil
		s := r.spawn(name, o)
		running := r.asked(s, bash("touch "+name+".entered"))
		r.until("it asks", func() bool { return len(s.Approvals()) == 1 })
		return []<-chan error{running}
	}},
	{"waiting for a restart", func(r *rig, name string) []<-chan error {
		s := r.spawn(name, r.spec)
		_, err := s.Ask(r.within(), "[[crash]]")
		var crash *session.CrashError
		require.ErrorAs(r, err, &crash)
		r.in(s, session.Restarting)
		return []<-chan error{r.asked(s, "next")}
	}},
	{"stopping", func(r *rig, name string) []<-chan error {
		s := r.spawn(name, r.spec)
		go func() { _ = r.rt.Stop(r.within(), name) }() // ends with the session
		r.until("it stops", func() bool { return s.Info().State != session.Idle })
		return nil
	}},
	{"parked", func(r *rig, name string) []<-chan error {
		o := r.spec
		s := r.spawn(name, o)
		_, err := s.Ask(r.within(), "[[crash]]")
		require.Error(r, err)
		r.in(s, session.Failed)
		return nil
	}},
}

// TestStopInEveryState stops sessions; UNDERSTUDY_STOPS says how often in each state.
//
// Fault: a session is stopped by several at once: while it starts, idle, in a turn, in a tool, in a permission question, while it waits
// for a restart, stopping, parked
// Outcome: every stop returns, within the time of the stop's ladder; every query ends, with ErrStopped after it; nothing of the tool
// happens any more; one stop is told of, and nothing is left
// On: simulated
func TestStopInEveryState(t *testing.T) {
	t.Parallel()
	times := 2
	if n := os.Getenv("UNDERSTUDY_STOPS"); n != "" {
		_, err := fmt.Sscan(n, &times)
		require.NoError(t, err)
	}
	for _, state := range stopStates {
		t.Run(state.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, false)
			r.options.Supervisor.Backoff = &supervisor.Backoff{Initial: time.Hour}
			if state.name == "parked" {
				r.options.Supervisor.Intensity = &supervisor.Intensity{Within: time.Hour}
			}
			var told sync.Map // of a session, how often it was told that it is stopped
			r.options.OnEvent = func(e supervisor.Event) {
				if e.Kind == supervisor.ChildStopped && e.Supervisor == "root/sessions" {
					n, _ := told.LoadOrStore(e.Child, new(atomic.Int32))
					n.(*atomic.Int32).Add(1)
				}
			}
			r.up()
			next := make(chan int, times)
			for i := range times {
				next <- i
			}
			close(next)
			var all sync.WaitGroup
			for range 2 {
				all.Go(func() {
					for i := range next {
						stopOnce(r, state, fmt.Sprint("s", i))
					}
				})
			}
			all.Wait()
			shutdown(t, r.rt)
			for i := range times {
				n, found := told.Load(fmt.Sprint("s", i))
				if state.name == "parked" || state.name == "starting" { // it had stopped by itself; whoever spawned it takes it away
					continue
				}
				if assert.True(t, found, "s%d", i) {
					assert.EqualValues(t, 1, n.(*atomic.Int32).Load(), "s%d", i)
				}
			}
		})
	}
}

func stopOnce(r *rig, state stopState, name string) {
	queries := state.reach(r, name)
	s, err := r.rt.Session(name)
	if !assert.NoError(r, err) {
		return
	}
	pid := s.Info().PID
	var stops sync.WaitGroup
	for range 3 {
		stops.Go(func() {
			// Of a session that whoever spawned it takes away meanwhile, nobody knows any more.
			if err := r.rt.Stop(r.within(), name); err != nil && !errors.Is(err, understudy.ErrNoSession) && !errors.Is(err, supervisor.ErrNotFound) {
				assert.NoError(r, err)
			}
		})
	}
	stops.Wait()
	for _, q := range queries {
		select {
		case err := <-q:
			assert.Error(r, err)
		case <-time.After(patience):
			assert.Fail(r, "a query hangs", "%+v", s.Info())
		}
	}
	if pid != 0 {
		assert.False(r, alive(pid))
	}
	_, err = s.Ask(r.within(), "after")
	if state.name == "parked" {
		assert.True(r, errors.Is(err, session.ErrFailed) || errors.Is(err, session.ErrStopped), "%v", err)
	} else {
		assert.ErrorIs(r, err, session.ErrStopped)
	}
	if state.name == "somebody is asked for permission" {
		assert.NoFileExists(r, filepath.Join(r.work, name+".entered"))
	}
	if err := r.rt.Remove(r.within(), name); !errors.Is(err, understudy.ErrNoSession) {
		assert.NoError(r, err)
	}
}

// Fault: a session is stopped whose CLI takes its time to save what it has, or ignores the end of stdin and SIGTERM
// Outcome: the first is waited for, and what it saves is there; the other is killed, within the session's time; neither is a crash, and the
// audit log has by which steps each was ended, and when
// On: simulated
func TestTheEndOfACLIThatSavesOrIgnores(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.spec.Shutdown = supervisor.Within(6 * time.Second)
	r.up()
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	saves := r.spawn("saves", r.spec)
	_, err := saves.Ask(r.within(), "[[flush:"+pipe+"]] hello")
	require.NoError(t, err)
	ignores := r.spawn("ignores", r.spec)
	cut := r.asked(ignores, "[[stderr:hangs]] [[hang:hard]]")
	r.until("it hangs", func() bool { return slices.Contains(ignores.Stderr(), "hangs") })

	stopped := make(chan error, 2)
	for _, s := range []*session.Session{saves, ignores} {
		go func() { stopped <- r.rt.Stop(r.within(), s.Name()) }() // ends with the session
	}
	r.flushing(pipe)()
	require.NoError(t, <-stopped)
	require.NoError(t, <-stopped)
	require.Error(t, <-cut)
	assert.Equal(t, session.Stopped, saves.Info().State)
	assert.Equal(t, session.Stopped, ignores.Info().State)

	assert.Empty(t, r.records(audit.SessionCrashed))
	want := map[string][]any{"saves": {"stdin"}, "ignores": {"stdin", "term", "kill"}}
	for _, record := range r.records(audit.SessionStopped) {
		var names []any
		last := -1.0
		steps, _ := record.Detail["steps"].([]any)
		for _, s := range steps {
			step, _ := s.(map[string]any)
			after, ok := step["after_ms"].(float64)
			assert.True(t, ok, "%v", step)
			assert.Greater(t, after, last)
			names, last = append(names, step["step"]), after
		}
		assert.Equal(t, want[record.Session], names, record.Session)
		delete(want, record.Session)
	}
	assert.Empty(t, want)
	err = r.rt.Restart(r.within(), "saves")
	require.NoError(t, err)
	_, err = saves.Ask(r.within(), "and on")
	require.NoError(t, err)
	assert.InDelta(t, 0.01, saves.Info().CostUSD, 1e-9, "the total goes on where the first process has left it")
}

// flushing waits until a CLI is behind the end of its stdin, which was told to save to a pipe, and returns what lets it go on.
func (r *rig) flushing(pipe string) (done func()) {
	r.Helper()
	var end *os.File
	r.until("it saves", func() bool {
		var err error
		end, err = os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err == nil
	})
	return func() { require.NoError(r, end.Close()) }
}

// Fault: whoever shuts the runtime down, or drains it, or spawns a session at that moment, waits no longer: the context has ended before,
// or ends while sessions run tools
// Outcome: everything is killed; what became of the sessions and of the runtime is in their records and in the audit log, which is closed
// and whole, before Shutdown returns; the next runtime begins at once, and resumes them
// On: simulated
func TestAShutdownThatIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before", "while tools run"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, false)
			r.spec.Shutdown = supervisor.Within(time.Hour) // only the context ends it
			r.spec.InterruptGrace = time.Hour
			r.boot()
			other := r.spec
			other.Env = with(other.Env, "UNDERSTUDY_SIM_STARTUP", "silent")
			spawning, giveUp := context.WithCancel(r.within())
			spawned := make(chan error, 1)
			go func() { // ends with the runtime
				_, err := r.rt.Spawn(spawning, "other", other)
				spawned <- err
			}()
			r.until("it starts", func() bool {
				s, err := r.rt.Session("other")
				return err == nil && s.Info().PID > 0
			})
			r.mustAsk("hello")
			running := r.asked(r.Session, "[[stderr:hangs]] [[hang:hard]]")
			r.until("it hangs", func() bool { return slices.Contains(r.Stderr(), "hangs") })
			drain, stopDraining := context.WithCancel(r.within())
			drained := make(chan error, 1)
			go func() { drained <- r.rt.Drain(drain) }() // ends with its context
			pid := r.Info().PID

			ctx, cancel := context.WithCancel(r.within())
			if when == "before" {
				cancel()
			}
			down := make(chan error, 1)
			go func() { down <- r.rt.Shutdown(ctx) }() // ends with the runtime
			r.until("it is ending", func() bool { s := r.Info().State; return s == session.Draining || s == session.Stopped })
			giveUp()
			stopDraining()
			cancel()
			require.ErrorIs(t, <-down, context.Canceled)
			select {
			case <-r.rt.Done():
			default:
				require.Fail(t, "the end was not waited for")
			}
			require.Error(t, <-running)
			require.Error(t, <-spawned)
			<-drained // either has come first
			assert.False(t, alive(pid))
			assert.Equal(t, session.Stopped, r.Info().State)

			ends := make(map[string]bool)
			var last audit.Kind
			for record, err := range audit.Read(filepath.Join(r.options.DataDir, "audit")) {
				require.NoError(t, err)
				last = record.Kind
				if record.Kind == audit.SessionStopped || record.Kind == audit.RuntimeStopped {
					ends[string(record.Kind)+" "+record.Session] = true
				}
				assert.NotEqual(t, audit.SessionCrashed, record.Kind, "%+v", record)
			}
			assert.Equal(t, map[string]bool{"session.stopped worker": true, "session.stopped other": true, "runtime.stopped ": true}, ends)
			assert.Equal(t, audit.LogClosed, last)
			report, err := audit.Verify(r.within(), filepath.Join(r.options.DataDir, "audit"), audit.VerifyOptions{Invariants: true})
			require.NoError(t, err)
			assert.Zero(t, report.Code(), "%+v", report)
			r.boot() // the data directory is free
			assert.Contains(t, r.history(), "hello")
			assert.Equal(t, 2, r.Info().Generation)
		})
	}
}

// panicky is an actor that panics where it is told to.
type panicky struct{ where string }

func (p panicky) at(where string) {
	if p.where == where {
		panic("boom")
	}
}

func (p panicky) Started(c *actor.Context[string]) error {
	p.at("Started")
	if p.where == "Receive" {
		c.Post("go")
	}
	if p.where == "Stopped" {
		c.Exit(actor.ErrShutdown)
	}
	return nil
}

func (p panicky) Receive(*actor.Context[string], string) { p.at("Receive") }
func (p panicky) Stopped(*actor.Context[string], error)  { p.at("Stopped") }

// TestAPanicOfAChild has children of the embedder's own panic beside a session.
//
// Fault: an actor under the runtime's tree panics when it starts, when it handles a message, or when it has stopped
// Outcome: one incarnation ends, with where and the stack in the audit log, and the supervisor decides; sessions notice nothing
// On: simulated
func TestAPanicOfAChild(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.boot()
	for _, where := range []string{"Started", "Receive", "Stopped"} {
		var starts atomic.Int32
		_ = r.rt.Supervise(r.within(), supervisor.ChildSpec{ // that of Started fails
			ID: "panics-in-" + where, Restart: supervisor.Temporary,
			Start: func(context.Context) (actor.PID, error) {
				starts.Add(1)
				ref, err := actor.Spawn(r.rt.System(), actor.Spec{Name: "panics/" + where}, panicky{where})
				return ref.PID, err
			},
		})
		r.until("it is gone", func() bool {
			_, there := r.rt.System().Lookup("panics/" + where)
			return starts.Load() > 0 && !there
		})
		assert.EqualValues(t, 1, starts.Load(), where)
	}
	assert.Equal(t, "echo: still here", r.mustAsk("still here").Text)
	assert.Equal(t, 1, r.Info().Generation)
	shutdown(t, r.rt)
	for _, where := range []string{"Started", "Receive"} {
		found := 0
		for _, record := range r.records(audit.SupervisorEvent) {
			if reason, _ := record.Detail["reason"].(string); record.Detail["child"] == "panics-in-"+where && reason == "panic in "+where+": boom" {
				found++
				assert.Contains(t, record.Detail["stack"], "panicky", where)
			}
		}
		assert.Positive(t, found, where)
	}
}
