package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	logName  = "audit.jsonl"
	lockName = "audit.lock"
	prefix   = "audit." // of all our files
)

// Path is where the log of a directory is.
func Path(dir string) string { return filepath.Join(dir, logName) }

// position is how far a log is known to be durable.
type position struct {
	offset int64
	seq    uint64
	lost   uint64
	// attempted is what was last written without having been acknowledged. If the file goes on with it, or
	// a part of it, it is cut off.
	attempted []byte
}

// log is the open file. It belongs to one goroutine at a time.
type log struct {
	disk disk
	dir  string
	path string
	lock file
	file file
	at   position
}

// batch is a run of lines that become durable together.
type batch struct {
	lines []byte
	at    position // after it
}

// repair is what an opening found wrong.
type repair struct {
	offset      int64 // where the file was cut
	dropped     int64 // bytes
	side        string
	missingFrom uint64 // acknowledged records that are gone
	missingTo   uint64
}

func (r *repair) missing() uint64 {
	if r.missingFrom == 0 {
		return 0
	}
	return r.missingTo - r.missingFrom + 1
}

func (r *repair) record() Record {
	detail := map[string]any{"offset": r.offset, "dropped_bytes": r.dropped}
	if r.side != "" {
		detail["side_file"] = r.side
	}
	if r.missingFrom != 0 {
		detail["missing_from"], detail["missing_to"] = r.missingFrom, r.missingTo
	}
	return Record{Kind: LogRecovered, Detail: detail}
}

// begin starts a batch.
func (l *log) begin() *batch {
	return &batch{at: position{offset: l.at.offset, seq: l.at.seq, lost: l.at.lost}}
}

// add appends a record that itself announces so many losses.
func (b *batch) add(rest []byte, lost uint64) {
	b.at.seq++
	b.at.lost += lost
	before := len(b.lines)
	b.lines = appendLine(b.lines, b.at.seq, b.at.lost, rest)
	b.at.offset += int64(len(b.lines) - before)
}

// commit makes a batch durable. After an error the log must not be used: what a failed write or fsync has
// left behind is unknown, and a second fsync may report success for pages the kernel has dropped.
func (l *log) commit(b *batch) error {
	if len(b.lines) == 0 {
		return nil
	}
	n, err := l.file.Write(b.lines)
	if err == nil && n < len(b.lines) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return &FileError{l.path, "write", err}
	}
	if err := l.file.Sync(); err != nil {
		return &FileError{l.path, "sync", err}
	}
	l.at = b.at
	return nil
}

// close lets go of the files. There is nothing to be done about its errors: what matters was fsynced.
func (l *log) close() {
	if l.file != nil {
		_ = l.file.Close()
	}
	if l.lock != nil {
		_ = l.lock.Close() // the lock goes with it
	}
}

// openLog opens the log of a directory for writing. known is what this process has had acknowledged.
func openLog(d disk, dir string, known position) (*log, *repair, error) {
	if dir == "" {
		return nil, nil, errors.New("audit log: no directory given: set audit.dir")
	}
	l := &log{disk: d, dir: dir, path: Path(dir)}
	r, err := l.open(known)
	if err != nil {
		l.close()
		return nil, nil, err
	}
	return l, r, nil
}

func (l *log) open(known position) (*repair, error) {
	if err := l.openDir(); err != nil {
		return nil, err
	}
	if err := l.takeLock(); err != nil {
		return nil, err
	}
	f, err := l.disk.Open(l.path, os.O_RDWR|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return nil, &FileError{l.path, "open", err}
	}
	l.file = f
	if err := private(f, l.path); err != nil {
		return nil, err
	}
	// The file may be new; whether it is does not matter.
	if err := l.disk.SyncDir(l.dir); err != nil {
		return nil, &FileError{l.dir, "sync directory", err}
	}
	return l.verify(known)
}

