package audit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// hashes is the side file of the tree's hashes: 32 bytes each, where tlog.StoredHashIndex says. Nothing
// depends on it: it makes proofs quick, and says which record was changed. A failure to write it ends its
// use, and nothing else; the next opening makes it anew.
type hashes struct {
	file    file
	offset  int64
	pending []byte
}

// manyHashes is how many are written at a time when the file lacks them: as many as there are between two checkpoints.
const manyHashes = 2048

// openHashes opens the side file for what the segment has, and makes good what it lacks.
func (l *log) openHashes(found survey) {
	l.hashes = &hashes{}
	path := filepath.Join(l.dir, hashName)
	f, err := l.disk.Open(path, os.O_RDWR|os.O_CREATE)
	if err != nil || private(f, path) != nil {
		if f != nil {
			_ = f.Close() // not used
		}
		return
	}
	l.hashes.file, l.hashes.offset = f, storedOffset(l.tree.Size())
	before := l.tree.Clone()
	if l.header.First > 0 && uint64(len(found.stored)) > 0 {
		if before, err = l.header.Frontier(); err != nil {
			l.hashes.close()
			return
		}
	}
	// The nodes of a tree are computed last: when they are right, so was all that was written with them.
	if !l.hashes.holds(&before) && l.rebuild(before.Size()) != nil {
		l.hashes.close()
		return
	}
	if len(found.stored) > 0 && !l.hashes.holds(&l.tree) {
		l.hashes.offset = storedOffset(before.Size())
		for some := range slices.Chunk(found.stored, manyHashes) { // of a whole segment it would be megabytes, kept as long as the log is open
			l.hashes.add(some)
			l.hashes.flush()
		}
	}
}

// holds reports whether the file has the tree's nodes.
func (h *hashes) holds(tree *format.Frontier) bool {
	found, err := readHashes(h.file, tree.Indexes())
	return err == nil && slices.Equal(found, tree.Nodes())
}

// rebuild writes the hashes of all segments up to that size. Of those that are gone the nodes that later
// segments need are in their headers.
func (l *log) rebuild(size uint64) error {
	segments, _, err := list(l.dir)
	if err != nil {
		return err
	}
	at := l.hashes.offset
	defer func() { l.hashes.offset = at }()
	for i, first := range segments {
		if first > size {
			break
		}
		path := filepath.Join(l.dir, segmentName(first))
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = l.rebuildSegment(f, path, first, i == 0, segmentEnd(l.dir, segments, i))
		_ = f.Close() // only read
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *log) rebuildSegment(f *os.File, path string, first uint64, oldest bool, end int64) error {
	header, begin, err := readSegment(f, path, first)
	if err != nil {
		return err
	}
	tree, err := header.Frontier()
	if err != nil {
		return err
	}
	if oldest {
		for i, index := range tree.Indexes() {
			node := tree.Nodes()[i]
			if err := write(l.hashes.file, node[:], index*tlog.HashSize); err != nil {
				return err
			}
		}
	}
	l.hashes.offset = storedOffset(tree.Size())
	stored := make([]format.Hash, 0, 64)
	s := newScanner(f, path, begin, end)
	for {
		payload, _, err := s.next()
		if err != nil {
			break // verify says what is wrong
		}
		stored = tree.Add(l.leaf.Hash(payload), stored[:0])
		l.hashes.add(stored)
		if len(l.hashes.pending) >= manyHashes*tlog.HashSize {
			l.hashes.flush()
		}
	}
	l.hashes.flush()
	if l.hashes.file == nil {
		return errors.New("writing failed")
	}
	return nil
}

func (h *hashes) add(stored []format.Hash) {
	if h.file == nil {
		return
	}
	for i := range stored {
		h.pending = append(h.pending, stored[i][:]...)
	}
}

func (h *hashes) flush() {
	if h.file == nil || len(h.pending) == 0 {
		return
	}
	if err := write(h.file, h.pending, h.offset); err != nil {
		h.close()
		return
	}
	h.offset += int64(len(h.pending))
	h.pending = h.pending[:0]
}

func (h *hashes) close() {
	if h.file != nil {
		_ = h.file.Close() // nothing depends on it
		h.file = nil
	}
}

// readHashes reads hashes of the side file.
func readHashes(f interface {
	ReadAt([]byte, int64) (int, error)
}, indexes []int64) ([]format.Hash, error) {
	found := make([]format.Hash, len(indexes))
	for i, index := range indexes {
		if _, err := f.ReadAt(found[i][:], index*tlog.HashSize); err != nil {
			return nil, errors.Join(format.ErrMissingHash, err)
		}
	}
	return found, nil
}

// hashReader reads the side file of a directory.
func hashReader(dir string) (*os.File, tlog.HashReader, error) {
	f, err := os.Open(filepath.Join(dir, hashName))
	if err != nil {
		return nil, nil, err
	}
	return f, tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) { return readHashes(f, indexes) }), nil
}

// missing reports whether a path, or a part of it, is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
