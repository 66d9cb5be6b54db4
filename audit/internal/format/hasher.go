package format

import (
	"github.com/understudy-run/understudy/audit/internal/lanes"
)

// Hasher computes hashes of many records together, and those of the tree above them. The zero value is ready. It is for one
// goroutine.
type Hasher struct {
	lanes    lanes.Hasher
	messages [][]byte
	levels   []level // of the tree, from the records up
	climbed  int     // how many of them are of the last climb
	below    []byte  // the nodes' messages
	nodes    []Hash  // room
}

// level is a run of nodes at one height.
type level struct {
	first  uint64
	hashes []Hash
}

func (l *level) node(n uint64) Hash { return l.hashes[n-l.first] }

// Frame has the payload of a frame hashed as a record of the tree, when Leaves is called. It changes the frame's checksum,
// which is to be looked at before, or made after: what a record's hash has before its payload stands there.
func (h *Hasher) Frame(frame []byte) {
	frame[HeaderSize-1] = 0
	h.messages = append(h.messages, frame[HeaderSize-1:len(frame)-1])
}

// Leaves appends the hashes of the payloads that Frame was given since it was called last. They were not to change.
func (h *Hasher) Leaves(into []Hash) []Hash {
	into = h.lanes.Sum(h.messages, into)
	clear(h.messages)
	h.messages = h.messages[:0]
	return into
}

// Subtrees appends to into the largest complete subtrees that some records have within a tree, in order. before is how
// many records the tree has before them.
func (h *Hasher) Subtrees(before uint64, leaves []Hash, into []Subtree) []Subtree {
	if len(leaves) == 0 {
		return into
	}
	h.climb(before, leaves, nil)
	for at, end := before, before+uint64(len(leaves)); at < end; {
		up := 0
		for up+1 < h.climbed && at>>up&1 == 0 && at+2<<up <= end {
			up++
		}
		into = append(into, Subtree{up, h.levels[up].node(at >> up)})
		at += 1 << up
	}
	return into
}

// climb computes the nodes above some records. left is the node that a level has before them; without it only the nodes are
// computed that have none but these records below.
func (h *Hasher) climb(before uint64, leaves []Hash, left func(level int) Hash) {
	h.climbed = 0
	h.reach(before)
	h.levels[0].hashes = append(h.levels[0].hashes, leaves...)
	for {
		up := h.climbed - 1
		below := &h.levels[up]
		children, first := below.hashes, below.first
		h.below = h.below[:0]
		if first&1 == 1 {
			if left != nil {
				h.pair(left(up), children[0])
				first--
			} else {
				first++
			}
			children = children[1:]
		}
		for ; len(children) >= 2; children = children[2:] {
			h.pair(children[0], children[1])
		}
		if len(h.below) == 0 {
			return
		}
		for at := 0; at < len(h.below); at += nodeSize {
			h.messages = append(h.messages, h.below[at:at+nodeSize])
		}
		h.reach(first / 2)
		above := &h.levels[up+1]
		above.hashes = h.Leaves(above.hashes)
	}
}

// reach begins the next level, with the room it had.
func (h *Hasher) reach(first uint64) {
	if h.climbed == len(h.levels) {
		h.levels = append(h.levels, level{})
	}
	l := &h.levels[h.climbed]
	l.first, l.hashes = first, l.hashes[:0]
	h.climbed++
}

const nodeSize = 1 + 2*len(Hash{})

// pair writes down what a node is the hash of.
func (h *Hasher) pair(left, right Hash) {
	h.below = append(h.below, 1)
	h.below = append(h.below, left[:]...)
	h.below = append(h.below, right[:]...)
}
