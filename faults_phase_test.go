package understudy_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
)

// crashPhase is a moment in the life of a process. run brings a session there, has its process end, and returns what the query
// that ran was told. No moment is waited for by time.
type crashPhase struct {
	name string
	cut  bool // a turn is cut
	kept bool // there is a conversation by then
	run  func(r *rig, crash func()) error
}

var crashPhases = []crashPhase{
	{"before the handshake is answered", false, false, func(r *rig, crash func()) error {
		r.until("there is a process", func() bool { return r.Info().PID != 0 })
		crash()
		return nil
	}},
	{"after it, without a prompt", false, false, func(_ *rig, crash func()) error {
		crash()
		return nil
	}},
	{"with a prompt of which nothing was said", false, true, func(r *rig, crash func()) error {
		pid := signal(r, r.Session, syscall.SIGSTOP)
		r.until("it is halted", func() bool { return halted(pid) }) // until all its threads are, one may read the prompt
		q := r.background("hello")
		r.until("the prompt is on its way", func() bool { return r.Info().State == session.Busy })
		crash()
		return q.wait(r.T)
	}},
	{"while a tool runs", true, true, func(r *rig, crash func()) error {
		command, entered, _ := r.gate("tool")
		q := r.background(bash("echo $$ > pid; " + command))
		entered()
		tool := r.pidIn("pid")
		crash()
		err := q.wait(r.T)
		r.until("the tool is gone", func() bool { return !alive(tool) })
		return err
	}},
	{"while somebody is asked for permission", true, true, func(r *rig, crash func()) error {
		q := r.background(bash("touch asked"))
		asked := r.pending()
		crash()
		err := q.wait(r.T)
		assert.ErrorIs(r, r.rt.Answer(r.within(), asked.ID, session.ApprovalAnswer{Allow: true}), session.ErrNoApproval)
		assert.NoFileExists(r, filepath.Join(r.work, "asked"))
		return err
	}},
	{"after the result", false, true, func(r *rig, crash func()) error {
		r.mustAsk("hello")
		crash()
		return nil
	}},
}

// crashEnd is how the process ends.
type crashEnd struct {
	name  string
	class process.ExitClass
	do    func(r *rig)
}

func bySignal(sig syscall.Signal, class process.ExitClass) crashEnd {
	return crashEnd{sig.String(), class, func(r *rig) { signal(r, r.Session, sig) }}
}

var (
	killed  = bySignal(syscall.SIGKILL, process.ClassKilled)
	faulted = bySignal(syscall.SIGSEGV, process.ClassCrashed)
	aborted = bySignal(syscall.SIGABRT, process.ClassCrashed)
	starved = crashEnd{"out of memory", process.ClassMemory, outOfMemory}
)

// Fault: the CLI is killed, by somebody or by the kernel for lack of memory, or crashes by SIGSEGV: before the handshake is answered,
// after it, with a prompt of which it has said nothing yet, while a tool runs, while somebody is asked for permission, after the result
// Outcome: a turn that had begun ends with a CrashError; a prompt of which nothing was said runs in the next process; tools and
// questions end with the process; the next generation is on the same conversation, if there was one, and one restart is counted. A lack
// of memory is a class of its own
// On: simulated, real
func TestCrashInEveryPhase(t *testing.T) {
	t.Parallel()
	for i, phase := range crashPhases {
		var real []crashEnd
		switch {
		case os.Getenv("UNDERSTUDY_CHAOS") != "":
			real = []crashEnd{killed, faulted, aborted, starved}
		case i == 0, i == 2: // what other scenarios do not play to the real CLI
			real = []crashEnd{killed}
		case i == 3:
			real = []crashEnd{starved}
		}
		t.Run(phase.name, func(t *testing.T) {
			t.Parallel()
			simulated := []crashEnd{killed, faulted, starved}
			if i == 2 { // it is halted: only what kills it there keeps it from taking the prompt up first
				kills := func(e crashEnd) bool { return e.class == process.ClassCrashed }
				simulated, real = slices.DeleteFunc(simulated, kills), slices.DeleteFunc(real, kills)
			}
			for cli, ends := range map[string][]crashEnd{"sim": simulated, "real": real} {
				for _, end := range ends {
					t.Run(cli+" "+end.name, func(t *testing.T) {
						t.Parallel()
						crashIn(newRig(t, cli == "real"), phase, end)
					})
				}
			}
		})
	}
}

