package sessiontest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRealCLISaysItsVersion(t *testing.T) {
	path := RealCLI(t)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.NotZero(t, info.Mode()&0o111, "it can be executed")
	assert.True(t, stamped(path), "the next use does not hash it again")
	again := RealCLI(t)
	assert.Equal(t, path, again)
}

func TestACLIThatIsNotTheRecordedOneIsNotInstalled(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, cliTarball), []byte("something else"), 0o600))
	_, err := install(t.Context(), dir)
	require.ErrorContains(t, err, "SHA-256")
	var absent *absentError
	assert.False(t, errors.As(err, &absent), "never a reason to skip")
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{filepath.Join(dir, cliTarball), filepath.Join(dir, "lock")}, left)
}

func TestABinaryThatWasChangedIsReplaced(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", t.TempDir())
	path := filepath.Join(dir, "claude")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700))
	require.NoError(t, stamp(path))
	require.True(t, stamped(path))
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\nexit 1\n"), 0o700))
	assert.False(t, stamped(path), "the stamp is for another file")
	_, err := install(t.Context(), dir)
	assert.ErrorContains(t, err, "no npm on PATH", "it is to be installed anew")
}

func TestWhatCannotBeHadIsSaidInOneLine(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	var absent *absentError
	_, err := install(t.Context(), t.TempDir())
	require.ErrorAs(t, err, &absent)
	assert.EqualError(t, err, "there is no npm on PATH to install it with")

	script := "#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\necho 'npm error network request failed' >&2\nexit 1\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, "npm"), []byte(script), 0o700))
	_, err = install(t.Context(), t.TempDir())
	require.ErrorAs(t, err, &absent)
	assert.EqualError(t, err, "npm pack @anthropic-ai/claude-code-linux-x64@2.1.330: exit status 1: code ENOTFOUND; network request failed")
}

func TestTheWaitForAnotherInstallationIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = lock(ctx, path)
	require.ErrorContains(t, err, "another process")
	unlock()
	unlock, err = lock(t.Context(), path)
	require.NoError(t, err)
	unlock()
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
