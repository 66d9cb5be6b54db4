package understudy_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// victimVariable has, for a test that runs once more in a process of its own, what it is to do there before it kills itself.
const victimVariable = "UNDERSTUDY_TEST_VICTIM"

// victim is a runtime that is killed, in a process of its own: one on the data directory of the test that has started it.
type victim struct {
	DataDir string            `json:"data_dir"`
	Work    string            `json:"work"`
	Env     map[string]string `json:"env"`  // of the CLI
	Task    string            `json:"task"` // the test's own
}

// taskOfVictim is what this process is to do if it is one; r then works on the data of the test that has started it.
func (r *rig) taskOfVictim() (task string, is bool) {
	text, is := os.LookupEnv(victimVariable)
	if !is {
		return "", false
	}
	var v victim
	require.NoError(r, json.Unmarshal([]byte(text), &v))
	r.options.DataDir, r.work, r.spec.CWD = v.DataDir, v.Work, v.Work
	maps.Copy(r.spec.Env, v.Env)
	return v.Task, true
}

// kills runs the test in a process of its own, which does its task and then kills itself. What it says is the test's if it does not.
func (r *rig) kills(task string) {
	r.Helper()
	self, err := os.Executable()
	require.NoError(r, err)
	told, err := json.Marshal(victim{DataDir: r.options.DataDir, Work: r.work, Task: task, Env: map[string]string{
		"HOME": r.spec.Env["HOME"], "CLAUDE_CONFIG_DIR": r.config,
	}})
	require.NoError(r, err)
	ctx := r.within()
	cmd := exec.CommandContext(ctx, self, "-test.run=^"+r.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), victimVariable+"="+string(told), "TMPDIR="+r.TempDir()) // it does not clean up
	out, err := cmd.CombinedOutput()
	require.NoError(r, ctx.Err(), "it does not kill itself: %s", out)
	exit := cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(r, err != nil && exit.Signaled() && exit.Signal() == syscall.SIGKILL, "%v: %s", err, out)
}

// onDisk is what is looked at of the session's record.
func (r *rig) onDisk() (kept struct {
	Queue []struct {
		Attempts int `json:"attempts"`
	} `json:"queue"`
}) {
	data, err := os.ReadFile(filepath.Join(r.options.DataDir, "state", "worker.json"))
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	require.NoError(r, err)
	return kept
}

// killYourself is how a runtime ends that is killed: nothing of it runs any more.
func killYourself() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // it cannot fail
	select {}
}

// configured starts the runtime with the session in its configuration.
func (r *rig) configured(spec session.Options) {
	r.Helper()
	r.options.Sessions = []understudy.SessionSpec{{Name: "worker", Options: spec}}
	var err error
	r.rt, err = understudy.Start(r.within(), r.options)
	require.NoError(r, err)
	rt := r.rt
	r.Cleanup(func() { shutdown(r.T, rt) })
	r.Session, err = rt.Session("worker")
	require.NoError(r, err)
}

// queues starts the runtime, with prompts behind a turn that waits until all of them are on disk.
func (r *rig) queues(prompts ...string) {
	r.Helper()
	r.configured(r.spec)
	gate := filepath.Join(r.work, "gate")
	require.NoError(r, syscall.Mkfifo(gate, 0o600))
	first := r.background(`[[tool:Bash {"command":"cat gate"}]] remember`)
	<-first.began
	for n, prompt := range prompts {
		r.background(prompt)
		r.until(prompt, func() bool { return r.Info().Queue == n+1 })
	}
	r.until("they are on disk", func() bool { return len(r.onDisk().Queue) == 1+len(prompts) })
	require.NoError(r, os.WriteFile(gate, nil, 0))
}

