package process

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPrivate looks at what a CLI inherits wherever it runs: nobody else reads its files, and it leaves no core file, which
// would hold the key.
func TestPrivate(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *Launch) Options{
		"as it comes": func(*testing.T, *Launch) Options { return Options{} },
		"without a namespace": func(_ *testing.T, l *Launch) Options {
			l.Containment.Without = []Layer{LayerPIDNamespace, LayerCgroup}
			return Options{}
		},
		"command": func(_ *testing.T, l *Launch) Options {
			l.Launcher = Launcher{Kind: LaunchCommand, Command: []string{"nice", "-n", "1"}}
			l.Containment.Without = []Layer{LayerPIDNamespace, LayerCgroup}
			return Options{}
		},
		"bwrap": func(t *testing.T, l *Launch) Options {
			needBwrap(t)
			l.Launcher = Launcher{Kind: LaunchBwrap}
			return Options{}
		},
		"image": func(t *testing.T, l *Launch) Options {
			path, parent := engine(t)
			l.Launcher = Launcher{Kind: LaunchDocker, Program: path, Image: "image", Network: "none"}
			return Options{Parent: parent}
		},
		"container": func(t *testing.T, l *Launch) Options {
			path, parent := engine(t)
			docker(t, path, parent, "run", "-d", "--name", "mine", "--label", "x=y", "--entrypoint", "tail", "image", "-f", "/dev/null")
			l.Launcher = Launcher{Kind: LaunchDocker, Program: path, Container: "mine"}
			return Options{Parent: parent}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := launch(t, "")
			l.Dir, l.Path = t.TempDir(), "/bin/sh"
			l.PrefixArgs = []string{"-c", "umask; ulimit -c; touch made; pwd; exit 3"}
			o := change(t, &l)
			p := begin(t, l, o)
			out, err := io.ReadAll(p.Stdout())
			require.NoError(t, err)
			await(t, "done", p.Done())
			require.Equal(t, 3, p.Exit().Code, "%s", p.Exit().Stderr)
			assert.Equal(t, []string{"0077", "0", l.Dir}, strings.Fields(string(out)))
			info, err := os.Stat(filepath.Join(l.Dir, "made"))
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
			// This program's own files are as before.
			open := filepath.Join(t.TempDir(), "open")
			require.NoError(t, os.WriteFile(open, nil, 0o604))
			info, err = os.Stat(open)
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o604), info.Mode().Perm())
		})
	}
}

// TestPrivatelyByAShell is what stands in where a thread can have no umask of its own.
func TestPrivatelyByAShell(t *testing.T) {
	path, argv := privately("/usr/bin/env", []string{"/usr/bin/env", "sh", "-c", `umask; ulimit -c; echo "$@"`, "0", "a b", "$c"})
	out, err := (&exec.Cmd{Path: path, Args: argv}).Output()
	require.NoError(t, err)
	assert.Equal(t, "0077\n0\na b $c\n", string(out))
}

// TestADirectoryThatChanges has this program go elsewhere while a child lives, whose thread stays where it was.
func TestADirectoryThatChanges(t *testing.T) {
	p := begin(t, launch(t, "tree:pause"), Options{})
	line(t, p)
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	require.NoError(t, err)
	require.NoError(t, os.Mkdir("below", 0o700))
	for dir, want := range map[string]string{"": here, "below": filepath.Join(here, "below")} {
		l := launch(t, "")
		l.Dir, l.Path, l.PrefixArgs = dir, "/bin/sh", []string{"-c", "pwd"}
		l.Containment.Without = []Layer{LayerPIDNamespace, LayerCgroup}
		q := begin(t, l, Options{})
		out, err := io.ReadAll(q.Stdout())
		require.NoError(t, err)
		assert.Equal(t, want, strings.TrimSpace(string(out)))
		await(t, "done", q.Done())
	}
	p.Kill()
	await(t, "done", p.Done())
}

func needBwrap(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("bwrap"); err != nil {
		t.Skip("bubblewrap is not installed")
	}
	if out, err := exec.Command("bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "true").CombinedOutput(); err != nil {
		t.Skipf("bubblewrap does not work here: %s", out)
	}
}
