package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// disk is what the log asks of the operating system, so that tests can make each step fail.
type disk interface {
	Mkdir(path string) error // like mkdir -p, with mode 0700
	Open(path string, flag int) (file, error)
	Rename(from, to string) error
	Remove(path string) error
	SyncDir(path string) error
	Lock(f file) error              // errLocked if somebody else has it
	Same(f file, path string) error // errReplaced if the path leads to another file by now
}

// file is an open file.
type file interface {
	io.WriterAt
	// WriteSynced writes all of content, and returns when it is as durable as Sync makes it: without an error only if it is.
	WriteSynced(content []byte, at int64) error
	io.ReaderAt
	Stat() (fs.FileInfo, error)
	Chmod(mode fs.FileMode) error
	Truncate(size int64) error
	Sync() error
	Close() error
	Fd() uintptr
}

var (
	errLocked   = errors.New("locked")
	errReplaced = errors.New("another file is in its place")
)

type realDisk struct{}

func (realDisk) Mkdir(path string) error { return os.MkdirAll(path, 0o700) }

// Open does not follow a symbolic link in the last element: the log is where it was put.
func (realDisk) Open(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, flag|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return &realFile{File: f}, nil
}

// realFile is a file of the operating system.
type realFile struct {
	*os.File
	dev, ino uint64 // once they were asked for
}

// writeThenSync is WriteSynced in two steps.
func writeThenSync(f file, content []byte, at int64) error {
	if err := write(f, content, at); err != nil {
		return err
	}
	return f.Sync()
}

func (realDisk) Rename(from, to string) error { return os.Rename(from, to) }

func (realDisk) Remove(path string) error { return os.Remove(path) }

func (realDisk) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (realDisk) Lock(f file) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return errLocked
		default:
			return err
		}
	}
}

func (realDisk) Same(f file, path string) error {
	ours, _ := f.(*realFile)
	var there unix.Stat_t // it is asked before each acknowledgement, so without what os.Lstat allocates
	if ours.ino == 0 {    // an open file's never changes
		if err := unix.Fstat(int(f.Fd()), &there); err != nil {
			return os.NewSyscallError("fstat", err)
		}
		ours.dev, ours.ino = uint64(there.Dev), there.Ino
	}
	if err := unix.Lstat(path, &there); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if ours.dev != uint64(there.Dev) || ours.ino != there.Ino {
		return errReplaced
	}
	return nil
}

// unlock gives up a lock by name and not only by closing the file: a child that the program is forking at this
// moment has a copy of the descriptor until it executes, and would hold the lock that long.
func unlock(f interface{ Fd() uintptr }) { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN) }

// full reports whether there was no room.
func full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// LockedError says that another log writer has the directory.
type LockedError struct {
	Dir string
	PID int // of the process that has it, 0 if it has not said so
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("audit log %s: in use by another process: stop it, or choose another audit.dir", e.Dir)
	}
	return fmt.Sprintf("audit log %s: in use by pid %d: stop it, or choose another audit.dir", e.Dir, e.PID)
}

// FileError says which operation on which file of the log failed.
type FileError struct {
	Path string
	Op   string // what was being done: "write", "sync", …
	Err  error
}

func (e *FileError) Error() string {
	err := e.Err
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err // the path is named already
	}
	hint := ""
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		hint = " (disk full: make room there)"
	case errors.Is(err, fs.ErrPermission):
		hint = fmt.Sprintf(" (uid %d may not: check its owner and mode)", os.Geteuid())
	case errors.Is(err, unix.ENOTDIR):
		hint = " (a part of the path is a file: choose another audit.dir)"
	case errors.Is(err, unix.EISDIR), errors.Is(err, unix.ELOOP):
		hint = " (expected a plain file: move it away)"
	case errors.Is(err, unix.EROFS):
		hint = " (read-only file system: choose another audit.dir)"
	}
	return fmt.Sprintf("audit log %s: %s: %v%s", e.Path, e.Op, err, hint)
}

// Unwrap gives the cause.
func (e *FileError) Unwrap() error { return e.Err }
