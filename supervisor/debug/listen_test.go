package debug

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/supervisor"
)

func TestListenUnix(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	path := filepath.Join(dir, "u.sock")
	listener, err := ListenUnix(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.ModeSocket|0o600, info.Mode())
	info, err = os.Stat(dir)
	require.NoError(t, err)
	assert.Equal(t, os.ModeDir|0o700, info.Mode())

	_, err = ListenUnix(path)
	require.Error(t, err)
	assert.Equal(t, "listen on "+path+": another daemon has it (pid "+strconv.Itoa(os.Getpid())+"): stop the daemon that runs there, or give this one another --data-dir or --socket", err.Error())
	require.FileExists(t, path, "the other one's socket stays")

	require.NoError(t, listener.Close())
	assert.NoFileExists(t, path)
	again, err := ListenUnix(path)
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

// TestListenUnixReplacesWhatADaemonLeft that was killed before it could remove its socket.
func TestListenUnixReplacesWhatADaemonLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "u.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	require.NoError(t, err)
	dead.SetUnlinkOnClose(false)
	require.NoError(t, dead.Close())
	require.FileExists(t, path)
	listener, err := ListenUnix(path)
	require.NoError(t, err)
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, listener.Close())
}

// TestListenUnixRefusesWhereSomebodyAnswers who has no lock, as a program that is not an understudy.
func TestListenUnixRefusesWhereSomebodyAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "u.sock")
	other, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer other.Close()
	_, err = ListenUnix(path)
	assert.ErrorContains(t, err, "another daemon answers there")
	require.FileExists(t, path)
}

func TestListenUnixErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("precious"), 0o600))
	_, err := ListenUnix(file)
	assert.ErrorContains(t, err, "something that is not a socket")
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "link")))
	_, err = ListenUnix(filepath.Join(dir, "link"))
	assert.ErrorContains(t, err, "something that is not a socket")
	_, err = ListenUnix(filepath.Join(file, "u.sock"))
	assert.ErrorContains(t, err, "not a directory")
	_, err = ListenUnix("")
	assert.ErrorContains(t, err, "the path is empty")
	require.FileExists(t, file)

	long := filepath.Join(dir, strings.Repeat("d", 110))
	_, err = ListenUnix(long)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "can be 107 bytes long, this one is ")
	assert.Contains(t, err.Error(), "--socket")
	assert.True(t, supervisor.Permanently(err))
}

// TestListenUnixAtTheLimit takes the longest path there is.
func TestListenUnixAtTheLimit(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "u")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, strings.Repeat("s", maxSocketPath()-len(dir)-1))
	require.Len(t, path, maxSocketPath())
	listener, err := ListenUnix(path)
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	_, err = ListenUnix(path + "s")
	assert.ErrorContains(t, err, "bytes long")
}
