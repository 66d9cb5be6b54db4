package session

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/toolname"
)

// beginTool takes down a tool use. The hook and the assistant frame both report it, in either order, and may do so by two names.
func (l *loop) beginTool(id, name string, input json.RawMessage, parent, agent string) *toolUse {
	name = toolname.Now(name)
	use := l.tools[id]
	fresh := use == nil
	if fresh {
		use = &toolUse{name: name, input: input, started: time.Now()}
		l.tools[id] = use
	}
	if use.parent == "" {
		use.parent = parent
	}
	if fresh {
		l.tellTool(id, use)
	}
	if use.agent == "" {
		use.agent = agent
	}
	l.desk.update(func(_ *record, info *Info) { info.Tool, info.ToolArg = name, mainArgument(input) })
	return use
}

// noteResults takes tool results from a user frame.
func (l *loop) noteResults(c *actor.Context[message], m *protocol.User) {
	for _, block := range m.Message.Content.Blocks() {
		result, ok := block.(*protocol.ToolResultBlock)
		if !ok {
			continue
		}
		use, late := l.tools[result.ToolUseID], false
		if use == nil {
			use, late = l.lost[result.ToolUseID]
		}
		if use == nil {
			use = &toolUse{name: "unknown", parent: deref(m.ParentToolUseID), started: time.Now()}
		}
		delete(l.tools, result.ToolUseID)
		delete(l.lost, result.ToolUseID)
		l.runaway.answered(result.ToolUseID)
		if (l.options.MaxIdenticalToolCalls > 0 || l.options.MaxToolCycles > 0) && !use.counted { // the CLI has refused it without asking us: it cannot be denied, but ended
			l.countCall(c, use.agent, result.ToolUseID, use.name, use.input)
		}
		var decision *audit.Decision
		denied := use.denied
		if i := slices.IndexFunc(m.ToolResultMeta, func(meta protocol.ToolResultMeta) bool { return meta.ID == result.ToolUseID }); i >= 0 && m.ToolResultMeta[i].PermissionDecision != nil {
			// There is none for a tool that an interrupt stopped.
			d := m.ToolResultMeta[i].PermissionDecision
			denied = d.Decision == "reject"
			decision = l.cliDecision(use, denied, d.Source, d.ReasonType, "")
			if ours := use.decision; ours != nil && ours.Outcome == decision.Outcome && (use.decided || ours.By == decision.By) {
				decision = ours // which says more
			}
		} else {
			decision = use.decision
		}
		if decision != nil && !use.decided { // by a rule or a mode, which the CLI does not say before
			l.tools[result.ToolUseID] = use
			l.auditDecision(result.ToolUseID, use.name, use.agent, decision)
			delete(l.tools, result.ToolUseID)
		}
		text := result.Content.Text()
		isError := result.IsError
		if !limited(use.decision) { // the result of a denied call is not that of the call
			l.runaway.result(use.agent, result.ToolUseID, text, isError, time.Since(use.started))
		}
		detail := map[string]any{"duration_ms": time.Since(use.started).Milliseconds(), "intent_recorded": use.audited}
		if late { // its end was told
			detail["late"] = true
		} else {
			l.tellToolEnd(result.ToolUseID, use, toolOutcome(isError, denied), text)
		}
		output, err := json.Marshal(text)
		if err != nil { // a string always marshals
			output = nil
		}
		l.auditEnd(use, audit.Record{
			Kind: audit.ToolResult, Tool: use.name, ToolUseID: result.ToolUseID, ParentToolUseID: use.parent, AgentID: use.agent,
			Input: use.unrecorded(), Output: output, IsError: &isError, Decision: decision, Detail: detail,
		})
		l.callbacks.add(c, l, ToolEvent{
			Session: l.session.name, SessionID: m.SessionID, ToolUseID: result.ToolUseID, ParentToolUseID: use.parent,
			Name: use.name, Input: use.input, Result: text, IsError: isError, Denied: denied,
			StartedAt: use.started, EndedAt: time.Now(),
		})
	}
	l.orphanGone()
	if len(l.tools) == 0 {
		l.desk.update(func(_ *record, info *Info) { info.Tool, info.ToolArg = "", "" })
	}
}