// openDir sees to a directory that is there and ours alone.
func (l *log) openDir() error {
	info, err := os.Stat(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := l.disk.Mkdir(l.dir); err != nil {
			return &FileError{l.dir, "create directory", err}
		}
		if err := l.disk.SyncDir(filepath.Dir(filepath.Clean(l.dir))); err != nil {
			return &FileError{filepath.Dir(filepath.Clean(l.dir)), "sync directory", err}
		}
		info, err = os.Stat(l.dir)
	}
	if err != nil {
		return &FileError{l.dir, "look at directory", err}
	}
	if !info.IsDir() {
		return fmt.Errorf("audit log %s: it is a file, expected a directory: choose another audit.dir", l.dir)
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	// A directory made for the log is closed to others. One that serves other purposes is not for us to
	// change: it might be the home directory, or /tmp.
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return &FileError{l.dir, "read directory", err}
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) {
			return fmt.Errorf("audit log %s: the directory is open to others (mode %#o) and has other files in it "+
				"(%.60q): choose a directory for the log alone, or run chmod 700 on it", l.dir, info.Mode().Perm(), e.Name())
		}
	}
	if err := os.Chmod(l.dir, 0o700); err != nil {
		return &FileError{l.dir, "close the directory to others (chmod 700)", err}
	}
	return nil
}

// private refuses what is no plain file, and makes the rest 0600.
func private(f file, path string) error {
	info, err := f.Stat()
	if err != nil {
		return &FileError{path, "look at file", err}
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("audit log %s: it is no plain file (%s): move it away", path, info.Mode().Type())
	}
	if info.Mode().Perm()&0o177 == 0 {
		return nil
	}
	if err := f.Chmod(0o600); err != nil {
		return &FileError{path, "close the file to others (chmod 600)", err}
	}
	return nil
}

// takeLock makes this the only writer. The lock file says who has it; the lock ends with its holder.
func (l *log) takeLock() error {
	path := filepath.Join(l.dir, lockName)
	f, err := l.disk.Open(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return &FileError{path, "open", err}
	}
	l.lock = f
	if err := private(f, path); err != nil {
		return err
	}
	switch err := l.disk.Lock(f); {
	case errors.Is(err, errLocked):
		return &LockedError{Dir: l.dir, PID: holder(f)}
	case err != nil:
		return &FileError{path, "lock", err}
	}
	if err := f.Truncate(0); err != nil {
		return &FileError{path, "truncate", err}
	}
	if _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); err != nil {
		return &FileError{path, "write", err}
	}
	return nil
}

// holder reads who has the lock; 0 if it does not say.
func holder(f file) int {
	text := make([]byte, 20)
	n, _ := f.ReadAt(text, 0) // io.EOF is what is expected
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		return 0
	}
	return pid
}

// verify finds the last record, cuts off what comes after it, and continues its numbers.
func (l *log) verify(known position) (*repair, error) {
	info, err := l.file.Stat()
	if err != nil {
		return nil, &FileError{l.path, "look at file", err}
	}
	size := info.Size()
	end := size
	if ours, err := l.attempted(known, size); err != nil {
		return nil, err
	} else if ours {
		end = known.offset
	}
	end, last, err := l.lastRecord(end)
	if err != nil {
		return nil, err
	}
	l.at = position{offset: end, seq: last.Seq, lost: last.Lost}
	var r *repair
	if end < size {
		r = &repair{offset: end, dropped: size - end}
		if r.side, err = l.cut(end, size); err != nil {
			return nil, err
		}
	}
	if known.seq > l.at.seq {
		// Somebody took away what was acknowledged. The hole in the numbers says so for ever.
		if r == nil {
			r = &repair{offset: end}
		}
		r.missingFrom, r.missingTo = l.at.seq+1, known.seq
		l.at.seq, l.at.lost = known.seq, max(l.at.lost, known.lost)
	}
	return r, nil
}

// attempted reports whether the file goes on after what is known with what was written but never
// acknowledged, and nothing else.
func (l *log) attempted(known position, size int64) (bool, error) {
	rest := size - known.offset
	if rest <= 0 || rest > int64(len(known.attempted)) {
		return false, nil
	}
	found := make([]byte, rest)
	if _, err := l.file.ReadAt(found, known.offset); err != nil {
		return false, &FileError{l.path, "read", err}
	}
	return bytes.Equal(found, known.attempted[:rest]), nil
}