// memoryLimit is more than either CLI needs, and soon used up.
const memoryLimit = 640 << 20

// needMemoryLimit skips a test where the memory of a session cannot be limited.
func needMemoryLimit(t *testing.T) {
	t.Helper()
	p, err := process.Start(process.Launch{
		Path: "/bin/true", Marker: "test-" + uuid.NewString() + "/limit/1", Limits: process.Limits{Memory: memoryLimit},
	}, process.Options{})
	if err != nil {
		t.Skip("the memory of a session cannot be limited here: ", err)
	}
	_, err = io.Copy(io.Discard, p.Stdout())
	require.NoError(t, err)
	<-p.Done()
}

// halted reports whether no thread of a process runs.
func halted(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if _, state, ok := strings.Cut(string(stat), ") "); err != nil || !ok || state[0] != 'T' {
			return false
		}
	}
	return true
}

// outOfMemory has another program use up what the session may have, and the kernel choose the CLI.
func outOfMemory(r *rig) {
	r.Helper()
	pid := signal(r, r.Session, syscall.SIGSTOP) // so that it stays where it is
	require.NoError(r, os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("1000"), 0))
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	require.NoError(r, err)
	var procs string
	for line := range strings.Lines(string(groups)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		dir := map[string]string{"": "/sys/fs/cgroup", "memory": "/sys/fs/cgroup/memory"}[f[1]]
		// Controllers on version 1 come first in this list; where there are some, memory is not on version 2.
		if dir != "" && procs == "" && strings.Contains(f[2], "understudy") {
			procs = filepath.Join(dir, f[2], "cgroup.procs")
		}
	}
	require.FileExists(r, procs, "the session's group: %s", groups)
	// Four of them: the kernel counts in thousandths of the limit, rounded down, and a CLI that was halted right at its start has so
	// little of its own that a single one, which has all that there is, would be chosen.
	hog := exec.Command("/bin/sh", "-c", `echo $$ > "$0" && for i in 1 2 3 4; do tail /dev/zero & done; wait`, procs)
	require.NoError(r, hog.Start())
	gone := make(chan struct{})
	go func() { // ends with the session's group
		_ = hog.Wait() // it is killed
		close(gone)
	}()
	r.Cleanup(func() {
		_ = hog.Process.Kill() // it has ended
		<-gone
	})
}

func crashIn(r *rig, phase crashPhase, end crashEnd) {
	early := !phase.cut && phase.name == crashPhases[0].name
	if phase.cut { // who may run a tool and who must ask is all that differs
		r.spec.AllowedTools = map[bool][]string{true: {"Bash"}}[phase.name == "while a tool runs"]
	}
	if end.class == process.ClassMemory {
		needMemoryLimit(r.T)
		r.spec.Limits.Memory = memoryLimit
	}
	if early {
		if !r.real {
			r.spec.Env = with(r.spec.Env, "UNDERSTUDY_SIM_STARTUP", "slow:300ms")
		}
		r.options.Sessions = []understudy.SessionSpec{{Name: "worker", Options: r.spec}}
		r.up()
		var err error
		r.Session, err = r.rt.Session("worker")
		require.NoError(r, err)
	} else {
		r.boot()
	}
	id := r.Info().SessionID
	err := phase.run(r, func() { end.do(r) })
	if phase.cut {
		var crash *session.CrashError
		require.ErrorAs(r, err, &crash)
		assert.Equal(r, session.PhaseTurn, crash.Phase)
		assert.Equal(r, 1, crash.Generation)
		assert.True(r, crash.Resumable)
	} else {
		require.NoError(r, err)
	}
	r.until("the next generation is ready", func() bool {
		info := r.Info()
		return info.Generation >= 2 && info.State == session.Idle
	})
	history := r.history()
	info := r.Info()
	assert.Equal(r, 2, info.Generation)
	assert.Equal(r, 1, info.Restarts)
	assert.Equal(r, id, info.SessionID)
	if phase.kept {
		assert.NotEqual(r, "history: ", history, "the conversation goes on")
	}
	var crash *session.CrashError
	require.ErrorAs(r, info.LastExit.Reason, &crash)
	if !r.real || end.class != process.ClassCrashed { // the real one has handlers of its own
		assert.Equal(r, end.class, crash.Class)
	}
	crashed := r.records(audit.SessionCrashed)
	require.Len(r, crashed, 1)
	assert.Equal(r, 1, crashed[0].Generation)
}
