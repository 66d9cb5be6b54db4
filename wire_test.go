package understudy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/sessiontest"
)

// TestRequests sends what a running CLI can be asked, by the methods that there are for it and by name.
func TestRequests(t *testing.T) {
	t.Parallel()
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

	screens(r)
	sendEvery(r)
}

// screens asks for what a CLI in a terminal shows. The simulation answers, and knows nothing.
func screens(r *rig) {
	ctx := r.within()
	version, err := r.BinaryVersion(ctx)
	require.NoError(r, err)
	assert.Equal(r, sessiontest.CLIVersion, version)
	cost, err := r.CostText(ctx)
	require.NoError(r, err)
	status, err := r.Status(ctx)
	require.NoError(r, err)
	plan, err := r.Plan(ctx)
	require.NoError(r, err)
	assert.False(r, plan.Exists)
	memory, err := r.Memory(ctx)
	require.NoError(r, err)
	skills, err := r.Skills(ctx)
	require.NoError(r, err)
	assert.Empty(r, skills.Skills)
	sandbox, err := r.Sandbox(ctx)
	require.NoError(r, err)
	assert.False(r, sandbox.Enabled)
	export, err := r.Export(ctx)
	require.NoError(r, err)
	diff, err := r.WorkspaceDiff(ctx)
	require.NoError(r, err)
	_, err = r.FileSuggestions(ctx, "te")
	require.NoError(r, err)
	hooks, err := r.HooksListing(ctx)
	require.NoError(r, err)
	assert.Empty(r, hooks.Hooks)
	styles, err := r.ReloadOutputStyles(ctx)
	require.NoError(r, err)
	require.NoError(r, r.SetMCPPermissionMode(ctx, "nobody", protocol.ModeDefault))
	require.NoError(r, r.SetMCPPermissionMode(ctx, "nobody", ""))
	if !r.real {
		return
	}
	assert.Contains(r, cost, "$0.0050")
	assert.NotEmpty(r, status.Sections)
	assert.NotEmpty(r, memory.Files)
	assert.True(r, sandbox.Supported)
	assert.Contains(r, export.Text, "echo: hello")
	assert.Equal(r, "no-repository", diff.NoDiffReason)
	assert.NotEmpty(r, hooks.EventCatalog)
	assert.Contains(r, styles, "default")
	title, err := r.GenerateTitle(ctx, "what it is about")
	require.NoError(r, err)
	assert.Empty(r, title, "the model's answer is none")
	_, err = r.SetMCPServers(ctx, map[string]session.MCPServer{"asker": askingServer(r.T, session.MCPHTTP)})
	require.NoError(r, err)
	called, err := r.MCPCall(ctx, "mcp__asker__greet", map[string]any{})
	require.NoError(r, err)
	require.Len(r, called.Content, 1)
	assert.JSONEq(r, `{"type":"text","text":"hello"}`, string(called.Content[0]))
	require.NoError(r, r.MCPClearAuth(ctx, "asker"))
	var refused *protocol.ControlError
	require.ErrorAs(r, second(r.MCPAuthenticate(ctx, "asker")), &refused)
	require.ErrorAs(r, r.MCPOAuthCallback(ctx, "asker", "http://127.0.0.1/"), &refused)
	require.ErrorAs(r, r.UpdateSettings(ctx, "localSettings", map[string]any{"outputStyle": "default"}), &refused)
	sub := filepath.Join(r.work, "repository")
	require.NoError(r, os.MkdirAll(filepath.Join(sub, ".git"), 0o700))
	require.NoError(r, r.RegisterRepoRoot(ctx, sub))
}

// asked is a request to the CLI, and what its refusal says; empty: it is no refusal.
type asked struct {
	body    protocol.ControlBody
	refused string
}

