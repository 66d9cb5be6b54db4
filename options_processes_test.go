package understudy_test

import (
	"os"
	"os/exec"
	"path/filepath"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// otherProcesses have what excludes one of the first process's, or what is set to another value.
var otherProcesses = map[string]map[string]optionTest{
	"the other way": {
		"model": {func(r *optionRig) { r.spec.Model = "claude-opus-4-6" }, nil}, // one that can go without thinking
		"debug": {func(r *optionRig) { r.spec.Debug = session.Toggle{On: true, Value: "mcp,hooks"} }, nil},
		"debug_file": {func(r *optionRig) { r.spec.DebugFile = filepath.Join(r.TempDir(), "debug.log") }, func(r *optionRig) {
			r.until("debug output in the file", func() bool {
				info, err := os.Stat(r.spec.DebugFile)
				return err == nil && info.Size() > 0
			})
		}},
		"exclude_dynamic_sections": {func(r *optionRig) { r.spec.ExcludeDynamicSections = true }, func(r *optionRig) {
			call := r.call("hello")
			assert.Contains(r, call.System, "You are a Claude agent")
			assert.NotContains(r, call.System, r.work, "what differs per machine")
			assert.Contains(r, string(call.Body), r.work)
		}},
		"max_thinking_tokens": {func(r *optionRig) { r.spec.MaxThinkingTokens = new(0) }, func(r *optionRig) {
			assert.Contains(r, r.body("hello"), "thinking.type=disabled")
		}},
		"permission_prompts": {func(r *optionRig) { r.spec.PermissionPrompts, r.spec.AllowedTools = session.PromptsNone, nil }, func(r *optionRig) {
			assert.Len(r, r.mustAsk(bash("touch file")).Result.PermissionDenials, 1)
		}},
		"verbatim_prompts": {func(r *optionRig) { r.spec.VerbatimPrompts = true }, func(r *optionRig) {
			assert.Equal(r, "echo: /context", r.mustAsk("/context").Text)
		}},
		"disable_slash_commands": {func(r *optionRig) { r.spec.DisableSlashCommands = true }, func(r *optionRig) {
			assert.Empty(r, r.init.Skills)
			assert.Empty(r, r.init.SlashCommands)
		}},
		"no_session_persistence": {func(r *optionRig) { r.spec.NoSessionPersistence = true }, func(r *optionRig) {
			assert.Empty(r, holds(r.T, filepath.Dir(r.config), "hello"))
		}},
		"isolate_home": {func(r *optionRig) {
			r.spec.IsolateHome = new(true)
			delete(r.spec.Env, "HOME")
			delete(r.spec.Env, "CLAUDE_CONFIG_DIR")
		}, func(r *optionRig) {
			assert.False(r, exists(r.config))
		}},
		"trust_workspace": {func(r *optionRig) {
			r.write(filepath.Join(r.work, ".mcp.json"), `{"mcpServers": {"theirs": {"command": "/does/not/exist"}}}`)
			r.write(filepath.Join(r.work, "CLAUDE.md"), "A rule of the repository.")
			r.spec.TrustWorkspace = true
		}, func(r *optionRig) {
			assert.Contains(r, string(r.call("hello").Body), "A rule of the repository.")
		}},
		"strict_mcp_config": {func(r *optionRig) { r.spec.StrictMCPConfig = new(false) }, func(r *optionRig) {
			assert.True(r, r.hasServer("theirs"), "the repository's own server is started")
		}},
		"max_turns": {func(r *optionRig) { r.spec.MaxTurns = 2 }, func(r *optionRig) {
			_, err := r.ask("[[loop]]")
			var result *session.ResultError
			require.ErrorAs(r, err, &result)
			assert.Equal(r, protocol.ResultErrorMaxTurns, result.Result.Subtype)
		}},
		"api_key_file": {func(r *optionRig) {
			r.spec.APIKey, r.spec.APIKeyFile = "", filepath.Join(r.TempDir(), "key")
			r.write(r.spec.APIKeyFile, "key-of-a-file-0123456789\n")
		}, func(r *optionRig) {
			assert.Equal(r, "key-of-a-file-0123456789", r.call("hello").Key)
		}},
	},
	"an agent that plans": {
		"agents": {func(r *optionRig) {
			r.spec.Agents = map[string]session.Agent{"planner": {Description: "plans", Prompt: "You are the planner."}}
		}, nil},
		"agent": {func(r *optionRig) { r.spec.Agent = "planner" }, func(r *optionRig) {
			assert.Contains(r, r.call("hello").System, "You are the planner.")
		}},
		"permission_mode": {func(r *optionRig) { r.spec.PermissionMode = protocol.ModePlan }, func(r *optionRig) {
			assert.Equal(r, protocol.ModePlan, r.init.PermissionMode)
		}},
		"plan_mode_instructions": {func(r *optionRig) { r.spec.PlanModeInstructions = "Plan with a pencil." }, func(r *optionRig) {
			assert.Contains(r, string(r.call("hello").Body), "Plan with a pencil.")
		}},
		"thinking": {func(r *optionRig) {
			r.spec.Thinking = session.Thinking{Type: session.ThinkingAdaptive, Display: session.DisplaySummarized}
		}, func(r *optionRig) {
			assert.Contains(r, r.body("hello"), "thinking.type=adaptive")
			assert.Contains(r, r.body("hello"), "thinking.display=summarized")
		}},
		"project_config_root": {func(r *optionRig) {
			r.spec.ProjectConfigRoot = r.TempDir()
			r.write(filepath.Join(r.spec.ProjectConfigRoot, ".claude", "settings.json"), `{"outputStyle": "Explanatory"}`)
		}, func(r *optionRig) {
			assert.Equal(r, "Explanatory", r.init.OutputStyle)
		}},
		"strict_mcp_config": {func(r *optionRig) {
			r.write(filepath.Join(r.spec.ProjectConfigRoot, ".mcp.json"), `{"mcpServers": {"theirs": {"command": "/does/not/exist"}}}`)
			r.spec.StrictMCPConfig = new(true)
		}, func(r *optionRig) {
			assert.False(r, r.hasServer("theirs"), "although the repository is trusted")
		}},
		"trust_workspace": {func(r *optionRig) { r.spec.TrustWorkspace = true }, nil},
		"api_key_credential": {func(r *optionRig) { r.spec.APIKey, r.spec.APIKeyCredential = "", "option-test" }, func(r *optionRig) {
			assert.Equal(r, "key-of-a-credential-0123456789", r.call("hello").Key)
		}},
		"settings": {func(r *optionRig) {
			r.spec.Settings.Path = filepath.Join(r.work, "settings.json")
			r.write(r.spec.Settings.Path, `{"includeCoAuthoredBy": false}`)
		}, func(r *optionRig) {
			settings, err := r.Session.Settings(r.within())
			require.NoError(r, err)
			assert.Contains(r, string(settings.Effective), "includeCoAuthoredBy")
		}},
	},
	"a tool that is asked": {
		"permission_prompt_tool": {func(r *optionRig) {
			r.spec.AllowedTools, r.spec.PermissionPromptTool = nil, "mcp__probe__permit"
		}, func(r *optionRig) {
			answer := r.mustAsk(bash("touch permitted"))
			assert.Empty(r, answer.Result.PermissionDenials)
			assert.True(r, exists(filepath.Join(r.init.CWD, "permitted")))
			assert.Len(r, r.mustAsk(bash("touch refused")).Result.PermissionDenials, 1)
		}},
		"mcp_servers": {func(r *optionRig) {
			r.spec.MCPServers = map[string]session.MCPServer{"probe": probeServer("x")}
		}, nil},
		"output_format": {func(r *optionRig) {
			r.spec.OutputFormat.Schema = map[string]any{"type": "object", "properties": map[string]any{"a": map[string]any{"type": "string"}}, "required": []any{"a"}}
		}, func(r *optionRig) {
			answer := r.mustAsk(`[[tool:StructuredOutput {"a":"x"}]]`)
			assert.JSONEq(r, `{"a":"x"}`, string(answer.Result.StructuredOutput))
		}},
		"worktree": {func(r *optionRig) {
			for _, args := range [][]string{{"init", "-q"}, {"commit", "-q", "--allow-empty", "-m", "first"}} {
				cmd := exec.Command("git", append([]string{"-C", r.work, "-c", "user.name=n", "-c", "user.email=e@example.com"}, args...)...)
				out, err := cmd.CombinedOutput()
				require.NoError(r, err, "%s", out)
			}
			r.spec.Worktree = session.Toggle{On: true}
		}, func(r *optionRig) {
			tree := filepath.Join(r.work, ".claude", "worktrees", "worker")
			assert.Equal(r, tree, r.init.CWD)
			assert.True(r, exists(filepath.Join(tree, ".git")))
			r.killIdle()
			r.mustAsk("again")
			assert.Equal(r, r.init.SessionID, r.Info().SessionID)
			assert.Contains(r, r.history(), "hello", "the conversation is found again from there")
		}},
	},
	"a profile": {
		"profile": {func(r *optionRig) { r.spec.Profile, r.spec.AllowedTools = session.ProfileReview, nil }, func(r *optionRig) {
			assert.Equal(r, protocol.ModePlan, r.init.PermissionMode)
			assert.Contains(r, r.init.Tools, "Read")
			assert.NotContains(r, r.init.Tools, "Bash")
		}},
		"model": {func(r *optionRig) { r.spec.Model = "claude-sonnet-4-5-20250929" }, nil}, // one that takes a budget
		"thinking": {func(r *optionRig) {
			r.spec.Thinking = session.Thinking{Type: session.ThinkingEnabled, BudgetTokens: 5000}
		}, func(r *optionRig) {
			assert.Contains(r, r.body("hello"), "thinking.type=enabled")
			assert.Contains(r, r.body("hello"), "thinking.budget_tokens=5000")
		}},
	},
	"nothing is asked": {
		"allow_dangerously_skip_permissions": {func(r *optionRig) {
			needSandbox(r.rig)
			r.spec.AllowDangerouslySkipPermissions = true
			r.spec.Env = with(r.spec.Env, "IS_SANDBOX", "1") // the CLI refuses root otherwise
		}, nil},
		"dangerously_skip_permissions": {func(r *optionRig) { r.spec.DangerouslySkipPermissions, r.spec.AllowedTools = true, nil }, func(r *optionRig) {
			assert.Equal(r, protocol.ModeBypassPermissions, r.init.PermissionMode)
			r.mustAsk(bash("touch unasked"))
			assert.True(r, exists(filepath.Join(r.work, "unasked")))
		}},
		"sandbox": {func(r *optionRig) { r.spec.Sandbox = session.Sandbox{Enabled: new(true)} }, func(r *optionRig) {
			outside := filepath.Join(filepath.Dir(r.config), "outside")
			r.mustAsk(bash("touch " + outside))
			assert.False(r, exists(outside))
		}},
	},
	"files": {
		"file": {func(r *optionRig) {
			r.spec.File = []string{"file_1:below/downloaded.txt"}
			r.spec.Env = with(r.spec.Env, "CLAUDE_CODE_SESSION_ACCESS_TOKEN", "made-up-token")
			r.spec.Env = with(r.spec.Env, "CLAUDE_CODE_API_BASE_URL", r.api.URL()) // whatever ANTHROPIC_BASE_URL says
		}, func(r *optionRig) {
			found, err := filepath.Glob(filepath.Join(r.work, "*", "uploads", "below", "downloaded.txt"))
			require.NoError(r, err)
			require.NotEmpty(r, found, "a copy of the conversation downloads it as well")
			data, err := os.ReadFile(found[0])
			require.NoError(r, err)
			assert.Equal(r, "what is in file_1", string(data))
		}},
		"prompt_suggestions": {func(r *optionRig) {
			r.spec.PromptSuggestions = true
			r.spec.Env = with(r.spec.Env, "CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION", "1") // else it is nonessential traffic
		}, func(r *optionRig) {
			assert.Equal(r, "run the tests", r.suggestion("[[suggest:run the tests]] go on"))
		}},
		"append_system_prompt": {func(r *optionRig) { r.spec.AppendSystemPrompt = "appended first" }, func(r *optionRig) {
			again := r.forked("same prompt")
			assert.Contains(r, again.System, "appended first", "a conversation keeps its prompt, unless system_prompt_snapshot is false")
			assert.NotContains(r, again.System, "appended later")
		}},
		"model": {func(r *optionRig) { r.spec.Model = "claude-sonnet-4-5-20250929" }, nil},
		"max_thinking_tokens": {func(r *optionRig) { r.spec.MaxThinkingTokens = new(4000) }, func(r *optionRig) {
			assert.Contains(r, r.body("hello"), "thinking.budget_tokens=4000")
		}},
	},
}
