package process

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// engine is the stand-in for docker, with a state of its own, and its client's environment.
func engine(t *testing.T) (path string, parent []string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the stand-in for docker needs root")
	}
	for _, tool := range []string{"unshare", "nsenter", "setsid"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("the stand-in for docker needs ", tool)
		}
	}
	if out, err := exec.Command("unshare", "--fork", "--pid", "--mount-proc", "true").CombinedOutput(); err != nil {
		t.Skipf("no namespaces for the stand-in for docker: %s", out)
	}
	path, err := filepath.Abs("testdata/docker")
	require.NoError(t, err)
	state := t.TempDir()
	parent = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nowhere", "DOCKER_FAKE=" + state, "LANG=C.UTF-8"}
	t.Cleanup(func() {
		names, err := filepath.Glob(filepath.Join(state, "*.pid"))
		require.NoError(t, err)
		for _, n := range names {
			cmd := exec.Command(path, "rm", "-f", strings.TrimSuffix(filepath.Base(n), ".pid"))
			cmd.Env = parent
			require.NoError(t, cmd.Run())
		}
	})
	return path, parent
}

func docker(t *testing.T, path string, parent []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = parent
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func TestInAContainer(t *testing.T) {
	inContainers(t, func(t *testing.T, b *box, form string) {
		l, o := b.launch(t, "env", form)
		l.Limits = Limits{Memory: 1 << 30, Processes: 100, CPUs: 0.5}
		if form == "container" {
			_, err := Start(l, o)
			require.ErrorContains(t, err, "limits: those of a container that runs already are its own")
			l.Limits = Limits{}
		}
		p := begin(t, l, o)
		cmdline, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/cmdline")
		require.NoError(t, err)
		assert.NotContains(t, string(cmdline), l.APIKey)
		assert.Equal(t, form == "image", slices.Contains(p.Containment(), LayerContainer))
		seen := docker(t, b.path, o.Parent, "inspect", p.recipe.Container)
		assert.NotContains(t, seen, l.APIKey)
		want := []string{
			"--cap-drop\nALL\n", "--security-opt\nno-new-privileges\n", "--read-only\n", "--tmpfs\n", "--network\nnone\n", "--pids-limit\n100\n",
			"--memory\n1073741824\n", "--cpus\n0.5\n", "--mount\ntype=bind,source=" + l.Dir + ",target=" + l.Dir + "\n", "--init\n",
		}
		if b.kind == LaunchPodman {
			want = []string{
				`"no-new-privileges"`, `"ReadonlyRootfs": true`, `"NetworkMode": "none"`, `"PidsLimit": 100`, `"Memory": 1073741824`, `"EffectiveCaps": `,
			}
			assert.NotContains(t, seen, `"CAP_SYS_ADMIN"`+",")
		}
		if form == "image" {
			for _, want := range want {
				assert.Contains(t, seen, want)
			}
		}
		p.CloseStdin()
		out, err := io.ReadAll(p.Stdout())
		require.NoError(t, err)
		await(t, "done", p.Done())
		assert.Equal(t, 0, p.Exit().Code, p.Exit().Stderr)
		require.NoError(t, p.Swept().Err)
		env := strings.Split(strings.TrimSpace(string(out)), "\n")
		assert.Contains(t, env, "ANTHROPIC_API_KEY="+l.APIKey)
		assert.Contains(t, env, "LANG=C.UTF-8")
		assert.Contains(t, env, MarkerVariable+"="+l.Marker)
		for _, kv := range b.parent {
			if home, ok := strings.CutPrefix(kv, "HOME="); ok && form == "image" {
				assert.NotContains(t, env, "HOME="+home, "the host's home is no place in there")
			}
		}
		if form == "image" {
			assert.True(t, b.gone(p.recipe.Container))
		}
	})
}

// inContainers runs a test with each engine, in a container of its own and in one that is there.
func inContainers(t *testing.T, test func(*testing.T, *box, string)) {
	for name, start := range boxes {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			for _, form := range []string{"image", "container"} {
				t.Run(form, func(t *testing.T) { test(t, b, form) })
			}
		})
	}
}

