package session

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/understudy-run/understudy/session/protocol"
)

// Agent is a subagent that the model can give work to, or that a session is (Options.Agent).
type Agent struct {
	// Description tells the model what to use it for. Required.
	Description string `json:"description,omitzero"`
	// Prompt is its system prompt. Required.
	Prompt string `json:"prompt,omitzero"`
	// Tools are those that it may use, DisallowedTools those that it may not (mcp__SERVER for all of a server). nil: what the
	// session may.
	Tools           []string `json:"tools,omitzero"`
	DisallowedTools []string `json:"disallowed_tools,omitzero"`
	// Model is an alias, a full id, or inherit. Empty: the CLI's default for subagents.
	Model string `json:"model,omitzero"`
	// Effort is one of the levels of Options.Effort.
	Effort Effort `json:"effort,omitzero"`
	// PermissionMode is its own. Empty: the session's.
	PermissionMode protocol.PermissionMode `json:"permission_mode,omitzero"`
	// MaxTurns bounds its model calls. 0: no limit.
	MaxTurns int `json:"max_turns,omitzero"`
	// Skills are loaded into its context.
	Skills []string `json:"skills,omitzero"`
	// MCPServers are the names of servers of the session that it gets.
	MCPServers []string `json:"mcp_servers,omitzero"`
	// InitialPrompt is its first prompt when it is the main conversation.
	InitialPrompt string `json:"initial_prompt,omitzero"`
	// Background runs it beside the conversation: its result wakes the model later, in a turn of the CLI's own.
	Background bool `json:"background,omitzero"`
	// Memory is where it keeps notes: user, project or local. Empty: nowhere.
	Memory string `json:"memory,omitzero"`
	// OmitClaudeMD leaves CLAUDE.md out of its context.
	OmitClaudeMD bool `json:"omit_claude_md,omitzero"`
	// AutoCompactWindow is at how many tokens it compacts its conversation. 0: where the session does.
	AutoCompactWindow int `json:"auto_compact_window,omitzero"`
	// Observer is an agent that watches it, with ObserverMessage at the end of what it is told.
	Observer        string `json:"observer,omitzero"`
	ObserverMessage string `json:"observer_message,omitzero"`
	// Isolation worktree gives each of its runs a git worktree of its own.
	Isolation string `json:"isolation,omitzero"`
}

func (a Agent) problems(name string, add func(option string, value any, expected string)) {
	at := "agents." + name
	if a.Description == "" {
		add(at+".description", `""`, "what the agent is for: the CLI drops one without it")
	}
	if a.Prompt == "" {
		add(at+".prompt", `""`, "a system prompt: the CLI drops an agent without one")
	}
	if !a.Effort.valid() {
		add(at+".effort", a.Effort, effortWords())
	}
	if a.PermissionMode != "" && !a.PermissionMode.Valid() {
		add(at+".permission_mode", a.PermissionMode, "a permission mode")
	}
	if a.MaxTurns < 0 {
		add(at+".max_turns", a.MaxTurns, "0 (no limit) or more")
	}
	if a.AutoCompactWindow < 0 {
		add(at+".auto_compact_window", a.AutoCompactWindow, "0 (for the default) or more")
	}
	if a.Memory != "" && !slices.Contains([]string{"user", "project", "local"}, a.Memory) {
		add(at+".memory", a.Memory, "user, project or local")
	}
	if a.Isolation != "" && a.Isolation != "worktree" {
		add(at+".isolation", a.Isolation, "worktree")
	}
	if a.ObserverMessage != "" && a.Observer == "" {
		add(at+".observer_message", "is set", "observer as well")
	}
}

func (a Agent) wire() protocol.AgentDefinition {
	return protocol.AgentDefinition{
		Description: a.Description, Prompt: a.Prompt, Tools: a.Tools, DisallowedTools: a.DisallowedTools, Model: a.Model,
		Effort: string(a.Effort), PermissionMode: a.PermissionMode, MaxTurns: a.MaxTurns, Skills: a.Skills, MCPServers: a.MCPServers,
		InitialPrompt: a.InitialPrompt, Background: a.Background, Memory: a.Memory, OmitClaudeMD: a.OmitClaudeMD,
		AutoCompactWindow: a.AutoCompactWindow, Observer: a.Observer, ObserverMessage: a.ObserverMessage, Isolation: a.Isolation,
	}
}

// rawValues are values as JSON, by name.
func rawValues[V, W any](values map[string]V, wire func(string, V) (W, bool)) (map[string]json.RawMessage, error) {
	var out map[string]json.RawMessage
	for _, name := range slices.Sorted(maps.Keys(values)) {
		w, ok := wire(name, values[name])
		if !ok {
			continue
		}
		raw, err := json.Marshal(w)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if out == nil {
			out = make(map[string]json.RawMessage)
		}
		out[name] = raw
	}
	return out, nil
}
