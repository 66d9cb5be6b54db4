package sessiontest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

func timestamp() string { return time.Now().UTC().Format("2006-01-02T15:04:05.000Z") }

// initFrame starts a turn.
func (s *simulation) initFrame() frame {
	f := frame{
		"type": "system", "subtype": "init", "cwd": s.dir, "tools": s.toolNames(), "mcp_servers": s.serverList(false), "model": s.model,
		"permissionMode": s.mode, "slash_commands": []string{}, "terminal_slash_commands": []string{}, "apiKeySource": s.keySource(),
		"claude_code_version": version, "output_style": "default", "agents": s.agentNames(), "skills": []string{},
		"plugins": []any{}, "capabilities": []string{"interrupt_receipt_v1", "interrupt_cancel_queued_v1", "msg_lifecycle_v1"},
		"analytics_disabled": true, "product_feedback_disabled": true, "served_by_anthropic": false,
		"memory_paths": frame{"auto": configDir(s.env) + "/projects/" + projectKey(s.dir) + "/memory/"}, "original_cwd": s.dir,
		"additional_directories": append([]string{}, s.inv.addDirs...), "messaging_socket_path": "",
		"fast_mode_state": "off", "fast_mode_disabled_reason": "sdk_opt_in_required", "per_turn_effort_active": true,
		"ultrathink_available": false, "ultrathink_typed_raises": false, "view_mode": "default",
	}
	if len(s.turn.ids) > 0 {
		f["user_message_uuids"] = slices.Clone(s.turn.ids)
	}
	return f
}

// mark puts the prompt's ids on a frame: the first of a turn only.
func (s *simulation) mark(f frame) {
	if t := s.turn; !t.marked {
		t.marked = true
		s.own(f)
	}
}

// own puts the prompt's ids on a frame.
func (s *simulation) own(f frame) {
	t := s.turn
	if len(t.ids) == 0 {
		return
	}
	// The last of the prompts that opened the turn; one that joined a self turn is its only one.
	f["user_message_uuid"] = t.ids[max(0, len(t.ids)-t.folded-1)]
	f["user_message_uuids"] = slices.Clone(t.ids)
}

// emitBlock emits a content block, with the events around it when the host wants partial messages. It returns the id of its frame.
func (s *simulation) emitBlock(id string, index int, block wireBlock) string {
	events := blockEvents(index, block)
	for _, event := range events[:len(events)-1] {
		s.partial(id, event, nil)
	}
	content := frame{"type": "text", "text": block.Text}
	if block.Type == "tool_use" {
		content = frame{"type": "tool_use", "id": block.ID, "name": block.Name, "input": block.Input}
	}
	f := frame{
		"type": "assistant", "message": frame{
			"id": id, "type": "message", "role": "assistant", "model": s.speaker(), "content": []any{content},
			"stop_reason": nil, "stop_sequence": nil, "usage": usage(1), "context_management": nil,
		},
		"parent_tool_use_id": nil, "timestamp": timestamp(),
	}
	if s.turn.agent == nil {
		s.mark(f)
	}
	if old := s.turn.supersedes; old != "" {
		f["supersedes"], s.turn.supersedes = []string{old}, ""
	}
	frameID := s.tell(f)
	s.partial(id, events[len(events)-1], nil)
	return frameID
}

func (s *simulation) partialStart(id string) {
	if !s.inv.partial || s.turn.agent != nil { // of subagents there are whole messages only
		return
	}
	status := frame{"status": "requesting"}
	if len(s.turn.ids) > 0 {
		status["user_message_uuids"] = slices.Clone(s.turn.ids)
	}
	s.system("status", status)
	extra := frame{"ttft_ms": 1, "thinking_display": "updates"}
	if s.turn.calls == 0 {
		s.own(extra)
	}
	s.partial(id, streamEvents(id, s.model, nil)[0], extra)
}

func (s *simulation) partialEnd(id string, blocks []wireBlock) {
	events := streamEvents(id, s.model, blocks)
	for _, event := range events[len(events)-2:] {
		s.partial(id, event, nil)
	}
}

// partial emits an event of the Messages API.
func (s *simulation) partial(id string, event map[string]any, extra frame) {
	if !s.inv.partial || s.turn.agent != nil {
		return
	}
	f := frame{"type": "stream_event", "event": event, "parent_tool_use_id": nil, "api_message_id": id}
	maps.Copy(f, extra)
	s.say(f)
}

