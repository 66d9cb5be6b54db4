package remote

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/understudy-run/understudy/audit"
)

// toolEvent is what the CLI reports of a tool use.
type toolEvent struct {
	session string // the conversation's id
	id      string // the tool use
	tool    string
	name    string // tool_decision or tool_result
	outcome string // accept or reject; true or false
}

// difference is what does not fit.
type difference struct {
	session, name string // the conversation's id, and the session's name as far as the log knows it
	id, tool      string
	text          string
	events        []string // what the CLI has reported
	records       []uint64 // what the log has
}

// maxUses bounds how many tool uses are open at a time: those that are longest without news are given up, uncounted. It also
// bounds how many of the settled ones are remembered.
const maxUses = 10_000

// patience is for how many graces a settled use is remembered: a CLI that got no answer reports again.
const patience = 20

// evidence is what both sides say of one tool use.
type evidence struct {
	session, name, id, tool string
	generation              int
	last                    time.Time

	events            []string
	accepted, refused bool // the CLI's word
	ended             bool // it reported a result
	succeeded         bool

	records  []uint64
	intended bool // the log's word
	denied   bool
	over     bool // it has a result
	failed   bool
	orphan   bool
	killed   bool // the process ended before it could report: what the CLI sends, it sends in batches
}

// book compares. It knows no clock and does nothing; whoever has it feeds it, and asks it from time to time.
type book struct {
	grace   time.Duration // how long the other side may take
	uses    map[string]*evidence
	settled map[string]time.Time // and when: what comes again, or late, is not another use
	looked  time.Time            // for settled ones to be forgotten
	matched uint64
	seq     uint64    // of the last record: a sink may be given records more than once
	since   time.Time // what the log has from before is not compared
}

func newBook(grace time.Duration, since time.Time) *book {
	return &book{grace: grace, uses: make(map[string]*evidence), settled: make(map[string]time.Time), since: since}
}

// use is what is known of a tool use; nil if it was settled already.
func (b *book) use(session, id string, now time.Time) *evidence {
	key := session + "\x00" + id
	if _, settled := b.settled[key]; settled {
		return nil
	}
	e := b.uses[key]
	if e == nil {
		if len(b.uses) >= maxUses {
			b.forget()
		}
		e = &evidence{session: session, id: id}
		b.uses[key] = e
	}
	e.last = now
	return e
}

// forget gives up the half of the uses that is longest without news.
func (b *book) forget() {
	keys := make([]string, 0, len(b.uses))
	for key := range b.uses {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, c string) int { return b.uses[a].last.Compare(b.uses[c].last) })
	for _, key := range keys[:len(keys)/2] {
		delete(b.uses, key)
	}
}

// event takes the CLI's word.
func (b *book) event(t toolEvent, now time.Time) {
	if t.id == "" || t.session == "" {
		return
	}
	e := b.use(t.session, t.id, now)
	if e == nil {
		return
	}
	e.tool = cmp.Or(e.tool, t.tool)
	e.events = append(e.events, t.name+" "+t.outcome)
	switch {
	case t.name == "tool_decision" && t.outcome == "accept":
		e.accepted = true
	case t.name == "tool_decision":
		e.refused = true
	case t.name == "tool_result":
		e.ended, e.succeeded = true, t.outcome == "true"
	}
}

// record takes the log's word.
func (b *book) record(r audit.Record, now time.Time) {
	if r.Seq <= b.seq {
		return
	}
	b.seq = r.Seq
	if r.Time.Before(b.since) || r.SessionID == "" {
		return
	}
	switch r.Kind {
	case audit.SessionCrashed:
		for _, e := range b.uses {
			if e.name == r.Session && e.generation == r.Generation {
				e.killed, e.last = true, now
			}
		}
		return
	case audit.ToolIntent, audit.ToolDecision, audit.ToolResult, audit.ToolOrphan:
	default:
		return
	}
	if r.ToolUseID == "" {
		return
	}
	e := b.use(r.SessionID, r.ToolUseID, now)
	if e == nil {
		return
	}
	e.name, e.tool, e.generation = r.Session, cmp.Or(r.Tool, e.tool), r.Generation
	e.records = append(e.records, r.Seq)
	switch r.Kind {
	case audit.ToolIntent:
		e.intended = true
	case audit.ToolDecision:
		e.denied = r.Outcome == audit.Deny
	case audit.ToolOrphan:
		e.over, e.orphan = true, true
	default:
		e.over = true
		e.denied = e.denied || r.Decision != nil && r.Decision.Outcome == audit.Deny
		e.failed = r.IsError != nil && *r.IsError
	}
}

// settle compares what has had its time, and forgets it.
func (b *book) settle(now time.Time) (found []difference) {
	for key, e := range b.uses {
		complete := e.intended && e.over && (e.refused || e.accepted && e.ended)
		quiet := now.Sub(e.last) >= b.grace
		if !complete && !quiet {
			continue
		}
		if !complete && e.intended && !e.over && !e.ended && !e.refused {
			continue // it runs, as far as both say
		}
		delete(b.uses, key)
		if len(b.settled) >= maxUses {
			clear(b.settled)
		}
		b.settled[key] = now
		text := e.judge()
		if text == "" {
			b.matched++
			continue
		}
		found = append(found, difference{e.session, e.name, e.id, e.tool, text, e.events, e.records})
	}
	b.forgetSettled(now)
	slices.SortFunc(found, func(a, c difference) int { return cmp.Or(cmp.Compare(a.session, c.session), cmp.Compare(a.id, c.id)) })
	return found
}

// forgetSettled forgets what was settled long ago. It looks once a grace, since there may be many.
func (b *book) forgetSettled(now time.Time) {
	if now.Sub(b.looked) < b.grace {
		return
	}
	b.looked = now
	maps.DeleteFunc(b.settled, func(_ string, at time.Time) bool { return now.Sub(at) >= patience*b.grace })
}

// judge says what does not fit, empty if all does.
func (e *evidence) judge() string {
	reported := e.accepted || e.refused || e.ended
	switch {
	case reported && !e.intended:
		return "the CLI reports a tool use that the log has no intent of"
	case !e.intended, e.killed: // it never came to be; or the CLI could not report it any more
		return ""
	case e.accepted && e.denied && !e.refused && e.ended:
		return "the CLI ran a tool that the log has as denied"
	case e.over && !e.orphan && !e.denied && e.refused && !e.accepted:
		return "the log has a result of a tool that the CLI reports as refused"
	case e.over && !e.orphan && !e.denied && !reported:
		return "the log has a tool use that the CLI does not report"
	case e.ended && !e.over:
		return "the CLI reports the end of a tool use, and the log has none"
	case e.ended && e.over && !e.orphan && e.succeeded && e.failed:
		return "the CLI reports success, the log an error"
	case e.ended && e.over && !e.orphan && !e.succeeded && !e.failed:
		return "the CLI reports an error, the log success"
	default:
		return ""
	}
}
