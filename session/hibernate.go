package session

import (
	"time"

	"github.com/understudy-run/understudy/actor"
)

// An idle session costs a process of some hundred MiB. Hibernated it costs none: its process is ended in order, such that
// the CLI saves what it has to, while the actor stays, and with it the name, the queue and the place in the tree. The next
// query, or control request, brings up the next generation on the same conversation.

// mayHibernate reports whether the process does nothing that would be lost with it.
func (l *loop) mayHibernate() bool {
	return l.options.IdleTimeout > 0 && !l.options.NoSessionPersistence && !l.session.spec.waiting && l.ready && l.process != nil && !l.stopping && !l.laddered &&
		l.cause == nil && l.current == nil && !l.turns.open && !l.atWork && l.background == 0 && len(l.tools) == 0 &&
		len(l.questions) == 0 && len(l.approvals) == 0 && len(l.requests) == 0 && !l.desk.waits(l.withholds(l.session.unaudited()))
}

// lieDown begins the wait for hibernation when there is nothing to do any more, and ends it when there is something. It is called
// behind every message: much may come to nothing.
func (l *loop) lieDown(c *actor.Context[message]) {
	switch may := l.mayHibernate(); {
	case may == l.lying:
	case !may:
		l.getUp()
	default:
		l.lying = true
		l.after(c, idleDeadline, l.options.IdleTimeout)
		self := c.Self()
		if l.session.spec.Governor.resting(l, func() { _ = self.Send(hibernate{}) }) { // an actor that has ended needs no process
			l.hibernate(c)
		}
	}
}

// getUp ends that wait.
func (l *loop) getUp() {
	l.lying = false
	l.cancel(idleDeadline)
	l.session.spec.Governor.stirring(l)
}

// onHibernate is called when the session is to make room for another one.
func (l *loop) onHibernate(c *actor.Context[message]) {
	switch {
	case l.session.spec.waiting:
		l.makeRoom(c)
	case l.mayHibernate():
		l.hibernate(c)
	default:
		l.getUp()
		l.session.spec.Governor.declined()
	}
}

func (l *loop) hibernate(c *actor.Context[message]) {
	if !l.mayHibernate() {
		return
	}
	l.getUp()
	l.dozing, l.ready = true, false
	l.endProcess(c)
}

// asleep is called when the process of a session that is to hibernate has ended.
func (l *loop) fallAsleep(c *actor.Context[message]) {
	l.dozing, l.asleep = false, true
	l.failRequests(c)
	l.cancel(holdDeadline) // who waited has gone away
	l.desk.update(func(_ *record, info *Info) { info.State, info.HeldUntil, info.Waits = Hibernated, time.Time{}, "" })
	l.log.Info().Msg("session hibernates")
	l.session.tellNotice(NoticeHibernated, "its process was ended: there was nothing to do")
	l.keeper.save(c, l, nil)
	if l.stopping {
		l.finish(c, nil)
		return
	}
	l.pump(c) // for what has come meanwhile
	if len(l.controls) > 0 {
		l.rouse(c)
	}
}

// woken reports whether the process is coming up after a hibernation, for somebody who need not know.
func (l *loop) woken() bool { return l.waking && !l.ready }

// rouse starts the next process of a session that hibernates.
func (l *loop) rouse(c *actor.Context[message]) {
	if !l.asleep || l.stopping {
		return
	}
	l.asleep, l.waking = false, true
	l.session.tellNotice(NoticeWoken, "its process is started again")
	l.turns, l.atWork, l.background, l.noise = turns{}, false, 0, 0
	l.retried, l.renamed, l.proven = false, false, false
	l.nextGeneration(c)
}
