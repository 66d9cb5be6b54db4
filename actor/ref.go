package actor

import (
	"context"
	"fmt"
)

// PID is the identity of one incarnation of an actor. It is comparable and stays valid after the actor's
// end. The zero PID is nobody: it has ended, and takes nothing.
type PID struct{ c *cell }

// Ref is a PID whose actor takes messages of type M.
type Ref[M any] struct{ PID }

// Actor is the behaviour of an actor that takes messages of type M. M is usually an interface with one
// unexported method, so that the set of messages is closed.
//
// An Actor may also implement [Starter], [Trapper] and [Stopper].
type Actor[M any] interface {
	// Receive handles one message. It must not block. A panic ends the actor; the message is not
	// delivered again.
	Receive(c *Context[M], message M)
}

// Starter is an Actor with something to do before its first message. An error ends it with that reason.
type Starter[M any] interface {
	Started(c *Context[M]) error
}

// Trapper is an Actor that ends itself when asked to, as an OTP process that traps exits. Exiting is
// called once, ahead of all waiting messages; the actor goes on receiving until it calls Context.Exit.
type Trapper[M any] interface {
	Exiting(c *Context[M], reason error)
}

// Stopper is an Actor with something to do after its last message. It is not called for an actor that
// was killed or never started. A panic in it is logged, and changes nothing about the end.
type Stopper[M any] interface {
	Stopped(c *Context[M], reason error)
}

// Spawn starts an actor and returns without waiting for it. It fails with ErrNameTaken, or if the Spec is
// invalid.
func Spawn[M any](s *System, spec Spec, behaviour Actor[M]) (Ref[M], error) {
	if err := spec.validate(); err != nil {
		return Ref[M]{}, err
	}
	cell := newCell(s, spec)
	cell.calls = &callbacks[M]{Context[M]{cell}, behaviour}
	if err := s.register(cell); err != nil {
		return Ref[M]{}, err
	}
	s.engine.SpawnProc(cell)
	return Ref[M]{PID{cell}}, nil
}

// Name is the actor's name, "" for the zero PID.
func (p PID) Name() string {
	if p.c == nil {
		return ""
	}
	return p.c.name
}

// String is the name and, since names are used again, hollywood's number of the incarnation.
func (p PID) String() string {
	if p.c == nil {
		return "nobody"
	}
	return p.c.pid.GetID()
}

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Done is closed when the actor has ended: its name is free, its goroutines are gone.
func (p PID) Done() <-chan struct{} {
	if p.c == nil {
		return closedChannel
	}
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.c.done == nil {
		if p.c.gone.Load() {
			return closedChannel
		}
		p.c.done = make(chan struct{}) // few actors are waited for
	}
	return p.c.done
}

// Reason is why the actor ended. It is nil while Done is open.
func (p PID) Reason() error {
	if p.c == nil {
		return ErrStopped
	}
	if p.c.gone.Load() {
		return p.c.reason
	}
	return nil
}

// Alive reports whether Done is open.
func (p PID) Alive() bool {
	return p.c != nil && !p.c.gone.Load()
}

// Stop asks the actor to end, ahead of its waiting messages, and returns at once; wait for Done. Only the
// first call counts. An actor that does not trap exits ends after the message it is handling. A nil
// reason means ErrShutdown.
func (p PID) Stop(reason error) {
	if p.c == nil {
		return
	}
	if reason == nil {
		reason = ErrShutdown
	}
	if p.c.stop.CompareAndSwap(nil, &stopRequest{reason}) {
		_ = p.c.put(item{kind: nudge}) // an error says that it has ended already
	}
}

// Kill ends the actor without asking: neither Exiting nor Stopped is called, its context is cancelled at
// once, and its goroutines are not waited for. A callback that blocks cannot be ended in Go: Done stays
// open, and the name taken, until it returns.
func (p PID) Kill() {
	if p.c == nil {
		return
	}
	if !p.c.killed.CompareAndSwap(false, true) {
		return
	}
	p.c.cancelContext()
	p.c.mu.Lock()
	if p.c.kill != nil {
		close(p.c.kill)
	}
	p.c.mu.Unlock()
	_ = p.c.put(item{kind: nudge}) // an error says that it has ended already
}

// Send puts a message into the mailbox. It never waits: ErrMailboxFull, ErrStopped.
func (r Ref[M]) Send(message M) error {
	if r.c == nil {
		return &StoppedError{Name: r.Name()}
	}
	if !r.c.room.take() {
		return fmt.Errorf("actor %s: %w (%d messages)", r.c.name, ErrMailboxFull, r.c.room.bound)
	}
	return r.c.deliver(message)
}

// SendWait puts a message into the mailbox and waits for room if there is none. It fails with ErrStopped,
// or with the context's error.
func (r Ref[M]) SendWait(ctx context.Context, message M) error {
	if r.c == nil {
		return &StoppedError{Name: r.Name()}
	}
	if r.c.room.take() {
		return r.c.deliver(message)
	}
	w := r.c.room.wait()
	if w == nil {
		return r.c.deliver(message)
	}
	select {
	case <-w.given:
		return r.c.deliver(message)
	case <-r.Done():
		r.c.room.leave(w)
		return r.c.stoppedError()
	case <-ctx.Done():
		r.c.room.leave(w)
		return fmt.Errorf("actor %s: %w: %w", r.c.name, ErrMailboxFull, context.Cause(ctx))
	}
}

// deliver hands over a message that has its place.
func (c *cell) deliver(message any) error {
	if err := c.put(item{kind: mail, at: c.age(), message: message}); err != nil {
		c.room.give()
		return err
	}
	return nil
}
