package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// eachFirst runs a test with the first process that this host gets, and with the one that others get.
func eachFirst(t *testing.T, test func(t *testing.T)) {
	needs(t, LayerPIDNamespace)
	ns, err := pidNamespace()
	require.NoError(t, err)
	for name, small := range map[string]bool{"small": true, "this program": false} {
		t.Run(name, func(t *testing.T) {
			if small && !ns.small {
				t.Skip("there is no small one here")
			}
			other := *ns
			other.small = small
			nsProbe.mu.Lock()
			nsProbe.ns = &other
			nsProbe.mu.Unlock()
			t.Cleanup(func() {
				nsProbe.mu.Lock()
				nsProbe.ns = ns
				nsProbe.mu.Unlock()
			})
			test(t)
		})
	}
}

func small(t *testing.T) bool {
	ns, err := pidNamespace()
	require.NoError(t, err)
	return ns.small
}

// shell runs a script in place of the CLI, to its end.
func shell(t *testing.T, script string, change func(*Launch)) (out string, exit Exit) {
	t.Helper()
	l := launch(t, "")
	l.Path, l.PrefixArgs = "/bin/sh", []string{"-c", script, "sh"}
	if change != nil {
		change(&l)
	}
	p := begin(t, l, Options{})
	data, err := io.ReadAll(p.Stdout())
	require.NoError(t, err)
	await(t, "done", p.Done())
	return string(data), p.Exit()
}

// TestAFirstProcessThatIsKilledEarly kills one between its fork and its order, where its start puts it into control groups: two pipes in their
// place, the second of which takes nothing before it is dead.
func TestAFirstProcessThatIsKilledEarly(t *testing.T) {
	eachFirst(t, func(t *testing.T) {
		ns, err := pidNamespace()
		require.NoError(t, err)
		var groups []string
		for range 2 {
			dir := t.TempDir()
			require.NoError(t, unix.Mkfifo(filepath.Join(dir, "cgroup.procs"), 0o600))
			groups = append(groups, dir)
		}
		killed := make(chan error, 1)
		go func() { // ends with the start
			data, err := os.ReadFile(filepath.Join(groups[0], "cgroup.procs"))
			pid, _ := strconv.Atoi(string(data)) // it is one
			if fd, e := unix.PidfdOpen(pid, 0); e == nil {
				err = errors.Join(err, unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0))
				_, e = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
				err = errors.Join(err, e, unix.Close(fd))
			} else {
				err = errors.Join(err, e)
			}
			_, e := os.ReadFile(filepath.Join(groups[1], "cgroup.procs"))
			killed <- errors.Join(err, e)
		}()
		var c child
		h := &holding{ns: ns, env: []string{MarkerVariable + "=early"}, group: &cgroup{v1: groups}}
		err = c.startInit(initOrder{Path: "/bin/true", Args: []string{"true"}}, &syscall.ProcAttr{}, h)
		require.NoError(t, <-killed)
		require.ErrorIs(t, err, syscall.ECHILD, "and not that it took too long")
		assert.True(t, h.failed(err), "nothing is wrong with the CLI")
	})
}

