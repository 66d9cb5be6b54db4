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
		err         error
	}
	down struct {
		child       *child
		incarnation int
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

	children []*child // in start order
	pending  []ChildSpec
	waiting  []actor.Reply[struct{}] // for the first children to be up

	reason error // why it is stopping
}

func newLoop(options Options) *loop {
	return &loop{
		options: options, window: window{intensity: *options.Intensity}, state: Starting, since: time.Now(),
		pending: options.Children,
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
	return child
}

func (l *loop) find(id string) *child {
	i := slices.IndexFunc(l.children, func(ch *child) bool { return ch.spec.ID == id })
	if i < 0 {
		return nil
	}
	return l.children[i]
}

func (l *loop) remove(gone *child) {
	l.children = slices.DeleteFunc(l.children, func(ch *child) bool { return ch == gone })
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
			m.reply.Fail(l.stoppingError())
		}
	case startChild:
		l.onStartChild(c, m)
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
	case started:
		if m.incarnation == m.child.incarnation {
			l.onStarted(c, m)
		} else if m.err == nil {
			m.pid.Kill() // a start that came back after it was given up
		}
	case down:
		if m.incarnation == m.child.incarnation {
			l.onDown(c, m.child, m.reason)
		}
	case restartDue:
		if m.incarnation == m.child.incarnation && m.child.state == Restarting {
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
	if l.state != Running {
		m.reply.Fail(l.stoppingError())
		return
	}
	if child := l.find(m.spec.ID); child != nil {
		err := ErrAlreadyPresent
		if child.wanted() {
			err = ErrAlreadyStarted
		}
		m.reply.Fail(fmt.Errorf("start child %s of %s: %w", m.spec.ID, l.options.Name, err))
		return
	}
	child := l.add(m.spec)
	child.starters = append(child.starters, m.reply)
	l.launch(c, child, false)
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
	case Stopped, Failed:
		child.to(Stopped)
		child.parked = nil
		m.reply.Send(struct{}{})
		if child.spec.Restart == Temporary {
			l.remove(child)
		}
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
		m.reply.Fail(l.stoppingError())
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
		if child.nextTry.IsZero() { // its Start is at work
			return
		}
		l.launch(c, child, true)
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
	child.parked = nil
	child.incarnation++
	child.automatic = automatic
	if automatic {
		child.to(Restarting)
	} else {
		child.to(Starting)
	}
	incarnation, spec := child.incarnation, child.spec
	ctx, cancel := context.WithCancel(context.Background())
	child.cancelStart = cancel
	c.Go("start "+spec.ID, func(actorCtx context.Context) message {
		defer cancel()
		stop := context.AfterFunc(actorCtx, cancel)
		defer stop()
		if spec.StartTimeout > 0 {
			var done context.CancelFunc
			ctx, done = context.WithTimeoutCause(ctx, spec.StartTimeout, fmt.Errorf("not ready within %v", spec.StartTimeout))
			defer done()
		}
		pid, err := safeStart(ctx, spec)
		return started{child, incarnation, pid, err}
	})
}

// safeStart makes an error of whatever a child's Start does instead of returning one.
func safeStart(ctx context.Context, spec ChildSpec) (pid actor.PID, err error) {
	type outcome struct {
		pid actor.PID
		err error
	}
	outcomes := make(chan outcome, 1)
	go func() { // ends when Start returns
		result := outcome{err: fmt.Errorf("start: %w", actor.ErrGoexit)}
		defer func() {
			if v := recover(); v != nil {
				result.err = &actor.PanicError{Where: "start " + spec.ID, Value: v, Stack: debug.Stack()}
			}
			outcomes <- result
		}()
		result.pid, result.err = spec.Start(ctx)
		if result.err == nil && result.pid == (actor.PID{}) {
			result.err = errors.New("start returned neither a child nor an error")
		}
	}()
	result := <-outcomes
	return result.pid, result.err
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
	c.Monitor(m.pid, func(d actor.Down) message { return down{child, incarnation, d.Reason} })
	if child.state == Stopping { // asked to while it started
		l.askToStop(c, child)
		return
	}
	child.to(Running)
	child.answerStarters(m.pid)
	l.emit(Event{Kind: ChildStarted, Child: child.spec.ID, Incarnation: incarnation, PID: m.pid, Restarts: child.restarts})
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
		l.decide(c, child, err)
	case child.incarnation == 1: // a dynamic child that never was
		l.remove(child)
	default: // a restart on request is tried once
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
	if child.state == Stopping {
		l.onStopped(c, child, reason)
		return
	}
	now := time.Now()
	child.lastExit = &Exit{At: now, Reason: reason}
	l.emit(Event{Kind: ChildExited, Child: child.spec.ID, Incarnation: child.incarnation, PID: pid, Restarts: child.restarts, Reason: reason})
	if now.Sub(child.upSince) >= child.backoff.ResetAfter {
		child.failures = 0
	}
	l.decide(c, child, reason)
}

// decide says what becomes of a child that ended by itself, or could not be started.
func (l *loop) decide(c *actor.Context[message], child *child, reason error) {
	id := child.spec.ID
	switch {
	case !child.spec.Restart.restartable(reason):
		child.to(Stopped)
		l.emit(Event{Kind: ChildStopped, Child: id, Incarnation: child.incarnation, Restarts: child.restarts, Reason: reason})
		if child.spec.Restart == Temporary {
			l.remove(child)
		}
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

func (l *loop) stoppingError() error { return fmt.Errorf("%s: %w", l.options.Name, ErrStopping) }

func (l *loop) emit(e Event) {
	if l.options.OnEvent == nil {
		return
	}
	e.Time, e.Supervisor = time.Now(), l.options.Name
	defer func() {
		if v := recover(); v != nil {
			l.options.Logger.Error().Str("supervisor", l.options.Name).Str("panic", fmt.Sprint(v)).
				Bytes("stack", debug.Stack()).Msg("event hook panicked")
		}
	}()
	l.options.OnEvent(e)
}
