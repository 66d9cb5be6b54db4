package process

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// descendants are the processes below a CLI, as last seen, and the sessions (in the kernel's sense) that
// were begun there. The kernel forgets whose child an orphan was; this remembers.
type descendants struct {
	procs    map[procID]bool
	sessions map[int]procID // by session id: its leader, which may be gone
	sealed   bool           // the kernel has ended them
	since    uint64         // when the CLI was born: what is older was not started by it. 0: not known
}

func (d descendants) clone() descendants {
	return descendants{procs: maps.Clone(d.procs), sessions: maps.Clone(d.sessions), since: d.since, sealed: d.sealed}
}

// maxDescendants bounds what is remembered of one tree. What is beyond it is found by its marker.
const maxDescendants = 4096

// record notes the descendants that p has now.
func (p *Process) record() {
	if p.sealed() {
		return
	}
	t, err := sharedTable()
	if err != nil {
		return // the sweep will say so
	}
	p.mu.Lock()
	p.recordFrom(t)
	seen := p.seen.clone()
	p.mu.Unlock()
	if l := p.ledger(); l != nil {
		l.note(p, seen, false)
	}
}

// noteBirth notes how old a descendant can be at most.
func (p *Process) noteBirth() {
	p.seen.sealed = p.sealed()
	if s, ok := readStat(p.child.pid); ok { // it is not reaped yet
		p.seen.since = s.start
	}
}

// recordFrom brings p.seen up to date; p.mu is held.
func (p *Process) recordFrom(t procTable) {
	found := map[procID]bool{}
	for id := range p.seen.procs {
		if t[id.pid].procID == id { // still there, wherever it hangs in the tree now
			found[id] = true
		}
	}
	if !p.reaped {
		if self, ok := t[p.child.pid]; ok {
			found[self.procID] = true
		}
	}
	t.below(found)
	maps.DeleteFunc(found, func(id procID, _ bool) bool { return id.pid == p.child.pid && !p.reaped })
	if len(found) > maxDescendants {
		return
	}
	sessions := map[int]procID{}
	for id := range found {
		if t[id.pid].sid == id.pid {
			sessions[id.pid] = id
		}
	}
	// A session outlives its leader as long as it has members, and its id is not reused before.
	inUse := map[int]bool{}
	for _, s := range t {
		inUse[s.sid] = true
	}
	for sid, leader := range p.seen.sessions {
		if inUse[sid] {
			sessions[sid] = leader
		}
	}
	p.seen.procs, p.seen.sessions = found, sessions
}

// signalInside sends to what runs in a sandbox below the child: the sandbox's own program would not pass it on, and die.
// p.mu is held.
func (p *Process) signalInside(sig unix.Signal) {
	t, err := readTable()
	if err != nil {
		return // the next step of the ladder is harder
	}
	p.recordFrom(t)
	for id := range p.seen.procs {
		s := t[id.pid]
		if m, ok := markerOf(id.pid); !ok || m != p.marker || s.comm == "bwrap" || s.procID != id {
			continue
		}
		fd, err := unix.PidfdOpen(id.pid, 0)
		if err != nil {
			continue
		}
		if sameProcess(s) && !p.firstOf(id) {
			_ = unix.PidfdSendSignal(fd, sig, nil, 0) // the next step of the ladder is harder
		}
		_ = unix.Close(fd)
	}
}

// firstOf reports whether a process is the first of the pid namespace of ours.
func (p *Process) firstOf(id procID) bool { return id.pid == p.child.pid }

// ownedBy says whether s is in a session that was begun below the CLI. The id of one that has ended may be another one's by now, whose
// leader is not the one that was seen.
func (d descendants) ownedBy(s procStat, t procTable) bool {
	leader, ok := d.sessions[s.sid]
	if now, there := t[s.sid]; there && now.procID != leader {
		return false
	}
	return ok && s.start >= leader.start
}

// sweep kills what match or seen names, and what descends from it, until it is not found any more: twice in a row, since what forks
// while the table is read may be missed.
func sweep(match func(marker string) bool, seen *descendants, timeout time.Duration) SweepReport {
	began := time.Now()
	deadline := began.Add(timeout)
	var r SweepReport
	dead := toll{}
	most := 2
	if seen != nil && seen.sealed {
		most = 1 // what a tool has had somebody else start: there is no tree of its own to be missed
	}
	for empty := 0; empty < most; r.Rounds++ {
		t, err := sharedTable()
		if err != nil {
			r.Err = fmt.Errorf("sweep: %w", err)
			break
		}
		victims := findVictims(t, match, seen)
		dead.found(victims)
		if len(victims) == 0 {
			empty++
			continue
		}
		empty, most = 0, 2
		if time.Now().After(deadline) {
			for _, v := range victims {
				r.Left = append(r.Left, Swept{v.pid, v.comm})
			}
			r.Err = fmt.Errorf("sweep: %d processes are still there after %v, the first is %d (%s); they hang in the kernel, fork "+
				"faster than they are killed, or belong to another user", len(victims), timeout, victims[0].pid, victims[0].comm)
			break
		}
		dead.struck(victims, killRound(victims, deadline))
		if seen != nil {
			// What was forked between the table and the kill hangs below a process that is gone.
			for _, v := range victims {
				if v.sid == v.pid {
					if seen.sessions == nil {
						seen.sessions = map[int]procID{}
					}
					seen.sessions[v.sid] = v.procID
				}
			}
		}
	}
	reapKnown(dead.ids)
	r.Killed, r.Took = dead.killed, time.Since(began)
	return r
}

// toll is what a sweep has killed.
type toll struct {
	killed []Swept
	ids    map[procID]bool
	dying  []procStat // those that the last round did not see go: it does not wait for long
}

