package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The stamp says which file was checked, so that 381 MB are not hashed again at each use. It is no protection against
// somebody who may write to the directory: they could write the stamp, too.

func stampOf(path, spec string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %d", spec, info.Size(), info.ModTime().UnixNano()), nil
}

func stamped(path, spec string) bool {
	want, err := stampOf(path, spec)
	if err != nil {
		return false
	}
	var got string
	data, err := os.ReadFile(path + ".installed")
	if err == nil && len(data) > len(want) {
		got = string(data[:len(want)])
	}
	return got == want
}

func stamp(path, spec, binary string) error {
	text, err := stampOf(path, spec)
	if err != nil {
		return err
	}
	next := path + ".installed.new" // under the lock: nobody else writes it
	if err := os.WriteFile(next, []byte(text+" "+binary+"\n"), 0o644); err != nil {
		return err
	}
	return os.Rename(next, path+".installed")
}

// sumOf is the SHA-256 sum of a file, empty if it cannot be read.
func sumOf(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// lock waits for the directory. The kernel releases it with the process.
func lock(ctx context.Context, path string, timeout time.Duration) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond) // a blocking flock could not be given up
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // nothing was written to it
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, errors.Join(context.Cause(ctx), f.Close())
			}
			return nil, errors.Join(fmt.Errorf("lock %s: another process has been installing for %v: see what it hangs on, and end it", path, timeout), f.Close())
		}
	}
}
