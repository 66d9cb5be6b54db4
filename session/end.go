package session

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/process"
)

// abort ends a process that cannot be worked with. What is wrong with one that is being ended already does not matter any more: a stop
// is no crash for it, and a hibernation goes on to the next process.
func (l *loop) abort(c *actor.Context[message], cause error) {
	if l.laddered || l.process == nil {
		return
	}
	l.cause = cause
	l.log.Warn().Err(cause).Msg("ending the CLI")
	l.stopLadder(c, process.Ladder{Stdin: -1, Term: 2 * time.Second})
}

// onEnded handles the end of the process, after everything it wrote was handled.
func (l *loop) onEnded(c *actor.Context[message], m ended) {
	l.unwatch()
	l.steps = l.process.Steps()
	l.process = nil
	l.laddered = false
	l.desk.update(func(*record, *Info) { l.desk.started = nil })
	l.desk.update(func(_ *record, info *Info) { info.PID, info.Tool, info.ToolArg = 0, "", "" })
	clean := m.exit.Signal == 0 && slices.Contains([]int{0, 1, 129, 143}, m.exit.Code) // SIGHUP and SIGTERM among them
	l.record.Ledger.end(clean)
	before := l.record.Ledger.Spent
	l.cutCost = l.record.Ledger.charge(l.record.Ledger.used(&l.tally)) // no result will have it
	l.tally = tally{}
	l.desk.update(func(r *record, info *Info) { r.Ledger, info.CostUSD = l.record.Ledger, l.record.Ledger.Spent })
	l.session.spent(before, l.record.Ledger.Spent)
	l.orphanTools()
	l.tellEnded(m.exit)
	for id, cancel := range l.questions {
		cancel()
		delete(l.questions, id)
	}
	l.endHosted()
	l.withdrawApprovals("the process that asked has ended")
	l.endPermit()
	l.noteRetry(nil)
	l.background, l.deaf = 0, 0
	l.tellMoved()
	l.forgetRunaway()
	if l.dozing {
		l.fallAsleep(c)
		return
	}
	if l.stopping && l.cause == nil {
		l.finish(c, nil)
		return
	}
	if l.finished {
		return
	}
	class := m.exit.Class()
	if l.otherLaunch(c, class) {
		return
	}
	crash := &CrashError{Exit: m.exit, Class: class, Cause: l.cause, Phase: PhaseIdle}
	if crash.Cause == nil && m.err != nil {
		crash.Cause = m.err
	}
	if crash.Cause != nil && class == process.ClassStopped {
		crash.Class = process.ClassProtocol
	}
	if crash.Cause == nil {
		crash.Cause = m.old
	}
	if _, old := errors.AsType[*VersionError](crash.Cause); old {
		crash.Class = process.ClassRequest
	}
	if l.joining && class == process.ClassNoConversation {
		crash.Class = process.ClassRequest // it would not be there the next time either
		crash.Cause = errors.New("there is no such conversation (resume, continue, from_pr)")
	}
	switch {
	case !l.ready:
		crash.Phase = PhaseStart
	case l.current != nil || l.turns.open:
		crash.Phase = PhaseTurn
	}
	l.judgeConversation(crash)
	l.finish(c, crash)
}

// finish ends the incarnation. A nil crash is an end that was asked for.
func (l *loop) finish(c *actor.Context[message], crash *CrashError) {
	if l.finished {
		return
	}
	l.finished = true
	record := audit.Record{Kind: audit.SessionStopped, CostUSD: l.cutCost, TotalCostUSD: l.record.Ledger.Spent}
	var reason error = actor.ErrShutdown
	if crash != nil {
		r, _ := l.desk.snapshot()
		crash.Session, crash.SessionID, crash.Generation = l.session.name, r.SessionID, r.Generation
		crash.Resumable = r.Begun && !l.options.NoSessionPersistence
		reason = crash
		record.Kind = audit.SessionCrashed
		record.Exit = &audit.Exit{Reason: crash.Error(), Code: crash.Exit.Code, Signal: signalName(crash.Exit)}
		l.log.Warn().Err(crash).Str("class", string(crash.Class)).Msg("session crashed")
	} else {
		if len(l.steps) > 0 {
			record.Detail = map[string]any{"steps": stepsOf(l.steps)}
		}
		l.log.Info().Msg("session stopped")
	}
	l.audit(record)
	if q := l.current; q != nil {
		l.unbegun(c, q)
		l.setCurrent(nil)
		l.release(q, crash)
	}
	l.failRequests(c)
	for _, waiting := range l.controls {
		waiting.reply.Fail(fmt.Errorf("session %s: %w", l.session.name, ErrNotRunning))
	}
	l.controls = nil
	l.getUp()
	l.keeper.save(c, l, func(c *actor.Context[message]) { c.Exit(reason) })
}

// stepsOf is the ladder for the audit log.
func stepsOf(steps []process.StepStart) []map[string]any {
	var all []map[string]any
	for _, s := range steps {
		all = append(all, map[string]any{"step": string(s.Step), "after_ms": s.After.Milliseconds()})
	}
	return all
}

// failRequests answers what the process has not.
func (l *loop) failRequests(c *actor.Context[message]) {
	for id, r := range l.requests {
		delete(l.requests, id)
		r.timer.Stop()
		r.answer(c, nil, fmt.Errorf("session %s: %w", l.session.name, ErrNotRunning))
	}
}

// maxAttempts is how many processes may die with a prompt, by themselves or with their runtime, before it is held against it.
const maxAttempts = 2

// release ends the query whose prompt the process had, or puts it back. A process that died before it said
// that it has the prompt was most likely dead when it was written. Should it have read it all the same, the
// prompt's uuid keeps it from running twice.
func (l *loop) release(q *query, crash *CrashError) {
	switch {
	case crash == nil:
		l.session.ended(q, fmt.Errorf("session %s: %w", l.session.name, ErrStopped))
	case q.sent && q.attempts >= maxAttempts && q.cause == nil && !crash.Permanent():
		l.session.ended(q, fmt.Errorf("%w; its prompt was given to %d processes, which is as often as it is", crash, q.attempts))
	case q.taken && !l.options.Redeliver, q.cause != nil, crash.Permanent(), q.gone.Load():
		l.session.ended(q, crash)
	default:
		if q.taken {
			q.crash = crash
		}
		q.sent, q.taken = false, false
		if err := l.desk.putBack(q); err != nil {
			l.session.ended(q, err)
		}
	}
}

func signalName(e process.Exit) string {
	if e.Signal == 0 {
		return ""
	}
	return e.Signal.String()
}
