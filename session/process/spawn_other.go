//go:build !linux

package process

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// child is the process as the kernel has it.
type child struct {
	pid    int
	cli    int
	status syscall.WaitStatus
	lost   bool
}

func (c *child) start(path string, argv []string, attr *syscall.ProcAttr, _ *holding) error {
	attr.Sys = &syscall.SysProcAttr{Setpgid: true}
	path, argv = privately(path, argv)
	pid, err := syscall.ForkExec(path, argv, attr)
	c.pid, c.cli = pid, pid
	return err
}

// wait returns when the child has ended, and has reaped it.
func (c *child) wait() {
	for {
		_, err := syscall.Wait4(c.pid, &c.status, 0, nil)
		if err != syscall.EINTR {
			c.lost = err != nil
			return
		}
	}
}

func (c *child) reap() (int, syscall.Signal) {
	switch {
	case c.lost:
		return -1, 0
	case c.status.Signaled():
		return -1, c.status.Signal()
	}
	return c.status.ExitStatus(), 0
}

// signalGroup sends to the child's process group.
func (c *child) signalGroup(sig syscall.Signal) {
	_ = syscall.Kill(-c.pid, sig) // ESRCH: there is none any more
}

func (c *child) sealed() bool { return false }

func (c *child) release() {}

func accessExec(path string) error { return unix.Access(path, unix.X_OK) }
