package format

import (
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Proof is what can be checked without the log: that a record is in the tree of a checkpoint, or that the
// tree of one checkpoint is the beginning of another's.
type Proof struct {
	// Type is "inclusion" or "consistency".
	Type string `json:"type"`
	// Checkpoint is the signed checkpoint; of two the later one.
	Checkpoint string `json:"checkpoint"`
	// Earlier is the signed checkpoint whose tree the other contains. Consistency only.
	Earlier string `json:"earlier,omitempty"`
	// Seq is the record's number. Inclusion only.
	Seq uint64 `json:"seq,omitempty"`
	// Record is the record's payload, byte for byte. Inclusion only.
	Record string `json:"record,omitempty"`
	// Hashes are the proof, as golang.org/x/mod/sumdb/tlog defines it, in base64.
	Hashes []Hash `json:"hashes"`
}

// Proof types.
const (
	Inclusion   = "inclusion"
	Consistency = "consistency"
)

// Check checks a proof. It reports what is proved.
func (p Proof) Check(key note.Verifier) (string, error) {
	c, err := OpenCheckpoint([]byte(p.Checkpoint), key)
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	switch p.Type {
	case Inclusion:
		if p.Seq < 1 || p.Seq > c.Size {
			return "", fmt.Errorf("record %d is not among the %d of the checkpoint", p.Seq, c.Size)
		}
		head, ok := ParseHead([]byte(p.Record), Head{})
		if !ok || head.Seq != p.Seq {
			return "", fmt.Errorf("the record given is not record %d", p.Seq)
		}
		if err := tlog.CheckRecord(p.Hashes, int64(c.Size), c.Root, int64(p.Seq-1), tlog.RecordHash([]byte(p.Record))); err != nil {
			return "", fmt.Errorf("record %d is not in the checkpoint of %d records: %w", p.Seq, c.Size, err)
		}
		return fmt.Sprintf("record %d is in the checkpoint of %d records of %s", p.Seq, c.Size, c.Origin), nil
	case Consistency:
		old, err := OpenCheckpoint([]byte(p.Earlier), key)
		if err != nil {
			return "", fmt.Errorf("earlier checkpoint: %w", err)
		}
		if old.Origin != c.Origin {
			return "", fmt.Errorf("checkpoints of two logs: %q and %q", old.Origin, c.Origin)
		}
		if old.Size < 1 || old.Size > c.Size {
			return "", fmt.Errorf("the earlier checkpoint has %d records, the later %d", old.Size, c.Size)
		}
		if err := tlog.CheckTree(p.Hashes, int64(c.Size), c.Root, int64(old.Size), old.Root); err != nil {
			return "", fmt.Errorf("the checkpoint of %d records does not contain that of %d: %w", c.Size, old.Size, err)
		}
		return fmt.Sprintf("the checkpoint of %d records of %s contains that of %d", c.Size, c.Origin, old.Size), nil
	default:
		return "", fmt.Errorf("proof of type %.40q: expected %q or %q", p.Type, Inclusion, Consistency)
	}
}

// ParseProof reads the JSON of a proof.
func ParseProof(data []byte) (Proof, error) {
	var p Proof
	if err := json.Unmarshal(data, &p); err != nil {
		return Proof{}, fmt.Errorf("no proof: %w", err)
	}
	if p.Type == "" || p.Checkpoint == "" {
		return Proof{}, errors.New("no proof: type or checkpoint is missing")
	}
	return p, nil
}
