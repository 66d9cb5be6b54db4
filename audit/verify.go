package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// VerifyOptions say what a log is held against.
type VerifyOptions struct {
	// Key is the public key, as in audit.pub, from a place that whoever can change the log cannot change.
	// If empty it is taken from the log's directory.
	Key string
	// Anchor are checkpoints of this log that were kept elsewhere, one after the other, as FileAnchor
	// writes them, or lines with CheckpointLine in them.
	Anchor []byte
	// Invariants also compares records with each other: each tool's intent has its end, the sequences of
	// sessions have no hole, costs and losses add up.
	Invariants bool
}

// Verify reads a whole log and compares it with its checkpoints. It needs no running program, takes memory
// that does not depend on the log's size, and changes nothing. The error is that of reading; what is wrong
// with the log is in the report. A log in use may be verified: what is being written is let be.
//
// It finds any record that was changed, removed, inserted or moved and that a checkpoint covers, and
// segments that are missing or exchanged. That a log was rolled back to an earlier state as a whole, or
// written anew by somebody with its key, shows against VerifyOptions.Anchor only.
func Verify(ctx context.Context, dir string, o VerifyOptions) (*Report, error) {
	for {
		v := newVerification(dir)
		report, err := v.verify(ctx, o)
		if err == nil || !v.overtaken(err) {
			return report, err
		}
	}
}

// overtaken reports whether a segment could not be read because a log in use has removed it, as too old, since the directory was
// read: then the verification is of no use, and the next one begins later.
func (v *verification) overtaken(err error) bool {
	if !errors.Is(err, fs.ErrNotExist) || len(v.segments) == 0 {
		return false
	}
	now, _, err := list(v.dir)
	return err == nil && len(now) > 0 && now[0] > v.segments[0]
}

func newVerification(dir string) *verification {
	return &verification{dir: dir, report: &Report{Findings: []Finding{}}, blockSize: blockSize, many: manyBlocks}
}

func (v *verification) verify(ctx context.Context, o VerifyOptions) (*Report, error) {
	if err := v.prepare(o); err != nil {
		return nil, err
	}
	if o.Invariants {
		v.invariants = newInvariants(v.report)
	}
	defer v.closeHashes()
	if err := v.run(ctx); err != nil {
		return nil, err
	}
	return v.report, nil
}

type verification struct {
	dir       string
	report    *Report
	key       note.Verifier
	blockSize int
	many      int64 // from where on several blocks are checked at the same time

	segments   []uint64
	anchors    []format.Checkpoint // of those in checker, the ones from elsewhere
	known      uint64              // records that some checkpoint covers
	checker    *format.Checker
	lost       uint64
	pruned     uint64 // up to there log.pruned says that records may be missing
	hashFile   *os.File
	hashes     tlog.HashReader
	invariants *invariants
	unsigned   bool // there is no checkpoint of the log's own
	foreign    bool // there is a record that is not the log's own
	stopped    bool // the end is torn: what follows is no part of the log
}

func (v *verification) find(class Class, seq uint64, file string, offset int64, format string, args ...any) {
	v.report.add(Finding{class, seq, file, offset, fmt.Sprintf(format, args...)})
}

func (v *verification) closeHashes() {
	if v.hashFile != nil {
		_ = v.hashFile.Close() // only read
	}
}

func (v *verification) run(ctx context.Context) error {
	r := v.report
	r.Segments = len(v.segments)
	if len(v.segments) == 0 {
		if v.known > 0 {
			v.find(Tampered, 1, "", 0, "there is no segment, and %d records were signed for", v.known)
		}
		return nil
	}
	first := v.segments[0]
	early, m := v.checker.Start()
	if m != nil {
		v.mismatch(m)
	}
	for i := range v.segments {
		if err := v.segment(ctx, i); err != nil {
			return err
		}
		if v.stopped {
			break
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	size := v.checker.Size()
	r.Last, r.Lost, r.Signed, r.Root = size, v.lost, v.checker.Checked(), v.checker.Tree().Root().String()
	if size >= first {
		r.First = first
	}
	if first > 1 && v.pruned < first-1 {
		v.find(Tampered, 1, "", 0, "the records 1 to %d are missing, and no log.pruned says so", first-1)
	}
	v.early(early, first-1)
	for _, c := range v.checker.Rest() {
		text := "a checkpoint covers %d records, of which %d are there"
		if slices.Contains(v.anchors, c) {
			text = "the checkpoint given covers %d records, and the log has %d: it was rolled back"
		}
		v.find(Tampered, size+1, "", 0, text, c.Size, size)
	}
	// The first opening signs before it is over: until then there are only records of the log's own.
	if v.unsigned && v.foreign {
		v.find(Tampered, 0, "", 0, "there is no checkpoint of the log's own")
	} else if v.unsigned {
		v.find(Note, 0, "", 0, "there is no checkpoint: the first opening has not come to its end")
	}
	if v.invariants != nil {
		v.invariants.end()
	}
	return nil
}
