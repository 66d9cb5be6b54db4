package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session/protocol"
)

// hosted is an MCP server in this program, for one process.
type hosted struct {
	incoming chan incoming
	cancel   context.CancelFunc
	pending  map[string]string // the control request that waits, by the JSON-RPC id of what it carries
}

// incoming is a JSON-RPC message on its way to a server.
type incoming struct {
	id     string // JSON-RPC, empty for a notification
	method string
	raw    json.RawMessage
}

// rpc is what has to be known of a JSON-RPC message.
type rpc struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		RequestID json.RawMessage `json:"requestId"`
	} `json:"params"`
}

// The codes of JSON-RPC errors.
const (
	rpcInternal  = -32603
	rpcCancelled = -32800
)

// onMCPMessage passes a message to a server in this program. A request is answered when the server answers it; a notification
// at once. The first ones come before the handshake is answered.
func (l *loop) onMCPMessage(c *actor.Context[message], request string, body *protocol.MCPMessage) {
	host := l.options.MCPServers[body.ServerName].Host
	if host == nil {
		l.send(c, protocol.NewControlError(request, fmt.Sprintf("there is no MCP server %q in this program", body.ServerName)))
		return
	}
	var m rpc
	if err := json.Unmarshal(body.Message, &m); err != nil {
		l.send(c, protocol.NewControlError(request, "not a JSON-RPC message: "+err.Error()))
		return
	}
	server := l.hosted[body.ServerName]
	if server == nil {
		server = l.host(c, body.ServerName, host)
	}
	id := string(m.ID)
	if id != "" {
		server.pending[id] = request
	} else {
		if m.Method == "notifications/cancelled" { // the server will not answer that any more
			l.failRPC(c, server, string(m.Params.RequestID), rpcCancelled, "cancelled")
		}
		l.reply(c, request, protocol.MCPResponse{Response: json.RawMessage(`{"jsonrpc":"2.0","id":0,"result":{}}`)})
	}
	select {
	case server.incoming <- incoming{id, m.Method, body.Message}:
	default:
		l.failRPC(c, server, id, rpcInternal, "the server does not read its messages")
	}
}

// host begins to serve an MCP server for this process.
func (l *loop) host(c *actor.Context[message], name string, host MCPHost) *hosted {
	ctx, cancel := context.WithCancel(context.Background())
	server := &hosted{incoming: make(chan incoming, 256), cancel: cancel, pending: make(map[string]string)}
	l.hosted[name] = server
	self := c.Self()
	c.Go("MCP server "+name, func(actorCtx context.Context) message {
		defer context.AfterFunc(actorCtx, cancel)()
		defer cancel()
		serveMCP(ctx, host, server.incoming, func(m rpcSent) {
			m.server = name
			_ = self.SendWait(ctx, m) // the actor has ended, and with it who asked
		})
		return processGone{}
	})
	return server
}

// serveMCP passes messages to a server, one after the other, until ctx ends. Each initialize is a new connection.
func serveMCP(ctx context.Context, host MCPHost, messages <-chan incoming, send func(rpcSent)) {
	var connection MCPConnection
	end := func() {}
	defer func() { end() }()
	connect := func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("it panicked: %v", v)
			}
		}()
		end()
		connected, cancel := context.WithCancel(ctx)
		connection, err = host.ConnectMCP(connected, func(raw json.RawMessage) { send(rpcSent{raw: raw}) })
		if err == nil && connection == nil {
			err = errors.New("it gave no connection")
		}
		if err != nil {
			cancel()
			connection = nil
			return err
		}
		this := connection
		end = func() {
			cancel()
			_ = this.Close() // it ends, whatever it says
		}
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-messages:
			var err error
			if connection == nil || m.method == "initialize" {
				err = connect()
			}
			if err == nil {
				err = connection.Receive(m.raw)
			}
			if err != nil {
				send(rpcSent{failed: m.id, err: err})
			}
		}
	}
}

// onRPCSent takes what a server says: an answer, or something of its own.
func (l *loop) onRPCSent(c *actor.Context[message], m rpcSent) {
	server := l.hosted[m.server]
	if server == nil || l.process == nil {
		return
	}
	if m.err != nil {
		l.log.Error().Err(m.err).Str("server", m.server).Msg("MCP server failed")
		l.failRPC(c, server, m.failed, rpcInternal, m.err.Error())
		return
	}
	var r rpc
	if err := json.Unmarshal(m.raw, &r); err != nil {
		l.log.Error().Err(err).Str("server", m.server).Msg("MCP server said what is no JSON-RPC message")
		return
	}
	if r.Method == "" {
		request, waits := server.pending[string(r.ID)]
		if !waits {
			return // it was cancelled
		}
		delete(server.pending, string(r.ID))
		l.reply(c, request, protocol.MCPResponse{Response: m.raw})
		return
	}
	l.request(c, &protocol.MCPMessage{ServerName: m.server, Message: m.raw}, l.options.ControlTimeout,
		func(_ *actor.Context[message], answer *protocol.ControlResponse, err error) {
			if err == nil {
				err = answer.Err()
			}
			if err != nil && !errors.Is(err, ErrNotRunning) {
				l.log.Warn().Err(err).Str("server", m.server).Str("method", r.Method).Msg("CLI did not take an MCP server's message")
			}
		})
}

// failRPC answers what a server does not.
func (l *loop) failRPC(c *actor.Context[message], server *hosted, id string, code int, text string) {
	request, waits := server.pending[id]
	if !waits {
		return
	}
	delete(server.pending, id)
	raw, err := json.Marshal(map[string]any{
		"jsonrpc": "2.0", "id": json.RawMessage(id), "error": map[string]any{"code": code, "message": text},
	})
	if err != nil { // the id was read from JSON
		l.send(c, protocol.NewControlError(request, text))
		return
	}
	l.reply(c, request, protocol.MCPResponse{Response: raw})
}

// endHosted ends the connections of the process that has ended.
func (l *loop) endHosted() {
	for name, server := range l.hosted {
		server.cancel()
		delete(l.hosted, name)
	}
}
