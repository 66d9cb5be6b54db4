package process

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func lockThreadForGood() { runtime.LockOSThread() }

func init() {
	// runtime is a program that holds a CLI, to be killed.
	roles["runtime"] = func(marker string) int {
		p, err := Start(bare(Launch{Path: self(), Marker: marker, Env: map[string]string{roleVariable: "tree:pause", "GORACE": "atexit_sleep_ms=0"}}), Options{})
		if err != nil {
			fmt.Println(err)
			return 1
		}
		line, _ := bufio.NewReader(p.Stdout()).ReadString('\n')
		fmt.Print(p.PID(), " ", line)
		return pause()
	}
	// orphanage: the CLI starts a tool that clears its environment, begins a session, and whose parent ends.
	roles["orphanage"] = func(string) int {
		c := exec.Command(self())
		c.Env = []string{roleVariable + "=orphan-parent", goraceOff}
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		c.Stdout = os.Stdout
		in, err := c.StdinPipe()
		if err != nil || c.Start() != nil {
			return 1
		}
		// The host says when it has seen the tree; then the parent in the middle goes, and then the CLI waits.
		bufio.NewReader(os.Stdin).ReadString('\n')
		in.Close()
		c.Wait()
		fmt.Println("orphaned")
		return pause()
	}
	roles["orphan-parent"] = func(string) int {
		c := exec.Command(self())
		c.Env = []string{roleVariable + "=idle-silent", goraceOff}
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if c.Start() != nil {
			return 1
		}
		fmt.Println(c.Process.Pid)
		io.Copy(io.Discard, os.Stdin)
		return 0
	}
	// subreaper is a daemon; it reports on itself, since being a subreaper can't be undone.
	roles["subreaper"] = func(marker string) int {
		fail := func(a ...any) int { fmt.Println(a...); return 1 }
		if err := BecomeSubreaper(); err != nil {
			return fail(err)
		}
		// A child of the embedder's own, with nothing in its environment and a session of its own.
		own := exec.Command(self())
		own.Env = []string{roleVariable + "=idle-silent", goraceOff}
		own.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := own.Start(); err != nil {
			return fail(err)
		}
		short := exec.Command(self()) // ends at once, and is waited for late
		short.Env = []string{roleVariable + "=exit:7", goraceOff}
		if err := short.Start(); err != nil {
			return fail(err)
		}
		p, err := Start(bare(Launch{Path: self(), Marker: marker, Env: map[string]string{roleVariable: "orphanage", "GORACE": "atexit_sleep_ms=0"}}), Options{})
		if err != nil {
			return fail(err)
		}
		out := bufio.NewReader(p.Stdout())
		var orphan int
		if _, err := fmt.Fscan(out, &orphan); err != nil {
			return fail("orphan's pid:", err)
		}
		out.ReadString('\n')
		lookAtAdopted() // what the ticker does twice a second
		io.WriteString(p.Stdin(), "go\n")
		if l, err := out.ReadString('\n'); l != "orphaned\n" {
			return fail("got", l, err)
		}
		s, ok := readStat(orphan)
		if !ok || s.ppid != os.Getpid() {
			return fail("not adopted:", s)
		}
		syscall.Kill(p.PID(), syscall.SIGKILL) // a crash
		<-p.Done()
		io.Copy(io.Discard, out)
		if s, ok := readStat(orphan); ok {
			return fail("the orphan is still there:", s.comm, string(s.state))
		}
		if !alive(own.Process.Pid) {
			return fail("the embedder's own child was killed")
		}
		own.Process.Kill()
		if err := own.Wait(); err == nil || own.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			return fail("the embedder's own child:", err)
		}
		if err := short.Wait(); short.ProcessState == nil || short.ProcessState.ExitCode() != 7 {
			return fail("the embedder's exit status was taken away:", err)
		}
		t, _ := readTable()
		for _, s := range t {
			if s.ppid == os.Getpid() {
				return fail("left over:", s.pid, s.comm, string(s.state))
			}
		}
		fmt.Println("fine", p.Swept().Killed[0].PID == orphan)
		return 0
	}
}

func TestTheRuntimeIsKilled(t *testing.T) {
	m := marker(t)
	c := again("runtime:" + m)
	c.Env = append(c.Env, goraceOff)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	l, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	ids := pids(t, l)
	require.Len(t, ids, 3, l)
	require.NoError(t, c.Process.Kill())
	_ = c.Wait() // "signal: killed"
	gone(t, ids[0])
	assert.True(t, alive(ids[1]), "the tool lives on: that is what the sweep is for")
	r := SweepPrefix(m)
	require.NoError(t, r.Err)
	gone(t, ids[1])
	// The other tool has cleared its environment. Nothing but a pid namespace or a control group holds it.
	_ = syscall.Kill(ids[2], syscall.SIGKILL)
}

func TestSubreaper(t *testing.T) {
	c := again("subreaper:" + marker(t))
	c.Env = append(c.Env, goraceOff)
	c.WaitDelay = time.Second
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, "fine true\n", string(out))
}
