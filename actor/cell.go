package actor

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	hollywood "github.com/anthdm/hollywood/actor"
)

// cell is one incarnation of an actor: hollywood's idea of a process (its Processer), with our life cycle.
// invoke is called from one goroutine at a time; fields without a note are touched there only.
type cell struct {
	system *System
	name   string
	pid    hollywood.PID // its address there
	inbox  inbox
	calls  calls
	born   time.Time

	room room // for messages of others

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
	errand job // the last one dispatched, unless somebody is at it: see sendErrand

	working bool // there have been goroutines
	trapped bool // Exiting was called
	exiting bool // Exit was called
	ended   bool

	killed   atomic.Bool
	started  atomic.Bool
	stopping atomic.Bool

	gone atomic.Bool // all is over; reason may be read then

	handled  atomic.Uint64
	busy     atomic.Int64 // age at which the running callback began, 0 when idle
	headAt   atomic.Int64 // age at which the message last begun was taken
	snapshot atomic.Pointer[any]
}

type stopRequest struct{ reason error }

var _ hollywood.Processer = (*cell)(nil)

func newCell(s *System, spec Spec) *cell {
	bound := spec.Mailbox
	if bound == 0 {
		bound = DefaultMailbox
	}
	c := &cell{
		system: s, name: spec.Name, born: time.Now(),
		room: room{bound: int64(bound)},
	}
	c.inbox.cell = c
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

// Start, PID, Send, Invoke and Shutdown complete hollywood's Processer. Start is called by its registry; Send and
// Invoke would be if anything were sent by way of its engine.
func (c *cell) Start()                                               { c.inbox.start() }
func (c *cell) PID() *hollywood.PID                                  { return &c.pid }
func (c *cell) Shutdown()                                            { PID{c}.Stop(ErrShutdown) }
func (c *cell) Send(_ *hollywood.PID, message any, _ *hollywood.PID) { c.putReturned(message) }
func (c *cell) Invoke(batch []hollywood.Envelope) {
	for _, e := range batch {
		c.putReturned(e.Msg)
	}
}

// put takes a message unless the actor has closed its door. Between that check and the delivery the door stays as
// it is, so that every message taken is handled or becomes a dead letter.
func (c *cell) put(i item) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return c.stoppedError()
	}
	// What engine.Send would find by the address, without looking it up.
	c.inbox.push(i)
	return nil
}

// putReturned hands over what a goroutine of the actor came to. If the actor has ended nobody wants it.
func (c *cell) putReturned(message any) { _ = c.put(item{kind: returned, message: message}) }

// putLast is putReturned for one who has nothing more to do, and does what comes next: the actor's work, if nobody
// is at it.
func (c *cell) putLast(message any) (next job) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return nil
	}
	c.inbox.put(item{kind: returned, message: message})
	if !c.inbox.claim() {
		return nil
	}
	return &c.inbox
}

// sendErrand has somebody else do the actor's last errand. Until then the goroutine on which the actor runs keeps it
// for when the actor has nothing more to do, which is soon, and saves waking another.
func (c *cell) sendErrand() {
	if c.errand != nil {
		c.system.crew.run(c.errand)
		c.errand = nil
	}
}

func (c *cell) stoppedError() error {
	if c.gone.Load() {
		return &StoppedError{Name: c.name, Reason: c.reason}
	}
	return &StoppedError{Name: c.name}
}

// invoke handles what was in the inbox.
func (c *cell) invoke(i item) {
	if c.ended {
		c.discard(i)
		return
	}
	finished := false
	defer func() {
		if finished {
			return
		}
		// A callback called runtime.Goexit, which ends the goroutine that empties the inbox. It would stay
		// "running" for ever with nobody in it: start it again, to discard what is left.
		c.sendErrand()
		c.inbox.stop()
		c.inbox.start()
	}()
	c.step(i)
	finished = true
}

// step handles one item, and before it whatever has priority over messages.
func (c *cell) step(i item) {
	if !c.control() {
		c.discard(i)
		return
	}
	switch i.kind {
	case begin:
		c.guard("Started", func() {
			if err := c.calls.started(); err != nil {
				c.exit(err)
			}
		})
		c.started.Store(true)
	case nudge:
	case mail:
		c.headAt.Store(i.at)
		c.room.give()
		c.handle(i.message)
	case fired:
		timer, _ := i.message.(*Timer)
		if _, live := c.timers[timer]; live {
			delete(c.timers, timer)
			c.handle(timer.message)
		}
	case arrived:
		if m, _ := i.message.(*Monitor); m.live.CompareAndSwap(true, false) {
			c.handle(c.calls.down(m, m.down()))
		}
	case returned:
		c.handle(i.message)
	case failed:
		reason, _ := i.message.(error)
		c.exit(reason)
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

// age is how long the actor has been there, in nanoseconds and never 0. It is by the monotonic clock: that of the wall may be set back.
func (c *cell) age() int64 { return int64(time.Since(c.born)) + 1 }

// guard runs a callback such that neither a panic nor a Goexit in it gets any further than this actor.
func (c *cell) guard(where string, call func()) {
	c.busy.Store(c.age())
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
	c.sendErrand() // it is waited for
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
		m.tell()
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

func (c *cell) discard(i item) {
	if i.kind == mail {
		c.room.give()
		c.system.deadLetter(c.name, i.message)
	}
}
