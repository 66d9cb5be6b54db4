package understudy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/supervisor"
)

// An optionTest sets one option of a session on the real CLI, and looks at what it does. That the CLI takes it is shown by the
// process that it shares with others: an unknown flag would end that at once.
type optionTest struct {
	set func(*optionRig)
	// seen looks at the effect; nil where nothing of it can be seen from outside.
	seen func(*optionRig)
}

// optionRig is a session with the options of one process, after its first turn.
type optionRig struct {
	*rig
	init     *protocol.Init
	messages []protocol.Message // of the first turn
	stderr   *lines
	tools    chan session.ToolEvent
}

// lines collects what is said, from any goroutine.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(line string) { l.mu.Lock(); defer l.mu.Unlock(); l.all = append(l.all, line) }
func (l *lines) empty() bool     { l.mu.Lock(); defer l.mu.Unlock(); return len(l.all) == 0 }

// stays are the options that mean nothing to the CLI: what they do is shown by the tests named, if by any.
var stays = map[string]string{
	"containment": "TestLaunchers, package process", "launcher": "TestLaunchers", "limits": "package process",
	"restart": "package supervisor", "shutdown": "package session", "start_timeout": "package session", "stall_timeout": "package session",
	"turn_timeout": "package session", "control_timeout": "package session", "permission_timeout": "TestApprovals", "interrupt_grace": "package session",
	"max_line_bytes": "package session", "redeliver": "package session", "max_queue": "package session", "max_unread_bytes": "package session",
	"idle_timeout": "hibernation in TestConformance", "resume_attempts": "poisoned in TestConformance",
	"on_resume_failure": "poisoned in TestConformance", "budgets": "package session", "api_key_delivery": "TestKeyHunt",
	"api_proxy": "TestTheProxyIsASecondMeter", "roots": "package session", "sensitive": "the checklist of package config",
	"APIKeySource": "TestAKeyIsAskedForAtEachStart", "CanUseTool": "permissionCallback in TestConformance", "Hooks": "TestHooks",
	"OnElicitation": "TestElicitationIsAnswered", "OnUserDialog": "TestDialogIsAnswered", "DialogKinds": "TestDialogIsAnswered",
	"resume": "TestJoining", "continue": "TestJoining", "from_pr": "TestJoining", "fork_session": "TestJoining",
	"resume_session_at": "TestJoining", "resume_drops_turn": "TestJoining",
}

