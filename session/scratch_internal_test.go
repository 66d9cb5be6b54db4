package session

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func links(t *testing.T, dataDir string) (led []string) {
	t.Helper()
	entries, err := os.ReadDir(scratchLinks(dataDir))
	require.NoError(t, err)
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(scratchLinks(dataDir), e.Name()))
		require.NoError(t, err)
		led = append(led, to)
	}
	return led
}

func TestScratchIsThereAsLongAsItIsUsed(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dataDir := t.TempDir()
	s := NewScratch(dataDir)
	one, giveOne, err := s.take()
	require.NoError(t, err)
	other, giveOther, err := s.take()
	require.NoError(t, err)
	assert.NotEqual(t, one, other)
	info, err := os.Stat(filepath.Dir(one))
	require.NoError(t, err)
	assert.Equal(t, os.ModeDir|0o700, info.Mode())
	assert.Equal(t, []string{filepath.Dir(one)}, links(t, dataDir))

	require.NoError(t, os.WriteFile(filepath.Join(one, "file"), nil, 0o400))
	require.NoError(t, giveOne())
	require.NoError(t, giveOne(), "twice is once")
	assert.NoDirExists(t, one)
	assert.DirExists(t, other)
	require.NoError(t, giveOther())
	assert.NoDirExists(t, filepath.Dir(other))
	assert.Empty(t, links(t, dataDir))

	again, give, err := s.take()
	require.NoError(t, err)
	assert.DirExists(t, again)
	require.NoError(t, give())
}

// Fault: somebody clears /tmp while sessions run
// Outcome: the next process gets a directory all the same, and the end of those before is no error
// On: memory
func TestScratchThatWasCleared(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dataDir := t.TempDir()
	s := NewScratch(dataDir)
	one, giveOne, err := s.take()
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(filepath.Dir(one)))
	other, giveOther, err := s.take()
	require.NoError(t, err)
	assert.DirExists(t, other)
	assert.Equal(t, []string{filepath.Dir(other)}, links(t, dataDir))
	require.NoError(t, giveOne())
	assert.DirExists(t, other)
	require.NoError(t, giveOther())
	assert.Empty(t, links(t, dataDir))

	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "not there"))
	_, _, err = s.take()
	require.ErrorIs(t, err, os.ErrNotExist)
	assert.Empty(t, links(t, dataDir))
}
