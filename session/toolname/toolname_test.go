package toolname_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/understudy-run/understudy/session/toolname"
)

func TestNames(t *testing.T) {
	for name, all := range map[string][]string{
		"Task": {"Agent", "Task"}, "Agent": {"Agent", "Task"}, "KillBash": {"TaskStop", "KillBash", "KillShell"},
		"TaskStop": {"TaskStop", "KillBash", "KillShell"}, "Bash": {"Bash"}, "mcp__a__Task": {"mcp__a__Task"}, "task": {"task"}, "": {""},
	} {
		assert.Equal(t, all, toolname.All(name), "%q", name)
		assert.Equal(t, all[0], toolname.Now(name), "%q", name)
	}
	assert.Equal(t, []string{"Agent", "Task", "Bash"}, toolname.Of([]string{"Task", "Bash", "Agent"}))
	assert.Empty(t, toolname.Of(nil))
	assert.True(t, toolname.Any("Agent", func(name string) bool { return name == "Task" }))
	assert.False(t, toolname.Any("Agent", func(name string) bool { return name == "Bash" }))
}

// The name that a tool has now is no earlier one of another, and every name leads to the same list.
func TestNamesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.SampledFrom([]string{"Task", "KillShell", "Eval", "ListAgents", "REPL"}), rapid.String()).Draw(t, "name")
		now := toolname.Now(name)
		if toolname.Now(now) != now {
			t.Fatalf("%q is %q now, which is %q", name, now, toolname.Now(now))
		}
		for _, other := range toolname.All(name) {
			if got := toolname.Now(other); got != now {
				t.Fatalf("%q and %q are one tool, and are %q and %q", name, other, now, got)
			}
		}
	})
}
