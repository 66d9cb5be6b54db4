package format

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is what a signature says: so many records with this tree hash.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   Hash
}

// Body is the text that is signed: C2SP tlog-checkpoint. (tlog.FormatTree has "go.sum database tree" for an
// origin.)
func (c Checkpoint) Body() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// Sign makes the signed note.
func (c Checkpoint) Sign(signer note.Signer) ([]byte, error) {
	if c.Origin == "" || strings.ContainsAny(c.Origin, "\n") {
		return nil, fmt.Errorf("origin %.60q: expected one line", c.Origin)
	}
	return note.Sign(&note.Note{Text: c.Body()}, signer)
}

var errCheckpoint = errors.New("no checkpoint: expected the lines origin, size and root")

// ParseCheckpoint reads the text of a note.
func ParseCheckpoint(body string) (Checkpoint, error) {
	lines := strings.SplitN(body, "\n", 4)
	if len(lines) < 4 || lines[0] == "" {
		return Checkpoint{}, errCheckpoint
	}
	size, err := strconv.ParseUint(lines[1], 10, 62)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return Checkpoint{}, errCheckpoint
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return Checkpoint{}, errCheckpoint
	}
	return Checkpoint{lines[0], size, root}, nil
}

// OpenCheckpoint reads a signed checkpoint and checks its signature. Signatures of others, as those of
// witnesses, are let be.
func OpenCheckpoint(signed []byte, key note.Verifier) (Checkpoint, error) {
	n, err := note.Open(signed, note.VerifierList(key))
	if err != nil {
		return Checkpoint{}, err
	}
	return ParseCheckpoint(n.Text)
}

// NextCheckpoint cuts the first signed note off a file of them. Notes follow each other without anything
// between; the last may be unfinished (ErrShort).
func NextCheckpoint(b []byte) (signed, rest []byte, err error) {
	// The body is ended by an empty line, the signatures by a line that is none.
	end := bytes.Index(b, []byte("\n\n"))
	if end < 0 {
		return nil, nil, ErrShort
	}
	at := end + 2
	for {
		line := bytes.IndexByte(b[at:], '\n')
		if line < 0 {
			return nil, nil, ErrShort
		}
		at += line + 1
		if !bytes.HasPrefix(b[at:], []byte("— ")) {
			return b[:at], b[at:], nil
		}
	}
}
