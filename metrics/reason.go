package metrics

import (
	"context"
	"errors"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

// Reason is the class of an end or of a failed start: exhausted for a supervisor that gave up; what the error
// says of itself by a method `ExitClass() string`, as a *session.CrashError does; else normal, shutdown,
// planned, panic, killed, timeout, or error for everything else.
func Reason(reason error) string {
	if _, exhausted := errors.AsType[*supervisor.ExhaustedError](reason); exhausted {
		return "exhausted" // whatever its child ended with, which is counted there
	}
	var classed interface{ ExitClass() string }
	if errors.As(reason, &classed) && classed.ExitClass() != "" {
		return classed.ExitClass()
	}
	if _, panicked := errors.AsType[*actor.PanicError](reason); panicked {
		return "panic"
	}
	switch {
	case reason == nil:
		return "normal"
	case supervisor.Planned(reason):
		return "planned"
	case actor.Clean(reason):
		return "shutdown"
	case errors.Is(reason, actor.ErrKilled):
		return "killed"
	case errors.Is(reason, supervisor.ErrStartTimeout), errors.Is(reason, context.DeadlineExceeded):
		return "timeout"
	}
	return "error"
}
