package process

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
)

// Ledger is a list on disk of the processes that were seen below the CLIs of a runtime, by pid and start time. When the
// runtime is killed where there is no pid namespace, the next one ends by it what has cleared its environment and left
// its session: nothing else knows of it any more. While such CLIs run, the process table is looked at twice a second; what hides
// within that time and loses its runtime in it is missed.
//
// It is written by renaming, and not synced: processes do not survive what a synced file is for.
type Ledger struct {
	path string

	mu      sync.Mutex
	seen    map[*Process]descendants
	recipes map[*recipe]bool
	changed bool
	writing bool

	writer  sync.Mutex
	written string // guarded by writer
}

// ledgerFile is the format on disk.
type ledgerFile struct {
	Boot      string        `json:"boot_id"`       // pids mean nothing after a reboot
	Namespace string        `json:"pid_namespace"` // nor in another container
	Processes []ledgerEntry `json:"processes"`
	Launched  []*recipe     `json:"launched,omitempty"` // what launchers have started elsewhere
	Sessions  []ledgerEntry `json:"sessions"`           // kernel sessions by id, with the start time of their leader
}

type ledgerEntry struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // ticks since boot
}

// OpenLedger ends what the ledger at path lists and is still there, with what descends from it, and returns an empty
// ledger. No other program may be using it: whoever opens it must hold a lock. A ledger that can't be read is an error, beside
// which the new one is usable: it says that strays may be left.
func OpenLedger(path string) (*Ledger, SweepReport, error) {
	l := &Ledger{path: path, seen: map[*Process]descendants{}, recipes: map[*recipe]bool{}}
	report, err := l.sweep()
	return l, report, errors.Join(err, l.write())
}

func sortEntries(e []ledgerEntry) {
	slices.SortFunc(e, func(a, b ledgerEntry) int { return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.Start, b.Start)) })
}

func (l *Ledger) sweep() (SweepReport, error) {
	data, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return SweepReport{}, nil
	}
	if err != nil {
		return SweepReport{}, fmt.Errorf("list of processes: %w", err)
	}
	var f ledgerFile
	if err := json.Unmarshal(data, &f); err != nil {
		return SweepReport{}, fmt.Errorf("list of processes %s: %w", l.path, err)
	}
	var errs error
	for _, r := range f.Launched { // containers survive reboots
		if err := r.kill(); err != nil {
			errs = errors.Join(errs, fmt.Errorf("what an earlier runtime had started in %s: %w", r.Container, err))
			l.recipes[r] = true // the next one tries again
		}
	}
	if boot, ns := here(); f.Boot != boot || f.Namespace != ns {
		return SweepReport{}, errs
	}
	known := descendants{procs: map[procID]bool{}, sessions: map[int]procID{}}
	for _, e := range f.Processes {
		known.procs[procID{e.PID, e.Start}] = true
	}
	for _, e := range f.Sessions {
		known.sessions[e.PID] = procID{e.PID, e.Start}
	}
	if len(known.procs) == 0 && len(known.sessions) == 0 {
		return SweepReport{}, errs
	}
	return sweep(func(string) bool { return false }, &known, sweepTimeout), errs
}

// here is what pids are relative to.
func here() (boot, namespace string) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", ""
	}
	namespace, err = os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "", ""
	}
	return strings.TrimSpace(string(data)), namespace
}

// note keeps what was seen of p, or that it is gone. It does not wait for the disk. Errors are left for the next time: the
// list is a safety net below others, and the disk may be full.
func (l *Ledger) note(p *Process, seen descendants, gone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case gone:
		delete(l.seen, p)
		p.offLedger = true
	case p.offLedger:
		return
	default:
		l.seen[p] = seen
	}
	l.rewrite()
}

// launching lists a recipe, and returns when that is on disk: the list is all that knows of it if this program is killed now.
func (l *Ledger) launching(r *recipe) {
	if l == nil {
		return
	}
	l.mu.Lock()
	l.recipes[r] = true
	l.mu.Unlock()
	_ = l.write() // the disk may be full; there is a sweep before each start, too
}

func (l *Ledger) ended(r *recipe) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.recipes, r)
	l.rewrite()
}

// rewrite has the list written by and by; l.mu is held.
func (l *Ledger) rewrite() {
	l.changed = true
	if l.writing {
		return
	}
	l.writing = true
	go func() { // ends when what there is to write is written
		for l.more() {
			_ = l.write()
		}
	}()
}

func (l *Ledger) more() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing, l.changed = l.changed, false
	return l.writing
}

// noteEnd takes p off its ledger.
func (p *Process) noteEnd() {
	if l := p.ledger(); l != nil {
		l.note(p, descendants{}, true)
	}
}

// ledger is where p's descendants are listed, or nil: in a namespace they can't outlive this program.
func (p *Process) ledger() *Ledger {
	if p.child.link != nil {
		return nil
	}
	return p.opts.Ledger
}

func (l *Ledger) write() error {
	l.writer.Lock()
	defer l.writer.Unlock()
	f := ledgerFile{Processes: []ledgerEntry{}, Sessions: []ledgerEntry{}}
	f.Boot, f.Namespace = here()
	l.mu.Lock()
	for _, d := range l.seen {
		for id := range d.procs {
			f.Processes = append(f.Processes, ledgerEntry{id.pid, id.start})
		}
		for sid, leader := range d.sessions {
			f.Sessions = append(f.Sessions, ledgerEntry{sid, leader.start})
		}
	}
	for r := range l.recipes {
		f.Launched = append(f.Launched, r)
	}
	l.mu.Unlock()
	slices.SortFunc(f.Launched, func(a, b *recipe) int { return cmp.Compare(a.Marker, b.Marker) })
	sortEntries(f.Processes)
	sortEntries(f.Sessions)
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	if string(data) == l.written {
		return nil
	}
	next := l.path + ".next"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return fmt.Errorf("list of processes: %w", err)
	}
	if err := os.Rename(next, l.path); err != nil {
		return fmt.Errorf("list of processes: %w", err)
	}
	l.written = string(data)
	return nil
}
