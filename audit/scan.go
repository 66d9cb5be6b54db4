package audit

import (
	"errors"
	"fmt"
	"io"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// How much of a segment is read at once: little at first, since some want its header only. Longer payloads
// make the buffer grow further.
const (
	firstChunk = 8 << 10
	scanChunk  = 512 << 10
)

// DamageError says that a part of the log is no record.
type DamageError struct {
	File   string
	Seq    uint64 // the record that was expected there
	Offset int64  // of the damage in the file
	Err    error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("audit log %s: record %d (byte %d): %v", e.File, e.Seq, e.Offset, e.Err)
}

// Unwrap gives the cause.
func (e *DamageError) Unwrap() error { return e.Err }

// scanner gives the payloads of a segment's frames, in memory that is bounded by the longest of them.
type scanner struct {
	source io.ReaderAt
	path   string
	end    int64 // where to stop; negative: at the end of the file

	buffer []byte
	chunk  int
	from   int   // what of buffer is not consumed yet
	at     int64 // offset of buffer[from]
	ended  bool  // the source has no more
	// failed is the damage that was last reported: the next call goes on behind it.
	failed bool
}

func newScanner(source io.ReaderAt, path string, at, end int64) *scanner {
	return &scanner{source: source, path: path, at: at, end: end}
}

// offset is where the next frame begins, or the damage that was just reported.
func (s *scanner) offset() int64 { return s.at }

// next returns a payload, valid until the next call, and where its frame begins. io.EOF is the end at a
// frame's boundary. After a *DamageError it goes on with the next whole frame; if its Err is
// format.ErrShort, there is none.
func (s *scanner) next() (payload []byte, offset int64, err error) {
	if s.failed {
		if err := s.skip(); err != nil {
			return nil, s.at, err
		}
	}
	for {
		rest := s.buffer[s.from:]
		payload, size, err := format.Next(rest)
		switch {
		case err == nil:
			offset = s.at
			s.from += size
			s.at += int64(size)
			return payload, offset, nil
		case errors.Is(err, format.ErrShort) && !s.ended:
			if err := s.fill(); err != nil {
				return nil, s.at, err
			}
		case errors.Is(err, format.ErrShort) && len(rest) == 0:
			return nil, s.at, io.EOF
		default:
			s.failed = true
			return nil, s.at, &DamageError{File: s.path, Offset: s.at, Err: err}
		}
	}
}

// fill reads on.
func (s *scanner) fill() error {
	kept := len(s.buffer) - s.from
	s.chunk = min(max(4*s.chunk, firstChunk), scanChunk)
	need := max(s.chunk, 2*kept)
	if cap(s.buffer) < need {
		grown := make([]byte, kept, need)
		copy(grown, s.buffer[s.from:])
		s.buffer = grown
	} else {
		copy(s.buffer[:kept], s.buffer[s.from:])
		s.buffer = s.buffer[:kept]
	}
	s.from = 0
	room := s.buffer[kept:cap(s.buffer)]
	at := s.at + int64(kept)
	if s.end >= 0 && int64(len(room)) > s.end-at {
		room = room[:max(0, s.end-at)]
	}
	n, err := s.source.ReadAt(room, at)
	s.buffer = s.buffer[:kept+n]
	if err == io.EOF || err == nil && s.end >= 0 && at+int64(n) >= s.end {
		s.ended = true
		err = nil
	}
	if err != nil {
		return &FileError{s.path, "read", err}
	}
	return nil
}

// skip goes to the next whole frame.
func (s *scanner) skip() error {
	s.failed = false
	for {
		if n := format.Resync(s.buffer[s.from:]); n >= 0 {
			s.from += n
			s.at += int64(n)
			return nil
		}
		if s.ended {
			s.at += int64(len(s.buffer) - s.from)
			s.from = len(s.buffer)
			return io.EOF
		}
		// A frame that goes over the end of what is read is found when more of it is there.
		if drop := len(s.buffer) - s.from - format.FrameSize(format.MaxPayload); drop > 0 {
			s.from += drop
			s.at += int64(drop)
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
}

// readSegment reads a segment's first frame. It returns where the records begin.
func readSegment(source io.ReaderAt, path string, first uint64) (format.Segment, int64, error) {
	s := newScanner(source, path, 0, -1)
	payload, _, err := s.next()
	if err == io.EOF {
		err = &DamageError{File: path, Err: errors.New("the file is empty")}
	}
	if err != nil {
		var damage *DamageError
		if errors.As(err, &damage) {
			damage.Seq = first
		}
		return format.Segment{}, 0, err
	}
	segment, err := format.ParseSegment(payload)
	if err == nil && segment.First != first {
		err = fmt.Errorf("the segment begins with record %d, its name says %d", segment.First, first)
	}
	if err != nil {
		return format.Segment{}, 0, &DamageError{File: path, Seq: first, Err: err}
	}
	return segment, s.at, nil
}
