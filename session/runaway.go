package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/toolname"
)

// runaway follows what an agent that has lost its way does: it has others work for it, more and more of them, or makes the same
// tool call for ever. It is a pure function of what the CLI says; the process's end forgets all of it.
type runaway struct {
	subagents map[string]subagent // at work, by the id of their task
	granted   map[string]string   // calls that were let through and whose subagent has not begun, and the agent whose call it is
	rows      map[string]row      // the last calls of each agent, by its id, which is also its task's; "" is the main conversation
	told      bool                // that there are too many subagents, in this turn
	cut       []gone              // subagents that were stopped, and whose call has no result yet: that of the tool they used may come before
	gone      []gone              // those that will not say anything any more
}

// gone is a subagent that has ended, or is about to.
type gone struct{ task, use, caller string }

// subagent is one that is at work.
type subagent struct {
	use        string // the call that started it
	caller     string // the agent whose call that was
	background bool   // that call has its result already
}

// row is the same tool call, again and again, or the same few.
type row struct {
	call   [sha256.Size]byte
	n      int
	cycles *cycles // nil if nobody wants to know
}

// maxRows bounds the agents whose calls are followed: their ids are the CLI's.
const maxRows = 1000

// atWork is how many subagents there are, with those that are about to begin.
func (w *runaway) atWork() int { return len(w.subagents) + len(w.granted) }

// grant lets a call start a subagent, unless there are so many already.
func (w *runaway) grant(use, caller string, most int) bool {
	if _, again := w.granted[use]; again {
		return true
	}
	if w.atWork() >= most {
		return false
	}
	if w.granted == nil {
		w.granted = make(map[string]string)
	}
	w.granted[use] = caller
	return true
}

// begins takes down that a subagent is at work: a new one, or one that was sent another message.
func (w *runaway) begins(task, use, caller string, background bool) {
	delete(w.granted, use)
	w.cut = slices.DeleteFunc(w.cut, func(g gone) bool { return g.task == task }) // it speaks again
	if w.subagents == nil {
		w.subagents = make(map[string]subagent)
	}
	w.subagents[task] = subagent{use, caller, background}
}

// ends takes down that a subagent has ended, and has said all.
func (w *runaway) ends(task string) {
	s, known := w.subagents[task]
	w.forget(task)
	if known {
		w.silent(gone{task, s.use, s.caller})
	}
}

// stopped takes down that somebody has ended a subagent. The result of the tool that it used may come behind that: always, of one
// in the background, and before the result of its call, of one in the foreground, unless its caller has ended.
func (w *runaway) stopped(task string) {
	s, known := w.subagents[task]
	w.forget(task)
	switch {
	case !known || s.background:
	case s.caller == "" || w.speaks(s.caller):
		w.cut = append(w.cut, gone{task, s.use, s.caller})
	default:
		w.silent(gone{task, s.use, s.caller})
	}
}

// forget also forgets what a subagent was about to start itself: that does not begin any more.
func (w *runaway) forget(task string) {
	delete(w.subagents, task)
	delete(w.rows, task)
	maps.DeleteFunc(w.granted, func(_, caller string) bool { return caller == task })
}

// speaks reports whether a subagent may still be heard of.
func (w *runaway) speaks(task string) bool {
	_, known := w.subagents[task]
	return known || slices.ContainsFunc(w.cut, func(g gone) bool { return g.task == task })
}

// silent takes down that a subagent will not say anything any more, nor those that were stopped below it.
func (w *runaway) silent(g gone) {
	w.gone = append(w.gone, g)
	w.silence(func(below gone) bool { return below.caller == g.task })
}

// silence does so with those of the stopped ones.
func (w *runaway) silence(which func(gone) bool) {
	var now []gone
	w.cut = slices.DeleteFunc(w.cut, func(g gone) bool {
		if !which(g) {
			return false
		}
		now = append(now, g)
		return true
	})
	for _, g := range now {
		w.silent(g)
	}
}

// answered takes down that a call has its result: whoever was started by it has ended, or works in the background.
func (w *runaway) answered(use string) {
	delete(w.granted, use)
	w.endForeground(func(s subagent) bool { return s.use == use })
	w.silence(func(g gone) bool { return g.use == use })
}

func (w *runaway) endForeground(which func(subagent) bool) {
	for task, s := range w.subagents {
		if !s.background && which(s) {
			w.ends(task)
		}
	}
}

// updated takes down what has changed about a task.
func (w *runaway) updated(task string, p *protocol.TaskPatch) {
	if p == nil {
		return
	}
	s, known := w.subagents[task]
	switch {
	case p.Status == "killed" && known:
		w.stopped(task)
	case known && (p.Status == "completed" || p.Status == "failed"):
		w.ends(task)
	case slices.Contains([]string{"completed", "failed", "killed"}, p.Status): // it has outlived its turn
		w.silent(gone{task: task})
	case known && p.IsBackgrounded != nil:
		s.background = *p.IsBackgrounded
		w.subagents[task] = s
	}
}

