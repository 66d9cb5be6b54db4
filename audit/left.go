package audit

import (
	"cmp"
	"context"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// maxLeft bounds how many intents without an end a segment's header carries on: the latest. There are as many as tools run at a time.
const maxLeft = 4096

// leftover are the numbers of the intents that have no end so far, by their tool uses. While a runtime lives their tools run; what of
// them is there when another one opens the log has lost whoever would have told of its end.
type leftover map[uint64]uint64

// toolMark is that a record begins or ends a tool use.
type toolMark struct {
	use    uint64 // see useOf
	seq    uint64
	begins bool
}

// ofToolUse reports whether a kind of records begins or ends a tool use.
func ofToolUse(k Kind) bool { return k == ToolIntent || k == ToolResult || k == ToolOrphan }

// useOf stands for a tool use of a session: 64 bits are enough to tell those apart that run at a time. id is as it is in the record, in quotes.
func useOf(session string, id []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(session)) // it returns no error
	_, _ = h.Write(id)
	return h.Sum64()
}

// markOf is what a record in the log says of a tool use; it reports false if it says nothing.
func markOf(head *format.Head, payload []byte, v *view) (toolMark, bool) {
	kind := Kind(head.Kind)
	if !ofToolUse(kind) || !v.parseTo(payload, fieldToolUseID) && v.fill(payload) != nil || v[fieldToolUseID] == nil {
		return toolMark{}, false // of what is no record verify says so
	}
	return toolMark{useOf(head.Session, v[fieldToolUseID]), head.Seq, kind == ToolIntent}, true
}

func (o leftover) note(m toolMark) {
	if !m.begins {
		delete(o, m.use)
		return
	}
	o[m.use] = m.seq
	if len(o) > 2*maxLeft { // far more than run at a time: about the older half has to go, and who comes waits
		sum := uint64(0)
		for _, seq := range o {
			sum += m.seq - seq
		}
		mean := m.seq - sum/uint64(len(o))
		maps.DeleteFunc(o, func(_, seq uint64) bool { return seq < mean })
	}
}

// shorten leaves the latest.
func (o leftover) shorten() {
	if len(o) > maxLeft {
		oldest := smallest(slices.Collect(maps.Values(o)), len(o)-maxLeft)
		maps.DeleteFunc(o, func(_, seq uint64) bool { return seq < oldest })
	}
}

// follow looks at the tool uses of what was written last.
func (l *log) follow() {
	if b := l.written; b != nil {
		l.written = nil
		for _, m := range b.tools {
			l.left.note(m)
		}
	}
}

// unended are the intents that have no end so far, as the next segment's header carries them on.
func (l *log) unended() leftover {
	l.follow()
	l.left.shorten()
	return maps.Clone(l.left)
}

// orphans are the ends of the tool uses that an earlier runtime has left without one. What retention has removed is left out, and what
// cannot be read, which the error is about.
func (l *log) orphans(ctx context.Context) (ends []Record, problem error) {
	left := l.unended()
	if len(left) == 0 {
		return nil, nil
	}
	wanted := slices.Sorted(maps.Values(left))
	f := Filter{Kinds: []Kind{ToolIntent}, After: wanted[0] - 1, Before: wanted[len(wanted)-1] + 1}
	for r, err := range (Log{l.dir}).Records(ctx, f) {
		if err != nil {
			problem = cmp.Or(problem, err)
			continue
		}
		if _, found := slices.BinarySearch(wanted, r.Seq); found {
			ends = append(ends, orphan(r))
		}
	}
	return ends, problem
}

func orphan(intent Record) Record {
	detail := map[string]any{"intent_recorded": true, "reason": "its runtime ended, or lost records, before it told of its end", "intent": intent.Seq}
	if intent.Runtime != "" {
		detail["runtime"] = intent.Runtime
	}
	return Record{
		Kind: ToolOrphan, Session: intent.Session, SessionID: intent.SessionID, Generation: intent.Generation, Turn: intent.Turn,
		ToolUseID: intent.ToolUseID, ParentToolUseID: intent.ParentToolUseID, AgentID: intent.AgentID, Tool: intent.Tool, Policy: intent.Policy,
		Detail: detail,
	}
}
