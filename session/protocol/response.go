package protocol

import "encoding/json"

// What requests are answered with. These are read with ControlResponse.Unmarshal, whose other fields are in
// ControlResponse.Response.Payload.
type (
	// MCPStatusResponse answers MCPStatus.
	MCPStatusResponse struct {
		Servers []MCPServerStatus `json:"mcpServers"`
	}
	// MCPServerStatus is the state of an MCP server.
	MCPServerStatus struct {
		Name       string `json:"name"`
		Status     string `json:"status"` // connected, failed, needs-auth, pending, disabled
		ServerInfo *struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"serverInfo"`
		Error     string          `json:"error"`
		Config    json.RawMessage `json:"config"`
		Transport string          `json:"transport"`
		Scope     string          `json:"scope"`
		Source    string          `json:"source"`
		Tools     []struct {
			Name        string          `json:"name"`
			Description string          `json:"description"`
			Annotations json.RawMessage `json:"annotations"`
		} `json:"tools"`
	}
	// MCPSetServersResponse answers MCPSetServers. A server that fails is among Added all the same.
	MCPSetServersResponse struct {
		Added   []string          `json:"added"`
		Removed []string          `json:"removed"`
		Errors  map[string]string `json:"errors"`
	}
	// MCPReadResourceResponse answers MCPReadResource.
	MCPReadResourceResponse struct {
		Contents []struct {
			URI      string `json:"uri"`
			MIMEType string `json:"mimeType"`
			Text     string `json:"text"`
			Blob     string `json:"blob"` // base64
		} `json:"contents"`
	}
	// MCPCallResponse answers MCPCall: what the tool gave, as MCP has it.
	MCPCallResponse struct {
		Content           []json.RawMessage `json:"content"`
		StructuredContent json.RawMessage   `json:"structuredContent"`
		IsError           bool              `json:"isError"`
	}
	// MCPAuthenticateResponse answers MCPAuthenticate.
	MCPAuthenticateResponse struct {
		AuthURL            string `json:"authUrl"` // where a person has to go
		RequiresUserAction bool   `json:"requiresUserAction"`
	}
	// MCPPermissionModeResponse answers SetMCPPermissionModeOverride.
	MCPPermissionModeResponse struct {
		Warning string `json:"warning"` // there is no such server, yet
	}
	// RewindFilesResponse answers RewindFiles.
	RewindFilesResponse struct {
		CanRewind    bool     `json:"canRewind"`
		Error        string   `json:"error"`
		FilesChanged []string `json:"filesChanged"` // of a dry run
		Insertions   int      `json:"insertions"`
		Deletions    int      `json:"deletions"`
		SkippedLinks int      `json:"skippedLinks"`
	}
	// TaskOutputResponse answers GetTaskOutput.
	TaskOutputResponse struct {
		Output     string `json:"output"`
		TotalBytes int64  `json:"total_bytes"`
		Truncated  bool   `json:"truncated"`
	}
	// ContextUsageResponse answers GetContextUsage.
	ContextUsageResponse struct {
		Categories []struct {
			ID     string `json:"id"`
			Name   string `json:"name"`
			Tokens int    `json:"tokens"`
			Kind   string `json:"kind"` // used, free, buffer, deferred
		} `json:"categories"`
		TotalTokens          int     `json:"totalTokens"`
		MaxTokens            int     `json:"maxTokens"`    // what may fill up before the conversation is compacted
		RawMaxTokens         int     `json:"rawMaxTokens"` // the model's window
		Percentage           float64 `json:"percentage"`
		AutoCompactThreshold *int    `json:"autoCompactThreshold"`
		IsAutoCompactEnabled bool    `json:"isAutoCompactEnabled"`
		Model                string  `json:"model"`
		MemoryFiles          []struct {
			Path   string `json:"path"`
			Type   string `json:"type"`
			Tokens int    `json:"tokens"`
		} `json:"memoryFiles"`
		MCPTools []struct {
			Name       string `json:"name"`
			ServerName string `json:"serverName"`
			Tokens     int    `json:"tokens"`
			IsLoaded   *bool  `json:"isLoaded"`
		} `json:"mcpTools"`
		MCPInstructions []struct {
			ServerName string `json:"serverName"`
			Tokens     int    `json:"tokens"`
		} `json:"mcpInstructions"`
		SystemTools          []NamedTokens `json:"systemTools"`
		DeferredBuiltinTools []NamedTokens `json:"deferredBuiltinTools"`
		SystemPromptSections []NamedTokens `json:"systemPromptSections"`
		Agents               []struct {
			AgentType string `json:"agentType"`
			Source    string `json:"source"`
			PluginID  string `json:"pluginId"`
			Path      string `json:"path"`
			Tokens    int    `json:"tokens"`
		} `json:"agents"`
		SlashCommands    json.RawMessage `json:"slashCommands"`
		Skills           json.RawMessage `json:"skills"`
		MessageBreakdown json.RawMessage `json:"messageBreakdown"` // with ContextFull
		APIUsage         json.RawMessage `json:"apiUsage"`         // of the last model call
	}
	// NamedTokens is what one part of the context takes.
	NamedTokens struct {
		Name     string `json:"name"`
		Tokens   int    `json:"tokens"`
		IsLoaded *bool  `json:"isLoaded"` // of tools that are looked up when they are needed
	}
	// SettingsResponse answers GetSettings.
	SettingsResponse struct {
		Effective json.RawMessage   `json:"effective"`
		Sources   []json.RawMessage `json:"sources"`
		Applied   json.RawMessage   `json:"applied"` // model, effort, …
	}
	// PermissionRulesResponse answers ListPermissionRules.
	PermissionRulesResponse struct {
		State struct {
			Rules                []json.RawMessage `json:"rules"`
			WorkspaceDirectories []json.RawMessage `json:"workspaceDirectories"`
			OriginalCWD          string            `json:"originalCwd"`
			ManagedOnly          bool              `json:"managedOnly"`
		} `json:"state"`
	}
	// TextResponse answers GetSessionCost.
	TextResponse struct {
		Text string `json:"text"`
	}
	// UsageResponse answers GetUsage. Right after a resume it has what the conversation has cost before.
	UsageResponse struct {
		Session struct {
			TotalCostUSD       float64                    `json:"total_cost_usd"`
			TotalAPIDurationMS float64                    `json:"total_api_duration_ms"`
			TotalDurationMS    float64                    `json:"total_duration_ms"`
			TotalLinesAdded    int                        `json:"total_lines_added"`
			TotalLinesRemoved  int                        `json:"total_lines_removed"`
			ModelUsage         map[string]json.RawMessage `json:"model_usage"`
		} `json:"session"`
		SubscriptionType    *string         `json:"subscription_type"`
		RateLimitsAvailable bool            `json:"rate_limits_available"`
		RateLimits          json.RawMessage `json:"rate_limits"`
		Behaviors           json.RawMessage `json:"behaviors"` // of a subscription, by day and week
	}
	// ModelsResponse answers ListModels.
	ModelsResponse struct {
		Models []ModelInfo `json:"models"`
	}
	// ModelInfo is a model that a session can have.
	ModelInfo struct {
		Value                    string   `json:"value"`
		ResolvedModel            string   `json:"resolvedModel"`
		DisplayName              string   `json:"displayName"`
		Description              string   `json:"description"`
		SupportsEffort           bool     `json:"supportsEffort"`
		SupportedEffortLevels    []string `json:"supportedEffortLevels"`
		SupportsAdaptiveThinking bool     `json:"supportsAdaptiveThinking"`
		SupportsFastMode         bool     `json:"supportsFastMode"`
		SupportsAutoMode         bool     `json:"supportsAutoMode"`
	}
	// AgentInfo is an agent that a session has.
	AgentInfo struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Model       string `json:"model"`
	}
	// CommandInfo is a slash command that a session has.
	CommandInfo struct {
		Name         string   `json:"name"`
		Description  string   `json:"description"`
		ArgumentHint string   `json:"argumentHint"`
		Aliases      []string `json:"aliases"`
		Builtin      bool     `json:"builtin"`
	}
	// BinaryVersionResponse answers GetBinaryVersion.
	BinaryVersionResponse struct {
		Version string `json:"version"`
	}
	// ReadFileResponse answers ReadFile.
	ReadFileResponse struct {
		Contents  string `json:"contents"`
		AbsPath   string `json:"absPath"`
		Truncated bool   `json:"truncated"`
		Encoding  string `json:"encoding"`
		Lossy     bool   `json:"lossy"`
	}
	// ReloadPluginsResponse answers ReloadPlugins.
	ReloadPluginsResponse struct {
		Commands []CommandInfo `json:"commands"`
		Agents   []AgentInfo   `json:"agents"`
		Plugins  []struct {
			Name    string `json:"name"`
			Path    string `json:"path"`
			Version string `json:"version"`
		} `json:"plugins"`
		Servers     []MCPServerStatus `json:"mcpServers"`
		ErrorCount  int               `json:"error_count"`
		Held        bool              `json:"held"`         // nothing was loaded: the prompt's cache would have been lost
		CacheImpact json.RawMessage   `json:"cache_impact"` // why
	}
	// ReloadOutputStylesResponse answers ReloadOutputStyles.
	ReloadOutputStylesResponse struct {
		AvailableOutputStyles []string `json:"available_output_styles"`
	}
	// HooksListingResponse answers GetHooksListing: the hooks of settings and plugins, as texts to be shown.
	HooksListingResponse struct {
		Events       []HookEventInfo `json:"events"` // that have a hook
		Hooks        []HookInfo      `json:"hooks"`
		EventCatalog []HookEventInfo `json:"eventCatalog"` // all that there are
		Policy       struct {
			DisabledByPolicy bool `json:"disabledByPolicy"`
			ManagedOnly      bool `json:"managedOnly"`
			PluginOnly       bool `json:"pluginOnly"`
			AllDisabled      bool `json:"allDisabled"`
		} `json:"policy"`
		SafeMode json.RawMessage `json:"safeMode"`
		BareMode json.RawMessage `json:"bareMode"`
		Errors   json.RawMessage `json:"errors"` // of settings files
	}
	// HookEventInfo is an event of hooks.
	HookEventInfo struct {
		Name            string `json:"name"`
		Summary         string `json:"summary"`
		SupportsMatcher bool   `json:"supportsMatcher"`
		HookCount       int    `json:"hookCount"`
	}
	// HookInfo is a hook of settings or of a plugin.
	HookInfo struct {
		Event         string   `json:"event"`
		Matcher       string   `json:"matcher"`
		Source        string   `json:"source"` // userSettings, pluginHook, …
		SourceLabel   string   `json:"sourceLabel"`
		PluginName    string   `json:"pluginName"`
		Type          string   `json:"type"` // command, prompt, agent, http, mcp_tool
		DisplayText   string   `json:"displayText"`
		CommandText   string   `json:"commandText"` // what runs
		Condition     string   `json:"condition"`
		Timeout       *float64 `json:"timeout"` // seconds
		StatusMessage string   `json:"statusMessage"`
	}
	// ReloadSkillsResponse answers ReloadSkills.
	ReloadSkillsResponse struct {
		Skills []CommandInfo `json:"skills"`
	}
	// SideQuestionResponse answers SideQuestion. Nil: the model gave none.
	SideQuestionResponse struct {
		Response *string `json:"response"`
	}
	// SessionTitleResponse answers GenerateSessionTitle. Nil: the model gave none.
	SessionTitleResponse struct {
		Title *string `json:"title"`
	}
	// RepoRootResponse answers RegisterRepoRoot.
	RepoRootResponse struct {
		Directory string `json:"directory"` // links resolved
	}
	// CancelAsyncMessageResponse answers CancelAsyncMessage.
	CancelAsyncMessageResponse struct {
		Cancelled bool `json:"cancelled"`
	}
	// SetCWDResponse answers SetCWD.
	SetCWDResponse struct {
		Status  string `json:"status"` // ok; needs_trust: nothing has changed
		CWD     string `json:"cwd"`
		Changed bool   `json:"changed"`
	}
)

// Usage reads the answer to GetUsage.
func (m *ControlResponse) Usage() (*UsageResponse, error) {
	var r UsageResponse
	return &r, m.Unmarshal(&r)
}
