package understudy_test

import (
	"strings"

	"github.com/stretchr/testify/assert"

	"github.com/understudy-run/understudy/session"
)

// modelOptions are about what the model is asked.
var modelOptions = map[string]optionTest{
	"model": {func(r *optionRig) { r.spec.Model = "sonnet" }, func(r *optionRig) {
		assert.Contains(r, r.init.Model, "sonnet")
		assert.Contains(r, r.call("hello").Model, "sonnet")
	}},
	"fallback_model": {func(r *optionRig) { r.spec.FallbackModel = "haiku" }, func(r *optionRig) {
		r.mustAsk("[[status:529 3]] overloaded") // it tries again twice
		requests := r.api.Requests()
		assert.Contains(r, requests[len(requests)-1].Model, "haiku")
	}},
	"system_prompt": {func(r *optionRig) { r.spec.SystemPrompt = "You test options." }, func(r *optionRig) {
		assert.Contains(r, r.call("hello").System, "You test options.")
		assert.NotContains(r, r.call("hello").System, "IMPORTANT: Assist with", "the CLI's own")
	}},
	"append_system_prompt": {func(r *optionRig) { r.spec.AppendSystemPrompt = "--appended, with = and \"quotes\"" }, func(r *optionRig) {
		assert.Contains(r, r.call("hello").System, r.spec.AppendSystemPrompt)
	}},
	"append_subagent_system_prompt": {func(r *optionRig) { r.spec.AppendSubagentSystemPrompt = "appended for subagents" }, func(r *optionRig) {
		r.subagent()
		assert.Contains(r, r.call("[[say:from below]]").System, "appended for subagents")
		assert.NotContains(r, r.call("hello").System, "appended for subagents")
	}},
	"system_prompt_snapshot": {func(r *optionRig) { r.spec.SystemPromptSnapshot = new(false) }, func(r *optionRig) {
		assert.Contains(r, r.forked("snapshot").System, "appended later", "it is made anew for a conversation that goes on")
	}},
	"thinking": {func(r *optionRig) {
		r.spec.Thinking = session.Thinking{Type: session.ThinkingAdaptive, Display: session.DisplayOmitted}
	}, func(r *optionRig) {
		assert.Contains(r, r.body("hello"), "thinking.type=adaptive")
		assert.Contains(r, r.body("hello"), "thinking.display=updates", "what the CLI calls it")
	}},
	"effort": {func(r *optionRig) { r.spec.Effort = session.EffortLow }, func(r *optionRig) {
		assert.Contains(r, r.body("hello"), "output_config.effort=low")
	}},
	"betas": {func(r *optionRig) { r.spec.Betas = []string{"context-1m-2025-08-07"} }, func(r *optionRig) {
		assert.Contains(r, strings.Join(r.call("hello").Header.Values("Anthropic-Beta"), ","), "context-1m-2025-08-07")
	}},
	"max_budget_usd": {func(r *optionRig) { r.spec.MaxBudgetUSD = 5 }, func(r *optionRig) { // maxBudget in TestConformance has it reached
		assert.Contains(r, r.argv(), "--max-budget-usd=")
	}},
	"task_budget": {func(r *optionRig) { r.spec.TaskBudget = 20000 }, func(r *optionRig) {
		assert.Contains(r, r.body("hello"), "output_config.task_budget.total=20000")
	}},
}
