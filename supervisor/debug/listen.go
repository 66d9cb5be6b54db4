package debug

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ListenError says that a listener cannot be had, and what to do.
type ListenError struct {
	Addr string // the address or the path of the socket
	Hint string // what to do
	Err  error

	permanent bool
}

func (e *ListenError) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("listen on %s: %v", e.Addr, e.Err)
	}
	return fmt.Sprintf("listen on %s: %v: %s", e.Addr, e.Err, e.Hint)
}

// Unwrap gives the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// Permanent reports whether trying again cannot help, which a supervisor wants to know.
func (e *ListenError) Permanent() bool { return e.permanent }

// ListenTCP listens on an address such as "127.0.0.1:7070". Errors are a *ListenError.
func ListenTCP(addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	if err == nil {
		return listener, nil
	}
	failed := &ListenError{Addr: addr, Err: rootCause(err)}
	_, isAddress := errors.AsType[*net.AddrError](err)
	_, isName := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		failed.Hint = "another program listens there, perhaps another understudy: stop it, or choose another address (port 0 takes one that is free)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		failed.Hint = "this machine does not have that address: 127.0.0.1 is always there"
	case errors.Is(err, syscall.EACCES):
		failed.Hint, failed.permanent = "ports below 1024 need a privilege: choose one from 1024 on", true
	case isAddress, isName:
		failed.Hint, failed.permanent = "expected HOST:PORT, such as 127.0.0.1:7070", true
	}
	return nil, failed
}

// rootCause drops the layers of net and os errors, which say again what was being done with what.
func rootCause(err error) error {
	for {
		switch e := err.(type) {
		case *net.OpError:
			err = e.Err
		case *os.SyscallError:
			err = e.Err
		case *fs.PathError:
			err = e.Err
		default:
			return err
		}
	}
}

// maxSocketPath is how long the path of a socket may be in bytes: what sockaddr_un holds less a zero.
func maxSocketPath() int {
	if runtime.GOOS == "linux" {
		return 107
	}
	return 103
}

// probeTimeout is how long a daemon may take to accept a connection before its socket is refused to others
// anyway.
const probeTimeout = time.Second

// ListenUnix listens on a unix socket that only this user can connect to (mode 0600; the directory is made
// with 0700 if it is not there). A socket that a killed daemon has left is replaced; where a daemon
// answers, or where there is something other than a socket, it fails. Errors are a *ListenError.
//
// Closing the listener removes the socket. A lock file beside it, with .lock appended to the name, stays; it
// holds the pid of the last one that listened.
func ListenUnix(path string) (net.Listener, error) {
	fail := func(err error, hint string, permanent bool) (net.Listener, error) {
		return nil, &ListenError{Addr: path, Err: rootCause(err), Hint: hint, permanent: permanent}
	}
	if limit := maxSocketPath(); len(path) > limit {
		return fail(fmt.Errorf("the path of a socket can be %d bytes long, this one is %d", limit, len(path)),
			"choose a shorter one with --socket, or a shorter data directory", true)
	}
	if path == "" {
		return fail(errors.New("the path is empty"), "name one with --socket", true)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail(fmt.Errorf("make its directory: %w", err), "choose a place that can be written with --data-dir or --socket", false)
	}
	// The lock keeps two daemons that start at a time from taking each other's socket for a dead one's.
	// It goes with the process, however that ends.
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fail(fmt.Errorf("open its lock: %w", err), "choose a place that can be written with --data-dir or --socket", false)
	}
	listener, err := listenLocked(path, lock)
	if err != nil {
		_ = unlock(lock) // nothing was written to it
		return nil, err
	}
	return listener, nil
}

func listenLocked(path string, lock *os.File) (net.Listener, error) {
	const another = "stop the daemon that runs there, or give this one another --data-dir or --socket"
	fail := func(err error, hint string) (net.Listener, error) {
		return nil, &ListenError{Addr: path, Err: rootCause(err), Hint: hint}
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fail(fmt.Errorf("another daemon has it%s", holder(lock)), another)
		}
		return fail(fmt.Errorf("lock it: %w", err), "")
	}
	if err := lock.Truncate(0); err == nil {
		_, _ = lock.WriteAt(fmt.Appendln(nil, os.Getpid()), 0) // whom to name to another daemon; the disk may be full
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fail(err, "")
	case info.Mode().Type() != fs.ModeSocket:
		return fail(errors.New("there is something that is not a socket"), "move it away, or choose another --socket")
	default:
		conn, err := net.DialTimeout("unix", path, probeTimeout)
		if err == nil {
			_ = conn.Close() // nothing was sent
			return fail(errors.New("another daemon answers there"), another)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return fail(fmt.Errorf("there is a socket, and it cannot be told whether a daemon is behind it: %w", rootCause(err)), another)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fail(fmt.Errorf("remove what a daemon before has left: %w", err), "")
		}
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// On Linux the file gets the mode of the socket, so that there is no moment at which others can
		// connect. Elsewhere this is an error, and the Chmod below comes a moment late.
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
	}}
	listener, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return fail(err, "")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = listener.Close() // the first error says enough
		return fail(err, "")
	}
	return &socket{Listener: listener, lock: lock}, nil
}

// holder names whoever has a lock, by what that has written into it, if it has.
func holder(lock *os.File) string {
	text := make([]byte, 20)
	n, _ := lock.ReadAt(text, 0) // at its end there is no more
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", pid)
}

// socket is a unix listener with its lock. net removes the file when it is closed.
type socket struct {
	net.Listener
	lock *os.File

	once   sync.Once
	closed error
}

// Close gives up the lock last, so that whoever gets it finds no socket. A server and whoever ends it both call it, at the
// same time too; the number of a lock that is closed already may be that of another file.
func (s *socket) Close() error {
	s.once.Do(func() { s.closed = errors.Join(s.Listener.Close(), unlock(s.lock)) })
	return s.closed
}

// unlock gives up a lock by name and not only by closing the file: a child that the program is forking at this
// moment has a copy of the descriptor until it executes, and would hold the lock that long.
func unlock(lock *os.File) error {
	return errors.Join(syscall.Flock(int(lock.Fd()), syscall.LOCK_UN), lock.Close())
}
