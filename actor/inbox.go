package actor

import (
	"runtime"
	"sync/atomic"

	"github.com/anthdm/hollywood/ringbuffer"
)

// inboxSize is what an inbox allocates up front: room for the first message, which most actors that wait
// never have two of. It grows by itself; hollywood's own default of 1,024 costs 28 kB an actor.
const inboxSize = 2

// throughput is how many messages an actor handles before it lets others run.
const throughput = 300

// inbox is hollywood's ring buffer with what is in it kept as values, and one actor that empties it. It differs from
// hollywood's Inbox in two ways: a message is pushed and popped by itself, for which nothing is allocated, and
// an actor with messages runs on a goroutine of the System's crew, where hollywood begins a new one each time an
// actor has been idle.
//
// The ring is made for the first message: most actors of a large tree wait for one that seldom comes.
type inbox struct {
	messages atomic.Pointer[ringbuffer.RingBuffer[item]]
	cell     *cell
	status   atomic.Int32
	begun    bool // Started was called, or is. Whoever empties the inbox touches it
}

// item is what a cell finds in its inbox.
type item struct {
	kind    kind
	at      int64 // the actor's age when a message of others was taken
	message any
}

type kind uint8

const (
	begin    kind = iota // first of all, and never in the ring: run Started
	nudge                // look at stop and killed
	mail                 // a message of others, which has its place in the room
	returned             // a goroutine's result, or a message to itself
	fired                // a *Timer
	arrived              // a *Monitor, whose target has ended
	failed               // a goroutine's failure, an error
)

const (
	closed int32 = iota // not started, or stopped
	idle
	running
)

// push puts an item in, and has the actor run if it does not.
func (in *inbox) push(i item) {
	in.put(i)
	in.schedule()
}

// put puts an item in.
func (in *inbox) put(i item) {
	ring := in.messages.Load()
	if ring == nil {
		in.messages.CompareAndSwap(nil, ringbuffer.New[item](inboxSize))
		ring = in.messages.Load()
	}
	ring.Push(i)
}

// pop takes out what came first: before all else, the order to begin.
func (in *inbox) pop() (item, bool) {
	if !in.begun {
		in.begun = true
		return item{kind: begin}, true
	}
	if ring := in.messages.Load(); ring != nil {
		return ring.Pop()
	}
	return item{}, false
}

// start has the actor begin, and hands items to it, those included that were pushed before.
func (in *inbox) start() {
	switch {
	case !in.begun: // nobody else can be at it
		in.status.Store(running)
		in.cell.system.crew.run(in)
	case in.status.CompareAndSwap(closed, idle):
		in.schedule()
	}
}

// stop ends that, until the next start.
func (in *inbox) stop() { in.status.Store(closed) }

func (in *inbox) schedule() {
	if in.claim() {
		in.cell.system.crew.run(in)
	}
}

// claim reports whether there is something to do that nobody does: who calls it is to do it then, or see that
// somebody does.
func (in *inbox) claim() bool {
	ring := in.messages.Load()
	return ring != nil && ring.Len() > 0 && in.status.CompareAndSwap(idle, running)
}

// work hands over messages until there are none. It is called on a goroutine of the crew, which is to go on with
// the actor's last errand.
func (in *inbox) work() (next job) {
	c := in.cell
	for n := 1; in.status.Load() == running; n++ {
		i, ok := in.pop()
		if !ok {
			next, c.errand = c.errand, nil
			// One may come between the Pop and the swap: its sender found the inbox running.
			if in.status.CompareAndSwap(running, idle) && in.claim() {
				if next == nil {
					return in
				}
				c.system.crew.run(in)
			}
			return next
		}
		c.sendErrand() // what was to come last does not: it must not wait for a callback
		c.invoke(i)
		if n%throughput == 0 {
			runtime.Gosched()
		}
	}
	return nil
}
