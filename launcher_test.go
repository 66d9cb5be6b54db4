package understudy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
)

// fakeDocker puts the stand-in for docker on PATH, and a container "my-sandbox" on it.
func fakeDocker(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the stand-in for docker needs root")
	}
	if out, err := exec.Command("unshare", "--fork", "--pid", "--mount-proc", "true").CombinedOutput(); err != nil {
		t.Skipf("no namespaces for the stand-in for docker: %v %s", err, out)
	}
	dir, err := filepath.Abs("session/process/testdata")
	require.NoError(t, err)
	state := t.TempDir()
	t.Setenv("DOCKER_FAKE", state)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	out, err := exec.Command("docker", "run", "-d", "--name", "my-sandbox", "--label", "x=y", "--entrypoint", "tail", "image", "-f", "/dev/null").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() {
		out, err := exec.Command("docker", "rm", "-f", "my-sandbox").CombinedOutput()
		assert.NoError(t, err, "%s", out)
		left, err := filepath.Glob(filepath.Join(state, "*.pid"))
		assert.NoError(t, err)
		assert.Empty(t, left, "containers of sessions")
	})
}

// Wherever the CLI runs, a session is a session: it answers, uses tools, comes back from a crash with its conversation, and
// leaves nothing.
func TestLaunchers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*testing.T, *session.Options)
	}{
		{"image", func(t *testing.T, o *session.Options) {
			fakeDocker(t)
			o.Launcher = process.Launcher{Kind: process.LaunchDocker, Image: "claude", Network: "bridge"}
			o.Containment.Require = []process.Layer{process.LayerContainer}
		}},
		{"sandbox setting", func(t *testing.T, o *session.Options) {
			fakeDocker(t)
			o.Sandbox = session.Sandbox{Environment: "docker", Container: "my-sandbox"}
		}},
		{"bwrap", func(t *testing.T, o *session.Options) {
			if out, err := exec.Command("bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "true").CombinedOutput(); err != nil {
				t.Skipf("bubblewrap: %v %s", err, out)
			}
			o.Launcher = process.Launcher{Kind: process.LaunchBwrap}
			o.Containment.Require = []process.Layer{process.LayerContainer}
		}},
		{"command", func(_ *testing.T, o *session.Options) {
			o.Launcher = process.Launcher{Kind: process.LaunchCommand, Command: []string{"nice", "-n", "1"}}
		}},
	} {
		for _, realCLI := range []bool{false, true} {
			name := tc.name + " simulated"
			if realCLI {
				name = tc.name + " real"
			}
			t.Run(name, func(t *testing.T) {
				r := newRig(t, realCLI)
				tc.change(t, &r.spec)
				r.boot()
				answer := r.mustAsk(bash("echo alive > tool; cat tool"))
				assert.NotEmpty(t, answer.Text)
				made, err := os.ReadFile(filepath.Join(r.work, "tool"))
				require.NoError(t, err)
				assert.Equal(t, "alive\n", string(made))
				r.mustAsk("the word is pear")
				cmdline, err := os.ReadFile("/proc/" + strconv.Itoa(r.Info().PID) + "/cmdline")
				require.NoError(t, err)
				assert.NotContains(t, string(cmdline), madeUpKey)
				id := r.Info().SessionID
				r.killIdle()
				r.mustAsk("again")
				assert.Equal(t, id, r.Info().SessionID)
				assert.Contains(t, r.history(), "the word is pear")
				r.mustAsk(bash("(setsid sleep 60043 >/dev/null 2>&1 &) ; true"))
				shutdown(t, r.rt)
				out, _ := exec.Command("sh", "-c", "grep -slzx 6004[3] /proc/[0-9]*/cmdline").Output() // 1: nothing found
				assert.Empty(t, strings.TrimSpace(string(out)), "the tool's daemon")
			})
		}
	}
}
