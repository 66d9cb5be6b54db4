package audit

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestWriteSynced: one call does what two do, on a disk and in memory, and says what is wrong as they say it.
func TestWriteSynced(t *testing.T) {
	for _, dir := range []string{t.TempDir(), scratch(t)} {
		path := filepath.Join(dir, "file")
		f, err := realDisk{}.Open(path, os.O_RDWR|os.O_CREATE)
		require.NoError(t, err)
		long := bytes.Repeat([]byte("0123456789"), 300_000)
		require.NoError(t, f.WriteSynced(long, 0))
		require.NoError(t, f.WriteSynced(nil, 5))
		require.NoError(t, f.WriteSynced([]byte("in the middle"), 7))
		require.NoError(t, f.WriteSynced([]byte("behind the end"), int64(len(long))+3))
		copy(long[7:], "in the middle")
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.True(t, bytes.Equal(append(append(long, 0, 0, 0), "behind the end"...), got))
		require.NoError(t, realDisk{}.Same(f, path))
		require.NoError(t, os.Rename(path, path+".away"))
		require.ErrorIs(t, realDisk{}.Same(f, path), fs.ErrNotExist)
		require.NoError(t, os.WriteFile(path, got, 0o600))
		require.ErrorIs(t, realDisk{}.Same(f, path), errReplaced)
		require.NoError(t, f.Close())
		require.Error(t, f.WriteSynced([]byte("x"), 0), "it is closed")

		f, err = realDisk{}.Open(path, os.O_RDONLY)
		require.NoError(t, err)
		err = f.WriteSynced([]byte("x"), 0)
		require.ErrorIs(t, err, unix.EBADF)
		assert.Equal(t, "audit log a: write and sync: bad file descriptor", (&FileError{"a", "write and sync", err}).Error())
		require.NoError(t, f.Close())
	}
}
