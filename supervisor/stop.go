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
	l.pending, l.group = nil, group{}
	for i := len(l.children) - 1; i >= 0; i-- {
		child := l.children[i]
		child.again = false
		if !child.up() {
			child.unqueue() // also what cools down
		}
		if len(child.starters) > 0 {
			child.failStarters(l.notUpError())
		}
		// From here on nothing comes up any more, also while children are stopped one after the other.
		switch {
		case child.waits():
			l.cancelRestart(child)
		case child.start != nil || l.options.parallel() && child.wanted():
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
	case child.start != nil: // onStarted or onStartFailed goes on
		child.to(Stopping)
		child.start.ctx.cancel()
		l.awaitStart(c, child)
	case child.pid != (actor.PID{}):
		child.to(Stopping)
		l.askToStop(c, child)
	default: // waiting to be started
		l.cancelRestart(child)
		child.answerStoppers(actor.ErrShutdown)
	}
}

// cancelRestart settles a child that waits to be started.
func (l *loop) cancelRestart(child *child) {
	child.unqueue()
	l.settle(child, actor.ErrShutdown)
}

func (l *loop) askToStop(c *actor.Context[message], child *child) {
	grace, limited := child.spec.Shutdown.Grace()
	for _, deadline := range []time.Time{child.deadline, l.deadline} {
		if left := time.Until(deadline); !deadline.IsZero() && (!limited || left < grace) {
			grace, limited = max(left, 0), true
		}
	}
	switch {
	case !limited:
		child.pid.Stop(actor.ErrShutdown)
	case grace == 0:
		l.kill(c, child)
	default:
		child.pid.Stop(actor.ErrShutdown)
		child.deadline = time.Now().Add(grace)
		child.timer = c.After(grace, graceOver{child, child.incarnation})
	}
}

// tighten gives a child that is being stopped less time, unless it has less already.
func (l *loop) tighten(c *actor.Context[message], child *child, shutdown Shutdown) {
	grace, limited := shutdown.Grace()
	if !limited || child.state != Stopping || child.killed {
		return
	}
	deadline := time.Now().Add(grace)
	if !child.deadline.IsZero() && !deadline.Before(child.deadline) {
		return
	}
	child.deadline = deadline
	if child.pid != (actor.PID{}) { // else it is still starting, and will be asked when it has
		child.timer.Stop()
		l.askToStop(c, child)
	}
}

// abandonAfter is how long a killed child may take to notice.
const abandonAfter = 5 * time.Second

func (l *loop) kill(c *actor.Context[message], child *child) {
	child.killed = true
	l.emitOf(child, Event{Kind: ChildKilled, PID: child.pid})
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
		l.emitOf(child, Event{Kind: ChildStopped, Reason: reason, Again: true})
	} else {
		l.settle(child, reason)
	}
	child.answerStoppers(reason)
	l.group.leave(child)
	initial := l.begun(child)
	switch {
	case l.state == Stopping:
		l.stopNext(c)
		return
	case again && child.queued: // with its group
		child.to(Restarting)
	case again:
		child.forgive()
		l.bring(c, child)
	case initial: // terminated before it was up: the others are started all the same
		l.startNext(c)
	}
	l.advance(c)
}

// settle is the last of a child that is down to stay: it keeps its spec, unless it is temporary.
func (l *loop) settle(child *child, reason error) {
	child.unqueue()
	child.to(Stopped)
	child.parked, child.probing, child.fresh = nil, false, false
	l.emitOf(child, Event{Kind: ChildStopped, Reason: reason})
	l.forgetIfGone(child)
}

// forgetIfGone forgets a child that has no past: what is temporary or made of a template.
func (l *loop) forgetIfGone(child *child) {
	if child.spec.Restart == Temporary || l.options.Strategy == SimpleOneForOne {
		l.remove(child)
	}
}
