package supervisor

import (
	"errors"
	"fmt"

	"github.com/understudy-run/understudy/actor"
)

// What a supervisor answers when it does not do what it was asked; OTP's terms.
var (
	ErrAlreadyStarted  = errors.New("child already started") // a child of that id is up, or on its way: see AlreadyStartedError
	ErrAlreadyPresent  = errors.New("child already present") // a child of that id is known and stopped: restart or delete it
	ErrNotFound        = errors.New("no such child")
	ErrRunning         = errors.New("child is running")
	ErrRestarting      = errors.New("child is restarting")
	ErrSimpleOneForOne = errors.New("not under simple_one_for_one") // its children come from its template and leave nothing behind
	ErrNoTemplate      = errors.New("supervisor has no template")   // StartInstance is for simple_one_for_one
	ErrMaxChildren     = errors.New("too many children")            // see MaxChildrenError
	ErrStarting        = errors.New("supervisor is starting")       // its first children are not up yet
	ErrStopping        = errors.New("supervisor is stopping")
	ErrTerminated      = errors.New("child was terminated") // while its start was waited for
	ErrStartTimeout    = errors.New("start timed out")
)

// ErrIgnore is what a Start returns that has decided not to start anything, OTP's `ignore`. It is no
// failure: the child is kept as stopped, unless it is temporary or of a template, and RestartChild tries
// again. Whoever asked for it gets the zero PID.
var ErrIgnore = errors.New("ignore")

// AlreadyStartedError is ErrAlreadyStarted with what is there.
type AlreadyStartedError struct {
	Supervisor string
	Child      string
	PID        actor.PID // zero while it starts or waits for its restart
}

func (e *AlreadyStartedError) Error() string {
	return fmt.Sprintf("start child %s of %s: %v", e.Child, e.Supervisor, ErrAlreadyStarted)
}

// Is makes errors.Is(err, ErrAlreadyStarted) true.
func (e *AlreadyStartedError) Is(target error) bool { return target == ErrAlreadyStarted }

// MaxChildrenError is ErrMaxChildren with the limit.
type MaxChildrenError struct {
	Supervisor string
	Child      string // the one too many; empty if it had no id yet
	Max        int    // Options.MaxChildren
}

func (e *MaxChildrenError) Error() string {
	return fmt.Sprintf("start child %s of %s: %v: it has its %d; delete one, or raise max_children",
		e.Child, e.Supervisor, ErrMaxChildren, e.Max)
}

// Is makes errors.Is(err, ErrMaxChildren) true.
func (e *MaxChildrenError) Is(target error) bool { return target == ErrMaxChildren }
