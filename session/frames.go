package session

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/protocol"
)

// onFrames handles what the CLI has said. Whoever waits for messages is woken once, when all of them are there.
func (l *loop) onFrames(c *actor.Context[message], m frames) {
	l.heard = time.Now()
	for _, next := range m.list {
		l.onFrame(c, next)
	}
	l.handOver(c)
	done := handled{list: m.list[:0]}
	if l.current != nil {
		done.stream = l.current.stream
		done.stream.wake()
	}
	clear(m.list)
	m.free <- done
}

// onFrame handles one frame of the CLI.
func (l *loop) onFrame(c *actor.Context[message], m protocol.Message) {
	switch m := m.(type) {
	case *protocol.ControlRequest:
		l.onQuestion(c, m)
		return
	case *protocol.ControlResponse:
		l.onAnswer(c, m)
		return
	case *protocol.ControlCancelRequest:
		l.withdrawApproval(m.RequestID, "the CLI does not ask any more, as after an interrupt")
		if cancel, ok := l.questions[m.RequestID]; ok {
			cancel()
			delete(l.questions, m.RequestID)
		}
		return
	case *protocol.KeepAlive:
		return
	default: // of the conversation
	}
	l.desk.driftOf(m)

	prompt := ""
	if l.current != nil {
		prompt = l.current.uuid
	}
	if life, ok := m.(*protocol.CommandLifecycle); ok && l.current != nil && life.CommandUUID == prompt {
		l.current.taken = true
	}
	wasOpen := l.turns.open
	own := len(l.turns.owners) == 0 // a result's turn is over below, and has no owners any more
	verdict := l.turns.see(m, prompt)
	if verdict == myResult {
		l.current.answered = true
	}
	if !wasOpen && l.turns.open {
		l.beginTurn(c)
	}
	l.note(c, m)
	if l.turns.open {
		own = len(l.turns.owners) == 0
	}
	l.publish(m, wasOpen || l.turns.open, own)
	closed := wasOpen && !l.turns.open
	if closed { // whoever hears of the end of the query finds that of its tools in the audit log
		l.endTurn()
	}
	switch verdict {
	case notMine:
	case mine:
		l.current.taken = true
		l.deliver(c, m)
	case myResult:
		l.deliver(c, m)
		result, _ := m.(*protocol.Result)
		l.endQuery(c, l.resultError(result))
	case cancelled:
		l.endQuery(c, fmt.Errorf("session %s: %w", l.session.name, ErrInterrupted))
	case dropped:
		if l.current.crash != nil { // it had been answered in part before the crash
			l.endQuery(c, l.current.crash)
			break
		}
		l.endQuery(c, fmt.Errorf("session %s: %w", l.session.name, ErrDropped))
	}
	if closed {
		l.afterTurn(c)
	}
}

