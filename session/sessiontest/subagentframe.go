package sessiontest

import (
	"encoding/json"
	"path/filepath"
	"slices"
)

// speaker is the model of the conversation at work.
func (s *simulation) speaker() string {
	if s.turn != nil && s.turn.agent != nil {
		return s.turn.agent.model
	}
	return s.model
}

// root is the turn of the main conversation that a turn is part of.
func (t *turn) root() *turn {
	for t.agent != nil {
		t = t.agent.caller
	}
	return t
}

// tell says a message of the conversation at work, if the host is told of it. It returns the id of its frame.
func (s *simulation) tell(f frame) string {
	a := s.turn.agent
	if a == nil {
		if s.turn.over {
			return ""
		}
		return s.say(f)
	}
	if !s.heard(a) || !a.background && !s.forward && isAnswer(f) {
		return ""
	}
	f["parent_tool_use_id"], f["agent_id"], f["subagent_type"], f["task_description"] = a.toolUseID, a.id, a.kind, a.description
	return s.say(f)
}

// heard says whether the host is told what a subagent says: one in the foreground as long as its caller waits, and if that is
// another subagent, only where the host wants to hear all of it.
func (s *simulation) heard(a *agent) bool {
	switch {
	case a.background:
		return true
	case a.caller.over || a.caller.interrupted:
		return false
	case a.caller.agent != nil:
		return s.forward && s.heard(a.caller.agent)
	}
	return true
}

// isAnswer says whether a message is text of the model.
func isAnswer(f frame) bool {
	if f["type"] != "assistant" {
		return false
	}
	message, _ := f["message"].(frame)
	content, _ := message["content"].([]any)
	return slices.ContainsFunc(content, func(block any) bool {
		b, _ := block.(frame)
		return b["type"] == "text"
	})
}

// saysLater says whether a tool use is told with its hooks, as it is with subagents in the foreground.
func (a *agent) saysLater(block wireBlock) bool {
	return a != nil && !a.background && block.Type == "tool_use"
}

// tellBlock says a tool use that was not said with its answer.
func (s *simulation) tellBlock(use *toolUse) {
	if block := (wireBlock{Type: "tool_use", ID: use.id, Name: use.name, Input: use.input}); s.turn.agent.saysLater(block) {
		s.emitBlock(use.message, 0, block)
	}
}

// tellUse reports the progress of a subagent.
func (s *simulation) tellUse(use *toolUse) {
	a := s.turn.agent
	if a == nil {
		return
	}
	a.tools++
	s.system("task_progress", frame{
		"task_id": a.id, "run_id": a.runID, "tool_use_id": a.toolUseID, "description": progress(use, a.description), "subagent_type": a.kind,
		"usage": a.usage(), "last_tool_name": use.name,
	})
}

// hasRun takes down tools that a subagent, or one that it waited for, has used.
func (a *agent) hasRun(tools ...string) {
	if a == nil {
		return
	}
	for _, name := range tools {
		if name = hookName(name); !slices.Contains(a.toolNames, name) {
			a.toolNames = append(a.toolNames, name)
		}
	}
}

func progress(use *toolUse, description string) string {
	var in struct {
		Command string `json:"command"`
		Path    string `json:"file_path"`
	}
	_ = json.Unmarshal(use.input, &in) // the description then
	switch {
	case use.name == "Bash" && in.Command != "":
		return "Running " + in.Command
	case use.name == "Read" && in.Path != "":
		return "Reading " + filepath.Base(in.Path)
	}
	return description
}

// callAgentHooks calls those of a subagent's start and end, which are matched against its kind.
func (s *simulation) callAgentHooks(event string, a *agent, about frame) (hookOutcome, bool) {
	var pending []*pendingHook
	for _, m := range s.hooks[event] {
		if !m.matches(a.kind) {
			continue
		}
		for _, id := range m.HookCallbackIDs {
			pending = append(pending, s.callHook(event, id, m, newUUID(), about))
		}
	}
	return s.awaitHooks(event, pending)
}

// hookTasks is what hooks are told of the background.
func (s *simulation) hookTasks() []frame {
	list := []frame{}
	for _, t := range s.tasks {
		if t.agent != nil {
			list = append(list, frame{"id": t.id, "type": "subagent", "status": "running", "description": t.description, "agent_type": t.agent.kind})
		}
	}
	return list
}
