package supervisor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/understudy-run/understudy/actor"
)

// loop is the supervisor's actor. It performs what strategies and verdicts decide; it never waits and never
// runs a child's code.
type loop struct {
	options Options
	backoff Backoff         // options.Backoff with its defaults
	base    context.Context // of every start: ends with the supervisor, and says what is handed down to those below
	window  window
	state   State
	since   time.Time

	children  []*child          // in start order
	byID      map[string]*child // the same
	instances int               // started of a template so far
	ended     string            // the last significant child that ended by itself

	pending  []ChildSpec             // first children that are not begun yet
	starting int                     // first children that are
	waiting  []actor.Reply[struct{}] // for the first children to be up

	group group

	stopped  int       // while stopping: how many, from the end, are known to be down
	reason   error     // why it is stopping
	deadline time.Time // for all children, if somebody is in a hurry
}

func newLoop(options Options) *loop {
	return &loop{
		options: options, backoff: options.Backoff.withDefaults(), window: window{intensity: *options.Intensity}, state: Starting, since: time.Now(),
		pending: options.Children, byID: make(map[string]*child),
	}
}

// Started publishes the supervisor's own handle, by which Tree finds it below its parent.
func (l *loop) Started(c *actor.Context[message]) error {
	l.base = l.options.Pace.handDown(c.Context())
	c.Publish(&Supervisor{c.Self()})
	l.startNext(c)
	return nil
}

// startNext starts the next of the first children, or the next few if they are independent. When all are
// up, so is the supervisor.
func (l *loop) startNext(c *actor.Context[message]) {
	if l.state != Starting {
		return
	}
	atOnce := 1
	if l.options.Independent {
		atOnce = l.options.AtOnce
	}
	for len(l.pending) > 0 && l.starting < atOnce {
		spec := l.pending[0]
		child := l.add(&spec)
		l.pending = l.pending[1:]
		child.initial = true
		l.starting++
		l.launch(c, child, false)
	}
	if l.starting == 0 {
		l.up(c)
	}
}

// begun is called when one of the first children is up, or will not be for now.
func (l *loop) begun(child *child) (first bool) {
	first, child.initial = child.initial, false
	if first {
		l.starting--
	}
	return first
}

// up ends the start.
func (l *loop) up(c *actor.Context[message]) {
	l.state, l.since = Running, time.Now()
	for _, reply := range l.waiting {
		reply.Send(struct{}{})
	}
	l.waiting = nil
	l.autoShutdown(c)
	l.advance(c)
}

func (l *loop) add(spec *ChildSpec) *child {
	child := newChild(spec, &l.backoff)
	l.children = append(l.children, child)
	l.byID[spec.ID] = child
	return child
}

func (l *loop) find(id string) *child { return l.byID[id] }

// remove forgets a child that is down. A stopping supervisor counts through its children and forgets none.
func (l *loop) remove(gone *child) {
	if l.state == Stopping {
		return
	}
	delete(l.byID, gone.spec.ID)
	i := slices.Index(l.children, gone)
	l.children = slices.Delete(l.children, i, i+1)
}

// Receive handles one message.
func (l *loop) Receive(c *actor.Context[message], m message) {
	switch m := m.(type) {
	case awaitUp:
		l.onAwaitUp(m)
	case startChild:
		l.onStartChild(c, m)
	case startInstance:
		l.onStartInstance(c, m)
	case addChild:
		l.onAddChild(c, m)
	case terminateChild:
		l.onTerminateChild(c, m)
	case restartChild:
		l.onRestartChild(c, m)
	case deleteChild:
		l.onDeleteChild(m)
	case reset:
		l.onReset(m)
	case hurry:
		l.onHurry(c, m)
	case look:
		m.reply.Send(l.node())
	case lookChild:
		if child := l.find(m.id); child != nil {
			m.reply.Send(child.node(l.options.Name))
		} else {
			m.reply.Fail(l.notFound(m.id))
		}
	case lookSpec:
		l.onLookSpec(m)
	case countChildren:
		m.reply.Send(l.count())
	case started: // never stale: nothing begins another start before this one has reported
		l.onStarted(c, m)
	case down:
		// Nor is an end news that comes after the child was given up as deaf: it is stopped by then.
		if m.incarnation == m.child.incarnation && m.pid == m.child.pid {
			l.onDown(c, m.child, m.reason)
		}
	case restartDue:
		if m.incarnation == m.child.incarnation && m.child.waits() {
			l.bring(c, m.child)
		}
	case cooldownOver:
		if m.incarnation == m.child.incarnation && m.child.state == Failed && l.state == Running {
			m.child.probing, m.child.cause = true, Crash
			m.child.to(Restarting)
			l.bring(c, m.child)
		}
	case startOverdue:
		if m.incarnation == m.child.incarnation && m.child.start != nil {
			l.awaitStart(c, m.child)
		}
	case startDeaf:
		if m.incarnation == m.child.incarnation && m.child.start != nil {
			if given, up := m.child.start.abandon(); up {
				l.onStarted(c, given)
			}
		}
	case graceOver:
		if m.incarnation == m.child.incarnation && m.child.state == Stopping && m.child.pid.Alive() {
			l.kill(c, m.child)
		}
	case deafTooLong:
		if m.incarnation == m.child.incarnation && m.child.state == Stopping && m.child.pid.Alive() {
			// Go cannot end a goroutine. Its name stays taken, so that nothing can take its place unseen.
			l.onDown(c, m.child, fmt.Errorf("abandoned: still running %v after it was killed: %w", abandonAfter, actor.ErrKilled))
		}
	}
}

