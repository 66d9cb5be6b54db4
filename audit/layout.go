package audit

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The files of a log, all in its directory.
const (
	prefix      = "audit." // of all our files
	lockName    = "audit.lock"
	keyName     = "audit.key"     // the private key, if it was made here
	pubName     = "audit.pub"     // the public key
	saltName    = "audit.salt"    // the key of redaction digests
	hashName    = "audit.hashes"  // the tree's hashes, rebuildable
	reserveName = "audit.reserve" // room for the last words
	newName     = "audit.new"     // a file that is not finished
	logExt      = ".log"
	signedExt   = ".checkpoints"
)

// segmentName is the file of the segment that begins with that record.
func segmentName(first uint64) string { return fmt.Sprintf("%s%020d%s", prefix, first, logExt) }

// signedName is the file of the checkpoints made while that segment was written.
func signedName(first uint64) string { return fmt.Sprintf("%s%020d%s", prefix, first, signedExt) }

// Path is the file of a log that is being written: its newest segment, or what will be its first.
func Path(dir string) string {
	first := uint64(1)
	if segments, _, err := list(dir); err == nil && len(segments) > 0 {
		first = segments[len(segments)-1]
	}
	return filepath.Join(dir, segmentName(first))
}

// list returns the first records of the segments and of the files of checkpoints, in order.
func list(dir string) (segments, signed []uint64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, &FileError{dir, "read directory", err}
	}
	for _, e := range entries {
		if n, ok := named(e, logExt); ok {
			segments = append(segments, n)
		}
		if n, ok := named(e, signedExt); ok {
			signed = append(signed, n)
		}
	}
	slices.Sort(segments)
	slices.Sort(signed)
	return segments, signed, nil
}

func named(e fs.DirEntry, ext string) (uint64, bool) {
	rest, ok := strings.CutPrefix(e.Name(), prefix)
	if !ok {
		return 0, false
	}
	text, ok := strings.CutSuffix(rest, ext)
	if !ok || len(text) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 62)
	return n, err == nil && n > 0
}
