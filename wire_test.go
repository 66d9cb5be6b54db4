package understudy_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// TestRequests sends what a running CLI can be asked, by the methods that there are for it and by name.
func TestRequests(t *testing.T) {
	both(t, map[string]func(*rig){
		"every request is answered":           everyRequest,
		"what was changed is changed again":   changedAgain,
		"a request has a deadline and an end": requestsEnd,
	})
}

func everyRequest(r *rig) {
	r.spec.EnableFileCheckpointing = true
	r.boot()
	r.mustAsk("hello")
	ctx := r.within()
	status, err := r.MCPStatus(ctx)
	require.NoError(r, err)
	assert.Empty(r, status.Servers)
	usage, err := r.Usage(ctx)
	require.NoError(r, err)
	assert.InDelta(r, 0.005, usage.Session.TotalCostUSD, 1e-9)
	filled, err := r.ContextUsage(ctx, protocol.ContextSummary)
	require.NoError(r, err)
	assert.Positive(r, filled.MaxTokens)
	models, err := r.Models(ctx)
	require.NoError(r, err)
	assert.NotEmpty(r, models)
	account, err := r.Account()
	require.NoError(r, err)
	assert.Equal(r, "ANTHROPIC_API_KEY", account.APIKeySource)
	agents, err := r.Agents()
	require.NoError(r, err)
	assert.NotEmpty(r, agents)
	commands, err := r.Commands()
	require.NoError(r, err)
	assert.NotEmpty(r, commands)
	settings, err := r.Session.Settings(ctx)
	require.NoError(r, err)
	assert.NotEmpty(r, settings.Effective)
	_, err = r.PermissionRules(ctx)
	require.NoError(r, err)
	require.NoError(r, r.Rename(ctx, "a title"))
	require.NoError(r, r.StopTask(ctx, "no-such-task"))
	require.NoError(r, r.BackgroundTasks(ctx, ""))
	_, err = r.ReloadSkills(ctx)
	require.NoError(r, err)
	_, err = r.ReloadPlugins(ctx)
	require.NoError(r, err)
	require.NoError(r, r.SetMaxThinkingTokens(ctx, new(2000)))
	require.NoError(r, r.ApplySettings(ctx, map[string]any{"includeCoAuthoredBy": false}))
	added, err := r.SetMCPServers(ctx, nil)
	require.NoError(r, err)
	assert.Empty(r, added.Added)
	require.NoError(r, os.WriteFile(filepath.Join(r.work, "text"), []byte("text"), 0o600))
	require.NoError(r, r.SeedReadState(ctx, filepath.Join(r.work, "text"), time.Now()))

	rewound, err := r.RewindFiles(ctx, "00000000-0000-4000-8000-000000000000", true)
	require.NoError(r, err)
	assert.False(r, rewound.CanRewind)

	var refused *protocol.ControlError
	for what, err := range map[string]error{
		"reconnect": r.MCPReconnect(ctx, "nobody"), "toggle": r.MCPToggle(ctx, "nobody", true),
		"output": second(r.TaskOutput(ctx, "nobody")),
		"read":   second(r.ReadFile(ctx, "/nowhere")), "resource": second(r.MCPReadResource(ctx, "nobody", "ui://x")),
	} {
		assert.ErrorAs(r, err, &refused, what)
	}
	_, err = r.Control(ctx, must(protocol.NewRequest("no_such_request", nil)))
	require.ErrorAs(r, err, &refused)
	assert.Equal(r, protocol.ErrorCodeUnsupported, refused.Code)

	// What has no method of its own is answered as well.
	for _, body := range []protocol.ControlBody{
		&protocol.GetHooksListing{}, &protocol.GetSessionCost{}, &protocol.GetBinaryVersion{}, &protocol.GetStatus{}, &protocol.GetPlan{},
		&protocol.GetMemoryDialog{}, &protocol.GetSkillsDialog{}, &protocol.GetSandboxDialog{}, &protocol.ExportConversation{},
		&protocol.GetWorkspaceDiff{}, &protocol.FileSuggestions{Query: "te"}, &protocol.ReloadOutputStyles{},
		&protocol.CancelAsyncMessage{MessageUUID: "00000000-0000-4000-8000-000000000000"}, &protocol.SetHasSubscribers{},
		&protocol.SetMCPPermissionModeOverride{ServerName: "nobody"}, &protocol.Interrupt{},
	} {
		_, err := r.Control(ctx, body)
		assert.NoError(r, err, body.RequestSubtype())
	}
	assert.Equal(r, 1, r.Info().Generation)
	assert.Equal(r, "echo: still here", r.mustAsk("still here").Text)
}