// optionTests are the processes, and the options of each by their keys in a file, or by their Go names if only Go has them.
var optionTests = map[string]map[string]optionTest{
	"much at once": {
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
		"system_prompt_snapshot": {func(r *optionRig) { r.spec.SystemPromptSnapshot = new(false) }, nil},
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
		"agents": {func(r *optionRig) {
			r.spec.Agents = map[string]session.Agent{"helper": {Description: "helps", Prompt: "You are the helper.", Model: "haiku", Tools: []string{"Read"}}}
		}, func(r *optionRig) {
			assert.Contains(r, r.init.Agents, "helper")
			r.subagent()
			below := r.call("[[say:from below]]")
			assert.Contains(r, below.System, "You are the helper.")
			assert.Contains(r, below.Model, "haiku")
			assert.NotContains(r, below.Tools, "Bash")
		}},
		"plugins": {func(r *optionRig) {
			server := `{"mcpServers": {"%": {"command": "/does/not/exist"}}}`
			one, two := filepath.Join(r.work, "plugins", "one"), filepath.Join(r.work, "plugins", "two")
			for name, dir := range map[string]string{"one": one, "two": two} {
				r.write(filepath.Join(dir, ".claude-plugin", "plugin.json"), `{"name": "`+name+`", "version": "1.0.0", "description": "a plugin"}`)
				r.write(filepath.Join(dir, "commands", "greet.md"), "---\ndescription: greets\n---\nGreet $ARGUMENTS from "+name+".")
				r.write(filepath.Join(dir, ".mcp.json"), strings.ReplaceAll(server, "%", "of-"+name))
			}
			r.spec.Plugins = []session.Plugin{{Path: one}, {Path: two, SkipMCPDiscovery: true}}
		}, func(r *optionRig) {
			var names []string
			for _, p := range r.init.Plugins {
				names = append(names, p.Name)
			}
			assert.Subset(r, names, []string{"one", "two"})
			assert.Contains(r, r.init.SlashCommands, "one:greet")
			r.mustAsk("/two:greet the world")
			requests := r.api.Requests()
			assert.Contains(r, string(requests[len(requests)-1].Body), "Greet the world from two.")
		}},
		"skills": {func(r *optionRig) {
			r.write(filepath.Join(r.config, "skills", "knitting", "SKILL.md"), "---\nname: knitting\ndescription: How to knit a sock.\n---\nKnit the heel first.")
			r.write(filepath.Join(r.config, "skills", "sewing", "SKILL.md"), "---\nname: sewing\ndescription: How to sew a sail.\n---\nSew.")
			r.spec.Skills = []string{"knitting"}
		}, func(r *optionRig) {
			assert.Contains(r, r.init.Skills, "knitting")
			assert.Contains(r, string(r.call("hello").Body), "How to knit a sock.")
			assert.NotContains(r, string(r.call("hello").Body), "How to sew a sail.")
			answer := r.mustAsk(`[[tool:Skill {"skill":"knitting"}]]`)
			assert.Empty(r, answer.Result.PermissionDenials, "a rule allows it")
		}},
		"mcp_servers": {func(r *optionRig) {
			r.spec.MCPServers = map[string]session.MCPServer{"probe": probeServer("from the environment")}
			r.spec.AllowedTools = append(r.spec.AllowedTools, "mcp__probe", "mcp__filed")
		}, func(r *optionRig) {
			assert.Contains(r, r.use(`mcp__probe__shout {"text":"hello"}`), "HELLO from the environment")
		}},
		"mcp_config": {func(r *optionRig) {
			path := filepath.Join(r.work, "servers.json")
			data, err := json.Marshal(map[string]any{"mcpServers": map[string]any{"filed": map[string]any{
				"command": os.Args[0], "env": map[string]string{probeVariable: "from the file"},
			}}})
			require.NoError(r, err)
			r.write(path, string(data))
			r.spec.MCPConfig = path
		}, func(r *optionRig) {
			assert.Contains(r, r.use(`mcp__filed__shout {"text":"hello"}`), "HELLO from the file")
		}},
		"cwd": {func(r *optionRig) { r.spec.CWD = r.work }, func(r *optionRig) {
			assert.Equal(r, r.work, r.init.CWD)
			assert.Equal(r, r.work, strings.TrimSpace(r.use(`Bash {"command":"pwd"}`)))
		}},
		"add_dir": {func(r *optionRig) { r.spec.AddDir = []string{r.TempDir()} }, func(r *optionRig) {
			path := filepath.Join(r.spec.AddDir[0], "beside")
			r.write(path, "what is beside")
			assert.Contains(r, r.use(`Read {"file_path":"`+path+`"}`), "what is beside")
		}},
		"confine_files": {func(r *optionRig) { r.spec.ConfineFiles = new(true) }, func(r *optionRig) {
			path := filepath.Join(r.TempDir(), "outside")
			r.write(path, "what is outside")
			assert.NotContains(r, r.use(`Read {"file_path":"`+path+`"}`), "what is outside")
		}},
		"enable_file_checkpointing": {func(r *optionRig) { r.spec.EnableFileCheckpointing = true }, func(r *optionRig) {
			prompt := session.TextPrompt(`[[tool:Write {"file_path":"` + filepath.Join(r.work, "written") + `","content":"new"}]]`)
			prompt.UUID = "0ddba11a-58cc-4372-a567-0e02b2c3d479"
			_, err := r.AskPrompt(r.within(), prompt)
			require.NoError(r, err)
			require.True(r, exists(filepath.Join(r.work, "written")))
			_, err = r.RewindFiles(r.within(), prompt.UUID, false)
			require.NoError(r, err)
			assert.False(r, exists(filepath.Join(r.work, "written")))
		}},
		"permission_mode": {func(r *optionRig) { r.spec.PermissionMode = protocol.ModeAcceptEdits }, func(r *optionRig) {
			assert.Equal(r, protocol.ModeAcceptEdits, r.init.PermissionMode)
		}},
		"allowed_tools": {func(r *optionRig) { r.spec.AllowedTools = append(r.spec.AllowedTools, "Bash", "Task") }, func(r *optionRig) {
			assert.Equal(r, "ran", strings.TrimSpace(r.use(`Bash {"command":"echo ran"}`)))
		}},
		"disallowed_tools": {func(r *optionRig) { r.spec.DisallowedTools = []string{"Bash(touch forbidden)", "Edit"} }, func(r *optionRig) {
			r.use(`Bash {"command":"touch forbidden"}`)
			assert.False(r, exists(filepath.Join(r.work, "forbidden")))
			assert.NotContains(r, r.init.Tools, "Edit")
		}},
		"tools": {func(r *optionRig) {
			r.spec.Tools = []string{"Bash", "Read", "Write", "Edit", "Task", "Skill", "AskUserQuestion", "NotebookEdit"}
		}, func(r *optionRig) {
			assert.Contains(r, r.init.Tools, "Write")
			assert.NotContains(r, r.init.Tools, "WebFetch")
		}},
		"tool_aliases": {func(r *optionRig) { r.spec.ToolAliases = map[string]string{"Whisper": "mcp__probe__shout"} }, func(r *optionRig) {
			assert.Contains(r, r.use(`Whisper {"text":"alias"}`), "ALIAS")
		}},
		"tool_config": {func(r *optionRig) { r.spec.ToolConfig.AskUserQuestion.PreviewFormat = "html" }, func(r *optionRig) {
			var body struct {
				Tools []struct{ Name, Description string }
			}
			require.NoError(r, json.Unmarshal(r.call("hello").Body, &body))
			i := slices.IndexFunc(body.Tools, func(tool struct{ Name, Description string }) bool { return tool.Name == "AskUserQuestion" })
			require.GreaterOrEqual(r, i, 0)
			assert.Contains(r, body.Tools[i].Description, "Preview content must be a self-contained HTML fragment")
		}},
		"max_budget_usd": {func(r *optionRig) { r.spec.MaxBudgetUSD = 5 }, func(r *optionRig) { // maxBudget in TestConformance has it reached
			assert.Contains(r, r.argv(), "--max-budget-usd=")
		}},
		"task_budget": {func(r *optionRig) { r.spec.TaskBudget = 20000 }, func(r *optionRig) {
			assert.Contains(r, r.body("hello"), "output_config.task_budget.total=20000")
		}},
		"session_id": {func(r *optionRig) { r.spec.SessionID = "f47ac10b-58cc-4372-a567-0e02b2c3d479" }, func(r *optionRig) {
			assert.Equal(r, r.spec.SessionID, r.init.SessionID)
		}},
		"title": {func(r *optionRig) { r.spec.Title = "a title of ours" }, func(r *optionRig) {
			assert.NotEmpty(r, holds(r.T, filepath.Join(r.config, "projects"), "a title of ours"))
		}},
		"settings": {func(r *optionRig) {
			r.spec.Settings.Values = map[string]any{
				"env":   map[string]any{"FROM_SETTINGS": "yes"},
				"hooks": map[string]any{"PostToolUse": []any{map[string]any{"matcher": "Bash", "hooks": []any{map[string]any{"type": "command", "command": "true"}}}}},
			}
		}, func(r *optionRig) {
			assert.Equal(r, "yes", strings.TrimSpace(r.use(`Bash {"command":"echo $FROM_SETTINGS"}`)))
		}},
		"managed_settings": {func(r *optionRig) {
			r.spec.ManagedSettings = map[string]any{"permissions": map[string]any{"deny": []any{"Bash(touch managed)"}}}
		}, func(r *optionRig) {
			r.use(`Bash {"command":"touch managed"}`)
			assert.False(r, exists(filepath.Join(r.work, "managed")))
		}},
		"setting_sources": {func(r *optionRig) {
			r.write(filepath.Join(r.config, "settings.json"), `{"env": {"FROM_USER": "user"}}`)
			r.spec.SettingSources = []string{"user"}
		}, func(r *optionRig) {
			assert.Equal(r, "user", strings.TrimSpace(r.use(`Bash {"command":"echo $FROM_USER"}`)))
		}},
		"env": {func(r *optionRig) { r.spec.Env = with(r.spec.Env, "FROM_ENV", "a b=c") }, func(r *optionRig) {
			assert.Equal(r, "a b=c", strings.TrimSpace(r.use(`Bash {"command":"echo \"$FROM_ENV\""}`)))
		}},
		"inherit_env": {func(r *optionRig) { r.spec.InheritEnv = []string{"OPTION_TEST_*"} }, func(r *optionRig) {
			assert.Equal(r, "one-", strings.TrimSpace(r.use(`Bash {"command":"echo $OPTION_TEST_ONE-$NOT_OPTION_TEST"}`)))
		}},
		"unset_env": {func(r *optionRig) { r.spec.UnsetEnv = []string{"OPTION_TEST_TWO"} }, func(r *optionRig) {
			assert.Equal(r, "-", strings.TrimSpace(r.use(`Bash {"command":"echo $OPTION_TEST_TWO-"}`)))
		}},
		"api_key": {func(r *optionRig) { r.spec.APIKey = madeUpKey }, func(r *optionRig) {
			assert.Equal(r, madeUpKey, r.call("hello").Key)
			assert.Equal(r, "ANTHROPIC_API_KEY", r.init.APIKeySource)
		}},
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
		"prompt_suggestions":       {func(r *optionRig) { r.spec.PromptSuggestions = true }, nil},
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
		"claude_md": {func(r *optionRig) {
			r.write(filepath.Join(r.work, "RULES.md"), "Rule one of the file.")
			r.spec.ClaudeMD = []string{"RULES.md"}
		}, func(r *optionRig) {
			assert.Contains(r, r.call("hello").System, "Rule one of the file.")
		}},
	},
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
			r.spec.File = []string{"file_1:downloaded.txt"}
			r.spec.Env = with(r.spec.Env, "CLAUDE_CODE_SESSION_ACCESS_TOKEN", "made-up-token")
		}, nil},
		"model": {func(r *optionRig) { r.spec.Model = "claude-sonnet-4-5-20250929" }, nil},
		"max_thinking_tokens": {func(r *optionRig) { r.spec.MaxThinkingTokens = new(4000) }, func(r *optionRig) {
			assert.Contains(r, r.body("hello"), "thinking.budget_tokens=4000")
		}},
	},
}

