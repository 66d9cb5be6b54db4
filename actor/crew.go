package actor

import (
	"runtime"
	"sync"
)

// crew is the goroutines on which actors run, and the errands of supervisors. Those that have nothing to do
// wait for the next job, since their stacks have grown to what a job needs: growing that of a new goroutine
// costs as much as all the rest of a short job. Those that wait are few, and when the last actor of the
// System has ended they end too, so that nothing is left of a System which nobody closes.
//
// A job is as free as on a goroutine of its own: it may block, and end it with runtime.Goexit. What it may
// not leave behind is what belongs to a goroutine, such as a locked thread.
type crew struct {
	mu      sync.Mutex
	waiting []*hand // the one that has worked last is the last
	called  int     // those that have a job and have not begun it
	jobs    []job   // for whom nobody waited, but somebody was called, and will see to them: from next on
	next    int
	actors  int // that live: with none nobody waits
}

// job is what a goroutine of the crew does. What work returns, if anything, the same goroutine does next: that
// costs nothing, where another would have to be woken.
type job interface{ work() (next job) }

type hand struct{ jobs chan job }

// mostWaiting bounds how many goroutines wait for work.
var mostWaiting = 16 * runtime.GOMAXPROCS(0)

// run has a job done, without waiting for it.
func (c *crew) run(j job) {
	c.mu.Lock()
	if len(c.waiting) == 0 && c.called > 0 {
		// So many jobs have come that those for whom they were meant have not come to run. Another goroutine
		// would not run sooner.
		c.jobs = append(c.jobs, j)
		c.mu.Unlock()
		return
	}
	c.call(j)
}

// call gives a job to somebody who waits, or to a new goroutine. It is called with c.mu held, and releases it.
func (c *crew) call(j job) {
	c.called++
	n := len(c.waiting)
	if n == 0 {
		c.mu.Unlock()
		go c.enlist(j) // ends when there is nothing more to do: see after
		return
	}
	h := c.waiting[n-1]
	c.waiting[n-1] = nil
	c.waiting = c.waiting[:n-1]
	c.mu.Unlock()
	h.jobs <- j // it has room for one
}

func (c *crew) enlist(j job) {
	h := &hand{jobs: make(chan job, 1)}
	for j != nil {
		c.mu.Lock()
		c.called--
		for j != nil {
			c.relay()
			for j != nil { // meanwhile others see to those that queue: there are some only if somebody was called
				j = j.work()
			}
			j = c.after(h) // holds c.mu if there is one
		}
		j = <-h.jobs
	}
}

// relay is called before a job is begun, which may take any time: if there are others, somebody else is to
// begin the next. It is called with c.mu held, and releases it.
func (c *crew) relay() {
	if c.called == 0 && c.next < len(c.jobs) {
		c.call(c.take())
		return
	}
	c.mu.Unlock()
}

func (c *crew) take() job {
	j := c.jobs[c.next]
	c.jobs[c.next] = nil
	if c.next++; c.next == len(c.jobs) {
		c.jobs, c.next = c.jobs[:0], 0
	}
	return j
}

// after is called when a job is done. It returns the next, with c.mu held. If there is none it returns nil
// without c.mu; the goroutine waits then, or ends if there are enough that do, or no actor is left: its
// channel is closed.
func (c *crew) after(h *hand) job {
	c.mu.Lock()
	if c.next < len(c.jobs) {
		return c.take()
	}
	if c.actors == 0 || len(c.waiting) >= mostWaiting {
		close(h.jobs)
	} else {
		c.waiting = append(c.waiting, h)
	}
	c.mu.Unlock()
	return nil
}

// born and gone count the actors.
func (c *crew) born() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.actors++
}

func (c *crew) gone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.actors--; c.actors > 0 {
		return
	}
	for _, h := range c.waiting {
		close(h.jobs)
	}
	c.waiting = nil
}