// TestFaultClientOfAnEngine kills, stops and crashes what runs in a container, whose client passes nothing on.
//
// Fault: a CLI in a container, of its own or one that is there, with tools that hide, is stopped, killed, or loses its client
// Outcome: nothing of it is left in the container once the exit is reported, but for what cleared its environment
// and lost its parents in a container that is not its own
// On: process
func TestFaultClientOfAnEngine(t *testing.T) {
	inContainers(t, func(t *testing.T, b *box, form string) {
		for end, f := range map[string]func(*Process){
			"stop":   func(p *Process) { p.Stop(context.Background(), Ladder{Stdin: time.Millisecond}) },
			"kill":   func(p *Process) { p.Kill() },
			"client": func(p *Process) { _ = syscall.Kill(p.PID(), syscall.SIGKILL) },
		} {
			t.Run(end, func(t *testing.T) {
				l, o := b.launch(t, "hostile:pause", form)
				p := begin(t, l, o)
				require.Equal(t, "ready", line(t, p))
				first := b.first(t, p.recipe.Container)
				ns := namespaceOf(t, first)
				require.GreaterOrEqual(t, len(membersOf(t, ns)), 2+len(hostile))
				f(p)
				await(t, "done", p.Done())
				require.NoError(t, p.Swept().Err)
				if form == "image" {
					assert.Empty(t, p.Swept().Killed, "the recipe was enough")
					// An engine answers when it has killed them; on a busy machine that is before they are gone.
					assert.Eventually(t, func() bool { return len(membersOf(t, ns)) == 0 }, 20*time.Second, time.Millisecond)
					return
				}
				left := slices.DeleteFunc(membersOf(t, ns), func(pid int) bool { return pid == first })
				for _, pid := range left {
					m, marked := markerOf(pid)
					assert.False(t, marked, "%d %s", pid, m)
				}
				assert.LessOrEqual(t, len(left), 2, "those of double and crowd at most")
				docker(t, l.Launcher.Program, o.Parent, "exec", p.recipe.Container, "sh", "-c", "kill -9 -1 2>/dev/null || true")
			})
		}
	})
}

// TestFaultRuntimeKilledWithContainers looks at what the next runtime does.
//
// Fault: the runtime is killed while a session runs in a container
// Outcome: the next runtime on the data directory ends the container, or what the session runs in one that is not its own
// On: process
func TestFaultRuntimeKilledWithContainers(t *testing.T) {
	inContainers(t, func(t *testing.T, b *box, form string) {
		l, o := b.launch(t, "tree:pause", form)
		path := filepath.Join(t.TempDir(), "processes.json")
		ledger, _, err := OpenLedger(path)
		require.NoError(t, err)
		o.Ledger = ledger
		p := begin(t, l, o)
		line(t, p)
		first := b.first(t, p.recipe.Container)
		ns := namespaceOf(t, first)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.NotContains(t, string(data), l.APIKey)
		require.Contains(t, string(data), p.recipe.Container)

		// As the next runtime would find it: the ledger as it is now, and nothing of this one's memory.
		next := filepath.Join(t.TempDir(), "processes.json")
		require.NoError(t, os.WriteFile(next, data, 0o600))
		for _, kv := range b.parent {
			if name, value, _ := strings.Cut(kv, "="); name == "DOCKER_FAKE" {
				t.Setenv(name, value)
			}
		}
		_, report, err := OpenLedger(next)
		require.NoError(t, err)
		require.NoError(t, report.Err)
		require.Eventually(t, func() bool {
			left := slices.DeleteFunc(membersOf(t, ns), func(pid int) bool { return pid == first && form == "container" })
			return len(left) == 0
		}, time.Minute, 5*time.Millisecond)
		await(t, "done", p.Done())
	})
}

