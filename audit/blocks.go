package audit

import (
	"encoding/binary"
	"io"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// blockSize is how much of a segment is read and checked at a time.
const blockSize = 256 << 10

// manyBlocks is how much of a segment there has to be to check several blocks of it at the same time.
const manyBlocks = 2 * blockSize

// scanned is a frame that was read.
type scanned struct {
	head    format.Head
	ok      bool // it begins as a record
	leaf    format.Hash
	offset  int64
	payload []byte
}

// block is a run of whole frames, with all that can be computed about them without knowing what came before.
type block struct {
	begin  int64
	data   []byte
	frames []scanned
	leaves []format.Hash // theirs
	// bad is where something is that is no frame; what comes before it is in frames. Negative if all are.
	bad int64
	// parts are the frames' hashes, if the frames are records one after the other.
	parts []part
	plain bool // they are, and none is the log's own, and all say that as many were lost
	done  chan struct{}
}

// part is a run of records up to a checkpoint, or to the block's end.
type part struct {
	leaves   []format.Hash
	subtrees []format.Subtree
}

// blocks reads a segment in blocks, in order. Several goroutines check and hash them, which is nearly all the work of a
// verification. It ends where something is that is no frame, or at the end, and says where that is: a scanner has to look
// at what is there. end is where the file ends, or where to stop before; sizes are those of checkpoints, sorted. A block is valid until the next one is asked for.
func blocks(f io.ReaderAt, at, end int64, size int, sizes []uint64, rest *int64) iter.Seq[*block] {
	return func(yield func(*block) bool) {
		hashers := min(runtime.GOMAXPROCS(0), 8)
		count := hashers + 2
		ordered, todo, spare := make(chan *block, count), make(chan *block, count), make(chan *block, count)
		over := make(chan struct{})
		for range count {
			spare <- &block{done: make(chan struct{}, 1)}
		}
		var working sync.WaitGroup
		working.Go(func() { // ends at the end of the segment, or when over is closed
			defer close(ordered)
			defer close(todo)
			for at := at; ; {
				var b *block
				select {
				case b = <-spare:
				case <-over:
					return
				}
				if !b.read(f, at, end, size) {
					return
				}
				at += int64(len(b.data))
				ordered <- b // both have room for all blocks there are
				todo <- b
			}
		})
		for range hashers {
			working.Go(func() { // ends with todo
				var last format.Head
				var hasher format.Hasher
				for b := range todo {
					last = b.check(&hasher, last, sizes)
					b.done <- struct{}{}
				}
			})
		}
		defer working.Wait()
		defer close(over)
		*rest = at
		for b := range ordered {
			<-b.done
			if b.bad >= 0 {
				*rest = b.bad
			} else {
				*rest = b.begin + int64(len(b.data))
			}
			if !yield(b) || b.bad >= 0 {
				return
			}
			spare <- b
		}
	}
}

// read reads whole frames, by their lengths. It reports false if there is none.
func (b *block) read(f io.ReaderAt, at, end int64, size int) bool {
	b.begin = at
	size = max(size, cap(b.data))
	for {
		size = int(min(int64(size), max(end-at, 0)))
		if cap(b.data) < size {
			b.data = make([]byte, size)
		}
		n, err := f.ReadAt(b.data[:size], at)
		whole := wholeFrames(b.data[:n])
		b.data = b.data[:whole]
		if whole > 0 || err != nil || n < format.HeaderSize || int64(n) >= end-at {
			return whole > 0 // what is wrong is seen again by the scanner
		}
		// One frame is longer than all that was read, or there is no frame.
		length := binary.LittleEndian.Uint32(b.data[:n])
		if length == 0 || length > format.MaxPayload {
			return false
		}
		size = format.FrameSize(int(length))
	}
}

// wholeFrames is how many of the bytes are whole frames, by their lengths.
func wholeFrames(data []byte) (whole int) {
	for len(data)-whole >= format.HeaderSize {
		length := binary.LittleEndian.Uint32(data[whole:])
		if length == 0 || length > format.MaxPayload || len(data)-whole < format.FrameSize(int(length)) {
			break
		}
		whole += format.FrameSize(int(length))
	}
	return whole
}

// check looks at each frame and hashes it.
func (b *block) check(h *format.Hasher, last format.Head, sizes []uint64) format.Head {
	b.frames, b.parts, b.bad = b.frames[:0], b.parts[:0], -1
	inOrder := true
	b.plain = true
	for at := 0; at < len(b.data); {
		payload, size, err := format.Next(b.data[at:])
		if err != nil {
			b.bad = b.begin + int64(at)
			break
		}
		one := scanned{offset: b.begin + int64(at), payload: payload}
		one.head, one.ok = format.ParseHead(payload, last)
		h.Frame(b.data[at : at+size])
		switch {
		case !one.ok:
			inOrder = false
		case len(b.frames) > 0 && one.head.Seq != last.Seq+1:
			inOrder = false
		case len(b.frames) > 0 && one.head.Lost != last.Lost, strings.HasPrefix(one.head.Kind, "log."):
			b.plain = false
		}
		last = one.head
		b.frames = append(b.frames, one)
		at += size
	}
	b.leaves = h.Leaves(b.leaves[:0])
	for i := range b.frames {
		b.frames[i].leaf = b.leaves[i]
	}
	b.plain = b.plain && inOrder
	if inOrder && len(b.frames) > 0 {
		b.hash(h, sizes)
	}
	return last
}

// hash computes the tree above the records, as far as it is known without what is beside them.
func (b *block) hash(h *format.Hasher, sizes []uint64) {
	before := b.frames[0].head.Seq - 1 // records
	rest := b.leaves
	for len(rest) > 0 {
		n := uint64(len(rest))
		if sizes = after(sizes, before); len(sizes) > 0 {
			n = min(n, sizes[0]-before)
		}
		var p part
		if len(b.parts) < cap(b.parts) {
			p = b.parts[:len(b.parts)+1][len(b.parts)] // its room is used again
		}
		p.leaves = rest[:n]
		p.subtrees = h.Subtrees(before, p.leaves, p.subtrees[:0])
		b.parts = append(b.parts, p)
		rest, before = rest[n:], before+n
	}
}

// after are the sizes above that one.
func after(sizes []uint64, size uint64) []uint64 {
	i, _ := slices.BinarySearch(sizes, size+1)
	return sizes[i:]
}