func (r *optionRig) hasServer(name string) bool {
	return slices.ContainsFunc(r.init.MCPServers, func(s protocol.MCPServer) bool { return s.Name == name })
}

// TestOptions sets every option on the real CLI.
func TestOptions(t *testing.T) {
	t.Setenv("OPTION_TEST_ONE", "one")
	t.Setenv("OPTION_TEST_TWO", "two")
	t.Setenv("NOT_OPTION_TEST", "three")
	credentials := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(credentials, "option-test"), []byte("key-of-a-credential-0123456789"), 0o600))
	t.Setenv(session.CredentialsDirectory, credentials)
	for name, options := range optionTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &optionRig{rig: newRig(t, true), stderr: &lines{}, tools: make(chan session.ToolEvent, 1000)}
			keys := slices.Sorted(maps.Keys(options))
			for _, key := range keys {
				options[key].set(r)
				assert.Falsef(t, fieldByKey(t, r.spec, key).IsZero(), "%s is not set", key)
			}
			if r.spec.ToolCallback == nil {
				r.spec.ToolCallback = func(e session.ToolEvent) { r.tools <- e }
			}
			r.boot()
			r.messages = r.said("hello")
			inits := found[*protocol.Init](r.messages)
			require.Len(t, inits, 1)
			r.init = inits[0]
			for _, key := range keys {
				if seen := options[key].seen; seen != nil {
					t.Run(key, func(t *testing.T) {
						own := *r
						inner := *r.rig
						inner.T = t
						own.rig = &inner
						seen(&own)
					})
				}
			}
		})
	}
}

