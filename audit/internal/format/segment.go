package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// SegmentName is the format that the first frame of a segment names.
const SegmentName = "understudy audit segment 1"

// Segment is the first frame of a segment, which is no record: what has to be known to read, check and
// continue the log from here, without the segments before.
type Segment struct {
	Format string `json:"format"`
	// First is the number of the first record here.
	First uint64 `json:"first"`
	// Began is when the segment was begun.
	Began time.Time `json:"began"`
	// Previous is the segment before, nil in the first one.
	Previous *Previous `json:"previous,omitempty"`
	// Tree are the complete subtrees of all records before, in base64, the largest first.
	Tree []string `json:"tree,omitempty"`
	// Lost is Record.Lost so far.
	Lost uint64 `json:"lost,omitempty"`
	// Sessions are the session_seq so far.
	Sessions map[string]uint64 `json:"sessions,omitempty"`
	// Open are the intents before the segment that had no end by then: their numbers, by a digest of the tool use.
	Open map[uint64]uint64 `json:"open,omitempty"`
}

// Previous says where the segment before ends.
type Previous struct {
	// First is its name.
	First uint64 `json:"first"`
	// End is its size in bytes.
	End int64 `json:"end"`
	// Abandoned says that a write to it failed: what follows End was never acknowledged and is no part of
	// the log.
	Abandoned bool `json:"abandoned,omitempty"`
}

// Encode makes the frame's payload.
func (s Segment) Encode() ([]byte, error) {
	s.Format = SegmentName
	return json.Marshal(s)
}

// Frontier is the tree before the segment.
func (s Segment) Frontier() (Frontier, error) {
	nodes := make([]Hash, 0, len(s.Tree)+1)
	for _, text := range s.Tree {
		h, err := tlog.ParseHash(text)
		if err != nil {
			return Frontier{}, err
		}
		nodes = append(nodes, h)
	}
	return NewFrontier(s.First-1, nodes)
}

// SetFrontier is the inverse of Frontier, and sets First.
func (s *Segment) SetFrontier(f *Frontier) {
	s.First, s.Tree = f.Size()+1, nil
	for _, node := range f.Nodes() {
		s.Tree = append(s.Tree, node.String())
	}
}

// ParseSegment reads the first frame of a segment.
func ParseSegment(payload []byte) (Segment, error) {
	var s Segment
	if err := json.Unmarshal(payload, &s); err != nil {
		return Segment{}, fmt.Errorf("no segment header: %w", err)
	}
	if s.Format != SegmentName {
		return Segment{}, fmt.Errorf("a segment of format %.60q: this program knows %q: use the program that wrote it", s.Format, SegmentName)
	}
	if s.First == 0 || (s.First == 1) != (s.Previous == nil) {
		return Segment{}, errors.New("no segment header: first and previous do not fit")
	}
	if _, err := s.Frontier(); err != nil {
		return Segment{}, fmt.Errorf("no segment header: %w", err)
	}
	return s, nil
}
