package sessiontest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// baseTools is what the CLI offers without --tools.
var baseTools = []string{
	"Task", "Bash", "CronCreate", "CronDelete", "CronList", "Edit", "EnterWorktree", "ExitWorktree", "ListAgents", "Monitor",
	"NotebookEdit", "Read", "ReportFindings", "ScheduleWakeup", "SendMessage", "Skill", "TaskStop", "ToolSearch", "WebFetch",
	"WebSearch", "Workflow", "Write",
}

// toolNames is the list of system/init.
func (s *simulation) toolNames() []string {
	names := slices.Clone(baseTools)
	if s.inv.promptTool {
		names = append(names, "AskUserQuestion", "EnterPlanMode", "ExitPlanMode")
	}
	if s.inv.tools != nil {
		names = slices.DeleteFunc(slices.Clone(s.inv.tools), func(name string) bool {
			return !slices.Contains(slices.Concat(baseTools, []string{"Agent", "Glob", "Grep"}), name)
		})
		for i, name := range names {
			if startsAgent(name) {
				names[i] = "Task" // as the CLI lists it
			}
		}
	}
	for _, m := range s.servers { // whatever --tools says
		for _, tool := range m.tools {
			names = append(names, m.wireName(tool.Name))
		}
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(s.inv.denied, func(r rule) bool { return (r.tool == name || r.tool == hookName(name)) && r.content == "" })
	})
}

// toolUse is a tool use of the turn.
type toolUse struct {
	id    string
	name  string
	input json.RawMessage
	ask   bool

	message string // the id of the answer that it is part of, for one that a subagent says with its hooks
}

// toolOutcome is how a tool use ended.
type toolOutcome struct {
	content    string // the model's view
	isError    bool
	structured any           // tool_use_result
	meta       frame         // an entry of tool_result_meta, without the id; nil for none
	duration   time.Duration // of the tool
	cut        bool          // interrupted
	denied     bool          // goes into permission_denials
	inBlock    bool          // the content is a list of blocks
	then       func()        // what comes behind the result; nil for nothing
}

func toolFailure(text string, meta frame) toolOutcome {
	return toolOutcome{content: text, isError: true, structured: "Error: " + text, meta: meta}
}

func rejected(kind, source, reason string) frame {
	decision := frame{"decision": "reject", "source": source}
	if reason != "" {
		decision["reason_type"] = reason
	}
	return frame{"non_execution_kind": kind, "permission_decision": decision}
}

func accepted(source, reason string) frame {
	decision := frame{"decision": "accept", "source": source}
	if reason != "" {
		decision["reason_type"] = reason
	}
	return frame{"permission_decision": decision}
}

const (
	stoppedBefore  = "The user doesn't want to proceed with this tool use. The tool use was rejected. STOP what you are doing and wait for the user to tell you how to proceed."
	stoppedRunning = stoppedBefore + " Correction to the text above: this call was stopped while running, not refused before it ran."
	stoppedAtEOF   = "The user doesn't want to take this action right now. STOP what you are doing and wait for the user to tell you how to proceed."
)

func interruptedOutcome(text string) toolOutcome {
	return toolOutcome{content: text, isError: true, structured: "User rejected tool use", meta: frame{"non_execution_kind": "user-rejected"}, cut: true}
}

