package protocol

import "encoding/json"

// Informational is text for whoever looks at the session: what a hook said, a setting that does not
// work, a restriction that applies. It can come at any time.
type Informational struct {
	wire
	Content             string          `json:"content"`
	Level               string          `json:"level"`                 // info, notice, suggestion, warning
	Tag                 string          `json:"tag,omitempty"`         // TagHookFailed and others
	ToolUseID           string          `json:"tool_use_id,omitempty"` // the call it is about
	PreventContinuation bool            `json:"prevent_continuation,omitempty"`
	PromptSubmitOutcome json.RawMessage `json:"prompt_submit_outcome,omitempty"` // what a UserPromptSubmit hook did to the prompt
	ModelRestriction    json.RawMessage `json:"model_restriction,omitempty"`
	HookNoVerdict       json.RawMessage `json:"hook_no_verdict,omitempty"` // a hook that came to no decision
	SavedFiles          json.RawMessage `json:"saved_files,omitempty"`
	SavedFrom           json.RawMessage `json:"saved_from,omitempty"`
	UUID                string          `json:"uuid"`
	SessionID           string          `json:"session_id"`
}

// TagHookFailed is the Tag of an Informational that says that a hook's answer was dropped.
const TagHookFailed = "hook_callback_failed"

// Notification is a short notice that a user interface would show for a while.
type Notification struct {
	wire
	Key       string `json:"key"` // a later one with the same key replaces it
	Text      string `json:"text"`
	Priority  string `json:"priority"` // low, medium, high, immediate
	Color     string `json:"color,omitempty"`
	TimeoutMS *int64 `json:"timeout_ms,omitempty"`
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

// LocalCommandOutput is what a slash command printed that no model was asked for.
type LocalCommandOutput struct {
	wire
	Content   string `json:"content"`
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

// ToolUseSummary says in a few words what a run of tool calls did.
type ToolUseSummary struct {
	wire
	Summary             string   `json:"summary"`
	PrecedingToolUseIDs []string `json:"preceding_tool_use_ids"`
	Timestamp           string   `json:"timestamp,omitempty"`
	UUID                string   `json:"uuid"`
	SessionID           string   `json:"session_id"`
}

// PromptSuggestion is what the user might want to ask next. It comes after the result, and only
// with prompt suggestions switched on.
type PromptSuggestion struct {
	wire
	Suggestion string `json:"suggestion"`
	UUID       string `json:"uuid"`
	SessionID  string `json:"session_id"`
}

// AuthStatus follows a login. Only with --enable-auth-status.
type AuthStatus struct {
	wire
	IsAuthenticating bool     `json:"isAuthenticating"`
	Output           []string `json:"output"`
	Error            string   `json:"error,omitempty"`
	UUID             string   `json:"uuid"`
	SessionID        string   `json:"session_id"`
}

// ActiveGoal is the goal set with /goal; a nil Value says that there is none any more.
type ActiveGoal struct {
	wire
	Value     *Goal  `json:"value"`
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

// Goal is what the session goes on for until it is met.
type Goal struct {
	wire
	Condition     string `json:"condition"`
	Iterations    int    `json:"iterations"`
	SetAt         int64  `json:"set_at"` // milliseconds since 1970
	TokensAtStart int64  `json:"tokens_at_start"`
	LastReason    string `json:"last_reason,omitempty"` // why it was not met the last time
}

// ThinkingTokens estimates how much the model has thought so far, while it does. Only with partial messages.
type ThinkingTokens struct {
	wire
	EstimatedTokens      int64  `json:"estimated_tokens"`
	EstimatedTokensDelta int64  `json:"estimated_tokens_delta"`
	UserMessageUUID      string `json:"user_message_uuid,omitempty"`
	UUID                 string `json:"uuid"`
	SessionID            string `json:"session_id"`
}

// MemoryRecall names the notes of earlier sessions that were given to the model.
type MemoryRecall struct {
	wire
	Mode      string   `json:"mode"` // select, synthesize
	Memories  []Memory `json:"memories"`
	UUID      string   `json:"uuid"`
	SessionID string   `json:"session_id"`
}

// Memory is one note.
type Memory struct {
	wire
	Path    string `json:"path"`
	Scope   string `json:"scope"` // personal, team, organization
	Content string `json:"content,omitempty"`
}

// MemorySaved says that notes were written.
type MemorySaved struct {
	wire
	WrittenPaths []string `json:"written_paths"`
	TeamCount    *int     `json:"team_count,omitempty"`
	Verb         string   `json:"verb,omitempty"`
	UUID         string   `json:"uuid"`
	SessionID    string   `json:"session_id"`
}

// FilesPersisted reports files that were uploaded.
type FilesPersisted struct {
	wire
	Files       []PersistedFile `json:"files"`
	Failed      []FailedFile    `json:"failed"`
	ProcessedAt string          `json:"processed_at"` // RFC 3339
	UUID        string          `json:"uuid"`
	SessionID   string          `json:"session_id"`
}

// PersistedFile is a file that was uploaded.
type PersistedFile struct {
	wire
	Filename string `json:"filename"`
	FileID   string `json:"file_id"`
}

// FailedFile is a file that was not.
type FailedFile struct {
	wire
	Filename string `json:"filename"`
	Error    string `json:"error"`
}

// PluginInstall follows the installation of plugins at the start.
type PluginInstall struct {
	wire
	Status    string `json:"status"` // started, installed, failed, completed (all of them)
	Name      string `json:"name,omitempty"`
	Error     string `json:"error,omitempty"`
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

// CommandsChanged has the whole list of slash commands, which replaces the earlier one.
type CommandsChanged struct {
	wire
	Commands  []SlashCommand `json:"commands"`
	UUID      string         `json:"uuid"`
	SessionID string         `json:"session_id"`
}

// ElicitationComplete says that a question of an MCP server, answered in a browser, is settled.
type ElicitationComplete struct {
	wire
	MCPServerName string `json:"mcp_server_name"`
	ElicitationID string `json:"elicitation_id"`
	UUID          string `json:"uuid"`
	SessionID     string `json:"session_id"`
}

// ControlRequestProgress says that a control request takes its time. Only of side questions so far.
type ControlRequestProgress struct {
	wire
	RequestID    string `json:"request_id"` // the host's
	Status       string `json:"status"`     // started, api_retry
	Attempt      *int   `json:"attempt,omitempty"`
	MaxRetries   *int   `json:"max_retries,omitempty"`
	RetryDelayMS *int64 `json:"retry_delay_ms,omitempty"`
	ErrorStatus  *int   `json:"error_status,omitempty"`
	UUID         string `json:"uuid"`
	SessionID    string `json:"session_id"`
}

// SlashCommand is a command that a prompt may begin with.
type SlashCommand struct {
	wire
	Name         string   `json:"name"` // without the slash
	Description  string   `json:"description"`
	ArgumentHint string   `json:"argumentHint"`
	Aliases      []string `json:"aliases,omitempty"`
	Builtin      *bool    `json:"builtin,omitempty"`
}
