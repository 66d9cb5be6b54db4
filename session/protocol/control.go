package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// ControlRequest asks the other side for something; the same frame goes both ways. Each must be
// answered exactly once, by a ControlResponse with the same id: the CLI waits without
// end for most answers, and a kind the host does not know gets NewControlError.
// The ids of the two sides are independent of each other.
type ControlRequest struct {
	wire
	RequestID string      `json:"request_id" wire:"essential"`
	Request   ControlBody `json:"request" wire:"essential"`
}

// ControlBody is what is asked. The set is closed; *UnknownRequest stands for
// every other subtype. CanUseTool, HookCallback, MCPMessage, Elicitation and
// UserDialog come from the CLI, MCPMessage goes both ways, the others go to it.
//
//sumtype:decl
type ControlBody interface {
	isControlBody()
	// RequestSubtype is the subtype on the wire.
	RequestSubtype() string
	// Raw returns the JSON the request was decoded from, nil for one built in Go.
	Raw() json.RawMessage
}

// Initialize is the handshake. Sent again to a live session it replaces the hooks.
// Hooks of a wrong shape make the CLI answer with an error and go on without any hook: do not
// serve then. A misspelt event name is accepted in silence.
type Initialize struct {
	wire
	Hooks                  map[string][]HookMatcher   `json:"hooks,omitempty"`               // by event, such as HookPreToolUse
	SDKMCPServers          []string                   `json:"sdkMcpServers,omitempty"`       // names of servers that live in the host
	SDKMCPServerConfigs    map[string]json.RawMessage `json:"sdkMcpServerConfigs,omitempty"` // SDKMCPServerConfig by name
	SystemPrompt           []string                   `json:"systemPrompt,omitempty"`
	AppendSystemPrompt     string                     `json:"appendSystemPrompt,omitempty"`
	SystemPromptSnapshot   *bool                      `json:"systemPromptSnapshot,omitempty"`
	PlanModeInstructions   string                     `json:"planModeInstructions,omitempty"`
	JSONSchema             json.RawMessage            `json:"jsonSchema,omitempty"`
	Agents                 map[string]json.RawMessage `json:"agents,omitempty"`
	Skills                 []string                   `json:"skills,omitempty"`
	ToolAliases            map[string]string          `json:"toolAliases,omitempty"`
	Title                  string                     `json:"title,omitempty"`
	SupportedDialogKinds   []string                   `json:"supportedDialogKinds,omitempty"`
	ExcludeDynamicSections *bool                      `json:"excludeDynamicSections,omitempty"`
	PromptSuggestions      *bool                      `json:"promptSuggestions,omitempty"`
	AgentProgressSummaries *bool                      `json:"agentProgressSummaries,omitempty"`
	ForwardSubagentText    *bool                      `json:"forwardSubagentText,omitempty"`
	// PerTaskStopAffordance true keeps an interrupt from ending background agents.
	PerTaskStopAffordance *bool           `json:"perTaskStopAffordance,omitempty"`
	Plugins               json.RawMessage `json:"plugins,omitempty"` // with --await-initialize only
	// Settings are what --settings would be. They count with --initialize-fields=settings only, and have to be there then.
	Settings json.RawMessage `json:"settings,omitempty"`
	// ManagedSettings are of the policy tier. They count with --managed-settings-in-initialize only, and have to be there then.
	ManagedSettings json.RawMessage            `json:"managedSettings,omitempty"`
	MCPServers      map[string]json.RawMessage `json:"mcpServers,omitempty"` // with --await-initialize only
}

// Interrupt ends the running turn, which then gives a result. On an idle session no result follows.
type Interrupt struct {
	wire
	CancelQueued bool `json:"cancel_queued,omitempty"` // drop the queued prompts too; they survive otherwise
}

// SetModel changes the model from the next turn on. It survives a resume.
type SetModel struct {
	wire
	Model *string `json:"model"` // nil for the default model
}

// SetPermissionMode changes the permission mode. It does not survive a resume.
type SetPermissionMode struct {
	wire
	Mode PermissionMode `json:"mode" wire:"essential"`
}

