package process

import (
	"bufio"
	"bytes"
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

	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/sessiontest"
)

// roleVariable makes the test binary a scripted child instead of a test.
const roleVariable = "PROCESS_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		// A child that a failing test has left must not stay for ever.
		time.AfterFunc(time.Minute, func() { os.Exit(99) })
		name, arg, _ := strings.Cut(role, ":")
		os.Exit(roles[name](arg))
	}
	sessiontest.Main(sessiontest.NothingLeft(m))
}

var roles = map[string]func(arg string) int{
	// echo copies lines until stdin ends.
	"echo": func(string) int {
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			fmt.Println(s.Text())
		}
		return 0
	},
	"exit": func(arg string) int {
		n, _ := strconv.Atoi(arg)
		fmt.Fprintln(os.Stderr, "going")
		return n
	},
	"stderr": func(arg string) int { fmt.Fprintln(os.Stderr, arg); return 1 },
	"env": func(string) int {
		for _, kv := range os.Environ() {
			fmt.Println(kv)
		}
		return 0
	},
	// stubborn ignores SIGTERM and the end of stdin.
	"stubborn": func(string) int {
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		return pause()
	},
	// idle ignores the end of stdin.
	"idle": func(string) int { fmt.Println("ready"); return pause() },
	"flood": func(arg string) int {
		n, _ := strconv.Atoi(arg)
		chunk := bytes.Repeat([]byte("x"), 100<<10)
		for i := 0; i < n; i += len(chunk) {
			os.Stderr.Write(chunk)
		}
		fmt.Fprintln(os.Stderr, "\nlast line")
		fmt.Println("done")
		return 0
	},
	// write fills the pipe and is gone.
	"write": func(arg string) int {
		n, _ := strconv.Atoi(arg)
		os.Stdout.Write(bytes.Repeat([]byte("y"), n))
		return 0
	},
	// holder leaves behind a process that holds stdout and stderr, and that the sweep can't know.
	"holder": func(string) int {
		fmt.Println("before")
		c := again("idle-silent")
		c.Env = []string{roleVariable + "=idle-silent", goraceOff}
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := c.Start(); err != nil {
			return 1
		}
		// Where the test finds it to end it.
		os.WriteFile(os.Getenv("HOLDER_FILE"), []byte(strconv.Itoa(c.Process.Pid)), 0o600)
		return 0
	},
	"idle-silent": func(string) int { return pause() },
	// tree starts one tool as the CLI does, in a session of its own, and one that clears its environment as
	// well, prints their pids, and does what arg says.
	"tree": func(arg string) int {
		for _, env := range [][]string{os.Environ(), {"HOME=/"}} {
			c := again("idle-silent")
			c.Env = append(slices.DeleteFunc(slices.Clone(env), func(kv string) bool { return strings.HasPrefix(kv, roleVariable+"=") }),
				roleVariable+"=idle-silent", goraceOff)
			c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := c.Start(); err != nil {
				return 1
			}
			fmt.Print(c.Process.Pid, " ")
		}
		fmt.Println()
		if arg == "stdin" {
			io.Copy(io.Discard, os.Stdin)
			return 0
		}
		return pause()
	},
	"version": func(arg string) int {
		switch arg {
		case "good":
			fmt.Println("2.1.330 (Claude Code)")
		case "garbage":
			fmt.Println("hello, I am a shell")
		case "endless":
			for {
				if _, err := fmt.Println("yes"); err != nil {
					return 1
				}
			}
		case "fails":
			fmt.Fprintln(os.Stderr, "error: unknown option '--version'")
			return 1
		case "hangs":
			return pause()
		}
		return 0
	},
}

const goraceOff = "GORACE=atexit_sleep_ms=0"

func pause() int {
	<-time.After(time.Hour) // TestMain ends it before
	return 98
}

// again is this program in another role.
func again(role string) *exec.Cmd {
	c := exec.Command(self())
	c.Env = append(os.Environ(), roleVariable+"="+role)
	return c
}

func self() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// launch is a launch of this program in a role.
func launch(t *testing.T, role string) Launch {
	return Launch{
		Path: self(), Marker: marker(t),
		Env: map[string]string{roleVariable: role, "GORACE": "atexit_sleep_ms=0", "GOCOVERDIR": os.Getenv("GOCOVERDIR")},
	}
}

// bare leaves out the pid namespace and the control group, for tests of what holds without them, and for those in which
// the child says pids.
func bare(l Launch) Launch {
	l.Containment.Without = []Layer{LayerPIDNamespace, LayerCgroup}
	return l
}

func marker(t *testing.T) string {
	return fmt.Sprintf("test-%d/%s/%d", os.Getpid(), t.Name(), time.Now().UnixNano())
}

func begin(t *testing.T, l Launch, o Options) *Process {
	t.Helper()
	p, err := Start(l, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Kill()
		p.Stdout().Close()
	})
	return p
}

func line(t *testing.T, p *Process) string {
	t.Helper()
	var b []byte
	one := make([]byte, 1)
	for {
		n, err := p.Stdout().Read(one)
		if n == 1 && one[0] == '\n' {
			return string(b)
		}
		require.NoError(t, err, "stdout ended after %q, stderr %q", b, p.Stderr())
		b = append(b, one[:n]...)
	}
}

func await(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(time.Minute):
		require.FailNow(t, "took too long", what)
	}
}

func openFiles(t *testing.T) []string {
	names, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	var out []string
	for _, n := range names {
		if target, err := os.Readlink(n); err == nil && !strings.Contains(target, "/proc/") {
			out = append(out, target)
		}
	}
	return out
}
