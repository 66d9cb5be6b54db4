package process

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrExited is returned by writes to the stdin of a process that has ended.
var ErrExited = errors.New("the process has ended")

// afterExit bounds what is read from a pipe once the grace is over: the capacity of a pipe that the child may have
// enlarged to the system's usual limit. A descendant that writes without end can't keep a reader busy for ever.
const afterExit = 1 << 20

// outPipe is the reading end of the child's stdout or stderr. After exited was called it comes to io.EOF by
// itself, even if a descendant keeps the writing end: what is in the pipe is delivered first.
type outPipe struct {
	f      *os.File
	late   atomic.Int64 // bytes delivered after the deadline
	closed sync.Once
}

func (p *outPipe) exited(grace time.Duration) {
	_ = p.f.SetReadDeadline(time.Now().Add(grace)) // fails only on a closed pipe, which needs no deadline
}

func (p *outPipe) Read(b []byte) (int, error) {
	n, err := p.f.Read(b)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		if n, ok := p.remainder(b); ok {
			return n, nil
		}
		err = io.EOF
	case errors.Is(err, os.ErrClosed):
		err = io.EOF
	}
	_ = p.Close() // reading is over; the error is the one at hand
	return n, err
}

// ReadReady reads what is in the pipe without waiting, 0 bytes if nothing is. What is wrong with the pipe, and its end, the next
// Read says.
func (p *outPipe) ReadReady(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	rc, err := p.f.SyscallConn()
	if err != nil {
		return 0, nil
	}
	got := 0
	_ = rc.Read(func(fd uintptr) bool { // fails where Read does
		for {
			n, err := syscall.Read(int(fd), b)
			if err != syscall.EINTR {
				got = max(n, 0)
				return true
			}
		}
	})
	return got, nil
}

// remainder reads what is in the pipe without waiting.
func (p *outPipe) remainder(b []byte) (int, bool) {
	left := afterExit - p.late.Load()
	if left <= 0 || len(b) == 0 {
		return 0, left > 0
	}
	b = b[:min(int64(len(b)), left)]
	rc, err := p.f.SyscallConn()
	if err != nil {
		return 0, false
	}
	got := 0
	// Control and not Read: the deadline that has passed would refuse it.
	err = rc.Control(func(fd uintptr) {
		for {
			n, err := syscall.Read(int(fd), b)
			if err == syscall.EINTR {
				continue
			}
			if err == nil {
				got = n
			}
			return
		}
	})
	p.late.Add(int64(got))
	return got, err == nil && got > 0
}

func (p *outPipe) Close() error {
	var err error
	p.closed.Do(func() { err = p.f.Close() })
	return err
}

// inPipe is the writing end of the child's stdin.
type inPipe struct {
	f    *os.File
	dead atomic.Bool
	once sync.Once
}

// Write blocks while the pipe is full, until the child reads, Close is called, or the child ends.
func (p *inPipe) Write(b []byte) (int, error) {
	n, err := p.f.Write(b)
	switch {
	case err == nil:
	case p.dead.Load() || errors.Is(err, syscall.EPIPE):
		err = &os.PathError{Op: "write", Path: "stdin", Err: ErrExited}
		if !p.dead.Load() {
			err = &os.PathError{Op: "write", Path: "stdin", Err: syscall.EPIPE}
		}
	case errors.Is(err, os.ErrClosed):
		err = &os.PathError{Op: "write", Path: "stdin", Err: os.ErrClosed}
	}
	return n, err
}

// Close lets the child read the end of its input. Writes that wait return.
func (p *inPipe) Close() error {
	var err error
	p.once.Do(func() { err = p.f.Close() })
	return err
}

func (p *inPipe) exited() {
	p.dead.Store(true)
	_ = p.Close()
}
