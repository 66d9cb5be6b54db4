package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// gone waits until a process has ended (it may be a zombie of somebody else's).
func gone(t *testing.T, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	require.NoError(t, err)
	defer unix.Close(fd)
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	awaitExits(fds, time.Minute)
	require.NotZero(t, fds[0].Revents, "process %d is still there", pid)
}

func alive(pid int) bool {
	s, ok := readStat(pid)
	return ok && !s.zombie()
}

func pids(t *testing.T, line string) []int {
	t.Helper()
	var out []int
	for f := range strings.FieldsSeq(line) {
		n, err := strconv.Atoi(f)
		require.NoError(t, err, line)
		out = append(out, n)
	}
	return out
}

func TestEchoAndCleanEnd(t *testing.T) {
	p := begin(t, launch(t, "echo"), Options{})
	_, err := io.WriteString(p.Stdin(), "hello\n")
	require.NoError(t, err)
	assert.Equal(t, "hello", line(t, p))
	assert.Zero(t, p.Exit())
	p.CloseStdin()
	p.CloseStdin()
	_, err = p.Stdin().Write([]byte("x"))
	require.Error(t, err)
	rest, err := io.ReadAll(p.Stdout())
	require.NoError(t, err)
	assert.Empty(t, rest)
	await(t, "done", p.Done())
	e := p.Exit()
	assert.Equal(t, 0, e.Code)
	assert.Equal(t, ClassClean, e.Class())
	assert.Empty(t, p.Swept().Killed)

	_, err = p.Stdin().Write([]byte("x"))
	require.ErrorIs(t, err, ErrExited)
	r := p.Stop(t.Context(), Ladder{})
	assert.Equal(t, StepExited, r.Ended)
	assert.Equal(t, e, r.Exit)
	require.NoError(t, r.Err)
}

// Fault: the CLI ends while what it wrote is still in the pipe
// Outcome: all of it is delivered
// On: process
func TestReadReadyDoesNotWait(t *testing.T) {
	p := begin(t, launch(t, "echo"), Options{})
	buf := make([]byte, 100)
	n, err := p.stdout.ReadReady(buf)
	require.NoError(t, err)
	assert.Zero(t, n)
	_, err = io.WriteString(p.Stdin(), "one\ntwo\n")
	require.NoError(t, err)
	assert.Equal(t, "one", line(t, p))
	var got []byte
	for !strings.Contains(string(got), "two\n") {
		n, err := p.stdout.ReadReady(buf)
		require.NoError(t, err)
		got = append(got, buf[:n]...)
	}
	p.CloseStdin()
	<-p.Done()
	n, err = p.stdout.ReadReady(buf)
	require.NoError(t, err)
	assert.Zero(t, n, "the end is Read's to tell")
	_, err = p.stdout.Read(buf)
	require.ErrorIs(t, err, io.EOF)
	n, err = p.stdout.ReadReady(buf)
	require.NoError(t, err)
	assert.Zero(t, n, "it is closed")
}

func TestOutputWrittenBeforeTheExitIsDelivered(t *testing.T) {
	p := begin(t, launch(t, "write:60000"), Options{OutputGrace: time.Nanosecond})
	await(t, "done", p.Done()) // nothing was read so far, and the grace is over
	out, err := io.ReadAll(p.Stdout())
	require.NoError(t, err)
	assert.Len(t, out, 60000)
}

// Fault: the CLI is gone and a process it has left holds its stdout open
// Outcome: stdout comes to its end all the same, and the exit is reported
// On: process
func TestStdoutEndsThoughAGrandchildHoldsIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	l := bare(launch(t, "holder"))
	l.Env["HOLDER_FILE"] = file
	p := begin(t, l, Options{OutputGrace: 50 * time.Millisecond})
	out, err := io.ReadAll(p.Stdout())
	require.NoError(t, err)
	assert.Equal(t, "before\n", string(out))
	await(t, "done", p.Done())
	assert.Equal(t, 0, p.Exit().Code)

	data, err := os.ReadFile(file)
	require.NoError(t, err)
	pid := pids(t, string(data))[0]
	fd, err := unix.PidfdOpen(pid, 0)
	require.NoError(t, err, "the grandchild must have outlived its parent, or nothing was tested")
	defer unix.Close(fd)
	require.NoError(t, unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0))
}

