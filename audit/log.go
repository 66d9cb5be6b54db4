package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// memory is what a process knows of its log, over all openings: what it has had acknowledged, and what it
// may not rely on any more.
type memory struct {
	size uint64 // records acknowledged; 0 also if nothing was opened yet
	root format.Hash
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

	signedPath   string
	signed       file
	signedOffset int64
	signedSize   uint64 // of the last checkpoint
	checkpoint   []byte // that
	signedAt     time.Time

	begun  string // why the segment was begun by this opening; empty if it was not
	hashes *hashes
	leaf   format.Leaf
	spare  []byte // for the next batch's frames
	full   bool   // no room: only last words are taken
}

// counter is a session's sequence.
type counter struct {
	seq  uint64
	used uint64 // the last record it was used for
}

// maxSessions bounds how many sequences a segment carries on: those of the sessions heard of last.
const maxSessions = 10000

// repair is what an opening found wrong.
type repair struct {
	path    string
	offset  int64 // where the file was cut, or is read no further
	dropped int64 // bytes
	records int   // whole ones among them
	side    string
	moved   uint64 // records that were written again to a new segment
}

func (r *repair) record() Record {
	detail := map[string]any{"segment": filepath.Base(r.path), "offset": r.offset, "dropped_bytes": r.dropped}
	if r.records > 0 {
		detail["dropped_records"] = r.records
	}
	if r.side != "" {
		detail["side_file"] = r.side
	}
	if r.moved > 0 {
		detail["moved_records"] = r.moved
	}
	return Record{Kind: LogRecovered, Detail: detail}
}

// ChangedError says that a log is not what it was: it is not continued.
type ChangedError struct {
	Dir string
	Err error
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("audit log %s: changed from outside: %v: run understudy audit verify, keep the directory for "+
		"whoever has to see it, and move it away or choose another audit.dir", e.Dir, e.Err)
}

// Unwrap gives the cause.
func (e *ChangedError) Unwrap() error { return e.Err }

// openLog opens the log of a directory for writing.
func openLog(d disk, o Options, m *memory, now func() time.Time) (*log, *repair, error) {
	if o.Dir == "" {
		return nil, nil, errors.New("audit log: no directory given: set audit.dir")
	}
	l := &log{disk: d, dir: o.Dir, options: o, memory: m, now: now}
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
	if l.keys, err = l.loadKeys(l.options.Signer, l.options.VerifierKey, len(segments) > 0); err != nil {
		return nil, err
	}
	last, err := l.lastCheckpoint(signed)
	if err != nil {
		return nil, err
	}
	if len(segments) == 0 {
		if l.memory.size > 0 || last.Size > 0 {
			return nil, &ChangedError{l.dir, fmt.Errorf("it has no segment, and had %d records", max(l.memory.size, last.Size))}
		}
		return nil, l.newSegment(nil, nil, 0)
	}
	return l.resume(segments[len(segments)-1], last)
}

// openDir sees to a directory that is there and ours alone.
func (l *log) openDir() error {
	info, err := os.Stat(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := l.disk.Mkdir(l.dir); err != nil {
			return &FileError{l.dir, "create directory", err}
		}
		if err := l.disk.SyncDir(filepath.Dir(filepath.Clean(l.dir))); err != nil {
			return &FileError{filepath.Dir(filepath.Clean(l.dir)), "sync directory", err}
		}
		info, err = os.Stat(l.dir)
	}
	if err != nil {
		return &FileError{l.dir, "look at directory", err}
	}
	if !info.IsDir() {
		return fmt.Errorf("audit log %s: it is a file, expected a directory: choose another audit.dir", l.dir)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	// A directory made for the log is closed to others. One that serves other purposes is not for us to
	// change: it might be the home directory, or /tmp.
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return &FileError{l.dir, "read directory", err}
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) {
			return fmt.Errorf("audit log %s: the directory is open to others (mode %#o) and has other files in it "+
				"(%.60q): choose a directory for the log alone, or run chmod 700 on it", l.dir, info.Mode().Perm(), e.Name())
		}
	}
	if err := os.Chmod(l.dir, 0o700); err != nil {
		return &FileError{l.dir, "close the directory to others (chmod 700)", err}
	}
	return nil
}

