package protocol

import (
	"encoding/json"
	"reflect"
)

// Message is one frame of the stream, in either direction. The set is closed;
// *Unknown stands for what this package does not know. The fields of a decoded
// message may be edited; a message must not be changed while another goroutine reads it.
//
//sumtype:decl
type Message interface {
	isMessage()
	// Raw returns the line the message was decoded from, without white space around
	// it, and nil for a message built in Go. Later edits do not show in it. It must not be modified.
	Raw() json.RawMessage
	// Kind names the frame for counters and logs: its type, and after a slash its
	// subtype where it has one, such as "system/init" or "control_request/interrupt".
	Kind() string
}

// Unknown is a frame of a type this package does not know, or one of a known type
// that lacks what its type needs. Data of the CLI, not a mistake: count it, pass it on.
type Unknown struct {
	wire
	Type    string `json:"type,omitempty"` // empty if it was missing or no string
	Subtype string `json:"subtype,omitempty"`
	Reason  string `json:"-"` // why a frame of a known type is here, else empty
}

// KeepAlive says that the other side is there. It can be ignored.
type KeepAlive struct {
	wire
	StartupMark json.RawMessage `json:"startup_mark,omitempty"` // how far a start has come, on request only
}

func (*Init) isMessage()                 {}
func (*Status) isMessage()               {}
func (*APIRetry) isMessage()             {}
func (*PermissionDenied) isMessage()     {}
func (*TaskEvent) isMessage()            {}
func (*SessionStateChanged) isMessage()  {}
func (*System) isMessage()               {}
func (*Assistant) isMessage()            {}
func (*User) isMessage()                 {}
func (*StreamEvent) isMessage()          {}
func (*Result) isMessage()               {}
func (*ControlRequest) isMessage()       {}
func (*ControlResponse) isMessage()      {}
func (*ControlCancelRequest) isMessage() {}
func (*KeepAlive) isMessage()            {}
func (*RateLimitEvent) isMessage()       {}
func (*ToolProgress) isMessage()         {}
func (*CommandLifecycle) isMessage()     {}
func (*ConversationReset) isMessage()    {}
func (*Unknown) isMessage()              {}

func (*Init) Kind() string                { return "system/init" }
func (*Status) Kind() string              { return "system/status" }
func (*APIRetry) Kind() string            { return "system/api_retry" }
func (*PermissionDenied) Kind() string    { return "system/permission_denied" }
func (m *TaskEvent) Kind() string         { return kind("system", m.Subtype) }
func (*SessionStateChanged) Kind() string { return "system/session_state_changed" }
func (m *System) Kind() string            { return kind("system", m.Subtype) }
func (*Assistant) Kind() string           { return "assistant" }
func (*User) Kind() string                { return "user" }
func (*StreamEvent) Kind() string         { return "stream_event" }
func (m *Result) Kind() string            { return kind("result", m.Subtype) }
func (m *ControlRequest) Kind() string {
	if m.Request == nil {
		return "control_request"
	}
	return kind("control_request", m.Request.RequestSubtype())
}
func (m *ControlResponse) Kind() string    { return kind("control_response", m.Response.Subtype) }
func (*ControlCancelRequest) Kind() string { return "control_cancel_request" }
func (*KeepAlive) Kind() string            { return "keep_alive" }
func (*RateLimitEvent) Kind() string       { return "rate_limit_event" }
func (*ToolProgress) Kind() string         { return "tool_progress" }
func (*CommandLifecycle) Kind() string     { return "command_lifecycle" }
func (*ConversationReset) Kind() string    { return "conversation_reset" }
func (m *Unknown) Kind() string            { return kind(m.Type, m.Subtype) }

func kind(typ, subtype string) string {
	if subtype == "" {
		return typ
	}
	return typ + "/" + subtype
}

func (*Init) constants() []constant                 { return systemKind("init") }
func (*Status) constants() []constant               { return systemKind("status") }
func (*APIRetry) constants() []constant             { return systemKind("api_retry") }
func (*PermissionDenied) constants() []constant     { return systemKind("permission_denied") }
func (*SessionStateChanged) constants() []constant  { return systemKind("session_state_changed") }
func (*TaskEvent) constants() []constant            { return messageKind("system") }
func (*System) constants() []constant               { return messageKind("system") }
func (*Assistant) constants() []constant            { return messageKind("assistant") }
func (*User) constants() []constant                 { return messageKind("user") }
func (*StreamEvent) constants() []constant          { return messageKind("stream_event") }
func (*Result) constants() []constant               { return messageKind("result") }
func (*ControlRequest) constants() []constant       { return messageKind("control_request") }
func (*ControlResponse) constants() []constant      { return messageKind("control_response") }
func (*ControlCancelRequest) constants() []constant { return messageKind("control_cancel_request") }
func (*KeepAlive) constants() []constant            { return messageKind("keep_alive") }
func (*RateLimitEvent) constants() []constant       { return messageKind("rate_limit_event") }
func (*ToolProgress) constants() []constant         { return messageKind("tool_progress") }
func (*CommandLifecycle) constants() []constant     { return messageKind("command_lifecycle") }
func (*ConversationReset) constants() []constant    { return messageKind("conversation_reset") }

