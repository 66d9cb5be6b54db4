package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// Class says what a finding means.
type Class string

// The classes, the worst first.
const (
	// Tampered is what neither this program nor a crash leaves: something was changed, removed, inserted,
	// exchanged or rolled back. So does a disk that returns other bytes than it was given.
	Tampered Class = "changed"
	// Torn is an unfinished end, as a crash leaves it. The next opening cuts it off and records it.
	Torn Class = "torn"
	// Gap is that records were lost, which the log itself says.
	Gap Class = "gap"
	// Note is worth knowing, and right.
	Note Class = "note"
)

// Finding is one thing that Verify has to say.
type Finding struct {
	Class Class `json:"class"`
	// Seq is the record it is about, 0 if it is about none.
	Seq  uint64 `json:"seq,omitempty"`
	File string `json:"file,omitempty"`
	// Offset is the byte in the file, where that means something.
	Offset int64  `json:"offset,omitempty"`
	Text   string `json:"text"`
}

// String is the finding in one line.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(string(f.Class))
	if f.Seq > 0 {
		fmt.Fprintf(&b, " at record %d", f.Seq)
	}
	if f.File != "" {
		fmt.Fprintf(&b, " (%s", f.File)
		if f.Offset > 0 {
			fmt.Fprintf(&b, ", byte %d", f.Offset)
		}
		b.WriteString(")")
	}
	return b.String() + ": " + f.Text
}

// maxFindings bounds a report: after that the rest is only counted.
const maxFindings = 1000

// Report is what Verify found.
type Report struct {
	Origin string `json:"origin"`
	// First and Last are the records that are there; 0 if there are none.
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// Signed is the last record that a checkpoint of the log covers and is right about, and Checkpoints how
	// many were right. What is after Signed has no proof.
	Signed      uint64 `json:"signed"`
	Checkpoints int    `json:"checkpoints"`
	Segments    int    `json:"segments"`
	// Root is the hash of the tree, in base64.
	Root string `json:"root"`
	// Lost is how many records the log says it has lost.
	Lost     uint64    `json:"lost"`
	Findings []Finding `json:"findings"`
	// More is how many findings were left out.
	More int `json:"more,omitempty"`

	worst Class
}

// Code is the exit code of understudy audit verify: 0 if all is right, 1 if something was changed or is
// missing, 2 for a torn end, 3 for gaps; the first that applies.
func (r *Report) Code() int {
	switch r.worst {
	case Tampered:
		return 1
	case Torn:
		return 2
	case Gap:
		return 3
	default:
		return 0
	}
}

func (r *Report) add(f Finding) {
	rank := []Class{Note, Gap, Torn, Tampered}
	if r.worst == "" || slices.Index(rank, f.Class) > slices.Index(rank, r.worst) {
		r.worst = f.Class
	}
	f.File = filepath.Base(f.File)
	if f.File == "." {
		f.File = ""
	}
	if len(r.Findings) >= maxFindings {
		r.More++
		return
	}
	r.Findings = append(r.Findings, f)
}

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
	return newVerification(dir).verify(ctx, o)
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
		if i == len(signed)-1 {
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

func (v *verification) closeHashes() {
	if v.hashFile != nil {
		_ = v.hashFile.Close() // only read
	}
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

// readKey reads a public key, the log's own if none is given.
func readKey(dir, given string) (note.Verifier, error) {
	path := filepath.Join(dir, pubName)
	if given == "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, &FileError{path, "read the public key", err}
		}
		given = string(data)
	} else {
		path = "the public key given"
	}
	key, err := note.NewVerifier(strings.TrimSpace(given))
	if err != nil {
		return nil, &KeyError{path, err}
	}
	return key, nil
}

// KeyError says that a public key is none.
type KeyError struct {
	Path string
	Err  error
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("audit log %s: %v: expected NAME+HASH+KEY as in %s", e.Path, e.Err, pubName)
}

// Unwrap gives the cause.
func (e *KeyError) Unwrap() error { return e.Err }

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

