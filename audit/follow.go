package audit

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const followInterval = 100 * time.Millisecond

// Follow gives the records of a log, oldest first, and then those to come, until ctx ends: no error says
// that it did. No record is missed but those removed as too old before it got to them, as log.pruned says, and none given twice. A log that does not exist yet is waited for; one
// that is moved away and begun anew is followed. Errors are those of Read.
//
// A record may be given before it is durable. If it never becomes so, it is no part of the log, and those
// in its place, with the same numbers, are given as well.
func Follow(ctx context.Context, dir string) iter.Seq2[Record, error] {
	return FollowAfter(ctx, dir, 0)
}

// FollowAfter is Follow without the records whose Seq is at most after. With the Seq of the last record of
// Tail it goes on where that ended.
func FollowAfter(ctx context.Context, dir string, after uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		f := &follower{dir: dir, after: after}
		defer f.close()
		ticker := time.NewTicker(followInterval)
		defer ticker.Stop()
		for ctx.Err() == nil && f.poll(ctx, yield) {
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	}
}

// follower is where a Follow has got to.
type follower struct {
	dir   string
	after uint64
	limit uint64 // the last record to give; 0: no limit
	// limited says that the last reading ended there.
	limited bool

	file   *os.File // nil: none chosen yet
	path   string
	first  uint64
	offset int64 // where the next frame begins
	seq    uint64
}

func (f *follower) close() {
	if f.file != nil {
		_ = f.file.Close() // only read
		f.file = nil
	}
}

// poll gives what has come. It reports false when it is all over.
func (f *follower) poll(ctx context.Context, yield func(Record, error) bool) bool {
	for ctx.Err() == nil {
		// What comes to the file before this is read below; if another follows it, nothing comes to it
		// afterwards.
		segments, _, err := list(f.dir)
		if missing(err) {
			return true
		}
		if err != nil {
			yield(Record{}, err)
			return false
		}
		if f.file != nil && f.replaced() {
			if !f.read(ctx, -1, yield) { // to its end
				return false
			}
			f.close()
		}
		if f.file == nil {
			if len(segments) == 0 {
				return true
			}
			i := startAt(segments, f.after+1)
			if f.first > 0 {
				i = f.successor(segments)
			}
			if !f.open(segments[i], yield) {
				return false
			}
			if f.file == nil {
				return true
			}
		}
		next, end := uint64(0), int64(-1)
		for i, first := range segments {
			if first == f.first && i+1 < len(segments) {
				next, end = segments[i+1], segmentEnd(f.dir, segments, i)
			}
		}
		if next > 0 && end < 0 {
			return true // it is being written
		}
		if !f.read(ctx, end, yield) {
			return false
		}
		if next == 0 || f.limited || ctx.Err() != nil {
			return true
		}
		if !f.open(next, yield) {
			return false
		}
	}
	return true
}

// successor is the segment to go on with when the one before is not there any more, or another is in its
// place.
func (f *follower) successor(segments []uint64) int {
	i := max(slices.IndexFunc(segments, func(first uint64) bool { return first >= f.first }), 0)
	if segments[i] == 1 { // the log was begun anew
		f.after = 0
	}
	return i
}

// open goes to the beginning of a segment.
func (f *follower) open(first uint64, yield func(Record, error) bool) bool {
	f.close()
	path := filepath.Join(f.dir, segmentName(first))
	file, err := os.Open(path)
	if missing(err) {
		return true
	}
	if err != nil {
		yield(Record{}, &FileError{path, "open", err})
		return false
	}
	_, begin, err := readSegment(file, path, first)
	f.file, f.path, f.first, f.offset, f.seq = file, path, first, begin, first
	if err == nil {
		return true
	}
	var damage *DamageError
	return yield(Record{}, err) && errors.As(err, &damage)
}

// read gives what is new in the file.
func (f *follower) read(ctx context.Context, end int64, yield func(Record, error) bool) bool {
	s := newScanner(f.file, f.path, f.offset, end)
	f.limited = false
	var held []error // damage: it is reported if a whole record follows, as otherwise it may still be written
	for ctx.Err() == nil {
		payload, offset, err := s.next()
		if err == io.EOF {
			return true
		}
		var damage *DamageError
		if errors.As(err, &damage) {
			damage.Seq = f.seq
			held = append(held, err)
			continue
		}
		if err != nil {
			yield(Record{}, err)
			return false
		}
		r, err := decode(payload)
		if err != nil {
			err = &DamageError{File: f.path, Seq: f.seq, Offset: offset, Err: err}
		} else {
			f.seq = r.Seq
		}
		if f.limit > 0 && r.Seq > f.limit {
			f.limited = true
			return true
		}
		f.offset = s.offset()
		f.seq++
		for _, damage := range held {
			if !yield(Record{}, damage) {
				return false
			}
		}
		held = nil
		if (err != nil || r.Seq > f.after) && !yield(r, err) {
			return false
		}
	}
	return true
}

// replaced reports whether the path leads to another file by now.
func (f *follower) replaced() bool {
	now, err := os.Stat(f.path)
	if err != nil {
		return missing(err)
	}
	ours, err := f.file.Stat()
	return err == nil && !os.SameFile(now, ours)
}
