package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// registry is an npm client that has one package. It counts its downloads in a file.
type registry struct {
	npm, log string
}

func newRegistry(t *testing.T, tarball []byte, dist string) registry {
	t.Helper()
	dir := t.TempDir()
	r := registry{filepath.Join(dir, "npm"), filepath.Join(dir, "log")}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "p.tgz"), tarball, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "dist"), []byte(dist), 0o600))
	script := fmt.Sprintf("#!/bin/sh\necho \"$1\" >> %[1]s/log\ncase $1 in\nview) cat %[1]s/dist ;;\npack) cp %[1]s/p.tgz p.tgz; echo '[{\"filename\":\"p.tgz\"}]' ;;\nesac\n", dir)
	require.NoError(t, os.WriteFile(r.npm, []byte(script), 0o700))
	return r
}

func (r registry) calls(t *testing.T) string {
	data, err := os.ReadFile(r.log)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	require.NoError(t, err)
	return string(data)
}

func packed(t *testing.T, name, content string) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	a := tar.NewWriter(z)
	require.NoError(t, a.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}))
	_, err := a.Write([]byte(content))
	require.NoError(t, errors.Join(err, a.Close(), z.Close()))
	return buf.Bytes()
}

func integrity(b []byte) string {
	sum := sha512.Sum512(b)
	return fmt.Sprintf(`{"integrity":"sha512-%s","unpackedSize":5}`, base64.StdEncoding.EncodeToString(sum[:]))
}

func left(t *testing.T, dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestInstall(t *testing.T) {
	tgz := packed(t, member, "a CLI")
	r := newRegistry(t, tgz, integrity(tgz))
	dir := filepath.Join(t.TempDir(), "deep", "cli")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, workPrefix+"killed"), 0o700))
	var steps []string
	o := Options{Version: "9.9.9", Dir: dir, Package: "p", NPM: r.npm, Progress: func(s string) { steps = append(steps, s) }}
	path, err := CLI(t.Context(), o)
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "a CLI", string(data))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o755), info.Mode())
	assert.Equal(t, []string{"claude", "claude.installed", "lock"}, left(t, dir))
	assert.Len(t, steps, 5, "%q", steps)

	again, err := CLI(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, path, again)
	assert.Equal(t, "view\npack\n", r.calls(t), "it is there")

	require.NoError(t, os.WriteFile(path, []byte("changed!"), 0o755))
	_, err = CLI(t.Context(), o)
	require.NoError(t, err)
	data, err = os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "a CLI", string(data), "one that was changed is replaced")
	o.Version = "9.9.10"
	_, err = CLI(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, "view\npack\nview\npack\nview\npack\n", r.calls(t), "another version is another file")
}

func TestWhatIsWrongIsNotInstalled(t *testing.T) {
	tgz := packed(t, member, "a CLI")
	other := packed(t, "package/other", "x")
	recorded["p@1.0.0"] = sum{tarball: "no", binary: "no"}
	t.Cleanup(func() { delete(recorded, "p@1.0.0") })
	for name, tt := range map[string]struct {
		version, dist string
		tarball       []byte
		want          string
		absent        bool
	}{
		"changed on the way":  {"9.9.9", integrity(other), tgz, "p.tgz has the SHA-512 sum", false},
		"changed in registry": {"1.0.0", integrity(tgz), tgz, "p.tgz has the SHA-256 sum", false},
		"no sum":              {"9.9.9", `{"integrity":"sha1-x"}`, tgz, "gives no SHA-512 sum", false},
		"no package":          {"9.9.9", integrity([]byte("x")), []byte("x"), "unexpected EOF", false},
		"no binary":           {"9.9.9", integrity(other), other, "there is no package/claude in it", false},
		"cut off":             {"9.9.9", integrity(tgz[:60]), tgz[:60], "unexpected EOF", false},
		"no such version":     {"9.9.9", "", tgz, "the registry has no p@9.9.9", true},
		"no JSON":             {"9.9.9", "hello", tgz, `npm answers "hello"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t, tt.tarball, tt.dist)
			dir := t.TempDir()
			_, err := CLI(t.Context(), Options{Version: tt.version, Dir: dir, Package: "p", NPM: r.npm})
			require.ErrorContains(t, err, tt.want)
			var absent *AbsentError
			assert.Equal(t, tt.absent, errors.As(err, &absent))
			assert.Equal(t, []string{"lock"}, left(t, dir))
		})
	}
}

func TestWhatCannotBeHad(t *testing.T) {
	var absent *AbsentError
	_, err := CLI(t.Context(), Options{Dir: t.TempDir(), Package: "p", NPM: "/nowhere/npm"})
	require.ErrorAs(t, err, &absent)
	require.ErrorContains(t, err, "there is no npm to fetch p@"+Tested)

	npm := filepath.Join(t.TempDir(), "npm")
	require.NoError(t, os.WriteFile(npm, []byte("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n"), 0o700))
	_, err = CLI(t.Context(), Options{Dir: t.TempDir(), Package: "p", NPM: npm})
	require.ErrorAs(t, err, &absent)
	require.EqualError(t, err, "look up p@2.1.330: npm view: exit status 1: code ENOTFOUND")

	require.NoError(t, os.WriteFile(npm, []byte("#!/bin/sh\nexec sleep 100\n"), 0o700))
	_, err = CLI(t.Context(), Options{Dir: t.TempDir(), Package: "p", NPM: npm, Timeout: 50 * time.Millisecond})
	require.ErrorContains(t, err, "not done within 50ms")
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	time.AfterFunc(20*time.Millisecond, func() { cancel(enough) })
	_, err = CLI(ctx, Options{Dir: t.TempDir(), Package: "p", NPM: npm})
	require.ErrorIs(t, err, enough)

	for _, v := range []string{"latest", "2.1", "2.1.330; rm", "../x", "-g", "^2.1.0"} {
		_, err := CLI(t.Context(), Options{Version: v, Dir: t.TempDir(), Package: "p", NPM: npm})
		require.ErrorContains(t, err, "expected an exact one", v)
	}
	_, err = CLI(t.Context(), Options{})
	require.ErrorContains(t, err, "no directory")
	_, err = packageFor("plan9", "amd64", false)
	require.ErrorContains(t, err, "set cli.path")
	name, err := packageFor("linux", "arm64", true)
	require.NoError(t, err)
	assert.Equal(t, "@anthropic-ai/claude-code-linux-arm64-musl", name)
}

// Many at once: one of them downloads.
func TestTogether(t *testing.T) {
	tgz := packed(t, member, "a CLI")
	r := newRegistry(t, tgz, integrity(tgz))
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := CLI(t.Context(), Options{Version: "9.9.9", Dir: dir, Package: "p", NPM: r.npm})
			assert.NoError(t, err)
		})
	}
	all.Wait()
	assert.Equal(t, "view\npack\n", r.calls(t))
	assert.Equal(t, []string{"claude", "claude.installed", "lock"}, left(t, dir))
}

func TestTheWaitIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, time.Minute)
	require.NoError(t, err)
	_, err = lock(t.Context(), path, 50*time.Millisecond)
	require.ErrorContains(t, err, "another process")
	unlock()
	unlock, err = lock(t.Context(), path, time.Minute)
	require.NoError(t, err)
	unlock()
}
