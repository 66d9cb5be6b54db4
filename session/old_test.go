package session_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
)

// A CLI that is too old is refused at once, with what to install; restarts are not burnt on it.
func TestOldCLI(t *testing.T) {
	script := `#!/bin/sh
read line
id=$(printf '%s' "$line" | sed 's/.*"request_id":"\([^"]*\)".*/\1/')
echo '{"type":"control_response","response":{"subtype":"success","request_id":"'$id'","response":{"claude_code_version":"2.1.100","hooks_applied":true}}}'
read line
`
	path := filepath.Join(t.TempDir(), "claude")
	require.NoError(t, os.WriteFile(path, []byte(script), 0o700))
	sp := spec(t, "old")
	sp.CLI = session.CLI{Path: path}
	sys := actor.NewSystem(actor.Options{})
	s, err := session.New(sys, sp)
	require.NoError(t, err)
	_, err = s.Start(t.Context())
	var crash *session.CrashError
	require.ErrorAs(t, err, &crash)
	var old *session.VersionError
	require.ErrorAs(t, err, &old)
	assert.Equal(t, "2.1.100", old.Version)
	assert.Equal(t, process.ClassRequest, crash.Class)
	assert.True(t, crash.Permanent())
	require.ErrorContains(t, err, "understudy cli install "+process.OldestCLI)
}