// TestEveryOptionIsTested: an option that is added is to be tried on the real CLI, or to be said to mean nothing to it.
func TestEveryOptionIsTested(t *testing.T) {
	tried := maps.Clone(stays)
	for _, options := range optionTests {
		for key := range options {
			assert.NotContains(t, stays, key)
			tried[key] = "TestOptions"
		}
	}
	for f := range reflect.TypeFor[session.Options]().Fields() {
		key := optionKey(f)
		assert.Contains(t, tried, key)
		delete(tried, key)
	}
	assert.Empty(t, tried, "no such option")
}

// TestAnUnknownFlagEndsTheCLI is why the processes of TestOptions show that their flags are known.
func TestAnUnknownFlagEndsTheCLI(t *testing.T) {
	r := newRig(t, true)
	r.spec.ExtraArgs = map[string]*string{"no-such-flag": new("x")}
	rt, err := understudy.Start(r.within(), r.options)
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, rt) })
	_, err = rt.Spawn(r.within(), "worker", r.spec)
	var crash *session.CrashError
	require.ErrorAs(t, err, &crash)
	assert.Equal(t, process.ClassRequest, crash.Class)
	assert.ErrorContains(t, err, "no-such-flag")
	assert.True(t, supervisor.Permanently(err))
}

func optionKey(f reflect.StructField) string {
	if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != "-" {
		return key
	}
	return f.Name
}

