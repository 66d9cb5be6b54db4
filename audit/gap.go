package audit

import (
	"maps"
	"sync"
	"time"
)

// Why records are lost: the keys of a gap's reasons.
const (
	lossQueueFull = "queue full"
	lossDown      = "log not running"
	lossFailed    = "write failed"
	lossInvalid   = "invalid record"
	lossLate      = "no time left"
	lossCrowded   = "too many held back"
)

// kindInvalid counts records whose kind is none.
const kindInvalid Kind = "invalid"

// ledger counts losses until they are in the log. It has a lock since whoever posts a record counts its
// loss, also while there is no audit actor.
type ledger struct {
	mu    sync.Mutex
	total uint64 // since it was made
	open  *gap   // not in the log yet; nil if nothing
}

// gap is what one log.gap record says.
type gap struct {
	count       uint64
	kinds       map[Kind]uint64
	reasons     map[string]uint64
	first, last time.Time
}

func (l *ledger) lose(kind Kind, at time.Time, reason string) {
	if _, known := kinds[kind]; !known {
		kind = kindInvalid
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total++
	l.merge(&gap{1, map[Kind]uint64{kind: 1}, map[string]uint64{reason: 1}, at, at})
}

// merge adds a gap to the open one. The caller holds the lock.
func (l *ledger) merge(g *gap) {
	if l.open == nil {
		l.open = g
		return
	}
	l.open.count += g.count
	for kind, n := range g.kinds {
		l.open.kinds[kind] += n
	}
	for reason, n := range g.reasons {
		l.open.reasons[reason] += n
	}
	if g.first.Before(l.open.first) {
		l.open.first = g.first
	}
	if g.last.After(l.open.last) {
		l.open.last = g.last
	}
}

// take hands over the open gap, nil if there is none. Whoever could not write it puts it back.
func (l *ledger) take() *gap {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.open
	l.open = nil
	return g
}

func (l *ledger) putBack(g *gap) {
	if g == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.merge(g)
}

func (l *ledger) pending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open != nil
}

func (l *ledger) count() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

func (g *gap) record() Record {
	return Record{Kind: LogGap, Detail: map[string]any{
		"count": g.count, "kinds": maps.Clone(g.kinds), "reasons": maps.Clone(g.reasons),
		"first": g.first.UTC().Format(time.RFC3339Nano), "last": g.last.UTC().Format(time.RFC3339Nano),
	}}
}
