package process

import (
	"strings"
	"sync"
	"time"
)

// strayDelay is how long after its end a session's strays are looked for, and how long sessions that end one after the other have to
// share a look.
const strayDelay = 200 * time.Millisecond

// strayLook is one look at the process table for strays: what carries the marker of a session that had a pid namespace, and is not in
// that. Only what a tool had somebody else start can be one, as by a container engine or a scheduler of jobs: what descends from
// the CLI is gone before the first process of the namespace is reported to be. So nobody waits for this look, and one of
// 1.5 ms does for all the sessions that end in the same moment. It is there before another process of the same session is.
type strayLook struct {
	once sync.Once
	of   map[string]strayOf // by marker
}

type strayOf struct {
	since uint64
	told  func(SweepReport)
}

var strayLooks struct {
	mu   sync.Mutex
	next *strayLook              // that has not begun; nil: nobody has asked for one
	open map[*strayLook]struct{} // that have not ended, next among them
}

// lookForStrays has p's strays looked for by and by.
func (p *Process) lookForStrays() {
	strayLooks.mu.Lock()
	defer strayLooks.mu.Unlock()
	look := strayLooks.next
	if look == nil {
		look = &strayLook{of: map[string]strayOf{}}
		if strayLooks.open == nil {
			strayLooks.open = map[*strayLook]struct{}{}
		}
		strayLooks.next, strayLooks.open[look] = look, struct{}{}
		time.AfterFunc(strayDelay, look.take)
	}
	look.of[p.marker] = strayOf{p.seen.since, p.opts.OnStrays}
}

// awaitStrays returns when the strays of all processes that ran before under the marker, or under another of the same session, have
// been ended.
func awaitStrays(marker string) {
	session := sessionOf(marker)
	takeStrays(func(m string) bool { return sessionOf(m) == session })
}

// takeStrays has the looks that are due for these markers taken now, and returns when they are.
func takeStrays(match func(marker string) bool) {
	var looks []*strayLook
	strayLooks.mu.Lock()
	for look := range strayLooks.open {
		for m := range look.of {
			if match(m) {
				looks = append(looks, look)
				break
			}
		}
	}
	strayLooks.mu.Unlock()
	for _, look := range looks {
		look.take()
	}
}

// sessionOf is a marker without what tells one process of a session from the next: what comes after the last slash.
func sessionOf(marker string) string {
	if i := strings.LastIndexByte(marker, '/'); i >= 0 {
		return marker[:i]
	}
	return marker
}

// take looks, once, and returns when that is done.
func (look *strayLook) take() {
	look.once.Do(func() {
		strayLooks.mu.Lock()
		if strayLooks.next == look {
			strayLooks.next = nil // nobody is added any more
		}
		strayLooks.mu.Unlock()
		look.sweep()
		strayLooks.mu.Lock()
		delete(strayLooks.open, look)
		strayLooks.mu.Unlock()
	})
}

func (look *strayLook) sweep() {
	since := ^uint64(0)
	for _, of := range look.of {
		since = min(since, of.since)
	}
	t, err := sharedTable()
	if err == nil {
		all := func(m string) bool { _, ok := look.of[m]; return ok }
		if len(findVictims(t, all, &descendants{since: since})) == 0 {
			return
		}
	}
	// Each session is told of its own.
	for marker, of := range look.of {
		report := sweep(func(m string) bool { return m == marker }, &descendants{since: of.since}, sweepTimeout)
		if of.told != nil && (report.Err != nil || len(report.Killed) > 0) {
			of.told(report)
		}
	}
}
