package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// Proof is what CheckProof can check without the log: that a record is in the tree of a checkpoint, or
// that the tree of one checkpoint is the beginning of another's.
type Proof = format.Proof

// CheckProof checks a proof, in JSON as Prove and Consistency make it, with the log's public key. It says
// what is proved.
func CheckProof(proof []byte, key string) (string, error) {
	v, err := readKey("", key)
	if err != nil {
		return "", err
	}
	p, err := format.ParseProof(proof)
	if err != nil {
		return "", err
	}
	return p.Check(v)
}

// Prove proves that a record is in the log's newest checkpoint.
func Prove(ctx context.Context, dir string, seq uint64) (*Proof, error) {
	c, signed, key, err := newest(dir)
	if err != nil {
		return nil, err
	}
	if seq < 1 || seq > c.Size {
		return nil, fmt.Errorf("audit log %s: record %d: the newest checkpoint covers the records 1 to %d", dir, seq, c.Size)
	}
	p := &Proof{Type: format.Inclusion, Checkpoint: string(signed), Seq: seq}
	this := func() looker[string] {
		return func(p *payload) (string, verdict, error) {
			switch {
			case !p.ok || p.head.Seq < seq:
				return "", skip, nil
			case p.head.Seq > seq:
				return "", over, nil
			}
			return string(p.payload), keep, nil
		}
	}
	for record, err := range look(ctx, dir, seq, this) {
		if err == nil { // another record's is not asked about; if it is this one's, it is not found
			p.Record = record
			break
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if p.Record == "" {
		return nil, fmt.Errorf("audit log %s: record %d is not there, or damaged: run understudy audit verify", dir, seq)
	}
	return p, complete(ctx, dir, key, p, func(r tlog.HashReader) (err error) {
		p.Hashes, err = tlog.ProveRecord(int64(c.Size), int64(seq-1), r)
		return err
	})
}

// Consistency proves that the tree of one checkpoint is the beginning of another's. Both are signed
// checkpoints; empty means the log's newest.
func Consistency(ctx context.Context, dir string, earlier, later []byte) (*Proof, error) {
	_, signed, key, err := newest(dir)
	if err != nil {
		return nil, err
	}
	if len(later) == 0 {
		later = signed
	}
	if len(earlier) == 0 {
		earlier = signed
	}
	old, err := format.OpenCheckpoint(earlier, key)
	if err != nil {
		return nil, fmt.Errorf("earlier checkpoint: %w", err)
	}
	c, err := format.OpenCheckpoint(later, key)
	if err != nil {
		return nil, fmt.Errorf("later checkpoint: %w", err)
	}
	if old.Size < 1 || old.Size > c.Size {
		return nil, fmt.Errorf("the earlier checkpoint has %d records, the later %d: give them the other way round", old.Size, c.Size)
	}
	p := &Proof{Type: format.Consistency, Checkpoint: string(later), Earlier: string(earlier)}
	return p, complete(ctx, dir, key, p, func(r tlog.HashReader) (err error) {
		p.Hashes, err = tlog.ProveTree(int64(c.Size), int64(old.Size), r)
		return err
	})
}

// Checkpoint returns the signed checkpoint of that many records, the newest if size is 0.
func Checkpoint(dir string, size uint64) ([]byte, error) {
	c, signed, key, err := newest(dir)
	if err != nil || size == 0 || size == c.Size {
		return signed, err
	}
	_, files, err := list(dir)
	if err != nil {
		return nil, err
	}
	below, above := uint64(0), uint64(0) // the nearest there are
	for _, first := range slices.Backward(files) {
		var found []byte
		if err := eachCheckpoint(dir, first, key, func(c format.Checkpoint, signed []byte) {
			switch {
			case c.Size == size:
				found = signed
			case c.Size < size:
				below = max(below, c.Size)
			case above == 0 || c.Size < above:
				above = c.Size
			}
		}); err != nil {
			return nil, err
		}
		if found != nil {
			return found, nil
		}
	}
	nearest := ""
	switch {
	case below > 0 && above > 0:
		nearest = fmt.Sprintf(": the nearest are of %d and of %d", below, above)
	case below+above > 0: // one of them is 0
		nearest = fmt.Sprintf(": the nearest is of %d", below+above)
	}
	return nil, fmt.Errorf("audit log %s: there is no checkpoint of %d records%s", dir, size, nearest)
}

// lineMark stands before a checkpoint in a line of another log.
const lineMark = "understudy-checkpoint "

// CheckpointLine is a checkpoint as one line of ASCII, for logs that have lines. VerifyOptions.Anchor may have such lines,
// whatever else is in them.
func CheckpointLine(checkpoint []byte) string {
	return lineMark + strconv.QuoteToASCII(string(checkpoint))
}

// unlined puts checkpoints that are in lines in their place.
func unlined(data []byte) []byte {
	if !bytes.Contains(data, []byte(lineMark)) {
		return data
	}
	var found []byte
	for line := range bytes.Lines(data) {
		_, text, ok := bytes.Cut(line, []byte(lineMark))
		if !ok {
			continue
		}
		quoted, err := strconv.QuotedPrefix(string(text))
		if err != nil {
			continue
		}
		if checkpoint, err := strconv.Unquote(quoted); err == nil {
			found = append(found, checkpoint...)
		}
	}
	return found
}

// PublicKey reads the public key of a log.
func PublicKey(dir string) (string, error) {
	path := filepath.Join(dir, pubName)
	data, err := os.ReadFile(path)
	if err != nil {
		return "", &FileError{path, "read the public key", err}
	}
	return strings.TrimSpace(string(data)), nil
}

// Origin is the name that a log's checkpoints are signed with, empty if it has none that can be read.
func Origin(dir string) string {
	key, err := readKey(dir, "")
	if err != nil {
		return ""
	}
	return key.Name()
}

// newest is the newest checkpoint of a log, by its own key.
func newest(dir string) (last format.Checkpoint, signed []byte, key note.Verifier, err error) {
	if key, err = readKey(dir, ""); err != nil {
		return last, nil, nil, err
	}
	_, files, err := list(dir)
	if err != nil {
		return last, nil, nil, err
	}
	for _, first := range slices.Backward(files) {
		err := eachCheckpoint(dir, first, key, func(c format.Checkpoint, one []byte) {
			if c.Size >= last.Size {
				last, signed = c, one
			}
		})
		if err != nil {
			return last, nil, nil, err
		}
		if signed != nil {
			return last, signed, key, nil
		}
	}
	return last, nil, nil, fmt.Errorf("audit log %s: there is no checkpoint in it", dir)
}

// eachCheckpoint gives those of one file whose signature is right.
func eachCheckpoint(dir string, first uint64, key note.Verifier, give func(format.Checkpoint, []byte)) error {
	path := filepath.Join(dir, signedName(first))
	data, err := os.ReadFile(path)
	if err != nil {
		return &FileError{path, "read", err}
	}
	for {
		signed, rest, err := format.NextCheckpoint(data)
		if err != nil {
			return nil
		}
		data = rest
		if c, err := format.OpenCheckpoint(signed, key); err == nil {
			give(c, signed)
		}
	}
}

// complete makes a proof with the hashes of the side file, and if those will not do, with hashes that are
// computed from the records.
func complete(ctx context.Context, dir string, key note.Verifier, p *Proof, prove func(tlog.HashReader) error) error {
	if f, reader, err := hashReader(dir); err == nil {
		err := prove(reader)
		_ = f.Close() // only read
		if err == nil {
			if _, err := p.Check(key); err == nil {
				return nil
			}
		}
	}
	wanted := make(map[int64]bool)
	asked := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		for _, index := range indexes {
			wanted[index] = true
		}
		return make([]tlog.Hash, len(indexes)), nil
	})
	if err := prove(asked); err != nil {
		return fmt.Errorf("audit log %s: %w", dir, err)
	}
	reader, err := computed(ctx, dir, wanted)
	if err != nil {
		return err
	}
	if err := prove(reader); err != nil {
		return fmt.Errorf("audit log %s: %w", dir, err)
	}
	if _, err := p.Check(key); err != nil {
		return fmt.Errorf("audit log %s: the records are not those of the checkpoint, run understudy audit verify: %w", dir, err)
	}
	return nil
}

