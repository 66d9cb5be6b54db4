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
	strange() *bool
	// Raw returns the line the message was decoded from, without white space around
	// it, and nil for a message built in Go. Later edits do not show in it. It must not be modified.
	Raw() json.RawMessage
	// Kind names the frame for counters and logs: its type, and after a slash its
	// subtype where it has one, such as "system/init" or "control_request/interrupt".
	Kind() string
}

// Unknown is a frame of a type, or a subtype of system, that this package does not know,
// or one of a known type that lacks what its type needs. Data of the CLI, not a mistake: count it, pass it on.
type Unknown struct {
	wire
	Type      string `json:"type,omitempty"` // empty if it was missing or no string
	Subtype   string `json:"subtype,omitempty"`
	SessionID string `json:"session_id,omitempty"`
	Reason    string `json:"-"` // why a frame of a known type is here, else empty
}

// KeepAlive says that the other side is there. It can be ignored.
type KeepAlive struct {
	wire
	StartupMark json.RawMessage `json:"startup_mark,omitempty"` // how far a start has come, on request only
}

// SessionOf returns the session id a message carries, empty if it has none.
// After /clear the CLI reports a new one.
func SessionOf(m Message) string {
	v := reflect.ValueOf(m)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return ""
	}
	v = v.Elem()
	if f := planOf(v.Type()).session; f != nil {
		return f.value(v).String()
	}
	return ""
}
