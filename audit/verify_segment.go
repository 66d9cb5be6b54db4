package audit

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// segment reads one segment.
func (v *verification) segment(ctx context.Context, i int) error {
	first := v.segments[i]
	name := segmentName(first)
	path := filepath.Join(v.dir, name)
	last := i == len(v.segments)-1
	f, err := os.Open(path)
	if err != nil {
		return &FileError{path, "open", err}
	}
	defer func() { _ = f.Close() }() // only read
	header, begin, err := readSegment(f, path, first)
	var damage *DamageError
	if errors.As(err, &damage) {
		v.find(Tampered, first, name, damage.Offset, "the segment's header: %v", damage.Err)
		v.checker.Fail()
		begin = 0
	} else if err != nil {
		return err
	} else if i > 0 {
		v.join(i, header, name)
		if v.invariants != nil {
			v.invariants.segment(header.Sessions)
		}
	}
	end, abandoned := int64(-1), false
	if !last {
		next, err := headerOf(v.dir, v.segments[i+1])
		if err == nil && next.Previous.First == first {
			end, abandoned = next.Previous.End, next.Previous.Abandoned
		}
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return &FileError{path, "look at file", err}
	}
	if end >= 0 {
		size = min(size, end)
	}
	if begin > 0 && size-begin >= v.many {
		sizes, facts := v.checker.Sizes(), v.invariants != nil
		worker := func() func(*block[checked]) { return (&blockChecker{sizes: sizes, facts: facts}).check }
		for b := range blocks(f, begin, size, v.blockSize, worker, &begin) {
			v.block(&b.made, name)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	}
	// What is left is the end, or damage and what comes after it.
	s := newScanner(f, path, begin, end)
	s.failed = begin == 0
	var leaf format.Leaf
	var head format.Head
	var reader factReader
	for {
		payload, offset, err := s.next()
		if err == io.EOF {
			break
		}
		if errors.As(err, &damage) {
			if last && v.checker.Size() >= v.known {
				v.torn(f, name, damage)
				v.stopped = true
				return nil
			}
			v.find(Tampered, v.checker.Size()+1, name, damage.Offset, "no record: %v", damage.Err)
			continue
		}
		if err != nil {
			return err
		}
		one := scanned{offset: offset, payload: payload, leaf: leaf.Hash(payload)}
		one.head, one.ok = format.ParseHead(payload, head)
		head = one.head
		var said *facts
		if v.invariants != nil {
			said = new(reader.facts(payload, head))
		}
		v.record(&one, said, name)
		if v.checker.Size()&0xfff == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if end < 0 {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return &FileError{path, "look at file", err}
	}
	switch over := info.Size() - end; {
	case over < 0:
		v.find(Tampered, v.checker.Size()+1, name, info.Size(), "%d bytes are missing at the end", -over)
	case over > 0 && abandoned:
		v.find(Note, 0, name, end, "%d bytes of a write that failed follow the records", over)
	case over > 0:
		v.find(Tampered, 0, name, end, "%d bytes follow the end", over)
	}
	return nil
}

// block compares the records of a block: all at once if there is nothing special about them.
func (v *verification) block(b *checked, name string) {
	if len(b.frames) == 0 || !b.plain || b.frames[0].head.Seq != v.checker.Size()+1 || b.frames[0].head.Lost != v.lost {
		for i := range b.frames {
			var said *facts
			if v.invariants != nil {
				said = &b.facts[i]
			}
			v.record(&b.frames[i], said, name)
		}
		return
	}
	for i := range b.parts {
		if m := v.checker.AddRun(b.parts[i].leaves, b.parts[i].subtrees); m != nil {
			v.mismatch(m)
		}
	}
	v.foreign = true
	if v.invariants != nil {
		for i := range b.frames {
			v.compare(&b.frames[i], &b.facts[i], name)
		}
	}
}

// torn reports an unfinished end, unless somebody is writing it.
func (v *verification) torn(f *os.File, name string, damage *DamageError) {
	if writing(v.dir) {
		return
	}
	size := damage.Offset
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	v.find(Torn, v.checker.Size()+1, name, damage.Offset, "the last %d bytes are no records: %v", size-damage.Offset, damage.Err)
}

// writing reports whether a process has the log open for writing. It holds the lock for a moment; a writer
// that starts just then is told that the log is in use, and tries again.
func writing(dir string) bool {
	f, err := os.Open(filepath.Join(dir, lockName))
	if err != nil {
		return false
	}
	defer func() {
		unlock(f)
		_ = f.Close()
	}()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// join compares a segment with what came before it.
func (v *verification) join(i int, header format.Segment, name string) {
	size := v.checker.Size()
	switch {
	case header.Previous.First != v.segments[i-1]:
		v.find(Tampered, size+1, name, 0, "the segment before it, %s, is missing", segmentName(header.Previous.First))
	case header.First != size+1 && !v.checker.Failed():
		v.find(Tampered, size+1, name, 0, "the segment begins with record %d", header.First)
	}
	tree, err := header.Frontier()
	if err != nil {
		return // parsing has seen to it
	}
	if header.First != size+1 {
		v.missing(header.First)
	}
	if !v.checker.Failed() && tree.Root() != v.checker.Tree().Root() {
		v.find(Tampered, header.First, name, 0, "the tree in the segment's header is another than that of the records before")
	}
}

// record compares one record. said is nil if there are no invariants to be held.
func (v *verification) record(one *scanned, said *facts, name string) {
	head, offset, payload := one.head, one.offset, one.payload
	expected := v.checker.Size() + 1
	if !one.ok {
		v.find(Tampered, expected, name, offset, "it does not begin as a record")
		return
	}
	switch {
	case head.Seq < expected:
		v.find(Tampered, head.Seq, name, offset, "a record of this number is in the place of record %d", expected)
		return
	case head.Seq > expected:
		v.find(Tampered, expected, name, offset, "the records %d to %d are missing", expected, head.Seq-1)
		v.missing(head.Seq)
	}
	if m := v.checker.Add(one.leaf); m != nil {
		v.mismatch(m)
	}
	if head.Lost < v.lost {
		v.find(Tampered, head.Seq, name, offset, "it has lost %d, records before it %d", head.Lost, v.lost)
	}
	if strings.HasPrefix(head.Kind, "log.") {
		v.own(payload, head)
	} else {
		v.foreign = true
	}
	v.lost = max(v.lost, head.Lost)
	if said != nil {
		v.compare(one, said, name)
	}
}

// compare holds a record against the invariants.
func (v *verification) compare(one *scanned, said *facts, name string) {
	if said.err != nil {
		v.find(Tampered, one.head.Seq, name, one.offset, "no record: %v", said.err)
		return
	}
	v.invariants.record(&one.head, said)
}

// missing goes on behind records that are not there, with their hashes from the side file. If those are
// right, the next checkpoint will say so.
func (v *verification) missing(next uint64) {
	for seq := v.checker.Size() + 1; seq < next; seq++ {
		leaf, err := v.written(seq, seq)
		if err != nil {
			v.checker.Fail()
			leaf = []format.Hash{{}}
		}
		if m := v.checker.Add(leaf[0]); m != nil {
			v.mismatch(m)
		}
	}
}

// written are the hashes of records by the side file.
func (v *verification) written(from, to uint64) ([]format.Hash, error) {
	if v.hashes == nil || to-from > 1<<20 {
		return nil, format.ErrMissingHash
	}
	var indexes []int64
	for seq := from; seq <= to; seq++ {
		indexes = append(indexes, tlog.StoredHashIndex(0, int64(seq-1)))
	}
	return v.hashes.ReadHashes(indexes)
}

// mismatch reports records that are not those of a checkpoint.
func (v *verification) mismatch(m *format.Mismatch) {
	whose := "a checkpoint"
	if slices.Contains(v.anchors, m.Checkpoint) {
		whose = "the checkpoint given"
	}
	if written, err := v.written(m.From, m.To); err == nil && m.From <= m.To {
		if seq, certain := m.Locate(written); certain {
			v.find(Tampered, seq, "", 0, "it was changed: it is not the record that %s of %d records covers", whose, m.Checkpoint.Size)
			return
		}
	}
	v.find(Tampered, m.To, "", 0, "the records %d to %d are not those that %s covers", m.From, m.To, whose)
}

// own handles a record of the log's own.
func (v *verification) own(payload []byte, head format.Head) {
	r, err := decode(payload)
	if err != nil {
		return // the record is what it was: the checkpoint says so
	}
	switch r.Kind {
	case LogGap:
		v.find(Gap, r.Seq, "", 0, "%v records were lost between %v and %v", r.Detail["count"], r.Detail["first"], r.Detail["last"])
		if n, _ := r.Detail["count"].(float64); uint64(n) != head.Lost-v.lost {
			v.find(Tampered, r.Seq, "", 0, "the gap is of %v records, and lost grows by %d", r.Detail["count"], head.Lost-v.lost)
		}
	case LogRecovered:
		v.find(Note, r.Seq, "", 0, "an opening found the end torn, or written without success: %v bytes were dropped", orZero(r.Detail["dropped_bytes"]))
	case LogFull:
		v.find(Note, r.Seq, "", 0, "the disk was full")
	case LogPruned:
		n, _ := r.Detail["through"].(float64)
		v.pruned = max(v.pruned, uint64(n))
		v.find(Note, r.Seq, "", 0, "the records up to %.0f were removed as too old", n)
	default: // nothing to say
	}
}

func orZero(v any) any {
	if v == nil {
		return 0
	}
	return v
}
