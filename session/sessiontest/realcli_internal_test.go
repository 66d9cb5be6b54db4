package sessiontest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRealCLISaysItsVersion(t *testing.T) {
	path := RealCLI(t)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.NotZero(t, info.Mode()&0o111, "it can be executed")
	assert.FileExists(t, path+".installed", "the next use does not hash it again")
	again := RealCLI(t)
	assert.Equal(t, path, again)
}

func TestCacheFolder(t *testing.T) {
	t.Setenv(cacheVariable, "")
	root := t.TempDir()
	deep := filepath.Join(root, "a", "b")
	require.NoError(t, os.MkdirAll(deep, 0o700))
	t.Chdir(deep)
	_, err := cacheDir()
	assert.ErrorContains(t, err, cacheVariable)
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), nil, 0o600))
	dir, err := cacheDir()
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(root, ".cache", "claude-"+CLIVersion), dir)
	t.Setenv(cacheVariable, filepath.Join(root, "elsewhere"))
	dir, err = cacheDir()
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(root, "elsewhere"), dir)
}
