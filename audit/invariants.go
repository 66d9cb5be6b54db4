package audit

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// maxOpen bounds what the check of invariants remembers.
const maxOpen = 1 << 20

// invariants compares records with each other. What it finds was written so: it is no sign of a change,
// but of a record that is missing for another reason, and counts as a gap.
type invariants struct {
	report   *Report
	sessions map[string]uint64
	open     map[string]uint64 // intents without their end: session and tool use, and the record
	spent    map[string]float64
	begun    bool
}

func newInvariants(r *Report) *invariants {
	return &invariants{
		report: r, sessions: make(map[string]uint64), open: make(map[string]uint64),
		spent: make(map[string]float64),
	}
}

func (v *invariants) broken(seq uint64, format string, args ...any) {
	v.report.add(Finding{Class: Gap, Seq: seq, Text: fmt.Sprintf(format, args...)})
}

func (v *invariants) record(r *Record) {
	if r.Session != "" && r.SessionSeq > 0 {
		last, known := v.sessions[r.Session]
		switch {
		case !known && r.SessionSeq != 1 && v.begun && len(v.sessions) < maxSessions:
			v.gapInSession(r, 0)
		case known && r.SessionSeq != last+1 && (r.SessionSeq != 1 || len(v.sessions) <= maxSessions):
			v.gapInSession(r, last)
		}
		v.sessions[r.Session] = r.SessionSeq
	}
	if r.Seq == 1 {
		v.begun = true // the log is there from its beginning
	}
	v.tool(r)
	v.cost(r)
	if r.Decision != nil && r.Outcome != "" && r.Kind == ToolDecision && r.Outcome != r.Decision.Outcome {
		v.broken(r.Seq, "the outcome is %s, the decision %s", r.Outcome, r.Decision.Outcome)
	}
}

// cost adds up what a session has spent: by its results, and by its ends what a cut turn has cost. What it spent before this
// log began is in the first of its totals.
func (v *invariants) cost(r *Record) {
	switch r.Kind {
	case TurnResult, SessionStopped, SessionCrashed:
	default:
		return
	}
	if r.Session == "" || r.TotalCostUSD == 0 {
		return
	}
	before, known := v.spent[r.Session]
	if known && math.Abs(before+r.CostUSD-r.TotalCostUSD) > 1e-6 {
		v.broken(r.Seq, "session %s: it had spent %.6f USD, this has cost %.6f, and the record says that it has spent %.6f",
			r.Session, before, r.CostUSD, r.TotalCostUSD)
	}
	if known || len(v.spent) < maxOpen {
		v.spent[r.Session] = r.TotalCostUSD
	}
}

func (v *invariants) gapInSession(r *Record, last uint64) {
	v.broken(r.Seq, "session %s: record %d of the session follows record %d", r.Session, r.SessionSeq, last)
}

// tool ties intents to their ends.
func (v *invariants) tool(r *Record) {
	if r.ToolUseID == "" {
		return
	}
	key := r.Session + "\x00" + r.ToolUseID
	switch r.Kind {
	case ToolIntent:
		if before, twice := v.open[key]; twice {
			v.broken(r.Seq, "tool use %s: its intent is in record %d already", r.ToolUseID, before)
		}
		if len(v.open) < maxOpen {
			v.open[key] = r.Seq
		}
	case ToolResult, ToolOrphan:
		if _, ok := v.open[key]; !ok && v.begun && r.Detail["intent_recorded"] == true {
			v.broken(r.Seq, "tool use %s: it has no intent", r.ToolUseID)
		}
		// What the CLI refuses before it asks the hook (a path that a rule denies, a tool that is not there, an input that does not
		// fit) never ran, and says so.
		if r.Detail["intent_recorded"] == false && r.Outcome == OK {
			v.broken(r.Seq, "tool use %s: it ran without an intent", r.ToolUseID)
		}
		delete(v.open, key)
	default: // a decision may stand anywhere
	}
}

// end reports what is still open.
func (v *invariants) end() {
	open := slices.SortedFunc(maps.Keys(v.open), func(a, b string) int { return int(v.open[a]) - int(v.open[b]) })
	for _, key := range open {
		v.broken(v.open[key], "tool use %s: its intent has no result, denial or orphan", key[indexNUL(key)+1:])
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
