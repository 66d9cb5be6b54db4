package understudy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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

// podmanImage is made of this host's own programs: nothing can be pulled in a test.
var podmanImage = sync.OnceValues(func() ([]byte, error) {
	return exec.Command("session/process/testdata/image", "localhost/understudy-test").CombinedOutput()
})

// podman is a launcher for the CLI, which is mounted.
func podman(t *testing.T, cli string) process.Launcher {
	t.Helper()
	if _, err := exec.LookPath("podman"); err != nil {
		t.Skip("podman is not installed")
	}
	if os.Geteuid() != 0 {
		t.Skip("podman is tested as root")
	}
	if out, err := podmanImage(); err != nil {
		t.Skipf("podman does not work here: %v %s", err, out)
	}
	l := process.Launcher{
		Kind: process.LaunchPodman, Image: "localhost/understudy-test", Network: "host", Mounts: []string{filepath.Dir(cli) + ":" + filepath.Dir(cli) + ":ro"},
	}
	for _, l.Args = range [][]string{nil, {"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"}} { // where root may not raise limits
		out, err := exec.Command("podman", append(append([]string{"run", "--rm", "--init", "--network", "host", "--entrypoint", "sh"}, l.Args...), l.Image, "-c", "exit 0")...).CombinedOutput()
		if err == nil {
			break
		}
		if l.Args != nil {
			t.Skipf("podman does not work here: %s", out)
		}
	}
	return l
}

// podmanAsDocker puts a docker on PATH that is podman, as the package podman-docker has it, and gives the name of a container that runs
// there, with the CLI and this host's temporary files.
func podmanAsDocker(t *testing.T, cli string) string {
	t.Helper()
	l := podman(t, cli)
	bin, name := t.TempDir(), "understudy-test-"+strconv.Itoa(os.Getpid())
	require.NoError(t, os.WriteFile(filepath.Join(bin, "docker"), []byte("#!/bin/sh\nexec podman \"$@\"\n"), 0o700))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	mounted := map[string]bool{os.TempDir(): true, filepath.Dir(cli): true}
	args := append([]string{"run", "-d", "--name", name, "--init", "--network", "host", "--entrypoint", "tail"}, l.Args...)
	for dir := range mounted {
		args = append(args, "-v", dir+":"+dir)
	}
	t.Cleanup(func() { _ = exec.Command("podman", "rm", "-f", "-t", "0", name).Run() }) // it may not have come to be
	out, err := exec.Command("podman", append(args, l.Image, "-f", "/dev/null")...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return name
}

// inspected is what an engine says of the containers of sessions.
func inspected(t *testing.T, l process.Launcher) string {
	t.Helper()
	switch {
	case l.Image == "":
		return ""
	case l.Kind == process.LaunchDocker: // the stand-in
		files, err := filepath.Glob(filepath.Join(os.Getenv("DOCKER_FAKE"), "understudy-*.inspect"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		var all strings.Builder
		for _, file := range files {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			all.Write(data)
		}
		return all.String()
	}
	ids, err := exec.Command(string(l.Kind), "ps", "-aq", "--filter", "label=run.understudy.session").Output()
	require.NoError(t, err)
	require.NotEmpty(t, ids)
	out, _ := exec.Command(string(l.Kind), append([]string{"inspect"}, strings.Fields(string(ids))...)...).Output() // one of another test may be gone
	require.Contains(t, string(out), "run.understudy.session")
	return string(out)
}

// Wherever the CLI runs, a session is a session: it answers, uses tools, comes back from a crash with its conversation, and
// leaves nothing.
func TestLaunchers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*rig)
	}{
		{"image", func(r *rig) {
			t, o := r.T, &r.spec
			fakeDocker(t)
			o.Launcher = process.Launcher{Kind: process.LaunchDocker, Image: "claude", Network: "bridge"}
			o.Containment.Require = []process.Layer{process.LayerContainer}
		}},
		{"sandbox setting", func(r *rig) {
			t, o := r.T, &r.spec
			fakeDocker(t)
			o.Sandbox = session.Sandbox{Environment: "docker", Container: "my-sandbox"}
		}},
		{"sandbox setting, podman", func(r *rig) {
			r.spec.Sandbox = session.Sandbox{Environment: "docker", Container: podmanAsDocker(r.T, r.options.CLI.Path)}
		}},
		{"local", func(*rig) {}},
		{"podman", func(r *rig) {
			t, o := r.T, &r.spec
			o.Launcher = podman(t, r.options.CLI.Path)
			o.Containment.Require = []process.Layer{process.LayerContainer}
		}},
		{"bwrap", func(r *rig) {
			t, o := r.T, &r.spec
			if out, err := exec.Command("bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "true").CombinedOutput(); err != nil {
				t.Skipf("bubblewrap: %v %s", err, out)
			}
			o.Launcher = process.Launcher{Kind: process.LaunchBwrap}
			o.Containment.Require = []process.Layer{process.LayerContainer}
		}},
		{"command", func(r *rig) {
			r.spec.Launcher = process.Launcher{Kind: process.LaunchCommand, Command: []string{"nice", "-n", "1"}}
		}},
	} {
		for _, realCLI := range []bool{false, true} {
			name := tc.name + " simulated"
			if realCLI {
				name = tc.name + " real"
			}
			t.Run(name, func(t *testing.T) {
				r := newRig(t, realCLI)
				tc.change(r)
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
				assert.NotContains(t, inspected(t, r.spec.Launcher), madeUpKey)
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
