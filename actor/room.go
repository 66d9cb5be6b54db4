package actor

import (
	"sync"
	"sync/atomic"
)

// room is the bound of a mailbox: how many messages of others wait, and who waits to put one there.
type room struct {
	bound   int64
	taken   atomic.Int64
	waiting atomic.Int64 // how many waiters there are: mostly none, and then nobody needs mu

	mu      sync.Mutex
	waiters []*waiter // longest first
}

// waiter waits for room. given is closed when there is some, which is the waiter's then.
type waiter struct{ given chan struct{} }

// take takes one place if there is one.
func (r *room) take() bool {
	for {
		n := r.taken.Load()
		if n >= r.bound {
			return false
		}
		if r.taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// give gives one place back, to whoever has waited longest.
func (r *room) give() {
	r.taken.Add(-1)
	// A waiter is counted before it looks for a place once more: either it finds this one, or it is seen here.
	if r.waiting.Load() == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiters) > 0 && r.take() {
		close(r.waiters[0].given)
		r.drop(0)
	}
}

// wait joins those who wait. nil means that there was a place after all.
func (r *room) wait() *waiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting.Add(1)
	if r.take() {
		r.waiting.Add(-1)
		return nil
	}
	w := &waiter{make(chan struct{})}
	r.waiters = append(r.waiters, w)
	return w
}

// leave is called by a waiter that waits no longer.
func (r *room) leave(w *waiter) {
	r.mu.Lock()
	for i, other := range r.waiters {
		if other == w {
			r.drop(i)
			r.mu.Unlock()
			return
		}
	}
	r.mu.Unlock()
	r.give() // it was given a place in this moment
}

// drop is called with mu held.
func (r *room) drop(i int) {
	r.waiters = append(r.waiters[:i], r.waiters[i+1:]...)
	r.waiting.Add(-1)
}
