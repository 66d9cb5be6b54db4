package supervisor

import (
	"context"
	"time"

	"github.com/understudy-run/understudy/actor"
)

// child is what a supervisor knows of one child.
type child struct {
	spec    ChildSpec
	backoff Backoff
	own     *window // nil: its restarts count against the supervisor's

	state       State
	since       time.Time
	incarnation int                // of the last start, from 1
	initial     bool               // one of the supervisor's first children, not up yet
	automatic   bool               // the last start was the supervisor's own decision
	cancelStart context.CancelFunc // not nil while Start is at work
	pid         actor.PID          // zero unless it is up
	untie       func()             // takes the monitor and the link of pid back
	upSince     time.Time

	restarts int
	failures int // in a row, for the backoff
	lastExit *Exit
	parked   error // why it was parked, until it is up or stopped
	nextTry  time.Time
	timer    *actor.Timer

	again    bool // start it again when it has stopped
	starters []actor.Reply[actor.PID]
	stoppers []actor.Reply[struct{}]
}

func newChild(spec ChildSpec, backoff Backoff) *child {
	ch := &child{spec: spec, backoff: backoff.withDefaults()}
	if spec.Backoff != nil {
		ch.backoff = spec.Backoff.withDefaults()
	}
	if spec.Intensity != nil {
		ch.own = &window{intensity: *spec.Intensity}
	}
	if ch.spec.Kind == "" {
		ch.spec.Kind = Worker
	}
	if ch.spec.Restart == "" {
		ch.spec.Restart = Permanent
	}
	if ch.spec.Kind == Supervised && ch.spec.Shutdown == (Shutdown{}) {
		ch.spec.Shutdown = Infinity
	}
	return ch
}

func (ch *child) to(s State) {
	if ch.state != s {
		ch.state, ch.since = s, time.Now()
	}
}

// wanted reports whether the child is up or meant to be.
func (ch *child) wanted() bool { return ch.state != Stopped && ch.state != Failed }

// forgive lets a parked child begin anew.
func (ch *child) forgive() {
	ch.failures = 0
	if ch.own != nil {
		ch.own.reset()
	}
}

// waits reports whether the child waits out the delay before its restart.
func (ch *child) waits() bool { return ch.state == Restarting && ch.cancelStart == nil }

func (ch *child) answerStarters(pid actor.PID) {
	for _, reply := range ch.starters {
		reply.Send(pid)
	}
	ch.starters = nil
}

func (ch *child) failStarters(err error) {
	for _, reply := range ch.starters {
		reply.Fail(err)
	}
	ch.starters = nil
}

func (ch *child) answerStoppers() {
	for _, reply := range ch.stoppers {
		reply.Send(struct{}{})
	}
	ch.stoppers = nil
}

func (ch *child) node(parent string) Node {
	n := Node{
		Name: ch.spec.ID, Path: parent + "/" + ch.spec.ID, Kind: ch.spec.Kind, State: ch.state, Since: ch.since,
		PID: ch.pid, Incarnation: ch.incarnation, Restarts: ch.restarts, Restart: ch.spec.Restart,
		NextTry: ch.nextTry,
	}
	if ch.state == Failed {
		n.Reason = ch.parked
	}
	if ch.lastExit != nil {
		exit := *ch.lastExit
		n.LastExit = &exit
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
		Name: lastElement(l.options.Name), Path: l.options.Name, Kind: Supervised, State: l.state, Since: l.since,
		Strategy: l.options.Strategy, Intensity: &intensity, Used: l.window.used(time.Now()),
		Children: make([]Node, len(l.children)),
	}
	for i, ch := range l.children {
		n.Children[i] = ch.node(l.options.Name)
	}
	return n
}
