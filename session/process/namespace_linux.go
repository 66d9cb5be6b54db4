package process

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// initTimeout bounds what the first process of a namespace does before it executes the CLI: being loaded, with all the
// init functions of this program, and a mount.
const initTimeout = 20 * time.Second

// namespaces is how a pid namespace can be had here.
type namespaces struct {
	flags uintptr
	user  bool // with a user namespace, in which this user is who it is
	small bool // its first process is not this program
}

var nsProbe struct {
	mu   sync.Mutex
	done bool
	ns   *namespaces
	why  error
}

// pidNamespace says how to make a pid namespace, or why that can't be done. It is tried once.
func pidNamespace() (*namespaces, error) {
	nsProbe.mu.Lock()
	defer nsProbe.mu.Unlock()
	if nsProbe.done {
		return nsProbe.ns, nsProbe.why
	}
	// As root, what the agent could do and whose files are whose stays as it is. A plain user, or root in a container,
	// takes a user namespace for the right to make the others.
	const plain = unix.CLONE_NEWPID | unix.CLONE_NEWNS
	kinds := []namespaces{{plain, false, true}, {plain, false, false}, {plain | unix.CLONE_NEWUSER, true, true}, {plain | unix.CLONE_NEWUSER, true, false}}
	if os.Geteuid() != 0 {
		kinds = kinds[2:]
	}
	var why error
	for _, ns := range kinds {
		if _, err := firstImage(); err != nil && ns.small {
			continue
		}
		err := ns.try()
		if err == nil {
			nsProbe.done, nsProbe.ns, nsProbe.why = true, &ns, nil
			return nsProbe.ns, nil
		}
		why = err
		if !refused(err) { // a lack of something that may be there next time
			return nil, err
		}
	}
	nsProbe.done, nsProbe.why = true, why
	return nil, why
}

// refused tells what a host does not allow from what it could not afford.
func refused(err error) bool {
	for _, no := range []syscall.Errno{syscall.EPERM, syscall.EACCES, syscall.EINVAL, syscall.ENOSYS, syscall.ENOENT} {
		if errors.Is(err, no) {
			return true
		}
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EUSERS) // user.max_user_namespaces
}

// try makes the namespaces for a moment.
func (ns namespaces) try() error {
	var c child
	attr := &syscall.ProcAttr{Env: os.Environ()[:0]}
	err := c.startInit(initOrder{Probe: true}, attr, &holding{ns: &ns, env: []string{MarkerVariable + "=probe"}})
	if err != nil {
		return err
	}
	c.wait()
	c.reap()
	c.release()
	return nil
}

// initError is a first process that could not do its work.
type initError struct {
	step uint32
	err  error
}

func (e *initError) Error() string {
	return fmt.Sprintf("the first process of the pid namespace: %s: %v", stepName(e.step), e.err)
}
func (e *initError) Unwrap() error { return e.err }

// startInit starts the first process of a pid namespace and has it start the CLI.
func (c *child) startInit(order initOrder, attr *syscall.ProcAttr, h *holding) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	theirs := os.NewFile(uintptr(pair[1]), "init")
	defer theirs.Close() // ours is the other; for when there is no fork
	if err := unix.SetNonblock(pair[0], true); err != nil {
		_ = unix.Close(pair[0])
		return err
	}
	ours := os.NewFile(uintptr(pair[0]), "init")
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		_ = ours.Close()
		return err
	}
	defer null.Close()
	order.Files = len(attr.Files)
	order.DropCaps = h.ns.user && os.Geteuid() != 0
	order.Processes = h.processes
	sys := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: h.ns.flags}
	if h.ns.user {
		sys.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		sys.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
		if order.DropCaps {
			sys.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN} // for the mount of /proc
		}
	}
	n, fd := null.Fd(), theirs.Fd()
	files := append([]uintptr{n, n, n, fd}, attr.Files...)
	program, env := "/proc/self/exe", []string{initVariable + "=1", "GOMAXPROCS=1"}
	if h.ns.small {
		image, err := firstImage()
		if err != nil {
			_ = ours.Close()
			return err
		}
		// By the number that it has there: no other is safe from what comes from here.
		program, env = "/proc/self/fd/"+strconv.Itoa(len(files)), nil
		files = append(files, uintptr(image))
	}
	body, err := order.encode(h.ns.small)
	if err != nil {
		_ = ours.Close()
		return err
	}
	first := &syscall.ProcAttr{Env: append(env, h.env...), Files: files, Sys: sys}
	err = c.fork(program, []string{initName}, first, h)
	// As long as this program has it too, the end of the first process is not that of the socket: one that was killed before it came to the
	// point was waited for until the deadline.
	_ = theirs.Close() // nothing was written
	if err != nil {
		_ = ours.Close()
		return err
	}
	c.link = &initLink{f: ours}
	if err = h.join(c.pid); err == nil {
		err = c.link.order(body)
	}
	if err == nil {
		c.cli, err = c.link.started(c.pid)
	}
	if err != nil {
		_ = syscall.Kill(c.pid, syscall.SIGKILL) // it is not reaped yet
		c.wait()
		c.reap()
		c.release()
	}
	return err
}

