package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// CanUseTool asks whether a tool may run. It comes only where rules and mode say
// "ask", and only with --permission-prompt-tool stdio: for a look at every tool use there is
// the PreToolUse hook. The CLI waits for ever; several questions can be open at once.
// The answer is a PermissionResult; an error reply or an invalid one denies.
type CanUseTool struct {
	wire
	ToolName                string             `json:"tool_name" wire:"essential"`
	Input                   json.RawMessage    `json:"input" wire:"essential"`
	ToolUseID               string             `json:"tool_use_id"`
	AgentID                 string             `json:"agent_id,omitempty"` // the subagent that asks
	DisplayName             string             `json:"display_name,omitempty"`
	Title                   string             `json:"title,omitempty"`
	Description             string             `json:"description,omitempty"`
	PermissionSuggestions   []PermissionUpdate `json:"permission_suggestions,omitempty"` // what "always allow" would store
	BlockedPath             string             `json:"blocked_path,omitempty"`
	DecisionReason          string             `json:"decision_reason,omitempty"`
	DecisionReasonType      string             `json:"decision_reason_type,omitempty"`      // rule, mode, safetyCheck, …
	RequiresUserInteraction bool               `json:"requires_user_interaction,omitempty"` // a question to a person, such as AskUserQuestion
	DefaultToNo             bool               `json:"default_to_no,omitempty"`
	ClassifierApprovable    *bool              `json:"classifier_approvable,omitempty"`      // false: a safety check wants a person
	SuppressAlwaysAllowRule bool               `json:"suppress_always_allow_rule,omitempty"` // do not offer to always allow it
	MatchedAskRule          json.RawMessage    `json:"matched_ask_rule,omitempty"`           // the rule of the settings that asks
	ServerPolicyAskOnly     bool               `json:"server_policy_ask_only,omitempty"`     // it is asked for nothing but the MCP server's own policy
	MCPServer               *MCPProvenance     `json:"mcp_server,omitempty"`
}

// MCPProvenance is the server an MCP tool comes from.
type MCPProvenance struct {
	wire
	Name   string `json:"name"`
	Source string `json:"source,omitempty"`
}

// PermissionUpdate is a change of the permission rules.
type PermissionUpdate struct {
	wire
	Type        string           `json:"type"` // addRules, replaceRules, removeRules, setMode, addDirectories, removeDirectories
	Rules       []PermissionRule `json:"rules,omitempty"`
	Behavior    string           `json:"behavior,omitempty"` // allow, deny, ask
	Mode        PermissionMode   `json:"mode,omitempty"`
	Directories []string         `json:"directories,omitempty"`
	Destination string           `json:"destination"` // userSettings, projectSettings, localSettings, session, cliArg
}

// UnmarshalJSON keeps unknown keys for MarshalJSON.
func (u *PermissionUpdate) UnmarshalJSON(data []byte) error { return unmarshal(data, u) }

// MarshalJSON writes the update with the keys it was read with.
func (u PermissionUpdate) MarshalJSON() ([]byte, error) { return marshal(&u) }

// PermissionRule is one rule, such as tool Bash with content "git log:*".
type PermissionRule struct {
	wire
	ToolName    string  `json:"toolName"`
	RuleContent *string `json:"ruleContent,omitempty"`
}

// PermissionResult is the answer to CanUseTool: an Allow or a Deny, to be given to NewControlSuccess.
//
//sumtype:decl
type PermissionResult interface{ isPermissionResult() }

// Allow lets the tool run.
type Allow struct {
	wire
	// UpdatedInput replaces the whole input of the tool. Allowed makes an Allow with the
	// input that was asked about; some CLI versions need one.
	UpdatedInput       json.RawMessage    `json:"updatedInput,omitempty"`
	UpdatedPermissions []PermissionUpdate `json:"updatedPermissions,omitempty"` // at most 4096
	Classification     string             `json:"decisionClassification,omitempty"`
	ToolUseID          string             `json:"toolUseID,omitempty"`
}

// Deny keeps the tool from running.
type Deny struct {
	wire
	Message   string `json:"message"`             // for the model; without one the CLI takes the answer for invalid, so it cannot be marshalled
	Interrupt bool   `json:"interrupt,omitempty"` // end the turn too, with error_during_execution

	Classification string `json:"decisionClassification,omitempty"`
	ToolUseID      string `json:"toolUseID,omitempty"`
}

// The classifications of an answer that a person gave, for the CLI's own records.
const (
	ClassifiedTemporary = "user_temporary" // allowed this once
	ClassifiedPermanent = "user_permanent" // allowed from now on
	ClassifiedReject    = "user_reject"
)

func (Allow) isPermissionResult() {}
func (Deny) isPermissionResult()  {}

func (*Allow) constants() []constant { return []constant{{"behavior", "allow"}} }
func (*Deny) constants() []constant  { return []constant{{"behavior", "deny"}} }

// ErrDenyWithoutMessage refuses to write a Deny that the CLI would not understand.
var ErrDenyWithoutMessage = errors.New("deny has no message: the CLI needs one, for the model")

func (d *Deny) check() error {
	if strings.TrimSpace(d.Message) == "" {
		return ErrDenyWithoutMessage
	}
	return nil
}

func (a *Allow) check() error {
	if len(a.UpdatedInput) > 0 && !isObject(a.UpdatedInput) {
		return errors.New("updatedInput of an allow is no JSON object")
	}
	return nil
}

func isObject(raw []byte) bool {
	s := scanner{b: raw}
	return s.next() == '{'
}

// Allowed lets a tool run with the input that was asked about.
func Allowed(q *CanUseTool) Allow { return Allow{UpdatedInput: q.Input} }

// NewDeny keeps a tool from running. The message is for the model and must not be empty.
func NewDeny(message string) (Deny, error) {
	d := Deny{Message: message}
	return d, d.check()
}

// MarshalJSON writes the result. UpdatedInput that is no object is an error.
func (a Allow) MarshalJSON() ([]byte, error) { return marshal(&a) }

// MarshalJSON writes the result. An empty message is ErrDenyWithoutMessage.
func (d Deny) MarshalJSON() ([]byte, error) {
	if err := d.check(); err != nil { // also for one that was decoded and edited
		return nil, err
	}
	return marshal(&d)
}

// ParsePermissionResult reads the payload of an answer to CanUseTool, as the CLI's side does.
func ParsePermissionResult(raw json.RawMessage) (PermissionResult, error) {
	d := decoder{scanner: scanner{b: raw}}
	if d.next() != '{' {
		return nil, fmt.Errorf("read permission result: want an object, found %s", describe(raw))
	}
	behavior, _ := d.scanTags("behavior", "")
	if d.msg != "" {
		return nil, d.error()
	}
	switch {
	case behavior == nil:
		return nil, errors.New("read permission result: behavior is missing")
	case *behavior == "allow":
		var a Allow
		if err := unmarshal(raw, &a); err != nil {
			return nil, err
		}
		return a, a.check()
	case *behavior == "deny":
		var deny Deny
		if err := unmarshal(raw, &deny); err != nil {
			return nil, err
		}
		return deny, deny.check()
	}
	return nil, fmt.Errorf("read permission result: behavior %q: want allow or deny", *behavior)
}
