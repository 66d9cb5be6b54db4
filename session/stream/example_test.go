package stream_test

import (
	"fmt"

	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/stream"
)

// messages stands for what Session.Query returns.
func messages(lines ...string) stream.Messages {
	return func(yield func(protocol.Message, error) bool) {
		for _, line := range lines {
			m, err := protocol.Decode([]byte(line))
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// The text is shown while the model writes it.
func ExampleTextDeltas() {
	answer := messages(
		`{"type":"stream_event","parent_tool_use_id":null,"event":{"type":"content_block_delta","delta":{"type":"text_delta","text":"Looks "}}}`,
		`{"type":"stream_event","parent_tool_use_id":null,"event":{"type":"content_block_delta","delta":{"type":"text_delta","text":"good."}}}`,
		`{"type":"assistant","message":{"content":[{"type":"text","text":"Looks good."}]},"parent_tool_use_id":null}`,
		`{"type":"result","subtype":"success","result":"Looks good."}`,
	)
	for text, err := range stream.TextDeltas(answer) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(text)
	}
	// Output: Looks good.
}

// The answer is a Go value. The session has a JSON schema for it.
func ExampleStructured() {
	answer := messages(`{"type":"result","subtype":"success","result":"","structured_output":{"safe":true,"reasons":["has tests"]}}`)
	verdict, err := stream.Structured[struct {
		Safe    bool
		Reasons []string
	}](answer)
	fmt.Println(verdict.Safe, verdict.Reasons, err)
	// Output: true [has tests] <nil>
}

// What the agent did, tool by tool.
func ExampleToolCalls() {
	answer := messages(
		`{"type":"assistant","message":{"content":[{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"go test"}}]},"parent_tool_use_id":null}`,
		`{"type":"user","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"ok"}]}}`,
		`{"type":"result","subtype":"success","result":"All tests pass."}`,
	)
	for call, err := range stream.ToolCalls(answer, []string{"Bash"}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %s: %s\n", call.Use.Name, call.Use.Input, call.Result.Content.Text())
	}
	// Output: Bash {"command":"go test"}: ok
}

// Everything of a turn at once.
func ExampleCollect() {
	answer, err := stream.Collect(messages(
		`{"type":"assistant","message":{"content":[{"type":"text","text":"Done."}]},"parent_tool_use_id":null}`,
		`{"type":"result","subtype":"success","result":"Done.","num_turns":1,"total_cost_usd":0.005}`,
	))
	fmt.Println(answer.Text, answer.NumTurns, answer.TotalCostUSD, err)
	// Output: Done. 1 0.005 <nil>
}

// A whole message of the model, from its pieces, with the counts that assistant frames do not have.
func ExampleAssemble() {
	piece := func(event string) string {
		return `{"type":"stream_event","parent_tool_use_id":null,"event":` + event + `}`
	}
	answer := messages(
		piece(`{"type":"message_start","message":{"id":"msg_1","role":"assistant","content":[],"usage":{"input_tokens":8,"output_tokens":1}}}`),
		piece(`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`),
		piece(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello."}}`),
		piece(`{"type":"content_block_stop","index":0}`),
		piece(`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}}`),
		piece(`{"type":"message_stop"}`),
	)
	for m, err := range stream.Assemble(answer) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(protocol.TextOf(m.Content), *m.StopReason, m.Usage.OutputTokens)
	}
	// Output: Hello. end_turn 4
}
