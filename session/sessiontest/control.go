package sessiontest

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"
)

func newUUID() string { return uuid.NewString() }

// controlRequest has the fields of all control requests that the simulation acts on.
type controlRequest struct {
	Subtype    string          `json:"subtype"`
	Hooks      json.RawMessage `json:"hooks"`
	Settings   json.RawMessage `json:"settings"`
	Managed    json.RawMessage `json:"managedSettings"`
	MCPServers json.RawMessage `json:"mcpServers"`
	SDKServers []string        `json:"sdkMcpServers"`
	SDKConfigs map[string]struct {
		Tools []struct {
			Name   string `json:"name"`
			Policy string `json:"permission_policy"`
		} `json:"tools"`
	} `json:"sdkMcpServerConfigs"`
	Suggestions bool                 `json:"promptSuggestions"`
	Forward     bool                 `json:"forwardSubagentText"`
	Agents      map[string]agentKind `json:"agents"`
	Mode        string               `json:"mode"`
	Model       *string              `json:"model"`
	CancelQueue bool                 `json:"cancel_queued"`
	Servers     map[string]any       `json:"servers"`
	ServerName  string               `json:"serverName"`
	TaskID      string               `json:"task_id"`
}

// control answers a control request, at any time: in a turn, too.
func (s *simulation) control(id string, raw json.RawMessage) {
	var r controlRequest
	_ = json.Unmarshal(raw, &r) // the subtype is unknown then
	switch r.Subtype {
	case "initialize":
		s.initialize(id, r)
	case "interrupt":
		s.interrupt(id, r.CancelQueue)
	case "set_permission_mode":
		s.setMode(id, r.Mode)
	case "set_model":
		s.setModel(id, r.Model)
	case "mcp_status":
		s.succeed(id, frame{"mcpServers": s.serverList(true)})
	case "get_usage":
		s.succeed(id, frame{
			"session": frame{
				"total_cost_usd": s.baseline + s.spent, "total_api_duration_ms": s.apiTime.Milliseconds(), "total_duration_ms": 0,
				"total_lines_added": 0, "total_lines_removed": 0, "model_usage": frame{},
			},
			"subscription_type": nil, "rate_limits_available": false, "rate_limits": nil, "behaviors": nil,
		})
	case "get_binary_version":
		s.succeed(id, frame{"version": version})
	case "set_max_thinking_tokens", "set_has_subscribers", "rename_session", "apply_flag_settings":
		s.succeed(id, nil)
	case "get_context_usage":
		s.succeed(id, frame{
			"categories": []any{}, "totalTokens": InputTokens, "maxTokens": 1_000_000, "percentage": 0, "model": s.model,
			"gridRows": []any{}, "memoryFiles": []any{}, "mcpTools": []any{}, "agents": []any{},
		})
	case "list_models":
		s.succeed(id, frame{"models": []any{frame{"value": "default", "resolvedModel": resolveModel("default"), "displayName": "Default", "description": "Simulated"}}})
	case "get_settings":
		s.succeed(id, frame{"effective": frame{}, "sources": []any{}, "applied": frame{"model": s.model}})
	case "list_permission_rules":
		s.succeed(id, frame{"state": frame{"rules": []any{}, "workspaceDirectories": []any{}, "originalCwd": s.dir, "managedOnly": false}})
	case "reload_plugins":
		s.succeed(id, frame{"commands": []any{}, "agents": []any{}, "plugins": []any{}, "mcpServers": []any{}, "error_count": 0})
	case "reload_skills":
		s.succeed(id, frame{"skills": []any{}})
	case "mcp_set_servers":
		s.succeed(id, frame{"added": slices.Sorted(maps.Keys(r.Servers)), "removed": []any{}, "errors": frame{}})
	case "rewind_files":
		s.succeed(id, frame{"canRewind": false, "error": "No file checkpoint found for this message."})
	case "mcp_reconnect", "mcp_toggle", "mcp_read_resource":
		s.refuse(id, "Server not found: "+r.ServerName, "")
	case "get_task_output":
		s.refuse(id, "No task found with ID: "+r.TaskID, "")
	case "read_file":
		s.refuse(id, "read denied", "")
	case "stop_task":
		s.stopTask(r.TaskID)
		s.succeed(id, frame{})
	case "background_tasks", "seed_read_state", "get_hooks_listing", "get_session_cost", "get_status", "get_plan",
		"get_memory_dialog", "get_skills_dialog", "get_sandbox_dialog", "export_conversation", "get_workspace_diff", "file_suggestions",
		"reload_output_styles", "cancel_async_message", "set_mcp_permission_mode_override":
		s.succeed(id, frame{})
	case "end_session":
		s.endSession(id)
	default:
		s.refuse(id, "Unsupported control request subtype: "+r.Subtype, "unsupported_request")
	}
}