// Fault: a prompt that is to be delivered again takes the whole runtime down, each time it is delivered
// Outcome: its deliveries are counted on disk before they are made: after two the next runtime gives it up, says so with the count, and
// delivers what waited behind it
// On: simulated
func TestAPromptThatKillsTheRuntimeIsGivenUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.spec.Redeliver = true
	deliveries := func() int {
		data, err := os.ReadFile(filepath.Join(r.work, "deliveries"))
		if err != nil {
			return 0
		}
		return strings.Count(string(data), "x")
	}
	if task, is := r.taskOfVictim(); is {
		r.options.OnMoment = func(m session.Moment) {
			if m.Kind != session.TurnStarted || m.Turn < 2 {
				return
			}
			f, err := os.OpenFile(filepath.Join(r.work, "deliveries"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			if err == nil {
				_, err = f.WriteString("x")
			}
			if err == nil {
				killYourself()
			}
		}
		if task == "ask" {
			r.queues("[[sleep:600]] the killer", "behind it")
		} else {
			r.configured(r.spec)
		}
		<-r.within().Done() // it is killed before
		t.Fatal("it lives")
	}
	r.kills("ask")
	assert.Equal(t, 1, deliveries())
	assert.Equal(t, 1, r.onDisk().Queue[0].Attempts)
	r.kills("come up")
	assert.Equal(t, 2, deliveries())
	assert.Equal(t, 2, r.onDisk().Queue[0].Attempts)

	r.configured(r.spec)
	answer, err := r.ask("[[history]]")
	require.NoError(t, err)
	assert.Equal(t, 2, deliveries(), "there is no third one")
	assert.True(t, strings.HasSuffix(answer.Text, "remember | [[sleep:600]] the killer | behind it"), "%s", answer.Text)
	lost := 0
	for _, n := range r.records(audit.SessionNotice) {
		if n.Detail["notice"] == string(session.NoticeQueueLost) && n.Detail["attempts"] != nil {
			lost++
			assert.EqualValues(t, 2, n.Detail["attempts"])
			assert.Contains(t, n.Detail["text"], "a prompt was given to 2 processes")
		}
	}
	assert.Equal(t, 1, lost)
}

// waitForTheDisk starts the runtime on what leftOnAFullDisk has left, in a session that comes to rest in that state.
func (r *rig) waitForTheDisk(state session.State) {
	r.Helper()
	r.configured(r.spec)
	r.until("it waits", func() bool {
		info := r.Info()
		return info.State == state && strings.Contains(info.Waits, "its state to be on disk, for 2 prompts of an earlier runtime")
	})
}

// leftOnAFullDisk has a runtime killed by "the killer", with "behind it" behind that. The disk where the state is kept is full by now.
func (r *rig) leftOnAFullDisk() (state string, room func()) {
	r.Helper()
	r.spec.Redeliver = true
	if task, is := r.taskOfVictim(); is {
		r.options.OnMoment = func(m session.Moment) {
			if m.Kind == session.TurnStarted && m.Turn > 1 {
				killYourself()
			}
		}
		if task == "wait" {
			r.waitForTheDisk(session.Idle)
			killYourself()
		}
		r.queues("the killer", "behind it")
		<-r.within().Done() // it is killed before
		require.FailNow(r, "it lives")
	}
	state = filepath.Join(r.options.DataDir, "state")
	require.NoError(r, os.Mkdir(state, 0o700))
	smallDisk(r.T, state)
	r.kills("ask")
	require.Equal(r, 1, r.onDisk().Queue[0].Attempts)
	halves, err := filepath.Glob(filepath.Join(state, "*.new-*"))
	require.NoError(r, err)
	for _, path := range halves { // what a killed runtime was writing would be room for the next one
		require.NoError(r, os.Remove(path))
	}
	return state, fillUp(r.T, state)
}

// deliveries is how often a prompt was given to a process.
func (r *rig) deliveries(prompt string) (n int) {
	r.Helper()
	for _, turn := range r.records(audit.TurnStarted) {
		if turn.Detail["prompt_sha256"] == fmt.Sprintf("%x", sha256.Sum256([]byte(prompt))) {
			n++
		}
	}
	return n
}

// Fault: as before, and the disk is full where the state is kept by the time of the second delivery; later it has room
// Outcome: what the earlier runtime has left is not delivered as long as that cannot be counted, through any number of runtimes, and they say
// so; new prompts are answered meanwhile; when the state is written it is delivered, in its order
// On: simulated
func TestAPromptThatKillsTheRuntimeWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	_, room := r.leftOnAFullDisk()
	r.kills("wait")

	r.waitForTheDisk(session.Idle)
	assert.Equal(t, 2, r.Info().Queue)
	assert.NotEmpty(t, r.Info().Unsaved)
	assert.Equal(t, "echo: a new one", r.mustAsk("a new one").Text)
	_, err := r.Vacate(r.within())
	require.ErrorIs(t, err, session.ErrAtWork)
	r.until("it is said", func() bool {
		return slices.ContainsFunc(r.records(audit.SessionNotice), func(n audit.Record) bool {
			return n.Detail["notice"] == string(session.NoticePromptsWait)
		})
	})
	assert.Equal(t, 1, r.onDisk().Queue[0].Attempts)
	assert.Equal(t, 1, r.deliveries("the killer"))
	room()
	r.until("they are delivered", func() bool { return r.Info().Queue == 0 && r.Info().State == session.Idle })
	assert.Empty(t, r.Info().Waits)
	assert.Equal(t, 2, r.deliveries("the killer"))
	// The killer is in the conversation from its first delivery if that process had read it before it was ended.
	assert.Regexp(t, `\| a new one( \| the killer)? \| behind it$`, r.history())
}

