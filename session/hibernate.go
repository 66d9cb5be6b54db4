package session

import (
	"github.com/understudy-run/understudy/actor"
)

// An idle session costs a process of some hundred MiB. Hibernated it costs none: its process is ended in order, such that
// the CLI saves what it has to, while the actor stays, and with it the name, the queue and the place in the tree. The next
// query, or control request, brings up the next generation on the same conversation.

// mayHibernate reports whether the process does nothing that would be lost with it.
func (l *loop) mayHibernate() bool {
	return l.options.IdleTimeout > 0 && !l.options.NoSessionPersistence && l.ready && l.process != nil && !l.stopping && !l.laddered &&
		l.cause == nil && l.current == nil && !l.turns.open && !l.atWork && l.background == 0 && len(l.tools) == 0 &&
		len(l.questions) == 0 && len(l.approvals) == 0 && len(l.requests) == 0 && !l.desk.waits(l.withholds(l.session.unaudited()))
}

// lieDown begins the wait for hibernation, when there is nothing to do.
func (l *loop) lieDown(c *actor.Context[message]) {
	if !l.mayHibernate() {
		return
	}
	l.after(c, idleDeadline, l.options.IdleTimeout)
	self := c.Self()
	if l.session.spec.Governor.resting(l, func() { _ = self.Send(hibernate{}) }) { // an actor that has ended needs no process
		l.hibernate(c)
	}
}

// getUp ends that wait: there is something to do.
func (l *loop) getUp() {
	l.cancel(idleDeadline)
	l.session.spec.Governor.stirring(l)
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
	l.desk.update(func(_ *record, info *Info) { info.State = Hibernated })
	l.log.Info().Msg("session hibernates")
	l.session.tellNotice(NoticeHibernated, "its process was ended: there was nothing to do")
	l.keeper.save(c, l, nil)
	if l.stopping {
		l.finish(c, nil)
		return
	}
	l.pump(c) // for what has come meanwhile
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
