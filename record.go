package understudy

import (
	"errors"
	"slices"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/supervisor"
)

// auditChild is the log's own place below the root.
const auditChild = "audit"

// mostHeld bounds what is kept of the log's own troubles until it can be written again. What is more is counted as lost.
const mostHeld = 64

// mostStack bounds what a record has of the stack of a panic; its beginning says the most.
const mostStack = 8 << 10

// recordEvent puts what a supervisor did into the audit log.
func (rt *Runtime) recordEvent(e supervisor.Event, session bool) {
	if rt.trail == nil {
		return
	}
	r := recordOf(e, session)
	if e.Supervisor != "root" || e.Child != auditChild {
		rt.trail.Post(r)
		return
	}
	// The log cannot be told of its own end. What became of it is told when it is back; at the end of the
	// runtime nothing follows log.closed.
	switch {
	case e.Kind == supervisor.ChildStarted:
		if e.Cause == supervisor.First {
			rt.trail.Post(audit.Record{Kind: audit.RuntimeStarted})
		}
		for _, held := range rt.held {
			held.Time = time.Time{} // it is written now; detail has when it was
			rt.trail.Post(held)
		}
		rt.held = nil
		rt.trail.Post(r)
	case e.Ending:
	default:
		r.Time, r.Detail["at"] = e.Time, e.Time.UTC().Format(time.RFC3339Nano)
		if len(rt.held) == mostHeld { // the first tell why it began, the last where it stands
			rt.trail.Lose(rt.held[mostHeld/2])
			rt.held = slices.Delete(rt.held, mostHeld/2, mostHeld/2+1)
		}
		rt.held = append(rt.held, r)
	}
}

// recordOf is the record of what a supervisor did. That a session is to be restarted or is parked has a kind
// of its own.
func recordOf(e supervisor.Event, session bool) audit.Record {
	r := audit.Supervision{
		Event: eventText(e), Supervisor: e.Supervisor, Child: e.Child, Attempt: e.Incarnation, Restarts: e.Restarts,
		Delay: e.Delay, Reason: e.Reason,
	}.Record()
	if e.Cause != "" {
		r.Detail["cause"] = string(e.Cause)
	}
	if e.Planned {
		r.Detail["planned"] = true
	}
	if len(e.Group) > 0 {
		r.Detail["siblings"] = e.Group
	}
	if panicked, ok := errors.AsType[*actor.PanicError](e.Reason); ok {
		r.Detail["stack"] = string(panicked.Stack[:min(len(panicked.Stack), mostStack)])
	}
	if !session {
		return r
	}
	r.Session, r.Actor = e.Child, e.Supervisor+"/"+e.Child
	if e.Reason != nil {
		r.Exit = &audit.Exit{Reason: e.Reason.Error()}
		delete(r.Detail, "reason")
	}
	switch e.Kind {
	case supervisor.ChildParked:
		r.Kind = audit.SessionParked
	case supervisor.RestartScheduled:
		r.Kind = audit.SessionRestarted
		r.Detail["delay_ms"] = e.Delay.Milliseconds()
	}
	return r
}
