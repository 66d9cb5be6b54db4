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
	l.stopNext(c)
}

// stopNext asks the last child that has not ended to do so, or all of them if they are independent.
func (l *loop) stopNext(c *actor.Context[message]) {
	for i := len(l.children) - 1; i >= 0; i-- {
		child := l.children[i]
		if !child.wanted() {
			continue
		}
		child.again = false
		child.failStarters(l.stoppingError())
		if child.state == Stopping {
			if l.options.Independent {
				continue
			}
			return
		}
		l.stop(c, child)
		if child.state == Stopping && !l.options.Independent {
			return
		}
	}
	for _, child := range l.children {
		if child.wanted() {
			return
		}
	}
	for _, reply := range l.waiting {
		reply.Fail(l.reason)
	}
	l.waiting = nil
	c.Exit(l.reason)
}

// stop brings a child down from whatever it is doing. Once it is down, onStopped is called.
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
		child.timer.Stop()
		child.nextTry = time.Time{}
		l.onStopped(c, child, actor.ErrShutdown)
	}
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
	child.to(Stopped)
	l.emit(Event{Kind: ChildStopped, Child: child.spec.ID, Incarnation: child.incarnation, Restarts: child.restarts, Reason: reason})
	for _, reply := range child.stoppers {
		reply.Send(struct{}{})
	}
	child.stoppers = nil
	switch {
	case l.state == Stopping:
		l.stopNext(c)
	case child.again:
		child.again = false
		child.forgive()
		l.launch(c, child, false)
	case child.spec.Restart == Temporary:
		l.remove(child)
	}
}