// SetMaxThinkingTokens bounds the model's reasoning; nil takes the bound away.
type SetMaxThinkingTokens struct {
	wire
	MaxThinkingTokens *int    `json:"max_thinking_tokens"`
	ThinkingDisplay   *string `json:"thinking_display,omitempty"` // summarized, omitted, highlights
}

// MCPStatus asks for the state of the MCP servers.
type MCPStatus struct {
	wire
	LiveReply bool `json:"liveReply,omitempty"` // of sessions in the cloud
}

// MCPSetServers replaces the servers that were set at run time, and all servers in the host.
type MCPSetServers struct {
	wire
	Servers map[string]json.RawMessage `json:"servers"`
}

// StopTask ends a background task. The answer is the same for an id that does not exist.
type StopTask struct {
	wire
	TaskID string `json:"task_id" wire:"essential"`
}

// EndSession makes the CLI end by itself, within about a second.
type EndSession struct {
	wire
	Reason string `json:"reason,omitempty"`
}

// MCPMessage carries one JSON-RPC message for, or of, an MCP server in the host.
// Notifications need an answer to the control request too. The first ones come before
// the answer to Initialize. It is cancelled by a JSON-RPC notification, not by ControlCancelRequest.
type MCPMessage struct {
	wire
	ServerName string          `json:"server_name" wire:"essential"`
	Message    json.RawMessage `json:"message" wire:"essential"`
}

// Elicitation is a question of an MCP server to the user. It comes unasked for, and the tool hangs
// until it is answered with an ElicitationResponse.
type Elicitation struct {
	wire
	MCPServerName   string          `json:"mcp_server_name" wire:"essential"`
	Message         string          `json:"message"`
	Mode            string          `json:"mode,omitempty"` // form (the default), url
	URL             string          `json:"url,omitempty"`
	ElicitationID   string          `json:"elicitation_id,omitempty"`
	RequestedSchema json.RawMessage `json:"requested_schema,omitempty"`
	PropertyOrder   []string        `json:"property_order,omitempty"`
	Title           string          `json:"title,omitempty"`
	DisplayName     string          `json:"display_name,omitempty"`
	Description     string          `json:"description,omitempty"`
}

// UserDialog asks the host to show a dialog, of a kind that Initialize declared. One of
// another kind must be left without an answer: the CLI gives up by itself.
type UserDialog struct {
	wire
	DialogKind string          `json:"dialog_kind" wire:"essential"`
	Payload    json.RawMessage `json:"payload" wire:"object"`
	ToolUseID  string          `json:"tool_use_id,omitempty"`
}

// UnknownRequest is a request of another subtype, or one that lacks what its
// subtype needs. Raw has its fields. One from the CLI is answered with NewControlError.
type UnknownRequest struct {
	wire
	Subtype string `json:"subtype,omitempty"`
	Reason  string `json:"-"` // why a request of a known subtype is here, else empty
}

func (r *UnknownRequest) because(reason string) { r.Reason = reason }

// NewRequest makes a request of any subtype, for those that have no type here.
// Fields are marshalled with encoding/json and must become an object; nil adds none.
func NewRequest(subtype string, fields any) (*UnknownRequest, error) {
	if subtype == "" {
		return nil, errors.New("make control request: subtype is empty")
	}
	raw := json.RawMessage("{}")
	if fields != nil {
		var err error
		if raw, err = toJSON(fields); err != nil {
			return nil, fmt.Errorf("make control request %s: %w", subtype, err)
		}
		if describe(raw) != "an object" {
			return nil, fmt.Errorf("make control request %s: fields are %s, want an object", subtype, describe(raw))
		}
	}
	r := &UnknownRequest{Subtype: subtype}
	r.hold(raw)
	return r, nil
}

func (*Initialize) isControlBody()           {}
func (*Interrupt) isControlBody()            {}
func (*SetModel) isControlBody()             {}
func (*SetPermissionMode) isControlBody()    {}
func (*SetMaxThinkingTokens) isControlBody() {}
func (*MCPStatus) isControlBody()            {}
func (*MCPSetServers) isControlBody()        {}
func (*StopTask) isControlBody()             {}
func (*EndSession) isControlBody()           {}
func (*CanUseTool) isControlBody()           {}
func (*HookCallback) isControlBody()         {}
func (*MCPMessage) isControlBody()           {}
func (*Elicitation) isControlBody()          {}
func (*UserDialog) isControlBody()           {}
func (*UnknownRequest) isControlBody()       {}

