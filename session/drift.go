package session

import (
	"maps"

	"github.com/understudy-run/understudy/session/protocol"
)

// Drift counts what a CLI says that this program does not know, in the session's life: how far it has moved on. Nothing
// of it is lost or an error.
type Drift struct {
	Frames   map[string]uint64 // of unknown types, by kind, such as system/new_thing
	Fields   map[string]uint64 // without a typed field, by the frame's kind and the path, such as "assistant message.speed"
	Requests map[string]uint64 // control requests that one side asked and the other does not know, by subtype
}

// maxDrift bounds each of the counters: what is beyond it is counted together.
const maxDrift = 200

const otherDrift = "(others)"

func (d *Drift) count(counter *map[string]uint64, what string) {
	if *counter == nil {
		*counter = make(map[string]uint64)
	}
	if _, known := (*counter)[what]; !known && len(*counter) >= maxDrift {
		what = otherDrift
	}
	(*counter)[what]++
}

// Drift returns the counts.
func (s *Session) Drift() Drift {
	s.desk.mu.Lock()
	defer s.desk.mu.Unlock()
	d := s.desk.drift
	return Drift{maps.Clone(d.Frames), maps.Clone(d.Fields), maps.Clone(d.Requests)}
}

// maxFieldLooks is how many frames of a kind are looked at for which fields they are: the first ones tell.
const maxFieldLooks = 100

// driftOf counts a frame, and what of it is not known.
func (d *desk) driftOf(m protocol.Message) {
	if _, unknown := m.(*protocol.Unknown); !unknown && !protocol.HasUnknownFields(m) {
		return
	}
	kind := cut(m.Kind(), 80)
	if !d.look(m, kind) {
		return
	}
	fields := protocol.UnknownFields(m) // it reads the frame once more
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range fields {
		d.drift.count(&d.drift.Fields, kind+" "+cut(f, 120))
	}
}

// look counts a frame of an unknown type, and says of one with unknown fields whether to look at them.
func (d *desk) look(m protocol.Message, kind string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, unknown := m.(*protocol.Unknown); unknown {
		d.drift.count(&d.drift.Frames, kind)
		return false
	}
	if d.looks == nil {
		d.looks = make(map[string]int)
	}
	if len(d.looks) < maxDrift || d.looks[kind] > 0 {
		d.looks[kind]++
	}
	return d.looks[kind] > 0 && d.looks[kind] <= maxFieldLooks
}

// driftRequest counts a control request that was not understood.
func (d *desk) driftRequest(subtype string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drift.count(&d.drift.Requests, cut(subtype, 80))
}
