package understudy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// onCreate calls a function in the moment in which a file of the session's directory appears, also by being renamed to.
func (r *rig) onCreate(look func() int, name string) <-chan int {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	require.NoError(r, err)
	_, err = unix.InotifyAddWatch(fd, r.work, unix.IN_CREATE|unix.IN_MOVED_TO)
	require.NoError(r, err)
	f := os.NewFile(uintptr(fd), "inotify")
	seen := make(chan int, 1)
	go func() { // ends when a file has appeared, at the latest with the test
		defer close(seen)
		buffer := make([]byte, 4096)
		for {
			n, err := f.Read(buffer)
			if err != nil {
				return
			}
			if strings.Contains(string(buffer[:n]), name) {
				seen <- look()
				return
			}
		}
	}()
	r.Cleanup(func() { _ = f.Close() })
	return seen
}

// smallDisk is a disk of 64 KiB at a path, until the test ends.
func smallDisk(t *testing.T, path string) {
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("a small disk cannot be mounted here: ", err)
	}
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(path, unix.MNT_DETACH)) })
}

// readOnly has nothing under a path written any more by way of its name; writable takes that back.
func readOnly(t *testing.T, path string) (writable func()) {
	if err := unix.Mount(path, path, "", unix.MS_BIND, ""); err != nil {
		t.Skip("a directory cannot be made read-only here: ", err)
	}
	writable = sync.OnceFunc(func() { assert.NoError(t, unix.Unmount(path, unix.MNT_DETACH)) })
	t.Cleanup(writable)
	require.NoError(t, unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	return writable
}

// fillUp fills a disk; room empties it again.
func fillUp(t *testing.T, dir string) (room func()) {
	var filler []string
	for i := 0; ; i++ { // a page each: a file may end half written
		path := filepath.Join(dir, fmt.Sprint("filler", i))
		filler = append(filler, path)
		if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
			require.ErrorIs(t, err, unix.ENOSPC)
			break
		}
	}
	return func() {
		for _, path := range filler {
			require.NoError(t, os.Remove(path))
		}
	}
}
