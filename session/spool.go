package session

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/understudy-run/understudy/session/protocol"
)

// spool is what a slow consumer has not read yet, on disk: lines in files that have no name any more, so that nothing is
// left of them when the program ends, however it does, and nobody can open them. They hold what the agent saw and said.
//
// Its counts are under the stream's lock; the files are written by one goroutine and read by another without it.
type spool struct {
	dir   string
	files []*spoolFile // oldest first; the last one is written to
}

// spoolFile is one of the spool's files. One that was read to its end is closed, which frees its room.
type spoolFile struct {
	*os.File
	size int64 // written
	read int64
}

const (
	maxSpoolFile = 64 << 20
	spoolChunk   = 256 << 10
)

// openSpool makes a file that only this process has, and nobody else may read.
func openSpool(dir string) (*spoolFile, error) {
	f, err := os.CreateTemp(dir, ".understudy-unread-") // with mode 0600
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, fmt.Errorf("%w (%w)", err, f.Close())
	}
	return &spoolFile{File: f}, nil
}

// tail is the file to write to, nil if a new one is due.
func (s *spool) tail() *spoolFile {
	if n := len(s.files); n > 0 && s.files[n-1].size < maxSpoolFile {
		return s.files[n-1]
	}
	return nil
}

// head is the file to read from, nil if all was read.
func (s *spool) head() *spoolFile {
	for len(s.files) > 0 {
		f := s.files[0]
		if f.read < f.size {
			return f
		}
		if f.size < maxSpoolFile {
			break // more will come
		}
		_ = f.Close() // it has no name, and was read
		s.files = slices.Delete(s.files, 0, 1)
	}
	return nil
}

func (s *spool) unread() (sum int64) {
	for _, f := range s.files {
		sum += f.size - f.read
	}
	return sum
}

func (s *spool) close() {
	for _, f := range s.files {
		_ = f.Close() // it has no name, and nobody reads it any more
	}
	s.files = nil
}

// append writes lines and says how many bytes of whole ones got there.
func (f *spoolFile) append(lines []byte) (int64, error) {
	n, err := f.Write(lines)
	return int64(bytes.LastIndexByte(lines[:n], '\n') + 1), err
}

// messages reads a chunk of the lines between two offsets, at least one line, and says how long it was.
func (f *spoolFile) messages(from, to int64) (list []protocol.Message, n int64, err error) {
	chunk := make([]byte, min(to-from, spoolChunk))
	for {
		if _, err := f.ReadAt(chunk, from); err != nil && err != io.EOF {
			return nil, 0, err
		}
		if n = int64(bytes.LastIndexByte(chunk, '\n') + 1); n > 0 {
			break
		}
		if int64(len(chunk)) == to-from {
			return nil, 0, io.ErrUnexpectedEOF // they were whole lines
		}
		chunk = make([]byte, min(to-from, int64(len(chunk))*4))
	}
	for line := range bytes.Lines(chunk[:n]) {
		m, err := protocol.Decode(line)
		if err != nil {
			return list, n, err
		}
		list = append(list, m)
	}
	return list, n, nil
}
