package audit

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// Read gives the records of a log, oldest first. What is no record gives a *DamageError, and the iteration
// goes on after it; any other error is the last. A log that does not exist is such an error,
// fs.ErrNotExist. Read does not compare anything with the checkpoints: that is Verify.
//
// The log may be in use: what is written during the iteration may be seen or not, and the last record may
// be one that is not durable yet. Of segments that are removed as too old during it the records may be missing, as log.pruned says.
func Read(dir string) iter.Seq2[Record, error] { return readFrom(dir, 1) }

// readFrom is Read from the segment on in which that record is.
func readFrom(dir string, seq uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for p, err := range payloads(context.Background(), dir, seq) {
			var r Record
			if err == nil {
				if r, err = decode(p.payload); err != nil {
					err = &DamageError{File: p.path, Seq: p.seq, Offset: p.offset, Err: err}
				}
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// payload is one record as it is in a file. Its bytes are valid until the next one is asked for.
type payload struct {
	payload []byte
	path    string
	offset  int64
	seq     uint64 // which record belongs there
}

// payloads gives the frames of a log from the segment on in which record seq is.
func payloads(ctx context.Context, dir string, seq uint64) iter.Seq2[payload, error] {
	return func(yield func(payload, error) bool) {
		segments, _, err := list(dir)
		if err != nil {
			yield(payload{}, err)
			return
		}
		i := startAt(segments, seq)
		for ; i < len(segments); i++ {
			end := segmentEnd(dir, segments, i)
			if !segmentPayloads(ctx, dir, segments[i], end, yield) {
				return
			}
			if i == len(segments)-1 && end < 0 { // it may have been ended in the meantime
				more, _, err := list(dir)
				if err == nil && len(more) > 0 && more[len(more)-1] > segments[i] {
					last := segments[i]
					segments = more
					for i = 0; i < len(segments) && segments[i] <= last; i++ {
					}
					i--
				}
			}
		}
	}
}

// startAt is the index of the segment in which a record is.
func startAt(segments []uint64, seq uint64) int {
	i := 0
	for i+1 < len(segments) && segments[i+1] <= seq {
		i++
	}
	return i
}

// segmentEnd is where a segment ends by what the next one says, -1 if there is none, or none that can be
// read.
func segmentEnd(dir string, segments []uint64, i int) int64 {
	if i+1 >= len(segments) {
		return -1
	}
	next, err := headerOf(dir, segments[i+1])
	if err != nil || next.Previous == nil || next.Previous.First != segments[i] {
		return -1
	}
	return next.Previous.End
}

// segmentPayloads gives the frames of one segment. It reports false when the iteration is over.
func segmentPayloads(ctx context.Context, dir string, first uint64, end int64, yield func(payload, error) bool) bool {
	path := filepath.Join(dir, segmentName(first))
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true // removed, as too old, since the directory was read
	}
	if err != nil {
		yield(payload{}, &FileError{path, "open", err})
		return false
	}
	defer func() { _ = f.Close() }() // only read
	begin := int64(0)
	if _, begin, err = readSegment(f, path, first); err != nil {
		var damage *DamageError
		if !errors.As(err, &damage) {
			yield(payload{}, err)
			return false
		}
		if !yield(payload{}, err) {
			return false
		}
		begin = 0 // what follows the damage is found
	}
	s := newScanner(f, path, begin, end)
	seq := first
	var head format.Head
	for ctx.Err() == nil {
		p, offset, err := s.next()
		if err == io.EOF {
			return true
		}
		var damage *DamageError
		if errors.As(err, &damage) {
			if begin == 0 && offset == 0 { // reported already
				continue
			}
			damage.Seq = seq
			if !yield(payload{path: path, offset: offset, seq: seq}, err) {
				return false
			}
			continue
		}
		if err != nil {
			yield(payload{}, err)
			return false
		}
		var ok bool
		if head, ok = format.ParseHead(p, head); ok {
			seq = head.Seq
		}
		if !yield(payload{p, path, offset, seq}, nil) {
			return false
		}
		seq++
	}
	return false
}

// Tail returns the last n records, oldest first, of those that are whole: an unfinished one at the end is
// a write that is going on. With damage among them it returns the others, and the *DamageErrors, joined.
// It reads the segments they are in.
func Tail(dir string, n int) ([]Record, error) {
	if n <= 0 {
		return nil, nil
	}
	segments, _, err := list(dir)
	if err != nil {
		return nil, err
	}
	for back := 1; ; back *= 2 {
		from := uint64(1)
		if back < len(segments) {
			from = segments[len(segments)-back]
		}
		records, count, err := tailFrom(dir, from, n)
		if count >= n || back >= len(segments) {
			return records, err
		}
	}
}

func tailFrom(dir string, from uint64, n int) ([]Record, int, error) {
	type item struct {
		record Record
		err    error
	}
	ring, count := make([]item, 0, min(n, 1024)), 0
	for r, err := range readFrom(dir, from) {
		var damage *DamageError
		if err != nil && !errors.As(err, &damage) {
			return nil, n, err
		}
		if errors.Is(err, format.ErrShort) {
			continue
		}
		if len(ring) < n {
			ring = append(ring, item{r, err})
		} else {
			ring[count%n] = item{r, err}
		}
		count++
	}
	var records []Record
	var damages []error
	for i := max(0, count-n); i < count; i++ {
		if it := ring[i%n]; it.err != nil {
			damages = append(damages, it.err)
		} else {
			records = append(records, it.record)
		}
	}
	return records, count, errors.Join(damages...)
}
