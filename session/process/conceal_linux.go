package process

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Conceal keeps what this program has in its memory, keys among it, and what it was given in its environment, from other processes of
// its user, a tool outside of the sandbox most of all: it leaves no core dump, and its entries in /proc belong to root, so
// that nobody but root can read its memory and environment, or trace it. A debugger of the same user cannot attach any more. What it
// starts afterwards leaves no core dump either, and is otherwise as before.
//
// Where sessions get a pid namespace with the help of a user namespace, the entries in /proc stay as they are: the kernel has
// the new namespace's users written through them. Sessions see no process outside of their namespace there.
//
// It is about the whole process, and so for its main package to decide: the daemon calls it, the library does not. It may be
// called at any time and more than once. An error says that the process is as readable as before.
func Conceal() error {
	if err := leaveNoCore(0); err != nil {
		return fmt.Errorf("conceal this process: core dumps: %w", err)
	}
	if ns, err := pidNamespace(); err == nil && ns.user {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("conceal this process: %w", err)
	}
	return nil
}

// leaveNoCore keeps a process, and what it starts, from leaving a core dump, which would hold the key. 0 is this one. The limit is one
// byte and not zero: zero keeps the kernel from writing a file, but not from handing the dump to a program, such as
// systemd-coredump; one byte keeps it from both.
func leaveNoCore(pid int) error {
	var now unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_CORE, nil, &now); err != nil {
		return err
	}
	limit := min(now.Max, 1) // what is zero already cannot be raised by everybody
	return unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{Cur: limit, Max: limit}, nil)
}
