package sessiontest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/understudy-run/understudy/session/sessiontest"
)

// A conversation with the simulated CLI, inside this process.
func ExampleSimulate() {
	prompts := strings.NewReader(
		`{"type":"user","message":{"role":"user","content":"hello"}}` + "\n" +
			`{"type":"user","message":{"role":"user","content":"[[tool:Bash {\"command\":\"pwd\"}]] [[say:I looked around.]]"}}` + "\n")
	var out bytes.Buffer
	code := sessiontest.Simulate(
		strings.Fields("--print --verbose --input-format=stream-json --output-format=stream-json --no-session-persistence"),
		prompts, &out, os.Stderr, func(string) string { return "" })

	for decoder := json.NewDecoder(&out); decoder.More(); {
		var frame struct {
			Type   string  `json:"type"`
			Result string  `json:"result"`
			Cost   float64 `json:"total_cost_usd"`
		}
		if err := decoder.Decode(&frame); err != nil {
			fmt.Println(err)
			return
		}
		if frame.Type == "result" {
			fmt.Printf("%s (%.3f USD)\n", frame.Result, frame.Cost)
		}
	}
	fmt.Println("exit", code)
	// Output:
	// echo: hello (0.005 USD)
	// I looked around. (0.015 USD)
	// exit 0
}

// A subagent: what it says is in frames of its own, which name the tool use that has started it.
func ExampleDelegate() {
	content, err := json.Marshal(sessiontest.Delegate(`[[tool:Bash {"command":"echo 42"}]] [[say:It is 42.]]`, false) + " [[say:Somebody has looked.]]")
	if err != nil {
		fmt.Println(err)
		return
	}
	var out bytes.Buffer
	sessiontest.Simulate(
		strings.Fields("--print --verbose --input-format=stream-json --output-format=stream-json --no-session-persistence --forward-subagent-text"),
		strings.NewReader(`{"type":"user","message":{"role":"user","content":`+string(content)+`}}`), &out, os.Stderr, func(string) string { return "" })

	for decoder := json.NewDecoder(&out); decoder.More(); {
		var frame struct {
			Type    string `json:"type"`
			Parent  string `json:"parent_tool_use_id"`
			Message struct {
				Content []struct{ Name, Text string }
			}
		}
		if err := decoder.Decode(&frame); err != nil {
			fmt.Println(err)
			return
		}
		if frame.Type == "assistant" {
			who := "main"
			if frame.Parent != "" {
				who = "subagent"
			}
			fmt.Println(who, frame.Message.Content[0].Name+frame.Message.Content[0].Text)
		}
	}
	// Output:
	// main Task
	// subagent Bash
	// subagent It is 42.
	// main Somebody has looked.
}

// What a CLI sees of the stand-in. In a test, pass t: the stand-in is closed when the test ends.
func ExampleNewAPI() {
	api := sessiontest.NewAPI(nil)
	defer api.Close()
	api.FailNext(http.StatusTooManyRequests, 1)

	for range 2 {
		response, err := http.Post(api.URL()+"/v1/messages", "application/json",
			strings.NewReader(`{"model":"claude-opus-5-5","messages":[{"role":"user","content":"hello"}]}`))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(response.StatusCode)
		_ = response.Body.Close()
	}
	for _, request := range api.Requests() {
		fmt.Println(request.Conversation(), request.Status)
	}
	// Output:
	// 429
	// 200
	// [user: hello] 429
	// [user: hello] 200
}
