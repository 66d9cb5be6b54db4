package session

import (
	"fmt"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session/process"
)

// deadline names a timer of the actor.
type deadline string

const (
	startDeadline     deadline = "start"     // the handshake
	stallDeadline     deadline = "stall"     // silence during a turn
	turnDeadline      deadline = "turn"      // a turn's length
	interruptDeadline deadline = "interrupt" // the result of an interrupted turn
	drainDeadline     deadline = "drain"     // the turn that runs when a stop is asked for
	settleDeadline    deadline = "settle"    // the CLI's word that it is idle
	idleDeadline      deadline = "idle"      // having nothing to do, before the process is ended
	holdDeadline      deadline = "hold"      // the API's limits, before queries go on
	saveDeadline      deadline = "save"      // a record that could not be written, before it is tried again
	logDeadline       deadline = "log"       // an audit log that could not be, before what waits for it is tried again
)

// settleGrace is how long the CLI is believed to be at work while nothing is seen of it. Its word that it is
// idle comes within milliseconds of a result.
const settleGrace = 2 * time.Second

func (l *loop) after(c *actor.Context[message], what deadline, d time.Duration) {
	l.cancel(what)
	if d > 0 {
		l.timers[what] = c.After(d, overdue{what})
	}
}

func (l *loop) cancel(what deadline) {
	l.timers[what].Stop()
	delete(l.timers, what)
}

func (l *loop) onOverdue(c *actor.Context[message], what deadline) {
	switch what {
	case startDeadline:
		cause := fmt.Errorf("it did not answer the handshake within %v (start_timeout)", l.options.StartTimeout)
		if l.process == nil {
			l.finish(c, &CrashError{Class: process.ClassResources, Phase: PhaseStart, Cause: cause})
			return
		}
		l.abort(c, cause)
	case stallDeadline:
		if l.current == nil && !l.turns.open {
			return
		}
		left := l.options.StallTimeout - time.Since(l.heard)
		if l.mainTool() || len(l.questions) > 0 || len(l.approvals) > 0 { // it waits for a tool, or for us
			left = l.options.StallTimeout
		}
		if left > 0 {
			l.after(c, stallDeadline, left)
			return
		}
		l.abort(c, fmt.Errorf("it said nothing for %v during a turn (stall_timeout)", l.options.StallTimeout))
	case turnDeadline:
		l.interruptTurn(c, fmt.Errorf("session %s: %w: %v (turn_timeout)", l.session.name, ErrTurnTimeout, l.options.TurnTimeout), nil)
	case interruptDeadline:
		l.abort(c, fmt.Errorf("it did not end an interrupted turn within %v (interrupt_grace)", l.options.InterruptGrace))
	case drainDeadline:
		l.endProcess(c)
	case settleDeadline:
		l.onSettled(c)
	case idleDeadline:
		l.hibernate(c)
	case holdDeadline:
		l.goOn(c)
	case saveDeadline:
		l.keeper.save(c, l, nil)
	case logDeadline:
		l.pump(c)
	}
}

// onSettled takes the CLI for idle: it said that it is at work and nothing came of it, or it opened a turn while it said that
// it has nothing to do.
func (l *loop) onSettled(c *actor.Context[message]) {
	switch left := settleGrace - time.Since(l.heard); {
	case l.unheard() && !l.atWork:
		l.endQuery(c, fmt.Errorf("session %s: %w", l.session.name, ErrDropped))
	case l.current != nil:
	case !l.turns.open:
		l.atWork = false
		l.pump(c)
	case l.atWork: // a turn of its own, after all
	case left > 0:
		l.after(c, settleDeadline, left)
	default:
		l.log.Warn().Msg("the CLI opened a turn and says that it is idle: the turn is taken for over")
		l.turns = turns{}
		l.tellTurnCut(outcomeError)
		l.endTurn()
		l.afterTurn(c)
	}
}
