package actor

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
)

// Errand is work that an actor has done in a goroutine and may give up on, as a supervisor does with the
// start of a child. What becomes of it is one message, whatever Run does. It is one value instead of three
// functions because a supervisor makes one for each start.
type Errand[M any] interface {
	// Run does the work. The context is cancelled when the actor ends, and the actor's end is reported only
	// when Run has returned, or was abandoned.
	Run(ctx context.Context) M
	// Failed makes the message of a Run that did not return. The reason is a *PanicError, in which Where is
	// to be filled in, or wraps ErrGoexit.
	Failed(reason error) M
	// Late is given the message that an abandoned errand comes to in the end.
	Late(M)
}

// Dispatched is an errand at work.
type Dispatched[M any] struct {
	cell   *cell
	errand Errand[M]
	state  atomic.Int32
}

const (
	underWay int32 = iota
	doneWith
	abandoned
)

// Dispatch has an errand run in a goroutine; its message comes back to the actor.
func (c *Context[M]) Dispatch(errand Errand[M]) *Dispatched[M] {
	cell := c.cell
	d := &Dispatched[M]{cell: cell, errand: errand}
	cell.working = true
	cell.work.Add(1)
	cell.system.crew.run(d) // returns when Run has
	return d
}

// Abandon waits for the errand no longer: its message goes to Late. It reports false if the message has
// been sent already.
func (d *Dispatched[M]) Abandon() bool {
	if !d.state.CompareAndSwap(underWay, abandoned) {
		return false
	}
	d.cell.work.Done()
	return true
}

func (d *Dispatched[M]) work() {
	var message M
	returned := false
	defer func() {
		if !returned {
			message = d.errand.Failed(d.failure(recover()))
		}
		if !d.state.CompareAndSwap(underWay, doneWith) {
			d.errand.Late(message)
			return
		}
		d.cell.putReturned(message) // if the actor has ended already, nobody is interested
		d.cell.work.Done()
	}()
	message = d.errand.Run(d.cell.context())
	returned = true
}

// failure is the reason of a Run that did not return.
func (d *Dispatched[M]) failure(panicked any) error {
	if panicked == nil {
		return ErrGoexit
	}
	err := &PanicError{Where: "Run", Value: panicked, Stack: debug.Stack()}
	d.cell.system.options.Logger.Error().Str("actor", d.cell.name).
		Str("panic", fmt.Sprint(panicked)).Bytes("stack", err.Stack).Msg("errand of actor panicked")
	return err
}
