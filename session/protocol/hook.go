package protocol

import (
	"encoding/json"
)

// HookCallback calls a hook that Initialize registered. All callbacks of one
// event are sent at once. The answer is a HookOutput.
//
// An error reply, a missing or an invalid payload FAILS OPEN: the CLI treats it as no opinion
// and the tool runs, unless the matcher says OnFailureBlock. No answer within the
// matcher's timeout keeps a PreToolUse tool from running.
type HookCallback struct {
	wire
	CallbackID string    `json:"callback_id" wire:"essential"`
	Input      HookInput `json:"input" wire:"essential"`
	ToolUseID  string    `json:"tool_use_id,omitempty"` // a random id for events that are about no tool
}

// HookMatcher registers callbacks for an event.
type HookMatcher struct {
	wire
	Matcher         *string  `json:"matcher"`             // case-sensitive regular expression for the tool name; nil for all
	HookCallbackIDs []string `json:"hookCallbackIds"`     // the sender's to choose
	Timeout         int      `json:"timeout,omitempty"`   // seconds; 0 for the CLI's 600
	OnFailure       string   `json:"onFailure,omitempty"` // OnFailureBlock for a guard; empty fails open
}

// OnFailureBlock makes a failing callback deny. InitializeResponse.HookOnFailureSupported
// tells whether the CLI knows it.
const OnFailureBlock = "block"

// UnmarshalJSON keeps unknown keys for MarshalJSON.
func (h *HookMatcher) UnmarshalJSON(data []byte) error { return unmarshal(data, h) }

// MarshalJSON writes the matcher with the keys it was read with.
func (h HookMatcher) MarshalJSON() ([]byte, error) { return marshal(&h) }

// The hook events with typed fields, and others that callbacks are delivered for.
const (
	HookPreToolUse         = "PreToolUse"
	HookPostToolUse        = "PostToolUse"
	HookPostToolUseFailure = "PostToolUseFailure"
	HookPostToolBatch      = "PostToolBatch"
	HookPermissionRequest  = "PermissionRequest"
	HookUserPromptSubmit   = "UserPromptSubmit"
	HookStop               = "Stop"
	HookSubagentStart      = "SubagentStart"
	HookSubagentStop       = "SubagentStop"
	HookPreCompact         = "PreCompact"
	HookPostCompact        = "PostCompact"
)

// HookInput is what a hook is told. The fields of PreToolUse, PostToolUse and
// PostToolUseFailure are typed; Raw has those of the other events.
type HookInput struct {
	wire
	HookEventName  string         `json:"hook_event_name" wire:"essential"`
	SessionID      string         `json:"session_id"`
	TranscriptPath string         `json:"transcript_path"`
	CWD            string         `json:"cwd"`
	PromptID       string         `json:"prompt_id,omitempty"`
	PermissionMode PermissionMode `json:"permission_mode,omitempty"`
	AgentID        string         `json:"agent_id,omitempty"` // the subagent it happens in
	AgentType      string         `json:"agent_type,omitempty"`
	Effort         *Effort        `json:"effort,omitempty"`
	// ToolName can differ from the model's spelling: a Task call is reported as Agent.
	ToolName     string          `json:"tool_name,omitempty"`
	ToolInput    json.RawMessage `json:"tool_input,omitempty"`
	ToolUseID    string          `json:"tool_use_id,omitempty"`
	ToolResponse json.RawMessage `json:"tool_response,omitempty"` // of PostToolUse, of the tool's shape
	Error        string          `json:"error,omitempty"`         // of PostToolUseFailure
	IsInterrupt  bool            `json:"is_interrupt,omitempty"`  // of PostToolUseFailure
	DurationMS   *float64        `json:"duration_ms,omitempty"`   // of the tool, milliseconds
	MCPServer    *MCPProvenance  `json:"mcp_server,omitempty"`
	Prompt       string          `json:"prompt,omitempty"` // of UserPromptSubmit
}

// UnmarshalJSON keeps unknown keys for MarshalJSON.
func (h *HookInput) UnmarshalJSON(data []byte) error { return unmarshal(data, h) }

// MarshalJSON writes the input with the keys it was read with.
func (h HookInput) MarshalJSON() ([]byte, error) { return marshal(&h) }

// Effort is how hard the model is asked to think.
type Effort struct {
	wire
	Level string `json:"level"`
}

// HookOutput is a hook's answer. The zero value is {}, no opinion.
//
// A PreToolUse hook denies with DenyTool and with nothing else: Continue false lets the
// tool run and ends the turn afterwards.
type HookOutput struct {
	wire
	Continue           *bool               `json:"continue,omitempty"`
	StopReason         string              `json:"stopReason,omitempty"`
	SuppressOutput     bool                `json:"suppressOutput,omitempty"`
	Decision           string              `json:"decision,omitempty"` // block: of Stop, UserPromptSubmit, PostToolUse
	Reason             string              `json:"reason,omitempty"`
	SystemMessage      string              `json:"systemMessage,omitempty"` // shown as an informational frame
	HookSpecificOutput *HookSpecificOutput `json:"hookSpecificOutput,omitempty"`
}

// HookSpecificOutput is what only some events understand.
type HookSpecificOutput struct {
	wire
	HookEventName            string          `json:"hookEventName" wire:"essential"` // the event that is answered
	PermissionDecision       string          `json:"permissionDecision,omitempty"`   // of PreToolUse: DecisionAllow, DecisionDeny, DecisionAsk
	PermissionDecisionReason string          `json:"permissionDecisionReason,omitempty"`
	UpdatedInput             json.RawMessage `json:"updatedInput,omitempty"`      // of PreToolUse: replaces the whole input
	AdditionalContext        string          `json:"additionalContext,omitempty"` // told to the model
	UpdatedToolOutput        json.RawMessage `json:"updatedToolOutput,omitempty"` // of PostToolUse
}

// What a PreToolUse hook can decide. "defer" exists too; it ends the turn.
const (
	DecisionAllow = "allow" // no permission question is asked
	DecisionDeny  = "deny"
	DecisionAsk   = "ask"
)

// UnmarshalJSON keeps unknown keys for MarshalJSON.
func (h *HookOutput) UnmarshalJSON(data []byte) error { return unmarshal(data, h) }

// MarshalJSON writes the output with the keys it was read with.
func (h HookOutput) MarshalJSON() ([]byte, error) { return marshal(&h) }

// Empty is a hook's answer without an opinion.
func Empty() HookOutput { return HookOutput{} }

// DenyTool is a PreToolUse hook's answer that keeps the tool from running. The
// reason is told to the model; an empty one is replaced, never sent.
func DenyTool(reason string) HookOutput {
	if reason == "" {
		reason = "denied by the host"
	}
	return HookOutput{HookSpecificOutput: &HookSpecificOutput{
		HookEventName:            HookPreToolUse,
		PermissionDecision:       DecisionDeny,
		PermissionDecisionReason: reason,
	}}
}
