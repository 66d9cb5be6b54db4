package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/supervisor"
)

func TestMain(m *testing.M) { sessiontest.Main(sessiontest.NothingLeft(m)) }

// bench is a session under a supervisor, on the simulated CLI.
type bench struct {
	t   *testing.T
	sys *actor.System
	sup *supervisor.Supervisor
	*session.Session
	told chan supervisor.Event
}

// spec is a session on the simulated CLI.
func spec(t *testing.T, name string) session.Spec {
	path, args, env := sessiontest.CLI(t)
	env["GORACE"] = "atexit_sleep_ms=0"
	logger := zerolog.Nop()
	if testing.Verbose() {
		logger = zerolog.New(zerolog.NewTestWriter(t))
	}
	return session.Spec{
		Name: name, CLI: session.CLI{Path: path, Args: args}, Runtime: "test-" + uuid.NewString(), StateDir: t.TempDir(),
		Options: session.Options{
			CWD: t.TempDir(), Env: env, StartTimeout: time.Minute,
			AllowedTools: []string{"Bash", "Read"}, Shutdown: supervisor.Within(8 * time.Second),
		},
		Logger: logger,
	}
}

// start puts a session under a supervisor of its own.
func start(t *testing.T, sp session.Spec) *bench {
	t.Helper()
	b := &bench{t: t, sys: actor.NewSystem(actor.Options{}), told: make(chan supervisor.Event, 1000)}
	s, err := session.New(b.sys, sp)
	require.NoError(t, err)
	b.Session = s
	b.sup, err = supervisor.Start(t.Context(), b.sys, supervisor.Options{Name: "sessions", OnEvent: func(e supervisor.Event) {
		if e.Child == "" || e.Child == sp.Name {
			s.Supervised(e)
		}
		b.told <- e
	}})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		assert.NoError(t, b.sup.Stop(ctx))
		report := process.SweepPrefix(sp.Runtime + "/")
		assert.Empty(t, report.Killed, "processes left behind")
	})
	child := s.ChildSpec(supervisor.DefaultIntensity, supervisor.Backoff{})
	_, err = b.sup.StartChild(t.Context(), child)
	require.NoError(t, err)
	return b
}

// await waits for an event of the supervisor.
func (b *bench) await(kind supervisor.EventKind) supervisor.Event {
	b.t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case e := <-b.told:
			if e.Kind == kind {
				return e
			}
		case <-deadline:
			require.FailNow(b.t, "no event", "%s; %+v", kind, b.Info())
		}
	}
}

// kill sends SIGKILL to the CLI, once there is one: process 0 would be all that runs with these tests.
func (b *bench) kill() {
	b.t.Helper()
	var pid int
	require.Eventually(b.t, func() bool { pid = b.Info().PID; return pid > 0 }, time.Minute, time.Millisecond, "it has a process")
	require.NoError(b.t, syscall.Kill(pid, syscall.SIGKILL))
}

func (b *bench) ask(prompt string) (session.Answer, error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	return b.Ask(ctx, prompt)
}

func (b *bench) mustAsk(prompt string) session.Answer {
	b.t.Helper()
	a, err := b.ask(prompt)
	require.NoError(b.t, err)
	return a
}

// until reads a query in the background up to the first message that f accepts, and returns the rest.
func (b *bench) background(prompt string) (first chan protocol.Message, rest chan error) {
	first, rest = make(chan protocol.Message, 1), make(chan error, 1)
	ctx := b.t.Context()
	go func() {
		var last error
		seen := false
		for m, err := range b.Query(ctx, prompt) {
			last = err
			if !seen {
				seen = true
				first <- m
			}
		}
		rest <- last
	}()
	return first, rest
}

func TestTwoTurnsOfOneConversation(t *testing.T) {
	b := start(t, spec(t, "reviewer"))
	assert.Equal(t, "echo: hello", b.mustAsk("hello").Text)
	answer := b.mustAsk("[[history]]")
	assert.Contains(t, answer.Text, "hello")
	info := b.Info()
	assert.Equal(t, session.Idle, info.State)
	assert.Equal(t, 2, info.Turns)
	assert.Equal(t, 1, info.Generation)
	assert.InDelta(t, 0.01, info.CostUSD, 1e-9)
	assert.NotZero(t, info.PID)
}

