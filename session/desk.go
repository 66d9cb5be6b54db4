package session

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session/protocol"
)

// desk is what outlives the incarnations of a session: the queue, the record, the last known state. The
// actor of the moment works off the queue; handles put queries on it at any time. It is the one place in
// the package with a lock, and nothing is done under it but to read and write these fields.
type desk struct {
	mu       sync.Mutex
	record   record
	info     Info
	queue    []*query
	inflight *query // what an actor has taken off the queue and not answered
	holder   *loop  // that actor
	maxQueue int
	closed   error    // why no query is taken: stopped, failed
	draining error    // why none is any more
	vacated  error    // why none is as long as it is being removed
	removing bool     // the record is about to be removed
	ending   bool     // the session is being stopped with its runtime: what nobody waits for is the next one's
	left     []*query // that
	filed    filed    // what the record on disk says
	drift    Drift
	looks    map[string]int // frames with unknown fields that were looked at, by kind
	actor    actor.Ref[message]
	stderr   func() []string
	watchers map[*watcher]struct{}
	attended presence // actors of which something may be left to do when they have ended
	board    board
	servers  map[string]MCPServer         // set at run time; nil if none were
	started  *protocol.InitializeResponse // of the running process

	moments   uint64   // so far
	recent    []Moment // the last of them
	history   History
	followers map[*follower]struct{}
	onMoment  func(Moment)
	label     string // see Spec.Label
}

// enqueue takes a query, or says why not.
func (d *desk) enqueue(q *query) (actor.Ref[message], error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.draining != nil {
		return d.actor, d.draining
	}
	if d.vacated != nil {
		return d.actor, d.vacated
	}
	if d.closed != nil {
		return d.actor, d.closed
	}
	if len(d.queue) >= d.maxQueue {
		return d.actor, fmt.Errorf("session %s: %w: %d queries wait (max_queue)", d.info.Name, ErrQueueFull, len(d.queue))
	}
	d.queue = append(d.queue, q)
	d.info.Queue = len(d.queue)
	return d.actor, nil
}

// empty reports whether no query waits.
func (d *desk) empty() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.queue) == 0
}

// waits reports whether a query waits that next would take.
func (d *desk) waits(withheld bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.first(withheld) >= 0
}

// next takes the first query off the queue. Those of an earlier runtime are left there if they are withheld.
func (d *desk) next(withheld bool) *query {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.first(withheld)
	if i < 0 {
		return nil
	}
	q := d.queue[i]
	d.queue = slices.Delete(d.queue, i, i+1)
	d.info.Queue = len(d.queue)
	return q
}

// first is called with d.mu held.
func (d *desk) first(withheld bool) int {
	return slices.IndexFunc(d.queue, func(q *query) bool { return !withheld || !q.requeued })
}

// putBack puts a query that was taken off in front of the others, unless no query is taken any more.
func (d *desk) putBack(q *query) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed != nil {
		return d.closed
	}
	d.queue = slices.Insert(d.queue, 0, q)
	d.info.Queue = len(d.queue)
	return nil
}

// withdraw takes a query off the queue. It reports false if it is not there any more.
func (d *desk) withdraw(q *query) (actor.Ref[message], bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(d.queue, q)
	if i < 0 {
		return d.actor, false
	}
	d.queue = slices.Delete(d.queue, i, i+1)
	d.info.Queue = len(d.queue)
	return d.actor, true
}

// count counts an attempt to deliver a query, before it is made; it is on disk by then if it is to be made again. A negative n takes
// one back that came to nothing.
func (d *desk) count(q *query, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q.attempts += n
}

// close refuses queries from now on, and returns those that wait, which the caller ends with that error.
func (d *desk) close(err error) []*query {
	d.mu.Lock()
	d.closed = err
	waiting := d.queue
	d.queue = nil
	d.info.Queue = 0
	d.mu.Unlock()
	return waiting
}

// leave keeps a prompt of an earlier runtime for the next one, if this one is ending and the CLI has not begun it. It reports false
// if not.
func (d *desk) leave(q *query) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ending || q.taken || q.attempts >= maxAttempts {
		return false
	}
	i := slices.IndexFunc(d.left, func(behind *query) bool { return behind.place > q.place })
	if i < 0 {
		i = len(d.left)
	}
	d.left = slices.Insert(d.left, i, q)
	return true
}

// end says that the session is being stopped with its runtime.
func (d *desk) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ending = true
}

// open takes queries again. It returns why none were taken.
func (d *desk) open() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.closed
	d.closed = nil
	return was
}

// hold notes which query an actor has; nil: none any more.
func (d *desk) hold(holder *loop, q *query) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.holder, d.inflight = holder, q
}

// orphan ends the query in flight when the actor that had it ended without a word. Its successor may have
// one by then.
func (d *desk) orphan(holder *loop) {
	d.mu.Lock()
	q, name := d.inflight, d.info.Name
	if d.holder != holder {
		q = nil
	}
	d.mu.Unlock()
	if q != nil {
		q.stream.close(fmt.Errorf("session %s: %w: its actor was ended during the turn", name, ErrStopped))
	}
}

// leaving reports whether the record is about to be removed, so that it need not be written.
func (d *desk) leaving() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.removing
}

// update changes the record and the info under the lock. f must be quick.
func (d *desk) update(f func(r *record, info *Info)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.info.State
	f(&d.record, &d.info)
	if d.info.State != was {
		d.info.Since = time.Now()
	}
}

func (d *desk) snapshot() (record, Info) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.record, d.info
}

// requeued is how many prompts of an earlier runtime are in the queue.
func (d *desk) requeued() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, q := range d.queue {
		if q.requeued {
			n++
		}
	}
	return n
}

// current is the actor of the moment; it may have ended.
func (d *desk) current() actor.Ref[message] {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.actor
}
