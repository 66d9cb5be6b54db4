package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ChangedError says that a log is not what it was: it is not continued.
type ChangedError struct {
	Dir string
	Err error
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("audit log %s: changed from outside: %v: run understudy audit verify, keep the directory for "+
		"whoever has to see it, and move it away or choose another audit.dir", e.Dir, e.Err)
}

// Unwrap gives the cause.
func (e *ChangedError) Unwrap() error { return e.Err }

// openDir sees to a directory that is there and ours alone.
func (l *log) openDir() error {
	info, err := os.Stat(l.dir)
	if errors.Is(err, fs.ErrNotExist) && l.memory.tree.Size() > 0 {
		return l.gone()
	}
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

// gone says that the log of this process is not there any more. Nothing is put in its place: it might come back.
func (l *log) gone() error {
	return &ChangedError{l.dir, fmt.Errorf("it was removed or moved away, and had %d records: put it back", l.memory.tree.Size())}
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
	// Who has the lock is a courtesy: a full disk has no room for it, and must not keep the log closed.
	if err := write(f, []byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil && !full(err) {
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

// versionError says that a record is of a later schema.
type versionError struct{ v int }

func (e *versionError) Error() string {
	return fmt.Sprintf("record of version %d: this program knows up to %d", e.v, Version)
}
