package actor

import "sync/atomic"

// Down says that a monitored actor has ended.
type Down struct {
	PID    PID
	Reason error
}

// Monitor is one actor's interest in the end of another. The zero Monitor is taken back.
type Monitor struct {
	watcher, target *cell // target is nil for nobody
	wrap            any   // a func(Down) M of the watcher's M
	live            atomic.Bool

	previous, next *Monitor // of the same target, under its mu
}

// Monitor sends the actor one message, made by wrap, when pid ends, at once if it has ended already. wrap
// runs as part of the watching actor.
func (c *Context[M]) Monitor(pid PID, wrap func(Down) M) *Monitor {
	m := &Monitor{watcher: c.cell, target: pid.c, wrap: wrap}
	m.live.Store(true)
	if pid.c == nil {
		m.tell()
	} else if !pid.c.watch(m) {
		m.tell()
	}
	return m
}

// Stop takes the monitor back: after it, no message of it is handled any more. Only callbacks of the actor that
// monitors may call it.
func (m *Monitor) Stop() {
	if m == nil || !m.live.Swap(false) || m.target == nil {
		return
	}
	m.target.unwatch(m)
}

// tell sends what down gives. An error says that the watcher has ended.
func (m *Monitor) tell() { _ = m.watcher.put(item{kind: arrived, message: m}) }

// down is what there is to say when the target has ended.
func (m *Monitor) down() Down {
	if m.target == nil {
		return Down{Reason: ErrStopped}
	}
	return Down{PID: PID{m.target}, Reason: m.target.reason}
}

// watch has the monitor told of the actor's end. It reports whether that is still to come.
func (c *cell) watch(m *Monitor) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told {
		return false
	}
	m.next = c.watched
	if m.next != nil {
		m.next.previous = m
	}
	c.watched = m
	return true
}

func (c *cell) unwatch(m *Monitor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told { // the list is being walked through
		return
	}
	if m.previous != nil {
		m.previous.next = m.next
	} else {
		c.watched = m.next
	}
	if m.next != nil {
		m.next.previous = m.previous
	}
	m.previous, m.next = nil, nil
}

// Link ties the life of an actor to that of another. The zero Link ties nothing.
type Link struct {
	from, to       *cell
	tied           bool  // under from's mu, as the list is
	previous, next *Link // of the same from
}

// Link ties the life of other to that of p, in this direction only: when p ends, however it ends, other is
// killed, and p's end is reported when other has ended too, or after 5 s if it is deaf. If p has ended
// already, other is killed at once.
func (p PID) Link(other PID) *Link {
	if other.c == nil {
		return nil
	}
	l := &Link{from: p.c, to: other.c}
	if p.c == nil || !p.c.link(l) {
		other.Kill()
	}
	return l
}

func (c *cell) link(l *Link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	l.tied = true
	l.next = c.links
	if l.next != nil {
		l.next.previous = l
	}
	c.links = l
	return true
}

// Cut takes the link back. It may be called from any goroutine, and more than once.
func (l *Link) Cut() {
	if l == nil || l.from == nil {
		return
	}
	l.from.mu.Lock()
	defer l.from.mu.Unlock()
	if !l.tied || l.from.closed { // the list is being walked through
		return
	}
	l.tied = false
	if l.previous != nil {
		l.previous.next = l.next
	} else {
		l.from.links = l.next
	}
	if l.next != nil {
		l.next.previous = l.previous
	}
	l.previous, l.next = nil, nil
}
