package audit

import (
	"encoding/binary"
	"io"
	"iter"
	"runtime"
	"sync"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// blockSize is how much of a segment is read and checked at a time.
const blockSize = 256 << 10

// manyBlocks is how much of a segment there has to be to check several blocks of it at the same time.
const manyBlocks = 2 * blockSize

// block is a run of whole frames, and what was made of them without knowing what came before.
type block[T any] struct {
	begin int64
	data  []byte
	// bad is where something is that is no frame; what comes before it is in made. Negative if all are.
	bad  int64
	made T
	done chan struct{}
}

// blocks reads a segment in blocks, in order. Several goroutines make something of them, each with a function of its own that worker
// gives, which is nearly all the work there is. It ends where something is that is no frame, or at the end, and says where that is: a
// scanner has to look at what is there. end is where the file ends, or where to stop before. A block is valid until the next one is asked for.
func blocks[T any](f io.ReaderAt, at, end int64, size int, worker func() func(*block[T]), rest *int64) iter.Seq[*block[T]] {
	return func(yield func(*block[T]) bool) {
		workers := min(runtime.GOMAXPROCS(0), 8)
		count := workers + 2
		ordered, todo, spare := make(chan *block[T], count), make(chan *block[T], count), make(chan *block[T], count)
		over := make(chan struct{})
		for range count {
			spare <- &block[T]{done: make(chan struct{}, 1)}
		}
		var working sync.WaitGroup
		working.Go(func() { // ends at the end of the segment, or when over is closed
			defer close(ordered)
			defer close(todo)
			for at := at; ; {
				var b *block[T]
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
		for range workers {
			working.Go(func() { // ends with todo
				work := worker()
				for b := range todo {
					b.bad = -1
					work(b)
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

// frames gives the payloads and where their frames begin in data, up to what is none.
func (b *block[T]) frames() iter.Seq2[int, []byte] {
	return func(yield func(at int, payload []byte) bool) {
		for at := 0; at < len(b.data); {
			payload, size, err := format.Next(b.data[at:])
			if err != nil {
				b.bad = b.begin + int64(at)
				return
			}
			if !yield(at, payload) {
				return
			}
			at += size
		}
	}
}

// read reads whole frames, by their lengths. It reports false if there is none.
func (b *block[T]) read(f io.ReaderAt, at, end int64, size int) bool {
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
