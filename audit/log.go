package audit

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// memory is what a process knows of its log, over all openings: what it has had acknowledged, and what it
// may not rely on any more.
type memory struct {
	tree format.Frontier // of the records acknowledged; empty also if nothing was opened yet
	// first and offset are where the acknowledged records end.
	first  uint64
	offset int64
	// attempted is what was last written there without having been acknowledged.
	attempted []byte
	// tainted are files that failed: they are not written again.
	tainted map[string]bool
}

func (m *memory) taint(path string) {
	if m.tainted == nil {
		m.tainted = make(map[string]bool)
	}
	m.tainted[path] = true
}

// log is the open log. It belongs to one goroutine at a time.
type log struct {
	disk    disk
	dir     string
	options Options
	now     func() time.Time
	memory  *memory
	lock    file
	keys    keys

	path     string // of the segment
	segment  file
	header   format.Segment
	offset   int64
	tree     format.Frontier
	lost     uint64
	sessions map[string]counter
	left     leftover // of the records so far, but for those of written

	signedPath   string
	signed       file
	signedOffset int64
	signedSize   uint64 // of the last checkpoint
	checkpoint   []byte // that
	signedAt     time.Time

	begun  string               // why the segment was begun by this opening; empty if it was not
	began  map[uint64]time.Time // when each segment was, as far as retention by age has asked
	hashes *hashes
	leaf   format.Leaf
	hasher format.Hasher // goes with the batch that is being made
	full   bool          // no room: only last words are taken

	batches [2]batch // one is made while the other is written
	turn    int      // the one begun last
	written *batch   // the one written last, if follow has not seen it
	// ahead is where commit puts the batch that follows, for whoever wants to make it while the log writes.
	ahead *atomic.Pointer[batch]
}

// openLog opens the log of a directory for writing.
func openLog(d disk, o Options, m *memory, now func() time.Time) (*log, *repair, error) {
	if o.Dir == "" {
		return nil, nil, errors.New("audit log: no directory given: set audit.dir")
	}
	l := &log{disk: d, dir: o.Dir, options: o, memory: m, now: now, left: leftover{}}
	r, err := l.open()
	if full(err) && l.releaseReserve() {
		l.closeFiles()
		l.full, l.begun = true, ""
		r, err = l.reopen()
	}
	if err == nil && !l.full {
		if err = l.takeReserve(); full(err) {
			l.full, err = true, nil
			l.releaseReserve()
		}
	}
	if err != nil {
		l.close()
		return nil, nil, err
	}
	return l, r, nil
}

func (l *log) open() (*repair, error) {
	if err := l.openDir(); err != nil {
		return nil, err
	}
	if err := l.takeLock(); err != nil {
		return nil, err
	}
	return l.reopen()
}

// reopen is what can be tried twice.
func (l *log) reopen() (*repair, error) {
	// Files may be left of an opening whose last step failed.
	if err := l.disk.SyncDir(l.dir); err != nil {
		return nil, &FileError{l.dir, "sync directory", err}
	}
	segments, signed, err := list(l.dir)
	if err != nil {
		return nil, err
	}
	if len(segments) == 0 && l.memory.tree.Size() > 0 {
		return nil, l.gone()
	}
	if l.keys, err = l.loadKeys(l.options.Signer, l.options.VerifierKey, len(segments) > 0); err != nil {
		return nil, err
	}
	last, err := l.lastCheckpoint(signed)
	if err != nil {
		return nil, err
	}
	if len(segments) == 0 {
		if last.Size > 0 {
			return nil, &ChangedError{l.dir, fmt.Errorf("it has no segment, and had %d records", last.Size)}
		}
		return nil, l.newSegment(nil, nil, 0)
	}
	return l.resume(segments[len(segments)-1], last)
}

// close lets go of the files. There is nothing to be done about its errors: what matters was fsynced.
func (l *log) close() {
	l.closeFiles()
	if l.lock != nil {
		unlock(l.lock)
		_ = l.lock.Close()
		l.lock = nil
	}
}

func (l *log) closeFiles() {
	for _, f := range []*file{&l.segment, &l.signed} {
		if *f != nil {
			_ = (*f).Close()
			*f = nil
		}
	}
	if l.hashes != nil {
		l.hashes.close()
		l.hashes = nil
	}
}

// storedOffset is where the hashes of a tree of that size end in the side file.
func storedOffset(size uint64) int64 { return tlog.StoredHashCount(int64(size)) * tlog.HashSize }
