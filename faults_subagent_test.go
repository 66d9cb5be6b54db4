package understudy_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/sessiontest"
)

// Fault: the agent starts twenty subagents at once where four may be at work, and each of these starts two more
// Outcome: never more than four work; every other call is denied with the reason, and is in the audit log with the agent whose
// call it was; the turn goes on to its end, and the next one may start as many
// On: simulated
func TestAFanOutOfSubagents(t *testing.T) {
	t.Parallel()
	const most, wanted = 4, 20
	r := newRig(t, false)
	r.spec.MaxSubagents = most
	r.boot()
	child := sessiontest.Delegates(false, "[[say:a]]", "[[say:b]]") + bash("echo x >> working; until [ -e go ]; do sleep 0.02; done") + "[[say:c]]"
	q := r.background(sessiontest.Delegates(false, slices.Repeat([]string{child}, wanted)...) + "[[say:all]]")
	r.until("four work, and have been denied theirs", func() bool {
		var above, below int
		for _, denied := range r.limited() {
			if denied.AgentID == "" {
				above++
			} else {
				below++
			}
		}
		return above == wanted-most && below == 2*most && r.lines("working") == most
	})
	assert.Equal(r, most, r.Info().Subagents)
	require.NoError(r, os.WriteFile(filepath.Join(r.work, "go"), nil, 0o600))
	require.NoError(r, q.wait(t))
	assert.Equal(r, "all", *q.text)
	r.noSubagents()
	assert.Equal(r, most, r.lines("working"))
	assert.Equal(r, []string{"subagents_limited"}, r.notices(), "once a turn")
	for _, denied := range r.limited() {
		assert.Contains(r, denied.Decision.Reason, "of at most 4 are at work (max_subagents)")
	}
	assert.Empty(r, r.unended())
	assert.Equal(r, 1, r.Info().Generation)

	before := len(r.limited())
	r.mustAsk(sessiontest.Delegates(false, slices.Repeat([]string{"[[say:x]]"}, most)...))
	assert.Len(r, r.limited(), before, "all have been given back")
}

// Fault: twenty-five subagents are started at once, with no limit but the CLI's own, which is twenty
// Outcome: five calls are errors of the tool, the turn goes on to its end
// On: simulated
func TestTheCLIsOwnLimitOfSubagents(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.boot()
	waits := bash("echo x >> working; until [ -e go ]; do sleep 0.05; done")
	q := r.background(sessiontest.Delegates(false, slices.Repeat([]string{waits}, 25)...) + "[[say:all]]")
	r.until("twenty work, and the others have failed", func() bool {
		refused := 0
		for _, record := range r.records(audit.ToolResult) {
			refused++
			assert.Contains(r, string(record.Output), "Concurrent subagent limit reached")
		}
		return refused == 5 && r.lines("working") == 20
	})
	require.NoError(r, os.WriteFile(filepath.Join(r.work, "go"), nil, 0o600))
	require.NoError(r, q.wait(t))
	assert.Equal(r, "all", *q.text)
	r.noSubagents()
	assert.Empty(r, r.unended())
}

// Fault: a subagent in the middle of a turn spends what is left of a budget: the session's, and one that it shares; once the
// turn waits for it, and once it works behind the turn
// Outcome: it is stopped, and the turn that waits ends with the figures; nothing is left at work, and every tool use has its end
// in the audit log
// On: simulated
func TestASubagentSpendsTheBudget(t *testing.T) {
	t.Parallel()
	const limit, more = 0.05, 500
	for _, shared := range []bool{false, true} {
		for _, background := range []bool{false, true} {
			t.Run(fmt.Sprintf("shared %v, background %v", shared, background), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, false)
				if shared {
					r.options.Budgets = []session.BudgetSpec{{Name: "team", LimitUSD: limit, Per: 24 * time.Hour}}
					r.spec.Budgets = []string{"team"}
				} else {
					r.spec.MaxBudgetUSD = limit
				}
				r.boot()
				_, err := r.ask(sessiontest.Delegate(fmt.Sprintf("[[loop:%d]]", more), background) + "[[say:given]]")
				if !background {
					require.ErrorIs(r, err, session.ErrBudgetExhausted)
				}
				r.noSubagents()
				assert.Less(r, len(r.records(audit.ToolIntent)), more/2)
				_, err = r.ask("more")
				require.ErrorIs(r, err, session.ErrBudgetExhausted)
				r.until("every tool use has ended", func() bool { return len(r.unended()) == 0 })
				assert.Equal(r, 1, r.Info().Generation)
			})
		}
	}
}

