package supervisor

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/understudy-run/understudy/actor"
)

// message is what the supervisor's actor receives.
//
//sumtype:decl
type message interface{ isMessage() }

type (
	awaitUp    struct{ reply actor.Reply[struct{}] }
	startChild struct {
		spec  ChildSpec
		reply actor.Reply[actor.PID]
	}
	addChild struct {
		spec  ChildSpec
		reply actor.Reply[struct{}]
	}
	terminateChild struct {
		id    string
		reply actor.Reply[struct{}]
	}
	restartChild struct {
		id    string
		force bool
		reply actor.Reply[actor.PID]
	}
	deleteChild struct {
		id    string
		reply actor.Reply[struct{}]
	}
	look      struct{ reply actor.Reply[Node] }
	lookChild struct {
		id    string
		reply actor.Reply[Node]
	}

	// The rest carry the incarnation they are about: one that is stale is ignored.
	started struct {
		child       *child
		incarnation int
		pid         actor.PID
		unlink      func()
		err         error
	}
	down struct {
		child       *child
		incarnation int
		pid         actor.PID
		reason      error
	}
	restartDue struct {
		child       *child
		incarnation int
	}
	graceOver struct {
		child       *child
		incarnation int
	}
	deafTooLong struct {
		child       *child
		incarnation int
	}
)

func (awaitUp) isMessage()        {}
func (startChild) isMessage()     {}
func (addChild) isMessage()       {}
func (terminateChild) isMessage() {}
func (restartChild) isMessage()   {}
func (deleteChild) isMessage()    {}
func (look) isMessage()           {}
func (lookChild) isMessage()      {}
func (started) isMessage()        {}
func (down) isMessage()           {}
func (restartDue) isMessage()     {}
func (graceOver) isMessage()      {}
func (deafTooLong) isMessage()    {}

// loop is the supervisor's actor. It decides and asks; it never waits and never runs a child's code.
type loop struct {
	options Options
	window  window
	state   State
	since   time.Time

	children []*child          // in start order
	byID     map[string]*child // the same
	stopped  int               // while stopping: how many, from the end, are known to be down
	pending  []ChildSpec
	waiting  []actor.Reply[struct{}] // for the first children to be up

	reason error // why it is stopping
}

func newLoop(options Options) *loop {
	return &loop{
		options: options, window: window{intensity: *options.Intensity}, state: Starting, since: time.Now(),
		pending: options.Children, byID: make(map[string]*child),
	}
}

// Started publishes the supervisor's own handle, by which Tree finds it below its parent.
func (l *loop) Started(c *actor.Context[message]) error {
	c.Publish(&Supervisor{c.Self()})
	l.startNext(c)
	return nil
}

// startNext starts the next of the first children. When there is none left, the supervisor is up.
func (l *loop) startNext(c *actor.Context[message]) {
	if l.state != Starting {
		return
	}
	if len(l.pending) == 0 {
		l.state, l.since = Running, time.Now()
		for _, reply := range l.waiting {
			reply.Send(struct{}{})
		}
		l.waiting = nil
		return
	}
	spec := l.pending[0]
	l.pending = l.pending[1:]
	child := l.add(spec)
	child.initial = true
	l.launch(c, child, false)
}

