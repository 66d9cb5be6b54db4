package audit

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// maxLeft bounds how many intents without an end a segment's header carries on: the latest. There are as many as tools run at a time.
const maxLeft = 4096

// leftover are the intents that have no end so far. While a runtime lives their tools run; what of them is there when another
// one opens the log has lost whoever would have told of its end.
type leftover struct {
	open map[[2]string]format.Intent // by session and tool use
	view view
}

// leftBy are those that a segment's header carries on.
func leftBy(carried []format.Intent) *leftover {
	o := &leftover{open: make(map[[2]string]format.Intent, len(carried))}
	for _, i := range carried {
		o.open[[2]string{i.Session, i.ToolUseID}] = i
	}
	return o
}

// ofToolUse reports whether a kind of records begins or ends a tool use.
func ofToolUse(k Kind) bool { return k == ToolIntent || k == ToolResult || k == ToolOrphan }

// record is told of each record that begins or ends a tool use.
func (o *leftover) record(head *format.Head, payload []byte) {
	kind, v, last := Kind(head.Kind), &o.view, fieldPolicy
	if kind != ToolIntent {
		last = fieldToolUseID
	}
	if !v.parseTo(payload, last) && v.fill(payload) != nil {
		return // verify says so
	}
	id := stringOf(v[fieldToolUseID])
	if id == "" {
		return
	}
	key := [2]string{head.Session, id}
	if kind != ToolIntent {
		delete(o.open, key)
		return
	}
	number := func(f field) int {
		n, _ := strconv.Atoi(string(v[f])) // 0 if it is not there
		return n
	}
	o.open[key] = format.Intent{
		Seq: head.Seq, Session: head.Session, ToolUseID: id, Runtime: stringOf(v[fieldRuntime]), SessionID: stringOf(v[fieldSessionID]),
		Generation: number(fieldGeneration), Turn: number(fieldTurn), ParentToolUseID: stringOf(v[fieldParentToolUseID]),
		AgentID: stringOf(v[fieldAgentID]), Tool: stringOf(v[fieldTool]), Policy: stringOf(v[fieldPolicy]),
	}
	if len(o.open) > 2*maxLeft {
		*o = *leftBy(o.intents())
	}
}

// intents are the latest of them, in their order.
func (o *leftover) intents() []format.Intent {
	all := slices.SortedFunc(maps.Values(o.open), func(a, b format.Intent) int { return cmp.Compare(a.Seq, b.Seq) })
	return all[max(0, len(all)-maxLeft):]
}

// follow looks at the tool uses of what was written last.
func (l *log) follow() {
	if b := l.written; b != nil {
		l.written = nil
		var head format.Head
		for _, i := range b.tools {
			frame := b.frame(i)
			payload := frame[format.HeaderSize : len(frame)-1]
			head, _ = format.ParseHead(payload, head)
			l.left.record(&head, payload)
		}
	}
}

// unended are the intents that have no end so far.
func (l *log) unended() []format.Intent {
	l.follow()
	return l.left.intents()
}

// orphan is the end of a tool use that an earlier runtime has left without one.
func orphan(i format.Intent) Record {
	detail := map[string]any{"intent_recorded": true, "reason": "its runtime ended, or lost records, before it told of its end", "intent": i.Seq}
	if i.Runtime != "" {
		detail["runtime"] = i.Runtime
	}
	return Record{
		Kind: ToolOrphan, Session: i.Session, SessionID: i.SessionID, Generation: i.Generation, Turn: i.Turn, ToolUseID: i.ToolUseID,
		ParentToolUseID: i.ParentToolUseID, AgentID: i.AgentID, Tool: i.Tool, Policy: i.Policy, Detail: detail,
	}
}
