package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/config"
)

// TestCheckOwner has a CLI that somebody could change, in each way.
func TestCheckOwner(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	open, cli, link := filepath.Join(dir, "open"), filepath.Join(dir, "claude"), filepath.Join(dir, "link")
	require.NoError(t, os.Mkdir(open, 0o700))
	require.NoError(t, os.Chmod(open, 0o777))
	for _, file := range []string{cli, filepath.Join(open, "claude")} {
		require.NoError(t, os.WriteFile(file, nil, 0o700))
	}
	require.NoError(t, os.Symlink(filepath.Join(open, "claude"), link))
	writable := filepath.Join(dir, "writable")
	require.NoError(t, os.WriteFile(writable, nil, 0o700))
	require.NoError(t, os.Chmod(writable, 0o777))
	me := os.Geteuid()
	for name, test := range map[string]struct {
		cli  string
		uid  int
		want string // empty: nobody can
	}{
		"nobody":              {cli, 0, map[bool]string{true: "", false: "who can change the CLI"}[me == 0]},
		"its own user":        {cli, me, map[bool]string{true: "", false: "is the daemon's own"}[me == 0]},
		"another user's file": {cli, 54321, map[bool]string{true: "", false: "who can change the CLI"}[me == 0]},
		"open file":           {writable, 54321, "writable can be written by others (0777)"},
		"open directory":      {filepath.Join(open, "claude"), 54321, "open can be written by others (0777)"},
		"link to it":          {link, 54321, "open can be written by others (0777)"},
	} {
		f := checkOwner(test.cli, test.uid)
		if test.want == "" {
			assert.Equal(t, "ok", f.Status, "%s: %+v", name, f)
			continue
		}
		assert.Equal(t, "warn", f.Status, "%s: %+v", name, f)
		assert.Contains(t, f.Detail, test.want, name)
		assert.NotEmpty(t, f.Fix)
	}
	assert.Equal(t, "ok", checkOwner("simulated", me).Status)
	assert.Equal(t, "ok", checkOwner(filepath.Join(dir, "nothing"), me).Status, "the check of the CLI says so")
}

// TestTokenFiles has files that are no place for a token, or no token.
func TestTokenFiles(t *testing.T) {
	const good = "0123456789abcdef0123"
	dir := t.TempDir()
	for want, test := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"":                       {good + "\n", 0o600},
		"chmod 600":              {good, 0o640},
		"others can read":        {good, 0o604},
		"16 characters at least": {"short", 0o600},
		"expected one word":      {good + "\n" + good, 0o600},
	} {
		path := filepath.Join(dir, "token")
		require.NoError(t, os.WriteFile(path, []byte(test.text), 0o600))
		require.NoError(t, os.Chmod(path, test.mode))
		d := &daemon{cfg: &config.Config{Debug: config.Debug{TokenFile: path}}}
		err := d.makeToken()
		if want != "" {
			require.ErrorContains(t, err, want)
			assert.NotContains(t, err.Error(), good)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, good, d.cfg.Debug.Token.Reveal())
	}
	_, err := readToken(dir)
	require.ErrorContains(t, err, "not a regular file")
	_, err = readToken(filepath.Join(dir, "nothing"))
	require.Error(t, err)
}

func TestCheckDataDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "state"), 0o700))
	assert.Equal(t, "ok", checkDataDir(dir).Status)
	token := filepath.Join(dir, "debug.token")
	require.NoError(t, os.WriteFile(token, nil, 0o600))
	assert.Equal(t, "ok", checkDataDir(dir).Status)
	require.NoError(t, os.Chmod(token, 0o644))
	f := checkDataDir(dir)
	assert.Equal(t, "warn", f.Status)
	assert.Contains(t, f.Detail, "debug.token is open to others")
	assert.Equal(t, "chmod go-rwx "+token, f.Fix)
}
