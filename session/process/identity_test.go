package process_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/process"
)

func TestIdentify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cli")
	asked := path + ".asked"
	install := func(version string) string {
		script := "#!/bin/sh\necho x >> '" + asked + "'\necho '" + version + " (Claude Code)'\n"
		require.NoError(t, os.WriteFile(path+".new", []byte(script), 0o700))
		require.NoError(t, os.Rename(path+".new", path))
		sum := sha256.Sum256([]byte(script))
		return hex.EncodeToString(sum[:])
	}
	sum := install("2.1.330")
	l := process.Launch{Path: path, Marker: "test/identify/1"}
	for range 3 {
		id, err := process.Identify(context.Background(), l)
		require.NoError(t, err)
		assert.Equal(t, process.Identity{Path: path, SHA256: sum, Version: "2.1.330"}, id)
	}
	count, err := os.ReadFile(asked)
	require.NoError(t, err)
	assert.Equal(t, "x\n", string(count), "it is asked once")

	sum = install("2.1.331")
	id, err := process.Identify(context.Background(), l)
	require.NoError(t, err)
	assert.Equal(t, process.Identity{Path: path, SHA256: sum, Version: "2.1.331"}, id, "another file is another program")

	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\nexit 3\n"), 0o700))
	id, err = process.Identify(context.Background(), l)
	require.ErrorContains(t, err, "--version fails")
	assert.Equal(t, path, id.Path)
	assert.NotEmpty(t, id.SHA256)

	_, err = process.Identify(context.Background(), process.Launch{Path: path + "-none", Marker: "test/identify/2"})
	require.ErrorIs(t, err, os.ErrNotExist)
}
