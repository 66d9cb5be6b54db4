package actor

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	hollywood "github.com/anthdm/hollywood/actor"
	"github.com/anthdm/hollywood/ringbuffer"
)

// cell is one incarnation of an actor: hollywood's idea of a process (its Processer), with our life cycle.
// hollywood calls Invoke from one goroutine at a time; fields without a note are touched there only.
type cell struct {
	system *System
	name   string
	pid    *hollywood.PID
	inbox  inbox
	calls  calls
	born   time.Time

	slots chan struct{} // one for each waiting message of others; its capacity is the bound

	mu      sync.RWMutex  // orders senders against the end
	closed  bool          // no message is taken any more
	told    bool          // those who watch have been told of the end
	over    bool          // ctx is cancelled, or will be when it is made
	watched *Monitor      // the first of them
	links   *Link         // the first of them: those that end with this one
	done    chan struct{} // closed when all is over

	// Under mu too, and nil until somebody asks for them: most actors have no goroutines.
	ctx    context.Context // the actor's own: cancelled when it ends
	cancel context.CancelFunc
	kill   chan struct{} // closed by Kill

	stop atomic.Pointer[stopRequest]

	work   sync.WaitGroup // goroutines started by Context.Go
	timers map[*Timer]struct{}
	reason error

	working bool // there have been goroutines
	trapped bool // Exiting was called
	exiting bool // Exit was called
	ended   bool

	killed   atomic.Bool
	started  atomic.Bool
	stopping atomic.Bool

	gone atomic.Bool // all is over; reason may be read then

	depth    atomic.Int64
	handled  atomic.Uint64
	busy     atomic.Int64 // start of the running callback in Unix nanoseconds, 0 when idle
	headAt   atomic.Int64 // when the message last begun was taken
	snapshot atomic.Pointer[any]
}

type stopRequest struct{ reason error }

// What a cell finds in its inbox.
type (
	envelope struct {
		message any
		at      int64
	}
	begin   struct{} // first of all: run Started
	nudge   struct{} // look at stop and killed
	fired   struct{ timer *Timer }
	arrived struct {
		monitor *Monitor
		down    Down
	}
	returned struct{ message any } // a goroutine's result
	failed   struct{ reason error }
)

var _ hollywood.Processer = (*cell)(nil)

func newCell(s *System, spec Spec) *cell {
	bound := spec.Mailbox
	if bound == 0 {
		bound = DefaultMailbox
	}
	c := &cell{
		system: s, name: spec.Name, born: time.Now(),
		slots: make(chan struct{}, bound),
	}
	c.inbox.cell, c.inbox.messages = c, ringbuffer.New[hollywood.Envelope](inboxSize)
	return c
}

// context is cancelled when the actor ends. Most actors never ask for theirs.
func (c *cell) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancel(context.Background())
		if c.over {
			c.cancel()
		}
	}
	return c.ctx
}

func (c *cell) cancelContext() {
	c.mu.Lock()
	c.over = true
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

// Start, PID, Send and Shutdown complete hollywood's Processer. Start is called by its registry.
func (c *cell) Start()              { c.inbox.Start(c) }
func (c *cell) PID() *hollywood.PID { return c.pid }
func (c *cell) Shutdown()           { PID{c}.Stop(ErrShutdown) }
func (c *cell) Send(_ *hollywood.PID, message any, sender *hollywood.PID) {
	c.inbox.Send(hollywood.Envelope{Msg: message, Sender: sender})
}

// put hands a message to hollywood unless the actor has closed its door. Between that check and the
// delivery the door stays as it is, so that every message taken is handled or becomes a dead letter.
func (c *cell) put(message any) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return c.stoppedError()
	}
	// What engine.Send would find by the address, without looking it up.
	c.inbox.Send(hollywood.Envelope{Msg: message})
	return nil
}

// putReturned hands over what a goroutine of the actor came to. If the actor has ended nobody wants it.
func (c *cell) putReturned(message any) { _ = c.put(returned{message}) }

func (c *cell) stoppedError() error {
	if c.gone.Load() {
		return &StoppedError{Name: c.name, Reason: c.reason}
	}
	return &StoppedError{Name: c.name}
}

// Invoke handles a batch of messages. hollywood calls it.
func (c *cell) Invoke(batch []hollywood.Envelope) {
	next, finished := 0, false
	defer func() {
		if finished {
			return
		}
		// A callback called runtime.Goexit, which unwinds hollywood's goroutine together with ours. Its
		// inbox would stay "running" for ever with nobody in it: start it again, to discard what is left.
		for ; next < len(batch); next++ {
			c.discard(batch[next].Msg)
		}
		_ = c.inbox.Stop() // its error is always nil
		c.inbox.Start(c)
	}()
	for next < len(batch) {
		message := batch[next].Msg
		next++
		if c.ended {
			c.discard(message)
			continue
		}
		c.step(message)
	}
	finished = true
}

