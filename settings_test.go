package understudy_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// TestSettingsAreNotInArguments has settings with a secret, in a file and as values and of the policy tier. They count, and nobody
// but the CLI gets to see them.
func TestSettingsAreNotInArguments(t *testing.T) {
	t.Parallel()
	for name, realCLI := range map[string]bool{"real": true, "simulated": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const secret = "made-up-secret-0123456789"
			values := map[string]any{
				"env":         map[string]any{"MADE_UP_SECRET": secret},
				"permissions": map[string]any{"deny": []any{"Bash(touch by-settings)"}},
			}
			file := filepath.Join(t.TempDir(), "settings.json")
			require.NoError(t, os.WriteFile(file, []byte(`{"env":{"MADE_UP_SECRET":"`+secret+`"},"permissions":{"deny":["Bash(touch by-settings)"]}}`), 0o600))
			for how, settings := range map[string]session.Settings{"values": {Values: values}, "file": {Path: file}} {
				t.Run(how, func(t *testing.T) {
					r := newRig(t, realCLI)
					r.spec.Settings = settings
					r.spec.ManagedSettings = map[string]any{"permissions": map[string]any{"deny": []any{"Bash(touch by-policy)"}}}
					r.spec.PermissionMode = protocol.ModeDontAsk
					events := make(chan session.ToolEvent, 10)
					r.spec.ToolCallback = func(e session.ToolEvent) { events <- e }
					r.boot()
					cmdline, err := os.ReadFile("/proc/" + strconv.Itoa(r.Info().PID) + "/cmdline")
					require.NoError(t, err)
					arguments := string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{'\n'}))
					assert.NotContains(t, arguments, secret)
					assert.NotContains(t, arguments, "by-settings")
					assert.NotContains(t, arguments, "by-policy")

					for _, command := range []string{"touch by-settings", "touch by-policy"} {
						r.mustAsk(bash(command))
						e := <-events
						assert.True(t, e.IsError, "%s: %s", command, e.Result)
					}
					if realCLI {
						r.mustAsk(bash(`test "$MADE_UP_SECRET" = made-up''-secret-0123456789`))
						assert.False(t, (<-events).IsError, "the settings' environment counts")
					}
					shutdown(t, r.rt)
					assert.Empty(t, holds(t, r.options.DataDir, secret), "neither state nor audit log")
					assert.Empty(t, holds(t, filepath.Dir(r.config), secret), "nor what the CLI keeps")
				})
			}
		})
	}
}