func TestLaunchersThatCannotBeMeant(t *testing.T) {
	for want, l := range map[string]Launcher{
		"expected local, docker":              {Kind: "lxc"},
		"needs an image":                      {Kind: LaunchDocker},
		"exclude each other":                  {Kind: LaunchDocker, Image: "a", Container: "b", Network: "none"},
		"say which network":                   {Kind: LaunchPodman, Image: "a"},
		"network and mounts of a container":   {Kind: LaunchDocker, Container: "b", Network: "none"},
		"image means nothing to local":        {Image: "a"},
		"command means nothing to bwrap":      {Kind: LaunchBwrap, Command: []string{"a"}},
		"command needs a program":             {Kind: LaunchCommand},
		"bubblewrap has none or host":         {Kind: LaunchBwrap, Network: "bridge"},
		`container "-x"`:                      {Kind: LaunchDocker, Container: "-x"},
		"expected SOURCE, SOURCE:TARGET":      {Kind: LaunchBwrap, Mounts: []string{"here"}},
		`mount "/a:/b:rx"`:                    {Kind: LaunchBwrap, Mounts: []string{"/a:/b:rx"}},
		"kill means nothing to docker":        {Kind: LaunchDocker, Container: "b", Kill: []string{"x"}},
		"program means nothing to command":    {Kind: LaunchCommand, Command: []string{"a"}, Program: "x"},
		`user "a b": that would be read as`:   {Kind: LaunchDocker, Container: "b", User: "a b"},
		"network means nothing to local; rem": {Network: "none"},
	} {
		assert.ErrorContains(t, l.Validate(), want)
	}
	for _, l := range []Launcher{
		{}, {Kind: LaunchLocal}, {Kind: LaunchDocker, Image: "a", Network: "none"}, {Kind: LaunchBwrap, Mounts: []string{"/a", "/a:/b", "/a:/b:ro"}},
		{Kind: LaunchCommand, Command: []string{"nice"}, Kill: []string{"x", "{marker}"}},
	} {
		assert.NoError(t, l.Validate())
	}
}

func TestLauncherErrors(t *testing.T) {
	path, parent := engine(t)
	for _, tc := range []struct {
		name     string
		launcher Launcher
		change   func(*Launch)
		class    ExitClass
		want     string
	}{
		{"no engine", Launcher{Kind: LaunchDocker, Program: "/no/docker", Container: "x"}, nil, ClassRequest, "set launcher.program"},
		{"no image", Launcher{Kind: LaunchDocker, Program: path, Image: "missing", Network: "none"}, nil, ClassRequest, "pull or build the image"},
		{"no mount", Launcher{Kind: LaunchDocker, Program: path, Image: "x", Network: "none", Mounts: []string{"/no/such/directory"}}, nil, ClassRequest, "no such file"},
		{"requires what it can't have", Launcher{Kind: LaunchDocker, Program: path, Container: "x"}, func(l *Launch) {
			l.Containment.Require = []Layer{LayerPIDNamespace}
		}, ClassRequest, "require container"},
		{"a container is not one of its own", Launcher{Kind: LaunchDocker, Program: path, Container: "x"}, func(l *Launch) {
			l.Containment.Require = []Layer{LayerContainer}
		}, ClassRequest, "containment requires container"},
		{"a secret by a client's name", Launcher{Kind: LaunchDocker, Program: path, Container: "x"}, func(l *Launch) {
			l.Env["DOCKER_TOKEN"] = "a-secret-value"
		}, ClassRequest, "DOCKER_TOKEN"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := launch(t, "echo")
			l.Launcher = tc.launcher
			if tc.change != nil {
				tc.change(&l)
			}
			_, err := Start(l, Options{Parent: parent})
			var se *StartError
			require.ErrorAs(t, err, &se)
			assert.Equal(t, tc.class, se.Class)
			assert.ErrorContains(t, err, tc.want)
		})
	}
	t.Run("no container", func(t *testing.T) {
		l := launch(t, "echo")
		l.Launcher = Launcher{Kind: LaunchDocker, Program: path, Container: "gone"}
		p, err := Start(l, Options{Parent: parent})
		require.NoError(t, err)
		defer p.Stdout().Close()
		await(t, "done", p.Done())
		assert.Contains(t, Diagnose(p.Exit()), "No such container")
		assert.NoError(t, p.Swept().Err)
	})
}

