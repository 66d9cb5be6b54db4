package supervisor

import (
	"fmt"
	"time"

	"github.com/understudy-run/understudy/actor"
)

// EventKind says what a supervisor did or saw.
type EventKind string

// The kinds of events.
const (
	ChildStarted     EventKind = "started"           // a child is up and ready
	ChildExited      EventKind = "exited"            // a child ended that was not asked to
	StartFailed      EventKind = "start_failed"      // a start, or a restart, returned an error
	RestartScheduled EventKind = "restart_scheduled" // it will be started again, after Delay
	GroupRestart     EventKind = "group_restart"     // its siblings in Group are stopped with it, and started again
	ChildParked      EventKind = "parked"            // it will not be started again until somebody asks, or until Delay is over
	ChildIgnored     EventKind = "ignored"           // its Start had nothing to start: it counts as stopped
	ChildReset       EventKind = "reset"             // somebody had its past forgiven; without a child, the supervisor's
	ChildStopped     EventKind = "stopped"           // it was stopped on request, or finished for good
	ChildKilled      EventKind = "killed"            // it did not end within its Shutdown
	Escalated        EventKind = "escalated"         // the supervisor gives up
)

// Cause says why an incarnation was started.
type Cause string

// The causes of a start. All but the first make it a restart.
const (
	First   Cause = "first"    // nobody was there before
	Crash   Cause = "crash"    // it had ended, or had failed to start, and its restart type says so
	Renewal Cause = "planned"  // it had asked to be replaced
	Sibling Cause = "sibling"  // it went down with another child of its group
	Request Cause = "operator" // somebody asked for it: RestartChild, RecycleChild
)

// Restarted reports whether the event tells of a child that is up again.
func (e Event) Restarted() bool { return e.Kind == ChildStarted && e.Cause != First }

// Event is one thing a supervisor did or saw.
type Event struct {
	Kind        EventKind
	Time        time.Time
	Supervisor  string // path
	Child       string // id; empty in Escalated if no child is to blame
	Label       string // of the child: ChildSpec.Label
	Incarnation int    // of the child, from 1
	PID         actor.PID
	Restarts    int           // of the child so far
	Delay       time.Duration // before the restart
	Reason      error         // why it ended, failed, or was parked
	Again       bool          // with ChildStopped: it was recycled, or goes down with a sibling, and is started again
	Cause       Cause         // with ChildStarted, StartFailed and ChildIgnored: why it was started
	Planned     bool          // with RestartScheduled: it ended because it wants to be replaced, which is not counted
	Group       []string      // with GroupRestart: the siblings, in start order; those that are temporary do not come back
	Ending      bool          // the supervisor itself is ending, so that its own decides what comes next
}

// ExhaustedError is the reason of a supervisor that gave up.
type ExhaustedError struct {
	Supervisor string
	Child      string    // the one whose restart was too many
	Intensity  Intensity // what was exceeded
	Cause      error     // why the child ended the last time
}

func (e *ExhaustedError) Error() string {
	return fmt.Sprintf("supervisor %s: child %s ended more than %d times in %v, last: %v",
		e.Supervisor, e.Child, e.Intensity.MaxRestarts, e.Intensity.Within, reasonText(e.Cause))
}

// Unwrap gives the cause, unless that is a clean end: a permanent child that shuts down too often makes its
// supervisor fail, and actor.Clean must not find the shutdown in it.
func (e *ExhaustedError) Unwrap() error { return unclean(e.Cause) }

// StartError is the error of a supervisor one of whose first children did not start.
type StartError struct {
	Supervisor string
	Child      string
	Cause      error
}

func (e *StartError) Error() string {
	return fmt.Sprintf("supervisor %s: start child %s: %v", e.Supervisor, e.Child, e.Cause)
}

// Unwrap gives the cause, unless actor.Clean would take it for a clean end.
func (e *StartError) Unwrap() error { return unclean(e.Cause) }

func unclean(cause error) error {
	if actor.Clean(cause) {
		return nil
	}
	return cause
}

func reasonText(reason error) string {
	if reason == nil {
		return "normal"
	}
	return reason.Error()
}
