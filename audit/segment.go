package audit

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// counter is a session's sequence.
type counter struct {
	seq  uint64
	used uint64 // the last record it was used for
}

// maxSessions bounds how many sequences a segment carries on: those of the sessions heard of last.
const maxSessions = 10000

// newSegment begins a segment after that many records. moved are the frames of those that the tree has
// beyond them.
func (l *log) newSegment(previous *format.Previous, moved []byte, after uint64) error {
	began := l.now()
	header := format.Segment{Began: began.UTC(), Previous: previous, Lost: l.lost, Sessions: l.remember(), Open: l.unended()}
	before := l.tree.Clone()
	if len(moved) > 0 {
		// What the header carries on is what was before them, as of any segment.
		var err error
		if before, header.Lost, header.Sessions, header.Open, err = l.stateAt(after); err != nil {
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
	l.header.Began = began // with what UTC takes away: the monotonic clock
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

// stateAt is the tree of the first records of the segment, after which others follow that are in the tree too, and how many were lost,
// what numbers sessions had and what intents had no end by then.
func (l *log) stateAt(size uint64) (tree format.Frontier, lost uint64, sessions map[string]uint64, left leftover, err error) {
	if tree, err = l.header.Frontier(); err != nil {
		return tree, 0, nil, nil, err
	}
	lost, sessions, left = l.header.Lost, maps.Clone(l.header.Sessions), leftover{}
	maps.Copy(left, l.header.Open)
	if sessions == nil {
		sessions = make(map[string]uint64)
	}
	f, err := l.disk.Open(l.path, os.O_RDONLY)
	if err != nil {
		return tree, 0, nil, nil, &FileError{l.path, "open", err}
	}
	defer func() { _ = f.Close() }() // only read
	_, begin, err := readSegment(f, l.path, l.header.First)
	s := newScanner(f, l.path, begin, -1)
	var head format.Head
	var v view
	for err == nil && tree.Size() < size {
		var payload []byte
		if payload, _, err = s.next(); err != nil {
			break
		}
		tree.Add(l.leaf.Hash(payload), nil)
		if head, _ = format.ParseHead(payload, head); head.Session != "" {
			sessions[head.Session] = head.SessionSeq
		}
		if m, ok := markOf(&head, payload, &v); ok {
			left.note(m)
		}
		lost = max(lost, head.Lost)
	}
	return tree, lost, sessions, left, err
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

// due says why the segment should end when it has that many bytes, empty if it should not.
func (l *log) due(end int64) string {
	switch {
	case l.tree.Size() < l.header.First && end == l.offset:
		return "" // nothing is in it
	case end >= l.options.SegmentBytes:
		return "size"
	// A segment that this process has begun knows its age by the monotonic clock. One that was opened may be from a time that is still to
	// come, if a clock was wrong: it is as good an age as one in the past.
	case l.now().Sub(l.header.Began).Abs() >= l.options.SegmentAge:
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
