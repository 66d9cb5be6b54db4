package supervisor

import (
	"time"

	"github.com/understudy-run/understudy/actor"
)

// Exiting begins the stop that somebody asked for.
func (l *loop) Exiting(c *actor.Context[message], reason error) { l.shutDown(c, reason) }

// shutDown stops the children and then the supervisor itself, which ends with that reason.
func (l *loop) shutDown(c *actor.Context[message], reason error) {
	if l.state == Stopping {
		return
	}
	l.state, l.since, l.reason = Stopping, time.Now(), reason
	l.pending = nil
	for i := len(l.children) - 1; i >= 0; i-- {
		child := l.children[i]
		child.again = false
		child.failStarters(l.notUpError())
		// From here on nothing comes up any more, also while children are stopped one after the other.
		switch {
		case child.waits():
			l.cancelRestart(child)
		case child.cancelStart != nil || l.options.Independent && child.wanted():
			l.stop(c, child)
		}
	}
	l.stopNext(c)
}

// stopNext asks the last child that has not ended to do so, unless it has been asked. When all have ended
// the supervisor ends.
func (l *loop) stopNext(c *actor.Context[message]) {
	for ; l.stopped < len(l.children); l.stopped++ {
		child := l.children[len(l.children)-1-l.stopped]
		if !child.wanted() {
			continue
		}
		l.stop(c, child) // never at once: what could be has been seen to in shutDown
		return
	}
	for _, reply := range l.waiting {
		reply.Fail(l.reason)
	}
	l.waiting = nil
	c.Exit(l.reason)
}

// stop brings a child down from whatever it is doing. When it is down its
// stoppers are answered.
func (l *loop) stop(c *actor.Context[message], child *child) {
	switch {
	case child.state == Stopping:
	case child.cancelStart != nil: // onStarted or onStartFailed goes on
		child.to(Stopping)
		child.cancelStart()
	case child.pid != (actor.PID{}):
		child.to(Stopping)
		l.askToStop(c, child)
	default: // waiting for its restart
		l.cancelRestart(child)
		child.answerStoppers()
	}
}

// cancelRestart settles a child that waits for its restart.
func (l *loop) cancelRestart(child *child) {
	child.timer.Stop()
	child.nextTry = time.Time{}
	l.settle(child, actor.ErrShutdown)
}

func (l *loop) askToStop(c *actor.Context[message], child *child) {
	grace, limited := child.spec.Shutdown.Grace()
	switch {
	case !limited:
		child.pid.Stop(actor.ErrShutdown)
	case grace == 0:
		l.kill(c, child)
	default:
		child.pid.Stop(actor.ErrShutdown)
		child.timer = c.After(grace, graceOver{child, child.incarnation})
	}
}

// abandonAfter is how long a killed child may take to notice.
const abandonAfter = 5 * time.Second

func (l *loop) kill(c *actor.Context[message], child *child) {
	l.emit(Event{Kind: ChildKilled, Child: child.spec.ID, Incarnation: child.incarnation, PID: child.pid, Restarts: child.restarts})
	child.pid.Kill()
	child.timer = c.After(abandonAfter, deafTooLong{child, child.incarnation})
}

// onStopped is called when a child that was asked to end has ended, for whatever reason then.
func (l *loop) onStopped(c *actor.Context[message], child *child, reason error) {
	child.timer.Stop()
	again := child.again
	child.again = false
	if again {
		child.to(Stopped)
		l.emit(Event{Kind: ChildStopped, Child: child.spec.ID, Incarnation: child.incarnation, Restarts: child.restarts, Reason: reason, Again: true})
	} else {
		l.settle(child, reason)
	}
	child.answerStoppers()
	initial := child.initial
	child.initial = false
	switch {
	case l.state == Stopping:
		l.stopNext(c)
	case again:
		child.forgive()
		l.launch(c, child, true)
	case initial: // terminated before it was up: the others are started all the same
		l.startNext(c)
	}
}

// settle is the last of a child that is down to stay: it keeps its spec, unless it is temporary.
func (l *loop) settle(child *child, reason error) {
	child.to(Stopped)
	child.parked = nil
	l.emit(Event{Kind: ChildStopped, Child: child.spec.ID, Incarnation: child.incarnation, Restarts: child.restarts, Reason: reason})
	if child.spec.Restart == Temporary {
		l.remove(child)
	}
}