// private refuses what is no plain file, and makes the rest 0600.
func private(f file, path string) error {
	info, err := f.Stat()
	if err != nil {
		return &FileError{path, "look at file", err}
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("audit log %s: it is no plain file (%s): move it away", path, info.Mode().Type())
	}
	if info.Mode().Perm()&0o177 == 0 {
		return nil
	}
	if err := f.Chmod(0o600); err != nil {
		return &FileError{path, "close the file to others (chmod 600)", err}
	}
	return nil
}

// takeLock makes this the only writer. The lock file says who has it; the lock ends with its holder.
func (l *log) takeLock() error {
	path := filepath.Join(l.dir, lockName)
	f, err := l.disk.Open(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return &FileError{path, "open", err}
	}
	l.lock = f
	if err := private(f, path); err != nil {
		return err
	}
	switch err := l.disk.Lock(f); {
	case errors.Is(err, errLocked):
		return &LockedError{Dir: l.dir, PID: holder(f)}
	case err != nil:
		return &FileError{path, "lock", err}
	}
	if err := f.Truncate(0); err != nil {
		return &FileError{path, "truncate", err}
	}
	// Who has the lock is a courtesy: a full disk has no room for it, and must not keep the log closed.
	if err := write(f, []byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil && !full(err) {
		return &FileError{path, "write", err}
	}
	return nil
}

// holder reads who has the lock; 0 if it does not say.
func holder(f file) int {
	text := make([]byte, 20)
	n, _ := f.ReadAt(text, 0) // io.EOF is what is expected
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		return 0
	}
	return pid
}

// write writes all of content.
func write(f file, content []byte, at int64) error {
	n, err := f.WriteAt(content, at)
	if err == nil && n < len(content) {
		err = io.ErrShortWrite
	}
	return err
}

// lastCheckpoint finds the newest checkpoint that is whole. What is not whole is of a crash, or somebody's
// doing; which, verify says.
func (l *log) lastCheckpoint(signed []uint64) (format.Checkpoint, error) {
	for i := len(signed) - 1; i >= 0; i-- {
		path := filepath.Join(l.dir, signedName(signed[i]))
		data, err := os.ReadFile(path)
		if err != nil {
			return format.Checkpoint{}, &FileError{path, "read", err}
		}
		var last format.Checkpoint
		var whole []byte
		for {
			one, rest, err := format.NextCheckpoint(data)
			if err != nil {
				break
			}
			data = rest
			c, err := format.OpenCheckpoint(one, l.keys.verifier)
			if err == nil && c.Size >= last.Size {
				last, whole = c, one
			}
		}
		if whole != nil {
			l.checkpoint, l.signedSize = whole, last.Size
			return last, nil
		}
	}
	return format.Checkpoint{}, nil
}

// resume opens the last segment, compares it with what is known, and sees to its end.
func (l *log) resume(first uint64, last format.Checkpoint) (*repair, error) {
	l.path = filepath.Join(l.dir, segmentName(first))
	f, err := l.disk.Open(l.path, os.O_RDWR)
	if err != nil {
		return nil, &FileError{l.path, "open", err}
	}
	l.segment = f
	if err := private(f, l.path); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, &FileError{l.path, "look at file", err}
	}
	size := info.Size()
	header, begin, err := readSegment(f, l.path, first)
	if err != nil {
		return nil, l.changed(err)
	}
	l.header = header
	end := int64(-1)
	if ours, err := l.attempted(first, size); err != nil {
		return nil, err
	} else if ours {
		end = l.memory.offset
	}
	found, err := l.survey(begin, end, last)
	if err != nil {
		return nil, l.changed(err)
	}
	l.openHashes(found)

	tainted := l.memory.tainted[l.path] || l.memory.tainted[filepath.Join(l.dir, signedName(first))]
	var r *repair
	if l.offset < size {
		r = &repair{path: l.path, offset: l.offset, dropped: size - l.offset, records: found.behind}
	}
	if tainted {
		return r, l.abandon(found, r)
	}
	if r != nil {
		if r.side, err = l.cut(l.offset, size); err != nil {
			return nil, err
		}
	}
	// The process that wrote what no checkpoint covers may have ended after an fsync that failed: then it
	// is in the page cache and not on the disk. Written again it has to go there.
	if found.safe < l.offset {
		rest := make([]byte, l.offset-found.safe)
		if _, err := f.ReadAt(rest, found.safe); err != nil {
			return nil, &FileError{l.path, "read", err}
		}
		if err := write(f, rest, found.safe); err != nil {
			l.memory.taint(l.path)
			return nil, &FileError{l.path, "write", err}
		}
		if err := f.Sync(); err != nil {
			l.memory.taint(l.path)
			return nil, &FileError{l.path, "sync", err}
		}
	}
	return r, l.openSigned()
}

