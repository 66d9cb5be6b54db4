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
		TotalTokens int     `json:"totalTokens"`
		MaxTokens   int     `json:"maxTokens"`
		Percentage  float64 `json:"percentage"`
		Model       string  `json:"model"`
		MemoryFiles []struct {
			Path   string `json:"path"`
			Type   string `json:"type"`
			Tokens int    `json:"tokens"`
		} `json:"memoryFiles"`
		MCPTools []struct {
			Name       string `json:"name"`
			ServerName string `json:"serverName"`
			Tokens     int    `json:"tokens"`
		} `json:"mcpTools"`
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
		Servers    []MCPServerStatus `json:"mcpServers"`
		ErrorCount int               `json:"error_count"`
		Held       bool              `json:"held"`
	}
	// ReloadSkillsResponse answers ReloadSkills.
	ReloadSkillsResponse struct {
		Skills []CommandInfo `json:"skills"`
	}
	// SideQuestionResponse answers SideQuestion. Nil: the model gave none.
	SideQuestionResponse struct {
		Response *string `json:"response"`
	}
	// CancelAsyncMessageResponse answers CancelAsyncMessage.
	CancelAsyncMessageResponse struct {
		Cancelled bool `json:"cancelled"`
	}
	// SetCWDResponse answers SetCWD.
	SetCWDResponse struct {
		Status string `json:"status"` // needs_trust: nothing has changed
	}
)

// Usage reads the answer to GetUsage.
func (m *ControlResponse) Usage() (*UsageResponse, error) {
	var r UsageResponse
	return &r, m.Unmarshal(&r)
}
