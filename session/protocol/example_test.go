package protocol_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/understudy-run/understudy/session/protocol"
)

func Example() {
	stdout := strings.NewReader(`{"type":"system","subtype":"init","session_id":"s1","model":"claude-opus-5-5"}
{"type":"assistant","message":{"id":"msg_1","role":"assistant","content":[{"type":"text","text":"Hello."}]},"session_id":"s1"}
{"type":"control_request","request_id":"a7","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"ls"}}}
{"num_turns":1,"is_error":false,"subtype":"success","result":"Hello.","total_cost_usd":0.005,"type":"result","session_id":"s1"}
`)
	send := func(m protocol.Message) {
		line, err := protocol.Encode(m)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("→ %s\n", line)
	}
	send(protocol.NewUserText("6f1c", "hello"))

	r := protocol.NewReader(stdout, 0)
	for {
		line, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		m, err := protocol.Decode(line)
		if err != nil {
			fmt.Println(err)
			return
		}
		switch m := m.(type) {
		case *protocol.Init:
			fmt.Println("model", m.Model)
		case *protocol.Assistant:
			fmt.Println("text", m.Text())
		case *protocol.ControlRequest:
			answer, err := protocol.NewControlSuccess(m.RequestID, protocol.Deny{Message: "not here"})
			if err != nil {
				fmt.Println(err)
				return
			}
			send(answer)
		case *protocol.Result:
			fmt.Printf("result %s, $%.3f\n", m.Subtype, m.TotalCostUSD)
		}
	}
	// Output:
	// → {"type":"user","message":{"role":"user","content":"hello"},"parent_tool_use_id":null,"session_id":"","uuid":"6f1c"}
	// model claude-opus-5-5
	// text Hello.
	// → {"type":"control_response","response":{"subtype":"success","request_id":"a7","response":{"behavior":"deny","message":"not here"}}}
	// result success, $0.005
}

func ExampleDenyTool() {
	answer, err := protocol.NewControlSuccess("a8", protocol.DenyTool("no network here"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(answer.Response.Payload))
	// Output:
	// {"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":"no network here"}}
}