// changed makes a *ChangedError of damage, and leaves other errors alone.
func (l *log) changed(err error) error {
	var damage *DamageError
	if errors.As(err, &damage) {
		return &ChangedError{l.dir, err}
	}
	return err
}

// survey is what reading a segment has found.
type survey struct {
	safe   int64  // up to here the last checkpoint covers it
	safeAt uint64 // and so many records
	behind int    // whole frames behind the first that is none
	// stored are the tree's hashes of the segment's records.
	stored []format.Hash
}

// survey reads the segment, and continues its tree and numbers.
func (l *log) survey(begin, end int64, last format.Checkpoint) (survey, error) {
	tree, err := l.header.Frontier()
	if err != nil { // parsing has seen to it
		return survey{}, err
	}
	l.tree, l.lost = tree.Clone(), l.header.Lost
	l.sessions = make(map[string]counter, len(l.header.Sessions))
	for name, seq := range l.header.Sessions {
		l.sessions[name] = counter{seq: seq}
	}
	found := survey{safe: begin, safeAt: tree.Size(), stored: make([]format.Hash, 0, 1024)}
	differs := func(seq uint64, format string, args ...any) error {
		return &DamageError{File: l.path, Seq: seq, Offset: l.offset, Err: fmt.Errorf(format, args...)}
	}
	// compare holds what was read so far against the last checkpoint and against our memory.
	compare := func() error {
		size := l.tree.Size()
		if size == 0 || size != last.Size && size != l.memory.size {
			return nil
		}
		root := l.tree.Root()
		if size == last.Size {
			if root != last.Root {
				return differs(size, "the records up to %d are not those of the last checkpoint", size)
			}
			found.safe, found.safeAt = l.offset, size
		}
		if size == l.memory.size && root != l.memory.root {
			return differs(size, "the records up to %d are not those that were written", size)
		}
		return nil
	}
	l.offset = begin
	if err := compare(); err != nil {
		return survey{}, err
	}
	var head format.Head
	s := newScanner(l.segment, l.path, begin, end)
	for {
		payload, offset, err := s.next()
		if err == io.EOF {
			break
		}
		var damage *DamageError
		if errors.As(err, &damage) {
			// A crash leaves less than was written: pages of an unfinished write may be missing. What is
			// behind the gap was not acknowledged, or else the disk lied.
			for err != io.EOF {
				if payload, _, err = s.next(); err == nil && payload != nil {
					found.behind++
				} else if err != nil && err != io.EOF && !errors.As(err, &damage) {
					return survey{}, err
				}
			}
			break
		}
		if err != nil {
			return survey{}, err
		}
		var ok bool
		if head, ok = format.ParseHead(payload, head); !ok || head.Seq != l.tree.Size()+1 {
			return survey{}, differs(l.tree.Size()+1, "another record is in its place")
		}
		if head.V > Version {
			return survey{}, fmt.Errorf("audit log %s: %w: use the program that wrote it, or another audit.dir", l.path, &versionError{head.V})
		}
		found.stored = l.tree.Add(l.leaf.Hash(payload), found.stored)
		l.lost = max(l.lost, head.Lost)
		if head.Session != "" {
			l.sessions[head.Session] = counter{head.SessionSeq, head.Seq}
		}
		l.offset = offset + int64(format.FrameSize(len(payload)))
		if err := compare(); err != nil {
			return survey{}, err
		}
	}
	if known := max(last.Size, l.memory.size); l.tree.Size() < known {
		return survey{}, differs(l.tree.Size()+1, "the records %d to %d are missing", l.tree.Size()+1, known)
	}
	return found, nil
}

