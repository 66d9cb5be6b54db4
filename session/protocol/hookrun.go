package protocol

import "encoding/json"

// HookStarted, HookProgress and HookResponse follow a hook that settings or a plugin define: those of
// SessionStart and Setup always, others with --include-hook-events. Hooks in the host are not among them.
type HookStarted struct {
	wire
	HookID     string `json:"hook_id"`
	HookName   string `json:"hook_name"`
	HookEvent  string `json:"hook_event"`
	Origin     string `json:"origin,omitempty"`
	Label      string `json:"label,omitempty"`
	PluginName string `json:"plugin_name,omitempty"`
	UUID       string `json:"uuid"`
	SessionID  string `json:"session_id"`
}

// HookProgress is what a hook that takes long has printed so far.
type HookProgress struct {
	wire
	HookID       string `json:"hook_id"`
	HookName     string `json:"hook_name"`
	HookEvent    string `json:"hook_event"`
	Stdout       string `json:"stdout"`
	Stderr       string `json:"stderr"`
	Output       string `json:"output"` // both
	Backgrounded bool   `json:"backgrounded,omitempty"`
	UUID         string `json:"uuid"`
	SessionID    string `json:"session_id"`
}

// HookResponse is how a hook ended.
type HookResponse struct {
	wire
	HookID    string `json:"hook_id"`
	HookName  string `json:"hook_name"`
	HookEvent string `json:"hook_event"`
	Output    string `json:"output"`
	Stdout    string `json:"stdout"`
	Stderr    string `json:"stderr"`
	ExitCode  *int   `json:"exit_code,omitempty"`
	Outcome   string `json:"outcome"` // success, error, cancelled
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

// StopHookSummary is what the hooks did that ran when a turn was to end.
type StopHookSummary struct {
	wire
	HookCount             int             `json:"hook_count"`
	HookInfos             json.RawMessage `json:"hook_infos"` // command and duration_ms of each
	HookErrors            []string        `json:"hook_errors"`
	HookAdditionalContext []string        `json:"hook_additional_context,omitempty"`
	PreventedContinuation bool            `json:"prevented_continuation"`
	StopReason            string          `json:"stop_reason,omitempty"`
	HasOutput             bool            `json:"has_output"`
	Level                 string          `json:"level"`
	ToolUseID             string          `json:"tool_use_id,omitempty"`
	HookLabel             string          `json:"hook_label,omitempty"`
	TotalDurationMS       *int64          `json:"total_duration_ms,omitempty"`
	UUID                  string          `json:"uuid"`
	SessionID             string          `json:"session_id"`
}

// PermissionCheckStatus says that the CLI is deciding about a tool, or has.
type PermissionCheckStatus struct {
	wire
	ToolUseID string `json:"tool_use_id"`
	AgentID   string `json:"agent_id,omitempty"`
	Status    string `json:"status"` // checking, done
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

// PermissionRetry says that commands that were denied may be tried again.
type PermissionRetry struct {
	wire
	Content   string   `json:"content"`
	Commands  []string `json:"commands"`
	UUID      string   `json:"uuid"`
	SessionID string   `json:"session_id"`
}

// LateAllowNotRun says that a tool was allowed too late, and did not run.
type LateAllowNotRun struct {
	wire
	RequestID string `json:"request_id"`
	ToolUseID string `json:"tool_use_id"`
	Reason    string `json:"reason"` // turn_running, call_gone, declined, expired, …
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

// InheritedAsksSettled names the permission questions of an earlier process that are still open.
type InheritedAsksSettled struct {
	wire
	KeptRequestIDs []string `json:"kept_request_ids"`
	UUID           string   `json:"uuid"`
	SessionID      string   `json:"session_id"`
}
