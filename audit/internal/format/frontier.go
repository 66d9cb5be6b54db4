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

// Subtree is a complete part of a tree: 2^Level records.
type Subtree struct {
	Level int
	Root  Hash
}

// Subtrees appends to into the largest complete subtrees that some records have within a tree, in order. before is how
// many records the tree has before them.
func Subtrees(before uint64, leaves []Hash, into []Subtree) []Subtree {
	for i, leaf := range leaves {
		s := Subtree{0, leaf}
		for n := before + uint64(i); n&1 == 1 && len(into) > 0 && into[len(into)-1].Level == s.Level; n >>= 1 {
			s = Subtree{s.Level + 1, tlog.NodeHash(into[len(into)-1].Root, s.Root)}
			into = into[:len(into)-1]
		}
		into = append(into, s)
	}
	return into
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

// LeafInFrame is the hash of a frame's payload as a record of the tree. It changes the frame's checksum.
func LeafInFrame(frame []byte) Hash {
	// What a record's hash has before its payload stands where the payload is already.
	frame[HeaderSize-1] = 0
	return sha256.Sum256(frame[HeaderSize-1 : len(frame)-1])
}

// ErrMissingHash says that a hash is not stored.
var ErrMissingHash = errors.New("hash not stored")