// attempted reports whether the segment goes on after what is known with what was written but never
// acknowledged, and nothing else.
func (l *log) attempted(first uint64, size int64) (bool, error) {
	m := l.memory
	rest := size - m.offset
	if m.first != first || rest <= 0 || rest > int64(len(m.attempted)) {
		return false, nil
	}
	found := make([]byte, rest)
	if _, err := l.segment.ReadAt(found, m.offset); err != nil {
		return false, &FileError{l.path, "read", err}
	}
	return bytes.Equal(found, m.attempted[:rest]), nil
}

// maxTorn is more than one batch can have.
const maxTorn = 256 << 20

// cut takes what is between offset and size out of the segment and keeps it in a side file, which it
// names.
func (l *log) cut(offset, size int64) (string, error) {
	if size-offset > maxTorn {
		return "", &ChangedError{l.dir, &DamageError{File: l.path, Seq: l.tree.Size() + 1, Offset: offset,
			Err: fmt.Errorf("%d bytes that are no records, more than any write had", size-offset)}}
	}
	content := make([]byte, size-offset)
	if _, err := l.segment.ReadAt(content, offset); err != nil {
		return "", &FileError{l.path, "read", err}
	}
	// The name follows from the content, so that a crash in between leaves one side file and not two.
	sum := l.leaf.Hash(content)
	name := fmt.Sprintf("%scut-%020d-%d-%x", prefix, l.header.First, offset, sum[:4])
	side, err := l.create(filepath.Join(l.dir, name), content)
	if err != nil {
		return "", err
	}
	_ = side.Close() // it is synced
	if err := l.disk.SyncDir(l.dir); err != nil {
		return "", &FileError{l.dir, "sync directory", err}
	}
	if err := l.segment.Truncate(offset); err != nil {
		l.memory.taint(l.path)
		return "", &FileError{l.path, "cut off the torn end", err}
	}
	if err := l.segment.Sync(); err != nil {
		l.memory.taint(l.path)
		return "", &FileError{l.path, "sync", err}
	}
	return name, nil
}

// abandon goes on in a new segment, since the last one has failed. What of it is known to be on disk
// stays there; the rest is written again.
func (l *log) abandon(found survey, r *repair) error {
	safe, size := found.safe, found.safeAt
	if l.memory.first == l.header.First && l.memory.offset > safe {
		safe, size = l.memory.offset, l.memory.size
	}
	moved := make([]byte, l.offset-safe)
	if _, err := l.segment.ReadAt(moved, safe); err != nil {
		return &FileError{l.path, "read", err}
	}
	if r != nil {
		r.moved = l.tree.Size() - size
	}
	previous := &format.Previous{First: l.header.First, End: safe, Abandoned: true}
	if size+1 == l.header.First {
		previous = l.header.Previous // the new segment takes the place of this one, in which nothing is
	}
	l.begun = "failure"
	_ = l.segment.Close() // it has failed
	l.segment = nil
	return l.newSegment(previous, moved, size)
}

// newSegment begins a segment after that many records. moved are the frames of those that the tree has
// beyond them.
func (l *log) newSegment(previous *format.Previous, moved []byte, after uint64) error {
	header := format.Segment{Began: l.now().UTC(), Previous: previous, Lost: l.lost, Sessions: l.remember()}
	before := l.tree.Clone()
	if len(moved) > 0 {
		var err error
		if before, err = l.treeAt(after); err != nil {
			return err
		}
	}
	header.SetFrontier(&before)
	payload, err := header.Encode()
	if err != nil {
		return fmt.Errorf("audit log %s: encode segment header: %w", l.dir, err)
	}
	frames := append(format.AppendFrame(nil, payload), moved...)
	// The checkpoints' file is there before the segment is, and with it on disk.
	signedPath := filepath.Join(l.dir, signedName(header.First))
	signed, err := l.create(signedPath, nil)
	if err != nil {
		return err
	}
	path := filepath.Join(l.dir, segmentName(header.First))
	segment, err := l.create(path, frames)
	if err != nil {
		_ = signed.Close() // nothing is in it
		return err
	}
	if l.segment != nil {
		_ = l.segment.Close() // it is synced
	}
	if l.signed != nil {
		_ = l.signed.Close() // it is synced
	}
	// Files of these names may have failed; these are others.
	delete(l.memory.tainted, path)
	delete(l.memory.tainted, signedPath)
	l.segment, l.signed = segment, signed
	l.path, l.signedPath, l.signedOffset = path, signedPath, 0
	l.header, l.offset = header, int64(len(frames))
	if err := l.disk.SyncDir(l.dir); err != nil {
		return &FileError{l.dir, "sync directory", err}
	}
	if l.hashes == nil {
		l.openHashes(survey{})
	}
	if l.sessions == nil {
		l.sessions = make(map[string]counter)
	}
	return nil
}

