package audit

import (
	"slices"
	"strings"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// scanned is a frame that was read.
type scanned struct {
	head    format.Head
	ok      bool // it begins as a record
	leaf    format.Hash
	offset  int64
	payload []byte
}

// checked is what can be computed about the frames of a block.
type checked struct {
	frames []scanned
	leaves []format.Hash // theirs
	facts  []facts       // theirs, if they are asked for
	// parts are the frames' hashes, if the frames are records one after the other.
	parts []part
	plain bool // they are, and none is the log's own, and all say that as many were lost
}

// part is a run of records up to a checkpoint, or to the block's end.
type part struct {
	leaves   []format.Hash
	subtrees []format.Subtree
}

// blockChecker checks and hashes blocks, in one goroutine.
type blockChecker struct {
	hasher format.Hasher
	last   format.Head
	reader factReader
	sizes  []uint64 // those of checkpoints, sorted
	facts  bool
}

// check looks at each frame and hashes it.
func (w *blockChecker) check(b *block[checked]) {
	c := &b.made
	c.frames, c.parts, c.facts = c.frames[:0], c.parts[:0], c.facts[:0]
	inOrder := true
	c.plain = true
	for at, payload := range b.frames() {
		one := scanned{offset: b.begin + int64(at), payload: payload}
		one.head, one.ok = format.ParseHead(payload, w.last)
		w.hasher.Frame(b.data[at:][:format.FrameSize(len(payload))])
		switch {
		case !one.ok:
			inOrder = false
		case len(c.frames) > 0 && one.head.Seq != w.last.Seq+1:
			inOrder = false
		case len(c.frames) > 0 && one.head.Lost != w.last.Lost, strings.HasPrefix(one.head.Kind, "log."):
			c.plain = false
		}
		w.last = one.head
		c.frames = append(c.frames, one)
		if w.facts {
			c.facts = append(c.facts, w.reader.facts(payload, one.head))
		}
	}
	c.leaves = w.hasher.Leaves(c.leaves[:0])
	for i := range c.frames {
		c.frames[i].leaf = c.leaves[i]
	}
	c.plain = c.plain && inOrder
	if inOrder && len(c.frames) > 0 {
		w.hash(c)
	}
}

// hash computes the tree above the records, as far as it is known without what is beside them.
func (w *blockChecker) hash(c *checked) {
	before := c.frames[0].head.Seq - 1 // records
	sizes, rest := w.sizes, c.leaves
	for len(rest) > 0 {
		n := uint64(len(rest))
		if sizes = after(sizes, before); len(sizes) > 0 {
			n = min(n, sizes[0]-before)
		}
		var p part
		if len(c.parts) < cap(c.parts) {
			p = c.parts[:len(c.parts)+1][len(c.parts)] // its room is used again
		}
		p.leaves = rest[:n]
		p.subtrees = w.hasher.Subtrees(before, p.leaves, p.subtrees[:0])
		c.parts = append(c.parts, p)
		rest, before = rest[n:], before+n
	}
}

// after are the sizes above that one.
func after(sizes []uint64, size uint64) []uint64 {
	i, _ := slices.BinarySearch(sizes, size+1)
	return sizes[i:]
}
