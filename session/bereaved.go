package session

import (
	"github.com/understudy-run/understudy/audit"
)

// bereaved is for the end of an actor that has not seen that of its process: it was killed, or has panicked, and the process goes
// with it. What ran has its end in the audit log, and what the turn had cost is counted. The actor has ended, and
// the next one is not there yet.
func (l *loop) bereaved() {
	s := l.session
	if l.process == nil || s.spec.waiting {
		return
	}
	before := l.record.Ledger.Spent
	cost := l.record.Ledger.charge(l.record.Ledger.used(&l.tally)) // no result will have it
	l.desk.update(func(r *record, info *Info) { r.Ledger, info.CostUSD = l.record.Ledger, l.record.Ledger.Spent })
	s.spent(before, l.record.Ledger.Spent)
	l.orphanTools()
	l.tellTurnCut(outcomeCrashed)
	if cost > 0 || l.ready { // else the start that was given up says so
		l.audit(audit.Record{
			Kind: audit.SessionCrashed, Outcome: audit.Killed, CostUSD: cost, TotalCostUSD: l.record.Ledger.Spent,
			Exit: &audit.Exit{Reason: "the session's actor was ended, and its process with it", Code: -1},
		})
	}
	if cost > 0 {
		s.aside()
	}
}
