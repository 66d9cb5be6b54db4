package protocol

import "encoding/json"

// HookContext is what every hook is told.
type HookContext struct {
	HookEventName  string `json:"hook_event_name"`
	SessionID      string `json:"session_id"`
	TranscriptPath string `json:"transcript_path"`
	CWD            string `json:"cwd"`
	PromptID       string `json:"prompt_id"`
	PermissionMode string `json:"permission_mode"`
	AgentID        string `json:"agent_id"` // the subagent it happens in
	AgentType      string `json:"agent_type"`
	Effort         struct {
		Level string `json:"level"` // of the turn; empty outside of one
	} `json:"effort"`
}

// HookAnswer is what the answer to every event may have. The zero value has no opinion.
type HookAnswer struct {
	// Block keeps what the event is about from happening, or has a turn go on (Stop), with this as the reason. PreToolUse and
	// PermissionRequest have a Decision for it.
	Block string `json:"-"`
	// Continue false ends the turn after what the event is about: it does not keep a tool from running.
	Continue       *bool  `json:"continue,omitempty"`
	StopReason     string `json:"stopReason,omitempty"`
	SuppressOutput bool   `json:"suppressOutput,omitempty"`
	SystemMessage  string `json:"systemMessage,omitempty"` // shown as an informational frame
	// TerminalSequence is written to a terminal, if the CLI has one.
	TerminalSequence string `json:"terminalSequence,omitempty"`
}

// The hook events that HookInput has no fields for.
const (
	HookPermissionDenied    = "PermissionDenied"
	HookUserPromptExpansion = "UserPromptExpansion"
	HookSessionStart        = "SessionStart"
	HookSessionEnd          = "SessionEnd"
	HookSetup               = "Setup"
	HookStopFailure         = "StopFailure"
	HookPreModelSwitch      = "PreModelSwitch"
	HookPostModelSwitch     = "PostModelSwitch"
	HookNotification        = "Notification"
	HookMessageDisplay      = "MessageDisplay"
	HookElicitation         = "Elicitation"
	HookElicitationResult   = "ElicitationResult"
	HookTaskCreated         = "TaskCreated"
	HookTaskCompleted       = "TaskCompleted"
	HookTeammateIdle        = "TeammateIdle"
	HookConfigChange        = "ConfigChange"
	HookInstructionsLoaded  = "InstructionsLoaded"
	HookCwdChanged          = "CwdChanged"
	HookFileChanged         = "FileChanged"
	HookDirectoryAdded      = "DirectoryAdded"
	HookWorktreeCreate      = "WorktreeCreate"
	HookWorktreeRemove      = "WorktreeRemove"
)

// HookEvents are all events of CLI 2.1.330, in the order of Hooks of package session.
func HookEvents() []string {
	return []string{"PreToolUse", "PostToolUse", "PostToolUseFailure", "PostToolBatch", "PermissionRequest", "PermissionDenied", "UserPromptSubmit", "UserPromptExpansion", "SessionStart", "SessionEnd", "Setup", "Stop", "StopFailure", "SubagentStart", "SubagentStop", "PreCompact", "PostCompact", "PreModelSwitch", "PostModelSwitch", "Notification", "MessageDisplay", "Elicitation", "ElicitationResult", "TaskCreated", "TaskCompleted", "TeammateIdle", "ConfigChange", "InstructionsLoaded", "CwdChanged", "FileChanged", "DirectoryAdded", "WorktreeCreate", "WorktreeRemove"}
}

