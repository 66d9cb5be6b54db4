package understudy_test

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// streamOptions are about what the session says, and when.
var streamOptions = map[string]optionTest{
	"extra_args": {func(r *optionRig) {
		r.spec.ExtraArgs = map[string]*string{"debug-to-stderr": nil, "--name": new("-dashed")}
	}, func(r *optionRig) {
		r.until("debug output on stderr", func() bool { return !r.stderr.empty() })
	}},
	"Stderr": {func(r *optionRig) { r.spec.Stderr = r.stderr.add }, func(r *optionRig) {
		r.until("a line of stderr", func() bool { return !r.stderr.empty() })
	}},
	"ToolCallback": {func(r *optionRig) { r.spec.ToolCallback = func(e session.ToolEvent) { r.tools <- e } }, func(r *optionRig) {
		assert.Contains(r, r.use(`Bash {"command":"echo told"}`), "told")
	}},
	"include_partial_messages": {func(r *optionRig) { r.spec.IncludePartialMessages = true }, func(r *optionRig) {
		assert.NotEmpty(r, found[*protocol.StreamEvent](r.messages))
	}},
	"include_hook_events": {func(r *optionRig) { r.spec.IncludeHookEvents = true }, func(r *optionRig) {
		assert.NotEmpty(r, found[*protocol.HookStarted](r.said(bash("true"))), "the one in the settings")
	}},
	"forward_subagent_text": {func(r *optionRig) { r.spec.ForwardSubagentText = true }, func(r *optionRig) {
		below := slices.ContainsFunc(r.subagent(), func(m protocol.Message) bool {
			a, ok := m.(*protocol.Assistant)
			return ok && a.ParentToolUseID != nil && a.Text() == "from below"
		})
		assert.True(r, below)
	}},
	"replay_user_messages": {func(r *optionRig) { r.spec.ReplayUserMessages = true }, func(r *optionRig) {
		assert.True(r, slices.ContainsFunc(found[*protocol.User](r.messages), func(m *protocol.User) bool { return m.IsReplay }))
	}},
	// What it does comes half a minute later: see TestAgentProgressSummaries.
	"agent_progress_summaries": {func(r *optionRig) { r.spec.AgentProgressSummaries = true }, nil},
	"per_task_stop_affordance": {func(r *optionRig) { r.spec.PerTaskStopAffordance = true }, func(r *optionRig) {
		command, entered, open := r.gate("background")
		r.mustAsk(tool(command+" > passed", `,"run_in_background":true`))
		entered()
		thinking := r.background("[[sleep:60]] thinking")
		<-thinking.began
		require.NoError(r, r.Interrupt(r.within()))
		require.ErrorIs(r, thinking.wait(r.T), session.ErrInterrupted)
		open()
		r.until("the background task went on", func() bool {
			data, err := os.ReadFile(filepath.Join(r.work, "passed"))
			return err == nil && len(data) > 0
		})
	}},
	"debug": {func(r *optionRig) { r.spec.Debug = session.Toggle{On: true} }, func(r *optionRig) {
		r.until("debug output on stderr", func() bool { return !r.stderr.empty() })
	}},
}
