package session

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// Options say what a session is: which model, what it may do, how it is supervised. The zero value is a
// session with the CLI's own defaults in the current directory, without any of the user's or the
// repository's settings.
//
// Fields with a json name can be written in a configuration file under that name. Defaults are applied by
// this package when the session is started.
type Options struct {
	// Model is an alias (sonnet, opus, haiku) or a full id. Empty: the CLI's default.
	Model string `json:"model,omitzero"`
	// FallbackModel are models that are tried when Model is overloaded or unavailable, in order, separated by
	// commas. Each turn begins with Model again. Empty: none.
	FallbackModel string `json:"fallback_model,omitzero"`
	// SystemPrompt replaces the CLI's system prompt. Empty: the CLI's own.
	SystemPrompt string `json:"system_prompt,omitzero"`
	// AppendSystemPrompt is added to the system prompt. Like SystemPrompt it travels in the handshake where it is too long
	// for an argument.
	AppendSystemPrompt string `json:"append_system_prompt,omitzero"`
	// AppendSubagentSystemPrompt is added to the system prompt of every subagent.
	AppendSubagentSystemPrompt string `json:"append_subagent_system_prompt,omitzero"`
	// ExcludeDynamicSections moves what differs per machine (directory, git status) from the CLI's own system prompt to
	// the first user message, so that many sessions share one cached prompt.
	ExcludeDynamicSections bool `json:"exclude_dynamic_sections,omitzero"`
	// SystemPromptSnapshot false renders the system prompt anew for each request. nil and true: it is recorded with the
	// conversation, and a resumed one keeps it even if these options have changed.
	SystemPromptSnapshot *bool `json:"system_prompt_snapshot,omitzero"`
	// PlanModeInstructions replace the workflow that the CLI describes in plan mode.
	PlanModeInstructions string `json:"plan_mode_instructions,omitzero"`

	// Thinking says whether and how the model thinks before it answers. Zero: the CLI's default, which is adaptive
	// for models that can.
	Thinking Thinking `json:"thinking,omitzero"`
	// MaxThinkingTokens bounds the thinking of older models; those since 4.6 take 0 for off and all else for on, and the latest
	// cannot be without it. nil: no bound. It excludes Thinking.
	MaxThinkingTokens *int `json:"max_thinking_tokens,omitzero"`
	// Effort is how hard the model works on an answer. Empty: the model's default.
	Effort Effort `json:"effort,omitzero"`
	// Betas are beta features of the API, such as context-1m-2025-08-07. The CLI takes those that it knows, and only with
	// an API key.
	Betas []string `json:"betas,omitzero"`
	// OutputFormat has each turn end with an answer of that shape: protocol.Result.StructuredOutput. Zero: text.
	OutputFormat OutputFormat `json:"output_format,omitzero"`

	// Agents are subagents that the model can give work to, by name.
	Agents map[string]Agent `json:"agents,omitzero"`
	// Agent is the agent whose prompt, tools and model the main conversation has: one of Agents, or of the settings.
	Agent string `json:"agent,omitzero"`
	// Skills are the skills that the model sees, by name; all of them with the one entry "all". They are added to
	// AllowedTools. nil: the CLI's default.
	Skills []string `json:"skills,omitzero"`
	// Plugins are loaded for this session.
	Plugins []Plugin `json:"plugins,omitzero"`
	// MCPServers are servers whose tools the model can use, as mcp__NAME__TOOL, by name. They reach the CLI in the
	// handshake, never in its arguments.
	MCPServers map[string]MCPServer `json:"mcp_servers,omitzero"`
	// MCPConfig is a file with further MCP servers, of the CLI's format ({"mcpServers": {…}}).
	MCPConfig string `json:"mcp_config,omitzero"`
	// StrictMCPConfig false lets the CLI use the MCP servers that it finds in settings, plugins and the working directory,
	// too. nil: true, but for those of a workspace that TrustWorkspace trusts.
	StrictMCPConfig *bool `json:"strict_mcp_config,omitzero"`

	// CWD is where the CLI runs and what it may work on. Empty: the directory of this process.
	CWD string `json:"cwd,omitzero"`
	// ExclusiveCWD keeps CWD the session's own for as long as the runtime has the session, be it stopped, parked or hibernated: no other session
	// is made that works in it, above it or below it, and this one is not made where another one works already. Another one
	// may have it in AddDir if it may not write (MayWrite). Runtimes refuse each other the same directory, by a lock on it (flock) from the first
	// start of the session on; nothing is written into it. With Worktree it is about the checkout of that name alone.
	ExclusiveCWD bool `json:"exclusive_cwd,omitzero"`
	// AddDir are further directories the CLI may work on. They must exist.
	AddDir []string `json:"add_dir,omitzero"`
	// ProjectConfigRoot is the trusted checkout that CWD is a worktree of: project settings are read there instead.
	ProjectConfigRoot string `json:"project_config_root,omitzero"`
	// Worktree has the CLI work in a git worktree under CWD/.claude/worktrees: true for one of the session's name, or another
	// name. It is there again after a restart.
	Worktree Toggle `json:"worktree,omitzero"`
	// File are files to download at each start of the process, as file_id:relative_path, into CWD/ID/uploads with an ID of the CLI's
	// own. It needs CLAUDE_CODE_SESSION_ACCESS_TOKEN in Env, and asks CLAUDE_CODE_API_BASE_URL, not ANTHROPIC_BASE_URL.
	File []string `json:"file,omitzero"`
	// EnableFileCheckpointing keeps copies of files before tools change them, for Session.RewindFiles.
	EnableFileCheckpointing bool `json:"enable_file_checkpointing,omitzero"`

	// PermissionMode is what happens to tools that no rule allows or denies. Empty: the CLI's default, which asks.
	PermissionMode protocol.PermissionMode `json:"permission_mode,omitzero"`
	// PermissionPrompts says who is asked where PermissionMode, rules and hooks decide nothing: host, or none, which denies.
	// Empty: host. The host is CanUseTool; without it a question waits as an approval until somebody answers it, or
	// PermissionTimeout denies it.
	PermissionPrompts PermissionPrompts `json:"permission_prompts,omitzero"`
	// PermissionPromptTool is an MCP tool, mcp__SERVER__TOOL, that is asked instead of the host.
	PermissionPromptTool string `json:"permission_prompt_tool,omitzero"`
	// AllowDangerouslySkipPermissions allows permission mode bypassPermissions, at the start and at run time, which also needs a
	// sandbox or a container. As root the CLI refuses it unless Env says IS_SANDBOX=1.
	AllowDangerouslySkipPermissions bool `json:"allow_dangerously_skip_permissions,omitzero"`
	// DangerouslySkipPermissions starts it in bypassPermissions, as that PermissionMode does.
	DangerouslySkipPermissions bool `json:"dangerously_skip_permissions,omitzero"`
	// AllowedTools are permission rules such as Read or Bash(git:*) that need no question.
	AllowedTools []string `json:"allowed_tools,omitzero"`
	// DisallowedTools are permission rules that are refused.
	DisallowedTools []string `json:"disallowed_tools,omitzero"`
	// Tools are the built-in tools that exist at all. nil, and the one entry "default": the CLI's default set; empty:
	// none.
	Tools []string `json:"tools,omitzero"`
	// ToolAliases have a tool that the model names run as another one, for one hop: {Bash: mcp__box__bash}.
	ToolAliases map[string]string `json:"tool_aliases,omitzero"`
	// ToolConfig configures built-in tools.
	ToolConfig ToolConfig `json:"tool_config,omitzero"`
	// DisableSlashCommands takes away all skills and commands.
	DisableSlashCommands bool `json:"disable_slash_commands,omitzero"`

	// MaxTurns bounds the model calls of one prompt. 0: no limit.
	MaxTurns int `json:"max_turns,omitzero"`
	// MaxBudgetUSD bounds what the session may spend in its whole life, restarts included. 0: no limit.
	MaxBudgetUSD float64 `json:"max_budget_usd,omitzero"`
	// MaxSubagents bounds the subagents that are at work at the same time, those of subagents included. One more is denied, with a
	// reason for the model; it is told so too in CLAUDE_CODE_MAX_CONCURRENT_SUBAGENTS, which Env may set otherwise. 0: no limit but the CLI's own, which is 20.
	MaxSubagents int `json:"max_subagents,omitzero"`
	// MaxIdenticalToolCalls is how often in a row an agent may make the same tool call, with the same input, in one turn. More
	// are denied, with a reason for the model; if it makes as many again the turn is interrupted and ends with ErrToolLoop, or the
	// subagent whose calls they are is stopped. Another call in between begins anew, so that something may be waited for. 0: no limit.
	MaxIdenticalToolCalls int `json:"max_identical_tool_calls,omitzero"`
	// MaxToolCycles is how often in a row an agent may make the same two to four tool calls in the same order, with the same inputs
	// and the same results, in one turn: what goes to and fro and changes nothing. More are denied, and ended as with MaxIdenticalToolCalls.
	// A call that takes more than two seconds is part of no cycle, so that something may be looked at and waited for. At least 2; 0: no limit.
	MaxToolCycles int `json:"max_tool_cycles,omitzero"`
	// TaskBudget is how many tokens the model is told it may use, so that it paces itself; nothing enforces it. 0: it is
	// told nothing.
	TaskBudget int `json:"task_budget,omitzero"`

	// SessionID is the id of the session's conversation, a UUID that no conversation has yet. Empty: a random one. This option
	// and the six below it are about the first start only; later ones go on with the conversation that began then.
	SessionID string `json:"session_id,omitzero"`
	// Resume goes on with a conversation of the CLI: its id, its title, or the path of its transcript.
	Resume string `json:"resume,omitzero"`
	// Continue goes on with the latest conversation in CWD, or begins one if there is none.
	Continue bool `json:"continue,omitzero"`
	// FromPR goes on with the conversation that belongs to a pull request, by its number or URL, or begins one if there is none.
	FromPR string `json:"from_pr,omitzero"`
	// ForkSession makes a copy of that conversation, with an id of its own, and leaves the original as it is.
	ForkSession bool `json:"fork_session,omitzero"`
	// ResumeSessionAt leaves out what came after that entry of the conversation, by its uuid. It needs Resume.
	ResumeSessionAt string `json:"resume_session_at,omitzero"`
	// ResumeDropsTurn is the uuid of the prompt whose turn ResumeSessionAt is meant to leave out: the start fails if more would
	// be lost.
	ResumeDropsTurn string `json:"resume_drops_turn,omitzero"`
	// Title is the conversation's title. Empty: the CLI makes one up.
	Title string `json:"title,omitzero"`
	// NoSessionPersistence keeps the conversation off the disk. A restart then begins a new one.
	NoSessionPersistence bool `json:"no_session_persistence,omitzero"`

	// Sandbox is the CLI's sandbox for Bash.
	Sandbox Sandbox `json:"sandbox,omitzero"`
	// Settings are further settings of the CLI, in a file or as values. They reach the CLI in the handshake unless they are about
	// permissions and the sandbox alone.
	Settings Settings `json:"settings,omitzero"`
	// ManagedSettings are settings of the policy tier: the CLI takes of them what restricts, and nothing overrides that. They
	// reach the CLI in the handshake.
	ManagedSettings map[string]any `json:"managed_settings,omitzero"`
	// SettingSources are the settings files that the CLI reads: user, project, local. None by default,
	// since the CLI without a terminal runs a repository's hooks and MCP servers unasked.
	SettingSources []string `json:"setting_sources,omitzero"`

	// Env is added to the CLI's environment.
	Env map[string]string `json:"env,omitzero"`
	// InheritEnv names variables of this process that the CLI gets beyond the few it needs, by name or as PREFIX_*; with the one
	// entry "all" it gets all but those that change what runs, which is logged and found by the checklist.
	InheritEnv []string `json:"inherit_env,omitzero"`
	// APIKey reaches the CLI as APIKeyDelivery says, and its tools not at all.
	APIKey Secret `json:"api_key,omitzero"`
	// ExtraArgs are further flags of the CLI, without their dashes; a nil value is a flag without value.
	ExtraArgs map[string]*string `json:"extra_args,omitzero"`

	// Containment says what must hold together what the session starts, so that nothing outlives it, and what of that is
	// not to be used; by default all that the host offers. Info.Containment says what a session got.
	Containment process.Containment `json:"containment,omitzero"`
	// Launcher says where the CLI itself runs, its tools with it: on this host by default, in a container, a sandbox, or by
	// another command. Sandbox.Environment and Sandbox.Container are docker and its container.
	Launcher process.Launcher `json:"launcher,omitzero"`
	// Limits bound memory, processes and CPU of the session with all that it starts. One that this host cannot give is an
	// error.
	Limits process.Limits `json:"limits,omitzero"`

	// Restart says when the session is started again: permanent, transient or temporary. Empty: permanent.
	Restart supervisor.Restart `json:"restart,omitzero"`
	// Shutdown is how long the session may take to end. Zero: 5s.
	Shutdown supervisor.Shutdown `json:"shutdown,omitzero"`

	// IncludePartialMessages adds the model's output as it is produced (protocol.StreamEvent).
	IncludePartialMessages bool `json:"include_partial_messages,omitzero"`
	// IncludeHookEvents adds frames about hooks in settings and plugins (protocol.HookStarted and HookResponse).
	IncludeHookEvents bool `json:"include_hook_events,omitzero"`
	// ForwardSubagentText adds the text and thinking of subagents, with ParentToolUseID set.
	ForwardSubagentText bool `json:"forward_subagent_text,omitzero"`
	// ReplayUserMessages adds each prompt when the CLI takes it up (protocol.User with IsReplay).
	ReplayUserMessages bool `json:"replay_user_messages,omitzero"`
	// PromptSuggestions adds a guess of the next prompt after a turn (protocol.PromptSuggestion, behind the result), from the
	// second answer on. It takes a model call for each. With CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC in Env it needs
	// CLAUDE_CODE_ENABLE_PROMPT_SUGGESTION=1 as well.
	PromptSuggestions bool `json:"prompt_suggestions,omitzero"`
	// AgentProgressSummaries adds a sentence about what a running subagent does to its protocol.TaskProgress, some twice a
	// minute.
	AgentProgressSummaries bool `json:"agent_progress_summaries,omitzero"`
	// PerTaskStopAffordance keeps Interrupt from ending background agents: they are ended one by one, with StopTask.
	PerTaskStopAffordance bool `json:"per_task_stop_affordance,omitzero"`
	// VerbatimPrompts has prompts taken as they are: no @file expansion and no slash commands. For prompts made of
	// text that somebody else wrote.
	VerbatimPrompts bool `json:"verbatim_prompts,omitzero"`

	// Debug turns the CLI's debug output on: true, or what of it, such as "hooks,mcp".
	Debug Toggle `json:"debug,omitzero"`
	// DebugFile is where debug output goes. Setting it turns it on.
	DebugFile string `json:"debug_file,omitzero"`

	// StartTimeout bounds the handshake. Zero: 60s.
	StartTimeout time.Duration `json:"start_timeout,omitzero"`
	// StallTimeout ends a turn during which the CLI said nothing for so long and no tool was running. Zero: 10m;
	// negative: none.
	StallTimeout time.Duration `json:"stall_timeout,omitzero"`
	// TurnTimeout ends a turn that takes longer. 0: no limit.
	TurnTimeout time.Duration `json:"turn_timeout,omitzero"`
	// ControlTimeout bounds a control request. When one has no answer by then the session asks again by itself, and a CLI that leaves
	// five in a row unanswered is ended as crashed. Zero: 30s.
	ControlTimeout time.Duration `json:"control_timeout,omitzero"`
	// MaxLineBytes bounds one line of the CLI's stdout; a longer one is a crash. Zero: 16777216 (16 MiB).
	MaxLineBytes int `json:"max_line_bytes,omitzero"`
	// Redeliver sends a prompt once more to the next process when its turn was cut by a crash, or the end of the runtime, instead of ending
	// the query: twice in all, which is counted on disk before it is sent. A prompt that the model had begun to answer is not run again: the CLI tells it by its uuid,
	// and the query ends with the *CrashError then. It is at-least-once all the same: what a cut model call
	// has cost is paid again, and hooks may see the prompt twice. The query sees the frames of both turns. As long as the session's
	// record cannot be written (Info.Unsaved) prompts of an earlier runtime wait, and later ones pass them: one that takes the runtime down
	// would do so for ever. A new prompt does not wait for that. They wait too as long as a required audit log cannot be written (Info.Refusing).
	Redeliver bool `json:"redeliver,omitzero"`
	// MaxQueue is how many queries may wait for their turn. Zero: 64.
	MaxQueue int `json:"max_queue,omitzero"`
	// MaxUnreadBytes is how much of a turn's messages may wait for a slow caller of Query: some MiB in memory, the rest
	// in a file without a name in the state directory. Then the turn ends with ErrSlowConsumer. Zero: 536870912 (512 MiB).
	MaxUnreadBytes int64 `json:"max_unread_bytes,omitzero"`
	// PermissionTimeout is how long a permission question may wait for its answer before it is denied. Zero: 5m.
	PermissionTimeout time.Duration `json:"permission_timeout,omitzero"`

	// InterruptGrace is how long an interrupted turn may take to end; then the process is ended. Zero: 10s.
	InterruptGrace time.Duration `json:"interrupt_grace,omitzero"`
	// IdleTimeout ends the process of a session that had nothing to do for so long. The session stays, as
	// hibernated; the next query starts the process again, which counts as no restart. 0: never.
	IdleTimeout time.Duration `json:"idle_timeout,omitzero"`
	// ResumeAttempts is how many processes in a row may crash on a resumed conversation without one good result
	// before OnResumeFailure decides. A process that was killed from outside does not count. Zero: 2.
	ResumeAttempts int `json:"resume_attempts,omitzero"`
	// OnResumeFailure says what becomes of a session whose conversation cannot be resumed. Empty: park.
	OnResumeFailure ResumeFailure `json:"on_resume_failure,omitzero"`
	// Budgets are the shared budgets that the session spends from, by name, beside its own MaxBudgetUSD.
	Budgets []string `json:"budgets,omitzero"`

	// Keys. APIKey is one of four sources; no two may be set.

	// APIKeyFile is a file that holds the key. It is read at each start of a process.
	APIKeyFile string `json:"api_key_file,omitzero"`
	// APIKeyCredential is a credential of systemd (LoadCredential=) that holds the key: a file in $CREDENTIALS_DIRECTORY.
	APIKeyCredential string `json:"api_key_credential,omitzero"`
	// APIKeySource gives the key at each start of a process.
	APIKeySource APIKeySource `json:"-"`
	// APIKeyDelivery is env if empty.
	APIKeyDelivery APIKeyDelivery `json:"api_key_delivery,omitzero"`
	// APIProxy tunes the proxy of APIKeyDelivery proxy.
	APIProxy APIProxy `json:"api_proxy,omitzero"`

	// Least privilege. docs/secure-deployment.md shows these together.

	// Profile fills in what is not set: review, ci, edit or interactive.
	Profile Profile `json:"profile,omitzero"`
	// TrustWorkspace has the CLI read the repository's settings (.claude/settings.json, .claude/settings.local.json, CLAUDE.md)
	// and start the servers of its .mcp.json. Whoever can write to the repository can then run programs as this user, and read
	// the key: the CLI asks nobody. Setting sources project and local need it.
	TrustWorkspace bool `json:"trust_workspace,omitzero"`
	// ClaudeMD are files of instructions, such as CLAUDE.md, that become part of the system prompt without trusting
	// anything else of the repository. They are read at each start; relative paths begin in CWD. A file that is not there, is
	// no regular file, or lies outside of CWD and AddDir by way of a link, is an error. 96 KiB together.
	ClaudeMD []string `json:"claude_md,omitzero"`
	// ConfineFiles keeps the file tools in CWD and AddDir: what they would read or write elsewhere is refused, whatever
	// the rules allow. nil: true. It does not hold commands; that is the sandbox's to do.
	ConfineFiles *bool `json:"confine_files,omitzero"`
	// Roots are directories that CWD and AddDir must lie in, links resolved. None: anywhere.
	Roots []string `json:"roots,omitzero"`
	// IsolateHome gives the CLI a HOME of its own, below the data directory. nil: if NoSessionPersistence is set and
	// Env names no HOME. Without persistence it is removed with the process. A directory for temporary files of its own is
	// what each process of this host gets, set or not.
	IsolateHome *bool `json:"isolate_home,omitzero"`
	// UnsetEnv are variables that the CLI does not get, although it would inherit them.
	UnsetEnv []string `json:"unset_env,omitzero"`
	// Sensitive says that what the session works on must not stay on disk: the checklist wants no persistence then.
	Sensitive bool `json:"sensitive,omitzero"`

	// CanUseTool answers the CLI's permission questions. nil: see PermissionPrompts. An answer that takes longer
	// than PermissionTimeout, an error and a panic deny.
	CanUseTool CanUseTool `json:"-"`
	// Hooks are functions that the CLI calls at events.
	Hooks Hooks `json:"-"`
	// OnElicitation answers what MCP servers ask the user. nil, an error, a panic and no answer within PermissionTimeout
	// decline.
	OnElicitation func(context.Context, *protocol.Elicitation) (protocol.ElicitationResponse, error) `json:"-"`
	// OnUserDialog answers dialogs of DialogKinds, with the result as JSON; an error, a panic and no answer within
	// PermissionTimeout cancel them. The CLI shows no other dialogs.
	OnUserDialog func(context.Context, *protocol.UserDialog) (any, error) `json:"-"`
	// DialogKinds are the kinds of dialogs that OnUserDialog can answer.
	DialogKinds []string `json:"-"`
	// ToolCallback is called after each tool use, for the embedder's own records. It runs in a goroutine
	// of the session's, one call at a time and in order; it cannot hold the session up.
	ToolCallback func(ToolEvent) `json:"-"`
	// Stderr is called with each line that the CLI writes to stderr, one at a time and in order, without the API key. It
	// runs beside the session; while it takes its time lines are dropped, which Session.Stderr still has.
	Stderr func(line string) `json:"-"`
}

