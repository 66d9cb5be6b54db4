package audit

import "github.com/understudy-run/understudy/audit/internal/format"

// facts are what the invariants want of a record beside its head. They are valid as long as its payload.
type facts struct {
	toolUse  []byte // of intents and their ends
	recorded tri    // of ends: what they say of their intent
	outcome  Outcome
	decided  Outcome // of decisions
	again    bool    // of what costs: it may have been said before
	begins   bool    // of a session's start: it is the first of a session, which has spent nothing
	id       string  // the conversation's, of that and of what costs
	// cost and total are those of a turn, or of what was cut.
	cost, total float64
	err         error // it is no record
}

// tri is a bool that may not be there.
type tri int8

const (
	unsaid tri = iota
	no
	yes
)

// factReader reads them, one after the other.
type factReader struct {
	view    view
	decoder decoder
}

// facts reads those of a record. They are no more than what its kind is asked for.
func (f *factReader) facts(payload []byte, head format.Head) facts {
	v := &f.view
	if head.V > Version || !v.parse(payload) || !v.typed(&f.decoder) {
		r, err := f.decoder.record(payload)
		if err != nil {
			return facts{err: err}
		}
		return factsOf(&r)
	}
	said, ok := facts{}, true
	switch Kind(head.Kind) {
	case ToolIntent, ToolResult, ToolOrphan:
		if raw := v[fieldToolUseID]; raw != nil {
			var plain bool
			if said.toolUse, plain = plainString(raw); !plain {
				said.toolUse = []byte(stringOf(raw))
			}
		}
		said.outcome = outcomeOf(v[fieldOutcome])
		late := false
		for name, value := range members(v[fieldDetail]) {
			switch string(name) {
			case "intent_recorded":
				said.recorded = unsaid
				switch value[0] {
				case 't':
					said.recorded = yes
				case 'f':
					said.recorded = no
				}
			case "late":
				late = value[0] == 't'
			}
		}
		if late && said.recorded == yes {
			said.recorded = unsaid // its intent has an end, and is not open any more
		}
	case ToolDecision:
		said.outcome = outcomeOf(v[fieldOutcome])
		for name, value := range members(v[fieldDecision]) {
			if string(name) == "outcome" {
				said.decided = outcomeOf(value)
			}
		}
	case SessionStarted:
		said.id, said.begins = stringOf(v[fieldSessionID]), string(v[fieldGeneration]) == "1"
	case TurnResult, SessionStopped, SessionCrashed:
		said.id = stringOf(v[fieldSessionID])
		said.again = Kind(head.Kind) == SessionCrashed && saysRecovered(v[fieldDetail])
		v.amount(fieldCostUSD, &said.cost, &ok)
		v.amount(fieldTotalCostUSD, &said.total, &ok)
	}
	return said
}

// factsOf are those of a record that was decoded.
func factsOf(r *Record) facts {
	said := facts{
		toolUse: []byte(r.ToolUseID), outcome: r.Outcome, cost: r.CostUSD, total: r.TotalCostUSD,
		id: r.SessionID, begins: r.Kind == SessionStarted && r.Generation == 1,
	}
	said.again = r.Kind == SessionCrashed && r.Detail["recovered"] == true
	if r.Decision != nil {
		said.decided = r.Decision.Outcome
	}
	switch recorded := r.Detail["intent_recorded"]; {
	case recorded == true && r.Detail["late"] != true:
		said.recorded = yes
	case recorded == false:
		said.recorded = no
	}
	return said
}

// saysRecovered reports whether a detail is that of an end which the next runtime has recorded: it does so again if it is killed meanwhile.
func saysRecovered(detail []byte) bool {
	for name, value := range members(detail) {
		if string(name) == "recovered" {
			return value[0] == 't'
		}
	}
	return false
}

func outcomeOf(raw []byte) Outcome {
	plain, _ := plainString(raw)
	for _, known := range Outcomes {
		if string(plain) == string(known) {
			return known
		}
	}
	return Outcome(stringOf(raw))
}
