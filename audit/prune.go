package audit

import (
	"os"
	"path/filepath"
	"slices"
	"time"

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
	var old []time.Duration
	if o.KeepAge > 0 {
		if old, err = l.ages(segments); err != nil {
			return nil, err
		}
	}
	through := 0 // how many go
	for ; through < len(segments)-1; through++ {
		tooBig := o.KeepBytes > 0 && total > o.KeepBytes
		tooOld := o.KeepAge > 0 && old[through] > o.KeepAge
		if !tooBig && !tooOld {
			break
		}
		total -= sizes[through]
	}
	if through == 0 {
		return nil, nil
	}
	next, err := headerOf(l.dir, segments[through])
	if err != nil {
		return nil, err
	}
	tree, err := next.Frontier()
	if err != nil {
		return nil, err
	}
	return &prune{segments: segments[:through], through: next.First - 1, root: tree.Root()}, nil
}

// ages says how old the last record of each segment is.
func (l *log) ages(segments []uint64) ([]time.Duration, error) {
	began := make([]time.Time, len(segments))
	known := make(map[uint64]time.Time, len(segments))
	for i, first := range segments {
		at, ok := l.began[first]
		if !ok {
			header, err := headerOf(l.dir, first)
			if err != nil {
				return nil, err
			}
			at = header.Began
		}
		began[i], known[first] = at, at
	}
	l.began = known
	return ages(began, l.options.SegmentAge, l.options.KeepAge), nil
}

// doubt is for how long a clock that has leapt is not believed.
const doubt = 7 * 24 * time.Hour

// ages says how old the end of each segment is, by when each was begun, the last just now.
//
// A clock that is set wrong must not throw the log away. So it is not asked what time it is, but how much time has gone by from one segment
// to the next. Where that is more than segments take, or less than nothing, it has leapt, or the log was not in use. Leaps that
// make up for each other, in either order, are none. One forward that stays counts in full when the log has gone on for a week
// after it, or for as long as records are kept if that is shorter; until then, for no more than twice the age of a segment.
func ages(began []time.Time, segmentAge, keep time.Duration) []time.Duration {
	usual := min(2*segmentAge, keep/2)
	passed := make([]time.Duration, len(began)) // without the leaps
	ahead := make([]time.Duration, len(began))  // the clock of that: the sum of the leaps
	for i := range len(began) - 1 {
		step := began[i+1].Sub(began[i])
		counted := min(max(step, 0), usual)
		passed[i+1], ahead[i+1] = passed[i]+counted, ahead[i]+step-counted
	}
	last := len(began) - 1
	believed := ahead[last]
	for i := last; ; i-- {
		believed = min(believed, ahead[i])
		if i == 0 || passed[last]-passed[i] >= min(doubt, keep) {
			break
		}
	}
	old := make([]time.Duration, last)
	before := ahead[0]
	for i := range old {
		before = max(before, ahead[i+1]) // what the clock was ahead when the segment had ended, or earlier
		old[i] = passed[last] - passed[i+1] + max(0, believed-before)
	}
	return old
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
