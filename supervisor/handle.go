package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rs/zerolog"

	"github.com/understudy-run/understudy/actor"
)

// Supervisor is the address of a running supervisor.
type Supervisor struct{ ref actor.Ref[message] }

// Start starts a supervisor and its children and returns when they are up. The context bounds the start
// only. If a child fails to start, the error is a *StartError. Whatever the error, nothing is left running:
// Start waits until the children that were up have ended, each within its Shutdown, also when the context
// is over. Everything that is wrong with the options is reported at once; such errors wrap ErrInvalid.
func Start(ctx context.Context, system *actor.System, options Options) (*Supervisor, error) {
	if options.Strategy == "" {
		options.Strategy = OneForOne
	}
	if options.Intensity == nil {
		options.Intensity = &DefaultIntensity
	}
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

// StartChild adds a child, starts it, and returns when it is ready. Children are stopped in reverse order
// of being added. Errors: *AlreadyStartedError, ErrAlreadyPresent, ErrInvalid, ErrTerminated, or what
// the child's Start returned; then nothing stays behind, unless the spec says RetryStart. If the context
// ends first, the start goes on.
func (s *Supervisor) StartChild(ctx context.Context, spec ChildSpec) (actor.PID, error) {
	if err := spec.validate(); err != nil {
		return actor.PID{}, err
	}
	return actor.Ask(ctx, s.ref, func(r actor.Reply[actor.PID]) message { return startChild{spec, r} })
}

// AddChild is StartChild without waiting for the child to be ready: what becomes of its start is told by
// events. It makes most sense with RetryStart.
func (s *Supervisor) AddChild(ctx context.Context, spec ChildSpec) error {
	if err := spec.validate(); err != nil {
		return err
	}
	_, err := actor.Ask(ctx, s.ref, func(r actor.Reply[struct{}]) message { return addChild{spec, r} })
	return err
}

// TerminateChild stops a child and waits for its end. Its spec is kept, unless it is temporary. On a
// child that waits for its restart it takes that back. On a stopped child it does nothing.
func (s *Supervisor) TerminateChild(ctx context.Context, id string) error {
	_, err := actor.Ask(ctx, s.ref, func(r actor.Reply[struct{}]) message { return terminateChild{id, r} })
	return err
}

// RestartChild starts a stopped or parked child once, uncharged. Errors: ErrRunning, ErrRestarting,
// ErrNotFound, or what its Start returned; then the child is stopped or parked as before.
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
// ErrRestarting, ErrNotFound, ErrStopping.
func (s *Supervisor) DeleteChild(ctx context.Context, id string) error {
	_, err := actor.Ask(ctx, s.ref, func(r actor.Reply[struct{}]) message { return deleteChild{id, r} })
	return err
}

func lastElement(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
