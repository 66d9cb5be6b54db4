package supervisor

import (
	"time"

	"github.com/understudy-run/understudy/actor"
)

// onDown handles the end of a child that was up.
func (l *loop) onDown(c *actor.Context[message], child *child, reason error) {
	pid := child.pid
	child.pid = actor.PID{}
	child.monitor.Stop()
	child.link.Cut()
	child.monitor, child.link = nil, nil
	if child.state == Stopping {
		if !child.killed && !actor.Clean(reason) { // it died of its own while it was being stopped
			child.note(reason)
		}
		l.onStopped(c, child, reason)
		return
	}
	now := time.Now()
	child.note(reason)
	l.emitOf(child, Event{Kind: ChildExited, PID: pid, Reason: reason})
	if l.state == Stopping { // it is not its turn yet, but nothing is started any more
		l.settle(child, reason)
		l.stopNext(c)
		return
	}
	run := now.Sub(child.since) // nothing has happened to it since it was up
	if run >= child.backoff.ResetAfter {
		child.failures = 0
	}
	if child.probing && run >= child.own.intensity.Within {
		child.forgive()
	}
	l.decide(c, child, ending{reason: reason, clean: actor.Clean(reason), exited: true})
}

// decide performs the verdict about a child that ended by itself, or could not be started.
func (l *loop) decide(c *actor.Context[message], child *child, e ending) {
	v := judge(child.spec.Restart, e, child.probing)
	if (v == replace || v == recount) && e.exited && l.partOfGroup(c, child, e, v) {
		return
	}
	delay := time.Duration(0)
	if v == recount {
		child.failures++
		delay = child.backoff.delay(child.failures, random)
		if exceeded := l.charge(child, e.reason); exceeded != nil {
			v, e.reason = exhausted(child.own != nil, child.spec.OnExhausted), exceeded
		}
	}
	switch v {
	case finish:
		l.group.leave(child)
		child.unqueue()
		l.settle(child, e.reason)
		if e.exited {
			l.finished(c, child)
		}
		l.advance(c)
	case park:
		l.park(c, child, e.reason, 0)
		l.advance(c)
	case cool:
		l.park(c, child, e.reason, child.spec.Cooldown)
		l.advance(c)
	case escalate:
		l.emitOf(child, Event{Kind: Escalated, Reason: e.reason})
		child.to(Stopped)
		l.shutDown(c, e.reason)
	case slowDown:
		l.schedule(c, child, e, child.backoff.longest(random))
	case recount, replace:
		if v == recount && child.spec.Kind == Supervised {
			delay = max(delay, l.options.Pace.take(time.Now()))
		}
		l.schedule(c, child, e, delay)
	}
}

// schedule has a child started again after a delay, and its group with it if it had been up.
func (l *loop) schedule(c *actor.Context[message], child *child, e ending, delay time.Duration) {
	planned := e.exited && Planned(e.reason)
	child.cause = Renewal
	if !planned {
		child.cause = Crash
		child.restarts++
	}
	l.emitOf(child, Event{Kind: RestartScheduled, Delay: delay, Reason: e.reason, Planned: planned})
	grouped := l.options.Strategy.grouped()
	if !grouped && delay <= 0 {
		l.launch(c, child, true)
		return
	}
	child.unqueue()
	child.to(Restarting)
	child.queued, child.automatic = grouped, true
	if delay > 0 {
		child.nextTry = time.Now().Add(delay)
		child.timer = c.After(delay, restartDue{child, child.incarnation})
	}
	if grouped && e.exited {
		l.takeDown(child)
		l.advance(c)
	}
}

// charge counts a restart and returns an error if it is one too many.
func (l *loop) charge(child *child, cause error) error {
	w := &l.window
	if child.own != nil {
		w = child.own
	}
	if w.charge(time.Now()) {
		return nil
	}
	return &ExhaustedError{Supervisor: l.options.Name, Child: child.spec.ID, Intensity: w.intensity, Cause: cause}
}

// park gives a child up, for good or for a while.
func (l *loop) park(c *actor.Context[message], child *child, reason error, cooldown time.Duration) {
	child.unqueue()
	child.to(Failed)
	child.parked = reason
	if cooldown > 0 {
		child.forgive() // it is to have its whole intensity when it has stood its trial
		child.nextTry = time.Now().Add(cooldown)
		child.timer = c.After(cooldown, cooldownOver{child, child.incarnation})
	}
	l.emitOf(child, Event{Kind: ChildParked, Delay: cooldown, Reason: reason})
}
