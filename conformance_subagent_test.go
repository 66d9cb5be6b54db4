package understudy_test

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/session/stream"
	"github.com/understudy-run/understudy/session/transcript"
)

// unended are the tool uses that the audit log has begun and not ended; each may end once.
func (r *rig) unended() (uses []string) {
	r.Helper()
	for _, record := range r.records(audit.ToolIntent, audit.ToolResult, audit.ToolOrphan) {
		i := slices.Index(uses, record.ToolUseID)
		switch {
		case record.Kind == audit.ToolIntent:
			uses = append(uses, record.ToolUseID)
		case assert.GreaterOrEqual(r, i, 0, "an end without its intent, or a second one: %+v", record):
			uses = slices.Delete(uses, i, i+1)
		}
	}
	return uses
}

func (r *rig) noSubagents() {
	r.Helper()
	r.until("no subagent is at work", func() bool { i := r.Info(); return i.Subagents == 0 && i.State == session.Idle })
}

// subagents has one ask for its tool, one that works for another, one behind the turn, and two that are interrupted.
func subagents(r *rig) {
	r.spec.AllowedTools = nil
	var mu sync.Mutex
	asked, hooks := map[string]string{}, map[string][]string{}
	r.spec.CanUseTool = func(_ context.Context, q *protocol.CanUseTool) (protocol.PermissionResult, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[q.ToolUseID] = q.AgentID
		return protocol.Allowed(q), nil
	}
	r.spec.Hooks.SubagentStart = []session.Hook[protocol.SubagentStartInput, protocol.SubagentStartOutput]{{
		Call: func(_ context.Context, in protocol.SubagentStartInput) (protocol.SubagentStartOutput, error) {
			mu.Lock()
			defer mu.Unlock()
			hooks[in.AgentID] = append(hooks[in.AgentID], "start "+in.AgentType)
			return protocol.SubagentStartOutput{}, nil
		},
	}}
	r.spec.Hooks.SubagentStop = []session.Hook[protocol.SubagentStopInput, protocol.SubagentStopOutput]{{
		Call: func(_ context.Context, in protocol.SubagentStopInput) (protocol.SubagentStopOutput, error) {
			mu.Lock()
			defer mu.Unlock()
			hooks[in.AgentID] = append(hooks[in.AgentID], "stop "+in.LastAssistantMessage)
			return protocol.SubagentStopOutput{}, nil
		},
	}}
	// The model says Task, the CLI Agent to hooks and questions: it is one tool, under one name.
	var used []string
	r.spec.ToolCallback = func(e session.ToolEvent) {
		mu.Lock()
		defer mu.Unlock()
		used = append(used, e.Name)
	}
	guarded := 0
	r.spec.Hooks.PreToolUse = []session.Hook[protocol.PreToolUseInput, protocol.PreToolUseOutput]{{
		Matcher: "Task",
		Call: func(context.Context, protocol.PreToolUseInput) (protocol.PreToolUseOutput, error) {
			mu.Lock()
			defer mu.Unlock()
			guarded++
			return protocol.PreToolUseOutput{}, nil
		},
	}}
	r.boot()

	// One in the foreground: what it does is not the answer's, and can be told from it.
	var turn []protocol.Message
	answer, err := session.Collect(func(yield func(protocol.Message, error) bool) {
		for m, err := range r.Query(r.within(), sessiontest.Delegate(bash("touch below; echo seen")+"[[say:from below]]", false)+"[[say:done]]") {
			turn = append(turn, m)
			if !yield(m, err) {
				return
			}
		}
	})
	require.NoError(r, err)
	assert.Equal(r, "done", answer.Text)
	assert.Equal(r, []string{"Agent"}, answer.Tools)
	assert.Empty(r, answer.Denied)
	assert.InDelta(r, 0.02, answer.Result.TotalCostUSD, 1e-9)
	messages := func(yield func(protocol.Message, error) bool) {
		for _, m := range turn {
			if !yield(m, nil) {
				return
			}
		}
	}
	var task, below []stream.ToolCall
	for call, err := range stream.ToolCalls(messages, []string{"Agent"}) {
		require.NoError(r, err)
		task = append(task, call)
	}
	require.Len(r, task, 1)
	assert.Equal(r, "Task", task[0].Use.Name, "frames are as they came")
	for call, err := range stream.ToolCalls(messages, nil, stream.Subagent(task[0].Use.ID)) {
		require.NoError(r, err)
		below = append(below, call)
	}
	require.Len(r, below, 1)
	require.NotNil(r, below[0].Result)
	assert.Equal(r, "seen", below[0].Result.Content.Text())
	intents := r.records(audit.ToolIntent)
	require.Len(r, intents, 2)
	agent := intents[1].AgentID
	assert.NotEmpty(r, agent)
	assert.Equal(r, []string{"Agent", ""}, []string{intents[0].Tool, intents[0].AgentID})
	assert.Equal(r, []string{"Bash", below[0].Use.ID}, []string{intents[1].Tool, intents[1].ToolUseID})
	for _, name := range []string{"Agent", "Task"} {
		var kinds []audit.Kind
		for record, err := range r.rt.Audit().Log().Records(r.within(), audit.Filter{Tools: []string{name}}) {
			require.NoError(r, err)
			assert.Equal(r, []string{"Agent", task[0].Use.ID}, []string{record.Tool, record.ToolUseID})
			kinds = append(kinds, record.Kind)
		}
		assert.Equal(r, []audit.Kind{audit.ToolIntent, audit.ToolDecision, audit.ToolResult}, kinds, "by %s", name)
	}
	r.until("the callback has heard of both", func() bool { mu.Lock(); defer mu.Unlock(); return len(used) == 2 })
	mu.Lock()
	assert.ElementsMatch(r, []string{"Bash", "Agent"}, used)
	assert.Equal(r, 1, guarded)
	assert.Equal(r, agent, asked[below[0].Use.ID])
	assert.Equal(r, []string{"start general-purpose", "stop from below"}, hooks[agent])
	mu.Unlock()
	for _, record := range r.records(audit.ToolDecision, audit.ToolResult) {
		if record.ToolUseID == below[0].Use.ID {
			assert.Equal(r, agent, record.AgentID, "%s", record.Kind)
		}
	}
	assert.Empty(r, r.unended())

	// One that another one waits for, of whose tool the CLI does not tell the result. Here the model says Agent.
	nested := sessiontest.Delegate(sessiontest.Delegate(bash("echo deep"), false)+"[[say:middle]]", false)
	done := r.mustAsk(strings.Replace(nested, `"name":"Task"`, `"name":"Agent"`, 1) + "[[say:done]]")
	assert.Equal(r, "done", done.Text)
	assert.Equal(r, []string{"Agent"}, done.Tools)
	for _, record := range r.records() {
		assert.NotEqual(r, "Task", record.Tool)
	}
	r.noSubagents()
	assert.Empty(r, r.unended(), "below another one")

	// One behind the turn: its end is a turn of the CLI's own, which no query gets.
	turns := r.Info().Turns
	command, entered, open := r.gate("behind")
	assert.Equal(r, "given", r.mustAsk(sessiontest.Delegate(bash(command)+"[[say:later]]", true)+"[[say:given]]").Text)
	entered()
	assert.Equal(r, 1, r.Info().Subagents)
	open()
	r.until("its turn is over", func() bool { i := r.Info(); return i.Turns == turns+2 && i.Subagents == 0 && i.State == session.Idle })
	assert.Equal(r, "next", r.mustAsk("[[say:next]]").Text)

	// Two that an interrupt ends, with their tools.
	first, enteredOne, _ := r.gate("first")
	second, enteredTwo, _ := r.gate("second")
	cut := r.background(sessiontest.Delegates(false, bash("echo $$ > a.pid; "+first), bash("echo $$ > b.pid; "+second)))
	enteredOne()
	enteredTwo()
	pids := []int{r.pidIn("a.pid"), r.pidIn("b.pid")}
	require.NoError(r, r.Interrupt(r.within()))
	assert.ErrorIs(r, cut.wait(r.T), session.ErrInterrupted)
	r.until("their tools have ended", func() bool { return !alive(pids[0]) && !alive(pids[1]) })
	r.noSubagents()
	assert.Empty(r, r.unended(), "after the interrupt")
	assert.Equal(r, "echo: last", r.mustAsk("last").Text)
	assert.Equal(r, 1, r.Info().Generation)

	// What is kept of them.
	store := transcript.Store{ConfigDir: r.config}
	for c, err := range store.List(r.work) {
		require.NoError(r, err)
		agents, err := c.Subagents()
		require.NoError(r, err)
		assert.Len(r, agents, 6)
		var texts []string
		for text, err := range stream.Text(c.Messages()) {
			require.NoError(r, err)
			texts = append(texts, text)
		}
		assert.NotContains(r, texts, "from below")
		i := slices.IndexFunc(agents, func(c transcript.Conversation) bool { return c.ID == agent })
		require.GreaterOrEqual(r, i, 0)
		for text, err := range stream.Text(agents[i].Messages()) {
			require.NoError(r, err)
			assert.Equal(r, "from below", text)
		}
	}
}