func TestQueryGetsTheFramesOfItsTurnAndTheResultLast(t *testing.T) {
	b := start(t, spec(t, "a"))
	var kinds []string
	for m, err := range b.Query(t.Context(), `[[tool:Bash {"command":"echo hi"}]]`) {
		require.NoError(t, err)
		kinds = append(kinds, m.Kind())
	}
	assert.Equal(t, []string{"system/init", "assistant", "user", "assistant", "result/success"}, kinds)
}

func TestKilledBetweenTurnsTheNextQueryIsAnsweredByTheNextGeneration(t *testing.T) {
	b := start(t, spec(t, "a"))
	b.mustAsk("first")
	before := b.Info()
	b.kill()
	answer := b.mustAsk("[[history]]")
	assert.Contains(t, answer.Text, "first")
	after := b.Info()
	assert.Equal(t, 2, after.Generation)
	assert.Equal(t, before.SessionID, after.SessionID)
	assert.InDelta(t, 0.01, after.CostUSD, 1e-9, "what the first process spent is kept")
}

func TestKilledDuringATurnTheQueryLearnsWhyAndQueuedOnesAreAnswered(t *testing.T) {
	b := start(t, spec(t, "a"))
	first, rest := b.background("[[sleep:30]] x")
	<-first
	_, queued := b.background("queued")
	require.Eventually(t, func() bool { return b.Info().Queue == 1 }, time.Minute, time.Millisecond)
	b.kill()
	err := <-rest
	var crash *session.CrashError
	require.ErrorAs(t, err, &crash)
	assert.Equal(t, syscall.SIGKILL, crash.Exit.Signal)
	assert.Equal(t, session.PhaseTurn, crash.Phase)
	assert.True(t, crash.Resumable)
	assert.Equal(t, 1, crash.Generation)
	assert.NoError(t, <-queued)
	assert.Equal(t, 2, b.Info().Generation)
}

func TestATurnThatTheCLIStartsByItselfLeaksIntoNoQuery(t *testing.T) {
	b := start(t, spec(t, "a"))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	own := make(chan session.Event, 100)
	go func() {
		for e, err := range b.Watch(ctx) {
			if err != nil {
				return
			}
			if _, isResult := e.Message.(*protocol.Result); isResult && e.Own {
				own <- e
			}
		}
	}()
	assert.Equal(t, "echo: [[selfturn:50ms intruder]] mine", strings.TrimSpace(b.mustAsk("[[selfturn:50ms intruder]] mine").Text))
	for i := range 5 {
		a := b.mustAsk("again")
		assert.Equal(t, "echo: again", a.Text, "query %d", i)
		assert.Nil(t, a.Result.Origin)
	}
	select {
	case <-own:
	case <-time.After(time.Minute):
		t.Fatal("the CLI's own turn was not seen by the watcher")
	}
}

func TestInterruptEndsTheTurnAndTheSessionGoesOn(t *testing.T) {
	b := start(t, spec(t, "a"))
	first, rest := b.background("[[sleep:30]] x")
	<-first
	require.NoError(t, b.Interrupt(t.Context()))
	err := <-rest
	assert.ErrorIs(t, err, session.ErrInterrupted)
	assert.Equal(t, "echo: next", b.mustAsk("next").Text)
	assert.Equal(t, 1, b.Info().Generation)
	assert.NoError(t, b.Interrupt(t.Context()), "idle: nothing to do")
}

func TestLeavingTheLoopInterruptsTheTurn(t *testing.T) {
	b := start(t, spec(t, "a"))
	for m, err := range b.Query(t.Context(), "[[sleep:30]] x") {
		require.NoError(t, err)
		require.Equal(t, "system/init", m.Kind())
		break
	}
	assert.Equal(t, "echo: next", b.mustAsk("next").Text)
	assert.Equal(t, 1, b.Info().Generation)

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := b.Ask(ctx, "[[sleep:30]] y")
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Equal(t, "echo: last", b.mustAsk("last").Text)
	assert.Equal(t, 1, b.Info().Generation)
}

