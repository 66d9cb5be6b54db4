package supervisor

import (
	"cmp"
	"slices"
	"time"

	"github.com/understudy-run/understudy/actor"
)

// child is what a supervisor knows of one child.
type child struct {
	spec    *ChildSpec // its own, with the defaults filled in; nobody changes it any more
	backoff *Backoff   // its own or the supervisor's, with the defaults
	own     *window    // nil: its restarts count against the supervisor's

	state       State
	since       time.Time
	incarnation int            // of the last start, from 1
	initial     bool           // one of the supervisor's first children, not up yet
	fresh       bool           // it has never been up, and has not been kept for another reason
	cause       Cause          // of the last start, or of the next if it is queued
	automatic   bool           // its start, or the next if it is queued, is the supervisor's own decision
	queued      bool           // it waits for its turn to be started
	deferred    bool           // it ended while its group was busy: see incident
	start       *launch        // not nil while Start is at work
	pid         actor.PID      // zero unless it is up
	monitor     *actor.Monitor // of pid
	link        *actor.Link    // to pid

	restarts int
	failures int    // in a row, for the backoff
	exits    []Exit // newest first
	shown    bool   // a node holds exits as it is
	parked   error  // why it was parked, until it is up or stopped
	probing  bool   // it is being tried, or was, after a cooldown
	nextTry  time.Time
	timer    *actor.Timer

	again    bool      // start it again when it has stopped
	deadline time.Time // to have stopped by, if somebody wants it sooner than its spec
	killed   bool      // this incarnation was
	starters []actor.Reply[actor.PID]
	stoppers []actor.Reply[Exit]
}

func newChild(spec *ChildSpec, backoff *Backoff) *child {
	ch := &child{spec: spec, fresh: true, cause: First, backoff: backoff}
	if spec.Backoff != nil {
		own := spec.Backoff.withDefaults()
		ch.backoff = &own
	}
	if spec.Intensity != nil {
		ch.own = &window{intensity: *spec.Intensity}
	}
	ch.spec.Label = cmp.Or(ch.spec.Label, ch.spec.ID)
	if ch.spec.Kind == "" {
		ch.spec.Kind = Worker
	}
	if ch.spec.Restart == "" {
		ch.spec.Restart = Permanent
	}
	if ch.spec.Cooldown == 0 {
		ch.spec.Cooldown = DefaultCooldown
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

// up reports whether the child has a process or is about to get one.
func (ch *child) up() bool { return ch.pid != (actor.PID{}) || ch.start != nil }

// meant reports whether the child is to be up when what is happening to it is over.
func (ch *child) meant() bool { return ch.wanted() && (ch.state != Stopping || ch.again) }

// forgive lets a child begin anew.
func (ch *child) forgive() {
	ch.failures = 0
	ch.probing = false
	if ch.own != nil {
		ch.own.reset()
	}
}

// waits reports whether the child waits to be started: for its delay, or for its turn.
func (ch *child) waits() bool {
	return (ch.state == Restarting || ch.state == Starting) && !ch.up()
}

// unqueue takes back that the child is to be started.
func (ch *child) unqueue() {
	ch.timer.Stop()
	ch.nextTry = time.Time{}
	ch.queued, ch.deferred = false, false
}

// exitsKept is how many ends of a child are remembered.
const exitsKept = 5

// note remembers an end. A node that was handed out keeps what it shows.
func (ch *child) note(reason error) {
	if ch.shown {
		ch.exits, ch.shown = slices.Clone(ch.exits), false
	}
	if len(ch.exits) < exitsKept {
		ch.exits = append(ch.exits, Exit{})
	}
	copy(ch.exits[1:], ch.exits)
	ch.exits[0] = Exit{At: time.Now(), Reason: reason}
}

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

func (ch *child) answerStoppers(reason error) {
	for _, reply := range ch.stoppers {
		reply.Send(Exit{At: time.Now(), Reason: reason})
	}
	ch.stoppers = nil
}
