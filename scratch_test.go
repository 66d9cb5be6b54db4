package understudy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
)

// TestSessionsDoNotShareTemporaryFiles has two equal sessions. With one directory for both, the start of one takes files from
// the other: see Session.isolate.
func TestSessionsDoNotShareTemporaryFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, true)
	outputs := make(chan string, 1)
	r.spec.ToolCallback = func(e session.ToolEvent) { outputs <- strings.TrimSpace(e.Result) }
	r.boot()
	where := func() string {
		r.mustAsk(bash("ls -d $CLAUDE_CODE_TMPDIR"))
		return <-outputs
	}
	one := where()
	first := r.Session
	var err error
	r.Session, err = r.rt.Spawn(r.within(), "other", r.spec)
	require.NoError(r, err)
	other := where()
	assert.NotEqual(t, one, other)
	assert.DirExists(t, one)
	require.NoError(t, r.rt.Stop(r.within(), first.Name()))
	assert.NoDirExists(t, one)
	assert.DirExists(t, other)
	entries, err := os.ReadDir(filepath.Join(r.options.DataDir, "tmp"))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	led, err := os.Readlink(filepath.Join(r.options.DataDir, "tmp", entries[0].Name()))
	require.NoError(t, err)
	assert.Equal(t, filepath.Dir(other), led, "one for all of the runtime")
	shutdown(t, r.rt)
	assert.NoDirExists(t, led)
}

// TestTemporaryFilesOfAKilledRuntimeAreRemoved finds what a runtime that could not clear away has left, and something that is
// not its own.
func TestTemporaryFilesOfAKilledRuntimeAreRemoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	left := filepath.Join(t.TempDir(), "understudy-1234")
	require.NoError(t, os.MkdirAll(filepath.Join(left, "deep"), 0o700))
	elsewhere := t.TempDir()
	links := filepath.Join(r.options.DataDir, "tmp")
	require.NoError(t, os.MkdirAll(links, 0o700))
	require.NoError(t, os.Symlink(left, filepath.Join(links, "understudy-1234")))
	require.NoError(t, os.Symlink(elsewhere, filepath.Join(links, "understudy-5678")))
	require.NoError(t, os.Symlink(filepath.Join(t.TempDir(), "understudy-gone"), filepath.Join(links, "understudy-gone")))
	r.boot()
	assert.NoDirExists(t, left)
	assert.DirExists(t, elsewhere, "a link that no runtime has made")
	shutdown(t, r.rt)
	entries, err := os.ReadDir(links)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.Equal(t, "understudy-5678", entries[0].Name())
}
