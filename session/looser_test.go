package session

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
)

// What is asked for at run time does not take back what the options promise.
func TestNothingIsLoosened(t *testing.T) {
	work, shared, elsewhere := t.TempDir(), t.TempDir(), t.TempDir()
	require.NoError(t, os.Symlink(elsewhere, filepath.Join(work, "out")))
	require.NoError(t, os.Mkdir(filepath.Join(work, "sub"), 0o700))
	plain := Options{CWD: work, AddDir: []string{shared}}
	open := Options{CWD: work, ConfineFiles: new(false), AllowDangerouslySkipPermissions: true, Sandbox: Sandbox{Enabled: new(true)}}
	for _, tt := range []struct {
		what, settings string
		plain, open    bool // whether it may be
	}{
		{"rules", `{"permissions":{"allow":["Read"],"deny":["Bash"]},"env":{"A":"b"}}`, true, true},
		{"nothing", `{"permissions":null}`, true, true},
		{"a directory inside", `{"permissions":{"additionalDirectories":["` + work + `/sub","sub","` + shared + `"]}}`, true, true},
		{"one elsewhere", `{"permissions":{"additionalDirectories":["` + elsewhere + `"]}}`, false, true},
		{"one above", `{"permissions":{"additionalDirectories":[".."]}}`, false, true},
		{"a link out", `{"permissions":{"additionalDirectories":["out"]}}`, false, true},
		{"one that is not there", `{"permissions":{"additionalDirectories":["/no/such/place"]}}`, false, true},
		{"reads outside", `{"permissions":{"blockFileToolReadsOutsideWorkingDirectories":false}}`, false, true},
		{"writes outside", `{"permissions":{"blockWritesOutsideWorkingDirectories":null}}`, false, true},
		{"reads inside", `{"permissions":{"blockFileToolReadsOutsideWorkingDirectories":true}}`, true, true},
		{"a mode", `{"permissions":{"defaultMode":"plan"}}`, true, true},
		{"the mode that asks nobody", `{"permissions":{"defaultMode":"bypassPermissions"}}`, false, true},
		{"the way to it", `{"permissions":{"disableBypassPermissionsMode":""}}`, false, true},
		{"another sandbox", `{"sandbox":{"enabled":false}}`, true, false},
		{"no sandbox", `{"sandbox":null}`, true, false},
	} {
		for name, c := range map[string]struct {
			options Options
			may     bool
		}{"plain": {plain, tt.plain}, "open": {open, tt.open}} {
			err := c.options.mayAsk(&protocol.ApplyFlagSettings{Settings: []byte(tt.settings)})
			if c.may {
				assert.NoError(t, err, "%s, %s", tt.what, name)
			} else {
				assert.ErrorIs(t, err, ErrLooser, "%s, %s", tt.what, name)
			}
		}
	}
	assert.EqualError(t, plain.mayAsk(&protocol.ApplyFlagSettings{Settings: []byte(`{"permissions":{"additionalDirectories":["/"]}}`)}),
		"settings.permissions.additionalDirectories /: looser than the session's options: the file tools are kept in cwd and add_dir; put it into add_dir")
	assert.Error(t, plain.mayAsk(&protocol.SetPermissionMode{Mode: protocol.ModeBypassPermissions}))
	assert.Error(t, plain.mayAsk(&protocol.ApplyFlagSettings{Settings: []byte(`[]`)}))
}
