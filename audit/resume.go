package audit

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"

	"github.com/understudy-run/understudy/audit/internal/format"
)

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
		if size == 0 || size != last.Size && size != l.memory.tree.Size() {
			return nil
		}
		root := l.tree.Root()
		if size == last.Size {
			if root != last.Root {
				return differs(size, "the records up to %d are not those of the last checkpoint", size)
			}
			found.safe, found.safeAt = l.offset, size
		}
		if size == l.memory.tree.Size() && root != l.memory.tree.Root() {
			return differs(size, "the records up to %d are not those that were written", size)
		}
		return nil
	}
	l.offset = begin
	if err := compare(); err != nil {
		return survey{}, err
	}
	var head format.Head
	var v view
	l.left = leftover{}
	maps.Copy(l.left, l.header.Open)
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
		if m, ok := markOf(&head, payload, &v); ok {
			l.left.note(m)
		}
		l.offset = offset + int64(format.FrameSize(len(payload)))
		if err := compare(); err != nil {
			return survey{}, err
		}
	}
	if known := max(last.Size, l.memory.tree.Size()); l.tree.Size() < known {
		return survey{}, differs(l.tree.Size()+1, "the records %d to %d are missing", l.tree.Size()+1, known)
	}
	return found, nil
}

// attempted reports whether the segment goes on after what is known with what was written but never
// acknowledged, and nothing else: all of it, a part, or with zeros where a page could not be written and was dropped.
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
	for i, c := range found {
		if c != m.attempted[i] && c != 0 {
			return false, nil
		}
	}
	return true, nil
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
		safe, size = l.memory.offset, l.memory.tree.Size()
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
