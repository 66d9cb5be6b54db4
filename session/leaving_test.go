package session_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWhatIsLeavingIsNotWritten has a session that is about to be removed, and then is not, while it runs and when it has stopped.
func TestWhatIsLeavingIsNotWritten(t *testing.T) {
	sp := spec(t, "a")
	b := start(t, sp)
	record := func() string {
		data, err := os.ReadFile(filepath.Join(sp.StateDir, "a.json"))
		require.NoError(t, err)
		return string(data)
	}
	b.mustAsk("one")
	require.NoError(t, b.sup.TerminateChild(t.Context(), "a")) // with its end all is on disk
	_, err := b.sup.RestartChild(t.Context(), "a")
	require.NoError(t, err)

	stay := b.Leaving()
	before := record()
	b.mustAsk("two")
	assert.Equal(t, before, record())
	require.NoError(t, stay(t.Context()))
	assert.Contains(t, record(), `"turns":2`)

	stay = b.Leaving()
	b.mustAsk("three")
	require.NoError(t, b.sup.TerminateChild(t.Context(), "a"))
	assert.NotContains(t, record(), `"turns":3`)
	require.NoError(t, stay(t.Context()))
	assert.Contains(t, record(), `"turns":3`)
	assert.NotContains(t, record(), `"generation":1`)

	b.Leaving()
	require.NoError(t, b.Forget(t.Context()))
	assert.NoFileExists(t, filepath.Join(sp.StateDir, "a.json"))
}
