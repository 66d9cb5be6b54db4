package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// methods are how a session is asked what its CLI can be asked, by the request's subtype.
var methods = map[string]func(*session.Session, context.Context) error{
	"interrupt": func(s *session.Session, ctx context.Context) error { return s.Interrupt(ctx) },
	"set_model": func(s *session.Session, ctx context.Context) error { return s.SetModel(ctx, "haiku") },
	"set_permission_mode": func(s *session.Session, ctx context.Context) error {
		return s.SetPermissionMode(ctx, protocol.ModePlan)
	},
	"set_max_thinking_tokens": func(s *session.Session, ctx context.Context) error { return s.SetMaxThinkingTokens(ctx, nil) },
	"mcp_status":              func(s *session.Session, ctx context.Context) error { return second(s.MCPStatus(ctx)) },
	"mcp_set_servers":         func(s *session.Session, ctx context.Context) error { return second(s.SetMCPServers(ctx, nil)) },
	"mcp_reconnect":           func(s *session.Session, ctx context.Context) error { return s.MCPReconnect(ctx, "a") },
	"mcp_toggle":              func(s *session.Session, ctx context.Context) error { return s.MCPToggle(ctx, "a", true) },
	"mcp_call":                func(s *session.Session, ctx context.Context) error { return second(s.MCPCall(ctx, "mcp__a__b", nil)) },
	"mcp_read_resource": func(s *session.Session, ctx context.Context) error {
		return second(s.MCPReadResource(ctx, "a", "ui://b"))
	},
	"mcp_authenticate": func(s *session.Session, ctx context.Context) error { return second(s.MCPAuthenticate(ctx, "a")) },
	"mcp_clear_auth":   func(s *session.Session, ctx context.Context) error { return s.MCPClearAuth(ctx, "a") },
	"mcp_oauth_callback_url": func(s *session.Session, ctx context.Context) error {
		return s.MCPOAuthCallback(ctx, "a", "http://127.0.0.1")
	},
	"set_mcp_permission_mode_override": func(s *session.Session, ctx context.Context) error { return s.SetMCPPermissionMode(ctx, "a", "") },
	"stop_task":                        func(s *session.Session, ctx context.Context) error { return s.StopTask(ctx, "a") },
	"background_tasks":                 func(s *session.Session, ctx context.Context) error { return s.BackgroundTasks(ctx, "") },
	"get_task_output":                  func(s *session.Session, ctx context.Context) error { return second(s.TaskOutput(ctx, "a")) },
	"rewind_files":                     func(s *session.Session, ctx context.Context) error { return second(s.RewindFiles(ctx, "a", true)) },
	"get_context_usage":                func(s *session.Session, ctx context.Context) error { return second(s.ContextUsage(ctx, "")) },
	"get_settings":                     func(s *session.Session, ctx context.Context) error { return second(s.Settings(ctx)) },
	"apply_flag_settings":              func(s *session.Session, ctx context.Context) error { return s.ApplySettings(ctx, map[string]any{}) },
	"update_settings":                  func(s *session.Session, ctx context.Context) error { return s.UpdateSettings(ctx, "userSettings", nil) },
	"list_permission_rules":            func(s *session.Session, ctx context.Context) error { return second(s.PermissionRules(ctx)) },
	"get_hooks_listing":                func(s *session.Session, ctx context.Context) error { return second(s.HooksListing(ctx)) },
	"get_session_cost":                 func(s *session.Session, ctx context.Context) error { return second(s.CostText(ctx)) },
	"get_usage":                        func(s *session.Session, ctx context.Context) error { return second(s.Usage(ctx)) },
	"list_models":                      func(s *session.Session, ctx context.Context) error { return second(s.Models(ctx)) },
	"get_binary_version":               func(s *session.Session, ctx context.Context) error { return second(s.BinaryVersion(ctx)) },
	"get_status":                       func(s *session.Session, ctx context.Context) error { return second(s.Status(ctx)) },
	"get_plan":                         func(s *session.Session, ctx context.Context) error { return second(s.Plan(ctx)) },
	"get_memory_dialog":                func(s *session.Session, ctx context.Context) error { return second(s.Memory(ctx)) },
	"get_skills_dialog":                func(s *session.Session, ctx context.Context) error { return second(s.Skills(ctx)) },
	"get_sandbox_dialog":               func(s *session.Session, ctx context.Context) error { return second(s.Sandbox(ctx)) },
	"export_conversation":              func(s *session.Session, ctx context.Context) error { return second(s.Export(ctx)) },
	"get_workspace_diff":               func(s *session.Session, ctx context.Context) error { return second(s.WorkspaceDiff(ctx)) },
	"file_suggestions":                 func(s *session.Session, ctx context.Context) error { return second(s.FileSuggestions(ctx, "a")) },
	"read_file":                        func(s *session.Session, ctx context.Context) error { return second(s.ReadFile(ctx, "a")) },
	"seed_read_state":                  func(s *session.Session, ctx context.Context) error { return s.SeedReadState(ctx, "a", time.Time{}) },
	"register_repo_root":               func(s *session.Session, ctx context.Context) error { return s.RegisterRepoRoot(ctx, "a") },
	"reload_plugins":                   func(s *session.Session, ctx context.Context) error { return second(s.ReloadPlugins(ctx)) },
	"reload_skills":                    func(s *session.Session, ctx context.Context) error { return second(s.ReloadSkills(ctx)) },
	"reload_output_styles":             func(s *session.Session, ctx context.Context) error { return second(s.ReloadOutputStyles(ctx)) },
	"rename_session":                   func(s *session.Session, ctx context.Context) error { return s.Rename(ctx, "a") },
	"generate_session_title":           func(s *session.Session, ctx context.Context) error { return second(s.GenerateTitle(ctx, "a")) },
	"side_question":                    func(s *session.Session, ctx context.Context) error { return second(s.SideQuestion(ctx, "a")) },
}

