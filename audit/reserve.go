package audit

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// ErrFull says that the disk is full: until there is room again the log takes nothing but the ends of
// sessions and turns, for which it keeps room.
var ErrFull = errors.New("the disk of the audit log is full: make room there")

// lastWords are the kinds that a full log takes.
var lastWords = map[Kind]bool{
	SessionStopped: true, SessionCrashed: true, SessionParked: true, RuntimeStopped: true, TurnResult: true, ToolOrphan: true,
}

// takeReserve sees to it that there is a file whose space can be given to last words.
func (l *log) takeReserve() error {
	size := l.options.Reserve
	if size < 0 {
		return nil
	}
	path := filepath.Join(l.dir, reserveName)
	if info, err := os.Stat(path); err == nil && info.Size() >= size {
		return nil
	}
	f, err := l.disk.Open(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return &FileError{path, "create", err}
	}
	// Zeros would take no space on file systems that compress.
	content := make([]byte, size)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(content) // it never fails
	err = write(f, content, 0)
	if err == nil {
		err = f.Sync()
	}
	_ = f.Close() // nothing of it is read again
	if err != nil {
		_ = l.disk.Remove(path) // half of it would be taken for all of it
		return &FileError{path, "write", err}
	}
	return nil
}

// releaseReserve gives the space back. It reports whether there was any.
func (l *log) releaseReserve() bool {
	err := l.disk.Remove(filepath.Join(l.dir, reserveName))
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}