func (s *simulation) succeed(id string, payload frame) {
	response := frame{"subtype": "success", "request_id": id}
	if payload != nil {
		response["response"] = payload
	}
	s.emit(frame{"type": "control_response", "response": response})
}

func (s *simulation) refuse(id, message, code string) {
	response := frame{"subtype": "error", "request_id": id, "error": message}
	if code != "" {
		response["error_code"] = code
	}
	s.emit(frame{"type": "control_response", "response": response})
}

func (s *simulation) initialize(id string, r controlRequest) {
	for _, field := range []struct {
		flag, name string
		announced  bool
		value      json.RawMessage
	}{
		{"--initialize-fields=settings", "settings", s.inv.settingsInInitialize, r.Settings},
		{"--managed-settings-in-initialize", "managedSettings", s.inv.managedInInitialize, r.Managed},
	} {
		var object map[string]any
		switch {
		case !field.announced: // the CLI ignores it
		case json.Unmarshal(field.value, &object) != nil || object == nil:
			s.fail("Error: %s requires initialize.%s to be a JSON object.", field.flag, field.name)
		default:
			s.inv.takeSettings(field.value, field.name == "managedSettings")
		}
	}
	hooks, err := parseHooks(r.Hooks)
	if err != nil {
		// As the CLI does: the session takes prompts all the same, with no hooks at all.
		s.refuse(id, err.Error(), "")
		return
	}
	s.hooks, s.suggesting = hooks, r.Suggestions
	s.forward, s.agentKinds = s.forward || r.Forward, r.Agents
	s.hangUp()
	s.connect(r.SDKServers)
	s.connectNetwork(r.MCPServers)
	s.policies = map[string]string{}
	for name, config := range r.SDKConfigs {
		for _, tool := range config.Tools {
			s.policies[(&mcpServer{name: name}).wireName(tool.Name)] = tool.Policy
		}
	}
	payload := frame{
		"commands":                []any{frame{"name": "context", "description": "Show what fills the context", "argumentHint": ""}},
		"agents":                  s.agentList(),
		"output_style":            "default",
		"available_output_styles": []string{"default"},
		"user_output_styles_dir":  configDir(s.env) + "/output-styles",
		"models": []any{
			frame{"value": "default", "resolvedModel": resolveModel("default"), "displayName": "Default", "description": "Simulated"},
			frame{"value": "sonnet", "resolvedModel": resolveModel("sonnet"), "displayName": "Sonnet", "description": "Simulated"},
			frame{"value": "haiku", "resolvedModel": resolveModel("haiku"), "displayName": "Haiku", "description": "Simulated"},
		},
		"account":             frame{"tokenSource": "none", "apiKeySource": s.keySource(), "apiProvider": "firstParty"},
		"pid":                 os.Getpid(),
		"claude_code_version": version, "current_permission_mode": s.mode,
		"hook_on_failure_supported": true, "hooks_when_unanswered_kept": 0, "other_hook_ask_outranks_host": true,
		"feedback_mode": frame{"kind": "disabled"}, "analytics_disabled": true,
		"remote_control_auto_enable": false, "remote_control_auto_connect_default": false, "remote_control_available": false,
		"remote_control_auto_on_by_default": false, "ide_rc_auto_enable_gate": false,
		"fast_mode_state": "off", "fast_mode_disabled_reason": "sdk_opt_in_required", "session_state": s.stateName(),
		"capabilities": []string{"msg_lifecycle_v1"},
	}
	if r.Hooks != nil && string(r.Hooks) != "null" {
		payload["hooks_applied"] = true
	}
	if r.MCPServers != nil {
		payload["mcp_servers_applied"] = s.inv.awaitInitialize
	}
	s.emit(frame{"type": "control_response", "response": frame{
		"subtype": "success", "request_id": id, "response": payload,
		"pending_permission_requests": []any{}, "pending_user_dialog_requests": []any{},
	}})
	s.ready = true
}

