package understudy_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/stream"
	gotool "github.com/understudy-run/understudy/session/tool"
)

// What an MCP server on the network asks the user reaches the callback, and the answer the server's tool. One that is not there costs
// its own tools alone.
func TestElicitationIsAnswered(t *testing.T) {
	t.Parallel()
	scenarios := map[string]func(*rig){}
	for name, tt := range map[string]struct {
		kind   session.MCPTransport
		answer protocol.ElicitationResponse
		want   string
	}{
		"accept":      {session.MCPHTTP, protocol.ElicitationResponse{Action: protocol.ElicitAccept, Content: json.RawMessage(`{"name":"Ada"}`)}, "accept: Ada"},
		"accept, SSE": {session.MCPSSE, protocol.ElicitationResponse{Action: protocol.ElicitAccept, Content: json.RawMessage(`{"name":"Ada"}`)}, "accept: Ada"},
		"decline":     {session.MCPHTTP, protocol.ElicitationResponse{Action: protocol.ElicitDecline}, "decline: <nil>"},
		"cancel, SSE": {session.MCPSSE, protocol.ElicitationResponse{Action: protocol.ElicitCancel}, "cancel: <nil>"},
	} {
		scenarios[name] = func(r *rig) {
			r.spec.MCPServers = map[string]session.MCPServer{"asker": askingServer(r.T, tt.kind), "gone": {Type: tt.kind, URL: "http://127.0.0.1:1/mcp"}}
			r.spec.AllowedTools = []string{"mcp__asker"}
			asked, used := make(chan *protocol.Elicitation, 1), make(chan session.ToolEvent, 2)
			r.spec.OnElicitation = func(_ context.Context, q *protocol.Elicitation) (protocol.ElicitationResponse, error) {
				asked <- q
				return tt.answer, nil
			}
			r.spec.ToolCallback = func(e session.ToolEvent) { used <- e }
			r.boot()
			r.mustAsk(call("mcp__asker__ask", map[string]any{}))
			q := received(r, asked)
			assert.Equal(r, "asker", q.MCPServerName)
			assert.Equal(r, "What is your name?", q.Message)
			assert.JSONEq(r, `{"type":"object","properties":{"name":{"type":"string"}}}`, string(q.RequestedSchema))
			e := received(r, used)
			assert.False(r, e.IsError)
			assert.Equal(r, tt.want, e.Result)
			r.mustAsk(call("mcp__asker__greet", map[string]any{}))
			e = received(r, used)
			assert.False(r, e.IsError)
			assert.Equal(r, "hello", e.Result)

			status, err := r.MCPStatus(r.within())
			require.NoError(r, err)
			require.Len(r, status.Servers, 2)
			for _, s := range status.Servers {
				assert.Equal(r, string(tt.kind), s.Transport, s.Name)
				assert.Equal(r, "dynamic", s.Source, s.Name)
				assert.Equal(r, map[string]string{"asker": "connected", "gone": "failed"}[s.Name], s.Status, s.Name)
				assert.Equal(r, s.Name == "gone", s.Error != "", s.Name)
				assert.Equal(r, s.Name == "asker", len(s.Tools) == 2, s.Name)
			}
		}
	}
	both(t, scenarios)
}

// What is said about single tools of an MCP server in this program counts before a rule that allows them.
func TestToolsOfAnMCPServerHavePermissionsOfTheirOwn(t *testing.T) {
	both(t, map[string]func(*rig){"ask and deny": toolsWithPermissions})
}

func toolsWithPermissions(r *rig) {
	own := gotool.NewServer("own", "1")
	for _, name := range []string{"open", "asked", "closed"} {
		gotool.Add(own, name, "Answers.", func(context.Context, struct{}) (string, error) { return "from " + name, nil })
	}
	r.spec.MCPServers = map[string]session.MCPServer{"own": {Host: own, Tools: []session.MCPTool{
		{Name: "asked", Permission: session.MCPToolAsk}, {Name: "closed", Permission: session.MCPToolDeny},
	}}}
	r.spec.AllowedTools = []string{"mcp__own"}
	r.spec.PermissionPrompts = session.PromptsNone
	r.boot()
	for name, runs := range map[string]bool{"mcp__own__open": true, "mcp__own__asked": false, "mcp__own__closed": false} {
		summary, err := stream.Collect(r.Query(r.within(), call(name, map[string]any{})))
		require.NoError(r, err)
		require.Len(r, summary.Tools, 1)
		require.NotNil(r, summary.Tools[0].Result, name)
		assert.Equal(r, !runs, summary.Tools[0].Result.IsError, "%s: %s", name, summary.Tools[0].Result.Raw())
	}
}

// A model that will not answer: the CLI asks in a dialog whether another one may, and does what the callback says. Without a callback
// for the dialog it asks nobody.
func TestDialogIsAnswered(t *testing.T) {
	t.Parallel()
	const kind = "refusal_fallback_prompt"
	for name, tt := range map[string]struct {
		kinds    []string
		answer   any
		fallback bool
	}{
		"retry":        {[]string{kind}, "retry_fallback", true},
		"cancel":       {[]string{kind}, "cancelled", false},
		"no such kind": {[]string{"other"}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, true)
			r.spec.Model = "claude-fable-5"
			r.spec.Env["ANTHROPIC_DEFAULT_FABLE_MODEL"], r.spec.Env["ANTHROPIC_DEFAULT_OPUS_MODEL"] = "claude-fable-5", "claude-opus-4-8"
			r.spec.Settings.Values = map[string]any{"switchModelsOnFlag": false} // else it asks nobody and goes on
			r.spec.DialogKinds = tt.kinds
			asked := make(chan *protocol.UserDialog, 1)
			r.spec.OnUserDialog = func(_ context.Context, q *protocol.UserDialog) (any, error) {
				asked <- q
				return tt.answer, nil
			}
			r.boot()
			var fell *protocol.ModelRefusalFallback
			answer, err := session.Collect(func(yield func(protocol.Message, error) bool) {
				for m, err := range r.Query(r.within(), "[[refuse:fable cyber]] hello") {
					if f, ok := m.(*protocol.ModelRefusalFallback); ok {
						fell = f
					}
					if !yield(m, err) {
						return
					}
				}
			})
			if tt.answer != nil {
				q := <-asked
				assert.Equal(t, kind, q.DialogKind)
				assert.Contains(t, string(q.Payload), `"fallbackModel":"claude-opus-4-8"`)
			}
			assert.Empty(t, asked)
			requests := r.api.Requests()
			last := requests[len(requests)-1].Model
			if !tt.fallback {
				require.ErrorContains(t, err, "flagged this message")
				assert.Equal(t, "claude-fable-5", last)
				assert.Nil(t, fell)
				return
			}
			require.NoError(t, err)
			assert.Contains(t, answer.Text, "hello")
			assert.Equal(t, "claude-opus-4-8", last)
			require.NotNil(t, fell)
			assert.Equal(t, "claude-opus-4-8", fell.FallbackModel)
			assert.Equal(t, "cyber", *fell.APIRefusalCategory)
		})
	}
}

// received waits for something, not for ever.
func received[T any](r *rig, from <-chan T) (v T) {
	r.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		require.FailNow(r, "nothing came")
	}
	return v
}