// treeAt is the tree of the first records of the segment, after which others follow that are in the tree
// too.
func (l *log) treeAt(size uint64) (format.Frontier, error) {
	tree, err := l.header.Frontier()
	if err != nil {
		return tree, err
	}
	f, err := l.disk.Open(l.path, os.O_RDONLY)
	if err != nil {
		return tree, &FileError{l.path, "open", err}
	}
	defer func() { _ = f.Close() }() // only read
	_, begin, err := readSegment(f, l.path, l.header.First)
	s := newScanner(f, l.path, begin, -1)
	for err == nil && tree.Size() < size {
		var payload []byte
		if payload, _, err = s.next(); err == nil {
			tree.Add(l.leaf.Hash(payload), nil)
		}
	}
	return tree, err
}

// remember are the sessions' sequences for a segment's header.
func (l *log) remember() map[string]uint64 {
	forget := uint64(0)
	if len(l.sessions) > maxSessions {
		used := make([]uint64, 0, len(l.sessions))
		for _, c := range l.sessions {
			used = append(used, c.used)
		}
		forget = smallest(used, len(used)-maxSessions)
	}
	kept := make(map[string]uint64, len(l.sessions))
	for name, c := range l.sessions {
		if c.used >= forget {
			kept[name] = c.seq
		} else {
			delete(l.sessions, name)
		}
	}
	return kept
}

// openSigned opens the file of checkpoints that goes with the segment, and cuts a torn one off.
func (l *log) openSigned() error {
	l.signedPath = filepath.Join(l.dir, signedName(l.header.First))
	f, err := l.disk.Open(l.signedPath, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return &FileError{l.signedPath, "open", err}
	}
	l.signed = f
	if err := private(f, l.signedPath); err != nil {
		return err
	}
	data, err := os.ReadFile(l.signedPath)
	if err != nil {
		return &FileError{l.signedPath, "read", err}
	}
	rest := data
	for err == nil {
		var more []byte
		if _, more, err = format.NextCheckpoint(rest); err == nil {
			rest = more
		}
	}
	l.signedOffset = int64(len(data) - len(rest))
	if len(rest) > 0 {
		if err := f.Truncate(l.signedOffset); err != nil {
			l.memory.taint(l.signedPath)
			return &FileError{l.signedPath, "cut off the torn end", err}
		}
		if err := f.Sync(); err != nil {
			l.memory.taint(l.signedPath)
			return &FileError{l.signedPath, "sync", err}
		}
	}
	return nil
}

// maxSpare bounds the memory that is kept for the next batch.
const maxSpare = 4 << 20

// batch is a run of records that become durable together.
type batch struct {
	frames   []byte
	tree     format.Frontier
	lost     uint64
	sessions map[string]uint64
	stored   []format.Hash
	leaf     *format.Leaf
	log      *log
}

func (l *log) begin() *batch {
	frames := l.spare[:0]
	l.spare = nil
	return &batch{
		frames: frames, tree: l.tree.Clone(), lost: l.lost, leaf: &l.leaf, log: l,
		sessions: make(map[string]uint64), stored: make([]format.Hash, 0, 16),
	}
}

