package session

import (
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
	// SystemPrompt replaces the CLI's system prompt; AppendSystemPrompt is added to it.
	SystemPrompt       string `json:"system_prompt,omitzero"`
	AppendSystemPrompt string `json:"append_system_prompt,omitzero"`

	// CWD is where the CLI runs and what it may work on. Empty: the directory of this process.
	CWD string `json:"cwd,omitzero"`
	// AddDir are further directories the CLI may work on. They must exist.
	AddDir []string `json:"add_dir,omitzero"`

	// PermissionMode is what happens to tools that no rule allows or denies. Empty: the CLI's default,
	// which asks; without a CanUseTool, what would be asked is denied.
	PermissionMode protocol.PermissionMode `json:"permission_mode,omitzero"`
	// AllowedTools and DisallowedTools are permission rules such as Read or Bash(git:*).
	AllowedTools    []string `json:"allowed_tools,omitzero"`
	DisallowedTools []string `json:"disallowed_tools,omitzero"`
	// Tools are the built-in tools that exist at all. nil: all of them; empty: none.
	Tools []string `json:"tools,omitzero"`

	// MaxTurns bounds the model calls of one prompt. 0: no limit.
	MaxTurns int `json:"max_turns,omitzero"`
	// MaxBudgetUSD bounds what the session may spend in its whole life, restarts included. 0: no limit.
	MaxBudgetUSD float64 `json:"max_budget_usd,omitzero"`

	// NoSessionPersistence keeps the conversation off the disk. A restart then begins a new one.
	NoSessionPersistence bool `json:"no_session_persistence,omitzero"`

	// Sandbox is the CLI's sandbox for Bash.
	Sandbox Sandbox `json:"sandbox,omitzero"`
	// Settings are further settings of the CLI, in a file or as values.
	Settings Settings `json:"settings,omitzero"`
	// SettingSources are the settings files that the CLI reads: user, project, local. None by default,
	// since the CLI without a terminal runs a repository's hooks and MCP servers unasked.
	SettingSources []string `json:"setting_sources,omitzero"`

	// Env is added to the CLI's environment; InheritEnv names variables of this process that it gets
	// beyond the few a CLI needs, by name or as PREFIX_*.
	Env        map[string]string `json:"env,omitzero"`
	InheritEnv []string          `json:"inherit_env,omitzero"`
	// APIKey reaches the CLI by its environment only, and its tools not at all.
	APIKey Secret `json:"api_key,omitzero"`

	// Containment says what must hold together what the session starts, so that nothing outlives it, and what of that is
	// not to be used; by default all that the host offers. Info.Containment says what a session got.
	Containment process.Containment `json:"containment,omitzero"`
	// Limits bound memory, processes and CPU of the session with all that it starts. One that this host cannot give is an
	// error.
	Limits process.Limits `json:"limits,omitzero"`

	// Restart is permanent if empty. Shutdown is how long the session may take to end, 5 s by default.
	Restart  supervisor.Restart  `json:"restart,omitzero"`
	Shutdown supervisor.Shutdown `json:"shutdown,omitzero"`

	// IncludePartialMessages adds the model's output as it is produced (protocol.StreamEvent).
	IncludePartialMessages bool `json:"include_partial_messages,omitzero"`
	// ExtraArgs are further flags of the CLI, without their dashes; a nil value is a flag without value.
	ExtraArgs map[string]*string `json:"extra_args,omitzero"`

	// StartTimeout bounds the handshake, 60 s by default.
	StartTimeout time.Duration `json:"start_timeout,omitzero"`
	// StallTimeout ends a turn during which the CLI said nothing for so long and no tool was running.
	// 10 min by default, negative for none.
	StallTimeout time.Duration `json:"stall_timeout,omitzero"`
	// TurnTimeout ends a turn that takes longer. 0: no limit.
	TurnTimeout time.Duration `json:"turn_timeout,omitzero"`
	// ControlTimeout bounds a control request, 30 s by default.
	ControlTimeout time.Duration `json:"control_timeout,omitzero"`
	// Redeliver sends a prompt once more to the next process when its turn was cut by a crash, instead of ending
	// the query. A prompt that the model had begun to answer is not run again: the CLI tells it by its uuid,
	// and the query ends with the *CrashError then. It is at-least-once all the same: what a cut model call
	// has cost is paid again, and hooks may see the prompt twice. The query sees the frames of both turns.
	Redeliver bool `json:"redeliver,omitzero"`
	// MaxQueue is how many queries may wait for their turn, 64 by default.
	MaxQueue int `json:"max_queue,omitzero"`

	// InterruptGrace is how long an interrupted turn may take to end; then the process is ended. 10 s by default.
	InterruptGrace time.Duration `json:"interrupt_grace,omitzero"`
	// IdleTimeout ends the process of a session that had nothing to do for so long. The session stays, as
	// hibernated; the next query starts the process again, which counts as no restart. 0: never.
	IdleTimeout time.Duration `json:"idle_timeout,omitzero"`
	// ResumeAttempts is how many processes in a row may crash on a resumed conversation without one good result
	// before OnResumeFailure decides. 2 by default. A process that was killed from outside does not count.
	ResumeAttempts int `json:"resume_attempts,omitzero"`
	// OnResumeFailure is ResumePark if empty.
	OnResumeFailure ResumeFailure `json:"on_resume_failure,omitzero"`
	// Budgets are the shared budgets that the session spends from, by name, beside its own MaxBudgetUSD.
	Budgets []string `json:"budgets,omitzero"`

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
	// AllowDangerouslySkipPermissions allows permission mode bypassPermissions, which also needs a sandbox or a container.
	AllowDangerouslySkipPermissions bool `json:"allow_dangerously_skip_permissions,omitzero"`
	// ConfineFiles keeps the file tools in CWD and AddDir: what they would read or write elsewhere is refused, whatever
	// the rules allow. nil: true. It does not hold commands; that is the sandbox's to do.
	ConfineFiles *bool `json:"confine_files,omitzero"`
	// Roots are directories that CWD and AddDir must lie in, links resolved. None: anywhere.
	Roots []string `json:"roots,omitzero"`
	// IsolateHome gives the CLI a HOME of its own, below the data directory. nil: if NoSessionPersistence is set and
	// Env names no HOME. Without persistence it is removed with the process.
	IsolateHome *bool `json:"isolate_home,omitzero"`
	// UnsetEnv are variables that the CLI does not get, although it would inherit them.
	UnsetEnv []string `json:"unset_env,omitzero"`
	// Sensitive says that what the session works on must not stay on disk: the checklist wants no persistence then.
	Sensitive bool `json:"sensitive,omitzero"`

	// CanUseTool answers the CLI's permission questions. nil: they are denied. An answer that takes longer
	// than PermissionTimeout, an error and a panic deny.
	CanUseTool        CanUseTool    `json:"-"`
	PermissionTimeout time.Duration `json:"permission_timeout,omitzero"` // 5 min by default
	// ToolCallback is called after each tool use, for the embedder's own records. It runs in a goroutine
	// of the session's, one call at a time and in order; it cannot hold the session up.
	ToolCallback func(ToolEvent) `json:"-"`
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
