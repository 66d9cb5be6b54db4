package session

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/understudy-run/understudy/session/protocol"
)

func TestRepeatedCalls(t *testing.T) {
	type toolCall struct{ agent, tool, input string }
	same := toolCall{"", "Bash", `{"command":"ls","timeout":12345678901234567890}`}
	for name, test := range map[string]struct {
		calls []toolCall
		want  []int
	}{
		"the same":                  {[]toolCall{same, same, same}, []int{1, 2, 3}},
		"keys in another order":     {[]toolCall{same, {"", "Bash", `{ "timeout": 12345678901234567890, "command": "ls" }`}}, []int{1, 2}},
		"a command's description":   {[]toolCall{same, {"", "Bash", `{"command":"ls","timeout":12345678901234567890,"description":"look again"}`}}, []int{1, 2}},
		"another number":            {[]toolCall{same, {"", "Bash", `{"command":"ls","timeout":12345678901234567891}`}}, []int{1, 1}},
		"another tool":              {[]toolCall{same, {"", "Read", same.input}, same}, []int{1, 1, 1}},
		"another tool's sentence":   {[]toolCall{{"", "X", `{"description":"a"}`}, {"", "X", `{"description":"b"}`}}, []int{1, 1}},
		"something else in between": {[]toolCall{same, same, {"", "Bash", `{"command":"sleep 1"}`}, same}, []int{1, 2, 1, 1}},
		"agents count apart":        {[]toolCall{same, {"a", same.tool, same.input}, same, {"a", same.tool, same.input}}, []int{1, 1, 2, 2}},
		"what is no object":         {[]toolCall{{"", "X", `[1]`}, {"", "X", `[1]`}, {"", "X", ``}, {"", "X", ``}, {"", "X", `{`}}, []int{1, 2, 1, 2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			var w runaway
			for i, c := range test.calls {
				assert.Equal(t, test.want[i], w.repeated(c.agent, c.tool, json.RawMessage(c.input)), "call %d", i)
			}
		})
	}
	t.Run("a turn begins", func(t *testing.T) {
		var w runaway
		call := json.RawMessage(`{}`)
		w.repeated("", "X", call)
		w.repeated("a", "X", call)
		w.turnBegins()
		assert.Equal(t, 1, w.repeated("", "X", call), "the main conversation begins anew")
		assert.Equal(t, 2, w.repeated("a", "X", call), "a subagent goes on behind turns")
		w.ends("a")
		assert.Equal(t, 1, w.repeated("a", "X", call))
	})
}

func TestLimitsOfARunawayAreChecked(t *testing.T) {
	err := Options{MaxSubagents: -1, MaxIdenticalToolCalls: -2, MaxToolCycles: 1}.Validate()
	assert.ErrorContains(t, err, "max_subagents")
	assert.ErrorContains(t, err, "max_identical_tool_calls")
	assert.ErrorContains(t, err, "max_tool_cycles")
	assert.NoError(t, Options{MaxSubagents: 1, MaxIdenticalToolCalls: 1, MaxToolCycles: 2}.Validate())
}

// Fault: the CLI names a hundred thousand agents, each of which makes a call
// Outcome: memory stays bounded
// On: memory
func TestAgentsWithoutEnd(t *testing.T) {
	var w runaway
	for i := range 100_000 {
		w.repeated(fmt.Sprint(i), "X", nil)
	}
	assert.LessOrEqual(t, len(w.rows), maxRows)
}

// When nothing more is heard of a subagent, and its tools have no result to come, depends on how it ends.
func TestWhenASubagentSaysNoMore(t *testing.T) {
	says := func(task, status string) func(*runaway) {
		return func(w *runaway) { w.updated(task, &protocol.TaskPatch{Status: status}) }
	}
	caller := func(status string) func(*runaway) { return says("a", status) }
	kill, end := says("t", "killed"), says("t", "completed")
	stop := func(w *runaway) { w.stopped("t") }
	answer := func(w *runaway) { w.answered("u") }
	turn := func(w *runaway) { w.turnEnds() }
	again := func(w *runaway) { w.begins("t", "message", "", true) }
	for name, test := range map[string]struct {
		caller     string
		background bool
		steps      []func(*runaway)
		want       []int // how many have said all after each step
	}{
		"completed":                 {"", false, []func(*runaway){end}, []int{1}},
		"completed, behind":         {"", true, []func(*runaway){end}, []int{1}},
		"stopped":                   {"", false, []func(*runaway){kill, stop, answer}, []int{0, 0, 1}},
		"stopped, and no answer":    {"", false, []func(*runaway){kill, turn}, []int{0, 1}},
		"stopped, behind":           {"", true, []func(*runaway){kill, turn}, []int{0, 0}},
		"stopped, and goes on":      {"", false, []func(*runaway){kill, again, answer, turn, end}, []int{0, 0, 0, 0, 1}},
		"interrupted":               {"", false, []func(*runaway){answer}, []int{1}},
		"the turn ends before it":   {"", false, []func(*runaway){turn, kill}, []int{1, 2}},
		"missing from what is said": {"", true, []func(*runaway){func(w *runaway) { w.listed(nil) }}, []int{0}},
		// One that another one waits for, which is in the background.
		"the turn ends before the caller":    {"a", false, []func(*runaway){turn, answer}, []int{0, 1}},
		"stopped below, before the turn":     {"a", false, []func(*runaway){kill, turn, answer}, []int{0, 0, 1}},
		"stopped below, the caller ends":     {"a", false, []func(*runaway){kill, caller("completed")}, []int{0, 2}},
		"stopped below, after the caller":    {"a", false, []func(*runaway){caller("killed"), kill}, []int{0, 1}},
		"the caller is stopped, and answers": {"a", false, []func(*runaway){caller("killed"), answer, kill}, []int{0, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			var w runaway
			w.begins("a", "v", "", true)
			w.begins("t", "u", test.caller, test.background)
			for i, step := range test.steps {
				step(&w)
				assert.Len(t, w.gone, test.want[i], "step %d", i)
			}
		})
	}
}

