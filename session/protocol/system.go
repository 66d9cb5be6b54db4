package protocol

import "encoding/json"

// Init opens every turn, not the process: waiting for it before the first
// prompt waits for ever. The session id in it is the CLI's word for the conversation.
type Init struct {
	wire
	CWD                   string          `json:"cwd"`
	SessionID             string          `json:"session_id"`
	Tools                 []string        `json:"tools"`
	MCPServers            []MCPServer     `json:"mcp_servers"`
	Model                 string          `json:"model"`
	PermissionMode        PermissionMode  `json:"permissionMode"`
	SlashCommands         []string        `json:"slash_commands"`
	TerminalSlashCommands []string        `json:"terminal_slash_commands,omitempty"`
	APIKeySource          string          `json:"apiKeySource"` // where the key came from, never the key
	ClaudeCodeVersion     string          `json:"claude_code_version"`
	OutputStyle           string          `json:"output_style"`
	Agents                []string        `json:"agents"`
	Skills                []string        `json:"skills"`
	Plugins               []Plugin        `json:"plugins"`
	PluginErrors          json.RawMessage `json:"plugin_errors,omitempty"`
	Capabilities          []string        `json:"capabilities"`
	Betas                 []string        `json:"betas,omitempty"`
	UUID                  string          `json:"uuid"`
	OriginalCWD           string          `json:"original_cwd,omitempty"`
	AdditionalDirectories []string        `json:"additional_directories,omitempty"`
	MessagingSocketPath   string          `json:"messaging_socket_path,omitempty"`
	MemoryPaths           json.RawMessage `json:"memory_paths,omitempty"`
	FastModeState         string          `json:"fast_mode_state,omitempty"`
	// UserMessageUUIDs are the prompts the turn answers; none for a turn that nobody asked for.
	UserMessageUUIDs []string `json:"user_message_uuids,omitempty"`
	ViewMode         string   `json:"view_mode,omitempty"`
	Effort           *string  `json:"effort,omitempty"` // low, medium, high, xhigh, max; nil: the model has none

	PluginWarnings          json.RawMessage `json:"plugin_warnings,omitempty"`
	MCPServerErrors         json.RawMessage `json:"mcp_server_errors,omitempty"`
	FastModeDisabledReason  string          `json:"fast_mode_disabled_reason,omitempty"`
	AnalyticsDisabled       *bool           `json:"analytics_disabled,omitempty"`
	ProductFeedbackDisabled *bool           `json:"product_feedback_disabled,omitempty"`
	ServedByAnthropic       *bool           `json:"served_by_anthropic,omitempty"`
	PerTurnEffortActive     *bool           `json:"per_turn_effort_active,omitempty"`
	UltrathinkAvailable     *bool           `json:"ultrathink_available,omitempty"`
	UltrathinkTypedRaises   *bool           `json:"ultrathink_typed_raises,omitempty"`
}

// MCPServer is one server of the session and how it is doing.
type MCPServer struct {
	wire
	Name   string `json:"name"`
	Status string `json:"status"`           // connected, failed, needs-auth, pending, disabled
	Source string `json:"source,omitempty"` // sdk for a server in the host
}

// Plugin is one loaded plugin.
type Plugin struct {
	wire
	Name    string `json:"name"`
	Path    string `json:"path"`
	Source  string `json:"source,omitempty"`
	Version string `json:"version,omitempty"`
}

// Status says that the CLI is busy with something other than the model's answer,
// or that the permission mode has changed.
type Status struct {
	wire
	Status             *string        `json:"status"` // compacting, requesting; nil when it is over
	PermissionMode     PermissionMode `json:"permissionMode,omitempty"`
	CompactResult      string         `json:"compact_result,omitempty"` // success, failed
	CompactError       string         `json:"compact_error,omitempty"`
	CompactOutputChars *int64         `json:"compact_output_chars,omitempty"`
	ResumeHeldForPlan  bool           `json:"resume_held_for_plan,omitempty"`
	UserMessageUUIDs   []string       `json:"user_message_uuids,omitempty"`
	UUID               string         `json:"uuid"`
	SessionID          string         `json:"session_id"`
}

// APIRetry announces that a failed API request will be tried again.
type APIRetry struct {
	wire
	Attempt      int             `json:"attempt"` // from 1
	MaxRetries   int             `json:"max_retries"`
	RetryDelayMS int64           `json:"retry_delay_ms"`
	ErrorStatus  *int            `json:"error_status"`          // HTTP status; nil for a connection error
	Error        string          `json:"error"`                 // overloaded, rate_limit, authentication_failed, …
	NoResponse   json.RawMessage `json:"no_response,omitempty"` // how long it waited in vain
	SessionID    string          `json:"session_id"`
	UUID         string          `json:"uuid"`
}

// PermissionDenied reports a tool that was denied without asking the host, by a
// rule or the mode. Denials by a hook do not appear here.
type PermissionDenied struct {
	wire
	ToolName           string `json:"tool_name"`
	ToolUseID          string `json:"tool_use_id"`
	AgentID            string `json:"agent_id,omitempty"`
	DecisionReasonType string `json:"decision_reason_type,omitempty"` // rule, mode, …
	DecisionReason     string `json:"decision_reason,omitempty"`
	DecisionReasonCode string `json:"decision_reason_code,omitempty"`
	Message            string `json:"message"` // what the model is told
	UUID               string `json:"uuid"`
	SessionID          string `json:"session_id"`
}

// SessionStateChanged is the CLI's own word about whether it is at work. Idle is
// the end of a run: results can be fewer or more than prompts. Only with
// CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS=1 in its environment.
type SessionStateChanged struct {
	wire
	State       string `json:"state" wire:"essential"` // StateIdle, StateRunning, StateRequiresAction
	SDKHostOnly bool   `json:"sdk_host_only,omitempty"`
	UUID        string `json:"uuid"`
	SessionID   string `json:"session_id"`
}

// The states of SessionStateChanged.
const (
	StateIdle           = "idle"
	StateRunning        = "running"
	StateRequiresAction = "requires_action" // a permission question is open
)
