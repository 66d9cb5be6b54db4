package sessiontest

import (
	"encoding/json"
	"maps"
	"slices"
)

// agentKind is a kind of subagent, as initialize defines it.
type agentKind struct {
	Description string   `json:"description"`
	Tools       []string `json:"tools"` // nil for all
	Disallowed  []string `json:"disallowedTools"`
	Model       string   `json:"model"`
	Background  bool     `json:"background"`
}

// ownAgentKinds are those that the CLI brings along.
var ownAgentKinds = []string{"claude", "Explore", "general-purpose", "Plan", "statusline-setup"}

// kindOf finds a kind by its name; no name is general-purpose.
func (s *simulation) kindOf(name string) (agentKind, bool) {
	if kind, ok := s.agentKinds[name]; ok {
		return kind, true
	}
	return agentKind{}, slices.Contains(ownAgentKinds, name)
}

func (s *simulation) agentNames() []string {
	return slices.Concat(ownAgentKinds, slices.Sorted(maps.Keys(s.agentKinds)))
}

// agentList is that of the answer to initialize.
func (s *simulation) agentList() []any {
	list := []any{frame{"name": "general-purpose", "description": "Works on a task of several steps"}}
	for _, name := range slices.Sorted(maps.Keys(s.agentKinds)) {
		list = append(list, frame{"name": name, "description": s.agentKinds[name].Description})
	}
	return list
}

// startsAgent says so of a tool. The CLI lists it as Task; the model may call it Agent, and hooks get to know it as that.
func startsAgent(tool string) bool { return tool == "Task" || tool == "Agent" }

// hookName is what hooks and rules call a tool.
func hookName(tool string) string {
	if tool == "Task" {
		return "Agent"
	}
	return tool
}

// agentCall is the input of the tool.
type agentCall struct {
	Description string `json:"description"`
	Prompt      string `json:"prompt"`
	Kind        string `json:"subagent_type"`
	Model       string `json:"model"`
	Background  *bool  `json:"run_in_background"`
}

func parseAgentCall(input json.RawMessage) (agentCall, error) {
	call := agentCall{Kind: "general-purpose"}
	err := json.Unmarshal(input, &call)
	return call, err
}

// agentStats is what results say of subagents.
type agentStats struct {
	spawned, background, foreground, unset, behind, deepest, nested, completed, failed, byUser, bySystem, tooMany int
	kinds                                                                                                         map[string]int
}

func (a agentStats) frame() frame {
	kinds := maps.Clone(a.kinds)
	if kinds == nil {
		kinds = map[string]int{}
	}
	return frame{
		"spawned": a.spawned, "requested": frame{"background": a.background, "foreground": a.foreground, "unset": a.unset},
		"started_in_background": a.behind, "max_depth": a.deepest, "spawned_by_subagents": a.nested, "completed": a.completed,
		"failed": a.failed, "killed": frame{"parent": 0, "user": a.byUser, "system": a.bySystem},
		"refused": frame{"depth_limit": 0, "concurrency_limit": a.tooMany, "budget": 0}, "by_type": kinds,
	}
}