func (l *loop) onAwaitUp(m awaitUp) {
	switch l.state {
	case Starting:
		l.waiting = append(l.waiting, m.reply)
	case Running:
		m.reply.Send(struct{}{})
	default:
		m.reply.Fail(l.notUpError())
	}
}

// bring starts a child for which the time has come, by the supervisor's own decision; in a group when it is
// its turn.
func (l *loop) bring(c *actor.Context[message], child *child) {
	child.unqueue()
	if !l.options.Strategy.grouped() {
		l.launch(c, child, true)
		return
	}
	child.queued, child.automatic = true, true
	l.advance(c)
}

// launch starts the next incarnation of a child. automatic says that the supervisor decided so, and not
// somebody who waits for the outcome.
func (l *loop) launch(c *actor.Context[message], child *child, automatic bool) {
	child.unqueue()
	child.incarnation++
	child.automatic = automatic
	child.deadline, child.killed = time.Time{}, false
	if automatic {
		child.to(Restarting)
	} else {
		child.to(Starting)
	}
	s := &launch{supervisor: c.Self().PID, child: child, incarnation: child.incarnation, ctx: startContext{parent: l.base}}
	child.start = s
	c.Dispatch(&s.errand, s)
	if timeout := child.spec.StartTimeout; timeout > 0 {
		child.timer = c.After(timeout, startOverdue{child, child.incarnation})
	}
}

// awaitStart gives a start that has been asked to return as long as a child that was asked to stop, and
// abandonAfter more: it may be stopping what it had begun.
func (l *loop) awaitStart(c *actor.Context[message], child *child) {
	if child.start.overdue {
		return
	}
	child.start.overdue = true
	child.timer.Stop()
	if grace, limited := child.spec.Shutdown.Grace(); limited {
		child.timer = c.After(grace+abandonAfter, startDeaf{child, child.incarnation})
	}
}

func (l *loop) onStarted(c *actor.Context[message], m started) {
	child := m.child
	child.start = nil
	child.timer.Stop()
	if m.err != nil {
		l.onStartFailed(c, child, m.err)
		return
	}
	child.pid = m.pid
	incarnation := child.incarnation
	child.link = m.link
	child.monitor = c.Monitor(m.pid, func(d actor.Down) message { return down{child, incarnation, d.PID, d.Reason} })
	if child.state == Stopping { // asked to while it started
		l.askToStop(c, child)
		return
	}
	child.to(Running)
	child.parked, child.fresh = nil, false
	l.emitOf(child, Event{Kind: ChildStarted, PID: m.pid, Cause: child.cause})
	child.answerStarters(m.pid)
	l.group.leave(child)
	if l.begun(child) {
		l.startNext(c)
	}
	l.advance(c)
}

func (l *loop) onStartFailed(c *actor.Context[message], child *child, err error) {
	switch {
	case child.state == Stopping:
		l.onStopped(c, child, err)
		return
	case errors.Is(err, ErrIgnore):
		l.onIgnored(c, child)
		return
	}
	child.note(err)
	l.emitOf(child, Event{Kind: StartFailed, Reason: err, Cause: child.cause})
	child.failStarters(err)
	first := l.begun(child)
	if first && !child.spec.RetryStart {
		l.remove(child)
		l.shutDown(c, &StartError{Supervisor: l.options.Name, Child: child.spec.ID, Cause: err})
		return
	}
	l.group.leave(child)
	if first && l.options.Strategy.grouped() {
		l.comeUpWithout()
	}
	switch {
	case child.automatic || child.spec.RetryStart:
		// A failed start is no clean end, even if what it failed of is that somebody else shut down.
		l.decide(c, child, ending{reason: err})
	case child.fresh: // a dynamic child that never was
		child.to(Stopped)
		l.remove(child)
	case child.parked != nil: // a restart on request is tried once
		l.park(c, child, err, 0)
	default:
		child.to(Stopped)
	}
	l.startNext(c)
	l.advanceAfterFailure(c)
}

// onIgnored handles a start that had nothing to start.
func (l *loop) onIgnored(c *actor.Context[message], child *child) {
	child.to(Stopped)
	child.parked, child.probing, child.fresh = nil, false, false
	l.emitOf(child, Event{Kind: ChildIgnored, Reason: ErrIgnore, Cause: child.cause})
	child.answerStarters(actor.PID{})
	l.forgetIfGone(child)
	l.group.leave(child)
	if l.begun(child) {
		l.startNext(c)
	}
	l.advance(c)
}

func (l *loop) notFound(id string) error {
	return fmt.Errorf("%w: %s of %s", ErrNotFound, id, l.options.Name)
}

// notUpError answers what only a running supervisor does.
func (l *loop) notUpError() error {
	if l.state == Starting {
		return fmt.Errorf("%s: %w", l.options.Name, ErrStarting)
	}
	return fmt.Errorf("%s: %w", l.options.Name, ErrStopping)
}

// emitOf tells something about a child.
func (l *loop) emitOf(child *child, e Event) {
	e.Child, e.Label, e.Incarnation, e.Restarts = child.spec.ID, child.spec.Label, child.incarnation, child.restarts
	l.emit(e)
}

func (l *loop) emit(e Event) {
	if l.options.OnEvent == nil {
		return
	}
	e.Time, e.Supervisor, e.Ending = time.Now(), l.options.Name, l.state == Stopping
	defer func() {
		if v := recover(); v != nil {
			l.options.Logger.Error().Str("supervisor", l.options.Name).Str("panic", fmt.Sprint(v)).
				Bytes("stack", debug.Stack()).Msg("event hook panicked")
		}
	}()
	l.options.OnEvent(e)
}
