package process

import "os"

// FromSession reports whether a process is a CLI of this program or something that one has started, as far as can be told from the
// process table now: by its ancestors, its marker, or the session (in the kernel's sense) it is in. Of a process that is
// not there any more, or cannot be looked at, it says yes: it is asked by what must keep such processes out.
func FromSession(pid int) bool {
	t, err := readTable()
	if err != nil {
		return true
	}
	self, there := t[pid]
	if !there {
		return true
	}
	procs := liveProcesses()
	clis := map[int]bool{}
	for _, p := range procs {
		clis[p.pid] = true
	}
	for at, steps := pid, 0; at > 1 && at != os.Getpid() && steps < 1000; steps++ {
		if marker, ok := markerOf(at); clis[at] || ok && marker != "" {
			return true
		}
		up, ok := t[at]
		if !ok {
			break
		}
		at = up.ppid
	}
	for _, p := range procs {
		p.mu.Lock()
		p.recordFrom(t)
		known := p.seen.procs[self.procID] || p.seen.ownedBy(self, t)
		p.mu.Unlock()
		if known {
			return true
		}
	}
	return false
}
