package lanes

import (
	"crypto/sha256"
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// haveWide says whether the processor, and the operating system, can do it.
var haveWide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW

const (
	lanes     = 16
	blockSize = sha256.BlockSize
)

// wide has sixteen hashes under way. When one is done its lane takes the next message, so that messages of different lengths leave
// no lane empty but at the end.
type wide struct {
	state [8][lanes]uint32      // by word
	next  [lanes]unsafe.Pointer // the block that is next: of the message, or of its tail
	left  [lanes]int            // whole blocks from there on
	end   [lanes]int            // blocks of the tail that come after them
	whose [lanes]int            // the message, none if negative
	tail  [lanes][2 * blockSize]byte
}

// blocks takes n blocks from each lane. It does not move next.
//
//go:noescape
func blocks(state *[8][lanes]uint32, next *[lanes]unsafe.Pointer, n int)

// idle is what a lane without a message works at: there is no hash of it.
var idle [idleBlocks * blockSize]byte

const idleBlocks = 32

var initial = [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

func (w *wide) sum(messages [][]byte, hashes []Hash) {
	begun := 0
	busy := 0
	for lane := range lanes {
		if w.whose[lane] = -1; begun < len(messages) {
			w.begin(lane, begun, messages[begun])
			begun++
			busy++
		}
	}
	for busy > 0 {
		n := 0 // until the first lane has to go on elsewhere
		for lane := range lanes {
			if w.whose[lane] < 0 {
				w.next[lane] = unsafe.Pointer(&idle)
			} else if n == 0 || w.left[lane] < n {
				n = w.left[lane]
			}
		}
		if busy < lanes {
			n = min(n, idleBlocks)
		}
		blocks(&w.state, &w.next, n)
		for lane := range lanes {
			if w.whose[lane] < 0 {
				continue
			}
			if w.left[lane] -= n; w.left[lane] > 0 {
				w.next[lane] = unsafe.Add(w.next[lane], n*blockSize)
				continue
			}
			if w.end[lane] > 0 {
				w.next[lane], w.left[lane], w.end[lane] = unsafe.Pointer(&w.tail[lane]), w.end[lane], 0
				continue
			}
			w.finish(lane, &hashes[w.whose[lane]])
			if begun < len(messages) {
				w.begin(lane, begun, messages[begun])
				begun++
			} else {
				w.whose[lane] = -1
				busy--
			}
		}
	}
	w.next = [lanes]unsafe.Pointer{} // the messages are not held
}

// begin puts a message in a lane, and what follows it (a one bit, zeros, its length in bits) in the lane's tail.
func (w *wide) begin(lane, which int, message []byte) {
	for i, word := range initial {
		w.state[i][lane] = word
	}
	whole := len(message) / blockSize
	tail := &w.tail[lane]
	n := copy(tail[:], message[whole*blockSize:])
	tail[n] = 0x80
	end := 1
	if n+1+8 > blockSize {
		end = 2
	}
	clear(tail[n+1 : end*blockSize-8])
	binary.BigEndian.PutUint64(tail[end*blockSize-8:end*blockSize], uint64(len(message))*8)
	w.whose[lane] = which
	if whole > 0 {
		w.next[lane], w.left[lane], w.end[lane] = unsafe.Pointer(unsafe.SliceData(message)), whole, end
	} else {
		w.next[lane], w.left[lane], w.end[lane] = unsafe.Pointer(tail), end, 0
	}
}

func (w *wide) finish(lane int, hash *Hash) {
	for i := range w.state {
		binary.BigEndian.PutUint32(hash[4*i:], w.state[i][lane])
	}
}
