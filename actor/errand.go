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

// Dispatched is an errand at work. It is the caller's to keep, since it is mostly part of the errand itself, and is used
// once.
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

// Dispatch has an errand run in a goroutine, from when the running callback has returned at the latest; its
// message comes back to the actor. d must be zero.
func (c *Context[M]) Dispatch(d *Dispatched[M], errand Errand[M]) {
	cell := c.cell
	d.cell, d.errand = cell, errand
	cell.working = true
	cell.work.Add(1)
	cell.sendErrand()
	cell.errand = d // begun when this callback has returned, on this goroutine if there is nothing else to do
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

func (d *Dispatched[M]) work() (next job) {
	var message M
	returned := false
	defer func() {
		put := d.cell.putLast
		if !returned {
			v := recover()
			message = d.errand.Failed(d.failure(v))
			if v == nil { // Goexit: this goroutine does nothing any more
				put = func(message any) job { d.cell.putReturned(message); return nil }
			}
		}
		if !d.state.CompareAndSwap(underWay, doneWith) {
			d.errand.Late(message)
			return
		}
		next = put(message) // if the actor has ended already, nobody is interested
		d.cell.work.Done()
	}()
	message = d.errand.Run(d.cell.context())
	returned = true
	return nil // see above
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
