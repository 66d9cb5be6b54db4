package audit

import (
	"fmt"
	"io"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// write writes all of content.
func write(f file, content []byte, at int64) error {
	n, err := f.WriteAt(content, at)
	if err == nil && n < len(content) {
		err = io.ErrShortWrite
	}
	return err
}

// maxSpare bounds the memory that is kept for the next batch.
const maxSpare = 4 << 20

// batch is a run of records that become durable together.
type batch struct {
	frames   []byte
	tree     format.Frontier
	lost     uint64
	sessions map[string]uint64
	stored   []format.Hash
	leaf     *format.Leaf
	log      *log
}

func (l *log) begin() *batch {
	frames := l.spare[:0]
	l.spare = nil
	return &batch{
		frames: frames, tree: l.tree.Clone(), lost: l.lost, leaf: &l.leaf, log: l,
		sessions: make(map[string]uint64), stored: make([]format.Hash, 0, 16),
	}
}

// add appends a record that itself announces so many losses.
func (b *batch) add(e *encoded, lost uint64) {
	b.lost += lost
	head := format.Head{V: Version, Seq: b.tree.Size() + 1, Kind: string(e.kind), Session: e.session, Lost: b.lost}
	if e.session != "" {
		seq, ok := b.sessions[e.session]
		if !ok {
			seq = b.log.sessions[e.session].seq
		}
		head.SessionSeq = seq + 1
		b.sessions[e.session] = seq + 1
	}
	at := len(b.frames)
	b.frames = append(b.frames, 0, 0, 0, 0, 0, 0, 0, 0)
	b.frames = head.Append(b.frames)
	b.frames = append(b.frames, e.rest...)
	format.SealFrame(b.frames[at:])
	b.stored = b.tree.Add(b.leaf.Hash(b.frames[at+format.HeaderSize:]), b.stored)
	b.frames = append(b.frames, '\n')
}

// commit makes a batch durable. After an error the log must not be used: what a failed write or fsync has
// left behind is unknown, and a second fsync may report success for pages the kernel has dropped.
func (l *log) commit(b *batch) error {
	if len(b.frames) == 0 {
		return nil
	}
	m := l.memory
	// What does not get acknowledged has to be recognized by the next opening.
	if m.size != l.tree.Size() { // the first since the opening
		m.size, m.root = l.tree.Size(), l.tree.Root()
	}
	m.first, m.offset, m.attempted = l.header.First, l.offset, b.frames
	if err := write(l.segment, b.frames, l.offset); err != nil {
		m.taint(l.path)
		return &FileError{l.path, "write", err}
	}
	if err := l.segment.Sync(); err != nil {
		m.taint(l.path)
		return &FileError{l.path, "sync", err}
	}
	// Writing to a file that was removed, or moved away with its directory, works, and nobody finds it there.
	if err := l.disk.Same(l.segment, l.path); err != nil {
		m.taint(l.path)
		return &FileError{l.path, "find what was written", err}
	}
	l.offset += int64(len(b.frames))
	l.tree, l.lost = b.tree, b.lost
	for name, seq := range b.sessions {
		l.sessions[name] = counter{seq, l.tree.Size()}
	}
	m.size, m.root, m.offset, m.attempted = l.tree.Size(), l.tree.Root(), l.offset, nil
	l.hashes.add(b.stored)
	if cap(b.frames) <= maxSpare {
		l.spare = b.frames
	}
	return nil
}

// sign makes a checkpoint of all records so far, if there is none. After an error the log must not be
// used.
func (l *log) sign() error {
	if l.signedSize == l.tree.Size() && l.signedOffset > 0 {
		return nil
	}
	l.hashes.flush()
	c := format.Checkpoint{Origin: l.keys.signer.Name(), Size: l.tree.Size(), Root: l.tree.Root()}
	signed, err := c.Sign(l.keys.signer)
	if err != nil {
		return fmt.Errorf("audit log %s: sign checkpoint: %w", l.dir, err)
	}
	if err := write(l.signed, signed, l.signedOffset); err != nil {
		l.memory.taint(l.signedPath)
		return &FileError{l.signedPath, "write", err}
	}
	if err := l.signed.Sync(); err != nil {
		l.memory.taint(l.signedPath)
		return &FileError{l.signedPath, "sync", err}
	}
	l.signedOffset += int64(len(signed))
	l.signedSize, l.signedAt, l.checkpoint = l.tree.Size(), l.now(), signed
	return nil
}

// unsigned is how many records no checkpoint covers.
func (l *log) unsigned() uint64 { return l.tree.Size() - min(l.tree.Size(), l.signedSize) }
