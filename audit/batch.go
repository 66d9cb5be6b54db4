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

// bundle is how many records are worth being hashed together, and a batch being made while another is written.
const bundle = 32

// batch is a run of records that become durable together. Its room is the log's, and used again.
type batch struct {
	log      *log
	frames   []byte
	starts   []int // of the frames
	sealed   int   // so many of them
	lost     uint64
	seq      uint64 // of the last record
	tools    []toolMark
	sessions map[string]uint64
	leaves   []format.Hash
	stored   []format.Hash   // of those that are sealed
	tree     format.Frontier // after them
}

// begin makes a batch that follows on what is in the log.
func (l *log) begin() *batch { return l.beginAfter(&l.tree) }

// beginAfter makes the batch that follows on that tree: the log's, or that of a batch which is sealed and being written.
func (l *log) beginAfter(tree *format.Frontier) *batch {
	l.turn ^= 1
	b := &l.batches[l.turn]
	if cap(b.frames) > maxSpare {
		b.frames = nil
	}
	if b.sessions == nil {
		b.log, b.sessions, b.stored = l, make(map[string]uint64), make([]format.Hash, 0, 16)
	}
	clear(b.sessions)
	b.frames, b.starts, b.sealed, b.lost, b.seq = b.frames[:0], b.starts[:0], 0, l.lost, tree.Size()
	b.stored, b.tools = b.stored[:0], b.tools[:0]
	b.tree.Set(tree)
	return b
}

// add appends a record that itself announces so many losses.
func (b *batch) add(e *encoded, lost uint64) {
	b.lost += lost
	b.seq++
	head := format.Head{V: Version, Seq: b.seq, Kind: string(e.kind), Session: e.session, Lost: b.lost}
	if e.session != "" {
		seq, ok := b.sessions[e.session]
		if !ok {
			seq = b.log.sessions[e.session].seq
		}
		head.SessionSeq = seq + 1
		b.sessions[e.session] = seq + 1
	}
	if e.use != 0 {
		b.tools = append(b.tools, toolMark{e.use, b.seq, e.kind == ToolIntent})
	}
	b.starts = append(b.starts, len(b.frames))
	b.frames = append(b.frames, 0, 0, 0, 0, 0, 0, 0, 0)
	b.frames = head.Append(b.frames)
	b.frames = append(b.frames, e.rest...)
	b.frames = append(b.frames, '\n')
}

// seal hashes the first n records, and fills in the frames' headers: in this order, since hashing uses the place of the checksum.
func (b *batch) seal(n int) {
	h := &b.log.hasher
	for i := b.sealed; i < n; i++ {
		h.Frame(b.frame(i))
	}
	b.leaves = h.Leaves(b.leaves[:0])
	for i := b.sealed; i < n; i++ {
		frame := b.frame(i)
		format.SealFrame(frame[:len(frame)-1])
	}
	b.stored = b.tree.AddAll(h, b.leaves, b.stored)
	b.sealed = n
}

func (b *batch) frame(i int) []byte {
	if i+1 < len(b.starts) {
		return b.frames[b.starts[i]:b.starts[i+1]]
	}
	return b.frames[b.starts[i]:]
}

// commit makes a batch durable. After an error the log must not be used: what a failed write or fsync has
// left behind is unknown, and a second fsync may report success for pages the kernel has dropped.
func (l *log) commit(b *batch) error {
	if len(b.frames) == 0 {
		return nil
	}
	l.follow()
	b.seal(len(b.starts))
	// From here on this counts as done for what follows. If it fails nothing does: the log is given up.
	l.lost = b.lost
	for name, seq := range b.sessions {
		l.sessions[name] = counter{seq, b.tree.Size()}
	}
	if end := l.offset + int64(len(b.frames)); l.ahead != nil && len(b.starts) >= bundle && !l.full && l.due(end) == "" {
		l.ahead.Store(l.beginAfter(&b.tree))
	}
	m := l.memory
	// What does not get acknowledged has to be recognized by the next opening.
	if m.tree.Size() != l.tree.Size() { // the first since the opening
		m.tree.Set(&l.tree)
	}
	m.first, m.offset, m.attempted = l.header.First, l.offset, b.frames
	if err := l.segment.WriteSynced(b.frames, l.offset); err != nil {
		m.taint(l.path)
		return &FileError{l.path, "write and sync", err}
	}
	// Writing to a file that was removed, or moved away with its directory, works, and nobody finds it there.
	if err := l.disk.Same(l.segment, l.path); err != nil {
		m.taint(l.path)
		return &FileError{l.path, "find what was written", err}
	}
	l.offset += int64(len(b.frames))
	l.tree, b.tree = b.tree, l.tree
	m.tree.Set(&l.tree)
	m.offset, m.attempted = l.offset, nil
	l.hashes.add(b.stored)
	l.written = b
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
	if err := l.signed.WriteSynced(signed, l.signedOffset); err != nil {
		l.memory.taint(l.signedPath)
		return &FileError{l.signedPath, "write and sync", err}
	}
	l.signedOffset += int64(len(signed))
	l.signedSize, l.signedAt, l.checkpoint = l.tree.Size(), l.now(), signed
	return nil
}

// unsigned is how many records no checkpoint covers.
func (l *log) unsigned() uint64 { return l.tree.Size() - min(l.tree.Size(), l.signedSize) }
