package sessiontest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// networkConfig is an MCP server that is reached over HTTP, in one of the two ways that there are.
type networkConfig struct {
	Type    string            `json:"type"` // http, sse
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
}

// connectNetwork connects to the servers on the network that initialize names. One that does not answer has failed, and its tools
// are not there. (Those that would be processes are not started.)
func (s *simulation) connectNetwork(raw json.RawMessage) {
	var configs map[string]networkConfig
	if json.Unmarshal(raw, &configs) != nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		c := configs[name]
		if c.Type != "http" && c.Type != "sse" {
			continue
		}
		m := &mcpServer{name: name, network: &c}
		s.servers = append(s.servers, m)
		var err error
		if !s.apart(func(ctx context.Context) { err = s.dial(ctx, m) }) {
			err = errors.New("the turn was interrupted")
		}
		if err != nil {
			m.failed = err.Error()
		}
	}
}

// dial shakes hands with a server, and asks which tools it has. It runs apart from the owner, who waits for it.
func (s *simulation) dial(ctx context.Context, m *mcpServer) error {
	client := mcp.NewClient(&mcp.Implementation{Name: "claude-code", Version: version}, &mcp.ClientOptions{
		ElicitationHandler: func(ctx context.Context, q *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return s.elicit(ctx, m.name, q.Params)
		},
	})
	// A transport of its own, whose connections do not outlive the simulation.
	connections := &http.Transport{}
	over := &http.Client{Transport: withHeaders{connections, m.network.Headers}}
	var transport mcp.Transport = &mcp.StreamableClientTransport{Endpoint: m.network.URL, HTTPClient: over}
	if m.network.Type == "sse" {
		transport = &mcp.SSEClientTransport{Endpoint: m.network.URL, HTTPClient: over}
	}
	// The context of an SSE transport is that of its stream: it ends with the session, or with this work if nothing comes of it.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end)
	session, err := client.Connect(life, transport, nil)
	if err != nil || !stop() {
		end()
		connections.CloseIdleConnections()
		return cmp.Or(err, ctx.Err())
	}
	m.hangUp = func() {
		end() // a server that is not there any more would not answer a farewell
		_ = session.Close()
		connections.CloseIdleConnections()
	}
	m.session = session
	if init := session.InitializeResult(); init != nil {
		m.info, _ = json.Marshal(init.ServerInfo) // strings
	}
	for tool, err := range session.Tools(ctx, nil) {
		if err != nil {
			return err
		}
		m.tools = append(m.tools, mcpTool{Name: tool.Name, Description: tool.Description})
	}
	return nil
}

// withHeaders adds a server's headers to each request.
type withHeaders struct {
	next    http.RoundTripper
	headers map[string]string
}

func (w withHeaders) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, value := range w.headers {
		r.Header.Set(name, value)
	}
	return w.next.RoundTrip(r)
}

// callNetwork has a server on the network run a tool. Its result is the content as it came, like that of a server in the host.
func (s *simulation) callNetwork(m *mcpServer, tool string, use *toolUse) toolOutcome {
	var result *mcp.CallToolResult
	var err error
	if !s.apart(func(ctx context.Context) {
		result, err = m.session.CallTool(ctx, &mcp.CallToolParams{
			Meta: mcp.Meta{"claudecode/toolUseId": use.id}, Name: tool, Arguments: use.input,
		})
	}) {
		return interruptedOutcome(stoppedRunning)
	}
	if err != nil {
		return toolFailure(err.Error(), nil)
	}
	text := ""
	for _, c := range result.Content {
		if t, ok := c.(*mcp.TextContent); ok {
			if text != "" {
				text += "\n"
			}
			text += t.Text
		}
	}
	if result.IsError {
		return toolFailure(text, nil)
	}
	return toolOutcome{content: text, structured: result.Content}
}

// elicit passes what a server asks the user on to the host. It runs apart from the owner.
func (s *simulation) elicit(ctx context.Context, server string, q *mcp.ElicitParams) (*mcp.ElicitResult, error) {
	answers := make(chan *mcp.ElicitResult, 1)
	var asked *request
	if !s.post(func() {
		body := frame{"subtype": "elicitation", "mcp_server_name": server, "message": q.Message, "mode": "form", "requested_schema": q.RequestedSchema}
		if q.Mode == "url" {
			body["mode"], body["url"], body["elicitation_id"] = "url", q.URL, q.ElicitationID
		}
		asked = s.ask(body)
		asked.then = func() {
			answer := &mcp.ElicitResult{Action: "cancel"}
			if asked.failure == "" && asked.answered {
				_ = json.Unmarshal(asked.response, answer) // what is no answer is none
			}
			answers <- answer
		}
		if asked.closed {
			asked.then()
		}
	}) {
		return nil, errors.New("the CLI has ended")
	}
	select {
	case answer := <-answers:
		return answer, nil
	case <-s.done:
		return nil, errors.New("the CLI has ended")
	case <-ctx.Done():
		s.post(func() {
			if !asked.settled() {
				s.cancel(asked)
			}
		})
		return nil, ctx.Err()
	}
}

// apart does work that waits for others, while the owner goes on with what comes in. It reports false when the turn was
// interrupted, or the simulation ends: what the work does then is of no interest any more, and its context is over.
func (s *simulation) apart(work func(context.Context)) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over := false
	s.waiting.Go(func() { // ends with the work, which ends with its context
		work(ctx)
		s.post(func() { over = true })
	})
	return s.await(func() bool { return over })
}

// hangUp takes leave of the servers on the network.
func (s *simulation) hangUp() {
	for _, m := range s.servers {
		if m.hangUp != nil {
			m.hangUp()
		}
	}
}
