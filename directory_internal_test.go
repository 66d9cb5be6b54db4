package understudy

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
)

// Fault: the file system of a directory that is to be one session's own has no locks, or the call is interrupted
// Outcome: the first is an error that a restart does not mend, so that the session is parked at once, and says what to do; the other is tried
// again
// On: memory
func TestADirectoryThatCannotBeLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var g grounds
	x, _, err := g.take("a", session.Options{CWD: dir, ExclusiveCWD: true})
	require.NoError(t, err)
	defer x.leave()
	for errno, class := range map[unix.Errno]process.ExitClass{
		unix.ENOLCK: process.ClassRequest, unix.EOPNOTSUPP: process.ClassRequest, unix.EBADF: process.ClassRequest, unix.EWOULDBLOCK: process.ClassResources,
	} {
		_, _, err := x.hold(x.at, func(int, int) error { return errno })
		start, ok := errors.AsType[*process.StartError](err)
		require.True(t, ok)
		assert.Equal(t, class, start.Class, errno)
		assert.ErrorContains(t, err, dir)
		assert.NotEmpty(t, start.Hint)
		assert.Equal(t, errno == unix.EWOULDBLOCK, errors.Is(err, ErrDirectoryTaken))
	}
	tries := 0
	lock, info, err := x.hold(x.at, func(fd, how int) error {
		if tries++; tries < 3 {
			return unix.EINTR
		}
		return unix.Flock(fd, how)
	})
	require.NoError(t, err)
	assert.Equal(t, 3, tries)
	if _, err := os.Stat("/proc/locks"); err == nil {
		assert.Equal(t, os.Getpid(), lockHolder(info))
	}
	unlock(lock)
	assert.Zero(t, lockHolder(info))
}
