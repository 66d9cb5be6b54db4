package sessiontest

import (
	"encoding/json"
	"fmt"
)

// Delegate is the directive with which the model gives a prompt, which may have directives of its own, to a subagent. In the
// background the subagent goes on behind the tool use that has started it; otherwise the model waits for its report. It works
// on the simulation and on the stand-in.
func Delegate(prompt string, background bool) string { return Delegates(background, prompt) }

// Delegates is [Delegate] for several subagents that are started in one answer, and work at the same time.
func Delegates(background bool, prompts ...string) string {
	type use struct {
		Name  string         `json:"name"`
		Input map[string]any `json:"input"`
	}
	uses := make([]use, 0, len(prompts))
	for i, prompt := range prompts {
		uses = append(uses, use{"Task", map[string]any{
			"description": fmt.Sprintf("part %d", i+1), "prompt": prompt, "subagent_type": "general-purpose", "run_in_background": background,
		}})
	}
	data, err := json.Marshal(map[string]any{"use": uses})
	if err != nil {
		panic(fmt.Sprintf("sessiontest: encode strings and bools: %v", err)) // cannot happen
	}
	return "[[tools:" + string(data) + "]]"
}