// Fault: the CLI floods stderr, in lines without an end
// Outcome: it is never held up, and memory stays small
// On: process
func TestStderrFloodDoesNotBlockAndStaysSmall(t *testing.T) {
	var mu sync.Mutex
	var lines int
	p := begin(t, launch(t, "flood:4000000"), Options{OnStderr: func(string) { mu.Lock(); lines++; mu.Unlock() }})
	assert.Equal(t, "done", line(t, p))
	await(t, "done", p.Done())
	got := p.Exit().Stderr
	require.Len(t, got, 2)
	assert.Len(t, got[0], 4096+len("…"))
	assert.Equal(t, "last line", got[1])
}

// Fault: the CLI does not read its stdin
// Outcome: a stop goes down its ladder, and the write that waits ends
// On: process
func TestWritesToAChildThatDoesNotReadEndWithTheStop(t *testing.T) {
	p := begin(t, launch(t, "idle"), Options{})
	require.Equal(t, "ready", line(t, p))
	wrote := make(chan error, 1)
	go func() {
		_, err := p.Stdin().Write(make([]byte, 1<<20))
		wrote <- err
	}()
	r := p.Stop(t.Context(), Ladder{Stdin: time.Millisecond})
	assert.Equal(t, StepTerm, r.Ended)
	assert.Equal(t, syscall.SIGTERM, r.Exit.Signal)
	assert.Equal(t, ClassStopped, r.Exit.Class())
	select {
	case err := <-wrote:
		require.Error(t, err)
	case <-time.After(time.Minute):
		require.FailNow(t, "the write still waits")
	}
}

// Fault: a prompt is written to a CLI that has just ended
// Outcome: an error, and no signal
// On: process
func TestWriteToADeadChild(t *testing.T) {
	p := begin(t, launch(t, "exit:3"), Options{})
	await(t, "done", p.Done())
	_, err := p.Stdin().Write(make([]byte, 1<<20))
	require.ErrorIs(t, err, ErrExited)
	assert.Equal(t, 3, p.Exit().Code)
	assert.Equal(t, []string{"going"}, p.Exit().Stderr)
	assert.Equal(t, ClassCrashed, p.Exit().Class())
}

// Fault: the CLI ignores the end of stdin, or SIGTERM
// Outcome: the next step of the ladder, in its time
// On: process
func TestLadder(t *testing.T) {
	for _, tc := range []struct {
		name, role string
		ladder     Ladder
		want       StopStep
		steps      int
	}{
		{"the end of stdin is enough", "echo", Ladder{}, StepStdin, 1},
		{"SIGTERM", "idle", Ladder{Stdin: time.Millisecond}, StepTerm, 2},
		{"SIGTERM at once", "idle", Ladder{Stdin: -1}, StepTerm, 1},
		{"SIGKILL", "stubborn", Ladder{Stdin: time.Millisecond, Term: time.Millisecond}, StepKill, 3},
		{"no SIGTERM", "idle", Ladder{Stdin: time.Millisecond, Term: -1}, StepKill, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := begin(t, launch(t, tc.role), Options{})
			if tc.role != "echo" {
				require.Equal(t, "ready", line(t, p))
			}
			r := p.Stop(t.Context(), tc.ladder)
			require.NoError(t, r.Err)
			assert.Equal(t, tc.want, r.Ended)
			assert.Len(t, r.Steps, tc.steps)
			assert.Equal(t, tc.want, r.Steps[len(r.Steps)-1].Step)
			assert.True(t, r.Exit.Stopped)
			assert.Equal(t, ClassStopped, r.Exit.Class())
			select {
			case <-p.Done():
			default:
				assert.Fail(t, "Stop returned before Done")
			}
		})
	}
}

