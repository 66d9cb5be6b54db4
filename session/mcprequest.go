package session

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/understudy-run/understudy/session/protocol"
)

// MCPStatus is the state of the MCP servers.
func (s *Session) MCPStatus(ctx context.Context) (*protocol.MCPStatusResponse, error) {
	return ask[protocol.MCPStatusResponse](ctx, s, &protocol.MCPStatus{})
}

// MCPReconnect connects an MCP server anew. One in this program is refused.
func (s *Session) MCPReconnect(ctx context.Context, server string) error {
	_, err := s.Control(ctx, &protocol.MCPReconnect{ServerName: server})
	return err
}

// MCPToggle switches an MCP server on or off, also after restarts.
func (s *Session) MCPToggle(ctx context.Context, server string, enabled bool) error {
	return s.change(ctx, &protocol.MCPToggle{ServerName: server, Enabled: enabled}, func(r *record) { r.Toggled = with(r.Toggled, server, enabled) })
}

// MCPReadResource reads a resource of an MCP server.
func (s *Session) MCPReadResource(ctx context.Context, server, uri string) (*protocol.MCPReadResourceResponse, error) {
	return ask[protocol.MCPReadResourceResponse](ctx, s, &protocol.MCPReadResource{ServerName: server, URI: uri})
}

// MCPCall calls a tool of an MCP server without the model, by its full name (mcp__SERVER__TOOL); arguments are marshalled to a
// JSON object. Nobody is asked for permission, and the audit log has it as nobody's tool use: it is this program that calls. A tool in this program is refused.
func (s *Session) MCPCall(ctx context.Context, tool string, arguments any) (*protocol.MCPCallResponse, error) {
	raw, err := json.Marshal(arguments)
	if err != nil {
		return nil, fmt.Errorf("session %s: arguments of %s: %w", s.name, tool, err)
	}
	if arguments == nil {
		raw = nil
	}
	return ask[protocol.MCPCallResponse](ctx, s, &protocol.MCPCall{Tool: tool, Arguments: raw})
}

// MCPAuthenticate begins the OAuth flow of an MCP server on the network. A person has to visit the address that it gives; what
// that leads back to goes to MCPOAuthCallback.
func (s *Session) MCPAuthenticate(ctx context.Context, server string) (*protocol.MCPAuthenticateResponse, error) {
	return ask[protocol.MCPAuthenticateResponse](ctx, s, &protocol.MCPAuthenticate{ServerName: server})
}

// MCPOAuthCallback ends the OAuth flow of an MCP server with the address that the person was led back to.
func (s *Session) MCPOAuthCallback(ctx context.Context, server, address string) error {
	_, err := s.Control(ctx, &protocol.MCPOAuthCallbackURL{ServerName: server, CallbackURL: address})
	return err
}

// MCPClearAuth forgets the credentials of an MCP server.
func (s *Session) MCPClearAuth(ctx context.Context, server string) error {
	_, err := s.Control(ctx, &protocol.MCPClearAuth{ServerName: server})
	return err
}

// SetMCPPermissionMode has the tools of one MCP server asked about (protocol.ModeDefault) or judged (protocol.ModeAuto) where the
// session's mode would let them run; an empty mode takes that back. It can only tighten. It holds for a server that is not there
// yet, and after restarts.
func (s *Session) SetMCPPermissionMode(ctx context.Context, server string, mode protocol.PermissionMode) error {
	body := &protocol.SetMCPPermissionModeOverride{ServerName: server}
	if mode != "" {
		body.Mode = &mode
	}
	return s.change(ctx, body, func(r *record) {
		r.MCPModes = maps.Clone(r.MCPModes)
		if mode == "" {
			delete(r.MCPModes, server)
		} else {
			r.MCPModes = with(r.MCPModes, server, mode)
		}
	})
}

// SetMCPServers replaces the MCP servers that were set at run time; those of Options that are in this program stay. They are set
// again after restarts of the process, not of the program: their secrets are not written to disk.
func (s *Session) SetMCPServers(ctx context.Context, servers map[string]MCPServer) (*protocol.MCPSetServersResponse, error) {
	for name, server := range servers {
		var problem error
		server.problems(name, func(option string, value any, expected string) {
			problem = cmp.Or(problem, error(Problem{Path: option, Value: fmt.Sprint(value), Message: "expected " + expected}))
		})
		if problem == nil && server.transport() == MCPInProcess && s.spec.Options.MCPServers[name].Host != server.Host {
			problem = fmt.Errorf("mcp_servers.%s: a server in this program has to be among Options.MCPServers", name)
		}
		if problem != nil {
			return nil, fmt.Errorf("session %s: %w", s.name, problem)
		}
	}
	body, err := s.spec.Options.setServers(servers)
	if err != nil {
		return nil, err
	}
	response, err := ask[protocol.MCPSetServersResponse](ctx, s, body)
	if err == nil {
		s.desk.update(func(*record, *Info) { s.desk.servers = maps.Clone(servers) })
	}
	return response, err
}

// setServers is the request that sets servers beside those of the options in this program, which it would take away otherwise.
func (o Options) setServers(servers map[string]MCPServer) (*protocol.MCPSetServers, error) {
	all := maps.Clone(servers)
	if all == nil {
		all = make(map[string]MCPServer)
	}
	for name, server := range o.MCPServers {
		if server.transport() == MCPInProcess {
			all[name] = server
		}
	}
	raw, err := rawValues(all, func(name string, s MCPServer) (protocol.MCPServerConfig, bool) { return s.wire(name), true })
	if raw == nil {
		raw = map[string]json.RawMessage{}
	}
	return &protocol.MCPSetServers{Servers: raw}, err
}
