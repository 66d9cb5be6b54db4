package session_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
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
	err := startScript(t, script)
	old, ok := errors.AsType[*session.VersionError](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, "2.1.100", old.Version)
	require.ErrorContains(t, err, "understudy cli install "+process.OldestCLI)
}

// One that is so old that it does not know a flag ends before it could say its version: it is asked.
func TestCLITooOldForItsFlags(t *testing.T) {
	script := `#!/bin/sh
[ "$1" = --version ] && { echo "2.0.1 (Claude Code)"; exit; }
echo "error: unknown option '--permission-prompts=none'" >&2
exit 1
`
	err := startScript(t, script)
	require.ErrorContains(t, err, "the CLI is version 2.0.1, and "+process.OldestCLI+" is the oldest")
	require.ErrorContains(t, err, "--permission-prompts=none", "it is said what it refused, too")

	// One that is as it should be, and refuses all the same, is not called old.
	err = startScript(t, strings.Replace(script, "2.0.1", process.OldestCLI, 1))
	_, old := errors.AsType[*session.VersionError](err)
	assert.False(t, old)
	require.ErrorContains(t, err, "unknown option")
}

// startScript starts a session on a script, which fails for good.
func startScript(t *testing.T, script string) error {
	t.Helper()
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
	assert.Equal(t, process.ClassRequest, crash.Class)
	assert.True(t, crash.Permanent())
	return err
}
