package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
)

// maxLine bounds a line that is read: more than any line written here can have.
const maxLine = 8 << 20

var (
	errTorn    = errors.New("the line has no end: a write was cut short, or is still going on")
	errTooLong = fmt.Errorf("longer than %d bytes", maxLine)
)

// DamageError says that a line of the log is no record.
type DamageError struct {
	File   string
	Line   int   // from 1
	Offset int64 // of the line's first byte
	Err    error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("audit log %s:%d (byte %d): %v", e.File, e.Line, e.Offset, e.Err)
}

// Unwrap gives the cause.
func (e *DamageError) Unwrap() error { return e.Err }

// Read gives the records of a log, oldest first. A line that is no record gives a *DamageError, and the
// iteration goes on after it; any other error is the last. A log that does not exist is such an error,
// fs.ErrNotExist.
//
// The log may be in use: what is written during the iteration may be seen or not, and the last record may
// be one that is not durable yet.
func Read(dir string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		path := Path(dir)
		f, err := os.Open(path)
		if err != nil {
			yield(Record{}, &FileError{path, "open", err})
			return
		}
		defer func() { _ = f.Close() }() // only read
		lines := newLines(f, path, 0, 0)
		for {
			line, err := lines.next()
			if err == io.EOF {
				return
			}
			var damage *DamageError
			var r Record
			if err == nil {
				if r, err = decode(line); err != nil {
					err = lines.damage(err)
				}
			} else if !errors.As(err, &damage) {
				yield(Record{}, err)
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// Tail returns the last n records, oldest first, of those that are whole: an unfinished line at the end is
// a write that is going on. With damaged lines among them it returns the others, and the *DamageErrors,
// joined. It reads the whole log.
func Tail(dir string, n int) ([]Record, error) {
	if n <= 0 {
		return nil, nil
	}
	type item struct {
		record Record
		err    error
	}
	ring, count := make([]item, 0, min(n, 1024)), 0
	for r, err := range Read(dir) {
		var damage *DamageError
		if err != nil && !errors.As(err, &damage) {
			return nil, err
		}
		if errors.Is(err, errTorn) {
			continue
		}
		if len(ring) < n {
			ring = append(ring, item{r, err})
		} else {
			ring[count%n] = item{r, err}
		}
		count++
	}
	var records []Record
	var damages []error
	for i := max(0, count-n); i < count; i++ {
		if it := ring[i%n]; it.err != nil {
			damages = append(damages, it.err)
		} else {
			records = append(records, it.record)
		}
	}
	return records, errors.Join(damages...)
}

// lines splits a file, in bounded memory.
type lines struct {
	path   string
	reader *bufio.Reader
	line   int   // number of the last line given
	start  int64 // its offset
	offset int64 // after it
	buffer []byte
}

func newLines(r io.Reader, path string, line int, offset int64) *lines {
	return &lines{path: path, reader: bufio.NewReaderSize(r, 64<<10), line: line, offset: offset}
}

func (l *lines) damage(err error) error { return &DamageError{l.path, l.line, l.start, err} }

// next returns a line without its newline, valid until the next call. After a *DamageError it goes on with
// the next line; io.EOF is the end at a line's boundary.
func (l *lines) next() ([]byte, error) {
	l.line++
	l.start = l.offset
	l.buffer = l.buffer[:0]
	long := false
	for {
		part, err := l.reader.ReadSlice('\n')
		l.offset += int64(len(part))
		if !long {
			l.buffer = append(l.buffer, part...)
			long = len(l.buffer) > maxLine+1
		}
		switch {
		case err == nil && long:
			return nil, l.damage(errTooLong)
		case err == nil:
			return l.buffer[:len(l.buffer)-1], nil
		case err == bufio.ErrBufferFull:
		case err == io.EOF && l.offset == l.start:
			return nil, io.EOF
		case err == io.EOF:
			return nil, l.damage(errTorn)
		default:
			return nil, &FileError{l.path, "read", err}
		}
	}
}

// missing says that there is no file (yet).
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