func (*Initialize) RequestSubtype() string           { return "initialize" }
func (*Interrupt) RequestSubtype() string            { return "interrupt" }
func (*SetModel) RequestSubtype() string             { return "set_model" }
func (*SetPermissionMode) RequestSubtype() string    { return "set_permission_mode" }
func (*SetMaxThinkingTokens) RequestSubtype() string { return "set_max_thinking_tokens" }
func (*MCPStatus) RequestSubtype() string            { return "mcp_status" }
func (*MCPSetServers) RequestSubtype() string        { return "mcp_set_servers" }
func (*StopTask) RequestSubtype() string             { return "stop_task" }
func (*EndSession) RequestSubtype() string           { return "end_session" }
func (*CanUseTool) RequestSubtype() string           { return "can_use_tool" }
func (*HookCallback) RequestSubtype() string         { return "hook_callback" }
func (*MCPMessage) RequestSubtype() string           { return "mcp_message" }
func (*Elicitation) RequestSubtype() string          { return "elicitation" }
func (*UserDialog) RequestSubtype() string           { return "request_user_dialog" }
func (r *UnknownRequest) RequestSubtype() string {
	if r == nil {
		return ""
	}
	return r.Subtype
}

func (r *Initialize) constants() []constant           { return kindOfRequest(r) }
func (r *Interrupt) constants() []constant            { return kindOfRequest(r) }
func (r *SetModel) constants() []constant             { return kindOfRequest(r) }
func (r *SetPermissionMode) constants() []constant    { return kindOfRequest(r) }
func (r *SetMaxThinkingTokens) constants() []constant { return kindOfRequest(r) }
func (r *MCPStatus) constants() []constant            { return kindOfRequest(r) }
func (r *MCPSetServers) constants() []constant        { return kindOfRequest(r) }
func (r *StopTask) constants() []constant             { return kindOfRequest(r) }
func (r *EndSession) constants() []constant           { return kindOfRequest(r) }
func (r *CanUseTool) constants() []constant           { return kindOfRequest(r) }
func (r *HookCallback) constants() []constant         { return kindOfRequest(r) }
func (r *MCPMessage) constants() []constant           { return kindOfRequest(r) }
func (r *Elicitation) constants() []constant          { return kindOfRequest(r) }
func (r *UserDialog) constants() []constant           { return kindOfRequest(r) }

func kindOfRequest(r ControlBody) []constant { return []constant{{"subtype", r.RequestSubtype()}} }

var (
	bodyPlans      map[string]*plan
	unknownRequest *plan
)

func init() {
	unknownRequest = planOf(reflect.TypeFor[UnknownRequest]())
	bodyPlans = map[string]*plan{}
	for _, r := range append(Requests(), &CanUseTool{}, &HookCallback{}, &Elicitation{}, &UserDialog{}) {
		bodyPlans[r.RequestSubtype()] = planOf(reflect.TypeOf(r).Elem())
	}
}

func bodyCodec() *codec {
	return &codec{
		want: "an object",
		decode: func(d *decoder, v reflect.Value) bool {
			if d.at() != '{' {
				return false
			}
			body := d.variant(variants{"subtype", bodyPlans, unknownRequest}, true)
			if d.msg != "" {
				return false
			}
			v.Set(reflect.ValueOf(body))
			return true
		},
		encode: func(e *encoder, dst []byte, v reflect.Value) []byte {
			if v.IsNil() || v.Elem().IsNil() {
				e.fail(errors.New("request is nil"))
				return dst
			}
			v = v.Elem().Elem()
			return e.object(dst, planOf(v.Type()), v)
		},
	}
}

// NewControlRequest makes a request. The id is the sender's to choose and must not be empty.
func NewControlRequest(id string, body ControlBody) *ControlRequest {
	return &ControlRequest{RequestID: id, Request: body}
}

// ControlResponse answers a ControlRequest.
type ControlResponse struct {
	wire
	Response ControlResult `json:"response" wire:"essential"`
}