// limited reports whether a call was denied since there are too many of its kind.
func limited(d *audit.Decision) bool { return d != nil && d.Outcome == audit.Deny && d.By == byLimit }

// auditDecision records whether a tool may run, once for each use.
func (l *loop) auditDecision(id, tool, agent string, d *audit.Decision) {
	r := audit.Record{Kind: audit.ToolDecision, Tool: toolname.Now(tool), ToolUseID: id, AgentID: agent, Decision: d}
	if use := l.tools[id]; use != nil {
		if use.decided {
			return
		}
		use.decided, use.decision = true, d
		use.denied = use.denied || d.Outcome == audit.Deny
		r.ParentToolUseID = use.parent
	}
	l.audit(r)
}

// orphanMainTools records the tool uses of a turn that ended without their result. Those of subagents may
// go on.
func (l *loop) orphanMainTools() {
	for id, use := range l.tools {
		if use.parent == "" && use.agent == "" {
			l.orphan(id, use)
		}
	}
}

// orphanGone records the tool uses of subagents that will not say anything any more. The CLI does not tell results of one that an
// interrupt has ended, nor, without ForwardSubagentText, of one that another subagent waited for.
func (l *loop) orphanGone() {
	for _, g := range l.runaway.gone {
		for id, use := range l.tools {
			if use.agent == g.task || g.use != "" && use.parent == g.use {
				l.orphan(id, use)
			}
		}
	}
	l.runaway.gone = nil
}

// mainTool reports whether a tool of the turn itself is running. One of a subagent is part of such a tool, or goes on behind
// the turn.
func (l *loop) mainTool() bool {
	for _, use := range l.tools {
		if use.parent == "" && use.agent == "" {
			return true
		}
	}
	return false
}

// orphanTools records every tool use without a result, when the process has ended.
func (l *loop) orphanTools() {
	for id, use := range l.tools {
		l.orphan(id, use)
	}
	clear(l.lost)
}

// maxLost bounds the uses that are remembered behind their end.
const maxLost = 1000

// orphan records a tool use whose result does not come. Should it come after all, from a CLI that tells things in another order, the
// log has both, and says of the second that it is late.
func (l *loop) orphan(id string, use *toolUse) {
	delete(l.tools, id)
	if l.lost == nil || len(l.lost) >= maxLost {
		l.lost = make(map[string]*toolUse)
	}
	l.lost[id] = use
	l.tellToolEnd(id, use, outcomeLost, "")
	l.auditEnd(use, audit.Record{
		Kind: audit.ToolOrphan, Tool: use.name, ToolUseID: id, ParentToolUseID: use.parent, AgentID: use.agent, Input: use.unrecorded(),
		Detail: map[string]any{"intent_recorded": use.audited},
	})
}

// auditEnd records the end of a tool use behind its intent, which may still be on its way: an interrupt ends a tool that the hook
// has not been answered for, and so does the end of the process.
func (l *loop) auditEnd(use *toolUse, r audit.Record) {
	if l.session.spec.Audit == nil {
		return
	}
	r = l.about(r)
	if use.intent == nil || !use.intent.follow(&r) {
		l.session.spec.Audit.Post(r)
	}
}

// unrecorded is the input of a use that has no intent: what was tried has to be in the log nevertheless.
func (u *toolUse) unrecorded() json.RawMessage {
	if u.audited {
		return nil
	}
	return u.input
}

// mainArgument is the argument that tells most about a tool use, in one short line.
func mainArgument(input json.RawMessage) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(input, &fields) != nil {
		return ""
	}
	for _, key := range []string{"command", "file_path", "path", "notebook_path", "pattern", "url", "query", "description", "skill"} {
		var text string
		if json.Unmarshal(fields[key], &text) == nil && text != "" {
			return cut(strings.Join(strings.Fields(text), " "), 80)
		}
	}
	return ""
}
