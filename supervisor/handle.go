package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/understudy-run/understudy/actor"
)

// Supervisor is the address of a running supervisor.
type Supervisor struct{ ref actor.Ref[message] }

// Start starts a supervisor and its children and returns when they are up. The context bounds the start
// only. If a child fails to start, the error is a *StartError. Whatever the error, nothing is left running:
// Start waits until the children that were up have ended, each within its Shutdown, also when the context
// is over. Everything that is wrong with the options is reported at once; such errors wrap ErrInvalid.
func Start(ctx context.Context, system *actor.System, options Options) (*Supervisor, error) {
	options = options.withDefaults(ctx)
	if err := options.validate(); err != nil {
		return nil, err
	}
	l := newLoop(options)
	ref, err := actor.Spawn(system, actor.Spec{Name: options.Name}, l)
	if err != nil {
		return nil, err
	}
	s := &Supervisor{ref}
	if _, err := actor.Ask(ctx, ref, func(r actor.Reply[struct{}]) message { return awaitUp{r} }); err != nil {
		ref.Stop(actor.ErrShutdown)
		// Not bounded by the context: an outer supervisor that starts this one again must not find the
		// names of the first attempt taken.
		<-ref.Done()
		return nil, startFailure(ref.PID, err)
	}
	return s, nil
}

// startFailure says why a supervisor did not come up: err is what came of asking it, which depends on
// whether it had ended by then.
func startFailure(pid actor.PID, err error) error {
	reason := pid.Reason()
	if _, failed := errors.AsType[*StartError](reason); failed {
		return reason
	}
	if _, exhausted := errors.AsType[*ExhaustedError](reason); exhausted {
		return reason
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &actor.StoppedError{Name: pid.Name(), Reason: reason}
}

// PID is the supervisor's identity as an actor: what a parent needs to supervise it, and where its end
// can be awaited and its reason read.
func (s *Supervisor) PID() actor.PID { return s.ref.PID }

// Stop asks the supervisor to stop its children and itself, and waits for it. If the context ends first,
// the stop goes on.
func (s *Supervisor) Stop(ctx context.Context) error {
	s.ref.Stop(actor.ErrShutdown)
	select {
	case <-s.ref.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop supervisor %s: %w", s.ref.Name(), context.Cause(ctx))
	}
}

// StopWithin is Stop in a hurry: every child below has d in all to end, or less if its own Shutdown is
// shorter, and is killed then. It tightens a stop that is under way, and loosens none.
func (s *Supervisor) StopWithin(ctx context.Context, d time.Duration) error {
	deadline := time.Now().Add(d)
	s.ref.Stop(actor.ErrShutdown)
	// It fails if the supervisor has ended, or if the context has, of which Stop tells.
	_ = s.ref.SendWait(ctx, hurry{deadline})
	return s.Stop(ctx)
}

// StartChild adds a child, starts it, and returns when it is ready. Children are stopped in reverse order
// of being added. While a group of siblings is restarted the start waits for its turn. It returns the zero
// PID and no error if the start was ignored (ErrIgnore). Errors: *AlreadyStartedError, ErrAlreadyPresent,
// *MaxChildrenError, ErrSimpleOneForOne, ErrInvalid, ErrTerminated, or what the child's Start returned; then
// nothing stays behind, unless the spec says RetryStart. If the context ends first, the start goes on.
func (s *Supervisor) StartChild(ctx context.Context, spec ChildSpec) (actor.PID, error) {
	if err := spec.validate(); err != nil {
		return actor.PID{}, err
	}
	return actor.Ask(ctx, s.ref, func(r actor.Reply[actor.PID]) message { return startChild{&spec, r} })
}

// AddChild is StartChild without waiting for the child to be ready: what becomes of its start is told by
// events. It makes most sense with RetryStart.
func (s *Supervisor) AddChild(ctx context.Context, spec ChildSpec) error {
	if err := spec.validate(); err != nil {
		return err
	}
	_, err := actor.Ask(ctx, s.ref, func(r actor.Reply[struct{}]) message { return addChild{&spec, r} })
	return err
}

// TerminateChild stops a child and waits for its end. Its spec is kept, unless it is temporary or of a template. On a
// child that waits for its restart it takes that back. On a stopped child it does nothing.
func (s *Supervisor) TerminateChild(ctx context.Context, id string) error {
	_, err := actor.Ask(ctx, s.ref, func(r actor.Reply[Exit]) message { return terminateChild{id: id, reply: r} })
	return err
}

// TerminateWithin is TerminateChild with a Shutdown of the caller's, and tells how the child ended. All who
// wait for one stop get the same. It tightens a stop that is under way, and loosens none: the child has the
// shortest time that anybody, or its spec, gives it.
func (s *Supervisor) TerminateWithin(ctx context.Context, id string, shutdown Shutdown) (Exit, error) {
	return actor.Ask(ctx, s.ref, func(r actor.Reply[Exit]) message {
		return terminateChild{id: id, within: &shutdown, reply: r}
	})
}

// RestartChild starts a stopped or parked child once, uncharged. Errors: ErrRunning, ErrRestarting,
// ErrNotFound, ErrSimpleOneForOne, or what its Start returned; then the child is stopped or parked as before.
func (s *Supervisor) RestartChild(ctx context.Context, id string) (actor.PID, error) {
	return actor.Ask(ctx, s.ref, func(r actor.Reply[actor.PID]) message { return restartChild{id: id, reply: r} })
}

// RecycleChild brings a child into a new incarnation whatever it is doing: a running one is stopped first,
// one that waits is not kept waiting, a parked one is forgiven. It is an operator's restart and never
// counts. If a child that was up then fails to start, the caller learns why, and its
// supervisor goes on trying under the restart policy, as after a crash.
func (s *Supervisor) RecycleChild(ctx context.Context, id string) (actor.PID, error) {
	return actor.Ask(ctx, s.ref, func(r actor.Reply[actor.PID]) message { return restartChild{id: id, force: true, reply: r} })
}

// DeleteChild forgets a stopped or parked child. Errors: ErrRunning (also while it starts or stops),
// ErrRestarting, ErrNotFound, ErrSimpleOneForOne, ErrStopping.
func (s *Supervisor) DeleteChild(ctx context.Context, id string) error {
	_, err := actor.Ask(ctx, s.ref, func(r actor.Reply[struct{}]) message { return deleteChild{id, r} })
	return err
}

// Reset forgives a child its past: its delays begin anew, and so does its intensity if it has one of its
// own. With an empty id it clears the window of the supervisor's. What the child is doing goes on: a
// restart that waits is not hastened, and a parked child stays parked (see RestartChild).
func (s *Supervisor) Reset(ctx context.Context, id string) error {
	_, err := actor.Ask(ctx, s.ref, func(r actor.Reply[struct{}]) message { return reset{id, r} })
	return err
}

func lastElement(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