// listed takes the CLI's list of what it has in the background. A subagent that is not on it has ended, whether or not somebody
// said so.
func (w *runaway) listed(tasks []protocol.BackgroundTask) {
	for task, s := range w.subagents {
		if s.background && !slices.ContainsFunc(tasks, func(t protocol.BackgroundTask) bool { return t.TaskID == task }) {
			w.stopped(task)
		}
	}
}

// turnBegins forgets what the main conversation has called.
func (w *runaway) turnBegins() {
	delete(w.rows, "")
	w.told = false
}

// turnEnds gives back what the main conversation was waiting for: after an interrupt a call has no result.
func (w *runaway) turnEnds() {
	maps.DeleteFunc(w.granted, func(_, caller string) bool { return caller == "" })
	w.endForeground(func(s subagent) bool { return s.caller == "" })
	w.silence(func(g gone) bool { return g.caller == "" })
}

// repeated takes a tool call, and says how many of its kind an agent has made in a row.
func (w *runaway) repeated(agent, tool string, input json.RawMessage) int {
	call := digest(tool, input)
	r := w.rows[agent]
	if r.call != call {
		r.call, r.n = call, 0
	}
	r.n++
	if _, known := w.rows[agent]; w.rows == nil || !known && len(w.rows) >= maxRows {
		w.rows = make(map[string]row)
	}
	w.rows[agent] = r
	return r.n
}

// cycle takes a tool call that repeated has taken, and says what round of which cycle it is part of.
func (w *runaway) cycle(agent, use, tool string, input json.RawMessage) (c *cycles, round int, tools []string) {
	r := w.rows[agent]
	if r.cycles == nil {
		r.cycles = new(cycles)
		w.rows[agent] = r
	}
	round, tools = r.cycles.begins(use, tool, digest(tool, input))
	return r.cycles, round, tools
}

// result takes the result of a call that ran.
func (w *runaway) result(agent, use, text string, isError bool, took time.Duration) {
	if c := w.rows[agent].cycles; c != nil {
		c.ends(use, resultDigest(text, isError), took)
	}
}

func digest(tool string, input json.RawMessage) [sha256.Size]byte {
	return sha256.Sum256(append([]byte(tool+"\x00"), canonical(tool, input)...))
}

// canonical is an input as it is compared: the order of its keys does not count, nor the sentence about a command, which the model
// words anew each time.
func canonical(tool string, input json.RawMessage) []byte {
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(input))
	decoder.UseNumber()
	if decoder.Decode(&fields) != nil {
		return input
	}
	if tool == "Bash" {
		delete(fields, "description")
	}
	data, err := json.Marshal(fields)
	if err != nil { // cannot be: it was read from JSON
		return input
	}
	return data
}

// subagentTool reports whether a tool starts a subagent.
func subagentTool(name string) bool { return toolname.Now(name) == "Agent" }

// byLimit is who denies what goes beyond max_subagents, max_identical_tool_calls and max_tool_cycles: audit.Decision.By.
const byLimit = "limit"

// overLimit says what the model is told of a tool call that goes beyond a limit of the options; empty if it does not.
func (l *loop) overLimit(c *actor.Context[message], in *protocol.HookInput) string {
	if l.options.MaxIdenticalToolCalls > 0 || l.options.MaxToolCycles > 0 {
		if use := l.beginTool(in.ToolUseID, in.ToolName, in.ToolInput, "", in.AgentID); !use.counted {
			use.counted = true
			if reason := l.countCall(c, in.AgentID, in.ToolUseID, use.name, in.ToolInput); reason != "" {
				return reason
			}
		}
	}
	most := l.options.MaxSubagents
	if most == 0 || !subagentTool(in.ToolName) || l.runaway.grant(in.ToolUseID, in.AgentID, most) {
		return ""
	}
	if !l.runaway.told { // once a turn: a model that fans out does so in one message
		l.runaway.told = true
		l.session.notice(NoticeSubagentsLimited, fmt.Sprintf("a subagent is refused: %d of at most %d are at work (max_subagents)", l.runaway.atWork(), most),
			map[string]any{"limit": most, "tool_use_id": in.ToolUseID})
	}
	return fmt.Sprintf("%d subagents of at most %d are at work (max_subagents): wait until one of them has ended, or do this yourself. Do not try again before.", l.runaway.atWork(), most)
}

// countCall counts a tool call, and says what the model is told if it is one too many. A model that does not listen is stopped:
// the main conversation by an interrupt, a subagent alone.
func (l *loop) countCall(c *actor.Context[message], agent, use, tool string, input json.RawMessage) string {
	most := l.options.MaxIdenticalToolCalls
	n := l.runaway.repeated(agent, tool, input)
	round := l.countCycle(c, agent, use, tool, input)
	if most == 0 || n <= most {
		return round
	}
	times := fmt.Sprintf("%s was called %d times in a row with the same input (max_identical_tool_calls: %d)", tool, n, most)
	l.endLoop(c, agent, times, map[string]any{"limit": most, "tool": tool, "calls": n}, n == most+1, n == 2*most+1, n > 2*most)
	return times + ": it is not run again. Its result is above. Do something else, or say why you cannot go on."
}