func second[T any](_ T, err error) error { return err }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func changedAgain(r *rig) {
	r.boot()
	ctx := r.within()
	r.mustAsk("hello")
	require.NoError(r, r.SetModel(ctx, "haiku"))
	require.NoError(r, r.SetPermissionMode(ctx, protocol.ModePlan))
	for i := range 20 {
		require.NoError(r, r.ApplySettings(ctx, map[string]any{"env": map[string]any{"FROM_SETTINGS": "yes", "LAST": strconv.Itoa(i)}}))
	}
	require.NoError(r, r.ApplySettings(ctx, map[string]any{"permissions": map[string]any{"deny": []string{"Read(/one)"}, "allow": []string{"Read(/two)"}}}))
	require.NoError(r, r.ApplySettings(ctx, map[string]any{"permissions": map[string]any{"deny": []string{"Read(/three)"}}}))
	inForce := func() string {
		settings, err := r.Session.Settings(ctx)
		require.NoError(r, err)
		return string(settings.Effective)
	}
	before := inForce()
	_, err := r.SetMCPServers(ctx, map[string]session.MCPServer{"gone": {Command: "/does/not/exist"}})
	require.NoError(r, err)
	r.killIdle()
	r.mustAsk("go on")
	info := r.Info()
	assert.Contains(r, info.Model, "haiku")
	assert.Equal(r, "plan", info.Mode)
	status, err := r.MCPStatus(ctx)
	require.NoError(r, err)
	if r.real {
		require.Len(r, status.Servers, 1)
		assert.Equal(r, "gone", status.Servers[0].Name)
		assert.JSONEq(r, before, inForce(), "what several calls have come to")
		assert.Contains(r, before, `"FROM_SETTINGS":"yes","LAST":"19"`)
		assert.Contains(r, before, "blockWritesOutsideWorkingDirectories", "the options' own settings stay")
		assert.NotContains(r, before, "/one")
	}
	data, err := os.ReadFile(filepath.Join(r.options.DataDir, "state", "worker.json"))
	require.NoError(r, err)
	var kept struct {
		Applied []json.RawMessage `json:"applied_settings"`
	}
	require.NoError(r, json.Unmarshal(data, &kept))
	assert.Len(r, kept.Applied, 1, "the record does not grow with each call")
}

func requestsEnd(r *rig) {
	r.boot()
	r.mustAsk("hello")
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	_, err := r.Usage(ctx)
	require.ErrorIs(r, err, context.Canceled)
	require.NoError(r, r.rt.Stop(r.within(), "worker"))
	_, err = r.Usage(r.within())
	require.ErrorIs(r, err, session.ErrNotRunning)
	_, err = r.Agents()
	require.ErrorIs(r, err, session.ErrNotRunning)
}

// TestHooks has the CLI call functions of this program.
func TestHooks(t *testing.T) {
	both(t, map[string]func(*rig){
		"they decide about tools":          hooksDecide,
		"one that fails denies":            hooksFail,
		"events that can be provoked come": hookEvents,
	})
}

// bashOf is the command of a tool input.
func bashOf(raw json.RawMessage) string {
	var in struct{ Command string }
	_ = json.Unmarshal(raw, &in) // empty then
	return in.Command
}

