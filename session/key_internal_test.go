package session

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/process"
)

// TestKeySources asks each source for the key, as a start does.
func TestKeySources(t *testing.T) {
	const key = "sk-made-up-0123456789"
	dir := t.TempDir() // as systemd makes it for LoadCredential=anthropic:/etc/key
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o400))
		return path
	}
	write("anthropic", key+"\n")
	write("empty", "\n")
	below := filepath.Join(dir, "below")
	require.NoError(t, os.Mkdir(below, 0o700))
	t.Setenv(CredentialsDirectory, dir)
	for name, test := range map[string]struct {
		o     Options
		want  string // empty: it fails
		says  string
		class process.ExitClass
	}{
		"written":             {o: Options{APIKey: key}, want: key},
		"none":                {o: Options{}, want: ""},
		"file":                {o: Options{APIKeyFile: filepath.Join(dir, "anthropic")}, want: key},
		"credential":          {o: Options{APIKeyCredential: "anthropic"}, want: key},
		"no such credential":  {o: Options{APIKeyCredential: "other"}, says: "no such file", class: process.ClassResources},
		"empty credential":    {o: Options{APIKeyCredential: "empty"}, says: "the file is empty", class: process.ClassResources},
		"no file":             {o: Options{APIKeyFile: below}, says: "not a regular file", class: process.ClassResources},
		"two lines":           {o: Options{APIKeyFile: write("two", key+"\n"+key)}, says: "more than one line", class: process.ClassResources},
		"far too long":        {o: Options{APIKeyFile: write("long", string(make([]byte, 5000)))}, says: "more than 4096 bytes", class: process.ClassResources},
		"callback":            {o: Options{APIKeySource: func(_ context.Context, name string) (Secret, error) { return Secret(key + " " + name), nil }}, want: key + " worker"},
		"callback fails":      {o: Options{APIKeySource: func(context.Context, string) (Secret, error) { return key, errors.New("sealed") }}, says: "sealed", class: process.ClassResources},
		"callback panics":     {o: Options{APIKeySource: func(context.Context, string) (Secret, error) { panic("with " + key) }}, says: "panicked with a string", class: process.ClassResources},
		"callback gives none": {o: Options{APIKeySource: func(context.Context, string) (Secret, error) { return "", nil }}, says: "gave none", class: process.ClassResources},
		"panic with a struct": {o: Options{APIKeySource: func(context.Context, string) (Secret, error) { panic(struct{ key string }{key}) }}, says: "panicked with a struct", class: process.ClassResources},
		"panic with an error": {o: Options{APIKeySource: func(context.Context, string) (Secret, error) { panic(errors.New(key)) }}, says: "panicked with a *errors", class: process.ClassResources},
	} {
		got, err := test.o.key(t.Context(), "worker")
		if test.says == "" {
			require.NoError(t, err, name)
			assert.Equal(t, test.want, got.Reveal(), name)
			continue
		}
		require.ErrorContains(t, err, test.says, name)
		assert.NotContains(t, err.Error(), key, name)
		start, ok := errors.AsType[*process.StartError](err)
		require.True(t, ok, name)
		assert.Equal(t, test.class, start.Class, name)
	}
	// systemd replaces the file when the unit's credential is changed and reloaded: the next start has the new one.
	require.NoError(t, os.Remove(filepath.Join(dir, "anthropic")))
	write("anthropic", "another-key-0123456789")
	got, err := Options{APIKeyCredential: "anthropic"}.key(t.Context(), "worker")
	require.NoError(t, err)
	assert.Equal(t, "another-key-0123456789", got.Reveal())

	t.Setenv(CredentialsDirectory, "")
	_, err = Options{APIKeyCredential: "anthropic"}.key(t.Context(), "worker")
	start, ok := errors.AsType[*process.StartError](err)
	require.True(t, ok)
	assert.Equal(t, process.ClassRequest, start.Class, "trying again would not help")
	assert.Contains(t, start.Error(), "LoadCredential=")
}