// result has what the results of all ends have.
func (s *simulation) result(subtype string, isError bool) frame {
	t := s.turn
	s.apiTime += t.apiTime
	f := frame{
		"type": "result", "subtype": subtype, "is_error": isError, "duration_ms": time.Since(t.started).Milliseconds(),
		"duration_api_ms": s.apiTime.Milliseconds(), "num_turns": t.results + t.extra + 1, "stop_reason": nil,
		"total_cost_usd": s.baseline + s.spent, "usage": turnUsage(t.counted), "modelUsage": modelUsage(s.calls),
		"model_usage_since_last_result": modelUsage(s.sinceResult), "permission_denials": append([]frame{}, t.denials...),
		"fast_mode_state": "off", "fast_mode_disabled_reason": "sdk_opt_in_required", "subagent_stats": s.agentStats.frame(),
		"safety_stops": s.stops, "queued_turn_count": 0, "result_index": s.results,
	}
	s.own(f)
	if t.task != nil {
		f["origin"] = frame{"kind": "task-notification", "producer": "session-task", "runId": t.task.runID}
	}
	return f
}

func (s *simulation) successResult(text string) frame {
	f := s.result("success", false)
	f["result"], f["stop_reason"], f["terminal_reason"], f["api_error_status"] = text, "end_turn", "completed", nil
	for _, key := range []string{"ttft_ms", "ttft_stream_ms", "time_to_request_ms", "first_content_frame_ms"} {
		f[key] = 1
	}
	if len(s.turn.ids) > 0 && s.turn.task == nil {
		f["request_sent_wall_ms"] = s.turn.started.UnixMilli()
		f["first_request_input_tokens"], f["first_request_cache_read_input_tokens"] = InputTokens, 0
	}
	if s.inv.partial {
		f["begun_message_ids"] = []string{}
	}
	return f
}

func (s *simulation) apiErrorResult(status int, text string) frame {
	f := s.result("success", true)
	f["result"], f["stop_reason"], f["terminal_reason"] = text, "stop_sequence", "api_error"
	f["api_error_status"], f["api_error_type"] = status, errorType(status)
	return f
}

func (s *simulation) maxTurnsResult() frame {
	f := s.result("error_max_turns", true)
	f["stop_reason"], f["terminal_reason"] = "tool_use", "max_turns"
	f["errors"] = []string{fmt.Sprintf("Reached maximum number of turns (%d)", s.inv.maxTurns)}
	return f
}

func (s *simulation) budgetResult(stop any) frame {
	f := s.result("error_max_budget_usd", true)
	f["stop_reason"], f["terminal_reason"] = stop, "budget_exhausted"
	f["errors"] = []string{"Reached maximum budget ($" + strconv.FormatFloat(s.inv.maxBudget, 'f', -1, 64) + ")"}
	return f
}

// interruptedResult is the end of a turn that was cut: by an interrupt, or by a denial that interrupts.
func (s *simulation) interruptedResult() frame {
	f := s.result("error_during_execution", true)
	reason, stop := "aborted_streaming", "null"
	if s.turn.toolsCut {
		reason, stop = "aborted_tools", "tool_use"
		f["stop_reason"] = stop
	}
	f["terminal_reason"], f["num_turns"] = reason, s.turn.results+2
	f["errors"] = []string{"[ede_diagnostic] result_type=user last_content_type=n/a stop_reason=" + stop}
	return f
}

// turnUsage is the usage of a number of model calls.
func turnUsage(calls int) frame {
	return frame{
		"input_tokens": calls * InputTokens, "output_tokens": calls * OutputTokens, "cache_creation_input_tokens": 0,
		"cache_read_input_tokens": 0, "output_tokens_details": frame{"thinking_tokens": 0},
		"server_tool_use": frame{"web_search_requests": 0, "web_fetch_requests": 0}, "service_tier": "standard",
		"cache_creation": frame{"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0}, "inference_geo": "",
		"iterations": []any{}, "speed": "standard",
	}
}

func modelUsage(calls map[string]int) frame {
	usage := frame{}
	for model, n := range calls {
		usage[model] = frame{
			"inputTokens": n * InputTokens, "outputTokens": n * OutputTokens, "cacheReadInputTokens": 0, "cacheCreationInputTokens": 0,
			"webSearchRequests": 0, "costUSD": float64(n) * callPrice(model), "contextWindow": 1_000_000, "maxOutputTokens": 128_000,
			"thinkingTokens": 0, "cacheCreationEphemeral5mInputTokens": 0, "cacheCreationEphemeral1hInputTokens": 0,
			"canonicalModel": model, "provider": "firstParty", "costBasis": "list",
		}
	}
	return usage
}

// retryName is how api_retry names a status.
func retryName(status int) string {
	switch status {
	case 401:
		return "authentication_failed"
	case 429:
		return "rate_limit"
	case 529:
		return "overloaded"
	}
	return "server_error"
}

// errorName is how the frame of a failed call names a status.
func errorName(status int) string {
	switch status {
	case 400, 413:
		return "invalid_request"
	case 404:
		return "model_not_found"
	case 401, 403:
		return "authentication_failed"
	case 429:
		return "rate_limit"
	}
	return "server_error"
}

func errorType(status int) string {
	if name := errorTypes[status]; name != "" {
		return name
	}
	return "api_error"
}
