package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// hostile are what a tool may do so as not to be found. Each says so by a byte on descriptor 3.
var hostile = []string{"session", "bare", "double", "deaf", "crowd"}

func init() {
	roles["tool"] = func(kind string) int {
		ready := func() int {
			os.NewFile(3, "ready").Write([]byte{'r'})
			return pause()
		}
		again := func(kind string, env ...string) error {
			c := exec.Command(self())
			c.Env = append(env, roleVariable+"=tool:"+kind, goraceOff)
			c.ExtraFiles = []*os.File{os.NewFile(3, "ready")}
			c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			return c.Start()
		}
		switch kind {
		case "double": // its parent, with the marker, is gone; it has no marker and a session of its own
			if again("session") != nil {
				return 1
			}
			return 0
		case "deaf":
			signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
		case "crowd": // with a child that has neither marker nor parent's session
			if again("session") != nil {
				return 1
			}
			return pause()
		}
		return ready()
	}
	// hostile starts one tool of each kind, says so, and ends as it is told to.
	roles["hostile"] = func(end string) int {
		r, w, err := os.Pipe()
		if err != nil {
			return 1
		}
		for _, kind := range hostile {
			c := exec.Command(self())
			c.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, roleVariable+"=") }), roleVariable+"=tool:"+kind)
			if kind == "bare" {
				c.Env = []string{roleVariable + "=tool:" + kind, goraceOff}
			}
			c.ExtraFiles = []*os.File{w}
			c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := c.Start(); err != nil {
				fmt.Println(err)
				return 1
			}
		}
		if _, err := io.ReadFull(r, make([]byte, len(hostile))); err != nil {
			return 1
		}
		fmt.Println("ready")
		if end == "stdin" {
			io.Copy(io.Discard, os.Stdin)
			return 0
		}
		if end == "exit" {
			bufio.NewReader(os.Stdin).ReadString('\n')
			return 3
		}
		return pause()
	}
	// orphans leaves children behind that end, and looks at what becomes of them in its own /proc.
	roles["orphans"] = func(arg string) int {
		n, _ := strconv.Atoi(arg)
		for range n {
			c := exec.Command("/bin/sh", "-c", "(true &) ; true")
			if c.Run() != nil {
				return 1
			}
		}
		for range 2000 {
			t, err := readTable()
			if err != nil {
				return 1
			}
			zombies := 0
			for _, s := range t {
				if s.zombie() {
					zombies++
				}
			}
			if zombies == 0 {
				fmt.Println(os.Getpid(), len(t), t[1].comm)
				return 0
			}
			time.Sleep(time.Millisecond)
		}
		fmt.Println("zombies")
		return 1
	}
	// bomb forks until it can't, or has 300.
	roles["bomb"] = func(string) int {
		n := 0
		var err error
		for ; n < 300 && err == nil; n++ {
			err = exec.Command("/bin/sleep", "60").Start()
		}
		fmt.Println(n, errors.Is(err, syscall.EAGAIN))
		return 0
	}
	// hog takes memory until there is none, 1 GiB at most.
	roles["hog"] = func(string) int {
		fmt.Println("ready")
		var kept [][]byte
		for range 64 {
			b := make([]byte, 16<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			kept = append(kept, b)
		}
		fmt.Println("took", len(kept))
		return 0
	}
	// fleet is a program that holds many sessions, to be killed.
	roles["fleet"] = func(arg string) int {
		name, marker, _ := strings.Cut(arg, "=")
		n, _ := strconv.Atoi(name)
		for i := range n {
			l := Launch{Path: self(), Marker: fmt.Sprint(marker, "/", i, "/1"), Env: map[string]string{roleVariable: "hostile:pause", "GORACE": "atexit_sleep_ms=0"}}
			if os.Getenv("FLEET_BARE") != "" {
				l = bare(l)
			}
			l.Launcher.Kind = LauncherKind(os.Getenv("FLEET_LAUNCHER"))
			if l.Launcher.Kind == LaunchCommand {
				l.Launcher.Command = []string{"nice", "-n", "1"}
			}
			p, err := Start(l, Options{})
			if err != nil {
				fmt.Println(err)
				return 1
			}
			if l, err := bufio.NewReader(p.Stdout()).ReadString('\n'); l != "ready\n" {
				fmt.Println("got", l, err)
				return 1
			}
			fmt.Print(p.PID(), " ")
		}
		fmt.Println()
		return pause()
	}
	// outlasted is an embedder with children of its own while sessions begin and end.
	roles["outlasted"] = func(marker string) int {
		fail := func(a ...any) int { fmt.Println(a...); return 1 }
		own := exec.Command("/bin/sleep", "60")
		detached := exec.Command("/bin/sh", "-c", "(setsid sleep 60 & echo $! >&3) ; exit 5") // double-forks, as a daemon does
		r, w, err := os.Pipe()
		if err != nil {
			return fail(err)
		}
		detached.ExtraFiles = []*os.File{w}
		if err := errors.Join(own.Start(), detached.Start()); err != nil {
			return fail(err)
		}
		var daemon int
		if _, err := fmt.Fscan(r, &daemon); err != nil {
			return fail(err)
		}
		for i := range 3 {
			p, err := Start(Launch{Path: self(), Marker: fmt.Sprint(marker, "/", i), Env: map[string]string{roleVariable: "hostile:pause", "GORACE": "atexit_sleep_ms=0"}}, Options{})
			if err != nil {
				return fail(err)
			}
			if l, err := bufio.NewReader(p.Stdout()).ReadString('\n'); l != "ready\n" {
				return fail("got", l, err)
			}
			syscall.Kill(p.PID(), syscall.SIGKILL)
			<-p.Done()
			p.Stdout().Close()
			if p.Swept().Err != nil {
				return fail(p.Swept().Err)
			}
		}
		SweepPrefix(marker)
		if !alive(own.Process.Pid) || !alive(daemon) {
			return fail("the embedder's own were touched")
		}
		var exit *exec.ExitError
		if err := detached.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 5 {
			return fail("the embedder's exit status was taken away:", err)
		}
		own.Process.Kill()
		syscall.Kill(daemon, syscall.SIGKILL)
		own.Wait()
		fmt.Println("fine")
		return 0
	}
	// plain is a runtime of a user without rights.
	roles["plain"] = func(marker string) int {
		dir, err := os.MkdirTemp("", "plain")
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer os.RemoveAll(dir)
		run := func(role string, limits Limits) (string, []Layer) {
			p, err := Start(Launch{
				Path: self(), Marker: marker + "/" + role, Dir: dir, Limits: limits,
				Env: map[string]string{roleVariable: role, "GORACE": "atexit_sleep_ms=0"},
			}, Options{})
			if err != nil {
				return err.Error(), nil
			}
			p.CloseStdin()
			out, _ := io.ReadAll(p.Stdout())
			<-p.Done()
			return strings.TrimSpace(string(out)), p.Containment()
		}
		own, layers := run("owner", Limits{})
		fmt.Println(slices.Contains(layers, LayerPIDNamespace), own)
		bombed, _ := run("bomb", Limits{Processes: 40})
		fmt.Println(bombed)
		return 0
	}
	// owner says who it is, who owns what it makes, and what it may do.
	roles["owner"] = func(string) int {
		if err := os.WriteFile("mine", nil, 0o600); err != nil {
			fmt.Println(err)
			return 1
		}
		var s unix.Stat_t
		if err := unix.Stat("mine", &s); err != nil {
			return 1
		}
		status, _ := os.ReadFile("/proc/self/status")
		caps := ""
		for line := range strings.Lines(string(status)) {
			if v, ok := strings.CutPrefix(line, "CapEff:"); ok {
				caps = strings.TrimSpace(v)
			}
		}
		fmt.Print(os.Getuid(), s.Uid, os.Getpid() > 1, " ", strings.Trim(caps, "0") == "", unix.Mount("none", "/mnt", "tmpfs", 0, "") == nil)
		return 0
	}
}

