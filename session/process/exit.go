package process

import (
	"fmt"
	"syscall"
	"time"
)

// Exit is how a process ended. The zero value is a process that has not ended.
type Exit struct {
	// Code is the exit code, or -1 after a signal, or when the status is lost because something else in the
	// host program waited for the process.
	Code int
	// Signal is the signal that ended the process, 0 if it exited.
	Signal syscall.Signal
	// At is when the exit was noticed.
	At time.Time
	// Stderr are the last lines of stderr, without the API key.
	Stderr []string
	// Stopped says that Stop or Kill was called before the process ended.
	Stopped bool
	// OutOfMemory says that the kernel's out-of-memory killer was at work in the runtime's control group during
	// the life of a process that ended by SIGKILL.
	OutOfMemory bool
}

// String gives the code or the signal, such as "exit code 1" or "signal: killed".
func (e Exit) String() string {
	switch {
	case e.At.IsZero():
		return "running"
	case e.Signal != 0:
		return fmt.Sprintf("signal: %v", e.Signal)
	case e.Code < 0:
		return "exit status lost"
	}
	return fmt.Sprintf("exit code %d", e.Code)
}
