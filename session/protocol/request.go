package protocol

import "encoding/json"

// request is embedded in the requests below.
type request struct{ wire }

func (request) isControlBody() {}

// What a running CLI can be asked and told, beyond what control.go has.
type (
	// MCPReconnect connects an MCP server anew. One in the host is refused.
	MCPReconnect struct {
		request
		ServerName string `json:"serverName" wire:"essential"`
	}
	// MCPToggle switches an MCP server on or off.
	MCPToggle struct {
		request
		ServerName string `json:"serverName" wire:"essential"`
		Enabled    bool   `json:"enabled"`
	}
	// MCPCall calls a tool of an MCP server without the model. One in the host is refused.
	MCPCall struct {
		request
		Tool              string          `json:"tool" wire:"essential"` // mcp__SERVER__TOOL
		Arguments         json.RawMessage `json:"arguments,omitempty"`   // an object
		TimeoutMS         int64           `json:"timeout_ms,omitempty"`
		ResultNotForModel bool            `json:"result_not_for_model,omitempty"`
		ExpiresAt         string          `json:"expires_at,omitempty"`  // RFC 3339; with OutputFiles
		InputFiles        json.RawMessage `json:"input_files,omitempty"` // of sessions in the cloud
		OutputFiles       json.RawMessage `json:"output_files,omitempty"`
		CheckPermissions  bool            `json:"check_permissions,omitempty"` // as if the model had called it
	}
	// MCPReadResource reads a resource of an MCP server. The answer is an MCPReadResourceResponse.
	MCPReadResource struct {
		request
		ServerName string `json:"serverName" wire:"essential"`
		URI        string `json:"uri" wire:"essential"`
	}
	// MCPAuthenticate begins the OAuth flow of an MCP server.
	MCPAuthenticate struct {
		request
		ServerName string `json:"serverName" wire:"essential"`
	}
	// MCPClearAuth forgets the credentials of an MCP server.
	MCPClearAuth struct {
		request
		ServerName string `json:"serverName" wire:"essential"`
	}
	// MCPOAuthCallbackURL ends the OAuth flow of an MCP server.
	MCPOAuthCallbackURL struct {
		request
		ServerName  string `json:"serverName" wire:"essential"`
		CallbackURL string `json:"callbackUrl" wire:"essential"`
	}
	// SetMCPPermissionModeOverride gives the tools of one MCP server a permission mode of their own.
	SetMCPPermissionModeOverride struct {
		request
		ServerName string          `json:"serverName" wire:"essential"`
		Mode       *PermissionMode `json:"mode"` // default, auto, or nil for none
	}
	// RewindFiles puts files back to what they were at a prompt. The answer is a RewindFilesResponse; an unknown prompt is refused.
	RewindFiles struct {
		request
		UserMessageID string `json:"user_message_id" wire:"essential"` // the uuid of a prompt
		DryRun        bool   `json:"dry_run,omitempty"`
	}
	// BackgroundTasks moves running tools to the background.
	BackgroundTasks struct {
		request
		ToolUseID string `json:"tool_use_id,omitempty"` // empty: of all
	}
	// GetTaskOutput asks for the last 8 KiB of what a background task wrote. The answer is a TaskOutputResponse.
	GetTaskOutput struct {
		request
		TaskID string `json:"task_id" wire:"essential"`
	}
	// GetContextUsage asks what fills the context. The answer is a ContextUsageResponse.
	GetContextUsage struct {
		request
		Detail string `json:"detail,omitempty"` // ContextSummary or ContextFull
	}
	// GetSettings asks for the settings in force. The answer is a SettingsResponse.
	GetSettings struct {
		request
	}
	// ApplyFlagSettings changes settings of the layer of --settings for the running process. If one is invalid nothing is applied.
	ApplyFlagSettings struct {
		request
		Settings json.RawMessage `json:"settings" wire:"essential"` // an object
	}
	// UpdateSettings writes a settings file. The CLI takes few keys: outputStyle, effortLevel.
	UpdateSettings struct {
		request
		Source   string          `json:"source" wire:"essential"`   // localSettings, userSettings
		Settings json.RawMessage `json:"settings" wire:"essential"` // an object
	}
	// ListPermissionRules asks for the permission rules in force. The answer is a PermissionRulesResponse.
	ListPermissionRules struct {
		request
	}
	// GetHooksListing asks for the hooks of the settings.
	GetHooksListing struct {
		request
	}
	// GetSessionCost asks for the cost as a text. The answer is a TextResponse.
	GetSessionCost struct {
		request
	}
	// GetUsage asks what the session has used. The answer is a UsageResponse.
	GetUsage struct {
		request
		SkipBehaviors bool `json:"skip_behaviors,omitempty"`
	}
	// ListModels asks for the models. The answer is a ModelsResponse.
	ListModels struct {
		request
	}
	// GetBinaryVersion asks for the version of the CLI. The answer is a BinaryVersionResponse.
	GetBinaryVersion struct {
		request
	}
	// GetStatus asks for what the /status screen shows.
	GetStatus struct {
		request
	}
	// GetPlan asks for the plan of plan mode.
	GetPlan struct {
		request
	}
	// GetMemoryDialog asks for what the /memory screen shows.
	GetMemoryDialog struct {
		request
	}
	// GetSkillsDialog asks for what the /skills screen shows.
	GetSkillsDialog struct {
		request
	}
	// GetSandboxDialog asks for what the /sandbox screen shows.
	GetSandboxDialog struct {
		request
	}
	// ExportConversation asks for the conversation as a text.
	ExportConversation struct {
		request
	}
	// GetWorkspaceDiff asks for what has changed in the working directory.
	GetWorkspaceDiff struct {
		request
	}
	// FileSuggestions asks for files whose path is like the query.
	FileSuggestions struct {
		request
		Query string `json:"query"`
	}
	// ReadFile reads a file that the session may read. The answer is a ReadFileResponse; one that is missing and one that is forbidden are refused alike.
	ReadFile struct {
		request
		Path     string `json:"path" wire:"essential"`
		MaxBytes int64  `json:"max_bytes,omitempty"`
		Encoding string `json:"encoding,omitempty"` // utf-8, base64
	}
	// SeedReadState has the CLI take a file for read, so that it may be edited.
	SeedReadState struct {
		request
		Path  string `json:"path" wire:"essential"`
		MTime int64  `json:"mtime"` // milliseconds since 1970
	}
	// RegisterRepoRoot tells of a repository that was made since the start.
	RegisterRepoRoot struct {
		request
		Directory      string `json:"directory" wire:"essential"` // in the working directory
		ReloadClaudeMD bool   `json:"reload_claude_md,omitempty"`
		ReloadPlugins  bool   `json:"reload_plugins,omitempty"`
		ReloadSkills   bool   `json:"reload_skills,omitempty"`
	}
	// ReloadPlugins loads plugins anew. The answer is a ReloadPluginsResponse.
	ReloadPlugins struct {
		request
		AddPlugins        []PluginConfig `json:"add_plugins,omitempty"`
		HoldOnCacheImpact bool           `json:"hold_on_cache_impact,omitempty"`
		RefuseIfBusy      bool           `json:"refuse_if_busy,omitempty"`
	}
	// ReloadSkills looks for skills anew. The answer is a ReloadSkillsResponse.
	ReloadSkills struct {
		request
	}
	// ReloadOutputStyles looks for output styles anew.
	ReloadOutputStyles struct {
		request
	}
	// RenameSession gives the conversation a title.
	RenameSession struct {
		request
		Title     string `json:"title" wire:"essential"`
		Source    string `json:"source,omitempty"`     // host, remote
		SessionID string `json:"session_id,omitempty"` // empty: this one
	}
	// GenerateSessionTitle has the model make a title.
	GenerateSessionTitle struct {
		request
		Description string `json:"description" wire:"essential"`
		Persist     bool   `json:"persist,omitempty"`
	}
	// SideQuestion asks the model something beside the conversation. The answer is a SideQuestionResponse, after a model call.
	SideQuestion struct {
		request
		Question string `json:"question" wire:"essential"`
	}
	// CancelAsyncMessage takes back a prompt that waits. The answer is a CancelAsyncMessageResponse.
	CancelAsyncMessage struct {
		request
		MessageUUID string `json:"message_uuid" wire:"essential"`
	}
	// SetCWD changes the working directory. The answer says needs_trust unless the trust is attested.
	SetCWD struct {
		request
		Path             string `json:"path" wire:"essential"`
		TrustAccepted    bool   `json:"trust_accepted,omitempty"`
		TrustedDirectory string `json:"trusted_directory,omitempty"`
	}
	// SetHasSubscribers tells whether anybody reads.
	SetHasSubscribers struct {
		request
		HasSubscribers *bool `json:"has_subscribers"` // nil: not known
	}
)

