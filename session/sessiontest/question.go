package sessiontest

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
)

// permissionResult is the answer to can_use_tool.
type permissionResult struct {
	Behavior           string          `json:"behavior"`
	Message            *string         `json:"message"`
	Interrupt          bool            `json:"interrupt"`
	UpdatedInput       json.RawMessage `json:"updatedInput"`
	UpdatedPermissions []struct {
		Type     string `json:"type"`
		Mode     string `json:"mode"`
		Behavior string `json:"behavior"`
		Rules    []struct {
			ToolName    string `json:"toolName"`
			RuleContent string `json:"ruleContent"`
		} `json:"rules"`
	} `json:"updatedPermissions"`
}

func (s *simulation) askHost(use *toolUse) (meta frame, out toolOutcome, allowed bool) {
	subject := strings.Join(subjectsOf(use.name, use.input), "; ")
	question := frame{
		"subtype": "can_use_tool", "tool_name": use.name, "display_name": use.name, "input": use.input, "description": subject,
		"permission_suggestions": []any{}, "tool_use_id": use.id,
	}
	if use.name == "Bash" {
		words := strings.Fields(subject)
		question["permission_suggestions"] = []any{frame{
			"type": "addRules", "behavior": "allow", "destination": "localSettings",
			"rules": []any{frame{"toolName": "Bash", "ruleContent": strings.Join(words[:min(2, len(words))], " ") + " *"}},
		}}
		if len(words) > 0 && (strings.Contains(subject, ">") || slices.Contains(editors, words[0])) {
			question["blocked_path"] = filepath.Join(s.dir, words[len(words)-1])
		}
	}
	if a := s.turn.agent; a != nil {
		question["agent_id"] = a.id
	}
	r := s.ask(question)
	if !s.await(r.settled) {
		out = interruptedOutcome(stoppedBefore)
		out.denied = true
		return nil, out, false
	}
	var result permissionResult
	refuse := func(text, source, reason string) (frame, toolOutcome, bool) {
		out := toolFailure(text, rejected("permission-rule", source, reason))
		out.denied = true
		return nil, out, false
	}
	switch {
	case r.closed:
		return refuse("Tool permission request failed: AbortError: Tool permission stream closed before response received", "config", "other")
	case r.failure != "":
		return refuse("Tool permission request failed: Error: "+r.failure, "config", "other")
	case json.Unmarshal(r.response, &result) != nil,
		result.Behavior != "allow" && (result.Behavior != "deny" || result.Message == nil):
		return refuse("The canUseTool callback returned an invalid permission result. Expected {behavior: 'allow', updatedInput?: object} or {behavior: 'deny', message: string}.", "config", "other")
	case result.Behavior == "deny" && result.Interrupt:
		s.turn.interrupted = true
		out = interruptedOutcome(stoppedBefore)
		out.denied = true
		return nil, out, false
	case result.Behavior == "deny":
		return refuse(*result.Message, "user_reject", "")
	}
	s.updatePermissions(result)
	if result.UpdatedInput != nil {
		use.input = result.UpdatedInput
	}
	return accepted("user_temporary", ""), toolOutcome{}, true
}

// updatePermissions applies what came with an allow, for the rest of this process.
func (s *simulation) updatePermissions(result permissionResult) {
	for _, update := range result.UpdatedPermissions {
		switch {
		case update.Type == "setMode" && slices.Contains(wireModes, update.Mode):
			s.mode = update.Mode
			s.system("status", frame{"status": nil, "permissionMode": s.mode})
		case update.Type == "addRules":
			for _, r := range update.Rules {
				added := rule{tool: r.ToolName, content: r.RuleContent}
				if update.Behavior == "deny" {
					s.inv.denied = append(s.inv.denied, added)
				} else {
					s.inv.allowed = append(s.inv.allowed, added)
				}
			}
		}
	}
}