// computed reads all records for some of the tree's hashes: there are twice as many in all as there are records.
func computed(ctx context.Context, dir string, wanted map[int64]bool) (tlog.HashReader, error) {
	segments, _, err := list(dir)
	if err != nil {
		return nil, err
	}
	known := make(map[int64]format.Hash)
	var tree format.Frontier
	if len(segments) > 0 {
		header, err := headerOf(dir, segments[0])
		if err != nil {
			return nil, err
		}
		if tree, err = header.Frontier(); err != nil {
			return nil, err
		}
		for i, index := range tree.Indexes() {
			known[index] = tree.Nodes()[i]
		}
	}
	stored := make([]format.Hash, 0, 64)
	leaves := func() looker[format.Hash] {
		var leaf format.Leaf
		return func(p *payload) (format.Hash, verdict, error) { return leaf.Hash(p.payload), keep, nil }
	}
	for leaf, err := range look(ctx, dir, 0, leaves) {
		if err != nil {
			if errors.Is(err, format.ErrShort) || err == io.EOF {
				break
			}
			return nil, err
		}
		at := tlog.StoredHashCount(int64(tree.Size()))
		stored = tree.Add(leaf, stored[:0])
		for i, h := range stored {
			if wanted[at+int64(i)] {
				known[at+int64(i)] = h
			}
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			h, ok := known[index]
			if !ok {
				return nil, format.ErrMissingHash
			}
			hashes[i] = h
		}
		return hashes, nil
	}), nil
}
