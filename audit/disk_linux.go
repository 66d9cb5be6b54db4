package audit

import (
	"errors"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// WriteSynced asks for both in one call (pwritev2(2), RWF_DSYNC, Linux 4.7): a second one, just to wait, costs a tenth of
// what the first does. It is what fdatasync(2) does, to the bytes written: they, and the file's size, are on the disk.
func (f *realFile) WriteSynced(content []byte, at int64) error {
	fd := int(f.Fd())
	for len(content) > 0 {
		n, err := unix.Pwritev2(fd, [][]byte{content}, at, unix.RWF_DSYNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
			return writeThenSync(f, content, at) // nothing of it was written
		case err != nil:
			return &fs.PathError{Op: "write", Path: f.Name(), Err: err}
		case n == 0:
			return io.ErrShortWrite
		}
		content, at = content[n:], at+int64(n)
	}
	return nil
}