func TestInBubblewrap(t *testing.T) {
	needBwrap(t)
	for _, without := range [][]Layer{nil, {LayerPIDNamespace, LayerCgroup}} {
		for end, f := range map[string]func(*Process) StopReport{
			"term": func(p *Process) StopReport { return p.Stop(context.Background(), Ladder{Stdin: -1}) },
			"kill": func(p *Process) StopReport { return p.Kill() },
		} {
			t.Run(fmt.Sprint(end, without), func(t *testing.T) {
				l := launch(t, "hostile:pause")
				l.Dir, l.Launcher, l.Containment.Without = t.TempDir(), Launcher{Kind: LaunchBwrap}, without
				p := begin(t, l, Options{})
				require.Equal(t, "ready", line(t, p))
				assert.Contains(t, p.Containment(), LayerContainer)
				table, err := readTable()
				require.NoError(t, err)
				below := map[procID]bool{table[p.child.pid].procID: true}
				table.below(below)
				var inside []int
				for id := range below {
					inside = append(inside, id.pid)
				}
				require.GreaterOrEqual(t, len(inside), 2+len(hostile))
				r := f(p)
				require.NoError(t, r.Err)
				for _, pid := range inside {
					gone(t, pid)
				}
				if end == "term" {
					assert.Equal(t, StepTerm, r.Ended, "the CLI gets the signal, and not its sandbox")
				}
			})
		}
	}
	t.Run("files", func(t *testing.T) {
		l := launch(t, "")
		l.Dir = t.TempDir()
		l.Launcher = Launcher{Kind: LaunchBwrap, Network: "none"}
		l.Path, l.PrefixArgs = "/bin/sh", []string{"-c", `touch here && echo yes; touch /usr/no 2>/dev/null || echo no; cat /proc/net/dev | grep -c : ; ls /proc | grep -c '^[0-9]'; exit 3`}
		p := begin(t, l, Options{})
		out, err := io.ReadAll(p.Stdout())
		require.NoError(t, err)
		await(t, "done", p.Done())
		assert.Equal(t, 3, p.Exit().Code)
		got := strings.Fields(string(out))
		require.Len(t, got, 4, "%s %v", out, p.Exit().Stderr)
		assert.Equal(t, []string{"yes", "no", "1"}, got[:3], "its directory, not the host's, and loopback alone")
		assert.FileExists(t, filepath.Join(l.Dir, "here"))
	})
}

func TestByACommand(t *testing.T) {
	l := launch(t, "hostile:exit")
	dir := t.TempDir()
	l.Launcher = Launcher{Kind: LaunchCommand, Command: []string{"nice", "-n", "5"}, Kill: []string{"sh", "-c", `echo "$0" >> "$1"`, "{marker}", filepath.Join(dir, "killed")}}
	p := begin(t, l, Options{})
	out := bufio.NewReader(p.Stdout())
	text, err := out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", text)
	_, err = io.WriteString(p.Stdin(), "go\n")
	require.NoError(t, err)
	await(t, "done", p.Done())
	assert.Equal(t, 3, p.Exit().Code)
	killed, err := os.ReadFile(filepath.Join(dir, "killed"))
	require.NoError(t, err)
	assert.Equal(t, l.Marker+"\n", string(killed))

	l = launch(t, "exit:0")
	l.Launcher = Launcher{Kind: LaunchCommand, Command: []string{"/no/such/prefix"}}
	_, err = Start(l, Options{})
	require.ErrorContains(t, err, "/no/such/prefix")
}