// RequestSubtype is mcp_reconnect.
func (*MCPReconnect) RequestSubtype() string { return "mcp_reconnect" }

// RequestSubtype is mcp_toggle.
func (*MCPToggle) RequestSubtype() string { return "mcp_toggle" }

// RequestSubtype is mcp_call.
func (*MCPCall) RequestSubtype() string { return "mcp_call" }

// RequestSubtype is mcp_read_resource.
func (*MCPReadResource) RequestSubtype() string { return "mcp_read_resource" }

// RequestSubtype is mcp_authenticate.
func (*MCPAuthenticate) RequestSubtype() string { return "mcp_authenticate" }

// RequestSubtype is mcp_clear_auth.
func (*MCPClearAuth) RequestSubtype() string { return "mcp_clear_auth" }

// RequestSubtype is mcp_oauth_callback_url.
func (*MCPOAuthCallbackURL) RequestSubtype() string { return "mcp_oauth_callback_url" }

// RequestSubtype is set_mcp_permission_mode_override.
func (*SetMCPPermissionModeOverride) RequestSubtype() string {
	return "set_mcp_permission_mode_override"
}

// RequestSubtype is rewind_files.
func (*RewindFiles) RequestSubtype() string { return "rewind_files" }

// RequestSubtype is background_tasks.
func (*BackgroundTasks) RequestSubtype() string { return "background_tasks" }