// initLink is the runtime's end of the socket to the first process of a namespace.
type initLink struct{ f *os.File }

// encode is what is written to the first process.
func (o initOrder) encode(small bool) ([]byte, error) {
	if small {
		return firstOrder(o)
	}
	body, err := json.Marshal(o)
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...), err
}

func (l *initLink) order(body []byte) error {
	if err := l.f.SetDeadline(time.Now().Add(initTimeout)); err != nil {
		return err
	}
	_, err := l.f.Write(body)
	return l.explain(err)
}

// started waits for the CLI's start, and returns its pid as it is here.
func (l *initLink) started(first int) (int, error) {
	r := make([]byte, recordSize)
	rights := make([]byte, unix.CmsgSpace(4))
	var n, oobn int
	rc, err := l.f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var recvErr error
	err = rc.Read(func(fd uintptr) bool {
		for {
			n, oobn, _, _, recvErr = unix.Recvmsg(int(fd), r, rights, unix.MSG_CMSG_CLOEXEC)
			if recvErr != unix.EINTR {
				return recvErr != unix.EAGAIN
			}
		}
	})
	if err == nil {
		err = recvErr
	}
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err == nil && n < recordSize {
		_, err = io.ReadFull(l.f, r[n:])
	}
	if err != nil {
		return 0, l.explain(err)
	}
	a, b := binary.LittleEndian.Uint32(r[1:]), binary.LittleEndian.Uint32(r[5:])
	if r[0] == initFailed {
		if b == stepExec {
			return 0, syscall.Errno(a) // as if there were no namespace
		}
		return 0, &initError{b, syscall.Errno(a)}
	}
	pid := first // of a CLI that has ended already, nobody needs the number
	if fd, ok := receivedFD(rights[:oobn]); ok {
		if n, ok := pidOf(fd); ok {
			pid = n
		}
		_ = unix.Close(fd)
	}
	return pid, l.f.SetDeadline(time.Time{})
}

// explain says what it means that the first process does not answer.
func (l *initLink) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("this program, executed again as the first process of a pid namespace, did not come to the point within %v "+
			"(does a package of it wait for something in an init function?): %w", initTimeout, syscall.ETIME)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("this program, executed again as the first process of a pid namespace, ended early "+
			"(does a package of it end the program in an init function?): %w", syscall.ECHILD)
	}
	return err
}

func receivedFD(oob []byte) (int, bool) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) == 0 {
		return 0, false
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return 0, false
	}
	return fds[0], true
}

// pidOf gives the number that a process has in this pid namespace.
func pidOf(pidfd int) (int, bool) {
	data, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(pidfd))
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(data) {
		if v, ok := bytes.CutPrefix(line, []byte("Pid:")); ok {
			pid, err := strconv.Atoi(string(bytes.TrimSpace(v)))
			return pid, err == nil && pid > 0 // -1: it has been reaped
		}
	}
	return 0, false
}

// signal has the first process send to the CLI's group.
func (l *initLink) signal(sig syscall.Signal) {
	// One byte always has room, unless the first process hangs: SIGKILL comes next.
	_ = l.f.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	_, _ = l.f.Write([]byte{byte(sig)})
}

// exit returns what the first process, which has ended, has said of the CLI's end.
func (l *initLink) exit() (unix.WaitStatus, bool) {
	_ = l.f.SetReadDeadline(time.Now().Add(time.Second)) // everything is there
	r := make([]byte, recordSize)
	for {
		if _, err := io.ReadFull(l.f, r); err != nil {
			return 0, false
		}
		if r[0] == initExited {
			return unix.WaitStatus(binary.LittleEndian.Uint32(r[1:])), true
		}
	}
}
