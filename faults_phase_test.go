package understudy_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
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
		signal(r, r.Session, syscall.SIGSTOP)
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

// Fault: the CLI is killed, or crashes by SIGSEGV: before the handshake is answered, after it, with a prompt of which it has said
// nothing yet, while a tool runs, while somebody is asked for permission, after the result
// Outcome: a turn that had begun ends with a CrashError; a prompt of which nothing was said runs in the next process; tools and
// questions end with the process; the next generation is on the same conversation, if there was one, and one restart is counted
// On: simulated, real
func TestCrashInEveryPhase(t *testing.T) {
	for i, phase := range crashPhases {
		var real []syscall.Signal
		switch {
		case os.Getenv("UNDERSTUDY_CHAOS") != "":
			real = []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGABRT}
		case i == 0, i == 2: // what other scenarios do not play to the real CLI
			real = []syscall.Signal{syscall.SIGKILL}
		}
		t.Run(phase.name, func(t *testing.T) {
			t.Parallel()
			simulated := []syscall.Signal{syscall.SIGKILL, syscall.SIGSEGV}
			if i == 2 { // it is halted: only what kills it there keeps it from taking the prompt up first
				simulated, real = simulated[:1], real[:min(1, len(real))]
			}
			for cli, signals := range map[string][]syscall.Signal{"sim": simulated, "real": real} {
				for _, sig := range signals {
					t.Run(cli+" "+sig.String(), func(t *testing.T) {
						t.Parallel()
						crashIn(newRig(t, cli == "real"), phase, sig)
					})
				}
			}
		})
	}
}

func crashIn(r *rig, phase crashPhase, sig syscall.Signal) {
	early := !phase.cut && phase.name == crashPhases[0].name
	if phase.cut { // who may run a tool and who must ask is all that differs
		r.spec.AllowedTools = map[bool][]string{true: {"Bash"}}[phase.name == "while a tool runs"]
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
	err := phase.run(r, func() {
		signal(r, r.Session, sig)
	})
	if phase.cut {
		var crash *session.CrashError
		require.ErrorAs(r, err, &crash)
		assert.Equal(r, session.PhaseTurn, crash.Phase)
		assert.Equal(r, 1, crash.Generation)
		assert.True(r, crash.Resumable)
		if sig == syscall.SIGKILL {
			assert.Equal(r, sig, crash.Exit.Signal)
		}
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
	crashed := r.records(audit.SessionCrashed)
	require.Len(r, crashed, 1)
	assert.Equal(r, 1, crashed[0].Generation)
}