// RequestSubtype is get_task_output.
func (*GetTaskOutput) RequestSubtype() string { return "get_task_output" }

// RequestSubtype is get_context_usage.
func (*GetContextUsage) RequestSubtype() string { return "get_context_usage" }

// RequestSubtype is get_settings.
func (*GetSettings) RequestSubtype() string { return "get_settings" }

// RequestSubtype is apply_flag_settings.
func (*ApplyFlagSettings) RequestSubtype() string { return "apply_flag_settings" }

// RequestSubtype is update_settings.
func (*UpdateSettings) RequestSubtype() string { return "update_settings" }

// RequestSubtype is list_permission_rules.
func (*ListPermissionRules) RequestSubtype() string { return "list_permission_rules" }

// RequestSubtype is get_hooks_listing.
func (*GetHooksListing) RequestSubtype() string { return "get_hooks_listing" }

// RequestSubtype is get_session_cost.
func (*GetSessionCost) RequestSubtype() string { return "get_session_cost" }

// RequestSubtype is get_usage.
func (*GetUsage) RequestSubtype() string { return "get_usage" }

// RequestSubtype is list_models.
func (*ListModels) RequestSubtype() string { return "list_models" }

// RequestSubtype is get_binary_version.
func (*GetBinaryVersion) RequestSubtype() string { return "get_binary_version" }

// RequestSubtype is get_status.
func (*GetStatus) RequestSubtype() string { return "get_status" }

// RequestSubtype is get_plan.
func (*GetPlan) RequestSubtype() string { return "get_plan" }

// RequestSubtype is get_memory_dialog.
func (*GetMemoryDialog) RequestSubtype() string { return "get_memory_dialog" }

