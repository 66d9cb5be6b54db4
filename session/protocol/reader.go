package protocol

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// DefaultMaxLine is the longest line a Reader accepts unless told otherwise, in bytes. The CLI itself
// has no limit: an edit of a file of 2.7 MB was seen to give a line of 3.15 MB.
const DefaultMaxLine = 16 << 20

const (
	readBuffer = 64 << 10
	// keepBuffer is the room for long lines that a Reader holds on to; a larger
	// one is given back, so that a single huge line does not stay for the session's life.
	keepBuffer = 1 << 20
)

// LineTooLongError says that a line was longer than the reader's limit.
type LineTooLongError struct {
	Limit int // bytes
}

func (e *LineTooLongError) Error() string {
	return fmt.Sprintf("read frame: line longer than %d bytes: raise the limit (max_line_bytes) if the CLI is to be trusted with it", e.Limit)
}

// buffers are those of readers that have something to read: most streams are silent most of the time.
var buffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readBuffer) }}

// Reader splits a stream into lines. It is not safe for concurrent use.
type Reader struct {
	r       *bufio.Reader // nil while nothing is there
	source  source
	max     int
	long    []byte // a line that did not fit the buffer of r
	discard bool   // inside a line that was too long
	err     error  // the end
}

// NewReader reads lines of at most maxLine bytes, the newline not counted, from r. A
// maxLine of 0 or less is DefaultMaxLine. It holds next to nothing while it waits, 64 KiB while
// something is there, and up to maxLine while a long line is coming in.
func NewReader(r io.Reader, maxLine int) *Reader {
	if maxLine <= 0 {
		maxLine = DefaultMaxLine
	}
	eager, _ := r.(Eager)
	return &Reader{source: source{r: r, eager: eager}, max: maxLine}
}

// Eager is what a stream may be besides an io.Reader: one that can be read without waiting.
type Eager interface {
	// ReadReady reads what is there. It returns 0 and no error if nothing is.
	ReadReady(p []byte) (int, error)
}

// source is the stream, with the bytes in front of it that ended a wait.
type source struct {
	r     io.Reader
	eager Eager // the same, if it is one
	ready bool  // wait for nothing
	head  []byte
	err   error // that came with them
	first [512]byte
}

// errNotReady ends a read that would have to wait.
var errNotReady = errors.New("nothing is there")

// wait waits for the first bytes.
func (s *source) wait() error {
	for range 100 {
		n, err := s.r.Read(s.first[:])
		if n > 0 {
			s.head, s.err = s.first[:n], err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// Read gives the first bytes, and then what comes after them.
func (s *source) Read(p []byte) (int, error) {
	if len(s.head) > 0 {
		n := copy(p, s.head)
		s.head = s.head[n:]
		return n, nil
	}
	if err := s.err; err != nil {
		s.err = nil
		return 0, err
	}
	if s.ready {
		n, err := s.eager.ReadReady(p)
		switch {
		case err != nil: // whoever reads next is to see it
			s.err, err = err, nil
			if n == 0 {
				err = errNotReady
			}
		case n == 0:
			err = errNotReady
		}
		return n, err
	}
	n, err := s.r.Read(p)
	if n > 0 && err != nil { // kept here, where rest sees it
		s.err, err = err, nil
	}
	return n, err
}

// fetch sees to it that there is a buffer with something to come.
func (r *Reader) fetch() error {
	if r.r != nil {
		return nil
	}
	if err := r.source.wait(); err != nil {
		return err
	}
	r.r, _ = buffers.Get().(*bufio.Reader)
	r.r.Reset(&r.source)
	return nil
}

// rest gives the buffer back if nothing is in it.
func (r *Reader) rest() {
	if r.r == nil || r.r.Buffered() > 0 || len(r.source.head) > 0 || r.source.err != nil {
		return
	}
	r.r.Reset(nil)
	buffers.Put(r.r)
	r.r = nil
}

// Next returns the next line without its line end ("\n" or "\r\n"); lines of
// nothing but spaces, tabs and carriage returns are passed over. The bytes are
// valid until the next call, of Ready too: Decode copies them.
//
// The end is io.EOF only if it comes after a complete line; a line cut off in the middle is
// io.ErrUnexpectedEOF, and its bytes are dropped. Both stay: every later call gives the same
// error. *LineTooLongError does not: it is returned once the limit is passed (and the buffer of
// 64 KiB is full), without holding more, and the next call goes on behind that line.
func (r *Reader) Next() ([]byte, error) {
	if cap(r.long) > keepBuffer {
		r.long = nil
	}
	r.rest()
	for {
		line, err := r.line()
		if err != nil {
			return nil, err
		}
		if !blank(line) {
			return line, nil
		}
	}
}

// Ready reports whether Next would return without waiting for the stream, as far as that is known: another line, or at least
// the end of one, is there. A stream that is Eager is read for it, as far as there is room.
func (r *Reader) Ready() bool {
	if r.err != nil {
		return true
	}
	if r.r == nil {
		return false
	}
	for seen := 0; ; {
		waiting, err := r.r.Peek(r.r.Buffered())
		if err != nil {
			return false
		}
		if bytes.IndexByte(waiting[seen:], '\n') >= 0 {
			return true
		}
		if seen = len(waiting); r.source.eager == nil || seen == r.r.Size() || len(r.source.head) > 0 || r.source.err != nil {
			return false
		}
		r.source.ready = true
		_, err = r.r.Peek(seen + 1)
		r.source.ready = false
		if err != nil {
			return false
		}
	}
}

func (r *Reader) line() ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	r.long = r.long[:0]
	torn := r.discard
	for {
		if err := r.fetch(); err != nil {
			return nil, r.end(err, torn)
		}
		part, err := r.r.ReadSlice('\n')
		ended := err == nil
		if ended {
			part = part[:len(part)-1]
		}
		if len(part) > 0 && !blank(part) {
			torn = true
		}
		switch {
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			end := r.end(err, torn)
			if !r.discard && len(r.long)+len(part) > r.max {
				return nil, &LineTooLongError{Limit: r.max}
			}
			return nil, end
		case r.discard:
			if ended {
				r.discard, torn = false, false
			}
			continue
		case len(r.long)+len(part) > r.max:
			r.discard = !ended
			return nil, &LineTooLongError{Limit: r.max}
		case ended && len(r.long) == 0:
			return bytes.TrimSuffix(part, []byte{'\r'}), nil
		}
		r.long = append(r.long, part...)
		if ended {
			return bytes.TrimSuffix(r.long, []byte{'\r'}), nil
		}
	}
}

func (r *Reader) end(err error, torn bool) error {
	switch {
	case !errors.Is(err, io.EOF):
		r.err = fmt.Errorf("read frame: %w", err)
	case torn:
		r.err = io.ErrUnexpectedEOF
	default:
		r.err = io.EOF
	}
	return r.err
}

func blank(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}
