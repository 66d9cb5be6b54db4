package audit

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// maxOpen bounds what the check of invariants remembers of intents without their end. There are as many as tools run at a time.
const maxOpen = 1 << 17

// invariants compares records with each other. What it finds was written so: it is no sign of a change,
// but of a record that is missing for another reason, and counts as a gap.
type invariants struct {
	report   *Report
	sessions map[string]uint64 // those that the writer remembers, and those of the segment
	forgot   bool              // the writer has forgotten some
	open     map[string]uint64 // intents without their end: session and tool use, and the record
	dropped  int               // intents that there was no room for
	spent    map[string]spending
	begun    bool
	key      []byte // room
}

func newInvariants(r *Report) *invariants {
	return &invariants{
		report: r, sessions: make(map[string]uint64), open: make(map[string]uint64),
		spent: make(map[string]spending),
	}
}

func (v *invariants) broken(seq uint64, format string, args ...any) {
	v.report.add(Finding{Class: Gap, Seq: seq, Text: fmt.Sprintf(format, args...)})
}

func (v *invariants) record(head *format.Head, said *facts) {
	if head.Session != "" && head.SessionSeq > 0 {
		last, known := v.sessions[head.Session]
		switch {
		case !known && head.SessionSeq != 1 && v.begun && !v.forgot:
			v.gapInSession(head, 0)
		case known && head.SessionSeq != last+1 && (head.SessionSeq != 1 || !v.forgot):
			v.gapInSession(head, last)
		}
		v.sessions[head.Session] = head.SessionSeq
	}
	if head.Seq == 1 {
		v.begun = true // the log is there from its beginning
	}
	kind := Kind(head.Kind)
	v.tool(kind, head, said)
	v.cost(kind, head, said)
	if kind == ToolDecision && said.decided != "" && said.outcome != "" && said.outcome != said.decided {
		v.broken(head.Seq, "the outcome is %s, the decision %s", said.outcome, said.decided)
	}
}

// segment is told what a segment's header has of sessions: of too many those that were not heard of for longest are forgotten.
func (v *invariants) segment(header map[string]uint64) {
	if len(v.sessions) <= maxSessions {
		return
	}
	v.forgot = true
	maps.DeleteFunc(v.sessions, func(name string, _ uint64) bool {
		_, kept := header[name]
		if !kept {
			delete(v.spent, name)
		}
		return !kept
	})
}

// cost adds up what a session has spent: by its results, and by its ends what a cut turn has cost. What it spent before this
// log began is in the first of its totals. A session that was removed may have a successor of the same name, which has spent nothing.
func (v *invariants) cost(kind Kind, head *format.Head, said *facts) {
	switch kind {
	case SessionStarted:
		if said.begins && head.Session != "" {
			s := v.spent[head.Session]
			s.put(said.id, 0)
			v.spent[head.Session] = s // it is among sessions
		}
		return
	case TurnResult, SessionStopped, SessionCrashed:
	default:
		return
	}
	if head.Session == "" || said.total == 0 {
		return
	}
	s, known := v.spent[head.Session]
	before, same := s.of(said.id)
	if said.again && known && same && math.Abs(before-said.total) <= 1e-6 {
		return
	}
	differs := func(before float64) bool { return math.Abs(before+said.cost-said.total) > 1e-6 }
	// One of another conversation may be another session, whose first start did not come as far as the log.
	if known && differs(before) && (same || differs(0)) {
		v.broken(head.Seq, "session %s: it had spent %.6f USD, this has cost %.6f, and the record says that it has spent %.6f",
			head.Session, before, said.cost, said.total)
	}
	s.put(said.id, said.total)
	v.spent[head.Session] = s // it is among sessions
}

// spending is what a session has spent, by its last two conversations, the newer one first: the end of one that was removed may be
// recorded when another of its name has begun. A session that goes on in another conversation takes along what it has spent.
type spending struct {
	ids    [2]string
	totals [2]float64
}

// of is what was spent in a conversation, or else in the last one: then it is not the same.
func (s *spending) of(id string) (total float64, same bool) {
	if id == s.ids[1] && id != s.ids[0] {
		return s.totals[1], true
	}
	return s.totals[0], id == s.ids[0]
}

func (s *spending) put(id string, total float64) {
	switch id {
	case s.ids[0]:
		s.totals[0] = total
	case s.ids[1]:
		s.totals[1] = total
	default:
		s.ids, s.totals = [2]string{id, s.ids[0]}, [2]float64{total, s.totals[0]}
	}
}

func (v *invariants) gapInSession(head *format.Head, last uint64) {
	v.broken(head.Seq, "session %s: record %d of the session follows record %d", head.Session, head.SessionSeq, last)
}

// tool ties intents to their ends.
func (v *invariants) tool(kind Kind, head *format.Head, said *facts) {
	if len(said.toolUse) == 0 {
		return
	}
	v.key = append(append(append(v.key[:0], head.Session...), 0), said.toolUse...)
	switch kind {
	case ToolIntent:
		if before, twice := v.open[string(v.key)]; twice {
			v.broken(head.Seq, "tool use %s: its intent is in record %d already", said.toolUse, before)
		} else if len(v.open) >= maxOpen {
			v.dropped++
			return
		}
		v.open[string(v.key)] = head.Seq
	case ToolResult, ToolOrphan:
		if _, ok := v.open[string(v.key)]; !ok && v.begun && v.dropped == 0 && said.recorded == yes {
			v.broken(head.Seq, "tool use %s: it has no intent", said.toolUse)
		}
		// What the CLI refuses before it asks the hook (a path that a rule denies, a tool that is not there, an input that does not
		// fit) never ran, and says so.
		if said.recorded == no && said.outcome == OK {
			v.broken(head.Seq, "tool use %s: it ran without an intent", said.toolUse)
		}
		delete(v.open, string(v.key))
	default: // a decision may stand anywhere
	}
}

// end reports what is still open.
func (v *invariants) end() {
	open := slices.SortedFunc(maps.Keys(v.open), func(a, b string) int { return cmp.Compare(v.open[a], v.open[b]) })
	for _, key := range open {
		v.broken(v.open[key], "tool use %s: its intent has no result, denial or orphan", key[indexNUL(key)+1:])
	}
	if v.dropped > 0 {
		v.report.add(Finding{Class: Note, Text: fmt.Sprintf("%d intents were not followed to their ends: more than %d had none at a time", v.dropped, maxOpen)})
	}
}

func indexNUL(s string) int {
	for i := range len(s) {
		if s[i] == 0 {
			return i
		}
	}
	return -1
}
