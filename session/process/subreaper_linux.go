package process

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// adoptedEvery is how often the adopted orphans are looked at while a CLI runs.
const adoptedEvery = 500 * time.Millisecond

var subreaper struct {
	mu      sync.Mutex
	on      bool
	running bool
}

// BecomeSubreaper makes this process the parent of its orphaned descendants, so that a tool that has left its
// session, cleared its environment and lost its parents is still found. While CLIs run, a goroutine looks at the
// process table twice a second, notes who descends from which CLI, and reaps adopted orphans that have ended; the
// sweep at the end of a CLI kills the adopted orphans that are known to come from it.
//
// It is a property of the whole program, which other code in it may not expect: it is for a program whose purpose
// is to run sessions, and is never done unasked. Children that the program starts by other means are neither
// killed nor reaped, nor are orphans of theirs: only what descends from a CLI, by marker, by having been seen below it
// or by the session (in the kernel's sense) it is in. What leaves its
// session, clears its environment and loses its parents within one look before a crash of the CLI goes unnoticed; a stop looks
// before each step. There is no way back.
func BecomeSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become child subreaper: %w", err)
	}
	subreaper.mu.Lock()
	subreaper.on = true
	subreaper.mu.Unlock()
	if len(liveProcesses()) > 0 {
		watchAdopted()
	}
	return nil
}

// SweepOrphans kills what has become a child of this process by being an orphan, whosever it was, with all that
// descends from it. It is the last thing for a program that has called BecomeSubreaper and is about to end: a
// process that a tool has started and that has left its session, cleared its environment and lost its parents
// before anybody looked is in no CLI's tree, but it is a child of this process. Nothing else can tell it from a
// child that the program has started by other means than Start: those are killed as well. CLIs that run are left
// alone. Without BecomeSubreaper it does nothing.
func SweepOrphans() SweepReport {
	began := time.Now()
	var total SweepReport
	for subreaperOn() {
		t, err := readTable()
		if err != nil {
			total.Err = fmt.Errorf("sweep: %w", err)
			break
		}
		clis := map[int]bool{}
		for _, p := range liveProcesses() {
			clis[p.child.pid] = true
		}
		orphans := descendants{procs: map[procID]bool{}}
		for pid, s := range t {
			if s.ppid == os.Getpid() && !clis[pid] && !s.zombie() {
				orphans.procs[s.procID] = true
			}
		}
		left := sweepTimeout - time.Since(began)
		if len(orphans.procs) == 0 || left <= 0 {
			break
		}
		// What these leave behind when they are killed comes to this process, and is found in the next round.
		r := sweep(func(string) bool { return false }, &orphans, left)
		total.Killed = append(total.Killed, r.Killed...)
		total.Left, total.Err = r.Left, r.Err
		total.Rounds += r.Rounds
	}
	total.Took = time.Since(began)
	return total
}

func subreaperOn() bool {
	subreaper.mu.Lock()
	defer subreaper.mu.Unlock()
	return subreaper.on
}

// settleAdopted reaps what p, which is about to be released, leaves as zombies of this process.
func (p *Process) settleAdopted() {
	if subreaperOn() && !p.sealed() {
		lookAtAdopted()
	}
}

// watched says whether the process table has to be looked at while p runs. subreaper.mu is held.
func (p *Process) watched() bool { return subreaper.on && !p.sealed() || p.ledger() != nil }

// watchAdopted starts the watching goroutine where it is wanted and not there yet.
func watchAdopted() {
	subreaper.mu.Lock()
	defer subreaper.mu.Unlock()
	if subreaper.running || !slices.ContainsFunc(liveProcesses(), (*Process).watched) {
		return
	}
	subreaper.running = true
	// Ends when no CLI is left that is to be watched.
	go func() {
		tick := time.NewTicker(adoptedEvery)
		defer tick.Stop()
		for {
			<-tick.C
			lookAtAdopted()
			subreaper.mu.Lock()
			if !slices.ContainsFunc(liveProcesses(), (*Process).watched) {
				subreaper.running = false
				subreaper.mu.Unlock()
				return
			}
			subreaper.mu.Unlock()
		}
	}()
}

func lookAtAdopted() {
	t, err := readTable()
	if err != nil {
		return // the next round tries again
	}
	procs := liveProcesses()
	children := map[int]bool{}
	for _, p := range procs {
		children[p.child.pid] = true
	}
	procs = slices.DeleteFunc(procs, (*Process).sealed)
	for _, p := range procs {
		p.mu.Lock()
		p.recordFrom(t)
		seen := p.seen.clone()
		p.mu.Unlock()
		if l := p.ledger(); l != nil {
			l.note(p, seen, false)
		}
	}
	if !subreaperOn() {
		return
	}
	self := os.Getpid()
	for pid, s := range t {
		if s.ppid != self || children[pid] {
			continue
		}
		for _, p := range procs {
			p.mu.Lock()
			known := p.seen.procs[s.procID] || p.seen.ownedBy(s, t)
			if !known && !s.zombie() {
				m, ok := markerOf(pid)
				known = ok && m == p.marker
			}
			if known {
				if p.seen.procs == nil {
					p.seen.procs = map[procID]bool{}
				}
				p.seen.procs[s.procID] = true
			}
			p.mu.Unlock()
			if known && s.zombie() {
				reapZombie(s.procID)
			}
			if known {
				break
			}
		}
	}
}