// add appends a record that itself announces so many losses.
func (b *batch) add(e encoded, lost uint64) {
	b.lost += lost
	head := format.Head{V: Version, Seq: b.tree.Size() + 1, Kind: string(e.kind), Session: e.session, Lost: b.lost}
	if e.session != "" {
		seq, ok := b.sessions[e.session]
		if !ok {
			seq = b.log.sessions[e.session].seq
		}
		head.SessionSeq = seq + 1
		b.sessions[e.session] = seq + 1
	}
	at := len(b.frames)
	b.frames = append(b.frames, 0, 0, 0, 0, 0, 0, 0, 0)
	b.frames = head.Append(b.frames)
	b.frames = append(b.frames, e.rest...)
	format.SealFrame(b.frames[at:])
	b.stored = b.tree.Add(b.leaf.Hash(b.frames[at+format.HeaderSize:]), b.stored)
	b.frames = append(b.frames, '\n')
}

// commit makes a batch durable. After an error the log must not be used: what a failed write or fsync has
// left behind is unknown, and a second fsync may report success for pages the kernel has dropped.
func (l *log) commit(b *batch) error {
	if len(b.frames) == 0 {
		return nil
	}
	m := l.memory
	// What does not get acknowledged has to be recognized by the next opening.
	if m.size != l.tree.Size() { // the first since the opening
		m.size, m.root = l.tree.Size(), l.tree.Root()
	}
	m.first, m.offset, m.attempted = l.header.First, l.offset, b.frames
	if err := write(l.segment, b.frames, l.offset); err != nil {
		m.taint(l.path)
		return &FileError{l.path, "write", err}
	}
	if err := l.segment.Sync(); err != nil {
		m.taint(l.path)
		return &FileError{l.path, "sync", err}
	}
	l.offset += int64(len(b.frames))
	l.tree, l.lost = b.tree, b.lost
	for name, seq := range b.sessions {
		l.sessions[name] = counter{seq, l.tree.Size()}
	}
	m.size, m.root, m.offset, m.attempted = l.tree.Size(), l.tree.Root(), l.offset, nil
	l.hashes.add(b.stored)
	if cap(b.frames) <= maxSpare {
		l.spare = b.frames
	}
	return nil
}

// sign makes a checkpoint of all records so far, if there is none. After an error the log must not be
// used.
func (l *log) sign() error {
	if l.signedSize == l.tree.Size() && l.signedOffset > 0 {
		return nil
	}
	l.hashes.flush()
	c := format.Checkpoint{Origin: l.keys.signer.Name(), Size: l.tree.Size(), Root: l.tree.Root()}
	signed, err := c.Sign(l.keys.signer)
	if err != nil {
		return fmt.Errorf("audit log %s: sign checkpoint: %w", l.dir, err)
	}
	if err := write(l.signed, signed, l.signedOffset); err != nil {
		l.memory.taint(l.signedPath)
		return &FileError{l.signedPath, "write", err}
	}
	if err := l.signed.Sync(); err != nil {
		l.memory.taint(l.signedPath)
		return &FileError{l.signedPath, "sync", err}
	}
	l.signedOffset += int64(len(signed))
	l.signedSize, l.signedAt, l.checkpoint = l.tree.Size(), l.now(), signed
	return nil
}

// unsigned is how many records no checkpoint covers.
func (l *log) unsigned() uint64 { return l.tree.Size() - min(l.tree.Size(), l.signedSize) }

// due says why the segment should end, empty if it should not.
func (l *log) due() string {
	switch {
	case l.tree.Size() < l.header.First:
		return "" // nothing is in it
	case l.offset >= l.options.SegmentBytes:
		return "size"
	case l.now().Sub(l.header.Began) >= l.options.SegmentAge:
		return "age"
	default:
		return ""
	}
}

// rotation is the first record of a segment.
func (l *log) rotation(reason string, previous uint64) Record {
	return Record{Kind: LogRotated, Detail: map[string]any{
		"reason": reason, "previous": segmentName(previous), "through": l.tree.Size(), "root": l.tree.Root().String(),
	}}
}

// rotate ends the segment and begins another.
func (l *log) rotate() error {
	if err := l.sign(); err != nil {
		return err
	}
	// From now on nobody writes to it. That this is not in force is no reason to stop.
	_ = l.segment.Chmod(0o400)
	l.begun = ""
	return l.newSegment(&format.Previous{First: l.header.First, End: l.offset}, nil, 0)
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

// versionError says that a record is of a later schema.
type versionError struct{ v int }

func (e *versionError) Error() string {
	return fmt.Sprintf("record of version %d: this program knows up to %d", e.v, Version)
}