// useTool takes one tool use from the hooks over the permission to the tool and the hooks after it.
func (s *simulation) useTool(use *toolUse) toolOutcome {
	s.tellUse(use)
	if why := s.missingTool(use); why != "" {
		s.tellBlock(use)
		return toolOutcome{content: "<tool_use_error>" + why + "</tool_use_error>", isError: true, structured: why}
	}
	hook, going := s.callHooks("PreToolUse", use, nil)
	switch {
	case !going:
		return interruptedOutcome(stoppedBefore)
	case hook.expired:
		return toolFailure("PreToolUse hook did not respond before its timeout (host client may be unreachable). The tool call was not executed; other configured hooks may not have completed.", nil)
	case hook.closed:
		return toolOutcome{content: stoppedAtEOF, isError: true, structured: stoppedAtEOF, meta: frame{"non_execution_kind": "cancelled"}}
	case hook.deny != "":
		out := toolFailure("PreToolUse:"+use.name+" hook error: "+hook.deny, rejected("permission-rule", "hook", "hook"))
		out.denied = true
		return out
	}
	if hook.updatedInput != nil {
		use.input = hook.updatedInput
	}
	meta, out, allowed := s.permit(use, hook)
	if !allowed {
		return out
	}
	started := time.Now()
	s.turn.agent.hasRun(use.name)
	out = s.runTool(use)
	out.duration = time.Since(started)
	if out.cut {
		return out
	}
	if out.meta == nil {
		out.meta = meta
	}
	if !s.callPostHooks(use, out) {
		cut := interruptedOutcome(stoppedRunning)
		cut.then = out.then
		return cut
	}
	return out
}

func (s *simulation) callPostHooks(use *toolUse, out toolOutcome) bool {
	event, extra := "PostToolUse", frame{"tool_response": out.structured, "duration_ms": out.duration.Milliseconds()}
	if out.isError {
		event = "PostToolUseFailure"
		extra = frame{"error": out.content, "is_interrupt": false, "duration_ms": out.duration.Milliseconds()}
	}
	_, going := s.callHooks(event, use, extra)
	return going
}

// missingTool is the error of a tool that is not offered, or whose input is not what it needs.
func (s *simulation) missingTool(use *toolUse) string {
	name := use.name
	if startsAgent(name) {
		name = "Task"
	}
	offered := slices.Contains(s.toolNames(), name)
	if !offered && slices.Contains(baseTools, name) {
		return "Error: No such tool available: " + use.name + ". " + use.name + " is disabled for this session, in subagents as well as here."
	}
	if offered && !s.turn.agent.mayUse(name) {
		return "Error: No such tool available: " + use.name + ". " + use.name + " is not among the tools available here. Continue with the tools you have."
	}
	if !offered {
		return "Error: No such tool available: " + use.name
	}
	var in map[string]json.RawMessage
	_ = json.Unmarshal(use.input, &in) // the parameter is missing then
	for _, required := range requiredParameters[name] {
		if _, ok := in[required]; !ok {
			return fmt.Sprintf("InputValidationError: %s failed due to the following issue:\nThe required parameter `%s` is missing", hookName(name), required)
		}
	}
	return ""
}

// requiredParameters are what a tool cannot do without.
var requiredParameters = map[string][]string{
	"Bash": {"command"}, "Read": {"file_path"}, "Write": {"file_path"}, "Task": {"description", "prompt"},
}

// permit decides about a tool use, asking the host where nothing else decides.
func (s *simulation) permit(use *toolUse, hook hookOutcome) (meta frame, out toolOutcome, allowed bool) {
	p := policy{
		mode: s.mode, allowed: s.inv.allowed, denied: s.inv.denied, dirs: append([]string{s.dir}, s.inv.addDirs...),
		promptTool: s.inv.promptTool, promptsNone: s.inv.promptsNone,
	}
	v := p.decide(use.name, s.absolute(use.input))
	own := s.policies[use.name]
	switch {
	case own == "always_deny":
		v = verdict{decision: "deny", reason: "rule", message: "Permission to use " + use.name + " has been denied."}
	case v.decision != "deny" && (use.ask || hook.ask || own == "always_ask"):
		v = p.ask(use.name, subjectsOf(use.name, use.input))
	case v.asked && hook.allow:
		v = verdict{decision: "allow", reason: "hook"}
	}
	switch v.decision {
	case "allow":
		return accepted("config", v.reason), toolOutcome{}, true
	case "deny":
		s.reportDenial(use, v)
		kind := "permission-rule"
		if v.reason == "classifier" {
			kind = "automode-unavailable"
		}
		if v.reason == "" || s.mode == "plan" && v.reason == "mode" {
			kind = "user-rejected"
		}
		reason := v.reason
		if kind == "user-rejected" {
			reason = ""
		}
		out = toolFailure(v.message, rejected(kind, "config", reason))
		out.denied = true
		return nil, out, false
	}
	return s.askHost(use)
}

