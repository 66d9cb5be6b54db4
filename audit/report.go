package audit

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
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