func init() {
	// headless is a process whose first thread has ended and whose others go on: the process table shows a zombie. This thread is
	// the first one as long as init functions run.
	if os.Getenv(roleVariable) == "headless" {
		go func() {
			for range 10_000 {
				if s, ok := readStat(os.Getpid()); ok && s.state == 'Z' {
					fmt.Println(os.Getpid())
					break
				}
				time.Sleep(time.Millisecond)
			}
			pause()
		}()
		unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
}

// TestFaultAZombieThatRuns looks like one that has ended.
//
// Fault: a tool ends its first thread, so that the process table shows a zombie, and goes on in another one
// Outcome: it is found and killed like any other
// On: process
func TestFaultAZombieThatRuns(t *testing.T) {
	m := marker(t)
	cmd := again("headless")
	cmd.Env = append(cmd.Env, MarkerVariable+"="+m, goraceOff)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	text, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, text)
	s, ok := readStat(cmd.Process.Pid)
	require.True(t, ok)
	require.Equal(t, byte('Z'), s.state)
	require.False(t, s.zombie())
	r := Sweep(m)
	require.NoError(t, r.Err)
	require.Len(t, r.Killed, 1)
	assert.Equal(t, cmd.Process.Pid, r.Killed[0].PID)
	gone(t, cmd.Process.Pid)
	_ = cmd.Wait() // the sweep may have reaped it
}

