package process

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Launch is everything that becomes the command line, the environment and the working directory of
// one CLI process. It is a plain value: copying it is safe as long as nobody changes the slices and
// maps in it, and no function of this package does.
//
// Printing a Launch with any verb of fmt, and marshalling it as JSON, gives a summary without the API
// key and without the values of Env, Settings and ExtraArgs. (fmt does not call methods of values in
// unexported fields: a struct that keeps a Launch in one and is printed as a whole shows it raw.)
type Launch struct {
	// Path is the program: a path (relative ones start at the runtime's working directory), or a name
	// that is looked up on PATH. Empty means "claude".
	Path string
	// PrefixArgs come before the CLI's own flags, for a program that starts the CLI
	// (for instance a container client, or a test binary that simulates the CLI).
	PrefixArgs []string
	// Dir is the working directory. Empty means the runtime's.
	Dir string

	// Model is an alias or a full model name. Empty leaves the choice to the CLI.
	Model string
	// FallbackModel are models that are tried when Model is overloaded, separated by commas.
	FallbackModel string
	// Agent is the agent that the main conversation runs as.
	Agent string
	// Thinking is adaptive, enabled or disabled; ThinkingDisplay is summarized, omitted or highlights; MaxThinkingTokens
	// bounds it, 0 for none. Empty and nil leave it to the CLI.
	Thinking, ThinkingDisplay string
	MaxThinkingTokens         *int
	// Effort is one of Efforts. The CLI ignores others with a warning on stderr.
	Effort string
	// Betas are beta features of the API, by the name of their header.
	Betas []string
	// JSONSchema is the shape of answers.
	JSONSchema string
	// TaskBudget is how many tokens the model is told it has. 0: it is told nothing.
	TaskBudget int
	// SystemPrompt replaces the CLI's own system prompt. Empty keeps the CLI's own.
	SystemPrompt string
	// AppendSystemPrompt is added to the end of the system prompt.
	AppendSystemPrompt string
	// AppendSubagentSystemPrompt is added to the system prompt of every subagent.
	AppendSubagentSystemPrompt string
	// AddDir are further directories that the agent may use. The CLI accepts a missing directory in
	// silence; so does Argv, since it may be created later.
	AddDir []string
	// ProjectConfigRoot is where project settings, .mcp.json and .claude are read from instead of Dir. Absolute.
	ProjectConfigRoot string
	// Worktree has the CLI work in a git worktree of that name, which it makes if need be.
	Worktree string
	// Files are downloaded at the start: file_id:relative_path.
	Files []string
	// PermissionMode is one of PermissionModes, in the CLI's spelling. Empty means the CLI's default.
	PermissionMode string
	// SkipPermissions starts in bypassPermissions; AllowSkipPermissions lets the session change to it later.
	SkipPermissions, AllowSkipPermissions bool
	// AllowedTools are permission rules, such as "Read" or "Bash(git *)", that need no question.
	AllowedTools []string
	// DisallowedTools are permission rules that are always refused.
	DisallowedTools []string
	// Tools are the built-in tools that exist at all: nil for the CLI's default set, empty for none.
	Tools []string
	// MaxTurns limits the model's turns per prompt. 0 means no limit.
	MaxTurns int
	// MaxBudgetUSD limits what this process may spend, counted from its start. nil means no limit. It is
	// a pointer so that a remainder of zero is an error and not "no limit".
	MaxBudgetUSD *float64
	// NoSessionPersistence keeps the conversation off the disk. It can't be resumed then.
	NoSessionPersistence bool

	// Settings are merged over SettingsPath. The CLI gets them in an argument if they are about the sandbox and permissions alone,
	// otherwise in its first frame: see InHandshake.
	Settings map[string]any
	// SettingsPath names a settings file (relative ones start at Dir). It is read here, so that a missing
	// or broken one is an error instead of being ignored by the CLI, and what it holds is not in an argument.
	SettingsPath string
	// Sandbox is merged over the key "sandbox" of the settings; see SettingsJSON.
	Sandbox map[string]any
	// ManagedSettings are settings of the policy tier. The CLI takes what restricts, and drops the rest. They are in its
	// first frame: see InHandshake.
	ManagedSettings map[string]any
	// SettingSources are the settings files of the machine that the CLI may load: "user", "project",
	// "local". nil and empty mean none: a working directory is not trusted.
	SettingSources []string
	// WorkspaceMCP lets the CLI start the servers that the working directory's .mcp.json names. A working directory is
	// not trusted otherwise: --strict-mcp-config is sent.
	WorkspaceMCP bool

	// MCPConfig is a file with MCP servers (relative to Dir). OtherMCPServers lets the CLI use those that it finds
	// elsewhere too: in settings, plugins and the working directory.
	MCPConfig       string
	OtherMCPServers bool
	// Plugins are loaded from directories or .zip files.
	Plugins []Plugin

	// IncludePartialMessages asks for stream_event frames, IncludeHookEvents for those of hooks in settings,
	// ReplayUserMessages for each prompt back.
	IncludePartialMessages, IncludeHookEvents, ReplayUserMessages bool
	// DisableSlashCommands takes away all skills and commands.
	DisableSlashCommands bool
	// FileCheckpointing keeps copies of files before they are changed, so that they can be rewound.
	FileCheckpointing bool
	// MaxSubagents is how many subagents the CLI lets work at the same time. 0: the CLI's default.
	MaxSubagents int
	// QuestionPreview is the markup of previews in AskUserQuestion: markdown or html. Empty: the CLI's default.
	QuestionPreview string
	// Debug turns debug output on; DebugFilter is what of it, such as "hooks,mcp"; DebugFile is where it goes (relative to
	// Dir), and turns it on too.
	Debug                  bool
	DebugFilter, DebugFile string
	// PermissionPromptStdio has permission questions sent to the host as control requests.
	PermissionPromptStdio bool
	// PermissionPromptsNone has whatever would ask denied. It excludes the other two.
	PermissionPromptsNone bool
	// PermissionPromptTool is the MCP tool that answers permission questions.
	PermissionPromptTool string
	// ExtraArgs are further flags, keyed by their long name with or without the leading dashes. A nil
	// value is a flag without a value. Flags that Launch itself decides are refused.
	ExtraArgs map[string]*string

	// SessionID is the conversation's UUID. Empty lets the CLI choose one.
	SessionID string
	// Resume continues the conversation SessionID instead of creating it.
	Resume bool
	// ResumeFrom continues another conversation: an id, a title or the path of a transcript; Continue the latest one in
	// Dir, or begins one if there is none; FromPR the one that belongs to a pull request. At most one of them, and with
	// SessionID only if Fork makes a copy, under that id.
	ResumeFrom string
	Continue   bool
	FromPR     string
	Fork       bool
	// ResumeAt ends the conversation that is resumed at that entry; ResumeDropsTurn is the prompt whose turn is meant to be lost.
	ResumeAt, ResumeDropsTurn string

	// Env is set in the child and wins over inherited variables.
	Env map[string]string
	// InheritEnv extends the allowlist of inherited variables by exact names, by "PREFIX_*", or to InheritAll.
	InheritEnv []string
	// UnsetEnv are names of variables that are not inherited, whatever the allowlist says.
	UnsetEnv []string
	// APIKey becomes ANTHROPIC_API_KEY in the child's environment, and appears nowhere else. (One of less than eight
	// bytes is too common a text to be looked for in arguments and stderr.)
	APIKey string
	// Containment says how what the CLI starts must be held together, and Limits what all of it may take. Zero: as
	// well as this host can, and without limits.
	Containment Containment
	Limits      Limits
	// APIKeyFD hands the key over in a pipe instead: neither the CLI's environment nor that of anything it starts has it.
	APIKeyFD bool
	// APIProxy is the base URL of a proxy that APIKey is good for, and nothing else: a session's own, with a token for a key.
	APIProxy string
	// Launcher says where the CLI itself runs. Zero: on this host.
	Launcher Launcher
	// Marker identifies the processes of this launch, as "<runtime-id>/<session>/<generation>-<number>". It is in the
	// environment of the CLI and of all it starts, and is what Sweep looks for. Required by Start. It must be unique
	// to this launch: the sweep after the exit would end another process with the same marker.
	Marker string

	settled bool // Settings is what mergedSettings returned
}