func (s *simulation) reportDenial(use *toolUse, v verdict) {
	denial := frame{"tool_name": use.name, "tool_use_id": use.id, "message": v.message}
	if a := s.turn.agent; a != nil {
		denial["agent_id"] = a.id
	}
	if v.reason != "" {
		denial["decision_reason_type"] = v.reason
	}
	if v.detail != "" {
		denial["decision_reason"] = v.detail
	}
	s.system("permission_denied", denial)
}

// absolute is an input whose file path is absolute.
func (s *simulation) absolute(input json.RawMessage) json.RawMessage {
	var in map[string]any
	if json.Unmarshal(input, &in) != nil {
		return input
	}
	path, ok := in["file_path"].(string)
	if !ok || filepath.IsAbs(path) {
		return input
	}
	in["file_path"] = filepath.Join(s.dir, path)
	if data, err := json.Marshal(in); err == nil {
		return data
	}
	return input
}

// answersOf is what the model is told of the answers that the host gave.
func answersOf(use *toolUse) toolOutcome {
	var in struct {
		Questions []struct {
			Question string `json:"question"`
		} `json:"questions"`
		Answers map[string]string `json:"answers"`
	}
	if err := json.Unmarshal(use.input, &in); err != nil {
		return toolFailure("InputValidationError: "+err.Error(), nil)
	}
	var told []string
	for _, q := range in.Questions {
		told = append(told, fmt.Sprintf("%q=%q", q.Question, in.Answers[q.Question]))
	}
	text := "Your questions have been answered: " + strings.Join(told, ", ") + ". You can now continue with these answers in mind."
	return toolOutcome{content: text, structured: in}
}

func (s *simulation) runTool(use *toolUse) toolOutcome {
	switch use.name {
	case "Bash":
		return s.runBash(use)
	case "Read":
		return s.readFile(use)
	case "Write":
		return s.writeFile(use)
	case "AskUserQuestion":
		return answersOf(use)
	case "Task", "Agent":
		return s.runAgent(use)
	}
	if m, tool := s.hostTool(use.name); m != nil {
		return s.callHost(m, tool, use)
	}
	return toolFailure(use.name+" is not part of the simulation", nil)
}

func (s *simulation) readFile(use *toolUse) toolOutcome {
	path := pathOf(s.absolute(use.input))
	data, err := os.ReadFile(path)
	if err != nil {
		return toolFailure("File does not exist. Note: your current working directory is "+s.dir+".", nil)
	}
	lines := strings.Split(string(data), "\n")
	var text strings.Builder
	for i, line := range lines {
		if i > 0 {
			text.WriteByte('\n')
		}
		fmt.Fprintf(&text, "%d\t%s", i+1, line)
	}
	return toolOutcome{content: text.String(), structured: frame{"type": "text", "file": frame{
		"filePath": path, "content": string(data), "numLines": len(lines), "startLine": 1, "totalLines": len(lines),
	}}}
}

func (s *simulation) writeFile(use *toolUse) toolOutcome {
	var in struct {
		Content string `json:"content"`
	}
	_ = json.Unmarshal(use.input, &in) // an empty file then
	path, kind := pathOf(s.absolute(use.input)), "create"
	var original any
	if data, err := os.ReadFile(path); err == nil {
		original, kind = string(data), "update"
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(in.Content), 0o644)); err != nil {
		return toolFailure(err.Error(), nil)
	}
	return toolOutcome{content: "File written successfully at: " + path, structured: frame{
		"type": kind, "filePath": path, "content": in.Content, "structuredPatch": []any{}, "originalFile": original, "userModified": false,
	}}
}
