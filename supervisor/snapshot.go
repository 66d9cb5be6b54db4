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
	Kind        Kind
	State       State
	Since       time.Time // when it came into that state
	PID         actor.PID // zero unless it is up
	Incarnation int
	Restarts    int // by the supervisor; an operator's do not count
	Restart     Restart
	LastExit    *Exit     // the last end that nobody asked for, or failed start
	NextTry     time.Time // when Restarting waits for it
	Reason      error     // why it is Failed

	// Of a supervisor, and of a child with an intensity of its own:
	Intensity *Intensity
	Used      int // restarts in the window

	// Of a supervisor:
	Strategy Strategy
	Children []Node // in start order
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
		child.Strategy, child.Intensity, child.Used, child.Children = below.Strategy, below.Intensity, below.Used, below.Children
	}
	return node, nil
}

// Child describes one child.
func (s *Supervisor) Child(ctx context.Context, id string) (Node, error) {
	return actor.Ask(ctx, s.ref, func(r actor.Reply[Node]) message { return lookChild{id, r} })
}
