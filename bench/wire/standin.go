package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

const (
	assistantFrame = `{"type":"assistant","message":{"id":"msg_3b1d564d8aef4cf39f5a","type":"message","role":"assistant","model":"claude-opus-5-5","content":[{"type":"text","text":"%s"}],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1000,"output_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":0},"context_management":null},"parent_tool_use_id":null,"session_id":"6707845e-151e-4a35-8d56-6930a05f63c9","uuid":"4eca0bfc-7c6a-4740-9e85-212a5e33b10a","timestamp":"2026-11-23T09:51:37.413Z"}` + "\n"
	partialFrame   = `{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a few words of it"}},"session_id":"6707845e-151e-4a35-8d56-6930a05f63c9","parent_tool_use_id":null,"uuid":"0f6ad352-9e9b-4f4f-8a70-5f1a4f3ac0de"}` + "\n"
)

// standIn is a CLI that floods. Its output is made beforehand, so that it costs next to nothing.
func standIn() {
	if strings.Contains(strings.Join(os.Args[1:], " "), "-v") && len(os.Args) == 2 {
		fmt.Println("2.1.330 (Claude Code)")
		return
	}
	pairs, _ := strconv.Atoi(os.Getenv(pairsVariable))
	var mu sync.Mutex
	put := func(b []byte) { mu.Lock(); defer mu.Unlock(); _, _ = os.Stdout.Write(b) }
	say := func(v any) { b, _ := json.Marshal(v); put(append(b, '\n')) }
	type object = map[string]any
	const session = "6707845e-151e-4a35-8d56-6930a05f63c9"
	stop := make(chan struct{})
	var once sync.Once
	turn := func(id string) {
		say(object{"type": "system", "subtype": "session_state_changed", "state": "running", "session_id": session})
		say(object{"type": "command_lifecycle", "command_uuid": id, "state": "started", "session_id": session})
		say(object{"type": "system", "subtype": "init", "session_id": session, "cwd": "/", "tools": []string{}, "mcp_servers": []string{}, "model": "m",
			"permissionMode": "default", "slash_commands": []string{}, "apiKeySource": "none", "claude_code_version": "2.1.330", "output_style": "default",
			"user_message_uuids": []string{id}})
		text := strings.Repeat("word ", 20)
		pair := fmt.Sprintf(assistantFrame, text)
		pair = fmt.Sprintf(assistantFrame, text+strings.Repeat("x", max(0, 601-len(pair)))) + partialFrame
		const batch = 50
		many := []byte(strings.Repeat(pair, batch))
		end := object{"type": "result", "subtype": "success", "is_error": false, "result": "done", "num_turns": 1, "duration_ms": 1, "duration_api_ms": 1,
			"session_id": session, "total_cost_usd": 0.01, "usage": object{}, "modelUsage": object{}, "permission_denials": []string{}, "user_message_uuids": []string{id}, "uuid": id}
	flood:
		for sent := 0; sent < pairs; sent += batch {
			select {
			case <-stop:
				end["subtype"], end["is_error"], end["terminal_reason"] = "error_during_execution", true, "aborted_streaming"
				end["errors"] = []string{"interrupted"}
				break flood
			default:
				put(many[:len(pair)*min(batch, pairs-sent)])
			}
		}
		say(end)
		say(object{"type": "system", "subtype": "session_state_changed", "state": "idle", "session_id": session})
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var f struct {
			Type      string
			UUID      string
			RequestID string `json:"request_id"`
			Request   struct {
				Subtype string
			}
		}
		if json.Unmarshal(in.Bytes(), &f) != nil {
			os.Exit(1)
		}
		switch f.Type {
		case "user":
			go turn(f.UUID) // ends with the process
		case "control_request":
			payload := object{}
			switch f.Request.Subtype {
			case "initialize":
				payload = object{"commands": []any{}, "agents": []any{}, "models": []any{}, "account": object{}, "output_style": "default",
					"available_output_styles": []any{}, "pid": os.Getpid(), "claude_code_version": "2.1.330", "hooks_applied": true, "hook_on_failure_supported": true,
					"plugins_applied": true, "mcp_servers_applied": true}
			case "interrupt":
				once.Do(func() { close(stop) })
				payload = object{"still_queued": []any{}, "cancelled": []any{}}
			}
			say(object{"type": "control_response", "response": object{"subtype": "success", "request_id": f.RequestID, "response": payload}})
		}
	}
}