// RequestSubtype is get_skills_dialog.
func (*GetSkillsDialog) RequestSubtype() string { return "get_skills_dialog" }

// RequestSubtype is get_sandbox_dialog.
func (*GetSandboxDialog) RequestSubtype() string { return "get_sandbox_dialog" }

// RequestSubtype is export_conversation.
func (*ExportConversation) RequestSubtype() string { return "export_conversation" }

// RequestSubtype is get_workspace_diff.
func (*GetWorkspaceDiff) RequestSubtype() string { return "get_workspace_diff" }

// RequestSubtype is file_suggestions.
func (*FileSuggestions) RequestSubtype() string { return "file_suggestions" }

// RequestSubtype is read_file.
func (*ReadFile) RequestSubtype() string { return "read_file" }

// RequestSubtype is seed_read_state.
func (*SeedReadState) RequestSubtype() string { return "seed_read_state" }

// RequestSubtype is register_repo_root.
func (*RegisterRepoRoot) RequestSubtype() string { return "register_repo_root" }

// RequestSubtype is reload_plugins.
func (*ReloadPlugins) RequestSubtype() string { return "reload_plugins" }

// RequestSubtype is reload_skills.
func (*ReloadSkills) RequestSubtype() string { return "reload_skills" }

// RequestSubtype is reload_output_styles.
func (*ReloadOutputStyles) RequestSubtype() string { return "reload_output_styles" }

// RequestSubtype is rename_session.
func (*RenameSession) RequestSubtype() string { return "rename_session" }

// RequestSubtype is generate_session_title.
func (*GenerateSessionTitle) RequestSubtype() string { return "generate_session_title" }

// RequestSubtype is side_question.
func (*SideQuestion) RequestSubtype() string { return "side_question" }

// RequestSubtype is cancel_async_message.
func (*CancelAsyncMessage) RequestSubtype() string { return "cancel_async_message" }

// RequestSubtype is set_cwd.
func (*SetCWD) RequestSubtype() string { return "set_cwd" }

// RequestSubtype is set_has_subscribers.
func (*SetHasSubscribers) RequestSubtype() string { return "set_has_subscribers" }

// Requests are what the CLI can be asked, as far as there are types for it: an empty one of each.
func Requests() []ControlBody {
	return []ControlBody{
		&Initialize{},
		&Interrupt{},
		&SetModel{},
		&SetPermissionMode{},
		&SetMaxThinkingTokens{},
		&MCPStatus{},
		&MCPSetServers{},
		&MCPMessage{},
		&StopTask{},
		&EndSession{},
		&MCPReconnect{},
		&MCPToggle{},
		&MCPCall{},
		&MCPReadResource{},
		&MCPAuthenticate{},
		&MCPClearAuth{},
		&MCPOAuthCallbackURL{},
		&SetMCPPermissionModeOverride{},
		&RewindFiles{},
		&BackgroundTasks{},
		&GetTaskOutput{},
		&GetContextUsage{},
		&GetSettings{},
		&ApplyFlagSettings{},
		&UpdateSettings{},
		&ListPermissionRules{},
		&GetHooksListing{},
		&GetSessionCost{},
		&GetUsage{},
		&ListModels{},
		&GetBinaryVersion{},
		&GetStatus{},
		&GetPlan{},
		&GetMemoryDialog{},
		&GetSkillsDialog{},
		&GetSandboxDialog{},
		&ExportConversation{},
		&GetWorkspaceDiff{},
		&FileSuggestions{},
		&ReadFile{},
		&SeedReadState{},
		&RegisterRepoRoot{},
		&ReloadPlugins{},
		&ReloadSkills{},
		&ReloadOutputStyles{},
		&RenameSession{},
		&GenerateSessionTitle{},
		&SideQuestion{},
		&CancelAsyncMessage{},
		&SetCWD{},
		&SetHasSubscribers{},
	}
}

// The details of GetContextUsage.
const (
	ContextSummary = "summary"
	ContextFull    = "full" // asks the API to count tokens
)