// ControlResult is the answer itself.
type ControlResult struct {
	wire
	Subtype   string          `json:"subtype" wire:"essential"` // success, error
	RequestID string          `json:"request_id" wire:"essential"`
	Payload   json.RawMessage `json:"response,omitempty"` // of a success; many have none
	Error     string          `json:"error,omitempty"`
	ErrorCode string          `json:"error_code,omitempty"` // unsupported_request, invalid_mode, …
	// PendingPermissionRequests are the control requests of the CLI that still wait for an answer, in
	// the answer to Initialize.
	PendingPermissionRequests []json.RawMessage `json:"pending_permission_requests,omitempty"`
	PendingUserDialogRequests []json.RawMessage `json:"pending_user_dialog_requests,omitempty"`
}

// The subtypes of ControlResult.
const (
	ControlSuccess = "success"
	ControlFailure = "error"
)

// ControlError is a control request that was refused.
type ControlError struct {
	RequestID string
	Message   string
	Code      string // empty in most cases
}

func (e *ControlError) Error() string {
	text := "control request " + e.RequestID + ": " + e.Message
	if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	return text
}

// RequestID is the id of the request this answers.
func (m *ControlResponse) RequestID() string { return m.Response.RequestID }

// Err is nil for a success and a *ControlError for anything else.
func (m *ControlResponse) Err() error {
	if m.Response.Subtype == ControlSuccess {
		return nil
	}
	text := m.Response.Error
	if text == "" {
		text = fmt.Sprintf("answered with subtype %q and no text", m.Response.Subtype)
	}
	return &ControlError{RequestID: m.Response.RequestID, Message: text, Code: m.Response.ErrorCode}
}

// Unmarshal reads the payload of a success with encoding/json, into one of the
// response types here or any other. A refused request is its *ControlError; no
// payload leaves to as it is.
func (m *ControlResponse) Unmarshal(to any) error {
	if err := m.Err(); err != nil {
		return err
	}
	if len(m.Response.Payload) == 0 {
		return nil
	}
	if err := json.Unmarshal(m.Response.Payload, to); err != nil {
		return fmt.Errorf("control request %s: read the answer: %w", m.Response.RequestID, err)
	}
	return nil
}

// Initialize reads the answer to Initialize.
func (m *ControlResponse) Initialize() (*InitializeResponse, error) {
	var r InitializeResponse
	return &r, m.Unmarshal(&r)
}

// Interrupt reads the answer to Interrupt.
func (m *ControlResponse) Interrupt() (*InterruptResponse, error) {
	var r InterruptResponse
	return &r, m.Unmarshal(&r)
}

// NewControlSuccess answers a request. The payload is marshalled with
// encoding/json; nil sends none, which a hook callback and a permission question take for an
// invalid answer. It is an error if the payload cannot be written or is a Deny without a message.
func NewControlSuccess(id string, payload any) (*ControlResponse, error) {
	if id == "" {
		return nil, errors.New("make control response: request id is empty")
	}
	m := &ControlResponse{Response: ControlResult{Subtype: ControlSuccess, RequestID: id}}
	if payload == nil {
		return m, nil
	}
	raw, err := toJSON(payload)
	if err != nil {
		return nil, fmt.Errorf("make control response %s: %w", id, err)
	}
	m.Response.Payload = raw
	return m, nil
}

// NewControlError refuses a request. What the CLI makes of it depends on the
// request: a permission question is denied, an elicitation cancelled, but an
// error for a hook callback counts as no opinion and the tool RUNS, unless the
// hook was registered with OnFailureBlock. To deny a tool, answer with DenyTool.
func NewControlError(id, msg string) *ControlResponse {
	return &ControlResponse{Response: ControlResult{Subtype: ControlFailure, RequestID: id, Error: msg}}
}

// NewUnsupported refuses a request of a subtype this side does not know, with the code for it.
func NewUnsupported(id, subtype string) *ControlResponse {
	m := NewControlError(id, "Unsupported control request subtype: "+subtype)
	m.Response.ErrorCode = ErrorCodeUnsupported
	return m
}

// ErrorCodeUnsupported is the error code for an unknown subtype.
const ErrorCodeUnsupported = "unsupported_request"

