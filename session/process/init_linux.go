package process

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A pid namespace needs a first process that reaps orphans, can be told to signal the CLI, and takes all the others with
// it when it ends. The CLI would be a bad one. Where it can't be a small program (first_linux_amd64.go), it is this program
// itself, executed again: before main runs, the function below sees that it is that first process and never returns. Nothing
// else has to be called, and nothing else has to be installed.
//
// What its packages do in their own init functions before this one is done once more in each of these processes, with
// /dev/null for stdin, stdout and stderr. An embedder for whom that is wrong leaves pid_namespace out.
const (
	initName     = "understudy-init"
	initVariable = "UNDERSTUDY_INIT"
)

// Descriptors of the first process: the way to the runtime, and the CLI's own from stdin on.
const (
	initSocket = 3
	initFiles  = 4
)

// initOrder is what the first process is told to do.
type initOrder struct {
	Probe bool // answer as if a CLI had been started, and end

	Path      string
	Args      []string
	Env       []string
	Dir       string
	Files     int // how many descriptors the CLI gets
	Processes uint64
	DropCaps  bool
}

// The records that go to the runtime: a kind and two numbers.
const (
	initStarted = 'P' // with a pidfd of the CLI beside it
	initFailed  = 'E' // errno, and the step
	initExited  = 'X' // the CLI's wait status
	recordSize  = 9
)

// The steps that can fail.
const (
	stepOrder = iota
	stepMounts
	stepLimits
	stepExec
)

func stepName(step uint32) string {
	names := []string{"read what to do", "mount /proc", "set limits", "execute the CLI"}
	if int(step) < len(names) {
		return names[step]
	}
	return "start"
}

func init() {
	if len(os.Args) == 1 && os.Args[0] == initName && os.Getpid() == 1 && os.Getenv(initVariable) == "1" {
		runInit()
		exitNow(0)
	}
}

// exitNow ends the process without what the runtime does at an exit: there is nothing to be flushed, and the
// race detector would wait a second.
func exitNow(code int) {
	for {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, uintptr(code), 0, 0)
	}
}

// runInit is the life of the first process. It runs on the main thread, which an init function is locked to: what
// it gives up of its capabilities is given up for the CLI, which that thread forks.
func runInit() {
	// Beside the end of the socket, this is the second way to learn that the runtime has died.
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
	// The order holds the key, and stays in memory: no tool is to trace this process.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	unix.CloseOnExec(initSocket)
	fail := func(step uint32, err error) {
		var no syscall.Errno
		if !errors.As(err, &no) {
			no = syscall.EIO
		}
		_ = report(initFailed, uint32(no), step, -1) // the runtime sees the end, if not this
		exitNow(1)
	}
	order, err := readOrder()
	if err != nil {
		fail(stepOrder, err)
	}
	for i := range order.Files {
		unix.CloseOnExec(initFiles + i)
	}
	// And what the runtime was started with, if the kernel is not too old.
	_ = unix.CloseRange(uint(initFiles+order.Files), math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if order.Files > 2 {
		// A panic of ours is told where the CLI's are.
		_ = unix.Dup3(initFiles+2, 2, 0) // without it, it is not told
	}
	if err := privateProc(); err != nil {
		fail(stepMounts, err)
	}
	if err := limitSelf(order); err != nil {
		fail(stepLimits, err)
	}
	_ = os.WriteFile("/proc/self/comm", []byte(initName), 0) // what ps shows; the kernel says "exe"
	if order.Probe {
		_ = report(initStarted, 0, 0, -1) // the runtime waits for it, or has given up
		return
	}
	// With handlers, these signals don't end this process; and they are not ignored, which the CLI would inherit.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	files := make([]uintptr, order.Files)
	for i := range files {
		files[i] = uintptr(initFiles + i)
	}
	pidfd := -1
	pid, err := syscall.ForkExec(order.Path, order.Args, &syscall.ProcAttr{
		Dir: order.Dir, Env: order.Env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd},
	})
	if err != nil {
		fail(stepExec, err)
	}
	for _, fd := range files {
		_ = unix.Close(int(fd)) // the CLI's pipes are to end with the CLI and its tools
	}
	if null, err := unix.Open(os.DevNull, unix.O_RDWR, 0); err == nil {
		_ = unix.Dup3(null, 2, 0)
		_ = unix.Close(null)
	}
	if err := report(initStarted, uint32(pid), 0, pidfd); err != nil {
		return // the runtime is gone; ending takes the CLI along
	}
	if pidfd >= 0 {
		_ = unix.Close(pidfd)
	}
	cli := &initChild{pid: pid}
	go func() { // ends with the process
		for s := range signals {
			cli.signal(s.(syscall.Signal))
		}
	}()
	go func() { // ends with the process
		b := make([]byte, 1)
		for {
			switch n, err := unix.Read(initSocket, b); {
			case err == unix.EINTR:
			case err != nil || n == 0:
				exitNow(0) // the runtime is gone, or has let go
			default:
				cli.signal(syscall.Signal(b[0]))
			}
		}
	}()
	status := cli.reapAll()
	_ = report(initExited, uint32(status), 0, -1) // nobody there to be told is as good
}

// initChild is the CLI, seen from the first process.
type initChild struct {
	mu   sync.Mutex
	pid  int
	gone bool
}

// signal sends to the CLI's process group, as long as that is the CLI's.
func (c *initChild) signal(sig syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone || sig == 0 {
		return
	}
	if unix.Kill(-c.pid, sig) != nil {
		_ = unix.Kill(c.pid, sig) // it has left its group
	}
}

// reapAll takes away whatever ends in the namespace, until the CLI does.
func (c *initChild) reapAll() unix.WaitStatus {
	for {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil && err != unix.EINTR {
			return 0 // ECHILD: the CLI is a child until it is reaped here, so that this can't be
		}
		c.mu.Lock()
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		if err == nil && pid == c.pid {
			c.gone = true
		}
		gone := c.gone
		c.mu.Unlock()
		if gone {
			return ws
		}
	}
}

func readOrder() (initOrder, error) {
	var o initOrder
	head := make([]byte, 4)
	if err := readFull(head); err != nil {
		return o, err
	}
	body := make([]byte, binary.LittleEndian.Uint32(head))
	if err := readFull(body); err != nil {
		return o, err
	}
	return o, json.Unmarshal(body, &o)
}

func readFull(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Read(initSocket, b)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return unix.EPIPE
		default:
			b = b[n:]
		}
	}
	return nil
}

// report sends a record, and fd beside it unless that is negative.
func report(kind byte, a, b uint32, fd int) error {
	r := make([]byte, recordSize)
	r[0] = kind
	binary.LittleEndian.PutUint32(r[1:], a)
	binary.LittleEndian.PutUint32(r[5:], b)
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	for {
		err := unix.Sendmsg(initSocket, r, rights, nil, unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}

// privateProc shows the namespace's own processes in /proc. Mounts of the host go on appearing; none made in here
// leave.
func privateProc() error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	return unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// limitSelf sets what the CLI inherits.
func limitSelf(o initOrder) error {
	unix.Umask(0o077) // what the agent makes is its user's alone
	if err := leaveNoCore(0); err != nil {
		return err
	}
	if o.Processes > 0 {
		if err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: o.Processes, Max: o.Processes}); err != nil {
			return err
		}
	}
	if !o.DropCaps {
		return nil
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&header, &none[0])
}
