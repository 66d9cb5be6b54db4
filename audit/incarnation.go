package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/understudy-run/understudy/actor"
)

// incarnation is one life of the audit actor, as the handle sees it.
type incarnation struct {
	trail    *Trail
	ref      actor.Ref[message]
	flushing atomic.Bool   // a flush is in the mailbox
	begun    chan struct{} // closed when the actor can trap exits
	released chan struct{} // closed when the file is, after the actor's end
	quiet    chan struct{} // closed when the sinks and anchors have ended too
	cancel   context.CancelFunc
	beside   sync.WaitGroup // sinks and anchors

	// file is held while the log is used. A killed actor does not wait for its goroutine, so whoever
	// closes the log must.
	file sync.Mutex
	log  *log // nil: failed (or never opened again), or closed

	settling sync.WaitGroup        // batches whose entries get their outcome while the next is written
	ahead    atomic.Pointer[batch] // the next batch, once the one before is sealed and on its way to the disk

	mu          sync.Mutex
	over        bool
	outstanding *entry   // the first of them
	queue       []*entry // what the actor has not taken yet
	told        bool     // the actor knows that there is something, or will look by itself
}

// admit makes the incarnation responsible for an entry. tell says that the actor has to be told: when it has nothing to do,
// and each time when a bundle has come together.
func (in *incarnation) admit(e *entry) (taken, tell bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return false, false
	}
	in.queue = append(in.queue, e)
	tell = !in.told || len(in.queue)%bundle == 0
	in.told = true
	e.owner.Store(in)
	e.previous, e.next = nil, in.outstanding
	if e.next != nil {
		e.next.previous = e
	}
	in.outstanding = e
	return true, tell
}

// take appends to pending what has come. Who comes later need not tell the actor if it looks again anyhow, which it does when
// the batch is done that it writes, or will write of what is pending.
func (in *incarnation) take(pending []*entry, writing bool) []*entry {
	in.mu.Lock()
	defer in.mu.Unlock()
	pending = append(pending, in.queue...)
	clear(in.queue)
	in.queue = in.queue[:0]
	in.told = writing || len(pending) > 0
	return pending
}

// withdraw takes an entry back; false if the actor has taken it, or it is settled already.
func (in *incarnation) withdraw(e *entry) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	i := slices.Index(in.queue, e)
	if i < 0 {
		return false
	}
	in.queue = slices.Delete(in.queue, i, i+1)
	return in.unlink(e)
}

// unlink is called with in.mu held.
func (in *incarnation) unlink(e *entry) bool {
	if e.owner.Load() != in { // it may be on its way again by now, and somebody else's
		return false
	}
	if e.previous != nil {
		e.previous.next = e.next
	} else {
		in.outstanding = e.next
	}
	if e.next != nil {
		e.next.previous = e.previous
	}
	e.previous, e.next = nil, nil
	e.owner.Store(nil)
	return true
}

// settle gives entries their outcome, unless they have it. Nobody may look at an entry after that: it may be used again.
func (in *incarnation) settle(batch []*entry, err error) {
	in.mu.Lock()
	ours := batch[:0] // the batch is not needed any more
	for _, e := range batch {
		if in.unlink(e) {
			ours = append(ours, e)
		}
	}
	in.mu.Unlock()
	for _, e := range ours {
		in.trail.settle(e, err)
	}
}

func (t *Trail) settle(e *entry, err error) {
	if !e.post && e.state.CompareAndSwap(waiting, settled) {
		if errors.Is(err, errAgain) { // it keeps its slot
			e.done <- err
			return
		}
		if err != nil && t.options.Mode == BestEffort {
			t.lose(e.kind, e.at, lossFailed)
		}
		<-t.slots
		e.done <- err
		return
	}
	// Nobody waits, or nobody waits any more.
	if err != nil && (e.post || t.options.Mode == BestEffort) {
		reason := lossFailed
		if errors.Is(err, errAgain) {
			reason = lossDown
		}
		t.lose(e.kind, e.at, reason)
	}
	<-t.slots
}

// spawn starts the actor on an open log.
func (t *Trail) spawn(l *log) (actor.PID, error) {
	in := &incarnation{
		trail: t, log: l, begun: make(chan struct{}), released: make(chan struct{}), quiet: make(chan struct{}),
	}
	l.ahead = &in.ahead
	t.mu.Lock()
	t.broken = l.full
	t.mu.Unlock()
	// There are no more than queueSize records on their way, whether or not each is told of; beside them one flush may wait.
	ref, err := actor.Spawn(t.system, actor.Spec{Name: t.options.Name, Mailbox: queueSize + 1}, &writer{in: in, full: l.full})
	if err != nil {
		l.close()
		return actor.PID{}, fmt.Errorf("start audit log %s: %w", t.options.Dir, err)
	}
	in.ref = ref
	select {
	case <-in.begun: // from here on a stop writes log.closed
	case <-ref.Done():
	}
	ctx, cancel := context.WithCancel(context.Background())
	in.cancel = cancel
	for _, sink := range t.sinks {
		in.beside.Go(func() { sink.run(ctx) }) // ends when the actor has
	}
	for _, anchor := range t.anchors {
		in.beside.Go(func() { anchor.run(ctx) }) // ends when the actor has
	}
	go in.bury() // ends when the actor has ended and its last write has returned
	t.mu.Lock()
	defer t.mu.Unlock()
	t.up, t.last = in, in
	close(t.changed)
	return ref.PID, nil
}

// bury settles what an ended actor has left, and closes the file if the actor could not.
func (in *incarnation) bury() {
	<-in.ref.Done()
	in.trail.down(in)
	in.file.Lock()
	if in.log != nil {
		in.log.close()
		in.log = nil
	}
	in.file.Unlock()
	in.settling.Wait()
	in.cancel()
	defer close(in.quiet)
	defer in.beside.Wait()   // last: nobody who waits for the log waits for them
	defer close(in.released) // by then it is known what is lost here: the next incarnation records it

	in.mu.Lock()
	in.over = true
	var rest []*entry
	for e := in.outstanding; e != nil; e = e.next {
		rest = append(rest, e)
	}
	in.mu.Unlock()
	reason := in.ref.Reason()
	if actor.Clean(reason) || errors.Is(reason, actor.ErrKilled) {
		reason = errAgain // writing works, as far as anybody knows
	}
	in.settle(rest, reason)
}