// ControlCancelRequest withdraws a request of its sender: stop working on it and do not answer.
type ControlCancelRequest struct {
	wire
	RequestID string `json:"request_id" wire:"essential"`
}

// InitializeResponse is the answer to Initialize. The session id is not in it.
type InitializeResponse struct {
	wire
	PID                    int               `json:"pid,omitempty"`
	ClaudeCodeVersion      string            `json:"claude_code_version,omitempty"`
	Account                Account           `json:"account"`
	CurrentPermissionMode  PermissionMode    `json:"current_permission_mode,omitempty"`
	SessionState           string            `json:"session_state,omitempty"`
	HooksApplied           *bool             `json:"hooks_applied,omitempty"`             // only if hooks were sent; nil then means that they are not active
	HookOnFailureSupported *bool             `json:"hook_on_failure_supported,omitempty"` // whether HookMatcher.OnFailure means anything
	PluginsApplied         *bool             `json:"plugins_applied,omitempty"`
	MCPServersApplied      *bool             `json:"mcp_servers_applied,omitempty"`
	Capabilities           []string          `json:"capabilities,omitempty"`
	OutputStyle            string            `json:"output_style,omitempty"`
	AvailableOutputStyles  []string          `json:"available_output_styles,omitempty"`
	Commands               []json.RawMessage `json:"commands,omitempty"`
	Agents                 []json.RawMessage `json:"agents,omitempty"`
	Models                 []json.RawMessage `json:"models,omitempty"`
	FastModeState          string            `json:"fast_mode_state,omitempty"` // off, cooldown, on
	FastModeDisabledReason string            `json:"fast_mode_disabled_reason,omitempty"`
}

// UnmarshalJSON keeps unknown keys for MarshalJSON.
func (r *InitializeResponse) UnmarshalJSON(data []byte) error { return unmarshal(data, r) }

// MarshalJSON writes the response with the keys it was read with.
func (r *InitializeResponse) MarshalJSON() ([]byte, error) { return marshal(r) }

// Account says how the CLI authenticates; no secret is in it.
type Account struct {
	wire
	TokenSource  string `json:"tokenSource,omitempty"`
	APIKeySource string `json:"apiKeySource,omitempty"`
	APIProvider  string `json:"apiProvider,omitempty"`
}

// InterruptResponse is the answer to Interrupt.
type InterruptResponse struct {
	wire
	StillQueued []string `json:"still_queued"`        // the prompts that run later, by uuid; those without one are not listed
	Cancelled   []string `json:"cancelled,omitempty"` // with CancelQueued
}

// UnmarshalJSON keeps unknown keys for MarshalJSON.
func (r *InterruptResponse) UnmarshalJSON(data []byte) error { return unmarshal(data, r) }

// MarshalJSON writes the response with the keys it was read with.
func (r *InterruptResponse) MarshalJSON() ([]byte, error) { return marshal(r) }

// SetModelResponse is the answer to SetModel.
type SetModelResponse struct {
	Model string `json:"model"` // what the name resolved to
}

// SetPermissionModeResponse is the answer to SetPermissionMode.
type SetPermissionModeResponse struct {
	Mode string `json:"mode"` // default where manual was asked for
}

// MCPResponse is the payload that answers an MCPMessage.
type MCPResponse struct {
	Response json.RawMessage `json:"mcp_response"` // a JSON-RPC response; an empty one for a notification
}

// ElicitationResponse is the payload that answers an Elicitation.
type ElicitationResponse struct {
	Action  string          `json:"action"` // ElicitAccept, ElicitDecline, ElicitCancel
	Content json.RawMessage `json:"content,omitempty"`
}

// UserDialogResponse is the payload that answers a UserDialog.
type UserDialogResponse struct {
	Behavior string `json:"behavior"` // DialogCompleted, DialogCancelled
	Result   any    `json:"result,omitempty"`
}

// The behaviors of UserDialogResponse.
const (
	DialogCompleted = "completed"
	DialogCancelled = "cancelled"
)

// The actions of ElicitationResponse.
const (
	ElicitAccept  = "accept"
	ElicitDecline = "decline"
	ElicitCancel  = "cancel"
)