// Fault: prompts of an earlier runtime wait for the disk, as before, in a session whose process is ended when it is idle; the runtime is
// drained and stopped; the next one finds the disk full as well, and then it has room
// Outcome: the process is ended all the same, and none is started in vain; the drain does not wait, and what is left stays on disk; when the
// state is written one process is started, and it is delivered, in its order
// On: simulated
func TestPromptsThatWaitForTheDiskKeepNoProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	state, room := r.leftOnAFullDisk()
	r.spec.IdleTimeout = time.Millisecond
	for range 2 {
		r.waitForTheDisk(session.Hibernated)
		generation := r.Info().Generation
		for range 3 {
			var before, now os.FileInfo
			r.until("it is tried to write it", func() (changed bool) {
				var err error
				now, err = os.Stat(state)
				require.NoError(t, err)
				changed = before != nil && !now.ModTime().Equal(before.ModTime())
				before = now
				return changed
			})
		}
		assert.Equal(t, session.Hibernated, r.Info().State)
		assert.Equal(t, generation, r.Info().Generation)
		require.NoError(t, r.rt.Drain(r.within()))
		_, err := r.ask("too late")
		require.ErrorIs(t, err, session.ErrStopped)
		shutdown(t, r.rt)
		left := r.onDisk().Queue
		require.Len(t, left, 2)
		assert.Equal(t, []int{1, 0}, []int{left[0].Attempts, left[1].Attempts})
	}
	assert.NotContains(t, notices(t, r.options.DataDir), string(session.NoticeQueueLost))
	r.waitForTheDisk(session.Hibernated)
	generation := r.Info().Generation
	room()
	r.until("they are delivered", func() bool { return r.Info().Queue == 0 && r.Info().State == session.Hibernated })
	assert.Equal(t, generation+1, r.Info().Generation)
	assert.Equal(t, 2, r.deliveries("the killer"))
	assert.Equal(t, 1, r.deliveries("behind it"))
	assert.Regexp(t, `remember( \| the killer)? \| behind it$`, r.history())
}

// Fault: the CLI crashes on each resume of a conversation, and the runtime is killed after each of these crashes and started again
// Outcome: the crashes are counted over all of them: the second parks the session; each runtime after that tries once, and parks it with
// the reason; when the CLI resumes again the next one goes on with the conversation
// On: simulated
func TestCrashesOfAConversationAreCountedOverRuntimes(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	good := r.spec
	if task, is := r.taskOfVictim(); is {
		r.options.Supervisor.Backoff = &supervisor.Backoff{Initial: time.Hour} // the runtime is gone before the next process
		bad := r.spec
		bad.Env = with(r.spec.Env, "UNDERSTUDY_SIM_STARTUP", "exit:3")
		r.configured(bad)
		state := session.State(task)
		r.until(task, func() bool { return r.Info().State == state })
		if state == session.Failed {
			var crash *session.CrashError
			require.ErrorAs(t, r.Info().Reason, &crash)
			assert.True(t, crash.Poisoned)
			_, err := r.ask("hello")
			assert.ErrorIs(t, err, session.ErrFailed)
		}
		if !t.Failed() {
			killYourself()
		}
		return
	}
	r.configured(good)
	r.mustAsk("remember")
	shutdown(t, r.rt)
	for _, state := range []session.State{session.Restarting, session.Failed, session.Failed} {
		r.kills(string(state))
	}

	r.configured(good)
	r.until("it is idle", func() bool { return r.Info().State == session.Idle })
	assert.Equal(t, "history: remember", r.history())
	assert.Equal(t, 5, r.Info().Generation, "one process of each runtime")
}
