package supervisor_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy-run/understudy/supervisor"
)

// What follows is an executable model of OTP's rules with our differences. It knows nothing of time but
// the moment of a restart, and nothing of concurrency: a call returns when everything has come of it.

// shape is what a child of the model is made of, and what it is made of again.
type shape struct {
	id          string
	restart     supervisor.Restart
	significant bool
	own         bool // an intensity of its own, 1 in 5 s, on_exhausted fail

	// Of a supervisor:
	strategy  supervisor.Strategy
	auto      supervisor.AutoShutdown
	intensity int // in 5 s
	children  []*shape
}

func (s *shape) supervisor() bool { return s.strategy != "" }

func (s *shape) String() string {
	text := s.id
	if s.restart != supervisor.Permanent {
		text += " " + string(s.restart)
	}
	if s.significant {
		text += " significant"
	}
	if s.own {
		text += " own"
	}
	if !s.supervisor() {
		return text
	}
	var parts []string
	for _, c := range s.children {
		parts = append(parts, c.String())
	}
	return fmt.Sprintf("%s %s %s %d(%s)", text, s.strategy, s.auto, s.intensity, strings.Join(parts, ", "))
}

const modelWindow = 5 * time.Second

// node is a child of the model.
type node struct {
	*shape
	parent   *node
	state    supervisor.State // Running, Stopped or Failed
	isDown   bool             // it has ended, and its supervisor does not know yet
	queued   bool             // it is to be started
	children []*node
	charges  []time.Duration // its supervisor's own, of a supervisor; its own, of a leaf with an intensity
}

// model is the whole tree.
type model struct {
	root  *node
	now   time.Duration
	fails map[string]int // starts to fail before one works
	log   []string
}

func (m *model) note(what, id string) { m.log = append(m.log, what+" "+id) }

func used(charges []time.Duration, now time.Duration) int {
	n := 0
	for _, at := range charges {
		if now-at <= modelWindow {
			n++
		}
	}
	return n
}

// start makes one incarnation of a node. It reports whether that worked.
func (m *model) start(n *node) bool {
	if !n.supervisor() {
		if m.fails[n.id] > 0 {
			m.fails[n.id]--
			m.note("fail", n.id)
			return false
		}
		m.note("start", n.id)
		n.state = supervisor.Running
		return true
	}
	n.children, n.charges = nil, nil
	for _, s := range n.shape.children {
		child := &node{shape: s, parent: n}
		if !m.start(child) {
			m.stopAll(n)
			return false
		}
		n.children = append(n.children, child)
	}
	n.state = supervisor.Running
	return true
}

// stop brings a node down.
func (m *model) stop(n *node) {
	if n.state != supervisor.Running {
		return
	}
	n.state = supervisor.Stopped
	switch {
	case n.isDown: // it was already
		n.isDown = false
	case n.supervisor():
		m.stopAll(n)
	default:
		m.note("stop", n.id)
	}
}

func (m *model) stopAll(sup *node) {
	for _, child := range slices.Backward(sup.children) {
		m.stop(child)
	}
	sup.children = nil
}

func (n *node) remove(gone *node) {
	n.children = slices.DeleteFunc(n.children, func(c *node) bool { return c == gone })
}

// ended handles the end of a running child.
func (m *model) ended(child *node, reason error) {
	sup := child.parent
	child.isDown = false
	child.state = supervisor.Stopped
	clean := reason == nil || reason.Error() == "shutdown"
	switch {
	case child.restart == supervisor.Temporary:
		sup.remove(child)
		m.finished(child)
	case child.restart == supervisor.Transient && clean:
		m.finished(child)
	case supervisor.Planned(reason):
		m.takeDown(sup, child)
		m.bringUp(sup)
	case supervisor.Permanently(reason):
		child.state = supervisor.Failed
	case m.charge(child):
		m.takeDown(sup, child)
		m.bringUp(sup)
	}
}

// finished ends the supervisor of a significant child if it is time to.
func (m *model) finished(child *node) {
	sup := child.parent
	if !child.significant {
		return
	}
	another := slices.ContainsFunc(sup.children, func(c *node) bool { return c.significant && c.state == supervisor.Running })
	if sup.auto == supervisor.AnySignificant || sup.auto == supervisor.AllSignificant && !another {
		m.end(sup, nil)
	}
}