// lastRecord finds the last whole record that ends at or before end, and where it ends. An empty log has
// none: 0 and a zero Record.
func (l *log) lastRecord(end int64) (int64, Record, error) {
	at, found, err := l.newline(end)
	for ; err == nil && found; at, found, err = l.newline(at) {
		// at is the offset of a newline; its line begins after the one before.
		before, more, err := l.newline(at)
		if err != nil {
			return 0, Record{}, err
		}
		start := int64(0)
		if more {
			start = before + 1
		}
		if at-start <= maxLine {
			line := make([]byte, at-start)
			if _, err := l.file.ReadAt(line, start); err != nil {
				return 0, Record{}, &FileError{l.path, "read", err}
			}
			r, err := decode(line)
			var newer *versionError
			if errors.As(err, &newer) {
				return 0, Record{}, fmt.Errorf("audit log %s: %w: use the program that wrote it, or another audit.dir", l.path, err)
			}
			if err == nil {
				return at + 1, r, nil
			}
		}
	}
	if err != nil {
		return 0, Record{}, err
	}
	// Not one record. A first line that never got finished is ours to cut; whole lines are somebody's.
	if _, lines, err := l.newline(end); err != nil {
		return 0, Record{}, err
	} else if lines {
		return 0, Record{}, fmt.Errorf("audit log %s: there is no audit record in it: move it away, or choose another audit.dir", l.path)
	}
	return 0, Record{}, nil
}

// newline returns the offset of the last newline before end.
func (l *log) newline(end int64) (int64, bool, error) {
	chunk := make([]byte, 16<<10)
	for end > 0 {
		n := min(end, int64(len(chunk)))
		if _, err := l.file.ReadAt(chunk[:n], end-n); err != nil {
			return 0, false, &FileError{l.path, "read", err}
		}
		if i := bytes.LastIndexByte(chunk[:n], '\n'); i >= 0 {
			return end - n + int64(i), true, nil
		}
		end -= n
	}
	return 0, false, nil
}

// cut takes what is between offset and size out of the log and keeps it in a side file, which it names.
func (l *log) cut(offset, size int64) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(l.file, offset, size-offset)); err != nil {
		return "", &FileError{l.path, "read", err}
	}
	// The name follows from the content, so that a crash in between leaves one side file and not two.
	name := fmt.Sprintf("%scut-%d-%x", prefix, offset, sum.Sum(nil)[:4])
	path := filepath.Join(l.dir, name)
	side, err := l.disk.Open(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return "", &FileError{path, "open", err}
	}
	_, err = io.Copy(side, io.NewSectionReader(l.file, offset, size-offset))
	if err == nil {
		err = side.Sync()
	}
	err = errors.Join(err, side.Close())
	if err == nil {
		err = l.disk.SyncDir(l.dir)
	}
	if err != nil {
		return "", &FileError{path, "keep the end of the log", err}
	}
	if err := l.file.Truncate(offset); err != nil {
		return "", &FileError{l.path, "cut off the torn end", err}
	}
	if err := l.file.Sync(); err != nil {
		return "", &FileError{l.path, "sync", err}
	}
	return name, nil
}

// versionError says that a record is of a later schema.
type versionError struct{ v int }

func (e *versionError) Error() string {
	return fmt.Sprintf("record of version %d: this program knows up to %d", e.v, Version)
}

// decode reads one line, without its newline.
func decode(line []byte) (Record, error) {
	var r Record
	if len(line) == 0 {
		return r, errors.New("empty line")
	}
	if line[0] != '{' {
		return r, errors.New("no JSON object")
	}
	err := json.Unmarshal(line, &r)
	// A later schema may have other types under the same names: what it says of itself goes first.
	var head struct {
		V int `json:"v"`
	}
	if err != nil && json.Unmarshal(line, &head) == nil && head.V > Version {
		return Record{}, &versionError{head.V}
	}
	if err != nil {
		return Record{}, err
	}
	if r.V > Version {
		return Record{}, &versionError{r.V}
	}
	if r.V < 1 || r.Seq == 0 || r.ID == "" || r.Kind == "" {
		return Record{}, errors.New("no audit record: v, seq, id or kind is missing")
	}
	return r, nil
}
