package debug

import (
	"maps"
	"sync"
	"time"
)

// load turns the CPU time that processes have used so far into what they use now. It remembers what it was asked
// for, and only that: while nobody looks there is nothing to do.
type load struct {
	mu   sync.Mutex
	last map[int]cpuSample
}

type cpuSample struct {
	at      time.Time
	seconds float64
	percent float64 // between this sample and the one before; negative: not known yet
}

const (
	loadEvery  = time.Second     // samples that are closer to each other say little
	loadForget = 2 * time.Minute // what nobody has asked for since
)

// percent is how much of a core a process has used of late, or less than 0 if that is not known yet.
func (l *load) percent(pid int, seconds float64, now time.Time) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		l.last = make(map[int]cpuSample)
	}
	before, known := l.last[pid]
	passed := now.Sub(before.at)
	switch {
	case !known, seconds < before.seconds, passed > loadForget: // another process by now, most likely
		maps.DeleteFunc(l.last, func(_ int, s cpuSample) bool { return now.Sub(s.at) > loadForget })
		l.last[pid] = cpuSample{now, seconds, -1}
	case passed >= loadEvery:
		l.last[pid] = cpuSample{now, seconds, 100 * (seconds - before.seconds) / passed.Seconds()}
	}
	return l.last[pid].percent
}

// measure adds to sessions what their processes use.
func (h *handler) measure(sessions []*Node) {
	var pids []int
	for _, n := range sessions {
		if n.SessionFields != nil && n.PID != 0 {
			pids = append(pids, n.PID)
		}
	}
	if len(pids) == 0 {
		return
	}
	found := h.backend.Usage(pids)
	for _, n := range sessions {
		if n.SessionFields == nil {
			continue
		}
		if u, ok := found[n.PID]; ok {
			fields := *n.SessionFields // the tree may be somebody else's too
			fields.Usage = &u
			n.SessionFields = &fields
		}
	}
}

// sessionsIn are the sessions at or below a node, for changing them.
func sessionsIn(n *Node) []*Node {
	var found []*Node
	if n.Kind == KindSession {
		found = append(found, n)
	}
	for i := range n.Children {
		found = append(found, sessionsIn(&n.Children[i])...)
	}
	return found
}
