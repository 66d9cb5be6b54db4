package understudy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/sessiontest"
)

// limited are the tool calls that a limit has denied.
func (r *rig) limited() (denied []audit.Record) {
	for _, decision := range r.records(audit.ToolDecision) {
		if decision.Decision.By == "limit" {
			denied = append(denied, decision)
		}
	}
	return denied
}

// notices are the kinds of notices in the audit log that are about limits.
func (r *rig) notices() (kinds []string) {
	for _, notice := range r.records(audit.SessionNotice) {
		switch kind := notice.Detail["notice"]; kind {
		case string(session.NoticeToolLoop), string(session.NoticeToolLoopEnded), string(session.NoticeSubagentsLimited):
			kinds = append(kinds, fmt.Sprint(kind))
		}
	}
	return kinds
}

func toolLoop(r *rig) {
	r.spec.MaxIdenticalToolCalls = 3
	r.boot()
	_, err := r.ask("[[loop]]")
	require.ErrorIs(r, err, session.ErrToolLoop)
	require.ErrorContains(r, err, "Bash was called 7 times in a row")
	ran := 0
	for _, result := range r.records(audit.ToolResult) {
		if !*result.IsError {
			ran++
		}
	}
	assert.Equal(r, 3, ran)
	denied := r.limited()
	require.GreaterOrEqual(r, len(denied), 3, "the interrupt may outrun the last answer")
	assert.Equal(r, audit.Deny, denied[0].Decision.Outcome)
	assert.Contains(r, denied[0].Decision.Reason, "max_identical_tool_calls")
	assert.Equal(r, []string{"tool_loop", "tool_loop_ended"}, r.notices())

	assert.Equal(r, "echo: hello", r.mustAsk("hello").Text)
	r.mustAsk("[[loop:3]]") // a turn of its own
	r.mustAsk(strings.Repeat(bash("echo ready")+bash("echo wait"), 5))
	assert.Len(r, r.limited(), len(denied), "something else in between")
	info := r.Info()
	assert.Equal(r, 1, info.Generation)
	assert.Zero(r, info.Restarts)
	assert.Empty(r, r.records(audit.SessionCrashed))

	r.killIdle()
	r.mustAsk("[[loop:4]]") // one is denied, and the model has something else to say
	assert.Len(r, r.limited(), len(denied)+1)
}

// toolCycle reads two files in turn. Reading takes no time; where it does nevertheless the count begins anew, of which there is no end here.
func toolCycle(r *rig) {
	r.spec.MaxToolCycles = 2
	r.boot()
	read := func(name string) string {
		path := filepath.Join(r.work, name)
		require.NoError(r, os.WriteFile(path, []byte(name+"\n"), 0o600))
		return fmt.Sprintf(`[[tool:Read {"file_path":%q}]]`, path)
	}
	to, fro := read("to"), read("fro")
	r.mustAsk(strings.Repeat(bash("echo x >> seen; cat seen")+to, 5))
	r.mustAsk(strings.Repeat(to+bash("read x < /dev/null; cat seen"), 2)) // a turn of its own
	assert.Empty(r, r.limited(), "what is seen changes")

	_, err := r.ask(strings.Repeat(to+fro, 100))
	require.ErrorIs(r, err, session.ErrToolLoop)
	require.ErrorContains(r, err, "Read and Read are called in turn 5 times in a row, with the same inputs and results (max_tool_cycles: 2)")
	denied := r.limited()
	require.NotEmpty(r, denied)
	assert.Contains(r, denied[0].Decision.Reason, "3 times in a row")
	notices := r.notices()
	assert.Equal(r, []string{"tool_loop", "tool_loop_ended"}, []string{notices[0], notices[len(notices)-1]})
	assert.Equal(r, "echo: hello", r.mustAsk("hello").Text)
	assert.Equal(r, 1, r.Info().Generation)
}

// onBoth runs a test on the simulation and on the real CLI, at the same time.
func onBoth(t *testing.T, test func(*rig)) {
	t.Parallel()
	for name, realCLI := range map[string]bool{"sim": false, "real": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newRig(t, realCLI))
		})
	}
}

// TestSubagentsAreLimited has the agent start more than may be at work, in each of the ways in which they end.
//
// Fault: the agent starts three subagents at once where one may be at work; later its process is killed while one works
// Outcome: one works, the others are denied with the reason; one that has ended, or was interrupted or killed, is given back
// On: simulated, real
func TestSubagentsAreLimited(t *testing.T) { onBoth(t, subagentsLimited) }

