package sessiontest

import (
	"iter"
	"runtime"
	"slices"
)

// strand is work that goes on beside the main conversation: a subagent, or the tool use that waits for it. It runs in a
// coroutine: at any time one of them runs, or the main conversation does, and only where it waits does it give way. So all of
// them share the state of the simulation as if they were one goroutine.
type strand struct {
	turn    *turn       // what it works on: the simulation's turn while it runs
	so      func() bool // what it waits for
	next    func() (struct{}, bool)
	stop    func()
	yield   func(struct{}) bool
	running bool // or one that it has resumed is
	ended   bool
}

// fork has something go on beside what is at work. It begins when that waits for the first time.
func (s *simulation) fork(t *turn, work func()) *strand {
	st := &strand{turn: t, so: func() bool { return true }}
	st.next, st.stop = iter.Pull(func(yield func(struct{}) bool) {
		st.yield = yield
		work()
	})
	s.strands = append(s.strands, st)
	return st
}

// pause gives way until something is so.
func (st *strand) pause(so func() bool) {
	st.so = so
	if !st.yield(struct{}{}) {
		runtime.Goexit() // the process has ended meanwhile
	}
}

// wake lets every strand go on that can, as far as it can. It reports whether there was one.
func (s *simulation) wake() (any bool) {
	for again := true; again; any = any || again {
		again = false
		for i := 0; i < len(s.strands); i++ {
			if st := s.strands[i]; !st.running && (st.turn.interrupted || st.so()) {
				s.resume(st)
				again = true
			}
		}
	}
	return any
}

func (s *simulation) resume(st *strand) {
	before, turn := s.strand, s.turn
	s.strand, s.turn, st.running = st, st.turn, true
	_, more := st.next()
	s.strand, s.turn, st.running = before, turn, false
	if !more {
		st.ended = true
		s.strands = slices.DeleteFunc(s.strands, func(other *strand) bool { return other == st })
	}
}

// as does something as part of another turn.
func (s *simulation) as(t *turn, do func()) {
	before := s.turn
	s.turn, s.strand.turn = t, t
	do()
	s.turn, s.strand.turn = before, before
}

// abandonStrands ends what is left of them when the simulation has ended. A strand ends by runtime.Goexit, which takes whoever
// ends it along: that is a goroutine for it alone.
func (s *simulation) abandonStrands() {
	for _, st := range s.strands {
		gone := make(chan struct{})
		go func() { // ends at once
			defer close(gone)
			st.stop()
		}()
		<-gone
	}
}