// needs skips a test where the host lacks a layer, and says why.
func needs(t *testing.T, layer Layer) {
	t.Helper()
	for _, s := range Inspect() {
		if s.Layer == layer && !s.Available {
			t.Skipf("this host has no %s: %s", layer, s.Detail)
		}
	}
}

// namespaceOf names a process's pid namespace.
func namespaceOf(t *testing.T, pid int) string {
	t.Helper()
	link, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/pid")
	require.NoError(t, err)
	return link
}

// membersOf lists who is in a pid namespace.
func membersOf(t *testing.T, namespace string) []int {
	t.Helper()
	table, err := readTable()
	require.NoError(t, err)
	var out []int
	for pid, s := range table {
		if link, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/pid"); err == nil && link == namespace && !s.zombie() {
			out = append(out, pid)
		}
	}
	return out
}

// TestFaultToolsThatHide ends sessions in every way while tools hide from it in every way.
//
// Fault: a tool begins a session of its own, clears its environment, forks twice, ignores SIGTERM, or all of that, and its
// CLI is stopped, killed, crashes or exits
// Outcome: nothing of it is left once the exit is reported
// On: process
func TestFaultToolsThatHide(t *testing.T) {
	needs(t, LayerPIDNamespace)
	self, err := os.Readlink("/proc/self/ns/pid")
	require.NoError(t, err)
	for _, tc := range []struct {
		name, role string
		end        func(t *testing.T, p *Process)
		code       int
		signal     syscall.Signal
	}{
		{"end of stdin", "stdin", func(_ *testing.T, p *Process) { p.CloseStdin() }, 0, 0},
		{"exit code", "exit", func(t *testing.T, p *Process) {
			_, err := io.WriteString(p.Stdin(), "now\n")
			require.NoError(t, err)
		}, 3, 0},
		{"SIGKILL of the CLI", "pause", func(t *testing.T, p *Process) { require.NoError(t, syscall.Kill(p.PID(), syscall.SIGKILL)) }, -1, syscall.SIGKILL},
		{"SIGTERM by Stop", "pause", func(_ *testing.T, p *Process) { p.Stop(context.Background(), Ladder{Stdin: -1}) }, -1, syscall.SIGTERM},
		{"Kill", "pause", func(_ *testing.T, p *Process) { p.Kill() }, -1, syscall.SIGKILL},
		{"SIGKILL of the first process", "pause", func(t *testing.T, p *Process) {
			require.NoError(t, syscall.Kill(p.child.pid, syscall.SIGKILL))
		}, -1, syscall.SIGKILL},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := begin(t, launch(t, "hostile:"+tc.role), Options{})
			require.Equal(t, "ready", line(t, p))
			assert.Contains(t, p.Containment(), LayerPIDNamespace)
			ns := namespaceOf(t, p.PID())
			require.NotEqual(t, self, ns)
			require.GreaterOrEqual(t, len(membersOf(t, ns)), 2+len(hostile), "the first process, the CLI, and the tools")
			tc.end(t, p)
			await(t, "done", p.Done())
			assert.Empty(t, membersOf(t, ns))
			assert.Equal(t, tc.code, p.Exit().Code)
			assert.Equal(t, tc.signal, p.Exit().Signal)
			assert.NoError(t, p.Swept().Err)
			assert.Empty(t, p.Swept().Killed, "the kernel was faster")
		})
	}
}

