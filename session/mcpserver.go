package session

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/understudy-run/understudy/session/protocol"
)

// MCPTransport is how the CLI reaches an MCP server.
type MCPTransport string

// The transports of MCP servers.
const (
	MCPStdio     MCPTransport = "stdio"      // a program that the CLI runs
	MCPSSE       MCPTransport = "sse"        // a server on the network, of the older kind
	MCPHTTP      MCPTransport = "http"       // a server on the network (streamable HTTP)
	MCPInProcess MCPTransport = "in_process" // in this program; see Host
)

// MCPServer is one server of Options.MCPServers. Which fields it needs is said by Type.
type MCPServer struct {
	// Type is stdio, sse, http or in_process. Empty: stdio with a Command, in_process with a Host.
	Type MCPTransport `json:"type,omitzero"`
	// Command is the program of a stdio server, with Args, and Env added to the CLI's environment.
	Command string            `json:"command,omitzero"`
	Args    []string          `json:"args,omitzero"`
	Env     map[string]Secret `json:"env,omitzero"`
	// URL is where an sse or http server is, with Headers sent to it.
	URL     string            `json:"url,omitzero"`
	Headers map[string]Secret `json:"headers,omitzero"`
	// Timeout bounds each call of a tool, at least 1s. Zero: the CLI's default, and none in this process.
	Timeout time.Duration `json:"timeout,omitzero"`
	// AlwaysLoad true puts all tools into the prompt, and waits for the server at the start; false has all of them
	// looked up when they are needed. nil: the CLI decides.
	AlwaysLoad *bool `json:"always_load,omitzero"`
	// Tools tighten what rules and mode say about single tools of an in_process server. For those of others DisallowedTools does:
	// CLI 2.1.330 takes this for them as well, and does not heed it.
	Tools []MCPTool `json:"tools,omitzero"`
	// Host is a server in this program: see package session/tool.
	Host MCPHost `json:"-"`
}

// MCPTool says whether one tool of an MCP server may be used.
type MCPTool struct {
	// Name is its name at the server, without mcp__SERVER__.
	Name string `json:"name,omitzero"`
	// Permission is MCPToolAsk or MCPToolDeny.
	Permission MCPToolPermission `json:"permission,omitzero"`
}

// MCPToolPermission is what is said about one tool.
type MCPToolPermission string

// What can be said about a tool. To allow one is a rule's business: the CLI does not heed it here.
const (
	MCPToolAsk  MCPToolPermission = "ask"  // it is asked about, although a rule or the mode allows it
	MCPToolDeny MCPToolPermission = "deny" // it is denied, although one allows it
)

// MCPHost is an MCP server in this program.
type MCPHost interface {
	// ConnectMCP begins a connection for one process of a session; after a restart there is another one. send passes a JSON-RPC
	// message to the CLI, from any goroutine; it does not block. Cancelling ctx ends the connection.
	ConnectMCP(ctx context.Context, send func(json.RawMessage)) (MCPConnection, error)
}

// MCPConnection is a connection to an MCP server in this program.
type MCPConnection interface {
	// Receive takes a JSON-RPC message from the CLI. It does not wait for what the message asks for.
	Receive(json.RawMessage) error
	// Close ends what is going on.
	Close() error
}

// transport is Type with its default.
func (s MCPServer) transport() MCPTransport {
	switch {
	case s.Type != "":
		return s.Type
	case s.Host != nil:
		return MCPInProcess
	}
	return MCPStdio
}

var serverName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (s MCPServer) problems(name string, add func(option string, value any, expected string)) {
	at := "mcp_servers." + name
	if !serverName.MatchString(name) {
		add("mcp_servers", cut(name, 80), "a name of up to 64 letters, digits, dashes and underscores: it is part of the tools' names")
	}
	kind := s.transport()
	only := func(option string, set bool, kinds ...MCPTransport) {
		if set && !slices.Contains(kinds, kind) {
			add(at+"."+option, "is set", fmt.Sprintf("none for a server of type %s", kind))
		}
	}
	only("command", s.Command != "", MCPStdio)
	only("args", s.Args != nil, MCPStdio)
	only("env", s.Env != nil, MCPStdio)
	only("url", s.URL != "", MCPSSE, MCPHTTP)
	only("headers", s.Headers != nil, MCPSSE, MCPHTTP)
	only("Host", s.Host != nil, MCPInProcess)
	only("tools", s.Tools != nil, MCPInProcess)
	for i, tool := range s.Tools {
		if tool.Name == "" {
			add(fmt.Sprintf("%s.tools[%d].name", at, i), `""`, "the tool's name at the server")
		}
		if tool.Permission != MCPToolAsk && tool.Permission != MCPToolDeny {
			add(fmt.Sprintf("%s.tools[%d].permission", at, i), tool.Permission, "ask or deny")
		}
	}
	switch kind {
	case MCPStdio:
		if s.Command == "" {
			add(at+".command", `""`, "the program to run")
		}
	case MCPSSE, MCPHTTP:
		if u, err := url.Parse(s.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			add(at+".url", "is not one", "http:// or https:// and a host") // it may hold a token
		}
	case MCPInProcess:
		if s.Host == nil {
			add(at+".type", kind, "a Host, which only Go code can give (package session/tool)")
		}
	default:
		add(at+".type", cut(string(kind), 40), "stdio, sse, http or in_process")
	}
	if s.Timeout != 0 && s.Timeout < time.Second {
		add(at+".timeout", s.Timeout, "1s or more: the CLI ignores less")
	}
}

// wire is the server as the CLI wants it, for one that it runs or connects to.
func (s MCPServer) wire(name string) protocol.MCPServerConfig {
	c := protocol.MCPServerConfig{
		Type: string(s.transport()), Command: s.Command, Args: s.Args, URL: s.URL,
		Env: revealed(s.Env), Headers: revealed(s.Headers), Timeout: s.Timeout.Milliseconds(), AlwaysLoad: s.AlwaysLoad,
		Tools: s.policies(),
	}
	if s.transport() == MCPInProcess {
		c.Type, c.Name = "sdk", name
	}
	return c
}

func (s MCPServer) policies() (all []protocol.MCPToolPolicy) {
	for _, tool := range s.Tools {
		all = append(all, protocol.MCPToolPolicy{Name: tool.Name, PermissionPolicy: "always_" + string(tool.Permission)})
	}
	return all
}

func revealed(secrets map[string]Secret) map[string]string {
	if secrets == nil {
		return nil
	}
	out := make(map[string]string, len(secrets))
	for name, value := range maps.All(secrets) {
		out[name] = value.Reveal()
	}
	return out
}