// Plugin is a plugin of the CLI.
type Plugin struct {
	Path  string // a directory, a folder of plugins or a .zip file; relative to Dir
	NoMCP bool   // its MCP servers are left out
}

// DefaultPath is the program that is started when Launch.Path is empty.
const DefaultPath = "claude"

// String describes the launch in one line, without secrets and without values that could hold one.
func (l Launch) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Launch{path: %q", l.program())
	add := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, ", %s: %q", name, value)
		}
	}
	add("dir", l.Dir)
	add("model", l.Model)
	add("permission_mode", l.PermissionMode)
	add("session_id", l.SessionID)
	if l.Resume {
		b.WriteString(", resume")
	}
	add("marker", l.Marker)
	if len(l.Env) > 0 {
		fmt.Fprintf(&b, ", env: %q", slices.Sorted(maps.Keys(l.Env)))
	}
	if l.APIKey != "" {
		b.WriteString(", api_key: [redacted]")
	}
	b.WriteString("}")
	return b.String()
}

// GoString is String: %#v must not show what %v hides.
func (l Launch) GoString() string { return l.String() }

// Format writes String for every verb, so that none of them prints the fields.
func (l Launch) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(l.String())) } // fmt.State never fails

// MarshalJSON gives String as a JSON string, because structured loggers marshal what they are handed.
func (l Launch) MarshalJSON() ([]byte, error) { return json.Marshal(l.String()) }

func (l Launch) program() string {
	if l.Path == "" {
		return DefaultPath
	}
	return l.Path
}

// secrets are the values that must not appear in argv, stderr lines or errors: the API key, and what Env
// holds under names that say they are secret.
func (l Launch) secrets() []string {
	var out []string
	add := func(s string) {
		// Short values would turn unrelated text into [redacted].
		if len(s) >= 8 && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	add(l.APIKey)
	for _, name := range slices.Sorted(maps.Keys(l.Env)) {
		if SecretName(name) {
			add(l.Env[name])
		}
	}
	// Longest first: a secret that contains another one is redacted whole.
	slices.SortStableFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out
}

// SecretName reports whether a variable of that name likely holds a secret: its name contains KEY, TOKEN,
// SECRET, PASSWORD, PASSWD or CREDENTIAL.
func SecretName(name string) bool {
	name = strings.ToUpper(name)
	for _, part := range []string{"KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
