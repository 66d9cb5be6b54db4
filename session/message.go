package session

import (
	"encoding/json"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

// message is what a session's actor receives.
//
//sumtype:decl
type message interface{ isMessage() }

type (
	// From handles.
	awaitReady struct{ reply actor.Reply[struct{}] }
	adopt      struct { // by the actor of a process that waits
		session *Session
		from    string // the name under which it has waited
		reply   actor.Reply[struct{}]
	}
	wake      struct{}
	abandon   struct{ query *query }
	interrupt struct{ reply actor.Reply[struct{}] }
	keep      struct{ reply actor.Reply[struct{}] }
	control   struct {
		body  protocol.ControlBody
		reply actor.Reply[*protocol.ControlResponse]
	}

	// From the process.
	launched struct {
		process *process.Process
		unwatch func() bool // takes back that the process is killed when the actor ends
		program process.Identity
		command command
		spec    process.Launch // with what was read for this start
		err     error
	}
	admitted struct {
		admission *admission
		err       error
	}
	frames struct {
		list []protocol.Message
		free chan<- handled // takes the slice back; there is room
	}
	noise struct{ err error }
	ended struct {
		exit process.Exit
		err  error // what was wrong with its stdout
		old  error // it refused to start, and is a version that is too old
	}
	writerEnded struct{}
	observed    struct{} // what it has running

	// From work that the actor has others do.
	saved struct {
		err  error
		then func(*actor.Context[message])
	}
	intentKept struct {
		requestID, toolUse string
		answer             any // if the intent is kept
		decision           *audit.Decision
		err                error
	}
	hookDone struct {
		requestID string
		event     string
		body      *protocol.HookCallback // of PreToolUse
		out       any
		err       error
	}
	rpcSent struct { // by an MCP server in this program
		server string
		raw    json.RawMessage
		failed string // the JSON-RPC id of what err is about
		err    error
	}
	hostAnswered struct { // an elicitation, a dialog
		requestID string
		payload   any
	}
	promptKept struct { // it is in the audit log, or cannot be
		query *query
		err   error
	}
	decided struct {
		requestID string
		question  *protocol.CanUseTool
		asked     time.Time
		result    protocol.PermissionResult
		err       error
	}
	answered struct {
		id     string
		answer ApprovalAnswer
		reply  actor.Reply[struct{}]
	}
	called      struct{}
	permitted   struct{ permit *permit }
	processGone struct{}

	// From the governor.
	hibernate struct{}

	// Time.
	overdue    struct{ what deadline }
	silent     struct{ request string }
	unanswered struct{ request string }
)

func (awaitReady) isMessage()   {}
func (adopt) isMessage()        {}
func (wake) isMessage()         {}
func (abandon) isMessage()      {}
func (interrupt) isMessage()    {}
func (keep) isMessage()         {}
func (control) isMessage()      {}
func (launched) isMessage()     {}
func (admitted) isMessage()     {}
func (permitted) isMessage()    {}
func (hibernate) isMessage()    {}
func (frames) isMessage()       {}
func (noise) isMessage()        {}
func (ended) isMessage()        {}
func (writerEnded) isMessage()  {}
func (observed) isMessage()     {}
func (saved) isMessage()        {}
func (intentKept) isMessage()   {}
func (promptKept) isMessage()   {}
func (decided) isMessage()      {}
func (answered) isMessage()     {}
func (unanswered) isMessage()   {}
func (called) isMessage()       {}
func (processGone) isMessage()  {}
func (overdue) isMessage()      {}
func (silent) isMessage()       {}
func (hookDone) isMessage()     {}
func (rpcSent) isMessage()      {}
func (hostAnswered) isMessage() {}
