package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"iter"
	"math"
	"os"
	"strconv"
	"time"
)

const (
	followInterval = 100 * time.Millisecond
	// followMemory is how many lines back a Follow can tell what it has given. A failed batch, the most
	// that is ever cut off, is less.
	followMemory = 4 * queueSize
)

// Follow gives the records of a log, oldest first, and then those to come, until ctx ends: no error says
// that it did. No record is missed, and none given twice. A log that does not exist yet is waited for; one
// that is moved away and begun anew is followed. Errors are those of Read.
//
// A record may be given before it is durable. If it never becomes so, it is cut off the log, and those in
// its place, with the same numbers, are given as well.
func Follow(ctx context.Context, dir string) iter.Seq2[Record, error] {
	return FollowAfter(ctx, dir, 0)
}

// FollowAfter is Follow without the records whose Seq is at most after. With the Seq of the last record of
// Tail it goes on where that ended.
func FollowAfter(ctx context.Context, dir string, after uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		f := &follower{path: Path(dir), after: after, seen: make(map[string]struct{})}
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
	path   string
	after  uint64
	file   *os.File
	line   int   // lines behind it
	offset int64 // where the next one begins
	marks  []mark
	seen   map[string]struct{}
}

// mark is a line behind a follower.
type mark struct {
	key        string // the record's id; of a damaged line, its place
	line       int
	start, end int64
	sum        [sha256.Size]byte
}

func (f *follower) close() {
	if f.file != nil {
		_ = f.file.Close() // only read
		f.file = nil
	}
}

// poll gives what has come. It reports false when it is all over.
func (f *follower) poll(ctx context.Context, yield func(Record, error) bool) bool {
	if f.file == nil {
		file, err := os.Open(f.path)
		if missing(err) {
			return true
		}
		if err != nil {
			yield(Record{}, &FileError{f.path, "open", err})
			return false
		}
		f.file = file
	}
	// What comes to the old file before this is read below; nothing comes to it afterwards.
	replaced := f.replaced()
	if !f.intact() {
		f.rewind()
	}
	lines := newLines(io.NewSectionReader(f.file, f.offset, math.MaxInt64-f.offset), f.path, f.line, f.offset)
	for ctx.Err() == nil {
		line, err := lines.next()
		if err == io.EOF || errors.Is(err, errTorn) {
			break // the rest of a line is still to come
		}
		var r Record
		m := mark{line: lines.line, start: lines.start, end: lines.offset}
		if err == nil {
			m.sum = sha256.Sum256(line)
			if r, err = decode(line); err != nil {
				err = lines.damage(err)
			}
		}
		var damage *DamageError
		switch {
		case err == nil:
			m.key = r.ID
		case !errors.As(err, &damage):
			yield(Record{}, err)
			return false
		case !f.intact():
			return true // what was read is half old, half new; the next poll sorts it out
		default:
			m.key = "@" + strconv.FormatInt(m.start, 10)
		}
		if f.pass(m) && (err != nil || r.Seq > f.after) && !yield(r, err) {
			return false
		}
	}
	if replaced {
		f.close()
		f.line, f.offset, f.marks = 0, 0, nil
	}
	return true
}

// pass goes past a line. It reports whether it was new.
func (f *follower) pass(m mark) bool {
	f.line, f.offset = m.line, m.end
	_, old := f.seen[m.key]
	f.seen[m.key] = struct{}{}
	f.marks = append(f.marks, m)
	if len(f.marks) > followMemory {
		drop := len(f.marks) / 2
		kept := f.marks[drop:]
		f.seen = make(map[string]struct{}, followMemory)
		f.marks = append(make([]mark, 0, followMemory+1), kept...)
		for _, m := range f.marks {
			f.seen[m.key] = struct{}{}
		}
	}
	return !old
}

// intact reports whether the last line is still what it was. If not, the log's end was cut off since.
func (f *follower) intact() bool {
	if len(f.marks) == 0 {
		return true
	}
	m := f.marks[len(f.marks)-1]
	if m.sum == ([sha256.Size]byte{}) { // too long to be kept
		info, err := f.file.Stat()
		return err == nil && info.Size() >= m.end
	}
	line := make([]byte, m.end-m.start)
	_, err := f.file.ReadAt(line, m.start)
	return err == nil && line[len(line)-1] == '\n' && sha256.Sum256(line[:len(line)-1]) == m.sum
}

// rewind goes back to where the log is still known. Which of the lines from there are new, seen tells.
func (f *follower) rewind() {
	f.line, f.offset = f.marks[0].line-1, f.marks[0].start
	f.marks = nil
}

// replaced reports whether the path leads to another file by now.
func (f *follower) replaced() bool {
	now, err := os.Stat(f.path)
	if err != nil {
		return false // moved away, and nothing there yet
	}
	ours, err := f.file.Stat()
	return err == nil && !os.SameFile(now, ours)
}
