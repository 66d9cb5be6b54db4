package tool_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/tool"
)

// A Go function becomes a tool that the agent can call as mcp__calc__add.
func ExampleAdd() {
	calc := tool.NewServer("calc", "1.0.0")
	tool.Add(calc, "add", "Adds two numbers.", func(_ context.Context, in struct {
		A float64 `json:"a"`
		B float64 `json:"b"`
	}) (string, error) {
		return fmt.Sprint(in.A + in.B), nil
	})
	options := session.Options{
		MCPServers:   map[string]session.MCPServer{"calc": {Host: calc}},
		AllowedTools: []string{"mcp__calc"},
	}
	fmt.Println(options.Validate())

	// What the CLI does when the agent uses the tool:
	said := make(chan json.RawMessage, 2)
	cli, err := options.MCPServers["calc"].Host.ConnectMCP(context.Background(), func(m json.RawMessage) {
		if bytes.Contains(m, []byte(`"result"`)) { // it also says by itself that a tool was added
			said <- m
		}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cli.Close() //nolint:errcheck // it ends
	receive := func(m string) {
		if err := cli.Receive(json.RawMessage(m)); err != nil {
			fmt.Println(err)
		}
	}
	receive(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"cli","version":"1"}}}`)
	<-said // its answer, before which the CLI calls nothing
	receive(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	receive(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":40,"b":2}}}`)
	var answer struct {
		Result struct{ Content []struct{ Text string } }
	}
	fmt.Println(json.Unmarshal(<-said, &answer), answer.Result.Content[0].Text)
	// Output:
	// <nil>
	// <nil> 42
}