// The inputs and outputs of hooks, by event.
type (
	// PreToolUseInput is what a PreToolUse hook is told: it comes before a tool runs, whatever the rules say.
	PreToolUseInput struct {
		HookContext
		ToolName  string          `json:"tool_name"`
		ToolInput json.RawMessage `json:"tool_input"`
		ToolUseID string          `json:"tool_use_id"`
		MCPServer *MCPProvenance  `json:"mcp_server"`
	}
	// PreToolUseOutput answers it.
	PreToolUseOutput struct {
		HookAnswer
		Decision          string          `json:"permissionDecision,omitempty"`       // DecisionAllow, DecisionDeny, DecisionAsk; empty: no opinion
		Reason            string          `json:"permissionDecisionReason,omitempty"` // for the model
		UpdatedInput      json.RawMessage `json:"updatedInput,omitempty"`             // replaces the whole input
		AdditionalContext string          `json:"additionalContext,omitempty"`
	}
	// PostToolUseInput is what a PostToolUse hook is told: it comes after a tool has run.
	PostToolUseInput struct {
		HookContext
		ToolName     string          `json:"tool_name"`
		ToolInput    json.RawMessage `json:"tool_input"`
		ToolResponse json.RawMessage `json:"tool_response"` // of the tool's shape
		ToolUseID    string          `json:"tool_use_id"`
		DurationMS   float64         `json:"duration_ms"`
		MCPServer    *MCPProvenance  `json:"mcp_server"`
	}
	// PostToolUseOutput answers it.
	PostToolUseOutput struct {
		HookAnswer
		AdditionalContext    string          `json:"additionalContext,omitempty"`
		ClassifierContext    string          `json:"classifierContext,omitempty"`
		UpdatedToolOutput    json.RawMessage `json:"updatedToolOutput,omitempty"`
		UpdatedMCPToolOutput json.RawMessage `json:"updatedMCPToolOutput,omitempty"`
	}
	// PostToolUseFailureInput is what a PostToolUseFailure hook is told: it comes after a tool has failed.
	PostToolUseFailureInput struct {
		HookContext
		ToolName    string          `json:"tool_name"`
		ToolInput   json.RawMessage `json:"tool_input"`
		ToolUseID   string          `json:"tool_use_id"`
		Error       string          `json:"error"`
		IsInterrupt bool            `json:"is_interrupt"`
		DurationMS  float64         `json:"duration_ms"`
		MCPServer   *MCPProvenance  `json:"mcp_server"`
	}
	// PostToolUseFailureOutput answers it.
	PostToolUseFailureOutput struct {
		HookAnswer
		AdditionalContext string `json:"additionalContext,omitempty"` // told to the model
	}
	// PostToolBatchInput is what a PostToolBatch hook is told: it comes after all tools of one answer.
	PostToolBatchInput struct {
		HookContext
		ToolCalls []json.RawMessage `json:"tool_calls"`
	}
	// PostToolBatchOutput answers it.
	PostToolBatchOutput struct {
		HookAnswer
		AdditionalContext string `json:"additionalContext,omitempty"` // told to the model
	}
	// PermissionRequestInput is what a PermissionRequest hook is told: it comes when a permission question would be asked, beside it: the first answer counts.
	PermissionRequestInput struct {
		HookContext
		ToolName              string             `json:"tool_name"`
		ToolInput             json.RawMessage    `json:"tool_input"`
		PermissionSuggestions []PermissionUpdate `json:"permission_suggestions"`
		MCPServer             *MCPProvenance     `json:"mcp_server"`
	}
	// PermissionRequestOutput answers it.
	PermissionRequestOutput struct {
		HookAnswer
		Decision PermissionResult `json:"decision,omitempty"` // an Allow or a Deny; nil: no opinion
	}
	// PermissionDeniedInput is what a PermissionDenied hook is told: it comes when a tool was denied.
	PermissionDeniedInput struct {
		HookContext
		ToolName  string          `json:"tool_name"`
		ToolInput json.RawMessage `json:"tool_input"`
		ToolUseID string          `json:"tool_use_id"`
		Reason    string          `json:"reason"`
		MCPServer *MCPProvenance  `json:"mcp_server"`
	}
	// PermissionDeniedOutput answers it.
	PermissionDeniedOutput struct {
		HookAnswer
		Retry bool `json:"retry,omitempty"`
	}
	// UserPromptSubmitInput is what a UserPromptSubmit hook is told: it comes with each prompt.
	UserPromptSubmitInput struct {
		HookContext
		Prompt       string `json:"prompt"`
		Source       string `json:"source"` // user, sdk, system, …
		SessionTitle string `json:"session_title"`
	}
	// UserPromptSubmitOutput answers it.
	UserPromptSubmitOutput struct {
		HookAnswer
		AdditionalContext      string `json:"additionalContext,omitempty"`
		SessionTitle           string `json:"sessionTitle,omitempty"`
		SuppressOriginalPrompt bool   `json:"suppressOriginalPrompt,omitempty"`
	}
	// UserPromptExpansionInput is what a UserPromptExpansion hook is told: it comes when a slash command becomes a prompt.
	UserPromptExpansionInput struct {
		HookContext
		ExpansionType string `json:"expansion_type"` // slash_command, mcp_prompt
		CommandName   string `json:"command_name"`
		CommandArgs   string `json:"command_args"`
		CommandSource string `json:"command_source"`
		Prompt        string `json:"prompt"`
	}
	// UserPromptExpansionOutput answers it.
	UserPromptExpansionOutput struct {
		HookAnswer
		AdditionalContext      string `json:"additionalContext,omitempty"`
		SuppressOriginalPrompt bool   `json:"suppressOriginalPrompt,omitempty"`
	}
	// SessionStartInput is what a SessionStart hook is told: it comes when a conversation begins anew: after /clear and compaction. The CLI does not call the host for it at the start of the process.
	SessionStartInput struct {
		HookContext
		Source       string `json:"source"` // startup, resume, clear, compact, fork
		Model        string `json:"model"`
		SessionTitle string `json:"session_title"`
		// Of a conversation that goes on; nil where the CLI does not say.
		ContextTokens            *int64   `json:"context_tokens"`
		SecondsSinceLastResponse *float64 `json:"seconds_since_last_response"`
		PromptCacheLikelyExpired *bool    `json:"prompt_cache_likely_expired"`
		EstimatedCacheWriteUSD   *float64 `json:"estimated_cache_write_usd"`
	}
	// SessionStartOutput answers it.
	SessionStartOutput struct {
		HookAnswer
		AdditionalContext  string   `json:"additionalContext,omitempty"`
		InitialUserMessage string   `json:"initialUserMessage,omitempty"`
		SessionTitle       string   `json:"sessionTitle,omitempty"`
		WatchPaths         []string `json:"watchPaths,omitempty"`
		ReloadSkills       bool     `json:"reloadSkills,omitempty"`
	}
	// SessionEndInput is what a SessionEnd hook is told: it comes when a conversation ends: on /clear, not at the end of the process.
	SessionEndInput struct {
		HookContext
		Reason string `json:"reason"` // clear, resume, logout, prompt_input_exit, other
	}
	// SessionEndOutput answers it.
	SessionEndOutput struct {
		HookAnswer
	}
	// SetupInput is what a Setup hook is told: it comes with --init and --maintenance.
	SetupInput struct {
		HookContext
		Trigger string `json:"trigger"` // init, maintenance
	}
	// SetupOutput answers it.
	SetupOutput struct {
		HookAnswer
		AdditionalContext string `json:"additionalContext,omitempty"` // told to the model
	}
	// StopInput is what a Stop hook is told: it comes at the end of a turn; Block makes the model go on, nine times at most.
	StopInput struct {
		HookContext
		StopHookActive       bool              `json:"stop_hook_active"` // it goes on because of a hook already
		LastAssistantMessage string            `json:"last_assistant_message"`
		BackgroundTasks      []json.RawMessage `json:"background_tasks"`
		SessionCrons         []json.RawMessage `json:"session_crons"`
	}
	// StopOutput answers it.
	StopOutput struct {
		HookAnswer
		AdditionalContext string `json:"additionalContext,omitempty"` // told to the model
	}
	// StopFailureInput is what a StopFailure hook is told: it comes at the end of a turn that failed.
	StopFailureInput struct {
		HookContext
		Error                string `json:"error"`
		ErrorDetails         string `json:"error_details"`
		LastAssistantMessage string `json:"last_assistant_message"`
	}
	// StopFailureOutput answers it.
	StopFailureOutput struct {
		HookAnswer
	}
	// SubagentStartInput is what a SubagentStart hook is told: it comes when a subagent begins.
	SubagentStartInput struct {
		HookContext
	}
	// SubagentStartOutput answers it.
	SubagentStartOutput struct {
		HookAnswer
		AdditionalContext string `json:"additionalContext,omitempty"` // told to the model
	}
	// SubagentStopInput is what a SubagentStop hook is told: it comes when a subagent ends; for helpers of the CLI, too, with an empty type.
	SubagentStopInput struct {
		HookContext
		StopHookActive       bool              `json:"stop_hook_active"`
		AgentTranscriptPath  string            `json:"agent_transcript_path"`
		LastAssistantMessage string            `json:"last_assistant_message"`
		BackgroundTasks      []json.RawMessage `json:"background_tasks"`
		SessionCrons         []json.RawMessage `json:"session_crons"`
	}
	// SubagentStopOutput answers it.
	SubagentStopOutput struct {
		HookAnswer
		AdditionalContext string `json:"additionalContext,omitempty"` // told to the model
	}
	// PreCompactInput is what a PreCompact hook is told: it comes before the conversation is compacted.
	PreCompactInput struct {
		HookContext
		Trigger            string `json:"trigger"` // manual, auto
		CustomInstructions string `json:"custom_instructions"`
	}
	// PreCompactOutput answers it.
	PreCompactOutput struct {
		HookAnswer
	}
	// PostCompactInput is what a PostCompact hook is told: it comes after the conversation was compacted.
	PostCompactInput struct {
		HookContext
		Trigger        string `json:"trigger"` // manual, auto
		CompactSummary string `json:"compact_summary"`
	}
	// PostCompactOutput answers it.
	PostCompactOutput struct {
		HookAnswer
	}
	// PreModelSwitchInput is what a PreModelSwitch hook is told: it comes before the model is changed.
	PreModelSwitchInput struct {
		HookContext
		FromModel              string  `json:"from_model"`
		ToModel                string  `json:"to_model"`
		RequestedModel         string  `json:"requested_model"`
		Source                 string  `json:"source"` // command, picker, sdk
		ContextTokens          int     `json:"context_tokens"`
		PromptCacheWarm        bool    `json:"prompt_cache_warm"`
		CacheTTL               string  `json:"cache_ttl"`
		EstimatedCacheWriteUSD float64 `json:"estimated_cache_write_usd"`
		Pricing                string  `json:"pricing"`
	}
	// PreModelSwitchOutput answers it.
	PreModelSwitchOutput struct {
		HookAnswer
		Decision string `json:"permissionDecision,omitempty"` // DecisionAllow, DecisionDeny, DecisionAsk
		Reason   string `json:"permissionDecisionReason,omitempty"`
	}
	// PostModelSwitchInput is what a PostModelSwitch hook is told: it comes after the model was changed.
	PostModelSwitchInput struct {
		HookContext
		FromModel              string  `json:"from_model"`
		ToModel                string  `json:"to_model"`
		RequestedModel         string  `json:"requested_model"`
		Source                 string  `json:"source"` // command, picker, sdk, auto, resume
		ContextTokens          int     `json:"context_tokens"`
		PromptCacheWarm        bool    `json:"prompt_cache_warm"`
		CacheTTL               string  `json:"cache_ttl"`
		EstimatedCacheWriteUSD float64 `json:"estimated_cache_write_usd"`
		Pricing                string  `json:"pricing"`
	}
	// PostModelSwitchOutput answers it.
	PostModelSwitchOutput struct {
		HookAnswer
		AdditionalContext string `json:"additionalContext,omitempty"` // told to the model
	}
	// NotificationInput is what a Notification hook is told: it comes with what the CLI would show to a person.
	NotificationInput struct {
		HookContext
		Message          string `json:"message"`
		Title            string `json:"title"`
		NotificationType string `json:"notification_type"`
	}
	// NotificationOutput answers it.
	NotificationOutput struct {
		HookAnswer
		AdditionalContext string `json:"additionalContext,omitempty"` // told to the model
	}
	// MessageDisplayInput is what a MessageDisplay hook is told: it comes with each batch of lines of an answer.
	MessageDisplayInput struct {
		HookContext
		TurnID    string `json:"turn_id"`
		MessageID string `json:"message_id"`
		Index     int    `json:"index"`
		Final     bool   `json:"final"`
		Delta     string `json:"delta"`
	}
	// MessageDisplayOutput answers it.
	MessageDisplayOutput struct {
		HookAnswer
		DisplayContent *string `json:"displayContent,omitempty"`
	}
	// ElicitationInput is what a Elicitation hook is told: it comes when an MCP server asks the user something.
	ElicitationInput struct {
		HookContext
		MCPServerName   string          `json:"mcp_server_name"`
		Message         string          `json:"message"`
		Mode            string          `json:"mode"` // form, url
		URL             string          `json:"url"`
		ElicitationID   string          `json:"elicitation_id"`
		RequestedSchema json.RawMessage `json:"requested_schema"`
	}
	// ElicitationOutput answers it.
	ElicitationOutput struct {
		HookAnswer
		Action  string          `json:"action,omitempty"` // ElicitAccept, ElicitDecline, ElicitCancel
		Content json.RawMessage `json:"content,omitempty"`
	}
	// ElicitationResultInput is what a ElicitationResult hook is told: it comes with the answer to an MCP server.
	ElicitationResultInput struct {
		HookContext
		MCPServerName string          `json:"mcp_server_name"`
		ElicitationID string          `json:"elicitation_id"`
		Mode          string          `json:"mode"`
		Action        string          `json:"action"`
		Content       json.RawMessage `json:"content"`
	}
	// ElicitationResultOutput answers it.
	ElicitationResultOutput struct {
		HookAnswer
		Action  string          `json:"action,omitempty"`
		Content json.RawMessage `json:"content,omitempty"`
	}
	// TaskCreatedInput is what a TaskCreated hook is told: it comes when a task is created.
	TaskCreatedInput struct {
		HookContext
		TaskID          string `json:"task_id"`
		TaskSubject     string `json:"task_subject"`
		TaskDescription string `json:"task_description"`
		TeammateName    string `json:"teammate_name"`
		TeamName        string `json:"team_name"`
	}
	// TaskCreatedOutput answers it.
	TaskCreatedOutput struct {
		HookAnswer
	}
	// TaskCompletedInput is what a TaskCompleted hook is told: it comes when a task is done.
	TaskCompletedInput struct {
		HookContext
		TaskID          string `json:"task_id"`
		TaskSubject     string `json:"task_subject"`
		TaskDescription string `json:"task_description"`
		TeammateName    string `json:"teammate_name"`
		TeamName        string `json:"team_name"`
	}
	// TaskCompletedOutput answers it.
	TaskCompletedOutput struct {
		HookAnswer
	}
	// TeammateIdleInput is what a TeammateIdle hook is told: it comes when a teammate has nothing to do.
	TeammateIdleInput struct {
		HookContext
		TeammateName string `json:"teammate_name"`
		TeamName     string `json:"team_name"`
	}
	// TeammateIdleOutput answers it.
	TeammateIdleOutput struct {
		HookAnswer
	}
	// ConfigChangeInput is what a ConfigChange hook is told: it comes when a settings file changes.
	ConfigChangeInput struct {
		HookContext
		Source   string `json:"source"` // user_settings, project_settings, local_settings, policy_settings, skills
		FilePath string `json:"file_path"`
	}
	// ConfigChangeOutput answers it.
	ConfigChangeOutput struct {
		HookAnswer
	}
	// InstructionsLoadedInput is what a InstructionsLoaded hook is told: it comes when a CLAUDE.md or rule is read.
	InstructionsLoadedInput struct {
		HookContext
		FilePath        string   `json:"file_path"`
		MemoryType      string   `json:"memory_type"` // User, Project, Local, Managed
		LoadReason      string   `json:"load_reason"`
		Globs           []string `json:"globs"`
		TriggerFilePath string   `json:"trigger_file_path"`
		ParentFilePath  string   `json:"parent_file_path"`
	}
	// InstructionsLoadedOutput answers it.
	InstructionsLoadedOutput struct {
		HookAnswer
	}
	// CwdChangedInput is what a CwdChanged hook is told: it comes when the working directory changes.
	CwdChangedInput struct {
		HookContext
		OldCWD string `json:"old_cwd"`
		NewCWD string `json:"new_cwd"`
	}
	// CwdChangedOutput answers it.
	CwdChangedOutput struct {
		HookAnswer
		WatchPaths []string `json:"watchPaths,omitempty"`
	}
	// FileChangedInput is what a FileChanged hook is told: it comes when a watched file changes.
	FileChangedInput struct {
		HookContext
		FilePath string `json:"file_path"`
		Event    string `json:"event"` // change, add, unlink
	}
	// FileChangedOutput answers it.
	FileChangedOutput struct {
		HookAnswer
		WatchPaths []string `json:"watchPaths,omitempty"`
	}
	// DirectoryAddedInput is what a DirectoryAdded hook is told: it comes when a directory is added.
	DirectoryAddedInput struct {
		HookContext
		Directory string `json:"directory"`
		Source    string `json:"source"` // slash_command, register_repo_root
	}
	// DirectoryAddedOutput answers it.
	DirectoryAddedOutput struct {
		HookAnswer
	}
	// WorktreeCreateInput is what a WorktreeCreate hook is told: it makes a worktree in place of the CLI.
	WorktreeCreateInput struct {
		HookContext
		Name string `json:"name"`
	}
	// WorktreeCreateOutput answers it.
	WorktreeCreateOutput struct {
		HookAnswer
		WorktreePath string `json:"worktreePath,omitempty"` // of the one that was made
	}
	// WorktreeRemoveInput is what a WorktreeRemove hook is told: it removes a worktree in place of the CLI.
	WorktreeRemoveInput struct {
		HookContext
		WorktreePath string `json:"worktree_path"`
	}
	// WorktreeRemoveOutput answers it.
	WorktreeRemoveOutput struct {
		HookAnswer
	}
)
