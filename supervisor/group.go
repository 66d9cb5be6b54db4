package supervisor

import (
	"slices"
	"time"

	"github.com/understudy-run/understudy/actor"
)

// group is what a supervisor is doing with children that go down and come up together. One child is
// stopped or started at a time; everybody else's requests are answered meanwhile.
type group struct {
	turn      *child   // whose stop or start is at work
	halting   []*child // to be stopped after that, before anything is started
	incidents []incident
}

// incident is the end of a child while its group was busy. It is handled when the group is up, or when a
// member of it did not start: before that, what it means for the others is not settled.
type incident struct {
	child       *child
	incarnation int
	ending      ending
}

// leave says that nothing is at work on a child any more.
func (g *group) leave(child *child) {
	if g.turn == child {
		g.turn = nil
	}
}

func (g *group) busy() bool { return g.turn != nil || len(g.halting) > 0 }

// groupAtWork reports whether a group is being restarted, or waits to be.
func (l *loop) groupAtWork() bool {
	return l.options.Strategy.grouped() &&
		(l.group.busy() || slices.ContainsFunc(l.children, func(ch *child) bool { return ch.queued || ch.deferred }))
}

// partOfGroup takes note of an end that the group's own restart sees to, now or later.
func (l *loop) partOfGroup(c *actor.Context[message], child *child, e ending, v verdict) bool {
	switch {
	case !l.options.Strategy.grouped():
		return false
	case slices.Contains(l.group.halting, child):
		// It would have been stopped next: part of the incident that takes its group down.
		child.to(Restarting)
		child.cause = Sibling
		l.emitOf(child, Event{Kind: RestartScheduled, Reason: e.reason, Planned: v == replace})
	case l.state == Starting || l.group.busy():
		child.to(Restarting)
		child.deferred = true
		l.group.incidents = append(l.group.incidents, incident{child, child.incarnation, e})
		return true
	default:
		return false
	}
	l.advance(c)
	return true
}

// takeDown has everything stopped that goes down with a child, and queued what comes up again.
func (l *loop) takeDown(failed *child) {
	members := make([]member, len(l.children))
	for i, ch := range l.children {
		members[i] = member{up: ch.up(), wanted: ch.meant(), temporary: ch.spec.Restart == Temporary}
	}
	p := l.options.Strategy.plan(members, slices.Index(l.children, failed))
	for _, i := range p.start {
		l.rejoin(l.children[i], failed)
	}
	var names []string
	for _, i := range p.stop {
		l.group.halting = append(l.group.halting, l.children[i])
		names = append(names, l.children[i].spec.ID)
	}
	if len(names) > 0 {
		slices.Reverse(names)
		l.emitOf(failed, Event{Kind: GroupRestart, Group: names})
	}
}

// rejoin queues a member of a group that is taken down.
func (l *loop) rejoin(ch, failed *child) {
	switch {
	case ch == failed:
	case ch.deferred: // its own end has become part of this one
		ch.deferred, ch.automatic, ch.cause = false, true, Sibling
		ch.restarts++
	case ch.pid != (actor.PID{}):
		ch.automatic, ch.cause = true, Sibling
		ch.restarts++
	}
	ch.queued = true
}

// advance does the next thing there is to do for the group: it stops, then it starts, then it looks at what
// came meanwhile.
func (l *loop) advance(c *actor.Context[message]) {
	if !l.options.Strategy.grouped() || l.state != Running || l.group.turn != nil {
		return
	}
	for len(l.group.halting) > 0 {
		next := l.group.halting[0]
		l.group.halting = l.group.halting[1:]
		if !next.up() {
			continue
		}
		next.again = next.queued
		l.group.turn = next
		l.stop(c, next)
		return
	}
	if next := l.nextQueued(); next != nil {
		l.group.turn = next
		l.launch(c, next, next.automatic)
		return
	}
	l.handleIncidents(c)
}

// nextQueued is the child whose turn it is to be started, nil if there is none or it is too early.
func (l *loop) nextQueued() *child {
	var first *child
	var latest time.Time
	for _, ch := range l.children {
		if !ch.queued || ch.up() {
			continue
		}
		if first == nil {
			first = ch
		}
		if ch.nextTry.After(latest) {
			latest = ch.nextTry
		}
	}
	if first == nil || !l.options.Strategy.ready(first.nextTry, latest, time.Now()) {
		return nil
	}
	return first
}

// handleIncidents decides about the ends that came while the group was busy, until it is again.
func (l *loop) handleIncidents(c *actor.Context[message]) {
	for len(l.group.incidents) > 0 && l.state == Running && !l.group.busy() {
		next := l.group.incidents[0]
		l.group.incidents = l.group.incidents[1:]
		// Not if somebody terminated or started it since, nor if it has become part of another's end.
		if next.child.deferred && next.child.incarnation == next.incarnation {
			next.child.deferred = false
			l.decide(c, next.child, next.ending)
		}
	}
}

// advanceAfterFailure goes on when a member did not start. As in OTP, what came meanwhile is looked at
// before it is tried again.
func (l *loop) advanceAfterFailure(c *actor.Context[message]) {
	l.handleIncidents(c)
	l.advance(c)
}

// comeUpWithout lets the supervisor come up though one of its first children did not, which will be tried
// again: those after it wait for it.
func (l *loop) comeUpWithout() {
	for _, spec := range l.pending {
		ch := l.add(&spec)
		ch.to(Starting)
		ch.queued, ch.automatic = true, true
	}
	l.pending = nil
}

// hasten makes a child's group wait no longer, since somebody asked for it.
func (l *loop) hasten(child *child) {
	for _, ch := range l.children {
		if ch != child && ch.queued && ch.waits() {
			ch.timer.Stop()
			ch.nextTry = time.Time{}
		}
	}
}
