package session_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

const strayInit = `{"type":"system","subtype":"init","model":"m","cwd":"/","tools":[],"mcp_servers":[],"permissionMode":"default"}`

// Fault: the CLI opens a turn behind the result, without a prompt, says that it is idle, and says nothing more
// Outcome: two seconds later the turn is taken for over, and told to be, and the next query runs, as a turn of its own
// On: simulated
func TestATurnThatIsOpenedBehindAResultAndNeverEnds(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.StallTimeout = time.Minute
	var turns []string // told by one goroutine, and before the answer
	sp.OnMoment = func(m session.Moment) {
		switch m.Kind {
		case session.TurnStarted:
			turns = append(turns, "began: "+m.Prompt)
		case session.TurnEnded:
			turns = append(turns, m.Outcome)
		}
	}
	b := start(t, sp)
	b.mustAsk(`hello [[after:` + strayInit + `]]`)
	require.Eventually(t, func() bool { return b.Info().State == session.Busy }, time.Minute, time.Millisecond, "the stray turn")
	assert.Equal(t, "echo: again", b.mustAsk("again").Text)
	assert.Equal(t, 1, b.Info().Generation, "it was not killed for it")
	assert.Equal(t, []string{"began: ", "error", "began: again", "success"}, turns[2:])
}

// Fault: a subagent's tool never has a result, and later the CLI falls silent in a turn
// Outcome: the turn ends after stall_timeout all the same; only a tool of the turn itself holds that up
// On: simulated
func TestASubagentsToolWithoutAResultKeepsNoSilentTurnAlive(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.StallTimeout = 500 * time.Millisecond
	b := start(t, sp)
	tool := `{"type":"assistant","message":{"id":"msg_1","type":"message","role":"assistant","model":"m",` +
		`"content":[{"type":"tool_use","id":"toolu_lost","name":"Bash","input":{"command":"true"}}]},"parent_tool_use_id":"toolu_task"}`
	b.mustAsk(fmt.Sprintf(`[[frame:%s]]`, tool))
	_, err := b.ask("[[hang]]")
	var crash *session.CrashError
	require.ErrorAs(t, err, &crash)
	assert.ErrorContains(t, err, "stall_timeout")
}

// Fault: a tool runs in silence for longer than stall_timeout
// Outcome: it is let run; the turn ends with its result
// On: simulated
func TestASilentToolIsNoStall(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.StallTimeout = 300 * time.Millisecond
	b := start(t, sp)
	answer := b.mustAsk(`[[tool:Bash {"command":"read -t 1.2 < /dev/zero; echo done"}]]`)
	assert.Equal(t, []string{"Bash"}, answer.Tools)
	assert.Equal(t, 1, b.Info().Generation)
}

// Fault: SetModel goes back to the CLI's default, and the process is killed
// Outcome: the next process has the default, not the model of the options
// On: simulated
func TestTheDefaultModelSurvivesARestart(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.Model = "haiku"
	b := start(t, sp)
	b.mustAsk("hello")
	require.Contains(t, b.Info().Model, "haiku")
	require.NoError(t, b.SetModel(t.Context(), ""))
	b.mustAsk("hello")
	require.Contains(t, b.Info().Model, "opus")
	b.kill()
	b.mustAsk("hello")
	assert.Contains(t, b.Info().Model, "opus")
	assert.Equal(t, 2, b.Info().Generation)
}

// Fault: the CLI lives, and answers no control request any more; one request in vain is all that is made
// Outcome: the session asks again by itself, and after five in a row, each sent when the one before was given up, the process is
// ended as crashed; many at once are one. Queued queries run in the next process
// On: simulated
func TestACLIThatAnswersNoRequestAnyMore(t *testing.T) {
	sp := spec(t, "a")
	sp.Options.ControlTimeout, sp.Options.Shutdown = 200*time.Millisecond, supervisor.Within(time.Second)
	b := start(t, sp)
	_, hung := b.background("[[hang]]")
	b.until(session.Busy)
	require.Eventually(t, func() bool { return b.SetModel(t.Context(), "haiku") != nil }, time.Minute, time.Millisecond, "it hangs")
	_, queued := b.background("queued")
	var crash *session.CrashError
	require.ErrorAs(t, <-hung, &crash)
	require.ErrorContains(t, crash, "it left 5 control requests in a row unanswered")
	assert.Equal(t, session.PhaseTurn, crash.Phase)
	require.NoError(t, <-queued)
	assert.Equal(t, 2, b.Info().Generation)
	assert.Equal(t, 1, b.Info().Restarts)
}