// note takes from a frame what the session itself wants to know.
func (l *loop) note(c *actor.Context[message], m protocol.Message) {
	switch m := m.(type) {
	case *protocol.Init:
		l.desk.update(func(_ *record, info *Info) {
			info.Model, info.Mode, info.Version = m.Model, string(m.PermissionMode), m.ClaudeCodeVersion
		})
		l.join(c, m.SessionID)
		l.follow(c, m.SessionID)
	case *protocol.SessionStateChanged:
		l.noteState(c, m.State)
	case *protocol.Status:
		if m.PermissionMode != "" {
			l.desk.update(func(_ *record, info *Info) { info.Mode = string(m.PermissionMode) })
		}
	case *protocol.Assistant:
		l.noteRetry(nil)
		l.tellContext(m)
		if m.Message.ID != l.tally.last { // another model call, which what went before has let happen
			l.watchSpending(c)
		}
		l.tally.see(m)
		for _, block := range m.Message.Content {
			if use, ok := block.(*protocol.ToolUseBlock); ok {
				l.keeper.soon(c, l) // what this call has cost, since the turn goes on, and the runtime may not
				l.beginTool(use.ID, use.Name, use.Input, deref(m.ParentToolUseID), m.AgentID)
			}
		}
	case *protocol.User:
		if !m.IsReplay {
			l.noteResults(c, m)
			if len(l.session.spec.Budgets) > 0 { // the call that asked for it is over
				l.session.owe(l.certain())
			}
		}
	case *protocol.PermissionDenied:
		use := l.tools[m.ToolUseID]
		if use == nil {
			use = &toolUse{name: m.ToolName}
		}
		l.auditDecision(m.ToolUseID, m.ToolName, m.AgentID, l.cliDecision(use, true, "", m.DecisionReasonType, cmp.Or(m.DecisionReason, m.Message)))
	case *protocol.APIRetry:
		l.log.Warn().Int("attempt", m.Attempt).Str("error", m.Error).Msg("API request is tried again")
		l.desk.update(func(_ *record, info *Info) { info.APIRetries++ })
		l.noteRetry(m)
		l.tell(Moment{Kind: APIRetried, Outcome: m.Error, Detail: fmt.Sprintf("attempt %d", m.Attempt)})
		if m.Error == protocol.ErrorAuthentication && m.Attempt >= 2 && l.current != nil && l.current.cause == nil {
			// The CLI goes on trying for minutes, and a refused key stays refused.
			l.interruptTurn(c, fmt.Errorf("session %s: %w: check api_key", l.session.name, ErrAuth), nil)
		}
	case *protocol.RateLimitEvent:
		l.noteLimit(m)
	case *protocol.TaskEvent:
		l.noteTask(m)
	case *protocol.ConversationReset:
		l.follow(c, m.NewConversationID)
	case *protocol.Result:
		l.noteResult(c, m)
	case *protocol.Unknown:
		l.unknown(m)
	default: // only of interest to whoever reads the turn
	}
}

func (l *loop) unknown(m *protocol.Unknown) {
	l.log.Debug().Str("kind", m.Kind()).Msg("frame of an unknown kind")
	l.desk.update(func(_ *record, info *Info) { info.Unknown++ })
	l.tell(Moment{Kind: UnknownFrame, Detail: cut(m.Kind(), 80)})
}

// follow keeps to the conversation when the CLI goes on under another id, as after /clear.
func (l *loop) follow(c *actor.Context[message], id string) {
	r, _ := l.desk.snapshot()
	if id == "" || id == r.SessionID {
		return
	}
	if _, err := uuid.Parse(id); err != nil {
		l.log.Warn().Str("session_id", cut(id, 60)).Msg("CLI reports a session id that is no UUID")
		return
	}
	if l.left == "" {
		l.left = r.SessionID
	}
	l.desk.update(func(r *record, info *Info) { r.SessionID, info.SessionID = id, id })
	l.keeper.save(c, l, nil)
}

// tellMoved says that the CLI has left a conversation, when it is clear for which: /clear goes by way of an id that nothing is
// ever kept under.
func (l *loop) tellMoved() {
	if l.left == "" {
		return
	}
	r, _ := l.desk.snapshot()
	l.session.notice(NoticeConversationMoved, "the CLI has left the conversation "+l.left+" for "+r.SessionID+", as it does on /clear: what was said before is not part of it",
		map[string]any{"conversation": r.SessionID, "before": l.left})
	l.left = ""
}

// join notes that the conversation which the options name is the session's from now on.
func (l *loop) join(c *actor.Context[message], id string) {
	if _, err := uuid.Parse(id); err != nil || !l.joining {
		return
	}
	l.joining = false
	l.session.notice(NoticeConversationJoined, "the session goes on with the conversation "+id, map[string]any{"conversation": id})
	l.desk.update(func(r *record, info *Info) { r.SessionID, info.SessionID, r.Joined, r.Begun = id, id, true, true })
	l.keeper.save(c, l, nil)
}

