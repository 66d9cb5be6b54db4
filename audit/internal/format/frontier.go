package format

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is the hash of a record, a subtree, or a tree.
type Hash = tlog.Hash

// Frontier is a tree reduced to the roots of its complete subtrees, the largest first: enough to add
// records, and to compute the tree's hash. There are as many as the size has bits that are set. The zero
// value is the empty tree. A copy made with Clone is independent.
type Frontier struct {
	size  uint64
	nodes []Hash
}

// NewFrontier is the tree of that size with those complete subtrees.
func NewFrontier(size uint64, nodes []Hash) (Frontier, error) {
	if size > 1<<62 || bits.OnesCount64(size) != len(nodes) {
		return Frontier{}, fmt.Errorf("a tree of %d records with %d subtrees: it must have %d", size, len(nodes), bits.OnesCount64(size))
	}
	return Frontier{size, nodes}, nil
}

// Size is the number of records.
func (f *Frontier) Size() uint64 { return f.size }

// Nodes are the roots of the complete subtrees, the largest first.
func (f *Frontier) Nodes() []Hash { return f.nodes }

// Clone is an independent copy.
func (f *Frontier) Clone() Frontier {
	return Frontier{f.size, append(make([]Hash, 0, len(f.nodes)+1), f.nodes...)}
}

// Add appends a record's hash. It appends to stored the hashes that tlog stores for it: its own, and those
// of the subtrees it completes.
func (f *Frontier) Add(leaf Hash, stored []Hash) []Hash {
	if stored != nil {
		stored = append(stored, leaf)
	}
	for n := f.size; n&1 == 1; n >>= 1 {
		leaf = tlog.NodeHash(f.nodes[len(f.nodes)-1], leaf)
		f.nodes = f.nodes[:len(f.nodes)-1]
		if stored != nil {
			stored = append(stored, leaf)
		}
	}
	f.nodes = append(f.nodes, leaf)
	f.size++
	return stored
}

// AddAll is Add for many records: hashing the nodes of a level together is quicker than one after the other.
func (f *Frontier) AddAll(h *Hasher, leaves []Hash, stored []Hash) []Hash {
	if len(leaves) == 0 {
		return stored
	}
	before := f.size
	h.climb(before, leaves, func(level int) Hash { return f.nodes[f.place(level)] })
	if stored != nil {
		for i, leaf := range leaves {
			stored = append(stored, leaf)
			for n, level := before+uint64(i), 1; n&1 == 1; level++ {
				n >>= 1
				stored = append(stored, h.levels[level].node(n))
			}
		}
	}
	size := before + uint64(len(leaves))
	h.nodes = h.nodes[:0]
	for level := bits.Len64(size) - 1; level >= 0; level-- {
		if n := size >> level; n&1 == 1 { // the node n-1 of this level is there
			if level < h.climbed && n-1 >= h.levels[level].first {
				h.nodes = append(h.nodes, h.levels[level].node(n-1))
			} else {
				h.nodes = append(h.nodes, f.nodes[f.place(level)])
			}
		}
	}
	f.size, f.nodes = size, append(f.nodes[:0], h.nodes...)
	return stored
}

// place is where the root of a complete subtree of 2^level records is among the nodes.
func (f *Frontier) place(level int) int { return bits.OnesCount64(f.size >> (level + 1)) }

// Set makes it a copy that is independent, in the room it has.
func (f *Frontier) Set(other *Frontier) {
	f.size, f.nodes = other.size, append(f.nodes[:0], other.nodes...)
}

// Subtree is a complete part of a tree: 2^Level records.
type Subtree struct {
	Level int
	Root  Hash
}

// AddSubtree appends a subtree as Add would its records one after the other. The tree's size is a multiple of the
// subtree's.
func (f *Frontier) AddSubtree(s Subtree) {
	root := s.Root
	for n := f.size >> s.Level; n&1 == 1; n >>= 1 {
		root = tlog.NodeHash(f.nodes[len(f.nodes)-1], root)
		f.nodes = f.nodes[:len(f.nodes)-1]
	}
	f.nodes = append(f.nodes, root)
	f.size += 1 << s.Level
}

// Root is the hash of the tree.
func (f *Frontier) Root() Hash {
	if f.size == 0 {
		return sha256.Sum256(nil)
	}
	root := f.nodes[len(f.nodes)-1]
	for i := len(f.nodes) - 2; i >= 0; i-- {
		root = tlog.NodeHash(f.nodes[i], root)
	}
	return root
}

// Indexes are the places of the nodes among stored hashes.
func (f *Frontier) Indexes() []int64 {
	indexes := make([]int64, 0, len(f.nodes))
	done := uint64(0)
	for level := 63; level >= 0; level-- {
		if f.size&(1<<level) != 0 {
			indexes = append(indexes, tlog.StoredHashIndex(level, int64(done>>level)))
			done += 1 << level
		}
	}
	return indexes
}

// Leaf computes the hashes of payloads without allocating. It is for one goroutine.
type Leaf struct{ buffer []byte }

// Hash is the hash of a payload as a record of the tree.
func (l *Leaf) Hash(payload []byte) Hash {
	l.buffer = append(append(l.buffer[:0], 0), payload...)
	return sha256.Sum256(l.buffer)
}

// ErrMissingHash says that a hash is not stored.
var ErrMissingHash = errors.New("hash not stored")