// ResumeFailure is what becomes of a session whose conversation cannot be resumed.
type ResumeFailure string

const (
	// ResumePark parks the session as failed; its conversation is left as it is.
	ResumePark ResumeFailure = "park"
	// ResumeFresh begins a new conversation under another id. The old one stays on disk.
	ResumeFresh ResumeFailure = "fresh"
)

// Secret is a value that is never shown: it prints as [redacted], in every format, JSON included.
type Secret string

const redacted = "[redacted]"

// String is [redacted], or empty if there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// Format is String, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText is String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal is the value itself.
func (s Secret) Reveal() string { return string(s) }

// Settings are settings of the CLI: a file or values, or neither.
type Settings struct {
	Path   string
	Values map[string]any
}

// IsZero reports whether there are none.
func (s Settings) IsZero() bool { return s.Path == "" && s.Values == nil }

// UnmarshalJSON takes an object, a text that holds one, or a path.
func (s *Settings) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		if !strings.HasPrefix(strings.TrimSpace(text), "{") {
			*s = Settings{Path: text}
			return nil
		}
		data = []byte(text)
	}
	var values map[string]any
	if err := json.Unmarshal(data, &values); err != nil {
		return fmt.Errorf("settings: expected a path or a JSON object: %w", err)
	}
	*s = Settings{Values: values}
	return nil
}

// MarshalJSON is the inverse of UnmarshalJSON.
func (s Settings) MarshalJSON() ([]byte, error) {
	if s.Values != nil {
		return json.Marshal(s.Values)
	}
	return json.Marshal(s.Path)
}
