package audit

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// prepare reads the key and the checkpoints. It comes before the records, so that those of a log in use
// are all there.
func (v *verification) prepare(o VerifyOptions) error {
	key, err := readKey(v.dir, o.Key)
	if err != nil {
		return err
	}
	v.key = key
	v.report.Origin = key.Name()
	_, signed, err := list(v.dir)
	if err != nil {
		return err
	}
	if v.segments, _, err = list(v.dir); err != nil {
		return err
	}
	var all []format.Checkpoint
	for i, first := range signed {
		name := signedName(first)
		data, err := os.ReadFile(filepath.Join(v.dir, name))
		if err != nil {
			return &FileError{filepath.Join(v.dir, name), "read", err}
		}
		unfinished := Tampered
		if i == len(signed)-1 || len(v.segments) > 0 && first >= v.segments[len(v.segments)-1] { // a file for a segment that never came may follow
			unfinished = Torn
		} else if v.abandoned(first) {
			unfinished = Note
		}
		all = append(all, v.checkpoints(data, name, unfinished)...)
	}
	own := len(all)
	v.anchors = v.checkpoints(unlined(o.Anchor), "the checkpoint given", Tampered)
	if len(o.Anchor) > 0 && len(v.anchors) == 0 {
		v.find(Tampered, 0, "", 0, "the checkpoint given is none of this log, or was changed")
	}
	// What the log itself says too needs no words about an anchor.
	v.anchors = slices.DeleteFunc(v.anchors, func(c format.Checkpoint) bool { return slices.Contains(all, c) })
	all = append(all, v.anchors...)
	slices.SortStableFunc(all, func(a, b format.Checkpoint) int { return int(int64(a.Size) - int64(b.Size)) })
	if len(all) > 0 {
		v.known = all[len(all)-1].Size
	}
	if v.segments, _, err = list(v.dir); err != nil {
		return err
	}
	v.unsigned = own == 0
	for _, first := range v.segments {
		if !slices.Contains(signed, first) {
			if _, err := os.Stat(filepath.Join(v.dir, signedName(first))); err != nil {
				v.find(Tampered, 0, signedName(first), 0, "the segment's checkpoints are missing")
			}
		}
	}
	before := format.Frontier{}
	if len(v.segments) > 0 {
		if header, err := headerOf(v.dir, v.segments[0]); err == nil {
			if before, err = header.Frontier(); err != nil {
				return err
			}
			v.lost = header.Lost
		}
	}
	v.checker = format.NewChecker(before, all)
	v.hashFile, v.hashes, err = hashReader(v.dir)
	if err != nil && !missing(err) {
		v.find(Note, 0, hashName, 0, "cannot be read, which costs nothing but time: %v", err)
	}
	return nil
}

// abandoned reports whether a write to a segment or its checkpoints failed, by what the next one says. Of
// what was pruned that is not known any more.
func (v *verification) abandoned(first uint64) bool {
	if len(v.segments) > 0 && first < v.segments[0] {
		return true
	}
	i := slices.Index(v.segments, first)
	if i < 0 || i+1 >= len(v.segments) {
		return false
	}
	next, err := headerOf(v.dir, v.segments[i+1])
	return err == nil && next.Previous.First == first && next.Previous.Abandoned
}

// checkpoints reads a file of them.
func (v *verification) checkpoints(data []byte, name string, unfinished Class) (found []format.Checkpoint) {
	type signed struct {
		at   int64
		note []byte
		c    format.Checkpoint
		err  error
	}
	var all []signed
	total := int64(len(data))
	cut := int64(-1)
	for len(data) > 0 {
		at := total - int64(len(data))
		note, rest, err := format.NextCheckpoint(data)
		if err != nil {
			cut = at
			break
		}
		all, data = append(all, signed{at: at, note: note}), rest
	}
	// To check a signature takes as long as a hundred records.
	var checking sync.WaitGroup
	const atOnce = 32
	for some := range slices.Chunk(all, atOnce) {
		checking.Go(func() {
			for i := range some {
				some[i].c, some[i].err = format.OpenCheckpoint(some[i].note, v.key)
			}
		})
	}
	checking.Wait()
	for _, s := range all {
		switch {
		case s.err != nil:
			v.find(Tampered, 0, name, s.at, "a checkpoint that was changed, or is signed with another key: %v", s.err)
		case s.c.Origin != v.key.Name():
			v.find(Tampered, 0, name, s.at, "a checkpoint of another log, %.60q", s.c.Origin)
		default:
			found = append(found, s.c)
		}
	}
	if cut >= 0 && !(unfinished == Torn && writing(v.dir)) {
		v.find(unfinished, 0, name, cut, "a checkpoint without its end")
	}
	return found
}

// early compares checkpoints of what was pruned, as far as the side file has the hashes.
func (v *verification) early(checkpoints []format.Checkpoint, before uint64) {
	tree := format.Frontier{}
	if header, err := headerOf(v.dir, v.segments[0]); err == nil {
		if t, err := header.Frontier(); err == nil {
			tree = t
		}
	}
	unchecked := 0
	for _, c := range checkpoints {
		v.report.Checkpoints++
		if !slices.Contains(v.anchors, c) {
			continue
		}
		err := errors.New("no hashes")
		if v.hashes != nil && c.Size > 0 {
			var proof tlog.TreeProof
			if proof, err = tlog.ProveTree(int64(before), int64(c.Size), v.hashes); err == nil {
				err = tlog.CheckTree(proof, int64(before), tree.Root(), int64(c.Size), c.Root)
			}
		}
		if err != nil {
			unchecked++
		}
	}
	if unchecked > 0 {
		v.find(Note, 0, "", 0, "%d of the checkpoints given are of records that were pruned, and cannot be compared", unchecked)
	}
}
