package sessiontest

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// slowPieces is how many blocks a slow answer comes in.
const slowPieces = 10

// textBlocks is a text as one block, or in pieces for an answer that comes slowly.
func textBlocks(text string, pieces bool) []wireBlock {
	if !pieces {
		return []wireBlock{{Type: "text", Text: text}}
	}
	size := max(1, (len(text)+slowPieces-1)/slowPieces)
	var blocks []wireBlock
	for part := range slices.Chunk([]rune(text), size) {
		blocks = append(blocks, wireBlock{Type: "text", Text: string(part)})
	}
	if len(blocks) == 0 {
		return []wireBlock{{Type: "text"}}
	}
	return blocks
}

func stopReason(content []wireBlock) string {
	switch {
	case len(content) > 0 && content[len(content)-1].refusal != "":
		return "refusal"
	case len(content) > 0 && content[len(content)-1].Type == "tool_use":
		return "tool_use"
	}
	return "end_turn"
}

// stopDetails say why the model would not answer, nil if it did.
func stopDetails(content []wireBlock) any {
	if stopReason(content) != "refusal" {
		return nil
	}
	return map[string]any{"type": "refusal", "category": content[len(content)-1].refusal, "explanation": "scripted"}
}

func usage(output int) map[string]any {
	return map[string]any{
		"input_tokens": InputTokens, "output_tokens": output, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
	}
}

func messageBody(model string, content []wireBlock) map[string]any {
	return map[string]any{
		"id": newMessageID(), "type": "message", "role": "assistant", "model": model, "content": content,
		"stop_reason": stopReason(content), "stop_sequence": nil, "usage": usage(OutputTokens),
	}
}

func (a *API) stream(w http.ResponseWriter, r *http.Request, model string, content []wireBlock, pause time.Duration) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	for _, event := range streamEvents(newMessageID(), model, content) {
		data, err := json.Marshal(event)
		if err != nil {
			return // a tool input that is no JSON was refused before
		}
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event["type"], data); err != nil {
			return // the client went away
		}
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
		if event["type"] == "content_block_stop" && pause > 0 && !a.pause(r.Context(), pause) {
			return
		}
	}
}

// streamEvents are the server-sent events of one answer.
func streamEvents(id, model string, content []wireBlock) []map[string]any {
	events := []map[string]any{{"type": "message_start", "message": map[string]any{
		"id": id, "type": "message", "role": "assistant", "model": model, "content": []any{},
		"stop_reason": nil, "stop_sequence": nil, "usage": usage(1),
	}}}
	for i, block := range content {
		events = append(events, blockEvents(i, block)...)
	}
	return append(events,
		map[string]any{
			"type":  "message_delta",
			"delta": map[string]any{"stop_reason": stopReason(content), "stop_sequence": nil, "stop_details": stopDetails(content)},
			"usage": map[string]any{"output_tokens": OutputTokens},
		},
		map[string]any{"type": "message_stop"},
	)
}

func blockEvents(index int, block wireBlock) []map[string]any {
	var start map[string]any
	var deltas []map[string]any
	if block.Type == "tool_use" {
		start = map[string]any{"type": "tool_use", "id": block.ID, "name": block.Name, "input": map[string]any{}}
		deltas = append(deltas, map[string]any{"type": "input_json_delta", "partial_json": string(block.Input)})
	} else {
		start = map[string]any{"type": "text", "text": ""}
		for _, piece := range strings.SplitAfter(block.Text, " ") {
			deltas = append(deltas, map[string]any{"type": "text_delta", "text": piece})
		}
	}
	events := []map[string]any{{"type": "content_block_start", "index": index, "content_block": start}}
	for _, d := range deltas {
		events = append(events, map[string]any{"type": "content_block_delta", "index": index, "delta": d})
	}
	return append(events, map[string]any{"type": "content_block_stop", "index": index})
}

// errorTypes are the names of the API's errors by status.
var errorTypes = map[int]string{
	400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
	413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 529: "overloaded_error",
}

func writeError(w http.ResponseWriter, status int, message string) {
	name := errorTypes[status]
	if name == "" {
		name = "api_error"
	}
	writeJSON(w, status, map[string]any{
		"type": "error", "error": map[string]any{"type": name, "message": message}, "request_id": "req_" + randomHex(12),
	})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client may have gone away
}

func newMessageID() string { return "msg_" + randomHex(10) }
func newToolUseID() string { return "toolu_" + randomHex(10) }

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
