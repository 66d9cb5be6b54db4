package understudy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
)

// ErrDirectoryTaken says that a directory is to be one session's own (session.Options.ExclusiveCWD) and another session, be it stopped, or
// another runtime works there. The error that wraps it names both. [Runtime.Remove] gives a directory up; so does a Reload that
// ends or moves the session.
var ErrDirectoryTaken = errors.New("the working directory is taken")

// apart reports sessions and pools of the options of which one is to have a directory to itself that another one works in.
func (o *Options) apart() error {
	var problems []error
	var there grounds
	look := func(what, name string, options session.Options) {
		if _, _, err := there.take(name, options); err != nil {
			problems = append(problems, fmt.Errorf("%s %w", what, err))
		}
	}
	for _, s := range sessionsOf(o.Sessions, o.Groups) {
		look("session", s.Name, s.Options)
	}
	for _, p := range o.Pools {
		look("pool", p.Name, p.Options)
	}
	return errors.Join(problems...)
}

// grounds are the directories in which sessions work, from when they are made until they are forgotten.
type grounds struct {
	mu  sync.Mutex
	all []*ground
}

// ground is where one session works. But for name and options, it is guarded by grounds.mu.
type ground struct {
	of      *grounds
	name    string
	options session.Options
	at      session.Directories
	lock    *os.File    // on the directory, if the session is to have it to itself and was started
	locked  os.FileInfo // of lock
	left    bool
}

// take has a session work in its directories from now on, unless one that is there, or it, is to be alone there. shared is
// another session that may write there too, which is no error.
func (g *grounds) take(name string, options session.Options) (taken *ground, shared string, err error) {
	taken = &ground{of: g, name: name, options: options, at: options.Directories(name)}
	above := above(taken.at) // the disk may be slow: not under the lock
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.excluded(taken, taken.at, above); err != nil {
		return nil, "", err
	}
	for _, other := range g.all {
		if other.name != name && other.at.Shares(taken.at) {
			shared = other.name
			break
		}
	}
	g.all = append(g.all, taken)
	return taken, shared, nil
}

// excluded says why a session may not work in these directories. g.mu is held.
func (g *grounds) excluded(of *ground, at session.Directories, above []os.FileInfo) error {
	for _, other := range g.all {
		if other == of || other.name == of.name { // of one name only one comes to be
			continue
		}
		mine, theirs := at.Excludes(other.at)
		if mine == "" && other.locked != nil && (at.Worktree == "" || other.at.Worktree == "") &&
			slices.ContainsFunc(above, func(dir os.FileInfo) bool { return os.SameFile(dir, other.locked) }) {
			mine, theirs = at.CWD, other.at.CWD // which has another name by now, or two
		}
		if mine == "" {
			continue
		}
		whose := "is to have it to itself (exclusive_cwd)"
		if !other.at.Exclusive {
			whose = "works there, and this one is to have it to itself (exclusive_cwd)"
		}
		return fmt.Errorf("%s: %w: %s: session %s %s, in %s", of.name, ErrDirectoryTaken, mine, other.name, whose, theirs)
	}
	return nil
}