func subagentsLimited(r *rig) {
	r.spec.MaxSubagents = 1
	r.boot()
	idle := func() {
		r.Helper()
		r.until("no subagent is at work", func() bool { i := r.Info(); return i.Subagents == 0 && i.State == session.Idle })
	}
	command, entered, open := r.gate("gate")
	r.mustAsk(sessiontest.Delegates(true, bash(command), bash(command), bash(command)))
	entered()
	assert.Equal(r, 1, r.Info().Subagents)
	denied := r.limited()
	require.Len(r, denied, 2)
	assert.Contains(r, denied[0].Decision.Reason, "1 subagents of at most 1 are at work (max_subagents)")
	assert.Equal(r, []string{"subagents_limited"}, r.notices(), "once a turn")
	open()
	idle()

	alone := sessiontest.Delegate("[[say:below]]", false)
	r.mustAsk(alone)
	r.mustAsk(alone)
	assert.Len(r, r.limited(), 2, "each has ended before the next")
	idle()

	command, entered, _ = r.gate("interrupted")
	waits := r.background(sessiontest.Delegate(bash(command), false))
	entered()
	require.NoError(r, r.Interrupt(r.within()))
	require.ErrorIs(r, waits.wait(r.T), session.ErrInterrupted)
	idle()
	r.mustAsk(alone)
	assert.Len(r, r.limited(), 2, "an interrupt gives back")

	command, entered, _ = r.gate("killed")
	r.mustAsk(sessiontest.Delegate(bash(command), true))
	entered()
	r.kill()
	r.until("the next process", func() bool { i := r.Info(); return i.Generation == 2 && i.State == session.Idle })
	assert.Zero(r, r.Info().Subagents)
	r.mustAsk(alone)
	assert.Len(r, r.limited(), 2, "so does the end of the process")
}

// Fault: a subagent makes the same tool call for ever
// Outcome: it is stopped alone; the turn goes on, and the main conversation's calls do not count with it
// On: simulated, real
func TestALoopInASubagent(t *testing.T) { onBoth(t, loopInASubagent) }

func loopInASubagent(r *rig) {
	r.spec.MaxIdenticalToolCalls = 2
	r.boot()
	r.mustAsk(sessiontest.Delegate("[[loop]]", false) + bash("echo loop") + bash("echo loop"))
	assert.Equal(r, []string{"tool_loop", "tool_loop_ended"}, r.notices())
	for _, denied := range r.limited() {
		assert.NotEmpty(r, denied.AgentID)
	}
	assert.Zero(r, r.Info().Subagents)
	assert.Equal(r, 1, r.Info().Generation)
}

// Fault: a subagent makes the same few tool calls in turn for ever
// Outcome: it is stopped alone; the turn goes on, and the main conversation's calls, which are the same, do not count with it
// On: simulated, real
func TestACycleInASubagent(t *testing.T) { onBoth(t, cycleInASubagent) }

func cycleInASubagent(r *rig) {
	r.spec.MaxToolCycles = 2
	r.boot()
	read := func(name string) string {
		path := filepath.Join(r.work, name)
		require.NoError(r, os.WriteFile(path, []byte(name+"\n"), 0o600))
		return fmt.Sprintf(`[[tool:Read {"file_path":%q}]]`, path)
	}
	round := read("to") + read("fro")
	answer := r.mustAsk(round + sessiontest.Delegate(strings.Repeat(round, 100), false) + round)
	assert.Empty(r, answer.Denied, "nothing of the main conversation's")
	notices := r.notices() // the count begins anew where reading takes long
	require.NotEmpty(r, notices)
	assert.Equal(r, []string{"tool_loop", "tool_loop_ended"}, []string{notices[0], notices[len(notices)-1]})
	denied := r.limited()
	require.NotEmpty(r, denied)
	agent := denied[0].AgentID
	require.NotEmpty(r, agent)
	assert.Contains(r, denied[0].Decision.Reason, "Read and Read are called in turn 3 times in a row, with the same inputs and results (max_tool_cycles: 2)")
	for _, d := range denied {
		assert.Equal(r, agent, d.AgentID)
	}
	for _, notice := range r.records(audit.SessionNotice) {
		if notice.Detail["notice"] == string(session.NoticeToolLoopEnded) {
			assert.Equal(r, agent, notice.Detail["agent_id"])
			assert.Contains(r, notice.Detail["text"], "5 times in a row, with the same inputs and results (max_tool_cycles: 2): the subagent is stopped")
		}
	}
	r.until("the subagent is stopped", func() bool { return r.Info().Subagents == 0 })
	assert.Less(r, len(r.records(audit.ToolIntent)), 150, "before its end")
	assert.Equal(r, "echo: hello", r.mustAsk("hello").Text)
	assert.Equal(r, 1, r.Info().Generation)
}

// Fault: the budget is spent by a subagent that the turn waits for; the CLI ends the turn, and lets the subagent go on
// Outcome: it is stopped
// On: simulated, real
func TestASubagentOutlivesTheBudget(t *testing.T) { onBoth(t, subagentOutlivesTheBudget) }

func subagentOutlivesTheBudget(r *rig) {
	r.spec.MaxBudgetUSD = 0.03
	r.boot()
	const more = 300
	_, err := r.ask(sessiontest.Delegate(fmt.Sprintf("[[loop:%d]]", more), false))
	require.ErrorIs(r, err, session.ErrBudgetExhausted)
	r.until("the subagent is stopped", func() bool { return r.Info().Subagents == 0 })
	assert.Less(r, len(r.records(audit.ToolIntent)), more/2)
	assert.Equal(r, 1, r.Info().Generation)
}