func hooksDecide(r *rig) {
	r.spec.AllowedTools = []string{"Bash(touch:*)"}
	r.spec.PermissionPrompts = session.PromptsNone
	pre := func(_ context.Context, in protocol.PreToolUseInput) (protocol.PreToolUseOutput, error) {
		switch bashOf(in.ToolInput) {
		case "touch denied":
			return protocol.PreToolUseOutput{Decision: protocol.DecisionDeny, Reason: "not that one"}, nil
		case "touch before":
			return protocol.PreToolUseOutput{Decision: protocol.DecisionAllow, UpdatedInput: json.RawMessage(`{"command":"touch after"}`)}, nil
		case "mkdir allowed":
			return protocol.PreToolUseOutput{Decision: protocol.DecisionAllow}, nil
		}
		return protocol.PreToolUseOutput{}, nil
	}
	never := func(context.Context, protocol.PreToolUseInput) (protocol.PreToolUseOutput, error) {
		return protocol.PreToolUseOutput{Decision: protocol.DecisionDeny}, nil
	}
	r.spec.Hooks.PreToolUse = []session.Hook[protocol.PreToolUseInput, protocol.PreToolUseOutput]{
		{Matcher: "Bash", Call: pre}, {Matcher: "Bas|Read", Call: never}, {Matcher: "^Ba$", Call: never},
	}
	r.boot()
	for command, file := range map[string]string{"touch denied": "", "touch before": "after", "mkdir allowed": "allowed", "touch plain": "plain"} {
		answer := r.mustAsk(bash(command))
		assert.Equal(r, file == "", len(answer.Result.PermissionDenials) > 0, command)
		if file != "" {
			assert.True(r, exists(filepath.Join(r.work, file)), command)
		}
	}
	assert.False(r, exists(filepath.Join(r.work, "denied")))
	assert.False(r, exists(filepath.Join(r.work, "before")))
	intents := map[string]string{}
	for _, record := range r.records(audit.ToolIntent) {
		intents[bashOf(record.Input)] = record.ToolUseID
	}
	assert.Contains(r, intents, "touch after", "the intent is what will run")
	assert.NotContains(r, intents, "touch before")
	story := r.settled(intents["touch denied"])
	require.NotEmpty(r, story)
	assert.Equal(r, audit.ToolIntent, story[0].Kind)
	assert.True(r, slices.ContainsFunc(story, func(record audit.Record) bool {
		return record.Kind == audit.ToolDecision && record.Decision.By == "hook" && record.Decision.Reason == "not that one"
	}))
}

func hooksFail(r *rig) {
	release := make(chan struct{})
	r.Cleanup(func() { close(release) })
	r.spec.Hooks.PreToolUse = []session.Hook[protocol.PreToolUseInput, protocol.PreToolUseOutput]{{
		Timeout: 200 * time.Millisecond,
		Call: func(_ context.Context, in protocol.PreToolUseInput) (protocol.PreToolUseOutput, error) {
			switch bashOf(in.ToolInput) {
			case "touch panic":
				panic("hook panic")
			case "touch error":
				return protocol.PreToolUseOutput{Decision: protocol.DecisionAllow}, errors.New("hook error")
			case "touch blocks":
				<-release
			case "touch nonsense":
				return protocol.PreToolUseOutput{Decision: "perhaps"}, nil
			case "touch list":
				return protocol.PreToolUseOutput{Decision: protocol.DecisionAllow, UpdatedInput: json.RawMessage(`[]`)}, nil
			}
			return protocol.PreToolUseOutput{}, nil
		},
	}}
	r.spec.Hooks.UserPromptSubmit = []session.Hook[protocol.UserPromptSubmitInput, protocol.UserPromptSubmitOutput]{{
		Call: func(_ context.Context, in protocol.UserPromptSubmitInput) (protocol.UserPromptSubmitOutput, error) {
			if in.Prompt == "forbidden" {
				panic("prompt panic")
			}
			return protocol.UserPromptSubmitOutput{}, nil
		},
	}}
	r.boot()
	for _, file := range []string{"panic", "error", "blocks", "nonsense", "list"} {
		answer := r.mustAsk(bash("touch " + file))
		assert.Len(r, answer.Result.PermissionDenials, 1, file)
		assert.False(r, exists(filepath.Join(r.work, file)), "%s: the tool must not run", file)
	}
	r.mustAsk(bash("touch fine"))
	assert.True(r, exists(filepath.Join(r.work, "fine")))
	if r.real { // the simulation has the hooks of tools alone
		answer, err := r.ask("forbidden")
		require.NoError(r, err)
		assert.NotContains(r, answer.Text, "echo: forbidden", "the prompt was not sent")
	}
	assert.Equal(r, 1, r.Info().Generation)
}