func fieldByKey(t *testing.T, o session.Options, key string) reflect.Value {
	t.Helper()
	for f := range reflect.TypeFor[session.Options]().Fields() {
		if optionKey(f) == key {
			return reflect.ValueOf(o).FieldByIndex(f.Index)
		}
	}
	require.FailNow(t, "no such option: "+key)
	return reflect.Value{}
}

// found are the messages of one kind.
func found[M protocol.Message](messages []protocol.Message) (all []M) {
	for _, m := range messages {
		if m, ok := m.(M); ok {
			all = append(all, m)
		}
	}
	return all
}

func (r *optionRig) write(path, text string) {
	r.Helper()
	require.NoError(r, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(r, os.WriteFile(path, []byte(text), 0o600))
}

func (r *optionRig) argv() string {
	r.Helper()
	argv, err := r.Launch().Argv()
	require.NoError(r, err)
	return strings.Join(argv, "\n")
}

// use has the model use a tool, and returns its result.
func (r *optionRig) use(call string) string {
	r.Helper()
	for len(r.tools) > 0 {
		<-r.tools
	}
	r.mustAsk("[[tool:" + call + "]]")
	return (<-r.tools).Result
}

// subagent has the agent "helper" do something, and returns what was said meanwhile.
func (r *optionRig) subagent() []protocol.Message {
	r.Helper()
	return r.said(`[[tool:Task {"description":"d","prompt":"[[say:from below]]","subagent_type":"helper","run_in_background":false}]]`)
}

// said are all messages of a turn.
func (r *optionRig) said(prompt string) (messages []protocol.Message) {
	r.Helper()
	for m, err := range r.Query(r.within(), prompt) {
		require.NoError(r, err)
		messages = append(messages, m)
	}
	return messages
}

// call is the first model call for a prompt.
func (r *optionRig) call(prompt string) sessiontest.Request {
	r.Helper()
	for _, request := range r.api.Requests() {
		if request.Text() == prompt {
			return request
		}
	}
	require.FailNow(r, "no model call for "+prompt)
	return sessiontest.Request{}
}

// body is the body of the first model call for a prompt without its lists, one "path=value" a value.
func (r *optionRig) body(prompt string) string {
	r.Helper()
	var body map[string]any
	require.NoError(r, json.Unmarshal(r.call(prompt).Body, &body))
	var out strings.Builder
	var flatten func(prefix string, v any)
	flatten = func(prefix string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, below := range v {
				flatten(prefix+"."+key, below)
			}
		case []any:
		default:
			fmt.Fprintf(&out, "%s=%v\n", strings.TrimPrefix(prefix, "."), v)
		}
	}
	flatten("", body)
	return out.String()
}

// probeVariable makes the test binary an MCP server over stdin and stdout; its value is what the tool shout adds.
const probeVariable = "UNDERSTUDY_TEST_PROBE"

func probeServer(word session.Secret) session.MCPServer {
	return session.MCPServer{Command: os.Args[0], Env: map[string]session.Secret{probeVariable: word}}
}

// serveProbe has two tools: one that shouts, and one that permits what the CLI asks about, unless it is to be refused.
func serveProbe(word string) {
	server := mcp.NewServer(&mcp.Implementation{Name: "probe", Version: "1"}, nil)
	text := func(s string) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: s}}}, nil, nil
	}
	mcp.AddTool(server, &mcp.Tool{Name: "shout", Description: "Shouts."}, func(_ context.Context, _ *mcp.CallToolRequest, in struct {
		Text string `json:"text"`
	}) (*mcp.CallToolResult, any, error) {
		return text(strings.ToUpper(in.Text) + " " + word)
	})
	mcp.AddTool(server, &mcp.Tool{Name: "permit", Description: "Answers permission questions."}, func(_ context.Context, _ *mcp.CallToolRequest, in map[string]any) (*mcp.CallToolResult, any, error) {
		input, err := json.Marshal(in["input"])
		if err != nil {
			return nil, nil, err
		}
		if strings.Contains(string(input), "refused") {
			return text(`{"behavior":"deny","message":"the tool says no"}`)
		}
		return text(`{"behavior":"allow","updatedInput":` + string(input) + `}`)
	})
	if err := server.Run(context.Background(), &mcp.StdioTransport{}); err != nil { // its stdin ends with the CLI
		os.Exit(1)
	}
}
