package understudy_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/supervisor"
)

// patience is how long anything may take that a test waits for. It is for a busy machine: nothing here takes a tenth of it.
const patience = 2 * time.Minute

// madeUpKey is the key that sessions get. It is looked for in all places where it must not be.
const madeUpKey = "sk-ant-made-up-0123456789abcdef"

// rig is a runtime with one session, on one of the two CLIs.
type rig struct {
	*testing.T
	real    bool
	api     *sessiontest.API // of the real CLI
	options understudy.Options
	spec    session.Options
	work    string // the session's directory
	config  string // CLAUDE_CONFIG_DIR

	rt *understudy.Runtime
	*session.Session
	checked uint64 // how much of the log was held against its schema
}

// newRig describes a session "worker" that may use Bash, on the real CLI against the stand-in or on the simulation.
func newRig(t *testing.T, realCLI bool, options ...sessiontest.APIOption) *rig {
	t.Helper()
	home := t.TempDir()
	r := &rig{T: t, real: realCLI, work: t.TempDir(), config: filepath.Join(home, ".claude")}
	var env map[string]string
	if realCLI {
		r.options.CLI = session.CLI{Path: sessiontest.RealCLI(t)}
		r.api = sessiontest.NewAPI(t, options...)
		env = r.api.Env()
		delete(env, "ANTHROPIC_API_KEY")
	} else {
		r.options.CLI.Path, r.options.CLI.Args, env = sessiontest.CLI(t)
	}
	env["HOME"], env["CLAUDE_CONFIG_DIR"] = home, r.config
	r.options.DataDir = t.TempDir()
	r.options.Supervisor.Backoff = &supervisor.Backoff{Initial: time.Millisecond}
	if testing.Verbose() {
		r.options.Logger = zerolog.New(zerolog.NewTestWriter(t))
	}
	r.spec = session.Options{
		CWD: r.work, Env: env, APIKey: madeUpKey, AllowedTools: []string{"Bash"},
		Shutdown: supervisor.Within(10 * time.Second), StartTimeout: patience,
	}
	return r
}

// boot starts the runtime and the session. The test's end stops them, and nothing may be left.
func (r *rig) boot() {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	var err error
	r.rt, err = understudy.Start(ctx, r.options)
	require.NoError(r, err)
	rt := r.rt
	r.Cleanup(func() { shutdown(r.T, rt) })
	r.Session, err = rt.Spawn(ctx, "worker", r.spec)
	require.NoError(r, err)
}

// shutdown may be called more than once.
func shutdown(t *testing.T, rt *understudy.Runtime) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	assert.NoError(t, rt.Shutdown(ctx))
}

func (r *rig) within() context.Context {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	r.Cleanup(cancel)
	return ctx
}

func (r *rig) ask(prompt string) (session.Answer, error) {
	r.Helper()
	return r.Ask(r.within(), prompt)
}

func (r *rig) mustAsk(prompt string) session.Answer {
	r.Helper()
	answer, err := r.ask(prompt)
	require.NoError(r, err)
	return answer
}

// running is a query in the background.
type running struct {
	began chan struct{} // closed with its first message
	end   chan error
	text  *string // valid after end
}

func (r *rig) background(prompt string) running {
	q := running{make(chan struct{}), make(chan error, 1), new("")}
	ctx := r.within()
	go func() { // ends with the query
		began := false
		answer, err := session.Collect(func(yield func(protocol.Message, error) bool) {
			for m, err := range r.Query(ctx, prompt) {
				if !began {
					began = true
					close(q.began)
				}
				if !yield(m, err) {
					return
				}
			}
		})
		*q.text = answer.Text
		q.end <- err
	}()
	return q
}

func (q running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-q.end:
		return err
	case <-time.After(patience):
		require.FailNow(t, "the query does not end")
		return nil
	}
}

// until waits for something that nobody can be asked to tell.
func (r *rig) until(what string, f func() bool) {
	r.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			require.FailNow(r, "did not happen: "+what, "%+v", r.Info())
		}
	}
}

// gate is a Bash command that says that it runs, and goes on when it is let. Waiting costs nothing, and nothing refuses it.
func (r *rig) gate(name string) (command string, entered func(), open func()) {
	require.NoError(r, syscall.Mkfifo(filepath.Join(r.work, name), 0o600))
	command = "touch " + name + ".entered; read x < " + name + "; echo went through " + name
	entered = func() {
		r.Helper()
		r.until("the tool runs: "+name, func() bool { return exists(filepath.Join(r.work, name+".entered")) })
	}
	open = func() { require.NoError(r, os.WriteFile(filepath.Join(r.work, name), []byte("go\n"), 0)) }
	return command, entered, open
}