// sendEvery sends a request of each type that there is, and looks at what the real CLI says: the simulation has fewer.
func sendEvery(r *rig) {
	ctx := r.within()
	if r.real {
		_, err := r.SetMCPServers(ctx, map[string]session.MCPServer{"asker": askingServer(r.T, session.MCPHTTP)})
		require.NoError(r, err)
	}
	const noID = "00000000-0000-4000-8000-000000000000"
	sub := filepath.Join(r.work, "sub")
	require.NoError(r, os.MkdirAll(filepath.Join(sub, ".git"), 0o700))
	settings := json.RawMessage(`{}`)
	all := []asked{
		{&protocol.Interrupt{}, ""},
		{&protocol.SetModel{}, ""},
		{&protocol.SetPermissionMode{Mode: protocol.ModeAcceptEdits}, ""},
		{&protocol.SetMaxThinkingTokens{}, ""},
		{&protocol.MCPStatus{}, ""},
		{&protocol.MCPMessage{ServerName: "nobody", Message: json.RawMessage(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)}, ""},
		{&protocol.MCPCall{Tool: "mcp__asker__greet"}, ""},
		{&protocol.MCPReconnect{ServerName: "asker"}, ""},
		{&protocol.MCPToggle{ServerName: "asker", Enabled: true}, ""},
		{&protocol.MCPReadResource{ServerName: "asker", URI: "ui://x"}, "Resource not found"},
		{&protocol.MCPAuthenticate{ServerName: "nobody"}, "Server not found"},
		{&protocol.MCPClearAuth{ServerName: "nobody"}, "Server not found"},
		{&protocol.MCPOAuthCallbackURL{ServerName: "nobody", CallbackURL: "http://127.0.0.1/"}, "No active OAuth flow"},
		{&protocol.SetMCPPermissionModeOverride{ServerName: "nobody"}, ""},
		{&protocol.MCPSetServers{Servers: map[string]json.RawMessage{}}, ""},
		{&protocol.StopTask{TaskID: "nobody"}, ""},
		{&protocol.RewindFiles{UserMessageID: noID}, "No file checkpoint"},
		{&protocol.BackgroundTasks{}, ""},
		{&protocol.GetTaskOutput{TaskID: "nobody"}, "no shell or Monitor task"},
		{&protocol.GetContextUsage{Detail: protocol.ContextFull}, ""},
		{&protocol.GetSettings{}, ""},
		{&protocol.ApplyFlagSettings{Settings: settings}, ""},
		{&protocol.UpdateSettings{Source: "localSettings", Settings: json.RawMessage(`{"effortLevel":"low"}`)}, "source is disabled"},
		{&protocol.ListPermissionRules{}, ""},
		{&protocol.GetHooksListing{}, ""},
		{&protocol.GetSessionCost{}, ""},
		{&protocol.GetUsage{}, ""},
		{&protocol.ListModels{}, ""},
		{&protocol.GetBinaryVersion{}, ""},
		{&protocol.GetStatus{}, ""},
		{&protocol.GetPlan{}, ""},
		{&protocol.GetMemoryDialog{}, ""},
		{&protocol.GetSkillsDialog{}, ""},
		{&protocol.GetSandboxDialog{}, ""},
		{&protocol.ExportConversation{}, ""},
		{&protocol.GetWorkspaceDiff{}, ""},
		{&protocol.FileSuggestions{Query: "te"}, ""},
		{&protocol.ReadFile{Path: filepath.Join(r.work, "text")}, ""},
		{&protocol.SeedReadState{Path: filepath.Join(r.work, "text"), MTime: time.Now().UnixMilli()}, ""},
		{&protocol.RegisterRepoRoot{Directory: sub}, ""},
		{&protocol.ReloadPlugins{}, ""},
		{&protocol.ReloadSkills{}, ""},
		{&protocol.ReloadOutputStyles{}, ""},
		{&protocol.RenameSession{Title: "another"}, ""},
		{&protocol.GenerateSessionTitle{Description: "what it is about"}, ""},
		{&protocol.SideQuestion{Question: "[[say:beside]]"}, ""},
		{&protocol.CancelAsyncMessage{MessageUUID: noID}, ""},
		{&protocol.SetHasSubscribers{HasSubscribers: new(true)}, ""},
		{&protocol.SetCWD{Path: sub, TrustAccepted: true, TrustedDirectory: sub}, ""},
		{&protocol.EndSession{Reason: "enough"}, ""},
	}
	sent := map[string]bool{"initialize": true} // each session begins with it; a second one would take its hooks away
	for _, ask := range all {
		what := ask.body.RequestSubtype()
		sent[what] = true
		response, err := r.Control(ctx, ask.body)
		var refused *protocol.ControlError
		switch {
		case errors.As(err, &refused) && !r.real:
		case err != nil && ask.refused != "":
			require.ErrorAs(r, err, &refused, what)
			assert.NotEqual(r, protocol.ErrorCodeUnsupported, refused.Code, what)
			assert.Contains(r, refused.Message, ask.refused, what)
		case assert.NoError(r, err, what):
			assert.True(r, ask.refused == "" || !r.real, "%s: %s", what, response.Raw())
		}
	}
	for _, body := range protocol.Requests() {
		assert.True(r, sent[body.RequestSubtype()], "never sent: %s", body.RequestSubtype())
	}
	r.until("the session is there again, since it was not this program that ended it", func() bool {
		info := r.Info()
		return info.Generation == 2 && info.State == session.Idle
	})
	assert.Equal(r, "echo: still here", r.mustAsk("still here").Text)
}