// countCycle is countCall for calls that go round.
func (l *loop) countCycle(c *actor.Context[message], agent, use, tool string, input json.RawMessage) string {
	most := l.options.MaxToolCycles
	if most == 0 {
		return ""
	}
	cycles, round, tools := l.runaway.cycle(agent, use, tool, input)
	if round <= most {
		cycles.told, cycles.ended = false, false
		return ""
	}
	times := fmt.Sprintf("%s are called in turn %d times in a row, with the same inputs and results (max_tool_cycles: %d)", cycleText(tools), round, most)
	ends := round > 2*most
	l.endLoop(c, agent, times, map[string]any{"limit": most, "tools": tools, "rounds": round}, !cycles.told, ends && !cycles.ended, ends)
	cycles.told, cycles.ended = true, cycles.ended || ends
	return times + ": they are not run again. Their results are above. Do something else, or say why you cannot go on."
}

// endLoop tells of a loop, where that is to be told, and ends it when the model does not listen.
func (l *loop) endLoop(c *actor.Context[message], agent, times string, detail map[string]any, begins, tellEnd, ends bool) {
	if agent != "" {
		detail["agent_id"] = agent
	}
	cause := fmt.Errorf("session %s: %w: %s", l.session.name, ErrToolLoop, times)
	if begins {
		l.session.notice(NoticeToolLoop, times+": denied from now on", detail)
	}
	switch {
	case !ends:
	case agent == "":
		if tellEnd {
			l.session.notice(NoticeToolLoopEnded, times+": the turn is interrupted", detail)
		}
		l.interruptTurn(c, cause, nil)
	default:
		if tellEnd {
			l.session.notice(NoticeToolLoopEnded, times+": the subagent is stopped", detail)
		}
		l.stopSubagent(c, agent, cause)
	}
}

// stopSubagent ends a subagent. If that cannot be done, the turn is interrupted that it is part of.
func (l *loop) stopSubagent(c *actor.Context[message], agent string, cause error) {
	l.request(c, &protocol.StopTask{TaskID: agent}, l.options.ControlTimeout,
		func(c *actor.Context[message], r *protocol.ControlResponse, err error) {
			if err == nil {
				err = r.Err()
			}
			if err != nil && l.process != nil {
				l.log.Warn().Err(err).Str("agent", agent).Msg("subagent could not be stopped: the turn is interrupted")
				l.interruptTurn(c, cause, nil)
			}
		})
}

// stopSubagents ends all that are at work: the CLI lets them go on, in the foreground too, when it has ended their turn for its budget.
func (l *loop) stopSubagents(c *actor.Context[message], cause error) {
	for task := range l.runaway.subagents {
		l.stopSubagent(c, task, cause)
	}
}

// watchSpending ends what goes on although a budget is spent: before each model call that is not the first of its turn, by what
// the calls before it have cost. There may be no result for long, or never; shared budgets the CLI does not know.
func (l *loop) watchSpending(c *actor.Context[message]) {
	if l.options.MaxBudgetUSD == 0 && len(l.session.spec.Budgets) == 0 || len(l.tally.calls) == 0 && l.turns.open {
		return
	}
	err := l.session.allowance(l.certain())
	if err == nil {
		return
	}
	l.stopSubagents(c, err)
	if l.turns.open && !l.overspent {
		l.overspent = true
		l.session.tellNotice(NoticeBudgetExhausted, err.Error()+": the turn is interrupted, by what its frames say")
		l.interruptTurn(c, err, nil)
	}
}

// certain is what the running turn has cost so far, as far as that is certain.
func (l *loop) certain() float64 { return certain * l.record.Ledger.estimate(&l.tally) }

// noteTask follows subagents and what runs in the background.
func (l *loop) noteTask(m *protocol.TaskEvent) {
	switch m.Subtype {
	case protocol.BackgroundTasksChanged:
		l.background = len(m.Tasks)
		l.runaway.listed(m.Tasks)
	case protocol.TaskStarted:
		if m.TaskType == subagentTask && !m.Ambient {
			caller := m.ParentTaskID
			if use := l.tools[m.ToolUseID]; caller == "" && use != nil {
				caller = use.agent
			}
			l.runaway.begins(m.TaskID, m.ToolUseID, caller, m.IsBackgrounded != nil && *m.IsBackgrounded)
		}
	case protocol.TaskUpdated:
		l.runaway.updated(m.TaskID, m.Patch)
	case protocol.TaskNotification:
		if m.Status == "stopped" {
			l.runaway.stopped(m.TaskID)
		} else {
			l.runaway.ends(m.TaskID)
		}
	}
	l.orphanGone()
	l.showSubagents()
}

const subagentTask = "local_agent"

// showSubagents has the session's description say how many are at work.
func (l *loop) showSubagents() {
	n := len(l.runaway.subagents)
	if n == l.shown {
		return
	}
	l.shown = n
	l.desk.update(func(_ *record, info *Info) { info.Subagents = n })
}

// forgetRunaway is called when the process has ended, with all that it did.
func (l *loop) forgetRunaway() {
	l.runaway = runaway{}
	l.showSubagents()
}
