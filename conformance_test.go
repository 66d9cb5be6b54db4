package understudy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// TestConformance plays each scenario to the simulated CLI and to the real one, with the same expectations: what the tests on
// the simulation show is what the real CLI does. Where there is no real CLI its half is skipped, with the reason.
func TestConformance(t *testing.T) {
	t.Parallel()
	for _, scenario := range []struct {
		name string
		run  func(*rig)
	}{
		{"two turns of one conversation", twoTurns},
		{"killed between turns and in the middle of one", killedTwice},
		{"killed while the model thinks", killedInAModelCall},
		{"money is counted over all kinds of ends", money},
		{"permission callback", permissionCallback},
		{"a model that will not answer", refusals},
		{"why a command may run", reasonsOfCommands},
		{"with nobody to ask what must be asked is denied", nobodyToAsk},
		{"intent is on disk before the tool runs", intentFirst},
		{"a cut turn is charged", cutTurnCosts},
		{"hibernation", hibernation},
		{"a fork", fork},
		{"a conversation that crashes every process", poisoned},
		{"another directory", anotherDirectory},
		{"max turns", maxTurns},
		{"the same tool call again and again", toolLoop},
		{"the same few tool calls in turn", toolCycle},
		{"a process that answers no control request any more", deaf},
		{"max budget", maxBudget},
		{"max budget over a kill", maxBudgetOverAKill},
		{"an image and a document in a prompt", blocks},
		{"a prompt with an id runs once", runsOnce},
		{"a conversation is read, resumed and forked", readBack},
		{"a turn of the CLI's own", selfTurn},
		{"prompts around turns of the CLI's own", selfTurnRace},
		{"interrupt", interrupted},
		{"leaving the loop", leaving},
		{"what a subagent does", subagents},
		{"a stop interrupts the turn", stopped},
		{"model and permission mode", modelAndMode},
		{"restart by request", restartByRequest},
		{"another runtime on the same data directory", anotherRuntime},
		{"lost transcript", lostTranscript},
		{"damaged transcript", damagedTranscript},
		{"refused key", refusedKey},
		{"the key is the CLI's alone", keyIsHidden},
		{"tools of a killed CLI are ended", toolsOfAKilledCLI},
		{"nothing survives a shutdown", nothingSurvives},
		{"starts that cannot succeed", badStarts},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			t.Parallel()
			for name, realCLI := range map[string]bool{"sim": false, "real": true} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					scenario.run(newRig(t, realCLI))
				})
			}
		})
	}
}

func twoTurns(r *rig) {
	r.boot()
	assert.Equal(r, "echo: hello", r.mustAsk("hello").Text)
	assert.Equal(r, "history: hello", r.history())
	info := r.Info()
	assert.Equal(r, session.Idle, info.State)
	assert.Equal(r, 2, info.Turns)
	assert.Equal(r, 1, info.Generation)
	assert.InDelta(r, 0.01, info.CostUSD, 1e-9)
	assert.NotEmpty(r, info.Version)
	assert.NotEmpty(r, info.Model)

	var kinds []string
	for m, err := range r.Query(r.within(), bash("echo hi")) {
		require.NoError(r, err)
		switch m.(type) {
		case *protocol.Init, *protocol.Assistant, *protocol.User, *protocol.Result:
			kinds = append(kinds, m.Kind())
		}
	}
	assert.Equal(r, []string{"system/init", "assistant", "user", "assistant", "result/success"}, kinds)
}

// orphanVariable makes the next test do its work, in a process of its own: a process cannot stop being a subreaper, and the
// other tests are about processes that are none.
const orphanVariable = "UNDERSTUDY_TEST_ORPHANS"