// noteResult accounts for a turn.
func (l *loop) noteResult(c *actor.Context[message], m *protocol.Result) {
	l.tellMoved()
	l.noteRetry(nil)
	l.noteService(m)
	if !l.ready && m.Failed() && m.TotalCostUSD == 0 {
		return // the CLI says in this way that it cannot resume: nobody's turn came to an end
	}
	if !m.Failed() {
		l.proven = true
		l.desk.update(func(r *record, _ *Info) { r.ResumeFailures = 0 })
	}
	before := l.record.Ledger.Spent
	delta := l.record.Ledger.report(m)
	l.tally = tally{}
	l.desk.update(func(r *record, info *Info) {
		r.Ledger = l.record.Ledger
		r.Turns++
		info.Turns, info.CostUSD = r.Turns, r.Ledger.Spent
	})
	l.keeper.save(c, l, nil)
	l.tellResult(m, delta)
	detail := map[string]any{
		"subtype": m.Subtype, "num_turns": m.NumTurns, "duration_ms": m.DurationMS,
		"terminal_reason": m.TerminalReason, "permission_denials": len(m.PermissionDenials),
	}
	if m.Origin != nil {
		detail["origin"] = m.Origin.Kind
	}
	failed := m.Failed()
	l.session.spent(before, l.record.Ledger.Spent)
	if err := l.session.allowance(0); err != nil {
		l.stopSubagents(c, err)
	}
	_, info := l.desk.snapshot()
	l.audit(audit.Record{
		Kind: audit.TurnResult, IsError: &failed, CostUSD: delta, TotalCostUSD: l.record.Ledger.Spent, Turn: info.Turns, Detail: detail,
	})
}

// resultError is what a query ends with after its result, nil if all is well.
func (l *loop) resultError(m *protocol.Result) error {
	if !m.Failed() {
		return nil
	}
	auth := m.APIErrorStatus != nil && (*m.APIErrorStatus == 401 || *m.APIErrorStatus == 403)
	return &ResultError{Session: l.session.name, Result: m, Auth: auth, Overloaded: overload(m)}
}

// deliver gives a frame to whoever waits for the turn.
func (l *loop) deliver(c *actor.Context[message], m protocol.Message) {
	q := l.current
	if q == nil || q.overflowed {
		return
	}
	l.delivery = append(l.delivery, m)
}

// handOver gives the stream of the query what is meant for it, all at once.
func (l *loop) handOver(c *actor.Context[message]) {
	q := l.current
	if len(l.delivery) == 0 || q == nil {
		return
	}
	err := q.stream.push(l.delivery...)
	clear(l.delivery)
	l.delivery = l.delivery[:0]
	if err != nil && !q.overflowed {
		q.overflowed = true
		l.interruptTurn(c, fmt.Errorf("session %s: %w: %w", l.session.name, ErrSlowConsumer, err), nil)
	}
}