// bash is a prompt that makes the model use Bash.
func bash(command string) string { return tool(command, "") }

func tool(command, more string) string {
	return `[[tool:Bash {"command":` + strconv.Quote(command) + more + `}]]`
}

// signal sends a signal to a session's CLI, once there is one.
func signal(t interface {
	require.TestingT
	Helper()
}, s *session.Session, sig syscall.Signal) (pid int) {
	t.Helper()
	require.Eventually(t, func() bool { pid = s.Info().PID; return pid > 0 }, patience, time.Millisecond, "it has a process")
	send(t, pid, sig)
	return pid
}

// send sends a signal to a process, and to nothing else: process 0 would be all that runs with these tests.
func send(t interface {
	require.TestingT
	Helper()
}, pid int, sig syscall.Signal) {
	t.Helper()
	require.Greater(t, pid, 1)
	require.NoError(t, syscall.Kill(pid, sig))
}

// kill sends SIGKILL to the CLI.
func (r *rig) kill() {
	r.Helper()
	signal(r, r.Session, syscall.SIGKILL)
}

// signalIdle is killIdle with another signal.
func (r *rig) signalIdle(sig syscall.Signal) {
	r.Helper()
	generation := r.Info().Generation
	signal(r, r.Session, sig)
	r.until("the next generation is ready", func() bool {
		info := r.Info()
		return info.Generation > generation && info.State == session.Idle
	})
}

// killIdle kills the CLI between turns, and waits until the next one is up: what comes then is no question of timing.
func (r *rig) killIdle() {
	r.Helper()
	r.signalIdle(syscall.SIGKILL)
}

// history is what the model was told before, in the words of the model: it sees nothing but what the CLI sends.
func (r *rig) history() string {
	r.Helper()
	return r.mustAsk("[[history]]").Text
}

// records is the audit log, of these kinds if any are given, with all that was handed to it before. Each record is as its kind's schema says.
func (r *rig) records(kinds ...audit.Kind) []audit.Record {
	r.Helper()
	if r.rt != nil {
		r.until("what is on its way is in the log", func() bool { return r.rt.Audit().Status().Queue == 0 })
	}
	var found []audit.Record
	for record, err := range audit.Read(filepath.Join(r.options.DataDir, "audit")) {
		require.NoError(r, err)
		if record.Seq > r.checked {
			r.checked = record.Seq
			assert.NoError(r, audit.Check(record), "%+v", record)
		}
		if len(kinds) == 0 || slices.Contains(kinds, record.Kind) {
			found = append(found, record)
		}
	}
	return found
}

// transcripts are the files that the CLI keeps conversations in.
func (r *rig) transcripts() []string {
	files, err := filepath.Glob(filepath.Join(r.config, "projects", "*", r.Info().SessionID+".jsonl"))
	require.NoError(r, err)
	return files
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// pidIn waits for the number in a file of the session's directory.
func (r *rig) pidIn(name string) int {
	r.Helper()
	var pid int
	r.until("pid in "+name, func() bool {
		data, err := os.ReadFile(filepath.Join(r.work, name))
		if err != nil || !strings.HasSuffix(string(data), "\n") {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(data)))
		return err == nil
	})
	return outside(r.T, r.Info().PID, pid)
}

// outside is the pid that a process has here, which calls itself pid in the namespace of cli.
func outside(t *testing.T, cli, pid int) int {
	t.Helper()
	namespace := func(pid string) string {
		link, _ := os.Readlink("/proc/" + pid + "/ns/pid") // one of another user's, or gone
		return link
	}
	theirs := namespace(strconv.Itoa(cli))
	if theirs == namespace("self") {
		return pid
	}
	statuses, err := filepath.Glob("/proc/[0-9]*/status")
	require.NoError(t, err)
	for _, status := range statuses {
		data, _ := os.ReadFile(status) // gone meanwhile
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			here := filepath.Base(filepath.Dir(status))
			if len(f) > 1 && f[0] == "NSpid:" && f[len(f)-1] == strconv.Itoa(pid) && namespace(here) == theirs {
				n, err := strconv.Atoi(here)
				require.NoError(t, err)
				return n
			}
		}
	}
	require.FailNow(t, "no such process in the session's pid namespace", "%d of %s", pid, theirs)
	return 0
}

// alive reports whether a process is there and no zombie, which its new parent may take its time to reap.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

// with returns a copy of the environment with one variable more.
func with(env map[string]string, name, value string) map[string]string {
	env = maps.Clone(env)
	env[name] = value
	return env
}

// Name is the test's: testify prints it, and the session, which has one too, may not be there yet.
func (r *rig) Name() string { return r.T.Name() }
