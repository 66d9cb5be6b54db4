package session

// ledger keeps what a session has spent over all its processes, in US dollars.
//
// A CLI process reports a running total. A process resumed after a clean end goes on from the total of
// the one before; after a SIGKILL it goes on from what the last clean end saved, or from zero; /clear
// starts it at zero. So differences are added up, never totals, and the first total of a process is
// compared with what it must have started from.
type ledger struct {
	Spent float64 `json:"spent_usd"`   // in the session's life
	Last  float64 `json:"last_total"`  // the total that the running process last reported, or started from
	Saved float64 `json:"saved_total"` // the total at the last clean end, from which a resumed process goes on
}

// maxTotal is more than anybody spends.
const maxTotal = 1e9

// begin is called when a process starts. resumed says that it continues the conversation.
func (l *ledger) begin(resumed bool) {
	if resumed {
		l.Last = l.Saved
	} else {
		l.Last, l.Saved = 0, 0
	}
}

// report takes the total of a result and returns what was spent since the one before.
//
// A total that no session can have spent is taken for none: it would give money back, or add up to what
// cannot be written to disk.
func (l *ledger) report(total float64) float64 {
	if !(total >= 0 && total <= maxTotal) {
		return 0
	}
	delta := total - l.Last
	if delta < 0 { // it began anew
		delta = total
	}
	l.Last = total
	l.Spent += delta
	return delta
}

// end is called when a process has ended. clean says that it could save its total.
func (l *ledger) end(clean bool) {
	if clean {
		l.Saved = l.Last
	}
}