func TestErrorResultsAreTypedAndNoCrash(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.MaxTurns = 1
	b := start(t, sp)
	_, err := b.ask(`[[tool:Bash {"command":"true"}]] [[tool:Bash {"command":"true"}]]`)
	var result *session.ResultError
	require.ErrorAs(t, err, &result)
	assert.Equal(t, protocol.ResultErrorMaxTurns, result.Result.Subtype)
	assert.Equal(t, "echo: on", b.mustAsk("on").Text)

	sp = spec(t, "b")
	sp.Options.MaxBudgetUSD = 0.012
	c := start(t, sp)
	c.mustAsk("one")
	c.mustAsk("two")
	_, err = c.ask("three")
	assert.ErrorIs(t, err, session.ErrBudgetExhausted)
	_, err = c.ask("four")
	assert.ErrorIs(t, err, session.ErrBudgetExhausted)
	assert.Equal(t, 1, c.Info().Generation)
}

func TestBudgetIsForTheWholeLife(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.MaxBudgetUSD = 0.014
	b := start(t, sp)
	b.mustAsk("one")
	b.kill()
	b.mustAsk("two")
	b.kill()
	_, err := b.ask("three") // reaches the limit within this process's first turn
	assert.ErrorIs(t, err, session.ErrBudgetExhausted)
	assert.InDelta(t, 0.015, b.Info().CostUSD, 1e-9)
}

func TestPermissionCallback(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.AllowedTools = nil
	var asked []string
	sp.Options.CanUseTool = func(_ context.Context, q *protocol.CanUseTool) (protocol.PermissionResult, error) {
		asked = append(asked, q.ToolName)
		var in struct{ Command string }
		if err := json.Unmarshal(q.Input, &in); err != nil {
			return nil, err
		}
		switch {
		case strings.Contains(in.Command, "allowed"):
			return protocol.Allowed(q), nil
		case strings.Contains(in.Command, "panic"):
			panic("callback panic")
		case strings.Contains(in.Command, "nil"):
			return nil, nil
		case strings.Contains(in.Command, "error"):
			return nil, errors.New("no idea")
		}
		return protocol.NewDeny("not here")
	}
	events := make(chan session.ToolEvent, 10)
	sp.Options.ToolCallback = func(e session.ToolEvent) { events <- e; panic("tool callback panic") }
	b := start(t, sp)
	for _, test := range []struct {
		command string
		denied  bool
	}{{"touch allowed", false}, {"touch x", true}, {"touch panic", true}, {"touch nil", true}, {"touch error", true}} {
		b.mustAsk(`[[tool:Bash {"command":"` + test.command + `"}]]`)
		e := <-events
		assert.Equal(t, test.denied, e.Denied, "%+v", e)
		assert.Equal(t, test.denied, e.IsError, "%+v", e)
		assert.Equal(t, "Bash", e.Name)
		assert.JSONEq(t, `{"command":"`+test.command+`"}`, string(e.Input))
		assert.Equal(t, "a", e.Session)
		assert.NotEmpty(t, e.ToolUseID)
	}
	assert.Len(t, asked, 5)
	assert.Equal(t, 1, b.Info().Generation, "no panic of a callback is the session's")
}

func TestToolsOfAKilledSessionAreEnded(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.Containment.Without = []process.Layer{process.LayerPIDNamespace} // so that the tool knows its pid
	b := start(t, sp)
	file := filepath.Join(b.Info().CWD, "pid")
	first, rest := b.background(`[[tool:Bash {"command":"echo $$ > ` + file + `; exec tail -f /dev/null"}]]`)
	<-first
	var pid string
	require.Eventually(t, func() bool {
		data, _ := os.ReadFile(file) // not there yet
		pid = strings.TrimSpace(string(data))
		return pid != ""
	}, time.Minute, time.Millisecond)
	b.kill()
	assert.Error(t, <-rest)
	b.await(supervisor.ChildStarted)
	b.await(supervisor.ChildStarted)
	assert.False(t, running(pid), "the tool is gone before the next generation is up")
}