// ownBusiness are the requests that have no method, since the runtime makes them itself, or something in their place.
var ownBusiness = map[string]string{
	"initialize":           "the start",
	"mcp_message":          "servers of package session/tool",
	"end_session":          "Runtime.Stop, which a session that is to come back is not told by its CLI",
	"cancel_async_message": "prompts wait here, and are taken back by leaving their query",
	"set_cwd":              "a session starts again in Options.CWD, where its conversation is",
	"set_has_subscribers":  "it means something to a CLI that is told to hold frames back; this runtime reads all of them",
}

func second[T any](_ T, err error) error { return err }

func TestEveryRequestHasAMethod(t *testing.T) {
	for _, body := range protocol.Requests() {
		what := body.RequestSubtype()
		_, own := ownBusiness[what]
		assert.True(t, own != (methods[what] != nil), what)
	}
}

// TestRequestsHaveADeadline asks a CLI that answers nothing.
func TestRequestsHaveADeadline(t *testing.T) {
	sp := spec(t, "silent")
	sp.Options.ControlTimeout, sp.Options.Shutdown = 500*time.Millisecond, supervisor.Within(time.Second)
	b := start(t, sp)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		for range b.Query(ctx, "[[hang]]") { // ends with the session
		}
	}()
	for second(b.BinaryVersion(ctx)) == nil { // not hanging yet
		require.NoError(t, ctx.Err())
	}
	outcomes := make(chan error, len(methods))
	for what, ask := range methods {
		if what == "interrupt" { // its own grace has the process ended
			continue
		}
		go func() { outcomes <- ask(b.Session, ctx) }()
	}
	for range len(methods) - 1 {
		require.ErrorIs(t, <-outcomes, context.DeadlineExceeded)
	}
	require.NoError(t, ctx.Err(), "it was the request's own deadline")
	if err := b.Interrupt(ctx); !errors.Is(err, session.ErrNotRunning) { // the process is being ended for its silence, sooner or later
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	}
}
