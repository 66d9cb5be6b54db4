package process

import (
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// launcher forks all children from one OS thread. The parent-death signal is sent when the *thread* that forked
// ends, and Go ends threads as it likes; a goroutine that is locked to its thread keeps it. The goroutine
// lives as long as there is a child, so that an idle program has none. The thread has a umask of its own, which
// children inherit: what an agent makes is its user's alone, and this program's files are as they were.
var launcher struct {
	mu   sync.Mutex
	refs int
	jobs chan func(private bool)
}

// privateThread takes the thread's umask apart from the program's. Where the kernel does not let it, as in containers
// with docker's default profile, a shell sets it.
func privateThread() bool {
	if unix.Unshare(unix.CLONE_FS) != nil {
		return false
	}
	unix.Umask(0o077)
	return true
}

func acquireLauncher() chan<- func(private bool) {
	launcher.mu.Lock()
	defer launcher.mu.Unlock()
	if launcher.refs == 0 {
		jobs := make(chan func(private bool))
		launcher.jobs = jobs
		// Ends when the last child has been reaped.
		go func() {
			runtime.LockOSThread() // for good: a thread with a umask of its own is nobody else's
			private := privateThread()
			for job := range jobs {
				job(private)
			}
		}()
	}
	launcher.refs++
	return launcher.jobs
}

func releaseLauncher() {
	launcher.mu.Lock()
	defer launcher.mu.Unlock()
	launcher.refs--
	if launcher.refs == 0 {
		close(launcher.jobs)
		launcher.jobs = nil
	}
}

// child is the process as the kernel has it: the CLI, or the first process of its pid namespace.
type child struct {
	pid   int
	cli   int       // the CLI: pid, or what the first process has started
	pidfd *os.File  // nil on kernels without
	link  *initLink // to the first process; nil if there is no namespace
	group *cgroup   // nil for none
}

func (c *child) start(path string, argv []string, attr *syscall.ProcAttr, h *holding) error {
	group, err := h.makeGroup()
	if err != nil {
		return err
	}
	if h.ns != nil {
		err = c.startInit(initOrder{Path: path, Args: argv, Env: attr.Env, Dir: attr.Dir}, attr, h)
	} else {
		attr.Sys = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if err = c.fork(path, argv, attr, h); err == nil {
			// It runs already, but not for long enough to have dumped one.
			_ = leaveNoCore(c.pid) // ESRCH: it has ended
			c.cli = c.pid
		}
	}
	if err != nil && group != nil {
		group.remove()
	}
	c.group = group
	return err
}

// fork starts a process from the thread that lives.
func (c *child) fork(path string, argv []string, attr *syscall.ProcAttr, h *holding) error {
	fd := -1
	attr.Sys.PidFD = &fd
	if h.group != nil && h.group.v2 != "" {
		dir, err := h.group.open()
		if err != nil {
			return err
		}
		defer dir.Close() // it was there for the clone
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(dir.Fd())
	}
	jobs := acquireLauncher()
	var err error
	forked := make(chan struct{})
	jobs <- func(private bool) {
		defer close(forked)
		if !private && h.ns == nil {
			path, argv = privately(path, argv)
		}
		c.pid, err = syscall.ForkExec(path, argv, attr)
	}
	<-forked
	if err != nil {
		if fd >= 0 {
			_ = unix.Close(fd) // of a child that never was
		}
		releaseLauncher()
		return err
	}
	if fd >= 0 {
		// A descriptor that does not block is watched by Go's poller: waiting costs no thread.
		if unix.SetNonblock(fd, true) == nil {
			c.pidfd = os.NewFile(uintptr(fd), "pidfd")
		} else {
			_ = unix.Close(fd) // waiting by pid will do
		}
	}
	return nil
}

// wait returns when the child is a zombie, and leaves it one: its pid and process group can't be reused.
func (c *child) wait() {
	if c.pidfd != nil {
		if rc, err := c.pidfd.SyscallConn(); err == nil {
			err = rc.Read(func(fd uintptr) bool {
				var info unix.Siginfo
				err := unix.Waitid(unix.P_PIDFD, int(fd), &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
				switch err {
				case nil:
					return info.Signo != 0
				case unix.EINTR, unix.EAGAIN:
					return false
				}
				return true // ECHILD: somebody else has waited for it
			})
			if err == nil {
				return
			}
		}
	}
	for {
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_PID, c.pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
			return
		}
	}
}

// reap takes the zombie away. Code and signal are as in Exit.
func (c *child) reap() (int, syscall.Signal) {
	var ws unix.WaitStatus
	_, err := unix.Wait4(c.pid, &ws, 0, nil)
	for err == unix.EINTR {
		_, err = unix.Wait4(c.pid, &ws, 0, nil)
	}
	if c.link != nil {
		// The first process ends after the CLI; if it was killed itself, its own status is the news.
		if cli, ok := c.link.exit(); ok {
			ws, err = cli, nil
		}
	}
	switch {
	case err != nil:
		return -1, 0
	case ws.Signaled():
		return -1, ws.Signal()
	}
	return ws.ExitStatus(), 0
}

// signalGroup sends to the CLI's process group; the child has not been reaped. SIGKILL goes to the first process of a
// namespace, and the kernel sends it on to all in there.
func (c *child) signalGroup(sig syscall.Signal) {
	if c.link != nil && sig != syscall.SIGKILL {
		c.link.signal(sig)
		return
	}
	if err := syscall.Kill(-c.pid, sig); err != nil {
		_ = syscall.Kill(c.pid, sig) // the group can't be empty; this is for a child that left it
	}
}

// sealed reports whether the child is the first process of a pid namespace.
func (c *child) sealed() bool { return c.link != nil }

func (c *child) release() {
	if c.pidfd != nil {
		_ = c.pidfd.Close() // only ever read
	}
	if c.link != nil {
		_ = c.link.f.Close() // the other end is gone
	}
	releaseLauncher()
}

// accessExec asks whether this user may execute the file.
func accessExec(path string) error {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
}