func hookEvents(r *rig) {
	var mu sync.Mutex
	seen := map[string]json.RawMessage{}
	note := func(event string, in any) {
		mu.Lock()
		defer mu.Unlock()
		seen[event], _ = json.Marshal(in)
	}
	h := &r.spec.Hooks
	hook(&h.PreToolUse, note)
	hook(&h.PostToolUse, note)
	hook(&h.PostToolUseFailure, note)
	hook(&h.PostToolBatch, note)
	hook(&h.PermissionRequest, note)
	hook(&h.UserPromptSubmit, note)
	hook(&h.Stop, note)
	hook(&h.PreCompact, note)
	hook(&h.PostCompact, note)
	hook(&h.SessionStart, note)
	hook(&h.SessionEnd, note)
	hook(&h.PreModelSwitch, note)
	hook(&h.PostModelSwitch, note)
	hook(&h.SubagentStart, note)
	hook(&h.SubagentStop, note)
	hook(&h.StopFailure, note)
	hook(&h.MessageDisplay, note)
	r.spec.AllowedTools = []string{"Bash(true)", "Bash(false)", "Task"}
	r.spec.CanUseTool = func(context.Context, *protocol.CanUseTool) (protocol.PermissionResult, error) {
		return protocol.NewDeny("no")
	}
	r.boot()
	r.mustAsk(bash("true"))
	r.mustAsk(bash("false"))
	r.mustAsk(bash("touch asked"))
	want := []string{"PreToolUse", "PostToolUse", "PostToolUseFailure"} // the simulation has those of tools alone
	if r.real {
		require.NoError(r, r.SetModel(r.within(), "haiku"))
		r.mustAsk(`[[tool:Task {"description":"d","prompt":"[[say:done]]","subagent_type":"general-purpose"}]]`)
		r.mustAsk("/compact")
		r.mustAsk("/clear")
		r.mustAsk("anew")
		want = append(want, "UserPromptSubmit", "Stop", "PostToolBatch", "PermissionRequest", "PreModelSwitch", "PostModelSwitch", "SubagentStart", "SubagentStop",
			"PreCompact", "PostCompact", "SessionStart", "SessionEnd", "MessageDisplay")
	}
	for _, event := range want {
		r.until("the hook of "+event+" was called", func() bool { mu.Lock(); defer mu.Unlock(); return seen[event] != nil })
	}
	mu.Lock()
	defer mu.Unlock()
	for event, raw := range seen {
		var in protocol.HookContext
		require.NoError(r, json.Unmarshal(raw, &in))
		assert.Equal(r, event, in.HookEventName)
		assert.NotEmpty(r, in.SessionID, event)
	}
}

// hook adds one that takes note of what it is told.
func hook[In, Out any](to *[]session.Hook[In, Out], note func(event string, in any)) {
	*to = append(*to, session.Hook[In, Out]{Call: func(_ context.Context, in In) (out Out, err error) {
		data, _ := json.Marshal(in)
		var context protocol.HookContext
		_ = json.Unmarshal(data, &context) // shown by the test
		note(context.HookEventName, in)
		return out, nil
	}})
}
