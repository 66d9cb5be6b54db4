package process

import (
	"errors"
	"strings"
	"time"
)

// SweepReport is what a sweep found.
type SweepReport struct {
	Killed []Swept // what it sent SIGKILL to and saw end, in the order found
	Left   []Swept // what was still there at its deadline
	// InGroups is how many it ended beyond those because they were in a session's control group.
	InGroups int
	Rounds   int           // how often it looked; the last found nothing, unless Left says otherwise
	Took     time.Duration // how long it took
	Err      error         // why it did not finish
}

// Swept is one process of a sweep.
type Swept struct {
	PID     int
	Command string // the kernel's short name of it, never its arguments
}

const sweepTimeout = 5 * time.Second

// Sweep kills every process that has UNDERSTUDY_SESSION=marker in the environment it was started with, and the
// descendants of those, until none is found twice in a row or five seconds have passed. It is safe against reused
// process ids, and never touches this process, its ancestors or process 1. Processes of other users can't be
// looked into and are left alone.
func Sweep(marker string) SweepReport {
	if marker == "" {
		return SweepReport{Err: errors.New("sweep: the marker is empty")}
	}
	return sweepAll(func(m string) bool { return m == marker })
}

// SweepPrefix is Sweep for all markers that begin with prefix, such as "<runtime-id>/" for what a runtime that was
// killed has left. Let it end at a separator: "rt-1" is a prefix of "rt-10" as well.
func SweepPrefix(prefix string) SweepReport {
	if prefix == "" {
		return SweepReport{Err: errors.New("sweep: the prefix is empty, which would end the sessions of every runtime")}
	}
	return sweepAll(func(m string) bool { return strings.HasPrefix(m, prefix) })
}

// sweepAll sweeps by marker, and then what is in the control groups of those markers, whatever it has done to its environment.
func sweepAll(match func(marker string) bool) SweepReport {
	began := time.Now()
	takeStrays(match) // nothing of these markers is looked for afterwards
	r := sweep(match, nil, sweepTimeout)
	inGroups, err := sweepGroups(match, began.Add(2*sweepTimeout))
	r.InGroups, r.Err, r.Took = inGroups, errors.Join(r.Err, err), time.Since(began)
	return r
}

// sweep ends what is left of p's tree.
func (p *Process) sweep(timeout time.Duration) SweepReport {
	p.mu.Lock()
	seen := p.seen.clone()
	p.mu.Unlock()
	return sweep(func(m string) bool { return m == p.marker }, &seen, timeout)
}