// TestFaultSegmentationFault has the CLI crash by a signal of its own making, which an init process would be spared.
//
// Fault: SIGSEGV or SIGABRT of the CLI
// Outcome: the exit says the signal
// On: process
func TestFaultSegmentationFault(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGSEGV, syscall.SIGABRT} {
		l := launch(t, "")
		l.Path, l.PrefixArgs = "/bin/sh", []string{"-c", fmt.Sprintf("kill -%d $$; sleep 60", sig)}
		p := begin(t, l, Options{})
		await(t, "done", p.Done())
		assert.Equal(t, sig, p.Exit().Signal)
		assert.Equal(t, ClassCrashed, p.Exit().Class())
	}
}

// TestFaultOrphansEndInTheNamespace leaves zombies for the first process to reap.
//
// Fault: tools leave orphans that end while the session goes on
// Outcome: they are reaped, and the agent's /proc shows its own processes only
// On: process
func TestFaultOrphansEndInTheNamespace(t *testing.T) {
	needs(t, LayerPIDNamespace)
	p := begin(t, launch(t, "orphans:20"), Options{})
	var pid, count int
	var first string
	_, err := fmt.Sscan(line(t, p), &pid, &count, &first)
	require.NoError(t, err)
	assert.Less(t, pid, 10)
	assert.LessOrEqual(t, count, 3)
	assert.Equal(t, initName, first)
}

// TestFaultRuntimeKilledWithANamespace kills a runtime and looks at once.
//
// Fault: the runtime is killed with SIGKILL while 20 sessions run tools that hide, started as they are, by bubblewrap or by a command
// Outcome: where there is a pid namespace no process of theirs is left, at once
// On: process
func TestFaultRuntimeKilledWithANamespace(t *testing.T) {
	for _, kind := range []LauncherKind{LaunchLocal, LaunchBwrap, LaunchCommand} {
		t.Run(string(kind), func(t *testing.T) {
			needs(t, LayerPIDNamespace)
			n := 20
			if raceOn || testing.Short() || kind != LaunchLocal {
				n = 2 // each of its processes costs a tenth of a second
			}
			if kind == LaunchBwrap {
				needBwrap(t)
			}
			runtimeKilledWithANamespace(t, kind, n)
		})
	}
}

func runtimeKilledWithANamespace(t *testing.T, kind LauncherKind, n int) {
	cmd := again(fmt.Sprintf("fleet:%d=%s", n, marker(t)))
	cmd.Env = append(cmd.Env, "FLEET_LAUNCHER="+string(kind))
	cmd.Env = append(cmd.Env, goraceOff)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	text, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, text)
	clis := pids(t, text)
	require.Len(t, clis, n)
	namespaces := map[string]bool{}
	for _, pid := range clis {
		for _, ns := range namespacesBelow(t, pid) { // a sandbox has one of its own
			namespaces[ns] = true
		}
	}
	require.GreaterOrEqual(t, len(namespaces), n)
	require.NotContains(t, namespaces, namespaceOf(t, os.Getpid()))
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for _, pid := range clis {
		gone(t, pid)
	}
	for ns := range namespaces {
		require.Eventually(t, func() bool { return len(membersOf(t, ns)) == 0 }, time.Minute, time.Millisecond)
	}
}

// namespacesBelow are the pid namespaces of a process and of what descends from it.
func namespacesBelow(t *testing.T, pid int) []string {
	t.Helper()
	out := []string{namespaceOf(t, pid)}
	table, err := readTable()
	require.NoError(t, err)
	for child, s := range table {
		if s.ppid == pid && !s.zombie() {
			out = append(out, namespacesBelow(t, child)...)
		}
	}
	return out
}

// TestFaultForkBomb is bounded: by its own count, the limit apart.
//
// Fault: a tool forks without end, and limits.processes is set
// Outcome: its forks fail at the limit; the session ends as any other, with all of them
// On: process
func TestFaultForkBomb(t *testing.T) {
	l := launch(t, "bomb")
	l.Limits.Processes = 60
	needsLimit(t, l)
	p := begin(t, l, Options{})
	var n int
	var refused bool
	_, err := fmt.Sscan(line(t, p), &n, &refused)
	require.NoError(t, err)
	assert.Less(t, n, 60)
	assert.True(t, refused)
	await(t, "done", p.Done())
	assert.NoError(t, p.Swept().Err)
	noGroupLeft(t, l.Marker)
}

