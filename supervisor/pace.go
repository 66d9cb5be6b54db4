package supervisor

import (
	"context"
	"sync"
	"time"
)

// Pace limits how often supervisors are restarted in a whole tree. The intensities of nested supervisors
// multiply: with 3 restarts at each of four levels a leaf that dies at once is started 256 times, in OTP
// within a millisecond. Pacing the restarts of supervisors, by which they multiply, bounds the starts of
// everything below; the restarts of other children are bounded by the intensity of their supervisor. A
// restart that comes too early waits: it is counted as ever, and shown as Restarting with its next try.
//
// A tree that fails faster than its pace allows may so stay within its intensities, and is then tried at
// that pace until somebody acts.
//
// A Pace may be shared by any number of supervisors, and used from any goroutine.
type Pace struct {
	every time.Duration // one restart earned
	burst int

	mu   sync.Mutex
	next time.Time // when all that has been taken will be earned again
}

// NewPace allows burst restarts of supervisors at once and so many a second in the long run. Values below 1
// mean 1.
func NewPace(perSecond, burst int) *Pace {
	return &Pace{every: time.Second / time.Duration(max(perSecond, 1)), burst: max(burst, 1)}
}

// The default pace of a tree.
const (
	defaultPerSecond = 10
	defaultBurst     = 10
)

// take takes one restart and says how long it has to wait.
func (p *Pace) take(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next.Before(now) {
		p.next = now
	}
	wait := p.next.Sub(now) - time.Duration(p.burst-1)*p.every
	p.next = p.next.Add(p.every)
	return max(wait, 0)
}

type paceKey struct{}

// handDown puts the pace into the context of a child's Start, where an inner supervisor finds it.
func (p *Pace) handDown(ctx context.Context) context.Context {
	return context.WithValue(ctx, paceKey{}, p)
}

// inherited is the pace of the supervisor that starts this one, or a new one.
func inherited(ctx context.Context) *Pace {
	if p, ok := ctx.Value(paceKey{}).(*Pace); ok {
		return p
	}
	return NewPace(defaultPerSecond, defaultBurst)
}
