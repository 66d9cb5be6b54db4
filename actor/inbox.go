package actor

import (
	"runtime"
	"sync/atomic"

	hollywood "github.com/anthdm/hollywood/actor"
	"github.com/anthdm/hollywood/ringbuffer"
)

// inboxSize is what an inbox allocates up front. It grows by itself; hollywood's own default of 1,024 costs
// 28 kB an actor.
const inboxSize = 4

// throughput is how many messages an actor handles before it lets others run.
const throughput = 300

// inbox is hollywood's Inboxer on its ring buffer, with two differences: a message is popped by itself, for
// which nothing is allocated, and an actor with messages runs on a goroutine of the System's crew, where
// hollywood begins a new one each time an actor has been idle.
type inbox struct {
	messages *ringbuffer.RingBuffer[hollywood.Envelope]
	cell     *cell
	status   atomic.Int32
	batch    [1]hollywood.Envelope // touched by the running actor only
}

const (
	closed int32 = iota // not started, or stopped
	idle
	running
)

var _ hollywood.Inboxer = (*inbox)(nil)

func (in *inbox) Send(e hollywood.Envelope) {
	in.messages.Push(e)
	in.schedule()
}

// Start begins to hand messages to the actor, those included that were sent before.
func (in *inbox) Start(hollywood.Processer) {
	if in.status.CompareAndSwap(closed, idle) {
		in.schedule()
	}
}

// Stop ends that, until the next Start.
func (in *inbox) Stop() error {
	in.status.Store(closed)
	return nil
}

func (in *inbox) schedule() {
	if in.messages.Len() > 0 && in.status.CompareAndSwap(idle, running) {
		in.cell.system.crew.run(in)
	}
}

// work hands over messages until there are none. It is called on a goroutine of the crew.
func (in *inbox) work() {
	for n := 1; in.status.Load() == running; n++ {
		e, ok := in.messages.Pop()
		if !ok {
			// One may come between the Pop and the swap: its sender found the inbox running.
			if in.status.CompareAndSwap(running, idle) {
				in.schedule()
			}
			return
		}
		in.batch[0] = e
		in.cell.Invoke(in.batch[:])
		if n%throughput == 0 {
			runtime.Gosched()
		}
	}
}