func (l *loop) publish(m protocol.Message, inTurn, own bool) {
	e := Event{Session: l.session.name, Generation: l.record.Generation, Message: m, Own: inTurn && own}
	l.desk.publish(e, inTurn)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// beginTurn is called when the CLI opens a turn.
func (l *loop) beginTurn(c *actor.Context[message]) {
	if !l.stopping { // a frame that was on its way: the session stays draining
		l.desk.update(func(_ *record, info *Info) { info.State = Busy })
	}
	l.runaway.turnBegins()
	l.overspent = false
	l.countTurn()
	l.tellTurn()
	if r, _ := l.desk.snapshot(); !r.Begun { // a turn of the CLI's own makes a conversation too
		l.desk.update(func(r *record, _ *Info) { r.Begun = true })
		l.keeper.save(c, l, nil)
	}
	if l.current == nil {
		l.after(c, stallDeadline, l.options.StallTimeout)
		if !l.atWork { // it says that it has nothing to do: see whether anything comes of it
			l.after(c, settleDeadline, settleGrace)
		}
	}
}

// endTurn is called when a turn was closed by its result.
func (l *loop) endTurn() {
	l.orphanMainTools()
	l.runaway.turnEnds()
	l.orphanGone()
	l.showSubagents()
}

// afterTurn is called then, when its query has ended too.
func (l *loop) afterTurn(c *actor.Context[message]) {
	if l.current != nil { // the turn was another one's
		return
	}
	l.rest(c)
}

// rest is called when nothing is going on any more.
func (l *loop) rest(c *actor.Context[message]) {
	l.cancel(stallDeadline)
	l.cancel(turnDeadline)
	l.cancel(interruptDeadline)
	if l.stopping {
		l.endProcess(c)
		return
	}
	if !l.turns.open {
		l.desk.update(func(_ *record, info *Info) { info.State, info.Tool, info.ToolArg = Idle, "", "" })
		if l.atWork {
			l.after(c, settleDeadline, settleGrace)
		}
		l.endPermit()
		l.drained()
		l.pump(c)
	}
}

// noteState takes the CLI's own word about whether it has something to do.
func (l *loop) noteState(c *actor.Context[message], state string) {
	l.atWork = state != protocol.StateIdle
	switch {
	case !l.atWork && l.current == nil && l.turns.open:
		l.after(c, settleDeadline, settleGrace)
	case !l.atWork:
		l.cancel(settleDeadline)
		if l.unheard() {
			l.after(c, settleDeadline, settleGrace)
		}
		l.pump(c)
	case l.current == nil && !l.turns.open:
		l.after(c, settleDeadline, settleGrace)
	}
}

// unheard reports whether the CLI was sent a prompt and has said nothing of it. If it is idle then, and stays so, it
// has dropped the prompt in silence: that is what it does with one that the same process has answered before.
func (l *loop) unheard() bool {
	return l.current != nil && l.current.sent && !l.current.taken && !l.turns.open
}

// pump gives the CLI the next prompt, one at a time and only when it is idle by its own word: it would
// merge prompts that it gets together into one turn, and answer one that it gets while it begins a turn by
// itself as part of that turn. There may be no idle between a result and such a turn.
func (l *loop) pump(c *actor.Context[message]) {
	l.sendNext(c)
	l.awaitLog(c)
	if l.current == nil && !l.turns.open { // it came to nothing
		l.endPermit()
	}
}

func (l *loop) sendNext(c *actor.Context[message]) {
	if l.asleep && l.desk.waits(l.withholds(l.session.unaudited())) {
		l.rouse(c)
		return
	}
	for l.ready && !l.stopping && l.cause == nil && l.process != nil && l.current == nil && !l.turns.open && !l.atWork {
		unaudited := l.session.unaudited()
		withheld := l.withholds(unaudited)
		if !l.desk.waits(withheld) {
			return
		}
		err := l.session.allowance(0)
		if err == nil {
			err = unaudited
		}
		if err != nil {
			if q := l.desk.next(withheld); q != nil {
				l.session.ended(q, err)
			}
			continue
		}
		if !l.mayTurn(c) {
			return
		}
		q := l.desk.next(withheld)
		if q == nil {
			return
		}
		if q.gone.Load() {
			continue
		}
		l.setCurrent(q)
		// A process that dies right after the prompt has a conversation to resume.
		l.desk.update(func(r *record, info *Info) {
			q.begins = !r.Begun
			r.Begun, info.State = true, Busy
		})
		l.desk.count(q, 1)
		if l.options.Redeliver {
			// Before the prompt is out: a runtime that dies knows what is to be delivered once more, and how often it was already, or a
			// prompt that takes the runtime down would do so for ever. So one of an earlier runtime waits if that cannot be written. A
			// new one does not: it may be lost with this runtime, but will not be delivered by the next one on and on.
			l.keeper.save(c, l, func(c *actor.Context[message]) {
				if q.requeued && l.keeper.failing && l.mayPrompt(c, q) {
					l.postpone(c, q)
					return
				}
				l.prompt(c, q)
			})
			return
		}
		// A runtime that dies before that is told by the CLI that there is a conversation: see otherLaunch.
		l.keeper.soon(c, l)
		l.prompt(c, q)
		return
	}
}

// setCurrent says whose prompt the CLI has, to the desk as well.
func (l *loop) setCurrent(q *query) {
	l.current = q
	l.desk.hold(l, q)
	if l.over.Err() != nil { // killed: what watched for that may have looked before
		l.desk.orphan(l)
	}
}

// prompt sends the current query's prompt.
func (l *loop) prompt(c *actor.Context[message], q *query) {
	if !l.mayPrompt(c, q) {
		return
	}
	r, _ := l.desk.snapshot()
	l.auditFirst(c, "audit prompt", audit.Record{Kind: audit.TurnStarted, Turn: r.Turns + 1, Detail: q.digest},
		func(err error) message { return promptKept{q, err} })
}

// mayPrompt reports whether the current query's prompt may still be sent.
func (l *loop) mayPrompt(c *actor.Context[message], q *query) bool {
	if l.current != q || l.process == nil || l.cause != nil {
		return false
	}
	if q.gone.Load() || l.stopping || q.cause != nil {
		l.endQuery(c, fmt.Errorf("session %s: %w", l.session.name, ErrStopped))
		return false
	}
	return true
}

// onPromptKept sends the prompt that the audit log has.
func (l *loop) onPromptKept(c *actor.Context[message], m promptKept) {
	q := m.query
	if q.sent || !l.mayPrompt(c, q) {
		return
	}
	if m.err != nil {
		l.log.Error().Err(m.err).Msg("prompt refused: it cannot be audited")
		if q.requeued && l.logFailed(m.err) {
			l.after(c, logDeadline, tryAgain) // no sooner, if the log is there again by now
			l.postpone(c, q)
			return
		}
		l.endQuery(c, fmt.Errorf("session %s: %w: %w", l.session.name, ErrAuditUnavailable, m.err))
		return
	}
	q.sent = true
	l.heard = time.Now()
	l.after(c, stallDeadline, l.options.StallTimeout)
	l.after(c, turnDeadline, l.options.TurnTimeout)
	l.write(c, q.line)
}

// unbegun takes back what was noted for a prompt that has not been sent: the attempt, and that there is a conversation if it was to begin
// it. The next process would look for it in vain, and say that it is lost.
func (l *loop) unbegun(c *actor.Context[message], q *query) {
	if q.sent {
		return
	}
	l.desk.count(q, -1)
	if !q.begins {
		return
	}
	l.desk.update(func(r *record, _ *Info) { r.Begun = false })
	l.keeper.soon(c, l)
}

// endQuery ends the current query: with nil after a good result.
func (l *loop) endQuery(c *actor.Context[message], err error) {
	l.handOver(c)
	q := l.current
	if q == nil {
		return
	}
	l.unbegun(c, q)
	l.setCurrent(nil)
	if q.cause != nil {
		err = q.cause
	}
	if !l.turns.open {
		l.rest(c) // whoever hears of the end finds the session idle
	}
	l.session.ended(q, err)
}

func (l *loop) onAbandon(c *actor.Context[message], q *query) {
	if l.current != q {
		return
	}
	if !q.sent { // prompt sees that it is gone
		return
	}
	l.interruptTurn(c, nil, nil)
}

func (l *loop) onInterrupt(c *actor.Context[message], reply actor.Reply[struct{}]) {
	l.interruptTurn(c, nil, func(err error) {
		if err != nil {
			reply.Fail(err)
		} else {
			reply.Send(struct{}{})
		}
	})
}

// interruptTurn ends the running turn. cause, if not nil, is what its query ends with instead of the
// result's own error.
func (l *loop) interruptTurn(c *actor.Context[message], cause error, acknowledged func(error)) {
	if acknowledged == nil {
		acknowledged = func(error) {}
	}
	if !l.ready || l.process == nil || (l.current == nil && !l.turns.open) {
		acknowledged(nil)
		return
	}
	if q := l.current; q != nil && q.cause == nil {
		q.cause = cause
	}
	if q := l.current; q != nil && !q.sent && !l.turns.open { // the CLI has nothing of it: prompt sees that it is over
		if q.cause == nil {
			q.cause = fmt.Errorf("session %s: %w", l.session.name, ErrInterrupted)
		}
		acknowledged(nil)
		return
	}
	if l.timers[interruptDeadline] == nil {
		l.after(c, interruptDeadline, l.options.InterruptGrace)
	}
	// Without cancel_queued a prompt that the CLI has not begun yet would run all the same.
	l.request(c, &protocol.Interrupt{CancelQueued: true}, l.options.ControlTimeout,
		func(c *actor.Context[message], r *protocol.ControlResponse, err error) {
			if err == nil {
				err = r.Err()
			}
			acknowledged(err)
			if err != nil {
				return
			}
			answer, err := r.Interrupt()
			if err != nil || l.current == nil {
				return
			}
			if slices.Contains(answer.Cancelled, l.current.uuid) {
				l.endQuery(c, fmt.Errorf("session %s: %w", l.session.name, ErrInterrupted))
				return
			}
		})
}
