// Package tool makes Go functions tools that an agent can call, through the Model Context Protocol, without a process or a
// connection of their own:
//
//	weather := tool.NewServer("weather", "1.0.0")
//	tool.Add(weather, "forecast", "The forecast for a city.",
//		func(ctx context.Context, in struct {
//			City string `json:"city" jsonschema:"the city's name"`
//		}) (string, error) {
//			return lookUp(ctx, in.City)
//		})
//	options.MCPServers = map[string]session.MCPServer{"weather": {Host: weather}}
//
// The agent sees it as mcp__weather__forecast. Input and output schemas come from the Go types. Like any other tool it is asked
// about unless a rule allows it (AllowedTools: mcp__weather), and its uses are in the audit log.
//
// # Failures
//
// An error that a function returns, and a panic, become the tool's error, which the agent sees; the session goes on. The context
// ends when the agent is interrupted, when the CLI gives the call up, and when the session's process ends.
//
// # Concurrency
//
// Functions may be called at the same time, by one session and by several that share a server.
package tool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/understudy-run/understudy/session"
)

// Server is an MCP server in this program: a session.MCPHost. The server of the MCP SDK in it takes everything else that a server
// can have: resources, prompts, tools with content of other kinds.
type Server struct {
	*mcp.Server
}

// NewServer makes a server without tools.
func NewServer(name, version string) *Server {
	return &Server{mcp.NewServer(&mcp.Implementation{Name: name, Version: version}, nil)}
}

// Wrap makes a server of the MCP SDK one that a session can have.
func Wrap(server *mcp.Server) *Server { return &Server{server} }

// Add makes a function a tool. In must be a struct or a map; its fields' json names are the tool's parameters, and what a jsonschema tag
// says is their description. Out may be a string, which is the tool's text, or anything that can be written as JSON. It panics
// if no schema can be made of In, or if a tool of that name is no valid one.
//
// A text of more than some 50,000 characters is kept in a file by the CLI, of which the agent is told.
func Add[In, Out any](s *Server, name, description string, f func(context.Context, In) (Out, error)) {
	mcp.AddTool(s.Server, &mcp.Tool{Name: name, Description: description},
		func(ctx context.Context, _ *mcp.CallToolRequest, in In) (result *mcp.CallToolResult, _ any, err error) {
			defer func() {
				if v := recover(); v != nil {
					result, err = nil, fmt.Errorf("tool %s panicked: %v", name, v)
				}
			}()
			out, err := f(ctx, in)
			if err != nil {
				return nil, nil, err
			}
			text, isText := any(out).(string)
			if !isText {
				data, err := json.Marshal(out)
				if err != nil {
					return nil, nil, fmt.Errorf("write the result of %s: %w", name, err)
				}
				text = string(data)
			}
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, nil
		})
}

// Connection is a connection to a server for one process of a session.
type Connection struct {
	incoming chan jsonrpc.Message
	send     func(json.RawMessage)
	done     chan struct{}
	close    func() error
}

// maxWaiting is how many messages may wait for the server to read them. It reads without waiting for its tools.
const maxWaiting = 256

// ConnectMCP is for sessions.
func (s *Server) ConnectMCP(ctx context.Context, send func(json.RawMessage)) (_ session.MCPConnection, err error) {
	defer func() { // a server that was put together wrongly is not to end the program
		if v := recover(); v != nil {
			err = fmt.Errorf("connect MCP server: panic: %v\n%s", v, debug.Stack())
		}
	}()
	c := &Connection{incoming: make(chan jsonrpc.Message, maxWaiting), send: send, done: make(chan struct{})}
	c.close = sync.OnceValue(func() error { close(c.done); return nil })
	server, err := s.Connect(ctx, transport{c}, nil)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = c.close(); _ = server.Close() }) // nobody is there to be told
	return c, nil
}

// Receive takes a JSON-RPC message from the CLI.
func (c *Connection) Receive(raw json.RawMessage) error {
	message, err := jsonrpc.DecodeMessage(raw)
	if err != nil {
		return err
	}
	select {
	case c.incoming <- message:
		return nil
	case <-c.done:
		return errors.New("the connection is closed")
	default:
		return errors.New("the server does not read its messages")
	}
}

// Close ends the connection.
func (c *Connection) Close() error { return c.close() }

// transport gives the SDK the connection.
type transport struct{ c *Connection }

func (t transport) Connect(context.Context) (mcp.Connection, error) { return wire(t), nil }

// wire is the connection as the SDK sees it.
type wire struct{ c *Connection }

func (w wire) Read(ctx context.Context) (jsonrpc.Message, error) {
	select {
	case m := <-w.c.incoming:
		return m, nil
	case <-w.c.done:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (w wire) Write(_ context.Context, m jsonrpc.Message) error {
	raw, err := jsonrpc.EncodeMessage(m)
	if err != nil {
		return err
	}
	select {
	case <-w.c.done:
		return io.ErrClosedPipe
	default:
	}
	w.c.send(raw)
	return nil
}

func (w wire) Close() error { return w.c.close() }

func (w wire) SessionID() string { return "" }
