package actor

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// Context is what an actor's callbacks act through. It belongs to the callback: do not use it in another
// goroutine, nor keep it in a closure that one runs.
type Context[M any] struct{ cell *cell }

// Self is the actor's own address.
func (c *Context[M]) Self() Ref[M] { return Ref[M]{PID{c.cell}} }

// Context is cancelled when the actor has handled its last message, or is killed. It is what the actor's
// goroutines get.
func (c *Context[M]) Context() context.Context { return c.cell.context() }

// Exit ends the actor after the running callback. Only the first call counts; nil is the normal end.
func (c *Context[M]) Exit(reason error) { c.cell.exit(reason) }

// Post sends the actor itself a message, behind those that wait. It is never refused.
func (c *Context[M]) Post(message M) { c.cell.putReturned(message) }

// Publish sets what Info.Snapshot shows of the actor: an immutable value, made by the actor itself, so
// that looking at it needs neither its mailbox nor its help.
func (c *Context[M]) Publish(snapshot any) { c.cell.snapshot.Store(&snapshot) }

// Go runs work in a goroutine that the actor owns; what it returns comes back as a message. The context
// is cancelled when the actor ends, and the actor's end is reported only when work has returned, so it
// must heed it. If work panics or calls runtime.Goexit, the actor ends with that reason; name says in it
// what was being done.
func (c *Context[M]) Go(name string, work func(ctx context.Context) M) {
	cell := c.cell
	cell.working = true
	ctx := cell.context()
	cell.work.Go(func() { // ends when work returns
		returns := false
		defer func() {
			if returns {
				return
			}
			reason := fmt.Errorf("%s: %w", name, ErrGoexit)
			if v := recover(); v != nil {
				stack := debug.Stack()
				reason = &PanicError{Where: name, Value: v, Stack: stack}
				cell.system.options.Logger.Error().Str("actor", cell.name).Str("where", name).
					Str("panic", fmt.Sprint(v)).Bytes("stack", stack).Msg("goroutine of actor panicked")
			}
			_ = cell.put(item{kind: failed, message: reason}) // an error says that it has ended already
		}()
		message := work(ctx)
		returns = true
		cell.putReturned(message) // the same
	})
}

// Timer is a message to come. The zero Timer is stopped.
type Timer struct {
	timer   *time.Timer
	message any
	cell    *cell
}

// After sends the actor itself a message when d has passed. Timers end with the actor.
func (c *Context[M]) After(d time.Duration, message M) *Timer {
	t := &Timer{message: message, cell: c.cell}
	cell := c.cell
	if cell.timers == nil {
		cell.timers = make(map[*Timer]struct{})
	}
	cell.timers[t] = struct{}{}
	t.timer = time.AfterFunc(d, func() { _ = cell.put(item{kind: fired, message: t}) })
	return t
}

// Stop takes the message back, also when the time has come but the message was not handled yet. Only
// callbacks of the actor that made the timer may call it. A nil or stopped Timer is left as it is.
func (t *Timer) Stop() {
	if t == nil || t.cell == nil {
		return
	}
	t.timer.Stop()
	delete(t.cell.timers, t)
}
