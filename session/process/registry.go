package process

import "sync"

// live are the processes that this package has started and not yet released. A sweep reaps what the runtime has
// adopted, and must leave the exits of these to their own goroutine.
var live struct {
	mu   sync.Mutex
	pids map[int]*Process // by the pid of the direct child
}

func track(p *Process) {
	live.mu.Lock()
	if live.pids == nil {
		live.pids = map[int]*Process{}
	}
	live.pids[p.child.pid] = p
	live.mu.Unlock()
	watchAdopted()
}

func untrack(p *Process) {
	live.mu.Lock()
	defer live.mu.Unlock()
	if live.pids[p.child.pid] == p { // the pid may be somebody else's already
		delete(live.pids, p.child.pid)
	}
}

func liveProcesses() []*Process {
	live.mu.Lock()
	defer live.mu.Unlock()
	out := make([]*Process, 0, len(live.pids))
	for _, p := range live.pids {
		out = append(out, p)
	}
	return out
}
