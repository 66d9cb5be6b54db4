package supervisor

import (
	"fmt"
	"strconv"
	"time"

	"github.com/understudy-run/understudy/actor"
)

func (l *loop) onStartChild(c *actor.Context[message], m startChild) {
	child, err := l.admit(m.spec)
	if err != nil {
		m.reply.Fail(err)
		return
	}
	child.starters = append(child.starters, m.reply)
	l.begin(c, child)
}

func (l *loop) onAddChild(c *actor.Context[message], m addChild) {
	child, err := l.admit(m.spec)
	if err != nil {
		m.reply.Fail(err)
		return
	}
	m.reply.Send(struct{}{})
	l.begin(c, child)
}

func (l *loop) onStartInstance(c *actor.Context[message], m startInstance) {
	if l.options.Template == nil {
		m.reply.Fail(fmt.Errorf("start an instance of %s: %w", l.options.Name, ErrNoTemplate))
		return
	}
	id := m.id
	for id == "" || m.id == "" && l.find(id) != nil {
		l.instances++
		id = l.options.Template.prefix() + "-" + strconv.Itoa(l.instances)
	}
	spec := l.options.Template.instance(id, m.args)
	child, err := l.admitUnder(&spec)
	if err != nil {
		m.reply.Fail(err)
		return
	}
	child.starters = append(child.starters, m.reply)
	l.launch(c, child, false)
}

// admit adds a dynamic child, or says why not.
func (l *loop) admit(spec *ChildSpec) (*child, error) {
	if l.options.Strategy == SimpleOneForOne {
		return nil, fmt.Errorf("start child %s of %s: %w: use StartInstance", spec.ID, l.options.Name, ErrSimpleOneForOne)
	}
	if err := l.options.validateSignificant(spec); err != nil {
		return nil, err
	}
	return l.admitUnder(spec)
}

func (l *loop) admitUnder(spec *ChildSpec) (*child, error) {
	if l.state != Running {
		return nil, l.notUpError()
	}
	if known := l.find(spec.ID); known != nil {
		if known.wanted() {
			return nil, &AlreadyStartedError{Supervisor: l.options.Name, Child: spec.ID, PID: known.pid}
		}
		return nil, fmt.Errorf("start child %s of %s: %w", spec.ID, l.options.Name, ErrAlreadyPresent)
	}
	if l.options.MaxChildren > 0 && len(l.children) >= l.options.MaxChildren {
		return nil, &MaxChildrenError{Supervisor: l.options.Name, Child: spec.ID, Max: l.options.MaxChildren}
	}
	return l.add(spec), nil
}

// begin starts a child that somebody waits for, in a group that is being restarted when it is its turn.
func (l *loop) begin(c *actor.Context[message], child *child) {
	if !l.groupAtWork() {
		l.launch(c, child, false)
		return
	}
	child.unqueue()
	child.queued, child.automatic = true, false
	child.to(Starting)
	l.advance(c)
}

func (l *loop) onTerminateChild(c *actor.Context[message], m terminateChild) {
	child, err := l.toTerminate(m)
	switch {
	case err != nil:
		m.reply.Fail(err)
		return
	case child == nil:
		m.reply.Send(Exit{})
		return
	}
	child.again, child.queued = false, false
	child.failStarters(fmt.Errorf("child %s of %s: %w", child.spec.ID, l.options.Name, ErrTerminated))
	switch child.state {
	case Stopped:
		m.reply.Send(Exit{})
	case Failed:
		l.settle(child, actor.ErrShutdown)
		m.reply.Send(Exit{})
	default:
		child.stoppers = append(child.stoppers, m.reply)
		l.stop(c, child)
		if m.within != nil {
			l.tighten(c, child, *m.within)
		}
	}
	l.advance(c)
}

// toTerminate finds the child that is meant. None and no error means that it is gone already.
func (l *loop) toTerminate(m terminateChild) (*child, error) {
	if m.byPID {
		if child := l.of(m.pid); child != nil {
			return child, nil
		}
		if m.pid.Alive() {
			return nil, fmt.Errorf("%w: %s of %s", ErrNotFound, m.pid, l.options.Name)
		}
		return nil, nil
	}
	child := l.find(m.id)
	switch {
	case child != nil:
		return child, nil
	case l.options.Strategy == SimpleOneForOne:
		return nil, fmt.Errorf("%w: %w", ErrSimpleOneForOne, l.notFound(m.id))
	}
	return nil, l.notFound(m.id)
}

// of is the child that is up under that PID.
func (l *loop) of(pid actor.PID) *child {
	for _, child := range l.children {
		if child.pid == pid && pid != (actor.PID{}) {
			return child
		}
	}
	return nil
}

func (l *loop) onRestartChild(c *actor.Context[message], m restartChild) {
	child := l.find(m.id)
	refuse := func(err error) { m.reply.Fail(fmt.Errorf("restart child %s of %s: %w", m.id, l.options.Name, err)) }
	switch {
	case l.options.Strategy == SimpleOneForOne && !m.force:
		refuse(ErrSimpleOneForOne)
		return
	case child == nil:
		m.reply.Fail(l.notFound(m.id))
		return
	case l.state != Running:
		m.reply.Fail(l.notUpError())
		return
	}
	if !m.force {
		switch child.state {
		case Starting, Running, Stopping:
			refuse(ErrRunning)
			return
		case Restarting:
			refuse(ErrRestarting)
			return
		case Stopped, Failed:
		}
	}
	child.starters = append(child.starters, m.reply)
	if child.state != Starting && !(child.state == Restarting && child.up()) { // what is at work goes on
		child.cause = Request
	}
	switch child.state {
	case Stopped, Failed:
		child.forgive()
		l.begin(c, child)
	case Starting: // joined
	case Restarting:
		if child.waits() { // else its Start is at work
			l.hasten(child)
			l.bring(c, child)
		}
	case Running, Stopping:
		child.again = true
		l.stop(c, child)
	}
}

func (l *loop) onDeleteChild(m deleteChild) {
	child := l.find(m.id)
	switch {
	case l.options.Strategy == SimpleOneForOne:
		m.reply.Fail(fmt.Errorf("delete child %s of %s: %w", m.id, l.options.Name, ErrSimpleOneForOne))
	case child == nil:
		m.reply.Fail(l.notFound(m.id))
	case l.state == Stopping:
		m.reply.Fail(l.notUpError())
	case child.state == Stopped || child.state == Failed:
		child.unqueue() // a cooldown
		l.remove(child)
		m.reply.Send(struct{}{})
	case child.state == Restarting:
		m.reply.Fail(fmt.Errorf("delete child %s of %s: %w", m.id, l.options.Name, ErrRestarting))
	default:
		m.reply.Fail(fmt.Errorf("delete child %s of %s: %w", m.id, l.options.Name, ErrRunning))
	}
}

func (l *loop) onReset(m reset) {
	if m.id == "" {
		l.window.reset()
		l.emit(Event{Kind: ChildReset})
		m.reply.Send(struct{}{})
		return
	}
	child := l.find(m.id)
	if child == nil {
		m.reply.Fail(l.notFound(m.id))
		return
	}
	child.forgive()
	l.emitOf(child, Event{Kind: ChildReset})
	m.reply.Send(struct{}{})
}

// onHurry bounds the stop of everything.
func (l *loop) onHurry(c *actor.Context[message], m hurry) {
	if l.deadline.IsZero() || m.deadline.Before(l.deadline) {
		l.deadline = m.deadline
	}
	for _, child := range l.children {
		if child.state == Stopping {
			l.tighten(c, child, Within(time.Until(l.deadline)))
		}
	}
}