func messageKind(t string) []constant { return []constant{{"type", t}} }
func systemKind(s string) []constant  { return []constant{{"type", "system"}, {"subtype", s}} }

// Messages marshal as Encode writes them, so that one can be part of other JSON.

func (m *Init) MarshalJSON() ([]byte, error)                 { return Encode(m) }
func (m *Status) MarshalJSON() ([]byte, error)               { return Encode(m) }
func (m *APIRetry) MarshalJSON() ([]byte, error)             { return Encode(m) }
func (m *PermissionDenied) MarshalJSON() ([]byte, error)     { return Encode(m) }
func (m *TaskEvent) MarshalJSON() ([]byte, error)            { return Encode(m) }
func (m *SessionStateChanged) MarshalJSON() ([]byte, error)  { return Encode(m) }
func (m *System) MarshalJSON() ([]byte, error)               { return Encode(m) }
func (m *Assistant) MarshalJSON() ([]byte, error)            { return Encode(m) }
func (m *User) MarshalJSON() ([]byte, error)                 { return Encode(m) }
func (m *StreamEvent) MarshalJSON() ([]byte, error)          { return Encode(m) }
func (m *Result) MarshalJSON() ([]byte, error)               { return Encode(m) }
func (m *ControlRequest) MarshalJSON() ([]byte, error)       { return Encode(m) }
func (m *ControlResponse) MarshalJSON() ([]byte, error)      { return Encode(m) }
func (m *ControlCancelRequest) MarshalJSON() ([]byte, error) { return Encode(m) }
func (m *KeepAlive) MarshalJSON() ([]byte, error)            { return Encode(m) }
func (m *RateLimitEvent) MarshalJSON() ([]byte, error)       { return Encode(m) }
func (m *ToolProgress) MarshalJSON() ([]byte, error)         { return Encode(m) }
func (m *CommandLifecycle) MarshalJSON() ([]byte, error)     { return Encode(m) }
func (m *ConversationReset) MarshalJSON() ([]byte, error)    { return Encode(m) }
func (m *Unknown) MarshalJSON() ([]byte, error)              { return Encode(m) }

var (
	messagePlans   map[string]*plan // by type, without the system ones
	systemPlans    map[string]*plan // by subtype
	otherSystem    *plan
	taskEvent      *plan
	unknownMessage *plan
)

func init() {
	of := func(m Message) *plan { return planOf(reflect.TypeOf(m).Elem()) }
	messagePlans = map[string]*plan{}
	systemPlans = map[string]*plan{}
	otherSystem, taskEvent, unknownMessage = of(&System{}), of(&TaskEvent{}), of(&Unknown{})
	for _, m := range []Message{
		&Assistant{}, &User{}, &StreamEvent{}, &Result{}, &ControlRequest{}, &ControlResponse{},
		&ControlCancelRequest{}, &KeepAlive{}, &RateLimitEvent{}, &ToolProgress{}, &CommandLifecycle{}, &ConversationReset{},
	} {
		p := of(m)
		messagePlans[p.consts[0].value] = p
	}
	for _, m := range []Message{&Init{}, &Status{}, &APIRetry{}, &PermissionDenied{}, &SessionStateChanged{}} {
		p := of(m)
		systemPlans[p.consts[1].value] = p
	}
	for _, s := range taskSubtypes {
		systemPlans[s] = taskEvent
	}
}

// SessionOf returns the session id a message carries, empty if it has none.
// After /clear the CLI reports a new one.
func SessionOf(m Message) string {
	switch m := m.(type) {
	case *Init:
		return m.SessionID
	case *Status:
		return m.SessionID
	case *APIRetry:
		return m.SessionID
	case *PermissionDenied:
		return m.SessionID
	case *TaskEvent:
		return m.SessionID
	case *SessionStateChanged:
		return m.SessionID
	case *System:
		return m.SessionID
	case *Assistant:
		return m.SessionID
	case *User:
		return m.SessionID
	case *StreamEvent:
		return m.SessionID
	case *Result:
		return m.SessionID
	case *RateLimitEvent:
		return m.SessionID
	case *ToolProgress:
		return m.SessionID
	case *CommandLifecycle:
		return m.SessionID
	case *ConversationReset:
		return m.SessionID
	case *ControlRequest, *ControlResponse, *ControlCancelRequest, *KeepAlive, *Unknown:
	}
	return ""
}
