package session

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

// longText is from where on a text travels in the handshake: the system takes 128 KiB in one argument.
const longText = 64 << 10

// handshake is what the session tells the CLI before anything else: what is no flag, is too long for one, or is a
// secret, since every user of the machine can read the arguments. l is what the process was started with.
func (o Options) handshake(l process.Launch) (*protocol.Initialize, error) {
	body := &protocol.Initialize{
		Hooks: o.Hooks.registrations(), SupportedDialogKinds: o.DialogKinds,
		PlanModeInstructions: o.PlanModeInstructions, ToolAliases: o.ToolAliases, Title: o.Title,
		SystemPromptSnapshot:   o.SystemPromptSnapshot,
		ExcludeDynamicSections: ifTrue(o.ExcludeDynamicSections), PromptSuggestions: ifTrue(o.PromptSuggestions),
		AgentProgressSummaries: ifTrue(o.AgentProgressSummaries), ForwardSubagentText: ifTrue(o.ForwardSubagentText),
		PerTaskStopAffordance: ifTrue(o.PerTaskStopAffordance),
	}
	if len(o.SystemPrompt) >= longText {
		body.SystemPrompt = []string{o.SystemPrompt}
	}
	if len(o.AppendSystemPrompt) >= longText {
		body.AppendSystemPrompt = o.AppendSystemPrompt
	}
	if !slices.Equal(o.Skills, allSkills) {
		body.Skills = o.Skills
	}
	schema, err := o.schema()
	if err != nil {
		return nil, err
	}
	if len(schema) >= longText {
		body.JSONSchema = json.RawMessage(schema)
	}
	if body.Agents, err = rawValues(o.Agents, func(_ string, a Agent) (protocol.AgentDefinition, bool) { return a.wire(), true }); err != nil {
		return nil, fmt.Errorf("agents: %w", err)
	}
	if body.MCPServers, err = rawValues(o.MCPServers, func(name string, s MCPServer) (protocol.MCPServerConfig, bool) {
		return s.wire(name), s.transport() != MCPInProcess
	}); err != nil {
		return nil, fmt.Errorf("mcp_servers: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(o.MCPServers)) {
		if o.MCPServers[name].transport() == MCPInProcess {
			body.SDKMCPServers = append(body.SDKMCPServers, name)
		}
	}
	if body.SDKMCPServerConfigs, err = rawValues(o.MCPServers, func(_ string, s MCPServer) (protocol.SDKMCPServerConfig, bool) {
		return protocol.SDKMCPServerConfig{Timeout: s.Timeout.Milliseconds(), Tools: s.policies()}, s.transport() == MCPInProcess && (s.Timeout > 0 || s.Tools != nil)
	}); err != nil {
		return nil, fmt.Errorf("mcp_servers: %w", err)
	}
	settings, managed, err := l.InHandshake()
	if err != nil {
		return nil, err
	}
	return body, carry(body, settings, managed)
}

// carry has the frame carry settings.
func carry(body *protocol.Initialize, settings, managed map[string]any) (err error) {
	for _, part := range []struct {
		values map[string]any
		to     *json.RawMessage
	}{{settings, &body.Settings}, {managed, &body.ManagedSettings}} {
		if part.values == nil {
			continue
		}
		if *part.to, err = json.Marshal(part.values); err != nil {
			return fmt.Errorf("settings: %w", err)
		}
	}
	return nil
}

// schema is OutputFormat.Schema as JSON. It is a flag where it can be: the CLI says what is wrong with one in a flag, and
// drops one in the handshake.
func (o Options) schema() (string, error) {
	if o.OutputFormat.Schema == nil {
		return "", nil
	}
	data, err := json.Marshal(o.OutputFormat.Schema)
	if err != nil {
		return "", fmt.Errorf("output_format.schema: %w", err)
	}
	return string(data), nil
}

// allSkills is how all skills are written.
var allSkills = []string{"all"}

// skillRules are the permission rules that let the model use the skills of the options.
func (o Options) skillRules() []string {
	if slices.Equal(o.Skills, allSkills) {
		return []string{"Skill"}
	}
	var rules []string
	for _, name := range o.Skills {
		rules = append(rules, "Skill("+name+")")
	}
	return rules
}

func ifTrue(b bool) *bool {
	if !b {
		return nil
	}
	return &b
}

// Handshake is what the CLI is told first, as JSON, for showing: values of environments and headers, of MCP servers and in
// settings, are [redacted].
func (s *Session) Handshake() (json.RawMessage, error) {
	o := s.spec.Options
	o.MCPServers = maps.Clone(o.MCPServers)
	for name, server := range o.MCPServers {
		server.Env, server.Headers = covered(server.Env), covered(server.Headers)
		o.MCPServers[name] = server
	}
	launch := s.Launch()
	body, err := o.handshake(launch)
	if err != nil {
		return nil, err
	}
	settings, managed, err := launch.InHandshake()
	if err != nil {
		return nil, err
	}
	if err := carry(body, process.Covered(settings), process.Covered(managed)); err != nil {
		return nil, err
	}
	frame, err := protocol.Encode(protocol.NewControlRequest("handshake", body))
	if err != nil {
		return nil, err
	}
	var parts struct {
		Request map[string]json.RawMessage `json:"request"`
	}
	if err := json.Unmarshal(frame, &parts); err != nil {
		return nil, err
	}
	delete(parts.Request, "subtype")
	return json.Marshal(parts.Request)
}

func covered(secrets map[string]Secret) map[string]Secret {
	if secrets == nil {
		return nil
	}
	out := make(map[string]Secret, len(secrets))
	for name := range secrets {
		out[name] = redacted
	}
	return out
}
