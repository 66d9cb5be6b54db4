package transcript_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/transcript"
)

func TestTitleAndTag(t *testing.T) {
	for name, end := range map[string]string{"whole": "\n", "torn": "\n" + `{"type":"assis`} {
		t.Run(name, func(t *testing.T) {
			c := transcript.Conversation{ID: "s", Path: filepath.Join(t.TempDir(), "s.jsonl")}
			require.NoError(t, os.WriteFile(c.Path, []byte(user+end), 0o600))
			require.NoError(t, c.SetTitle(" another title "))
			require.NoError(t, c.SetTag("one"))
			require.NoError(t, c.SetTag("two"))
			s, err := c.Summary()
			require.NoError(t, err)
			assert.Equal(t, "another title", s.Title)
			assert.Equal(t, "two", s.Tag)
			assert.Equal(t, "hello", s.FirstPrompt)
			if name == "torn" {
				assert.Equal(t, 1, s.Damaged, "the line that was cut off, and no other")
			}
			require.NoError(t, c.SetTag(""))
			s, err = c.Summary()
			require.NoError(t, err)
			assert.Empty(t, s.Tag)
			require.Error(t, c.SetTitle(" "))
		})
	}
	gone := transcript.Conversation{ID: "s", Path: filepath.Join(t.TempDir(), "s.jsonl")}
	require.ErrorIs(t, gone.SetTitle("x"), os.ErrNotExist)
	assert.NoFileExists(t, gone.Path, "none is made")
}

func TestDelete(t *testing.T) {
	dir := t.TempDir()
	c := transcript.Conversation{ID: "s", Path: filepath.Join(dir, "s.jsonl")}
	other := filepath.Join(dir, "s2.jsonl")
	below := filepath.Join(dir, "s", "subagents", "agent-a.jsonl")
	require.NoError(t, os.MkdirAll(filepath.Dir(below), 0o700))
	for _, path := range []string{c.Path, other, below} {
		require.NoError(t, os.WriteFile(path, []byte(user+"\n"), 0o600))
	}
	require.NoError(t, c.Delete())
	assert.NoFileExists(t, c.Path)
	assert.NoDirExists(t, filepath.Join(dir, "s"))
	assert.FileExists(t, other)
	require.ErrorIs(t, c.Delete(), os.ErrNotExist)
	require.Error(t, transcript.Conversation{ID: "s", Path: dir}.Delete())
	assert.DirExists(t, dir)
	require.Error(t, transcript.Conversation{}.Delete())
}
