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
	return look(context.Background(), dir, seq, func() looker[Record] {
		var d decoder
		return func(p *payload) (Record, verdict, error) {
			r, err := d.record(p.payload)
			return r, keep, err
		}
	})
}

// payload is one record as it is in a file.
type payload struct {
	payload []byte
	head    format.Head
	ok      bool // it begins as one
	out     *[]byte
}

// verdict says what becomes of a record.
type verdict int

const (
	keep verdict = iota
	skip
	over // neither this one nor any that follows is asked for
)

// looker makes something of a record. What it returns may be a part of the payload, or of what it appends to out: then it is valid until
// the next one is asked for. An error is that the payload is no record.
type looker[T any] func(p *payload) (T, verdict, error)

// found is what lookers made of a block of records.
type found[T any] struct {
	items []item[T]
	last  uint64 // the number of the last record
	ahead bool   // or how many there are, if none has one
	out   []byte
}

type item[T any] struct {
	value   T
	verdict verdict
	err     error
	offset  int64
	seq     uint64 // which record belongs there
	ahead   bool   // seq counts from the block's first
}

// look gives what lookers make of the frames of a log, in order, from the segment on in which record seq is. What is no record gives a
// *DamageError, and it goes on after it; any other error is the last. It takes one looker for each goroutine of its own.
func look[T any](ctx context.Context, dir string, seq uint64, lookers func() looker[T]) iter.Seq2[T, error] {
	return lookInBlocks(ctx, dir, seq, blockSize, manyBlocks, lookers)
}

// lookInBlocks is look with blocks of that size, where a segment has so many bytes or more.
func lookInBlocks[T any](ctx context.Context, dir string, seq uint64, size int, many int64, lookers func() looker[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		segments, _, err := list(dir)
		if err != nil {
			yield(none, err)
			return
		}
		i := startAt(segments, seq)
		for ; i < len(segments); i++ {
			end := segmentEnd(dir, segments, i)
			if !lookAtSegment(ctx, dir, segments[i], end, size, many, lookers, yield) {
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

// lookAtSegment is look for one segment. It reports false when the iteration is over.
func lookAtSegment[T any](
	ctx context.Context, dir string, first uint64, end int64, blockSize int, many int64, lookers func() looker[T], yield func(T, error) bool,
) bool {
	var none T
	path := filepath.Join(dir, segmentName(first))
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true // removed, as too old, since the directory was read
	}
	if err != nil {
		yield(none, &FileError{path, "open", err})
		return false
	}
	defer func() { _ = f.Close() }() // only read
	begin := int64(0)
	if _, begin, err = readSegment(f, path, first); err != nil {
		var damage *DamageError
		if !errors.As(err, &damage) {
			yield(none, err)
			return false
		}
		if !yield(none, err) {
			return false
		}
		begin = 0 // what follows the damage is found
	}
	seq := first // of the record that comes next
	give := func(it *item[T]) bool {
		if it.err != nil {
			belongs := it.seq
			if it.ahead {
				belongs += seq
			}
			return yield(none, &DamageError{File: path, Seq: belongs, Offset: it.offset, Err: it.err})
		}
		return it.verdict == skip || it.verdict == keep && yield(it.value, nil)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		yield(none, &FileError{path, "look at file", err})
		return false
	}
	if end >= 0 {
		size = min(size, end)
	}
	if begin > 0 && size-begin >= many {
		worker := func() func(*block[found[T]]) {
			one, head := lookers(), format.Head{}
			return func(b *block[found[T]]) { head = lookAtBlock(b, one, head) }
		}
		for b := range blocks(f, begin, size, blockSize, worker, &begin) {
			for i := range b.made.items {
				if !give(&b.made.items[i]) {
					return false
				}
			}
			if seq += b.made.last; !b.made.ahead {
				seq = b.made.last + 1
			}
			if ctx.Err() != nil {
				return false
			}
		}
	}
	// What is left is the end, or damage and what comes after it.
	s := newScanner(f, path, begin, end)
	one, p, out := lookers(), payload{}, []byte(nil)
	for ctx.Err() == nil {
		bytes, offset, err := s.next()
		if err == io.EOF {
			return true
		}
		var damage *DamageError
		if errors.As(err, &damage) {
			if begin == 0 && offset == 0 { // reported already
				continue
			}
			damage.Seq = seq
			if !yield(none, err) {
				return false
			}
			continue
		}
		if err != nil {
			yield(none, err)
			return false
		}
		out = out[:0]
		p.payload, p.out = bytes, &out
		if p.head, p.ok = format.ParseHead(bytes, p.head); p.ok {
			seq = p.head.Seq
		}
		it := item[T]{offset: offset, seq: seq}
		if it.value, it.verdict, it.err = one(&p); !give(&it) {
			return false
		}
		seq++
	}
	return false
}

// lookAtBlock has a looker look at the records of a block.
func lookAtBlock[T any](b *block[found[T]], one looker[T], head format.Head) format.Head {
	made := &b.made
	made.items, made.last, made.ahead, made.out = made.items[:0], 0, true, made.out[:0]
	p := payload{head: head, out: &made.out}
	for at, bytes := range b.frames() {
		p.payload = bytes
		if p.head, p.ok = format.ParseHead(bytes, p.head); p.ok {
			made.last, made.ahead = p.head.Seq, false
		} else if !made.ahead {
			made.last++
		}
		it := item[T]{offset: b.begin + int64(at), seq: made.last, ahead: made.ahead}
		if it.value, it.verdict, it.err = one(&p); it.err != nil || it.verdict != skip {
			made.items = append(made.items, it)
		}
		if it.err == nil && it.verdict == over {
			break
		}
		if made.ahead {
			made.last++
		}
	}
	return p.head
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

// asIs gives payloads as they are.
func asIs() looker[[]byte] {
	return func(p *payload) ([]byte, verdict, error) { return p.payload, keep, nil }
}

func tailFrom(dir string, from uint64, n int) ([]Record, int, error) {
	type item struct {
		payload []byte
		err     error
	}
	ring, count := make([]item, 0, min(n, 1024)), 0
	for payload, err := range look(context.Background(), dir, from, asIs) {
		var damage *DamageError
		if err != nil && !errors.As(err, &damage) {
			return nil, n, err
		}
		if errors.Is(err, format.ErrShort) {
			continue
		}
		if len(ring) < n {
			ring = append(ring, item{})
		}
		it := &ring[count%n]
		it.payload, it.err = append(it.payload[:0], payload...), err
		count++
	}
	var records []Record
	var damages []error
	var d decoder
	for i := max(0, count-n); i < count; i++ {
		it := ring[i%n]
		if it.err == nil {
			var r Record // only the last are decoded
			if r, it.err = d.record(it.payload); it.err == nil {
				records = append(records, r)
				continue
			}
		}
		damages = append(damages, it.err)
	}
	return records, count, errors.Join(damages...)
}
