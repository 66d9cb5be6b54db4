package session

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session/protocol"
)

// permit is the right to have a turn running.
type permit struct {
	once sync.Once
	free func()
	stop func() bool
}

// newPermit is for a turn that was taken from the governor's slots. It is given back with the actor, however that ends.
func newPermit(ctx context.Context, s *slots) *permit {
	p := &permit{free: s.release}
	p.stop = context.AfterFunc(ctx, func() { p.once.Do(p.free) })
	return p
}

func (p *permit) release() {
	if p != nil {
		p.stop()
		p.once.Do(p.free)
	}
}

func (l *loop) turnSlots() *slots {
	if g := l.session.spec.Governor; g != nil {
		return g.turns
	}
	return nil
}

// mayTurn reports whether a prompt may be sent now. If not, pump is called again when it may.
func (l *loop) mayTurn(c *actor.Context[message]) bool {
	if l.held(c) {
		return false
	}
	switch s := l.turnSlots(); {
	case s == nil || l.permit != nil:
		return true
	case s.try():
		l.permit = newPermit(l.over, s)
		return true
	case !l.queuing:
		l.queuing = true
		l.desk.update(func(_ *record, info *Info) { info.Waits = "max_busy" })
		c.Go("wait for a turn", func(ctx context.Context) message {
			if s.acquire(ctx, false) != nil { // the actor has ended
				return permitted{}
			}
			return permitted{newPermit(ctx, s)}
		})
	}
	return false
}

func (l *loop) onPermitted(c *actor.Context[message], p *permit) {
	l.queuing = false
	l.desk.update(func(_ *record, info *Info) { info.Waits = "" })
	if p == nil {
		return
	}
	if l.permit != nil { // a turn of the CLI's own came first, and has one
		p.release()
		return
	}
	l.permit = p
	l.pump(c)
	if l.current == nil && !l.turns.open {
		l.endPermit()
	}
}

// countTurn notes a turn that the CLI began by itself, and nobody could hold up.
func (l *loop) countTurn() {
	if s := l.turnSlots(); s != nil && l.permit == nil {
		s.take()
		l.permit = newPermit(l.over, s)
	}
}

func (l *loop) endPermit() {
	l.permit.release()
	l.permit = nil
}

// held reports whether the queue has to wait for the API. It asks once: each time that it does it gets a time behind all who have asked.
func (l *loop) held(c *actor.Context[message]) bool {
	if l.timers[holdDeadline] != nil { // a turn of the CLI's own may have come in between, or another process
		l.desk.update(func(_ *record, info *Info) { info.State = Held })
		return true
	}
	d, why := l.session.spec.Governor.held(l.account)
	if d <= 0 {
		return false
	}
	until := time.Now().Add(d)
	l.after(c, holdDeadline, d)
	l.desk.update(func(_ *record, info *Info) { info.State, info.HeldUntil, info.Waits = Held, until, why })
	l.session.notice(NoticeHeld, fmt.Sprintf("queries wait until %s: %s", until.UTC().Format(time.RFC3339), why),
		map[string]any{"until": until.UTC().Format(time.RFC3339), "reason": why})
	return true
}

// goOn is called when the wait is over, and looks again: the hold may be longer by now.
func (l *loop) goOn(c *actor.Context[message]) {
	l.desk.update(func(_ *record, info *Info) {
		info.HeldUntil, info.Waits = time.Time{}, ""
		if info.State == Held {
			info.State = Idle
		}
	})
	l.pump(c)
	if l.timers[holdDeadline] == nil {
		l.session.tellNotice(NoticeReleased, "queries run again")
	}
}

// noteLimit takes what the CLI says about the account's usage limits.
func (l *loop) noteLimit(m *protocol.RateLimitEvent) {
	i := m.RateLimitInfo
	if i.Status != limitRejected || i.ResetsAt == nil || i.IsUsingOverage || i.OverageStatus == limitAllowed {
		return
	}
	seconds := *i.ResetsAt
	if !(seconds > 0 && seconds < 1e11) {
		return
	}
	until := time.Unix(int64(seconds)+1, 0)
	if l.session.spec.Governor.limited(l.account, until, "usage limit reached ("+cut(i.RateLimitType, 40)+")") {
		l.log.Warn().Time("until", until).Str("limit", cut(i.RateLimitType, 40)).Msg("usage limit reached: queries wait")
	}
}

const (
	limitRejected = "rejected"
	limitAllowed  = "allowed"
)

// The HTTP statuses of an API without room: too many requests of this account, and of all together.
const (
	statusTooMany    = 429
	statusOverloaded = 529
)

// overload reports whether the API had no room for a turn.
func overload(m *protocol.Result) bool {
	return m.Failed() && m.APIErrorStatus != nil && (*m.APIErrorStatus == statusTooMany || *m.APIErrorStatus == statusOverloaded)
}

// noteService takes from a result whether the API answers.
func (l *loop) noteService(m *protocol.Result) {
	g := l.session.spec.Governor
	switch {
	case overload(m):
		if until, news := g.overloaded(l.account); news {
			l.log.Warn().Time("until", until).Msg("the API is overloaded: queries wait")
		}
	case !m.Failed():
		g.served(l.account)
	}
}

// Retry is a request to the API that the CLI tries again by itself.
type Retry struct {
	Attempt, Most int
	Status        int    // HTTP; 0 for none
	Error         string // overloaded, rate_limit, …
	At            time.Time
}

// noteRetry shows that the CLI tries again; nil: it does no more.
func (l *loop) noteRetry(m *protocol.APIRetry) {
	var retry *Retry
	if m != nil {
		retry = &Retry{Attempt: m.Attempt, Most: m.MaxRetries, Error: cut(m.Error, 40), At: time.Now().Add(time.Duration(m.RetryDelayMS) * time.Millisecond)}
		if m.ErrorStatus != nil {
			retry.Status = *m.ErrorStatus
		}
	} else if !l.retrying {
		return
	}
	l.retrying = m != nil
	l.desk.update(func(_ *record, info *Info) { info.Retry = retry })
}