// above are the working directory and those above it, as far as they are there.
func above(at session.Directories) (dirs []os.FileInfo) {
	for dir := at.CWD; dir != ""; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil {
			dirs = append(dirs, info)
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return dirs
}

// enter is called before a process of the session is started: links may lead elsewhere by now, and another runtime may be there.
func (x *ground) enter() error {
	g := x.of
	at := x.options.Directories(x.name)
	var lock *os.File
	var locked os.FileInfo
	var err error
	parents := above(at)
	if at.Exclusive {
		if lock, locked, err = x.hold(at, unix.Flock); err != nil {
			return err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	err = g.excluded(x, at, parents)
	switch {
	case x.left:
		err = session.ErrStopped
	case err != nil:
		err = &process.StartError{Class: process.ClassResources, Path: workingDirectory, Dir: at.CWD, Err: fmt.Errorf("session %w", err)}
	}
	if err != nil {
		if lock != x.lock {
			unlock(lock)
		}
		return err
	}
	if lock != x.lock {
		unlock(x.lock)
	}
	x.at, x.lock, x.locked = at, lock, locked
	return nil
}

// workingDirectory stands for the program in the error of a start that did not get so far.
const workingDirectory = "working directory"

// hold locks the directory that a session is to have to itself, unless it has it. A lock on the directory needs nothing written, and the
// kernel takes it back from a runtime that is killed.
func (x *ground) hold(at session.Directories, flock func(fd, how int) error) (*os.File, os.FileInfo, error) {
	x.of.mu.Lock()
	had, was := x.lock, x.locked
	x.of.mu.Unlock()
	problem := func(class process.ExitClass, err error, hint string) (*os.File, os.FileInfo, error) {
		return nil, nil, &process.StartError{Class: class, Path: workingDirectory, Dir: at.CWD, Err: fmt.Errorf("exclusive_cwd: %w", err), Hint: hint}
	}
	f, err := os.OpenFile(at.CWD, unix.O_DIRECTORY, 0)
	if err != nil {
		return problem(process.ClassRequest, err, "the runtime must be able to read the directory that it is to hold")
	}
	info, err := f.Stat()
	if err != nil {
		return problem(process.ClassRequest, errors.Join(err, f.Close()), "")
	}
	if was != nil && os.SameFile(was, info) {
		if err := f.Close(); err != nil {
			return problem(process.ClassResources, err, "")
		}
		return had, was, nil
	}
	how := unix.LOCK_EX
	if at.Worktree != "" { // others may have checkouts of their own there
		how = unix.LOCK_SH
	}
	for err = unix.EINTR; err == unix.EINTR; {
		err = flock(int(f.Fd()), how|unix.LOCK_NB)
	}
	switch {
	case err == nil:
		return f, info, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		err = fmt.Errorf("%w: %s is held by %s", ErrDirectoryTaken, at.CWD, x.of.holder(info))
		return problem(process.ClassResources, errors.Join(err, f.Close()), "stop that one, or give this session another cwd; then restart it")
	}
	return problem(process.ClassRequest, errors.Join(fmt.Errorf("%s cannot be locked: %w", at.CWD, err), f.Close()),
		"the file system has no such locks, and other runtimes could not be kept out; use another one, or remove exclusive_cwd")
}

// holder says who has locked a directory, as far as that can be known.
func (g *grounds) holder(dir os.FileInfo) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, x := range g.all {
		if x.locked != nil && os.SameFile(x.locked, dir) {
			return "session " + x.name
		}
	}
	pid := lockHolder(dir)
	switch pid {
	case 0:
		return "another program, most likely another runtime"
	case os.Getpid():
		return fmt.Sprintf("another runtime of this program (pid %d)", pid)
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return fmt.Sprintf("another program (pid %d)", pid)
	}
	return fmt.Sprintf("another runtime or program (%q, pid %d)", strings.TrimSpace(string(name)), pid)
}

// lockHolder looks for the process that has locked a file in what Linux says of all locks; 0 if it is not there. The format is
// that of proc_locks(5): 1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF.
func lockHolder(file os.FileInfo) int {
	stat, ok := file.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	device := uint64(stat.Dev) // not the same type everywhere
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(device), unix.Minor(device), stat.Ino)
	for line := range strings.Lines(string(locks)) {
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[5] != want {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil && pid > 0 { // 0 and -1 are those of other namespaces
			return pid
		}
	}
	return 0
}

// leave gives the directories up: the session is no more.
func (x *ground) leave() {
	x.of.mu.Lock()
	defer x.of.mu.Unlock()
	x.left = true
	unlock(x.lock)
	x.lock, x.locked = nil, nil
	x.of.all = slices.DeleteFunc(x.of.all, func(other *ground) bool { return other == x })
}

// leaveAll is leave for what is still there when the runtime has ended.
func (g *grounds) leaveAll() {
	g.mu.Lock()
	all := slices.Clone(g.all)
	g.mu.Unlock()
	for _, x := range all {
		x.leave()
	}
}

// unlock gives up the lock by name, not only by closing the file: see dirLock.release. There is nothing to be done about an error.
func unlock(f *os.File) {
	if f != nil {
		_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
		_ = f.Close()
	}
}
