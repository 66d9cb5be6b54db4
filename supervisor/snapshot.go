package supervisor

import (
	"context"
	"time"

	"github.com/understudy-run/understudy/actor"
)

// State is where a child is in its life.
type State string

// The states of a child.
const (
	Starting   State = "starting"   // its Start has not returned for the first time
	Running    State = "running"    // up and ready
	Restarting State = "restarting" // waiting out a backoff, or its Start has not returned again
	Stopping   State = "stopping"   // asked to end
	Stopped    State = "stopped"    // stopped on request, or finished for good
	Failed     State = "failed"     // parked: not started again until somebody asks
)

// Exit is an end that a supervisor saw.
type Exit struct {
	At     time.Time
	Reason error
}

// Node is a supervisor or a child of one, as it was when it was looked at.
type Node struct {
	Name        string // last element of the path
	Path        string
	Label       string // ChildSpec.Label; of the supervisor that was asked, its path
	Kind        Kind
	State       State
	Since       time.Time // when it came into that state
	PID         actor.PID // zero unless it is up
	Incarnation int
	Restarts    int // by the supervisor; an operator's do not count
	Restart     Restart
	Significant bool
	LastExit    *Exit     // the last end that nobody asked for, or failed start
	LastExits   []Exit    // the last five of them, newest first; not to be changed
	NextTry     time.Time // when Restarting waits for it, or a cooldown is over
	Reason      error     // why it is Failed

	// Of a supervisor, and of a child with an intensity of its own:
	Intensity *Intensity
	Used      int // restarts in the window, at this moment

	// Of a supervisor:
	Strategy     Strategy
	AutoShutdown AutoShutdown
	Children     []Node // in start order
}

// Tree describes the supervisor and everything below it. A supervisor never waits for its children, so
// the answer does not depend on them; the context bounds it all the same. A supervisor below that does
// not answer is shown without children.
func (s *Supervisor) Tree(ctx context.Context) (Node, error) {
	node, err := actor.Ask(ctx, s.ref, func(r actor.Reply[Node]) message { return look{r} })
	if err != nil {
		return Node{}, err
	}
	for i := range node.Children {
		child := &node.Children[i]
		inner, ok := child.PID.Info().Snapshot.(*Supervisor)
		if child.Kind != Supervised || !ok {
			continue
		}
		below, err := inner.Tree(ctx)
		if err != nil {
			continue
		}
		child.Strategy, child.AutoShutdown, child.Children = below.Strategy, below.AutoShutdown, below.Children
		child.Intensity, child.Used = below.Intensity, below.Used
	}
	return node, nil
}

// Children describes the children in start order, OTP's which_children, which gives them in reverse.
func (s *Supervisor) Children(ctx context.Context) ([]Node, error) {
	node, err := actor.Ask(ctx, s.ref, func(r actor.Reply[Node]) message { return look{r} })
	return node.Children, err
}

// Child describes one child.
func (s *Supervisor) Child(ctx context.Context, id string) (Node, error) {
	return actor.Ask(ctx, s.ref, func(r actor.Reply[Node]) message { return lookChild{id, r} })
}

// Count is how many children a supervisor has.
type Count struct {
	Specs       int // children known; 1 for a template
	Active      int // with a process
	Supervisors int // of kind Supervised, with a process or not
	Workers     int // the others
}

// Count counts the children, OTP's count_children.
func (s *Supervisor) Count(ctx context.Context) (Count, error) {
	return actor.Ask(ctx, s.ref, func(r actor.Reply[Count]) message { return countChildren{r} })
}

// Spec is the spec of a child, OTP's get_childspec, with the defaults filled in.
func (s *Supervisor) Spec(ctx context.Context, id string) (ChildSpec, error) {
	return actor.Ask(ctx, s.ref, func(r actor.Reply[ChildSpec]) message { return lookSpec{id: id, reply: r} })
}

// SpecPID is Spec of the child of that PID: OTP asks so for a child of a template. Errors: ErrNotFound.
func (s *Supervisor) SpecPID(ctx context.Context, pid actor.PID) (ChildSpec, error) {
	return actor.Ask(ctx, s.ref, func(r actor.Reply[ChildSpec]) message { return lookSpec{pid: pid, reply: r} })
}

func (l *loop) onLookSpec(m lookSpec) {
	child, name := l.find(m.id), m.id
	if m.id == "" {
		child, name = l.of(m.pid), m.pid.String()
	}
	if child == nil {
		m.reply.Fail(l.notFound(name))
		return
	}
	m.reply.Send(*child.spec)
}

func (l *loop) count() Count {
	n := Count{Specs: len(l.children)}
	if l.options.Strategy == SimpleOneForOne {
		n.Specs = 1
	}
	for _, ch := range l.children {
		if ch.pid != (actor.PID{}) {
			n.Active++
		}
		if ch.spec.Kind == Supervised {
			n.Supervisors++
		} else {
			n.Workers++
		}
	}
	return n
}

func (ch *child) node(parent string) Node {
	n := Node{
		Name: ch.spec.ID, Path: parent + "/" + ch.spec.ID, Label: ch.spec.Label, Kind: ch.spec.Kind, State: ch.state, Since: ch.since,
		PID: ch.pid, Incarnation: ch.incarnation, Restarts: ch.restarts, Restart: ch.spec.Restart,
		Significant: ch.spec.Significant, NextTry: ch.nextTry,
	}
	if ch.state == Failed {
		n.Reason = ch.parked
	}
	if len(ch.exits) > 0 {
		n.LastExits, n.LastExit = ch.exits, &ch.exits[0]
		ch.shown = true
	}
	if ch.own != nil {
		intensity := ch.own.intensity
		n.Intensity, n.Used = &intensity, ch.own.used(time.Now())
	}
	return n
}

func (l *loop) node() Node {
	intensity := l.window.intensity
	n := Node{
		Name: lastElement(l.options.Name), Path: l.options.Name, Label: l.options.Name, Kind: Supervised, State: l.state, Since: l.since,
		Strategy: l.options.Strategy, AutoShutdown: l.options.AutoShutdown, Intensity: &intensity, Used: l.window.used(time.Now()),
		Children: make([]Node, len(l.children)),
	}
	for i, ch := range l.children {
		n.Children[i] = ch.node(l.options.Name)
	}
	return n
}