func (s *simulation) stateName() string {
	if s.running {
		return "running"
	}
	return "idle"
}

func (s *simulation) keySource() string {
	if s.env("ANTHROPIC_API_KEY") == "" {
		return "none"
	}
	return "ANTHROPIC_API_KEY"
}

// interrupt stops the turn at work. A prompt that still waits is stopped by cancel_queued only.
func (s *simulation) interrupt(id string, cancelQueued bool) {
	var kept []work
	left, cancelled := []string{}, []string{}
	for _, w := range s.queue {
		switch {
		case w.task != nil:
			kept = append(kept, w)
		case cancelQueued:
			s.lifecycle(w.prompt.id, "cancelled")
			cancelled = append(cancelled, w.prompt.id)
		default:
			kept = append(kept, w)
			left = append(left, w.prompt.id)
		}
	}
	s.queue = kept
	s.stopBehind()
	if s.turn != nil {
		for _, r := range s.requests {
			s.cancel(r)
		}
		s.turn.cut()
		s.cutAgents(s.turn)
	}
	left = slices.DeleteFunc(left, func(id string) bool { return id == "" })
	payload := frame{"still_queued": left}
	if cancelQueued {
		payload["cancelled"] = slices.DeleteFunc(cancelled, func(id string) bool { return id == "" })
	}
	s.succeed(id, payload)
}

func (s *simulation) setMode(id, mode string) {
	mode = normalMode(mode)
	switch {
	case !slices.Contains(wireModes, mode):
		s.refuse(id, "Cannot set permission mode: must be one of "+strings.Join(wireModes, ", "), "invalid_mode")
	case mode == "bypassPermissions" && !s.inv.bypassAllowed:
		s.refuse(id, "Cannot set permission mode to bypassPermissions because the session was not launched with --dangerously-skip-permissions", "bypass_not_launched")
	default:
		changed := s.mode != mode
		s.mode = mode
		s.succeed(id, frame{"mode": mode})
		if changed {
			s.system("status", frame{"status": nil, "permissionMode": mode})
		}
	}
}

func (s *simulation) setModel(id string, model *string) {
	name := "default"
	if model != nil {
		name = *model
	}
	if name == "" {
		s.refuse(id, "Model \"(unrecognized model name)\" is not a recognized model id. Run /model to see available models.", "catalog_unknown")
		return
	}
	resolved := resolveModel(name)
	if resolved != s.model && len(s.calls) > 0 {
		// The replay line is a note in the conversation, of which there is none before the first turn.
		s.say(frame{
			"type": "user", "message": frame{"role": "user", "content": "<local-command-stdout>Set model to `" + name + " (" + resolved + ")`</local-command-stdout>"},
			"parent_tool_use_id": nil, "timestamp": timestamp(), "isReplay": true,
		})
	}
	s.model = resolved
	s.succeed(id, frame{"model": resolved})
}

// endSession is a stop over the wire: queued prompts are discarded, the process exits.
func (s *simulation) endSession(id string) {
	s.succeed(id, nil)
	for _, w := range s.queue {
		s.lifecycle(w.prompt.id, "discarded")
	}
	s.save()
	s.exit(0)
}
