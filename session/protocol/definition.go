package protocol

// AgentDefinition is a subagent, as Initialize carries it.
type AgentDefinition struct {
	Description       string         `json:"description"`
	Prompt            string         `json:"prompt"`
	Tools             []string       `json:"tools,omitempty"`
	DisallowedTools   []string       `json:"disallowedTools,omitempty"`
	Model             string         `json:"model,omitempty"`
	Effort            string         `json:"effort,omitempty"`
	PermissionMode    PermissionMode `json:"permissionMode,omitempty"`
	MaxTurns          int            `json:"maxTurns,omitempty"`
	Skills            []string       `json:"skills,omitempty"`
	MCPServers        []string       `json:"mcpServers,omitempty"`
	InitialPrompt     string         `json:"initialPrompt,omitempty"`
	Background        bool           `json:"background,omitempty"`
	Memory            string         `json:"memory,omitempty"`
	OmitClaudeMD      bool           `json:"omitClaudeMd,omitempty"`
	AutoCompactWindow int            `json:"autoCompactWindow,omitempty"`
	Observer          string         `json:"observer,omitempty"`
	ObserverMessage   string         `json:"observerMessage,omitempty"`
	Isolation         string         `json:"isolation,omitempty"`
}

// MCPServerConfig is an MCP server that the CLI runs or connects to, as Initialize and MCPSetServers carry it. One in
// the host is {"type": "sdk", "name": NAME} in MCPSetServers.
type MCPServerConfig struct {
	Type       string            `json:"type"` // stdio, sse, http, sdk
	Name       string            `json:"name,omitempty"`
	Command    string            `json:"command,omitempty"`
	Args       []string          `json:"args,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	URL        string            `json:"url,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
	Timeout    int64             `json:"timeout,omitempty"` // milliseconds per tool call; below 1000 it is ignored
	AlwaysLoad *bool             `json:"alwaysLoad,omitempty"`
	Tools      []MCPToolPolicy   `json:"tools,omitempty"`
}

// MCPToolPolicy is what the host says about one tool of an MCP server. CLI 2.1.330 heeds always_ask and always_deny, of servers in
// the host alone.
type MCPToolPolicy struct {
	Name             string `json:"name"`
	PermissionPolicy string `json:"permission_policy,omitempty"`  // always_allow, always_ask, always_deny
	OrgMaxPermission string `json:"org_max_permission,omitempty"` // allow, ask, blocked
}

// PluginConfig is a plugin that ReloadPlugins loads.
type PluginConfig struct {
	wire
	Type             string `json:"type"` // local
	Path             string `json:"path"` // absolute
	SkipMCPDiscovery bool   `json:"skipMcpDiscovery,omitempty"`
}

// SDKMCPServerConfig is what Initialize says about an MCP server in the host.
type SDKMCPServerConfig struct {
	Timeout int64           `json:"timeout,omitempty"` // as of MCPServerConfig
	Tools   []MCPToolPolicy `json:"tools,omitempty"`
}