func (l *loop) add(spec ChildSpec) *child {
	child := newChild(spec, l.options.Backoff)
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
		switch l.state {
		case Starting:
			l.waiting = append(l.waiting, m.reply)
		case Running:
			m.reply.Send(struct{}{})
		default:
			m.reply.Fail(l.notUpError())
		}
	case startChild:
		l.onStartChild(c, m)
	case addChild:
		l.onAddChild(c, m)
	case terminateChild:
		l.onTerminateChild(c, m)
	case restartChild:
		l.onRestartChild(c, m)
	case deleteChild:
		l.onDeleteChild(m)
	case look:
		m.reply.Send(l.node())
	case lookChild:
		if child := l.find(m.id); child != nil {
			m.reply.Send(child.node(l.options.Name))
		} else {
			m.reply.Fail(l.notFound(m.id))
		}
	case started: // never stale: nothing begins another start before this one has reported
		l.onStarted(c, m)
	case down:
		// Nor is an end news that comes after the child was given up as deaf: it is stopped by then.
		if m.incarnation == m.child.incarnation && m.pid == m.child.pid {
			l.onDown(c, m.child, m.reason)
		}
	case restartDue:
		if m.incarnation == m.child.incarnation && m.child.waits() {
			l.launch(c, m.child, true)
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

func (l *loop) onStartChild(c *actor.Context[message], m startChild) {
	child, err := l.admit(m.spec)
	if err != nil {
		m.reply.Fail(err)
		return
	}
	child.starters = append(child.starters, m.reply)
	l.launch(c, child, false)
}

func (l *loop) onAddChild(c *actor.Context[message], m addChild) {
	child, err := l.admit(m.spec)
	if err != nil {
		m.reply.Fail(err)
		return
	}
	m.reply.Send(struct{}{})
	l.launch(c, child, false)
}

// admit adds a dynamic child, or says why not.
func (l *loop) admit(spec ChildSpec) (*child, error) {
	if l.state != Running {
		return nil, l.notUpError()
	}
	if known := l.find(spec.ID); known != nil {
		if known.wanted() {
			return nil, &AlreadyStartedError{Supervisor: l.options.Name, Child: spec.ID, PID: known.pid}
		}
		return nil, fmt.Errorf("start child %s of %s: %w", spec.ID, l.options.Name, ErrAlreadyPresent)
	}
	return l.add(spec), nil
}

func (l *loop) onTerminateChild(c *actor.Context[message], m terminateChild) {
	child := l.find(m.id)
	if child == nil {
		m.reply.Fail(l.notFound(m.id))
		return
	}
	child.again = false
	child.failStarters(fmt.Errorf("child %s of %s: %w", m.id, l.options.Name, ErrTerminated))
	switch child.state {
	case Stopped:
		m.reply.Send(struct{}{})
	case Failed:
		l.settle(child, actor.ErrShutdown)
		m.reply.Send(struct{}{})
	default:
		child.stoppers = append(child.stoppers, m.reply)
		l.stop(c, child)
	}
}

func (l *loop) onRestartChild(c *actor.Context[message], m restartChild) {
	child := l.find(m.id)
	if child == nil {
		m.reply.Fail(l.notFound(m.id))
		return
	}
	if l.state != Running {
		m.reply.Fail(l.notUpError())
		return
	}
	refuse := func(err error) { m.reply.Fail(fmt.Errorf("restart child %s of %s: %w", m.id, l.options.Name, err)) }
	switch child.state {
	case Stopped, Failed:
		child.forgive()
		child.starters = append(child.starters, m.reply)
		l.launch(c, child, false)
	case Restarting:
		if !m.force {
			refuse(ErrRestarting)
			return
		}
		child.starters = append(child.starters, m.reply)
		if child.waits() { // else its Start is at work
			l.launch(c, child, true)
		}
	case Starting:
		if !m.force {
			refuse(ErrRunning)
			return
		}
		child.starters = append(child.starters, m.reply)
	case Running, Stopping:
		if !m.force {
			refuse(ErrRunning)
			return
		}
		child.again = true
		child.starters = append(child.starters, m.reply)
		l.stop(c, child)
	}
}

func (l *loop) onDeleteChild(m deleteChild) {
	child := l.find(m.id)
	switch {
	case child == nil:
		m.reply.Fail(l.notFound(m.id))
	case l.state == Stopping:
		m.reply.Fail(l.notUpError())
	case child.state == Stopped || child.state == Failed:
		l.remove(child)
		m.reply.Send(struct{}{})
	case child.state == Restarting:
		m.reply.Fail(fmt.Errorf("delete child %s of %s: %w", m.id, l.options.Name, ErrRestarting))
	default:
		m.reply.Fail(fmt.Errorf("delete child %s of %s: %w", m.id, l.options.Name, ErrRunning))
	}
}

// launch starts the next incarnation of a child. automatic says that the supervisor decided so, and not
// somebody who waits for the outcome.
func (l *loop) launch(c *actor.Context[message], child *child, automatic bool) {
	child.timer.Stop()
	child.nextTry = time.Time{}
	child.incarnation++
	child.automatic = automatic
	if automatic {
		child.to(Restarting)
	} else {
		child.to(Starting)
	}
	self, incarnation, spec := c.Self().PID, child.incarnation, child.spec
	ctx, cancel := context.WithCancel(context.Background())
	child.cancelStart = cancel
	c.Go("start "+spec.ID, func(owner context.Context) message {
		defer cancel()
		stop := context.AfterFunc(owner, cancel)
		defer stop()
		m := started{child: child, incarnation: incarnation}
		m.pid, m.err = runStart(ctx, spec)
		if m.err == nil {
			// Here and not in onStarted: a supervisor that is killed meanwhile does not get that far, and its
			// children must not outlive it.
			m.unlink = self.Link(m.pid)
		}
		return m
	})
}

func (l *loop) onStarted(c *actor.Context[message], m started) {
	child := m.child
	child.cancelStart = nil
	if m.err != nil {
		l.onStartFailed(c, child, m.err)
		return
	}
	child.pid = m.pid
	child.upSince = time.Now()
	incarnation := child.incarnation
	demonitor := c.Monitor(m.pid, func(d actor.Down) message { return down{child, incarnation, d.PID, d.Reason} })
	child.untie = func() { demonitor(); m.unlink() }
	if child.state == Stopping { // asked to while it started
		l.askToStop(c, child)
		return
	}
	child.to(Running)
	child.parked = nil
	l.emit(Event{Kind: ChildStarted, Child: child.spec.ID, Incarnation: incarnation, PID: m.pid, Restarts: child.restarts})
	child.answerStarters(m.pid)
	if child.initial {
		child.initial = false
		l.startNext(c)
	}
}

func (l *loop) onStartFailed(c *actor.Context[message], child *child, err error) {
	if child.state == Stopping {
		l.onStopped(c, child, err)
		return
	}
	child.lastExit = &Exit{At: time.Now(), Reason: err}
	l.emit(Event{Kind: StartFailed, Child: child.spec.ID, Incarnation: child.incarnation, Restarts: child.restarts, Reason: err})
	child.failStarters(err)
	first := child.initial
	child.initial = false
	switch {
	case first && !child.spec.RetryStart:
		l.remove(child)
		l.shutDown(c, &StartError{Supervisor: l.options.Name, Child: child.spec.ID, Cause: err})
		return
	case child.automatic || child.spec.RetryStart:
		// A failed start is no clean end, even if what it failed of is that somebody else shut down.
		l.decide(c, child, err, false)
	case child.incarnation == 1: // a dynamic child that never was
		child.to(Stopped)
		l.remove(child)
	case child.parked != nil: // a restart on request is tried once
		l.park(child, err)
	default:
		child.to(Stopped)
	}
	if first {
		l.startNext(c)
	}
}

// onDown handles the end of a child that was up.
func (l *loop) onDown(c *actor.Context[message], child *child, reason error) {
	pid := child.pid
	child.pid = actor.PID{}
	child.untie()
	if child.state == Stopping {
		l.onStopped(c, child, reason)
		return
	}
	now := time.Now()
	child.lastExit = &Exit{At: now, Reason: reason}
	l.emit(Event{Kind: ChildExited, Child: child.spec.ID, Incarnation: child.incarnation, PID: pid, Restarts: child.restarts, Reason: reason})
	if l.state == Stopping { // it is not its turn yet, but nothing is started any more
		l.settle(child, reason)
		l.stopNext(c)
		return
	}
	if now.Sub(child.upSince) >= child.backoff.ResetAfter {
		child.failures = 0
	}
	l.decide(c, child, reason, actor.Clean(reason))
}

// decide says what becomes of a child that ended by itself, or could not be started.
func (l *loop) decide(c *actor.Context[message], child *child, reason error, clean bool) {
	id := child.spec.ID
	switch {
	case !child.spec.Restart.restartable(clean):
		l.settle(child, reason)
		return
	case Permanently(reason):
		l.park(child, reason)
		return
	}
	if exhausted := l.charge(child, reason); exhausted != nil {
		if child.own != nil && child.spec.OnExhausted == Fail {
			l.park(child, exhausted)
			return
		}
		l.emit(Event{Kind: Escalated, Child: id, Incarnation: child.incarnation, Restarts: child.restarts, Reason: exhausted})
		child.to(Stopped)
		l.shutDown(c, exhausted)
		return
	}
	child.failures++
	child.restarts++
	delay := child.backoff.delay(child.failures, random)
	l.emit(Event{Kind: RestartScheduled, Child: id, Incarnation: child.incarnation, Restarts: child.restarts, Delay: delay, Reason: reason})
	if delay <= 0 {
		l.launch(c, child, true)
		return
	}
	child.to(Restarting)
	child.nextTry = time.Now().Add(delay)
	child.timer = c.After(delay, restartDue{child, child.incarnation})
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

func (l *loop) park(child *child, reason error) {
	child.to(Failed)
	child.parked = reason
	l.emit(Event{Kind: ChildParked, Child: child.spec.ID, Incarnation: child.incarnation, Restarts: child.restarts, Reason: reason})
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
