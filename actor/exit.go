package actor

import (
	"errors"
	"fmt"
)

// ErrShutdown is the reason of an actor that was asked to stop by whoever is responsible for it, OTP's
// `shutdown`. Wrap it to say more ({shutdown, Term} in OTP).
var ErrShutdown = errors.New("shutdown")

// ErrKilled is the reason of an actor that was ended without being asked, OTP's `killed`.
var ErrKilled = errors.New("killed")

// ErrGoexit is the reason of an actor whose callback ended its goroutine with runtime.Goexit, as
// testing.T.FailNow does.
var ErrGoexit = errors.New("runtime.Goexit called in an actor")

// ErrStopped says that an actor cannot take a message because it has ended or is ending. The error that
// wraps it names the actor and its reason: see [StoppedError].
var ErrStopped = errors.New("actor stopped")

// ErrMailboxFull says that a mailbox has no room. The message was not taken; try later or use SendWait.
var ErrMailboxFull = errors.New("mailbox full")

// ErrTimeout says that an Ask was not answered within its context's deadline. The message may still be
// handled later.
var ErrTimeout = errors.New("no answer in time")

// ErrNameTaken says that an actor of that name is alive, or was killed and has not ended yet.
var ErrNameTaken = errors.New("actor name in use")

// StoppedError is the error of a message to an actor that is gone.
type StoppedError struct {
	Name   string // the actor's name
	Reason error  // why it ended; nil if normally, or if it is still ending
}

func (e *StoppedError) Error() string {
	if e.Reason == nil {
		return fmt.Sprintf("actor %s: stopped", e.Name)
	}
	return fmt.Sprintf("actor %s: stopped: %v", e.Name, e.Reason)
}

// Is makes errors.Is(err, ErrStopped) true.
func (e *StoppedError) Is(target error) bool { return target == ErrStopped }

// Unwrap gives the reason.
func (e *StoppedError) Unwrap() error { return e.Reason }

// PanicError is the reason of an actor one of whose callbacks, or one of whose goroutines, panicked.
type PanicError struct {
	Where string // the callback: "Receive", "Started", "Exiting", "Stopped", or a goroutine's name
	Value any    // what was passed to panic
	Stack []byte // the stack of the panic, as debug.Stack gives it
}

// Error names the callback and the value, not the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic in %s: %v", e.Where, e.Value) }

// Unwrap gives the value if it is an error, such as a runtime.Error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Clean reports whether a reason is a normal end or a shutdown, the two after which OTP does not restart
// a transient child. What an actor failed of is not clean because another one was shut down: neither a
// panic nor a StoppedError is, whatever they wrap.
func Clean(reason error) bool {
	if reason == nil {
		return true
	}
	if _, panicked := errors.AsType[*PanicError](reason); panicked {
		return false
	}
	if _, another := errors.AsType[*StoppedError](reason); another {
		return false
	}
	return errors.Is(reason, ErrShutdown)
}