// segment reads one segment.
func (v *verification) segment(ctx context.Context, i int) error {
	first := v.segments[i]
	name := segmentName(first)
	path := filepath.Join(v.dir, name)
	last := i == len(v.segments)-1
	f, err := os.Open(path)
	if err != nil {
		return &FileError{path, "open", err}
	}
	defer func() { _ = f.Close() }() // only read
	header, begin, err := readSegment(f, path, first)
	var damage *DamageError
	if errors.As(err, &damage) {
		v.find(Tampered, first, name, damage.Offset, "the segment's header: %v", damage.Err)
		v.checker.Fail()
		begin = 0
	} else if err != nil {
		return err
	} else if i > 0 {
		v.join(i, header, name)
	}
	end, abandoned := int64(-1), false
	if !last {
		next, err := headerOf(v.dir, v.segments[i+1])
		if err == nil && next.Previous.First == first {
			end, abandoned = next.Previous.End, next.Previous.Abandoned
		}
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return &FileError{path, "look at file", err}
	}
	if end >= 0 {
		size = min(size, end)
	}
	if begin > 0 && size-begin >= v.many {
		for b := range blocks(f, begin, size, v.blockSize, v.checker.Sizes(), &begin) {
			v.block(b, name)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	}
	// What is left is the end, or damage and what comes after it.
	s := newScanner(f, path, begin, end)
	s.failed = begin == 0
	var leaf format.Leaf
	var head format.Head
	for {
		payload, offset, err := s.next()
		if err == io.EOF {
			break
		}
		if errors.As(err, &damage) {
			if last && v.checker.Size() >= v.known {
				v.torn(f, name, damage)
				v.stopped = true
				return nil
			}
			v.find(Tampered, v.checker.Size()+1, name, damage.Offset, "no record: %v", damage.Err)
			continue
		}
		if err != nil {
			return err
		}
		one := scanned{offset: offset, payload: payload, leaf: leaf.Hash(payload)}
		one.head, one.ok = format.ParseHead(payload, head)
		head = one.head
		v.record(&one, name)
		if v.checker.Size()&0xfff == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if end < 0 {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return &FileError{path, "look at file", err}
	}
	switch over := info.Size() - end; {
	case over < 0:
		v.find(Tampered, v.checker.Size()+1, name, info.Size(), "%d bytes are missing at the end", -over)
	case over > 0 && abandoned:
		v.find(Note, 0, name, end, "%d bytes of a write that failed follow the records", over)
	case over > 0:
		v.find(Tampered, 0, name, end, "%d bytes follow the end", over)
	}
	return nil
}

// block compares the records of a block: all at once if there is nothing special about them.
func (v *verification) block(b *block, name string) {
	if len(b.frames) == 0 || !b.plain || b.frames[0].head.Seq != v.checker.Size()+1 || b.frames[0].head.Lost != v.lost || v.invariants != nil {
		for i := range b.frames {
			v.record(&b.frames[i], name)
		}
		return
	}
	for i := range b.parts {
		if m := v.checker.AddRun(b.parts[i].leaves, b.parts[i].subtrees); m != nil {
			v.mismatch(m)
		}
	}
	v.foreign = true
}

// torn reports an unfinished end, unless somebody is writing it.
func (v *verification) torn(f *os.File, name string, damage *DamageError) {
	if writing(v.dir) {
		return
	}
	size := damage.Offset
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	v.find(Torn, v.checker.Size()+1, name, damage.Offset, "the last %d bytes are no records: %v", size-damage.Offset, damage.Err)
}

// writing reports whether a process has the log open for writing. It holds the lock for a moment; a writer
// that starts just then is told that the log is in use, and tries again.
func writing(dir string) bool {
	f, err := os.Open(filepath.Join(dir, lockName))
	if err != nil {
		return false
	}
	defer func() {
		unlock(f)
		_ = f.Close()
	}()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// join compares a segment with what came before it.
func (v *verification) join(i int, header format.Segment, name string) {
	size := v.checker.Size()
	switch {
	case header.Previous.First != v.segments[i-1]:
		v.find(Tampered, size+1, name, 0, "the segment before it, %s, is missing", segmentName(header.Previous.First))
	case header.First != size+1 && !v.checker.Failed():
		v.find(Tampered, size+1, name, 0, "the segment begins with record %d", header.First)
	}
	tree, err := header.Frontier()
	if err != nil {
		return // parsing has seen to it
	}
	if header.First != size+1 {
		v.missing(header.First)
	}
	if !v.checker.Failed() && tree.Root() != v.checker.Tree().Root() {
		v.find(Tampered, header.First, name, 0, "the tree in the segment's header is another than that of the records before")
	}
}

// record compares one record.
func (v *verification) record(one *scanned, name string) {
	head, offset, payload := one.head, one.offset, one.payload
	expected := v.checker.Size() + 1
	if !one.ok {
		v.find(Tampered, expected, name, offset, "it does not begin as a record")
		return
	}
	switch {
	case head.Seq < expected:
		v.find(Tampered, head.Seq, name, offset, "a record of this number is in the place of record %d", expected)
		return
	case head.Seq > expected:
		v.find(Tampered, expected, name, offset, "the records %d to %d are missing", expected, head.Seq-1)
		v.missing(head.Seq)
	}
	if m := v.checker.Add(one.leaf); m != nil {
		v.mismatch(m)
	}
	if head.Lost < v.lost {
		v.find(Tampered, head.Seq, name, offset, "it has lost %d, records before it %d", head.Lost, v.lost)
	}
	if strings.HasPrefix(head.Kind, "log.") {
		v.own(payload, head)
	} else {
		v.foreign = true
	}
	v.lost = max(v.lost, head.Lost)
	if v.invariants != nil {
		r, err := decode(payload)
		if err != nil {
			v.find(Tampered, head.Seq, name, offset, "no record: %v", err)
			return
		}
		v.invariants.record(&r)
	}
}

// missing goes on behind records that are not there, with their hashes from the side file. If those are
// right, the next checkpoint will say so.
func (v *verification) missing(next uint64) {
	for seq := v.checker.Size() + 1; seq < next; seq++ {
		leaf, err := v.written(seq, seq)
		if err != nil {
			v.checker.Fail()
			leaf = []format.Hash{{}}
		}
		if m := v.checker.Add(leaf[0]); m != nil {
			v.mismatch(m)
		}
	}
}

// written are the hashes of records by the side file.
func (v *verification) written(from, to uint64) ([]format.Hash, error) {
	if v.hashes == nil || to-from > 1<<20 {
		return nil, format.ErrMissingHash
	}
	var indexes []int64
	for seq := from; seq <= to; seq++ {
		indexes = append(indexes, tlog.StoredHashIndex(0, int64(seq-1)))
	}
	return v.hashes.ReadHashes(indexes)
}

// mismatch reports records that are not those of a checkpoint.
func (v *verification) mismatch(m *format.Mismatch) {
	whose := "a checkpoint"
	if slices.Contains(v.anchors, m.Checkpoint) {
		whose = "the checkpoint given"
	}
	if written, err := v.written(m.From, m.To); err == nil && m.From <= m.To {
		if seq, certain := m.Locate(written); certain {
			v.find(Tampered, seq, "", 0, "it was changed: it is not the record that %s of %d records covers", whose, m.Checkpoint.Size)
			return
		}
	}
	v.find(Tampered, m.To, "", 0, "the records %d to %d are not those that %s covers", m.From, m.To, whose)
}

// own handles a record of the log's own.
func (v *verification) own(payload []byte, head format.Head) {
	r, err := decode(payload)
	if err != nil {
		return // the record is what it was: the checkpoint says so
	}
	switch r.Kind {
	case LogGap:
		v.find(Gap, r.Seq, "", 0, "%v records were lost between %v and %v", r.Detail["count"], r.Detail["first"], r.Detail["last"])
		if n, _ := r.Detail["count"].(float64); uint64(n) != head.Lost-v.lost {
			v.find(Tampered, r.Seq, "", 0, "the gap is of %v records, and lost grows by %d", r.Detail["count"], head.Lost-v.lost)
		}
	case LogRecovered:
		v.find(Note, r.Seq, "", 0, "an opening found the end torn, or written without success: %v bytes were dropped", orZero(r.Detail["dropped_bytes"]))
	case LogFull:
		v.find(Note, r.Seq, "", 0, "the disk was full")
	case LogPruned:
		n, _ := r.Detail["through"].(float64)
		v.pruned = max(v.pruned, uint64(n))
		v.find(Note, r.Seq, "", 0, "the records up to %.0f were removed as too old", n)
	default: // nothing to say
	}
}

func orZero(v any) any {
	if v == nil {
		return 0
	}
	return v
}