func TestTheFirstProcessOfANamespace(t *testing.T) {
	if runtime.GOARCH == "amd64" {
		_, err := firstImage()
		require.NoError(t, err, "this host can execute what is in memory, or needs a look")
	}
	eachFirst(t, func(t *testing.T) {
		t.Run("how it ends", func(t *testing.T) {
			for script, want := range map[string]Exit{
				"exit 0": {}, "exit 7": {Code: 7}, "kill -KILL $$; sleep 60": {Code: -1, Signal: syscall.SIGKILL}, "kill -SEGV $$; sleep 60": {Code: -1, Signal: syscall.SIGSEGV},
				// Others end as well, before it and with it.
				"true & (sleep 0.01 &) ; (setsid sleep 600 &) ; wait $!; exit 3": {Code: 3},
			} {
				_, exit := shell(t, script, nil)
				assert.Equal(t, want, Exit{Code: exit.Code, Signal: exit.Signal}, script)
			}
		})
		t.Run("what is inherited", func(t *testing.T) {
			dir := t.TempDir()
			out, _ := shell(t, `exec 2>&1; pwd; umask; ulimit -c; echo "$ONE" "${UNDERSTUDY_INIT-none}"; echo $(ls /proc/self/fd); ps -o pid= -o pgid= -p $$ | tr -s ' '; grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f2; cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l; grep 'core file' /proc/self/limits | tr -s ' '`,
				func(l *Launch) { l.Dir, l.Env = dir, map[string]string{"ONE": "one two"} })
			lines := strings.Split(strings.TrimSpace(out), "\n")
			require.Len(t, lines, 11, out)
			assert.Equal(t, []string{dir, "0077", "0", "one two none", "0 1 2 3"}, lines[:5], "3 is ls itself at work")
			group := strings.Fields(lines[5])
			require.Len(t, group, 2)
			assert.Equal(t, group[0], group[1], "it leads a process group")
			assert.Equal(t, []string{"0000000000000000", initName}, []string{lines[6], lines[8]}, "no signal is blocked")
			ignored, err := strconv.ParseUint(lines[7], 16, 64)
			require.NoError(t, err)
			// Of others, such as those of the C library's own, what this test was started with may say.
			const ends = 1<<(unix.SIGHUP-1) | 1<<(unix.SIGINT-1) | 1<<(unix.SIGQUIT-1) | 1<<(unix.SIGPIPE-1) | 1<<(unix.SIGTERM-1) | 1<<(unix.SIGCHLD-1)
			assert.Zero(t, ignored&ends, "%#x", ignored)
			count, err := strconv.Atoi(lines[9])
			require.NoError(t, err)
			assert.LessOrEqual(t, count, 5, "its own processes only")
			var own unix.Rlimit
			require.NoError(t, unix.Getrlimit(unix.RLIMIT_CORE, &own))
			core := min(own.Max, 1) // byte: with 0 a program that the kernel hands dumps to would get one
			assert.Equal(t, fmt.Sprintf("Max core file size %d %d bytes", core, core), strings.TrimSpace(lines[10]))
		})
		t.Run("a key in a pipe", func(t *testing.T) {
			out, _ := shell(t, "cat <&3; ls /proc/self/fd | wc -l", func(l *Launch) { l.APIKey, l.APIKeyFD = "the-key", true })
			assert.Equal(t, "the-key5\n", out, "0 to 3, and the directory that is read")
		})
		t.Run("with descriptors of any number", func(t *testing.T) {
			for n := range 24 { // what is moved out of the way must not come to lie on what is executed
				f, err := os.Open(os.DevNull)
				require.NoError(t, err)
				defer f.Close()
				if n > 0 && !small(t) {
					break // it is executed by its name
				}
				_, exit := shell(t, "exit 7", nil)
				require.Equal(t, 7, exit.Code, "%d more: %v", n, exit)
			}
		})
		t.Run("signals", func(t *testing.T) {
			for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1} {
				l := launch(t, "")
				l.Path, l.PrefixArgs = "/bin/sh", []string{"-c", "trap 'exit 9' TERM HUP USR1; echo ready; while :; do read x < /dev/zero & wait; done", "sh"}
				p := begin(t, l, Options{})
				require.Equal(t, "ready", line(t, p))
				if sig == syscall.SIGTERM {
					p.signal(sig) // as a stop does
				} else {
					require.NoError(t, syscall.Kill(p.child.pid, sig)) // somebody takes it for the session
				}
				await(t, "done", p.Done())
				assert.Equal(t, 9, p.Exit().Code, "%v: %v", sig, p.Exit())
			}
		})
		t.Run("it is killed", func(t *testing.T) {
			l := launch(t, "")
			l.Path, l.PrefixArgs = "/bin/sh", []string{"-c", "setsid sleep 600 & echo ready; wait", "sh"}
			p := begin(t, l, Options{})
			require.Equal(t, "ready", line(t, p))
			require.NoError(t, syscall.Kill(p.child.pid, syscall.SIGKILL))
			await(t, "done", p.Done())
			assert.Equal(t, syscall.SIGKILL, p.Exit().Signal)
		})
		t.Run("programs that cannot be executed", func(t *testing.T) {
			script := filepath.Join(t.TempDir(), "claude")
			require.NoError(t, os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o700))
			l := launch(t, "")
			l.Path = script
			_, err := Start(l, Options{})
			var failed *StartError
			require.ErrorAs(t, err, &failed)
			assert.ErrorIs(t, err, syscall.ENOENT)
			assert.Contains(t, failed.Hint, "interpreter")
		})
	})
}