// Fault: the CLI is killed while two subagents the turn waits for, and one behind the turn, run tools
// Outcome: the query ends with the crash, no process of theirs is left when the next CLI runs, which goes on with the
// conversation; the tool uses are in the audit log as ones without a result, with the agents whose they were
// On: simulated
func TestTheCLIIsKilledWhileSubagentsWork(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.boot()
	var commands []string
	var entered []func()
	for _, name := range []string{"a", "b", "c"} {
		command, in, _ := r.gate(name)
		commands, entered = append(commands, bash("echo $$ > "+name+".pid; "+command)), append(entered, in)
	}
	r.mustAsk(sessiontest.Delegate(commands[2], true) + "[[say:given]]")
	entered[2]()
	cut := r.background(sessiontest.Delegates(false, commands[0], commands[1]))
	entered[0]()
	entered[1]()
	pids := []int{r.pidIn("a.pid"), r.pidIn("b.pid"), r.pidIn("c.pid")}
	r.until("three are at work", func() bool { return r.Info().Subagents == 3 })
	r.kill()
	var crash *session.CrashError
	require.ErrorAs(r, cut.wait(t), &crash)
	r.until("the next generation is ready", func() bool { return r.Info().Generation == 2 && r.Info().State == session.Idle })
	for _, pid := range pids {
		assert.False(r, alive(pid))
	}
	assert.Zero(r, r.Info().Subagents)
	assert.Empty(r, r.unended())
	agents := map[string]bool{}
	for _, record := range r.records(audit.ToolOrphan) {
		if record.Tool == "Bash" {
			agents[record.AgentID] = true
		}
	}
	assert.Len(r, agents, 3)
	assert.NotContains(r, agents, "")
	assert.Contains(r, r.history(), "history: [[tools:")
}

// Fault: a turn ends while a subagent works behind it, which waits for one of its own that runs a tool
// Outcome: both are at work until they have ended, and none of their tools is taken for one without a result
// On: simulated, real
func TestASubagentBehindTheTurnWaitsForAnother(t *testing.T) { onBoth(t, waitsBehind) }

func waitsBehind(r *rig) {
	r.spec.ForwardSubagentText = true // without it the CLI does not tell the result
	r.boot()
	command, entered, open := r.gate("deep")
	deep := sessiontest.Delegate(bash(command)+"[[say:deep]]", false)
	meanwhile := bash("until [ -e deep.entered ]; do sleep 0.05; done") // both have begun before the turn ends
	assert.Equal(r, "given", r.mustAsk(sessiontest.Delegate(deep+"[[say:middle]]", true)+meanwhile+"[[say:given]]").Text)
	entered()
	assert.Equal(r, 2, r.Info().Subagents)
	assert.Empty(r, r.records(audit.ToolOrphan))
	open()
	r.until("the turn behind them is over", func() bool { i := r.Info(); return i.Turns == 2 && i.Subagents == 0 && i.State == session.Idle })
	assert.Empty(r, r.unended())
	assert.Empty(r, r.records(audit.ToolOrphan))
}

// Fault: the CLI tells the result of a tool when the turn that used it has ended without
// Outcome: the audit log has the tool as one without a result, and then the result, which says that it is late; it verifies
// On: simulated
func TestAResultBehindTheTurn(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.boot()
	const id = "toolu_late"
	frame := func(line string, parts ...any) string { return "[[frame:" + fmt.Sprintf(line, parts...) + "]]" }
	r.mustAsk(frame(`{"type":"control_request","request_id":"late","request":{"subtype":"hook_callback","callback_id":"understudy-intent",`+
		`"tool_use_id":%[1]q,"input":{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_use_id":%[1]q,"tool_input":{"command":"true"}}}}`, id) +
		frame(`{"type":"assistant","message":{"id":"m","role":"assistant","content":[{"type":"tool_use","id":%q,"name":"Bash","input":{"command":"true"}}]},"parent_tool_use_id":null}`, id))
	r.until("the tool has an end", func() bool { return len(r.unended()) == 0 }) // which waits for the intent to be written
	r.mustAsk(frame(`{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":%q,"content":"done","is_error":false}]},"parent_tool_use_id":null}`, id))
	records := r.records(audit.ToolIntent, audit.ToolOrphan, audit.ToolResult)
	require.Len(r, records, 3)
	for i, kind := range []audit.Kind{audit.ToolIntent, audit.ToolOrphan, audit.ToolResult} {
		assert.Equal(r, kind, records[i].Kind)
		assert.Equal(r, []string{"Bash", id}, []string{records[i].Tool, records[i].ToolUseID})
	}
	assert.Equal(r, true, records[2].Detail["late"])
	shutdown(t, r.rt)
	report, err := audit.Verify(t.Context(), filepath.Join(r.options.DataDir, "audit"), audit.VerifyOptions{Invariants: true})
	require.NoError(r, err)
	assert.Zero(r, report.Code(), "%+v", report)
}

// lines counts the lines of a file in the session's directory; there are none of one that is not there.
func (r *rig) lines(name string) int {
	data, err := os.ReadFile(filepath.Join(r.work, name))
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(r, err)
	}
	return strings.Count(string(data), "\n")
}