// TestFaultOutOfMemory has the CLI itself exceed the session's limit.
//
// Fault: the CLI takes more memory than limits.memory
// Outcome: the kernel kills it alone; the exit is of class memory
// On: process
func TestFaultOutOfMemory(t *testing.T) {
	l := launch(t, "hog")
	l.Limits.Memory = 128 << 20
	if raceOn {
		l.Limits.Memory *= 4
	}
	needsLimit(t, l)
	p := begin(t, l, Options{})
	require.Equal(t, "ready", line(t, p))
	await(t, "done", p.Done())
	assert.Equal(t, syscall.SIGKILL, p.Exit().Signal)
	assert.True(t, p.Exit().OutOfMemory)
	assert.Equal(t, ClassMemory, p.Exit().Class())
	noGroupLeft(t, l.Marker)
}

// needsLimit skips a test whose limits this host can't give.
func needsLimit(t *testing.T, l Launch) {
	t.Helper()
	_, err := hold(command{marker: l.Marker, limits: l.Limits}, Options{})
	var missing *errUnavailable
	if errors.As(err, &missing) {
		t.Skip(err)
	}
	require.NoError(t, err)
}

func noGroupLeft(t *testing.T, marker string) {
	t.Helper()
	h := findGroups()
	for _, dir := range append([]string{h.dir}, h.v1["memory"], h.v1["pids"], h.v1["cpu"]) {
		if dir != "" {
			assert.NoDirExists(t, filepath.Join(dir, groupName(marker)))
		}
	}
}

// TestFaultAnEmbeddersOwnChildren are let be.
//
// Fault: sessions crash in a program that has children of its own, one of them a daemon that has forked twice
// Outcome: those are neither killed nor reaped
// On: process
func TestFaultAnEmbeddersOwnChildren(t *testing.T) {
	cmd := again("outlasted:" + marker(t))
	cmd.Env = append(cmd.Env, goraceOff)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, "fine\n", string(out))
}

// TestFaultForkBombOfAPlainUser needs no control group.
//
// Fault: a runtime that is not root, without control groups, and a tool that forks without end under limits.processes
// Outcome: the pid namespace is to be had in a user namespace in which files keep their owner; the forks fail at the limit
// On: process
func TestFaultForkBombOfAPlainUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become a plain user")
	}
	const uid = 4321
	cmd := again("plain:" + marker(t))
	cmd.Path = readableSelf(t)
	cmd.Dir = "/"
	cmd.Env = append(cmd.Env, goraceOff, "TMPDIR=/tmp", "HOME=/")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	if strings.HasPrefix(string(out), "false") {
		t.Skip("a plain user has no pid namespace here")
	}
	lines := strings.Split(string(out), "\n")
	assert.Equal(t, "true 4321 4321 true true false", lines[0], "its own uid, its own file, not pid 1, no capabilities, no mounting")
	var n int
	var refused bool
	_, err = fmt.Sscan(lines[1], &n, &refused)
	require.NoError(t, err, "%s", out)
	assert.Less(t, n, 40)
	assert.True(t, refused)
}

// readableSelf copies this program to where any user may execute it.
func readableSelf(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "readable")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	data, err := os.ReadFile(self())
	require.NoError(t, err)
	path := filepath.Join(dir, "self")
	require.NoError(t, os.WriteFile(path, data, 0o755))
	return path
}

// TestFaultRuntimeBinaryRemoved removes the program under the runtime's feet.
//
// Fault: the runtime's own binary is removed or replaced while it runs
// Outcome: sessions go on being started in namespaces
// On: process
func TestFaultRuntimeBinaryRemoved(t *testing.T) {
	needs(t, LayerPIDNamespace)
	cmd := again("removed:" + marker(t))
	cmd.Path = readableSelf(t)
	cmd.Env = append(cmd.Env, goraceOff, "REMOVED_CLI="+self())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, "true 7\n", string(out))
}

func init() {
	roles["removed"] = func(marker string) int {
		if err := os.Remove(self()); err != nil {
			fmt.Println(err)
			return 1
		}
		p, err := Start(Launch{Path: os.Getenv("REMOVED_CLI"), Marker: marker, Env: map[string]string{roleVariable: "exit:7", "GORACE": "atexit_sleep_ms=0"}}, Options{})
		if err != nil {
			fmt.Println(err)
			return 1
		}
		p.Stdout().Close()
		<-p.Done()
		fmt.Println(slices.Contains(p.Containment(), LayerPIDNamespace), p.Exit().Code)
		return 0
	}
}
