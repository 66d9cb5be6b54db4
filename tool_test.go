package understudy_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	gotool "github.com/understudy-run/understudy/session/tool"
)

// TestToolsInGo has the agent call functions of this program.
func TestToolsInGo(t *testing.T) {
	t.Parallel()
	both(t, map[string]func(*rig){"calc": toolsInGo})
}

func toolsInGo(r *rig) {
	t := r.T
	calc := gotool.NewServer("calc", "1.0.0")
	type pair struct {
		A float64 `json:"a" jsonschema:"the first"`
		B float64 `json:"b"`
	}
	gotool.Add(calc, "add", "Adds two numbers.", func(_ context.Context, in pair) (map[string]float64, error) {
		return map[string]float64{"sum": in.A + in.B}, nil
	})
	gotool.Add(calc, "fail", "Fails.", func(context.Context, struct{}) (string, error) { return "", errors.New("out of numbers") })
	gotool.Add(calc, "panic", "Panics.", func(context.Context, struct{}) (string, error) { panic("calc panic") })
	gotool.Add(calc, "large", "Says much.", func(context.Context, struct{}) (string, error) { return strings.Repeat("many words ", 100_000), nil })
	entered, cancelled := make(chan struct{}, 1), make(chan struct{}, 1)
	gotool.Add(calc, "wait", "Waits.", func(ctx context.Context, _ struct{}) (string, error) {
		entered <- struct{}{}
		<-ctx.Done()
		cancelled <- struct{}{}
		return "", ctx.Err()
	})
	r.spec.AllowedTools = []string{"mcp__calc"}
	r.spec.MCPServers = map[string]session.MCPServer{"calc": {Host: calc}}
	r.boot()
	call := func(name, input string) string {
		t.Helper()
		before := len(r.records(audit.ToolResult))
		r.mustAsk("[[tool:mcp__calc__" + name + " " + input + "]]")
		var output string
		r.until("the result is in the audit log", func() bool {
			results := r.records(audit.ToolResult)
			if len(results) == before {
				return false
			}
			output = string(results[len(results)-1].Output)
			return true
		})
		return output
	}
	assert.Contains(t, call("add", `{"a":2,"b":40.5}`), "42.5")
	assert.Contains(t, call("fail", `{}`), "out of numbers")
	assert.Contains(t, call("panic", `{}`), "calc panic")
	assert.NotContains(t, call("add", `{"a":"two"}`), "sum", "an input that does not fit the schema")
	assert.NotEmpty(t, call("large", `{}`))
	status, err := r.MCPStatus(r.within())
	require.NoError(t, err)
	require.Len(t, status.Servers, 1)
	assert.Equal(t, "connected", status.Servers[0].Status)
	assert.Len(t, status.Servers[0].Tools, 5)

	q := r.background("[[tool:mcp__calc__wait {}]]")
	<-entered
	require.NoError(t, r.Interrupt(r.within()))
	<-cancelled
	require.ErrorIs(t, q.wait(t), session.ErrInterrupted)

	r.killIdle()
	assert.Contains(t, call("add", `{"a":1,"b":1}`), "2", "after a crash too")
}
