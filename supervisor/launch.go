package supervisor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/understudy-run/understudy/actor"
)

// runStart starts one incarnation of a child. It returns when Start has, or when Start was asked to return
// and is deaf. Whatever Start does instead of returning is an error.
func runStart(ctx context.Context, spec ChildSpec) (actor.PID, error) {
	if spec.StartTimeout > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeoutCause(ctx, spec.StartTimeout, fmt.Errorf("%w: not ready within %v", ErrStartTimeout, spec.StartTimeout))
		defer done()
	}
	outcomes := callStart(ctx, spec)
	var result outcome
	select {
	case result = <-outcomes:
	case <-ctx.Done():
		var heard bool
		if result, heard = awaitLate(outcomes, spec.Shutdown); !heard {
			go func() { // ends when Start returns, if it ever does
				if late := <-outcomes; late.err == nil {
					late.pid.Kill()
				}
			}()
			return actor.PID{}, fmt.Errorf("start: abandoned, it does not heed its context: %w", context.Cause(ctx))
		}
	}
	cause := context.Cause(ctx)
	if !errors.Is(cause, ErrStartTimeout) {
		return result.pid, result.err
	}
	if result.err != nil {
		return actor.PID{}, fmt.Errorf("%w: %w", cause, result.err)
	}
	if !end(result.pid, spec.Shutdown) {
		return actor.PID{}, fmt.Errorf("%w; what it started at last is abandoned: still running %v after it was killed", cause, abandonAfter)
	}
	return actor.PID{}, cause
}

type outcome struct {
	pid actor.PID
	err error
}

func callStart(ctx context.Context, spec ChildSpec) <-chan outcome {
	outcomes := make(chan outcome, 1)
	go func() { // ends when Start returns
		result := outcome{err: fmt.Errorf("start: %w", actor.ErrGoexit)}
		defer func() {
			if v := recover(); v != nil {
				result.err = &actor.PanicError{Where: "start " + spec.ID, Value: v, Stack: debug.Stack()}
			}
			outcomes <- result
		}()
		result.pid, result.err = spec.Start(ctx)
		if result.err == nil && result.pid == (actor.PID{}) {
			result.err = errors.New("start returned neither a child nor an error")
		}
	}()
	return outcomes
}

// awaitLate waits for a Start whose context has ended as long as for a child that was asked to stop: it
// may be stopping what it had begun.
func awaitLate(outcomes <-chan outcome, shutdown Shutdown) (result outcome, heard bool) {
	grace, limited := shutdown.Grace()
	if !limited {
		return <-outcomes, true
	}
	deaf := time.NewTimer(grace + abandonAfter)
	defer deaf.Stop()
	select {
	case result = <-outcomes:
		return result, true
	case <-deaf.C:
		return outcome{}, false
	}
}

// end stops what has no place in a supervisor as a child is stopped there. It reports whether it is gone.
func end(pid actor.PID, shutdown Shutdown) bool {
	grace, limited := shutdown.Grace()
	if !limited || grace > 0 {
		pid.Stop(actor.ErrShutdown)
	}
	if !limited {
		<-pid.Done()
		return true
	}
	if endsWithin(pid, grace) {
		return true
	}
	pid.Kill()
	return endsWithin(pid, abandonAfter)
}

func endsWithin(pid actor.PID, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-pid.Done():
		return true
	case <-timer.C:
		return false
	}
}
