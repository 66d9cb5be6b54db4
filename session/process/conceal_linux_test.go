package process

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// nobody is a user who may do nothing.
const nobody = 65534

func init() {
	// conceal is a program of a plain user, so that it has something to hide from, that hides its memory or does not, and waits.
	roles["conceal"] = func(arg string) int {
		if os.Geteuid() == 0 {
			if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody), unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)); err != nil {
				os.Stdout.WriteString(err.Error() + "\n")
				return 1
			}
		}
		switch arg {
		case "not":
		case "without namespaces":
			nsProbe.done, nsProbe.why = true, errors.New("there are none")
			fallthrough
		default:
			for range 2 {
				if err := Conceal(); err != nil {
					os.Stdout.WriteString(err.Error() + "\n")
					return 1
				}
			}
		}
		os.Stdout.WriteString("ready\n")
		return pause()
	}
}

// concealed starts that program.
func concealed(t *testing.T, arg string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(self())
	cmd.Env = []string{roleVariable + "=conceal:" + arg, "GOTRACEBACK=crash", "SECRET=sk-made-up-0123456789", "GORACE=atexit_sleep_ms=0"}
	cmd.Dir = t.TempDir()
	require.NoError(t, os.Chmod(cmd.Dir, 0o777))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	return cmd
}

// read has a process of the same user open a file.
func read(path string) error {
	cmd := exec.Command("head", "-c", "0", path)
	cmd.Dir = "/"
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.New(string(out) + err.Error())
	}
	return nil
}

// TestConceal has another process of the same user look into it, and has it crash.
func TestConceal(t *testing.T) {
	for arg, hidden := range map[string]bool{"not": false, "without namespaces": true} {
		t.Run(arg, func(t *testing.T) {
			cmd := concealed(t, arg)
			proc := "/proc/" + strconv.Itoa(cmd.Process.Pid)
			for _, file := range []string{"environ", "mem"} {
				err := read(filepath.Join(proc, file))
				if hidden {
					require.ErrorContains(t, err, "Permission denied", file)
				} else if file == "environ" { // of its memory a policy of the host may say no
					require.NoError(t, err)
				}
			}
			if !hidden {
				return
			}
			noCore(t, proc)
			require.NoError(t, cmd.Process.Signal(syscall.SIGABRT))
			state, err := cmd.Process.Wait()
			require.NoError(t, err)
			status, ok := state.Sys().(syscall.WaitStatus)
			require.True(t, ok)
			assert.True(t, status.Signaled(), "%v", state)
			assert.False(t, status.CoreDump())
		})
	}
}

// TestConcealForNamespaces: where a user namespace is needed, its users are written through this program's entries in /proc.
func TestConcealForNamespaces(t *testing.T) {
	cmd := concealed(t, "")
	if err := read("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/environ"); err != nil {
		t.Skip("a plain user has no namespaces here: TestConceal is about that")
	}
	noCore(t, "/proc/"+strconv.Itoa(cmd.Process.Pid))
}

// noCore looks at the limit of a process: one byte, or zero where it was that before.
func noCore(t *testing.T, proc string) {
	t.Helper()
	limits, err := os.ReadFile(filepath.Join(proc, "limits"))
	require.NoError(t, err)
	_, text, found := strings.Cut(string(limits), "\nMax core file size")
	require.True(t, found, "%s", limits)
	assert.Contains(t, [][]string{{"1", "1"}, {"0", "0"}}, strings.Fields(text)[:2])
}

// TestLeaveNoCore reads what a CLI has.
func TestLeaveNoCore(t *testing.T) {
	for name, without := range map[string][]Layer{"namespace": nil, "none": {LayerPIDNamespace, LayerCgroup}} {
		l := launch(t, "")
		l.Dir, l.Path, l.PrefixArgs = t.TempDir(), "/bin/sh", []string{"-c", "read x; grep '^Max core' /proc/self/limits"}
		l.Containment.Without = without
		p := begin(t, l, Options{})
		_, err := io.WriteString(p.Stdin(), "now\n")
		require.NoError(t, err)
		out, err := io.ReadAll(p.Stdout())
		require.NoError(t, err)
		await(t, "done", p.Done())
		f := strings.Fields(string(out))
		require.Greater(t, len(f), 5, name)
		assert.Contains(t, [][]string{{"1", "1"}, {"0", "0"}}, f[4:6], "%s: %s", name, out)
	}
}