func TestConcurrentStopsJoinAndShorten(t *testing.T) {
	p := begin(t, launch(t, "stubborn"), Options{})
	require.Equal(t, "ready", line(t, p))
	const long = time.Hour
	reports := make(chan StopReport, 10)
	for range 8 {
		go func() { reports <- p.Stop(context.Background(), Ladder{Stdin: long, Term: long}) }()
	}
	go func() {
		reports <- p.Stop(context.Background(), Ladder{Stdin: time.Millisecond, Term: time.Millisecond})
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	go func() { reports <- p.Stop(ctx, Ladder{Stdin: long, Term: long}) }()
	for range 10 {
		select {
		case r := <-reports:
			if r.Ended != StepExited { // one that came when all was over
				assert.Equal(t, StepKill, r.Ended)
			}
			assert.Equal(t, syscall.SIGKILL, r.Exit.Signal)
		case <-time.After(time.Minute):
			require.FailNow(t, "a Stop does not return")
		}
	}
}

func TestStopEndsToolsThatLeftTheSession(t *testing.T) {
	for _, how := range []string{"pause", "stdin"} {
		t.Run(how, func(t *testing.T) {
			p := begin(t, bare(launch(t, "tree:"+how)), Options{})
			tools := pids(t, line(t, p))
			require.Len(t, tools, 2)
			for _, pid := range tools {
				require.True(t, alive(pid))
			}
			r := p.Stop(t.Context(), Ladder{Stdin: 200 * time.Millisecond})
			require.NoError(t, r.Err)
			for _, pid := range tools {
				gone(t, pid)
			}
			assert.Len(t, r.Swept.Killed, 2)
			assert.Empty(t, r.Swept.Left)
		})
	}
}

func TestACrashSweepsTheTools(t *testing.T) {
	p := begin(t, bare(launch(t, "tree:pause")), Options{})
	tools := pids(t, line(t, p))
	defer func() { _ = syscall.Kill(tools[1], syscall.SIGKILL) }() // nothing but a subreaper finds this one
	require.NoError(t, syscall.Kill(p.PID(), syscall.SIGKILL))
	await(t, "done", p.Done())
	gone(t, tools[0])
	e := p.Exit()
	assert.Equal(t, syscall.SIGKILL, e.Signal)
	assert.Equal(t, -1, e.Code)
	assert.False(t, e.Stopped)
	assert.Contains(t, []ExitClass{ClassKilled, ClassMemory}, e.Class())
	assert.Equal(t, tools[0], p.Swept().Killed[0].PID)
}

// TestAtEnd has what was there for the CLI removed when nothing can need it any more, and nobody told before.
func TestAtEnd(t *testing.T) {
	var p *Process
	told := make(chan bool, 2)
	p = begin(t, launch(t, "echo"), Options{AtEnd: func() {
		select {
		case <-p.Done():
			told <- false
		default:
			told <- !alive(p.PID())
		}
	}})
	_, err := io.WriteString(p.Stdin(), "hello\n")
	require.NoError(t, err)
	require.Equal(t, "hello", line(t, p))
	p.CloseStdin()
	await(t, "done", p.Done())
	require.Len(t, told, 1, "before Done")
	assert.True(t, <-told)
}

func TestKill(t *testing.T) {
	p := begin(t, launch(t, "stubborn"), Options{})
	require.Equal(t, "ready", line(t, p))
	r := p.Kill()
	assert.Equal(t, StepKill, r.Ended)
	assert.Equal(t, syscall.SIGKILL, r.Exit.Signal)
	assert.Equal(t, ClassStopped, r.Exit.Class())
	assert.Equal(t, StepExited, p.Kill().Ended)
}

// Fault: the CLI is halted by SIGSTOP
// Outcome: a stop ends it
// On: process
func TestAStoppedProcessGroupIsEndedToo(t *testing.T) {
	p := begin(t, launch(t, "idle"), Options{})
	require.Equal(t, "ready", line(t, p))
	require.NoError(t, syscall.Kill(p.PID(), syscall.SIGSTOP)) // SIGTERM waits for SIGCONT
	r := p.Stop(t.Context(), Ladder{Stdin: -1, Term: time.Millisecond})
	assert.Equal(t, StepKill, r.Ended)
}

func TestSweepByMarkerAndPrefix(t *testing.T) {
	require.Error(t, Sweep("").Err)
	require.Error(t, SweepPrefix("").Err)

	runtimeID := fmt.Sprintf("rt-%d-%d", os.Getpid(), time.Now().UnixNano())
	tool := func(m string) int {
		c := again("idle-silent")
		c.Env = append(c.Env, MarkerVariable+"="+m, goraceOff)
		require.NoError(t, c.Start())
		t.Cleanup(func() {
			_ = c.Process.Kill() // ended already, in most cases
			_ = c.Wait()
		})
		return c.Process.Pid
	}
	one, two, ten := tool(runtimeID+"/a/1"), tool(runtimeID+"/b/1"), tool(runtimeID+"0/a/1")

	r := Sweep(runtimeID + "/a/1")
	require.NoError(t, r.Err)
	require.Len(t, r.Killed, 1)
	assert.Equal(t, one, r.Killed[0].PID)
	assert.True(t, alive(two))

	r = SweepPrefix(runtimeID + "/")
	require.NoError(t, r.Err)
	require.Len(t, r.Killed, 1)
	assert.Equal(t, two, r.Killed[0].PID)
	assert.True(t, alive(ten), "another runtime whose id begins the same")
	assert.GreaterOrEqual(t, r.Rounds, 3)
}

// Fault: a pid belongs to another process by now
// Outcome: that one is not killed
// On: process
func TestStaleIdentitiesAreNotKilled(t *testing.T) {
	p := begin(t, launch(t, "idle"), Options{})
	require.Equal(t, "ready", line(t, p))
	s, ok := readStat(p.PID())
	require.True(t, ok)
	stale := s.procID
	stale.start--
	seen := descendants{procs: map[procID]bool{stale: true}}
	r := sweep(func(string) bool { return false }, &seen, time.Second)
	assert.Empty(t, r.Killed, "same pid, other start time")
	assert.True(t, alive(p.PID()))

	old := s
	old.start--
	assert.True(t, killRound([]procStat{old}, time.Now().Add(time.Second))[old.procID])
	assert.True(t, alive(p.PID()))
}

func TestNothingIsLeft(t *testing.T) {
	files := len(openFiles(t))
	for range 20 {
		p, err := Start(launch(t, "echo"), Options{})
		require.NoError(t, err)
		p.Kill()
		_, err = io.Copy(io.Discard, p.Stdout())
		require.NoError(t, err)
	}
	l := launch(t, "echo")
	l.Path = filepath.Join(t.TempDir(), "bad")
	require.NoError(t, os.WriteFile(l.Path, []byte("no program"), 0o700))
	for range 20 {
		_, err := Start(l, Options{OnStderr: func(string) {}})
		require.Error(t, err)
	}
	assert.LessOrEqual(t, len(openFiles(t)), files+1, "%v", openFiles(t))
	table, err := readTable()
	require.NoError(t, err)
	for _, s := range table {
		assert.False(t, s.ppid == os.Getpid() && s.zombie(), "zombie %d %s", s.pid, s.comm)
	}
}

func TestManyAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			p, err := Start(launch(t, "echo"), Options{})
			if !assert.NoError(t, err) {
				return
			}
			defer p.Stdout().Close()
			_, err = io.WriteString(p.Stdin(), "x\n")
			assert.NoError(t, err)
			r := p.Stop(context.Background(), Ladder{Stdin: 10 * time.Second})
			assert.NoError(t, r.Err)
			assert.Equal(t, 0, r.Exit.Code)
		})
	}
	wg.Wait()
}

// Fault: goroutines end locked to their threads, which the parent-death signal goes by
// Outcome: no CLI dies of it
// On: process
func TestTheThreadThatForkedLives(t *testing.T) {
	// Threads that end with their locked goroutine must not take children with them.
	p := begin(t, launch(t, "echo"), Options{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			locked := make(chan struct{})
			go func() {
				defer close(locked)
				lockThreadForGood()
			}()
			<-locked
		})
	}
	wg.Wait()
	_, err := io.WriteString(p.Stdin(), "still here\n")
	require.NoError(t, err)
	assert.Equal(t, "still here", line(t, p))
}
