package audit

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// prune is a removal of the oldest segments.
type prune struct {
	segments []uint64
	through  uint64
	root     format.Hash
}

func (p *prune) record() Record {
	return Record{Kind: LogPruned, Detail: map[string]any{
		"through": p.through, "segments": len(p.segments), "root": p.root.String(),
	}}
}

// prunable says which segments may go, nil if none. The one that is written stays.
func (l *log) prunable() (*prune, error) {
	o := &l.options
	if o.KeepBytes == 0 && o.KeepAge == 0 {
		return nil, nil
	}
	segments, _, err := list(l.dir)
	if err != nil {
		return nil, err
	}
	sizes, total := make([]int64, len(segments)), int64(0)
	for i, first := range segments {
		info, err := os.Stat(filepath.Join(l.dir, segmentName(first)))
		if err != nil {
			return nil, err
		}
		sizes[i] = info.Size()
		total += sizes[i]
	}
	var p *prune
	for i := range len(segments) - 1 {
		next, err := headerOf(l.dir, segments[i+1])
		if err != nil {
			return nil, err
		}
		tooBig := o.KeepBytes > 0 && total > o.KeepBytes
		tooOld := o.KeepAge > 0 && l.now().Sub(next.Began) > o.KeepAge // which is after its last record
		if !tooBig && !tooOld {
			break
		}
		total -= sizes[i]
		tree, err := next.Frontier()
		if err != nil {
			return nil, err
		}
		p = &prune{segments: segments[:i+1], through: next.First - 1, root: tree.Root()}
	}
	return p, nil
}

// remove deletes the segments, when log.pruned is durable. What fails is tried at the next rotation.
func (l *log) remove(p *prune) {
	for _, first := range p.segments {
		if err := l.disk.Remove(filepath.Join(l.dir, segmentName(first))); err != nil {
			return // the rest has to stay as well: a hole would look like a deed
		}
	}
	_ = l.disk.SyncDir(l.dir) // a segment that comes back after a power cut is still the right one
}

// headerOf reads the header of a segment.
func headerOf(dir string, first uint64) (format.Segment, error) {
	path := filepath.Join(dir, segmentName(first))
	f, err := os.Open(path)
	if err != nil {
		return format.Segment{}, &FileError{path, "open", err}
	}
	defer func() { _ = f.Close() }() // only read
	header, _, err := readSegment(f, path, first)
	return header, err
}

// smallest is a value that at least n of the values are below.
func smallest(values []uint64, n int) uint64 {
	slices.Sort(values)
	return values[n]
}