// askingServer is an MCP server on the network. Its tool ask asks the user for a name, greet nobody.
func askingServer(t *testing.T, kind session.MCPTransport) session.MCPServer {
	server := mcp.NewServer(&mcp.Implementation{Name: "asker", Version: "1.0.0"}, nil)
	text := func(text string) *mcp.CallToolResult {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
	}
	mcp.AddTool(server, &mcp.Tool{Name: "greet", Description: "Greets."}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return text("hello"), nil, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "ask", Description: "Asks for a name."}, func(ctx context.Context, q *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		answer, err := q.Session.Elicit(ctx, &mcp.ElicitParams{Message: "What is your name?", RequestedSchema: map[string]any{
			"type": "object", "properties": map[string]any{"name": map[string]any{"type": "string"}},
		}})
		if err != nil {
			return nil, nil, err
		}
		return text(fmt.Sprintf("%s: %v", answer.Action, answer.Content["name"])), nil, nil
	})
	one := func(*http.Request) *mcp.Server { return server }
	var handler http.Handler = mcp.NewStreamableHTTPHandler(one, nil)
	if kind == session.MCPSSE {
		handler = mcp.NewSSEHandler(one, nil)
	}
	host := httptest.NewServer(handler)
	t.Cleanup(func() {
		host.CloseClientConnections() // the CLI is ended after this, and listens to the server until then
		host.Close()
		for s := range server.Sessions() { // the CLI that was killed did not end its own
			_ = s.Close() // it has no connection to tell of
		}
	})
	return session.MCPServer{Type: kind, URL: host.URL}
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
	require.NoError(r, r.SetModel(ctx, "claude-sonnet-4-5")) // which has a budget for its thinking; later ones heed none
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
	require.NoError(r, r.SetMaxThinkingTokens(ctx, new(3000)))
	_, err := r.SetMCPServers(ctx, map[string]session.MCPServer{"gone": {Command: "/does/not/exist"}, "off": {Command: "/does/not/exist"}})
	require.NoError(r, err)
	if r.real {
		require.NoError(r, r.MCPToggle(ctx, "off", false))
	}
	r.killIdle()
	r.mustAsk("go on")
	info := r.Info()
	assert.Contains(r, info.Model, "claude-sonnet-4-5")
	assert.Equal(r, "plan", info.Mode)
	status, err := r.MCPStatus(ctx)
	require.NoError(r, err)
	if r.real {
		states := map[string]string{}
		for _, server := range status.Servers {
			states[server.Name] = server.Status
		}
		assert.Equal(r, map[string]string{"gone": "failed", "off": "disabled"}, states)
		calls := r.api.Requests()
		assert.Contains(r, string(calls[len(calls)-1].Body), `"budget_tokens":3000`)
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
//
// Fault: hooks never return, whatever becomes of their contexts: before and after tools, at a prompt, at the end of a turn
// Outcome: after their timeout what can be denied is denied (the tool does not run, the prompt reaches no model), and the rest goes
// on without them; the session is as usable as before
// On: simulated, real
func TestHooks(t *testing.T) {
	t.Parallel()
	both(t, map[string]func(*rig){
		"they decide about tools":          hooksDecide,
		"one that fails denies":            hooksFail,
		"one that never returns denies":    hooksHang,
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