// struck takes what a round has killed, and which of them it saw go.
func (k *toll) struck(victims []procStat, gone map[procID]bool) {
	for _, v := range victims {
		if gone[v.procID] {
			k.add(v)
		} else {
			k.dying = append(k.dying, v)
		}
	}
}

// found takes what the next round has found: what is not there any more has gone.
func (k *toll) found(victims []procStat) {
	if len(k.dying) == 0 {
		return
	}
	there := map[procID]bool{}
	for _, v := range victims {
		there[v.procID] = true
	}
	for _, v := range k.dying {
		if !there[v.procID] {
			k.add(v)
		}
	}
	k.dying = nil
}

func (k *toll) add(v procStat) {
	if k.ids[v.procID] {
		return
	}
	if k.ids == nil {
		k.ids = map[procID]bool{}
	}
	k.ids[v.procID] = true
	k.killed = append(k.killed, Swept{v.pid, v.comm})
}

// reapKnown takes away what has become a zombie of this process since it was killed: a child goes to the subreaper when its
// parent is gone, which may be after its own end.
func reapKnown(ids map[procID]bool) {
	if !subreaperOn() {
		return
	}
	for id := range ids {
		reapZombie(id)
	}
}

func findVictims(t procTable, match func(string) bool, seen *descendants) []procStat {
	set := map[procID]bool{}
	keep := t.untouchable()
	for pid, s := range t {
		if s.zombie() || keep[pid] {
			continue
		}
		switch {
		case seen != nil && (seen.procs[s.procID] || seen.ownedBy(s, t)):
			set[s.procID] = true
		case seen != nil && s.start < seen.since: // older than the CLI: its environment need not be read
		default:
			if m, ok := s.marker(); ok && match(m) {
				set[s.procID] = true
			}
		}
	}
	if len(set) == 0 {
		return nil
	}
	t.below(set)
	var out []procStat
	for id := range set {
		if s := t[id.pid]; s.procID == id && !s.zombie() && !keep[id.pid] {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b procStat) int {
		if a.start != b.start {
			return int(int64(a.start) - int64(b.start))
		}
		return a.pid - b.pid
	})
	return out
}

// killRound sends SIGKILL to the victims and waits a moment for them to go. It returns those that went.
func killRound(victims []procStat, deadline time.Time) map[procID]bool {
	gone := map[procID]bool{}
	const batch = 128 // descriptors at a time
	for chunk := range slices.Chunk(victims, batch) {
		fds := make([]unix.PollFd, 0, len(chunk))
		held := make([]procStat, 0, len(chunk))
		for _, v := range chunk {
			fd, err := unix.PidfdOpen(v.pid, 0)
			switch {
			case errors.Is(err, unix.ESRCH):
				gone[v.procID] = true
				continue
			case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
				// No pidfd (an old kernel, a seccomp filter): the start time alone has to do.
				if sameProcess(v) {
					_ = unix.Kill(v.pid, unix.SIGKILL) // the next round sees whether it worked
				}
				continue
			case err != nil:
				continue // out of descriptors: the next round tries again
			}
			// The descriptor holds on to whoever has the pid now. If that is the process that was chosen, it
			// can't become another one any more.
			if !sameProcess(v) {
				_ = unix.Close(fd)
				gone[v.procID] = true
				continue
			}
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // the next round sees whether it worked
			fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
			held = append(held, v)
		}
		awaitExits(fds, min(time.Until(deadline), 100*time.Millisecond))
		for i, fd := range fds {
			if fd.Revents != 0 {
				gone[held[i].procID] = true
				reapAdopted(int(fd.Fd), held[i].pid)
			}
			_ = unix.Close(int(fd.Fd))
		}
	}
	return gone
}

// sameProcess says whether the pid still belongs to the process of the table. Two processes with one pid never have
// the same start time: the pids would have to go round within one tick of 10 ms.
func sameProcess(v procStat) bool {
	now, ok := readStat(v.pid)
	return ok && now.procID == v.procID
}

// awaitExits waits until all of the pidfds are readable, or the time is over, and leaves Revents set where they are.
func awaitExits(fds []unix.PollFd, timeout time.Duration) {
	deadline := time.Now().Add(timeout)
	for {
		// Poll returns at the first exit: ask about the rest only.
		var rest []unix.PollFd
		var at []int
		for i, fd := range fds {
			if fd.Revents == 0 {
				rest, at = append(rest, fd), append(at, i)
			}
		}
		left := time.Until(deadline)
		if len(rest) == 0 || left <= 0 {
			return
		}
		n, err := unix.Poll(rest, int(left.Milliseconds())+1)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		for i, fd := range rest {
			fds[at[i]].Revents = fd.Revents
		}
	}
}

// reapAdopted takes away a zombie that the kernel has given to this process as child subreaper. The processes that this
// package has started are reaped by the goroutine that holds them.
func reapAdopted(pidfd, pid int) {
	if s, ok := readStat(pid); !ok || s.ppid != os.Getpid() || !s.zombie() {
		return
	}
	live.mu.Lock()
	_, ours := live.pids[pid]
	live.mu.Unlock()
	if !ours {
		_ = unix.Waitid(unix.P_PIDFD, pidfd, nil, unix.WEXITED|unix.WNOHANG, nil) // ECHILD: somebody else was faster
	}
}

// reapZombie is reapAdopted for a process that is known by its id.
func reapZombie(id procID) {
	s, ok := readStat(id.pid)
	if !ok || s.procID != id || !s.zombie() || s.ppid != os.Getpid() {
		return
	}
	fd, err := unix.PidfdOpen(id.pid, 0)
	if err != nil {
		return
	}
	if sameProcess(s) {
		reapAdopted(fd, id.pid)
	}
	_ = unix.Close(fd)
}
