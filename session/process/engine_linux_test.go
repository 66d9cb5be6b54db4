package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// box is an engine of containers: the stand-in for docker, which isolates with namespaces of the kernel's, or podman.
type box struct {
	kind   LauncherKind
	path   string
	parent []string // the environment of its client
	image  string
	args   []string // that this host needs for a container
	mounts []string
}

// boxes are the engines, by name. They skip the test where they cannot be had.
var boxes = map[string]func(*testing.T) *box{"docker": standIn, "podman": podman}

func standIn(t *testing.T) *box {
	path, parent := engine(t)
	return &box{kind: LaunchDocker, path: path, parent: parent, image: "image"}
}

// podmanImage is made once: nothing can be pulled in a test.
var podmanImage = sync.OnceValue(func() error {
	if out, err := exec.Command("testdata/image", podmanName).CombinedOutput(); err != nil {
		return &engineError{program: "podman", args: []string{"import"}, err: err, said: string(out)}
	}
	return nil
})

const podmanName = "localhost/understudy-process-test"

func podman(t *testing.T) *box {
	t.Helper()
	path, err := exec.LookPath("podman")
	if err != nil {
		t.Skip("podman is not installed")
	}
	if os.Geteuid() != 0 {
		t.Skip("podman is tested as root")
	}
	if err := podmanImage(); err != nil {
		t.Skip("podman does not work here: ", err)
	}
	b := &box{
		kind: LaunchPodman, path: path, image: podmanName, mounts: []string{filepath.Dir(self()) + ":" + filepath.Dir(self()) + ":ro"},
		parent: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LANG=C.UTF-8"},
	}
	// Where root may not raise limits, the engine's own are too high.
	for _, args := range [][]string{nil, {"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"}} {
		b.args = args
		run := append([]string{"run", "--rm", "--init", "--network", "none", "--memory", "256m", "--entrypoint", "sh"}, args...)
		if out, err := exec.Command(path, append(run, podmanName, "-c", "exit 0")...).CombinedOutput(); err == nil {
			return b
		} else if args != nil {
			t.Skipf("podman does not work here: %s", out)
		}
	}
	return b
}

// launch gives a launch in a container: of its own ("image"), or in one that is there ("container").
func (b *box) launch(t *testing.T, role, form string) (Launch, Options) {
	t.Helper()
	l := launch(t, role)
	l.Dir, l.APIKey = t.TempDir(), "sk-test-key-12345"
	l.Launcher = Launcher{Kind: b.kind, Program: b.path}
	if form == "image" {
		l.Launcher.Image, l.Launcher.Network, l.Launcher.Args, l.Launcher.Mounts = b.image, "none", b.args, b.mounts
		return l, Options{Parent: b.parent}
	}
	l.Launcher.Container = "understudy-test-" + strings.ToLower(filepath.Base(filepath.Dir(l.Dir)))
	run := []string{"run", "-d", "--name", l.Launcher.Container, "--label", "x=y"}
	if b.kind == LaunchPodman {
		run = append(run, "--network", "none", "-v", filepath.Dir(self())+":"+filepath.Dir(self())+":ro", "-v", l.Dir+":"+l.Dir)
		t.Cleanup(func() { docker(t, b.path, b.parent, "rm", "-f", "-t", "0", l.Launcher.Container) })
	}
	docker(t, b.path, b.parent, append(append(run, b.args...), "--entrypoint", "tail", b.image, "-f", "/dev/null")...)
	return l, Options{Parent: b.parent}
}

// first is the first process of a container, as this host numbers it.
func (b *box) first(t *testing.T, container string) int {
	t.Helper()
	if b.kind == LaunchPodman {
		return pids(t, docker(t, b.path, b.parent, "inspect", "-f", "{{.State.Pid}}", container))[0]
	}
	pid, err := os.ReadFile(filepath.Join(b.state(), container+".pid"))
	require.NoError(t, err)
	return pids(t, string(pid))[0]
}

// state is where the stand-in keeps what it knows.
func (b *box) state() string { return strings.TrimPrefix(b.parent[2], "DOCKER_FAKE=") }

// gone says whether a container is not there any more.
func (b *box) gone(container string) bool {
	cmd := exec.Command(b.path, "inspect", container)
	cmd.Env = b.parent
	return cmd.Run() != nil
}