// charge counts a restart, and does what is to be done if it is one too many.
func (m *model) charge(child *node) bool {
	window, most := child.parent, child.parent.intensity
	if child.own {
		window, most = child, 1
	}
	tolerated := used(window.charges, m.now) < most
	window.charges = append(window.charges, m.now)
	switch {
	case tolerated:
	case child.own:
		child.state = supervisor.Failed
	default:
		m.end(child.parent, errBoom) // whatever the child ended of
	}
	return tolerated
}

// end has a supervisor stop what it has, and ends it.
func (m *model) end(sup *node, reason error) {
	m.stopAll(sup)
	sup.state = supervisor.Stopped
	if sup.parent != nil {
		sup.state = supervisor.Running // as its own supervisor believes
		m.ended(sup, reason)
	}
}

// takeDown stops what goes down with a child, and queues what is to come up.
func (m *model) takeDown(sup, failed *node) {
	at := slices.Index(sup.children, failed)
	from, to := at, at+1
	switch sup.strategy {
	case supervisor.OneForAll:
		from, to = 0, len(sup.children)
	case supervisor.RestForOne:
		to = len(sup.children)
	}
	group := slices.Clone(sup.children[from:to])
	for _, n := range group {
		n.queued = n.queued || n == failed || n.state == supervisor.Running && n.restart != supervisor.Temporary
	}
	for _, n := range slices.Backward(group) {
		if n != failed && n.state == supervisor.Running {
			m.stop(n)
			if n.restart == supervisor.Temporary {
				sup.remove(n)
			}
		}
	}
}

// bringUp starts what is queued in order, each again and again until it works or is one too many. When a
// start has failed, an end that came meanwhile is seen to first.
func (m *model) bringUp(sup *node) {
	for {
		// None, if the supervisor gave up: it has forgotten its children.
		i := slices.IndexFunc(sup.children, func(n *node) bool { return n.queued })
		if i < 0 {
			return
		}
		n := sup.children[i]
		n.queued = false
		switch {
		case m.start(n):
		case n.restart == supervisor.Temporary: // a recycled one
			sup.remove(n)
		case m.charge(n):
			n.queued = true
			if down := slices.IndexFunc(sup.children, func(n *node) bool { return n.isDown }); down >= 0 {
				m.ended(sup.children[down], errBoom)
			}
		}
	}
}

// What an operator asks for.

func (m *model) terminate(n *node) {
	m.stop(n)
	n.state = supervisor.Stopped
	if n.restart == supervisor.Temporary {
		n.parent.remove(n)
	}
}

func (m *model) restartByHand(n *node) {
	if n.state == supervisor.Running {
		return
	}
	if n.own {
		n.charges = nil
	}
	m.start(n) // once
}

func (m *model) recycle(n *node) {
	if n.state != supervisor.Running {
		m.restartByHand(n)
		return
	}
	if n.own {
		n.charges = nil
	}
	m.stop(n)
	n.queued = true
	m.bringUp(n.parent)
}

func (m *model) delete(n *node) {
	if n.state != supervisor.Running {
		n.parent.remove(n)
	}
}

func (m *model) add(sup *node, s *shape) {
	n := &node{shape: s, parent: sup}
	if m.start(n) {
		sup.children = append(sup.children, n)
	}
}

// walk gives every node below n that a running supervisor has.
func (n *node) walk(yield func(*node) bool) bool {
	for _, c := range n.children {
		if !yield(c) || c.supervisor() && !c.walk(yield) {
			return false
		}
	}
	return true
}

// describe is what a tree looks like: the model's, and a real one's.
func (n *node) describe(now time.Duration) string {
	var b strings.Builder
	n.describeTo(&b, now)
	return b.String()
}

func (n *node) describeTo(b *strings.Builder, now time.Duration) {
	fmt.Fprintf(b, "%s %s", n.id, n.state)
	if n.supervisor() && n.state == supervisor.Running {
		fmt.Fprintf(b, " used %d (", min(used(n.charges, now), n.intensity+1))
		for _, c := range n.children {
			c.describeTo(b, now)
		}
		b.WriteString(")")
	}
	b.WriteString("; ")
}

func describeReal(b *strings.Builder, n supervisor.Node) {
	fmt.Fprintf(b, "%s %s", n.Name, n.State)
	if n.Kind == supervisor.Supervised && n.State == supervisor.Running {
		fmt.Fprintf(b, " used %d (", n.Used)
		for _, c := range n.Children {
			describeReal(b, c)
		}
		b.WriteString(")")
	}
	b.WriteString("; ")
}