// running reports whether a process is there and no zombie that its new parent has yet to reap.
func running(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

func TestStartsThatCannotSucceedAreParkedAtOnce(t *testing.T) {
	missing := "/does/not/exist"
	for _, test := range []struct {
		name   string
		change func(*session.Spec)
		want   string
	}{
		{"missing-binary", func(s *session.Spec) { s.CLI = session.CLI{Path: missing} }, missing},
		{"missing-cwd", func(s *session.Spec) { s.Options.CWD = missing }, missing},
		{"unknown-flag", func(s *session.Spec) { s.Options.ExtraArgs = map[string]*string{"no-such-flag": nil} }, "no-such-flag"},
	} {
		t.Run(test.name, func(t *testing.T) {
			sp := spec(t, test.name)
			test.change(&sp)
			sys := actor.NewSystem(actor.Options{})
			s, err := session.New(sys, sp)
			require.NoError(t, err)
			_, err = s.Start(t.Context())
			require.Error(t, err)
			assert.Contains(t, err.Error(), test.want)
			assert.True(t, supervisor.Permanently(err), "%v", err)
			assert.Empty(t, sys.Actors())
		})
	}
}

func TestACLIThatSaysNothingOrGarbage(t *testing.T) {
	for mode, want := range map[string]string{"silent": "did not answer the handshake within 500ms", "garbage": "garbage on stdout"} {
		t.Run(mode, func(t *testing.T) {
			sp := spec(t, "a")
			sp.Options.StartTimeout = 500 * time.Millisecond
			if mode == "garbage" {
				sp.Options.StartTimeout = time.Minute
			}
			sp.Options.Env["UNDERSTUDY_SIM_STARTUP"] = mode
			s, err := session.New(actor.NewSystem(actor.Options{}), sp)
			require.NoError(t, err)
			_, err = s.Start(t.Context())
			require.Error(t, err)
			assert.Contains(t, err.Error(), want)
			assert.Empty(t, process.SweepPrefix(sp.Runtime+"/").Killed)
		})
	}
}

func TestCrashLoopIsParkedAndQueriesAreToldWhy(t *testing.T) {
	b := start(t, spec(t, "a"))
	for range 4 {
		_, err := b.ask("[[exit:3]]")
		var crash *session.CrashError
		require.ErrorAs(t, err, &crash)
		assert.Equal(t, 3, crash.Exit.Code)
	}
	b.await(supervisor.ChildParked)
	_, err := b.ask("hello")
	assert.ErrorIs(t, err, session.ErrFailed)
	assert.Equal(t, session.Failed, b.Info().State)
	b.Starting()
	_, err = b.sup.RecycleChild(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, "echo: hello", b.mustAsk("hello").Text)
}

func TestQueueIsBoundedAndStopEndsIt(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.MaxQueue = 2
	b := start(t, sp)
	first, running := b.background("[[sleep:30]] x")
	<-first
	var ends []chan error
	for range 2 {
		_, rest := b.background("waiting")
		ends = append(ends, rest)
	}
	require.Eventually(t, func() bool { return b.Info().Queue == 2 }, time.Minute, time.Millisecond)
	_, err := b.ask("one too many")
	assert.ErrorIs(t, err, session.ErrQueueFull)
	require.NoError(t, b.sup.TerminateChild(t.Context(), "a"))
	assert.Error(t, <-running)
	for _, end := range ends {
		assert.ErrorIs(t, <-end, session.ErrStopped)
	}
	_, err = b.ask("after")
	assert.ErrorIs(t, err, session.ErrStopped)
}

func TestGarbageHugeLinesAndSilentEnds(t *testing.T) {
	b := start(t, spec(t, "a"))
	b.mustAsk("begin")
	longest := 0
	for m, err := range b.Query(t.Context(), "[[hugeline:4000000]]") {
		require.NoError(t, err)
		longest = max(longest, len(m.Raw()))
	}
	assert.Greater(t, longest, 4_000_000)
	for _, prompt := range []string{"[[hugeline:20000000]]", "[[exit:0]]"} {
		_, err := b.ask(prompt)
		var crash *session.CrashError
		require.ErrorAs(t, err, &crash, prompt)
		b.await(supervisor.ChildStarted)
	}
	assert.Contains(t, b.mustAsk("[[history]]").Text, "begin")
}

func TestRecordSurvivesTheRuntime(t *testing.T) {
	sp := spec(t, "a")
	first := start(t, sp)
	first.mustAsk("remember me")
	before := first.Info()
	require.NoError(t, first.sup.TerminateChild(t.Context(), "a"))
	second := start(t, sp)
	assert.Contains(t, second.mustAsk("[[history]]").Text, "remember me")
	after := second.Info()
	assert.Equal(t, before.SessionID, after.SessionID)
	assert.Equal(t, 2, after.Generation)
	assert.InDelta(t, 0.01, after.CostUSD, 1e-9)
}

func TestDamagedRecordIsSetAside(t *testing.T) {
	sp := spec(t, "a")
	require.NoError(t, os.WriteFile(filepath.Join(sp.StateDir, "a.json"), []byte("{half"), 0o600))
	s, err := session.New(actor.NewSystem(actor.Options{}), sp)
	var state *session.StateError
	require.ErrorAs(t, err, &state)
	require.NotNil(t, s)
	assert.FileExists(t, filepath.Join(sp.StateDir, "a.json.damaged"))
}

func TestABrutalKillLeavesNoQueryHanging(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.Shutdown = supervisor.BrutalKill
	b := start(t, sp)
	first, rest := b.background("[[sleep:30]] x")
	<-first
	pid := b.Info().PID
	require.NoError(t, b.sup.TerminateChild(t.Context(), "a"))
	assert.ErrorIs(t, <-rest, session.ErrStopped)
	assert.Eventually(t, func() bool { return !running(strconv.Itoa(pid)) }, time.Minute, time.Millisecond)
}

func TestStopDuringATurnEndsItWithinTheShutdownTime(t *testing.T) {
	b := start(t, spec(t, "a"))
	first, rest := b.background(`[[tool:Bash {"command":"trap '' TERM; echo on; exec tail -f /dev/null"}]]`)
	<-first
	require.NoError(t, b.sup.TerminateChild(t.Context(), "a"))
	err := <-rest
	assert.True(t, errors.Is(err, session.ErrStopped) || errors.Is(err, session.ErrInterrupted), "%v", err)
	assert.Equal(t, session.Stopped, b.Info().State)
}

func TestRedeliverSendsACutPromptOnceMore(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.Redeliver = true
	b := start(t, sp)
	b.mustAsk("begin")
	// Killed before the model had answered: it runs again.
	first, rest := b.background("[[sleep:1]] again")
	<-first
	b.kill()
	require.NoError(t, <-rest)
	assert.Equal(t, 2, b.Info().Generation)
	// Killed after it had begun to: it does not.
	file := filepath.Join(b.Info().CWD, "on")
	_, end := b.background(`[[tool:Bash {"command":"touch ` + file + `; exec tail -f /dev/null"}]]`)
	require.Eventually(t, func() bool { _, err := os.Stat(file); return err == nil }, time.Minute, time.Millisecond)
	b.kill()
	var crash *session.CrashError
	require.ErrorAs(t, <-end, &crash)
	assert.Equal(t, 2, crash.Generation)
	assert.Equal(t, "echo: on", b.mustAsk("on").Text)
}

// TestRedeliverGivesUp: a prompt with which each process dies is not sent for ever, and the error says how often it was.
func TestRedeliverGivesUp(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.Redeliver = true
	moments := listen(&sp)
	b := start(t, sp)
	_, end := b.background("[[sleep:60]] the killer")
	for generation := range 2 {
		for m := range moments {
			if m.Kind == session.TurnStarted && m.Generation == generation+1 {
				break
			}
		}
		b.kill()
	}
	err := <-end
	var crash *session.CrashError
	require.ErrorAs(t, err, &crash)
	assert.Equal(t, 2, crash.Generation)
	assert.ErrorContains(t, err, "its prompt was given to 2 processes")
	assert.Equal(t, "echo: on", b.mustAsk("on").Text)
}
