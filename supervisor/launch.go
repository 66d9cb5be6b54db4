package supervisor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/understudy-run/understudy/actor"
)

// launch is one start of a child: an errand of the supervisor, which gives it up if it was asked to return
// and does not.
type launch struct {
	supervisor  actor.PID
	child       *child // only its spec is touched on the errand's goroutine: nobody changes that
	incarnation int
	errand      actor.Dispatched[message]

	ctx     startContext
	overdue bool // the loop's: it was asked to return, and has so much time left
	state   atomic.Int32
}

const (
	starts int32 = iota // Start is at work
	heard               // it has returned
	given               // it was given up
)

var _ actor.Errand[message] = (*launch)(nil)

// Run starts the child. Whatever Start does instead of returning a child is an error.
func (s *launch) Run(context.Context) message {
	defer s.ctx.cancel()
	m := started{child: s.child, incarnation: s.incarnation}
	m.pid, m.err = s.start()
	if m.err == nil {
		// Here and not in onStarted: a supervisor that is killed meanwhile does not get that far, and its
		// children must not outlive it.
		m.link = s.supervisor.Link(m.pid)
	}
	return m
}

func (s *launch) start() (actor.PID, error) {
	spec := s.child.spec
	var ctx context.Context = &s.ctx
	if spec.StartTimeout > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeoutCause(ctx, spec.StartTimeout, s.timedOut())
		defer done()
	}
	pid, err := spec.Start(ctx)
	heard := s.state.CompareAndSwap(starts, heard)
	if err == nil && pid == (actor.PID{}) {
		err = errors.New("start returned neither a child nor an error")
	}
	if !heard || spec.StartTimeout == 0 || !errors.Is(context.Cause(ctx), ErrStartTimeout) {
		return pid, err
	}
	if err != nil {
		return actor.PID{}, fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	if !end(pid, spec.Shutdown) {
		return actor.PID{}, fmt.Errorf("%w; what it started at last is abandoned: still running %v after it was killed", context.Cause(ctx), abandonAfter)
	}
	return actor.PID{}, context.Cause(ctx)
}

func (s *launch) timedOut() error {
	return fmt.Errorf("%w: not ready within %v", ErrStartTimeout, s.child.spec.StartTimeout)
}

// Failed is a Start that panicked or ended its goroutine.
func (s *launch) Failed(reason error) message {
	s.ctx.cancel()
	if panicked, ok := errors.AsType[*actor.PanicError](reason); ok {
		panicked.Where = "start " + s.child.spec.ID
	} else {
		reason = fmt.Errorf("start: %w", reason)
	}
	return started{child: s.child, incarnation: s.incarnation, err: reason}
}

// Late kills what an abandoned start has started after all.
func (s *launch) Late(m message) {
	if late, ok := m.(started); ok && late.err == nil {
		late.link.Cut()
		late.pid.Kill()
	}
}

// abandon gives a start up that was asked to return, and reports whether it is given up: not if Start
// has returned, since what remains is bounded.
func (s *launch) abandon() (started, bool) {
	if !s.state.CompareAndSwap(starts, given) || !s.errand.Abandon() {
		return started{}, false
	}
	cause := context.Cause(&s.ctx)
	if cause == nil {
		cause = s.timedOut()
	}
	s.ctx.cancel()
	return started{
		child: s.child, incarnation: s.incarnation,
		err: fmt.Errorf("start: abandoned, it does not heed its context: %w", cause),
	}, true
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
