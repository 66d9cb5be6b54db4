package sessiontest

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// mcpServer is an MCP server in the host: JSON-RPC goes to it in control requests, and comes back in their answers. Or it is one
// on the network.
type mcpServer struct {
	name   string
	failed string // why it could not be connected to
	info   json.RawMessage
	tools  []mcpTool

	network *networkConfig // nil for one in the host
	session *mcp.ClientSession
	hangUp  func() // nil if it was not connected to
}

type mcpTool struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"inputSchema"`
}

// wireName is what the model calls a tool.
func (m *mcpServer) wireName(tool string) string { return "mcp__" + m.name + "__" + tool }

// connect shakes hands with servers of the host, and asks which tools they have. The CLI does it before it answers initialize.
func (s *simulation) connect(names []string) {
	s.servers = nil
	for _, name := range names {
		m := &mcpServer{name: name}
		s.servers = append(s.servers, m)
		var hello struct {
			ServerInfo json.RawMessage `json:"serverInfo"`
		}
		if m.failed = s.rpc(m, "initialize", frame{
			"protocolVersion": "2025-11-25", "capabilities": frame{}, "clientInfo": frame{"name": "claude-code", "version": version},
		}, &hello); m.failed != "" {
			continue
		}
		m.info = hello.ServerInfo
		s.notify(m, "notifications/initialized", frame{})
		var list struct {
			Tools []mcpTool `json:"tools"`
		}
		m.failed = s.rpc(m, "tools/list", frame{}, &list)
		m.tools = list.Tools
	}
}

// rpc calls a server and reads its result into to. It says why there is none: the server's error, or that nobody answered.
func (s *simulation) rpc(m *mcpServer, method string, params frame, to any) (failed string) {
	s.rpcs++
	id := s.rpcs
	r := s.ask(frame{"subtype": "mcp_message", "server_name": m.name, "message": frame{
		"jsonrpc": "2.0", "id": id, "method": method, "params": params,
	}})
	if !s.await(r.settled) {
		// Not taken back by control_cancel_request, but in the protocol's own way.
		s.notify(m, "notifications/cancelled", frame{"requestId": id, "reason": "interrupted"})
		return interruptedCall
	}
	var answer struct {
		Response struct {
			Result json.RawMessage `json:"result"`
			Error  *struct {
				Code    int    `json:"code"`
				Message string `json:"message"`
			} `json:"error"`
		} `json:"mcp_response"`
	}
	switch {
	case r.closed:
		return "Connection closed"
	case r.failure != "":
		return r.failure
	case json.Unmarshal(r.response, &answer) != nil:
		return "the host's answer is no mcp_response"
	case answer.Response.Error != nil:
		return "MCP error " + strconv.Itoa(answer.Response.Error.Code) + ": " + answer.Response.Error.Message
	case json.Unmarshal(answer.Response.Result, to) != nil:
		return "the server's result to " + method + " cannot be read"
	}
	return ""
}

// interruptedCall is what rpc says of a call that the turn's interruption cut off.
const interruptedCall = "interrupted"

// notify tells a server something. The host acknowledges it, which nobody waits for.
func (s *simulation) notify(m *mcpServer, method string, params frame) {
	s.ask(frame{"subtype": "mcp_message", "server_name": m.name, "message": frame{"jsonrpc": "2.0", "method": method, "params": params}})
}

// hostTool finds a tool of a server by the name that the model uses.
func (s *simulation) hostTool(name string) (*mcpServer, string) {
	for _, m := range s.servers {
		for _, tool := range m.tools {
			if m.wireName(tool.Name) == name {
				return m, tool.Name
			}
		}
	}
	return nil, ""
}

// callHost has a server run a tool.
func (s *simulation) callHost(m *mcpServer, tool string, use *toolUse) toolOutcome {
	if m.network != nil {
		return s.callNetwork(m, tool, use)
	}
	var result struct {
		Content []struct {
			Type string `json:"type"`
			Text string `json:"text"`
		} `json:"content"`
		IsError bool `json:"isError"`
	}
	failed := s.rpc(m, "tools/call", frame{"name": tool, "arguments": use.input, "_meta": frame{"claudecode/toolUseId": use.id}}, &result)
	switch failed {
	case "":
	case interruptedCall:
		return interruptedOutcome(stoppedRunning)
	default:
		return toolFailure(failed, nil)
	}
	var text []string
	for _, block := range result.Content {
		if block.Type == "text" {
			text = append(text, block.Text)
		}
	}
	all := strings.Join(text, "\n")
	if result.IsError {
		return toolFailure(all, nil)
	}
	return toolOutcome{content: all, structured: result.Content}
}

// serverList is what system/init says about servers, and mcp_status with more of it.
func (s *simulation) serverList(status bool) []any {
	list := []any{}
	for _, m := range s.servers {
		f := frame{"name": m.name, "status": "connected", "source": "sdk"}
		if m.network != nil {
			f["source"] = "dynamic"
		}
		if m.failed != "" {
			f["status"] = "failed"
		}
		if status {
			tools := []any{}
			for _, tool := range m.tools {
				tools = append(tools, frame{"name": tool.Name, "description": tool.Description, "annotations": frame{}})
			}
			f["tools"], f["transport"], f["scope"] = tools, "sdk", "dynamic"
			f["config"] = frame{"type": "sdk", "name": m.name}
			if m.network != nil {
				f["transport"], f["config"] = m.network.Type, frame{"type": m.network.Type, "url": m.network.URL}
			}
			if m.info != nil {
				f["serverInfo"] = m.info
			}
			if m.failed != "" {
				f["error"] = m.failed
			}
		}
		list = append(list, f)
	}
	return list
}