// TestSubagentsAreCounted plays a CLI that starts subagents in the foreground and in the background, below each other too, moves
// them to the background and ends them in all ways; what is known of them never differs from what is true.
func TestSubagentsAreCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w runaway
		most := rapid.IntRange(1, 4).Draw(t, "most")
		type agent struct {
			use, caller string
			background  bool
		}
		began := map[string]agent{}    // what the CLI has at work
		granted := map[string]string{} // calls that it may start, and has not
		n := 0
		pick := func(label string, keys int) int { return rapid.IntRange(0, keys-1).Draw(t, label) }
		names := func() []string {
			var all []string
			for i := range n {
				if _, ok := began[fmt.Sprint("task", i)]; ok {
					all = append(all, fmt.Sprint("task", i))
				}
			}
			return all
		}
		waiting := func() []string {
			var all []string
			for i := range n {
				if _, ok := granted[fmt.Sprint("use", i)]; ok {
					all = append(all, fmt.Sprint("use", i))
				}
			}
			return all
		}
		listed := func() []protocol.BackgroundTask {
			var list []protocol.BackgroundTask
			for _, task := range names() {
				if began[task].background {
					list = append(list, protocol.BackgroundTask{TaskID: task})
				}
			}
			return list
		}
		end := func(task string) {
			delete(began, task)
			for use, caller := range granted {
				if caller == task {
					delete(granted, use)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"ask": func(*rapid.T) {
				caller := ""
				if all := names(); len(all) > 0 && rapid.Bool().Draw(t, "nested") {
					caller = all[pick("caller", len(all))]
				}
				use := fmt.Sprint("use", n)
				n++
				free := len(began)+len(granted) < most
				require.Equal(t, free, w.grant(use, caller, most))
				if free {
					granted[use] = caller
					require.True(t, w.grant(use, caller, most), "the same call, asked about again")
				}
			},
			"begin": func(t *rapid.T) {
				all := waiting()
				if len(all) == 0 {
					t.Skip()
				}
				use := all[pick("use", len(all))]
				task := "task" + use[len("use"):]
				background := rapid.Bool().Draw(t, "background")
				began[task] = agent{use, granted[use], background}
				delete(granted, use)
				w.begins(task, use, began[task].caller, background)
				if background {
					w.answered(use) // at once
				}
			},
			"refuse": func(t *rapid.T) { // by a rule, a hook, the CLI's own limit
				all := waiting()
				if len(all) == 0 {
					t.Skip()
				}
				use := all[pick("use", len(all))]
				delete(granted, use)
				w.answered(use)
			},
			"move": func(t *rapid.T) {
				all := names()
				if len(all) == 0 {
					t.Skip()
				}
				task := all[pick("task", len(all))]
				a := began[task]
				a.background = true
				began[task] = a
				w.updated(task, &protocol.TaskPatch{IsBackgrounded: new(true)})
				w.answered(a.use)
			},
			"end": func(t *rapid.T) {
				all := names()
				if len(all) == 0 {
					t.Skip()
				}
				task := all[pick("task", len(all))]
				a := began[task]
				end(task)
				ways := []func(){
					func() { w.ends(task) },
					func() { w.updated(task, &protocol.TaskPatch{Status: "killed"}) },
					func() { // nobody says so, but the list, or the call's result
						if a.background {
							w.listed(listed())
						} else {
							w.answered(a.use)
							w.ends(task)
						}
					},
				}
				ways[pick("way", len(ways))]()
				if rapid.Bool().Draw(t, "twice") {
					w.ends(task)
				}
			},
			"list": func(*rapid.T) { w.listed(listed()) },
			"interrupt": func(*rapid.T) { // ends the turn with what is in the foreground of it, and no call has a result
				for use, caller := range granted {
					if caller == "" {
						delete(granted, use)
					}
				}
				for _, task := range names() {
					if a := began[task]; a.caller == "" && !a.background {
						end(task)
						w.updated(task, &protocol.TaskPatch{Status: "killed"})
					}
				}
				w.turnEnds()
			},
			"die": func(*rapid.T) {
				clear(began)
				clear(granted)
				w = runaway{}
			},
			"": func(t *rapid.T) {
				require.Len(t, w.subagents, len(began))
				require.Equal(t, len(began)+len(granted), w.atWork())
				require.LessOrEqual(t, w.atWork(), most)
			},
		})
	})
}