// step handles one message, and before it whatever has priority over messages.
func (c *cell) step(message any) {
	if !c.control() {
		c.discard(message)
		return
	}
	switch m := message.(type) {
	case begin:
		c.guard("Started", func() {
			if err := c.calls.started(); err != nil {
				c.exit(err)
			}
		})
		c.started.Store(true)
	case nudge:
	case envelope:
		c.headAt.Store(m.at)
		c.depth.Add(-1)
		<-c.slots
		c.handle(m.message)
	case fired:
		if _, live := c.timers[m.timer]; live {
			delete(c.timers, m.timer)
			c.handle(m.timer.message)
		}
	case arrived:
		if m.monitor.live.CompareAndSwap(true, false) {
			c.handle(c.calls.down(m.monitor, m.down))
		}
	case returned:
		c.handle(m.message)
	case failed:
		c.exit(m.reason)
	default:
		panic(fmt.Sprintf("actor: %T in the inbox of %s", message, c.name))
	}
	if c.exiting || c.killed.Load() {
		c.end()
	}
}

func (c *cell) handle(message any) {
	c.guard("Receive", func() { c.calls.receive(message) })
	c.handled.Add(1)
}

// control acts on a pending stop or kill. It reports whether messages may still be handled.
func (c *cell) control() bool {
	if c.killed.Load() {
		c.end()
		return false
	}
	request := c.stop.Load()
	if request == nil || c.trapped {
		return true
	}
	c.trapped = true
	c.stopping.Store(true)
	if !c.calls.traps() || !c.started.Load() {
		c.exit(request.reason)
	} else {
		c.guard("Exiting", func() { c.calls.exiting(request.reason) })
	}
	if c.exiting {
		c.end()
		return false
	}
	return true
}

func (c *cell) exit(reason error) {
	if !c.exiting {
		c.exiting, c.reason = true, reason
	}
}

// guard runs a callback such that neither a panic nor a Goexit in it gets any further than this actor.
func (c *cell) guard(where string, call func()) {
	c.busy.Store(time.Now().UnixNano())
	returned := false
	defer func() {
		c.busy.Store(0)
		if returned {
			return
		}
		v := recover()
		if v == nil { // Goexit: this goroutine is ending and hollywood will not call Invoke again
			c.exit(fmt.Errorf("%s: %w", where, ErrGoexit))
			if where != "Stopped" {
				c.end()
			}
			return
		}
		err := &PanicError{Where: where, Value: v, Stack: debug.Stack()}
		c.system.options.Logger.Error().Str("actor", c.name).Str("where", where).
			Str("panic", fmt.Sprint(v)).Bytes("stack", err.Stack).Msg("actor panicked")
		c.exit(err)
	}()
	call()
	returned = true
}

// end runs the last callback, takes everything down that the actor started, and reports its end.
func (c *cell) end() {
	if c.ended {
		return
	}
	c.ended = true
	c.stopping.Store(true)
	killed := c.killed.Load()
	if killed {
		c.reason = ErrKilled
	}
	// finish must come to pass also when Stopped calls Goexit.
	defer c.finish(killed)
	if !killed && c.started.Load() {
		c.guard("Stopped", func() { c.calls.stopped(c.reason) })
	}
}

func (c *cell) finish(killed bool) {
	c.cancelContext()
	if len(c.timers) > 0 {
		c.stopTimers()
	}
	c.mu.Lock()
	c.closed = true
	links := c.links
	c.links = nil
	c.mu.Unlock()
	linked := kill(links)
	if !killed && c.working {
		// A goroutine that ignores its context holds this up. Whoever waits kills the actor then, and this
		// goroutine goes on alone.
		c.await()
	}
	if len(linked) > 0 {
		awaitLinked(linked)
	}
	c.system.release(c)
	c.gone.Store(true)
	c.mu.Lock()
	if c.done != nil {
		close(c.done)
	}
	watched := c.watched
	c.watched, c.told = nil, true
	c.mu.Unlock()
	for m := watched; m != nil; {
		next := m.next
		m.previous, m.next = nil, nil // whoever holds on to one does not hold on to all
		m.tell(Down{PID: PID{c}, Reason: c.reason})
		m = next
	}
}

func (c *cell) stopTimers() {
	for timer := range c.timers {
		timer.timer.Stop()
	}
}

// kill ends those that a list of links leads to, and returns them.
func kill(links *Link) []PID {
	var linked []PID
	for l := links; l != nil; l = l.next {
		linked = append(linked, PID{l.to})
		PID{l.to}.Kill()
	}
	return linked
}

// await returns when the actor's goroutines have ended, or when the actor is killed.
func (c *cell) await() {
	c.mu.Lock()
	kill := make(chan struct{})
	c.kill = kill
	killed := c.killed.Load()
	c.mu.Unlock()
	if killed {
		return
	}
	idle := make(chan struct{})
	go func() { // ends with the actor's last goroutine
		c.work.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-kill:
	}
}

// linkGrace is how long an actor's end waits for the actors that it takes along.
const linkGrace = 5 * time.Second

// awaitLinked returns when the others have ended, or after linkGrace: one that is deaf, or that itself
// waits for this actor, must not keep its end from being seen.
func awaitLinked(linked []PID) {
	grace := time.NewTimer(linkGrace)
	defer grace.Stop()
	for _, other := range linked {
		select {
		case <-other.Done():
		case <-grace.C:
			return
		}
	}
}

func (c *cell) discard(message any) {
	if m, ok := message.(envelope); ok {
		c.depth.Add(-1)
		<-c.slots
		c.system.deadLetter(c.name, m.message)
	}
}
