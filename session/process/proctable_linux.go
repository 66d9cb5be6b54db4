package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// procID tells a process from a later one with the same pid.
type procID struct {
	pid   int
	start uint64 // clock ticks since boot
}

// procStat is one line of the process table.
type procStat struct {
	procID
	comm            string
	state           byte
	ppid, pgrp, sid int
	threads         int
}

// zombie says that the process has ended. One whose first thread alone has ended is shown as a zombie too, and goes on running.
func (s procStat) zombie() bool { return (s.state == 'Z' || s.state == 'X') && s.threads <= 1 }

// procTable is never changed once it is read.
type procTable map[int]procStat

// scan is one reading of the process table, for all who have asked for one before it began.
type scan struct {
	done  chan struct{}
	table procTable
	err   error
}

var scans struct {
	mu      sync.Mutex
	next    *scan // that has not begun; nil: nobody has asked for one
	running bool
}

// sharedTable is readTable for who may share what it returns: many sessions that end at the same time are as many times the same
// table, which has an entry for each of them. It is read after sharedTable was called.
func sharedTable() (procTable, error) {
	scans.mu.Lock()
	if scans.next == nil {
		scans.next = &scan{done: make(chan struct{})}
	}
	s := scans.next
	if !scans.running {
		scans.running = true
		go scanWhileAsked() // ends when nobody asks
	}
	scans.mu.Unlock()
	<-s.done
	return s.table, s.err
}

func scanWhileAsked() {
	for {
		scans.mu.Lock()
		s := scans.next
		scans.next, scans.running = nil, s != nil
		scans.mu.Unlock()
		if s == nil {
			return
		}
		s.table, s.err = readTable()
		close(s.done)
	}
}

// readTable lists the processes of this pid namespace. Processes that come and go meanwhile may be missing.
func readTable() (procTable, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close() // read only
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	t := make(procTable, len(names))
	at := int(dir.Fd())
	for _, name := range names {
		if name[0] < '0' || name[0] > '9' {
			continue
		}
		if s, ok := readStatAt(at, name+"/stat"); ok {
			t[s.pid] = s
		}
	}
	return t, nil
}

func readStat(pid int) (procStat, bool) {
	return readStatAt(unix.AT_FDCWD, "/proc/"+strconv.Itoa(pid)+"/stat")
}

// readStatAt reads one line, in three system calls: package os makes more than twice as many, of which a machine with a thousand
// processes would make seven thousand for a table.
func readStatAt(dir int, path string) (procStat, bool) {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	for err == unix.EINTR {
		fd, err = unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return procStat{}, false
	}
	var line [1024]byte // 52 numbers and a name of 64 bytes
	n, err := unix.Read(fd, line[:])
	for err == unix.EINTR {
		n, err = unix.Read(fd, line[:])
	}
	_ = unix.Close(fd) // read only
	if err != nil {
		return procStat{}, false
	}
	return parseStat(line[:n])
}

// parseStat reads /proc/PID/stat. The name in parentheses may hold anything, parentheses and spaces as well:
// the last one closes it.
func parseStat(data []byte) (procStat, bool) {
	open, closing := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 1 || closing < open {
		return procStat{}, false
	}
	s := procStat{comm: string(data[open+1 : closing])}
	var err error
	if s.pid, err = strconv.Atoi(string(bytes.TrimSpace(data[:open]))); err != nil {
		return procStat{}, false
	}
	number := 3 // of the field, as proc(5) counts
	for field := range bytes.FieldsSeq(data[closing+1:]) {
		switch number {
		case 3:
			if len(field) != 1 {
				return procStat{}, false
			}
			s.state = field[0]
		case 4:
			s.ppid, err = strconv.Atoi(string(field))
		case 5:
			s.pgrp, err = strconv.Atoi(string(field))
		case 6:
			s.sid, err = strconv.Atoi(string(field))
		case 20:
			s.threads, err = strconv.Atoi(string(field))
		case 22:
			s.start, err = strconv.ParseUint(string(field), 10, 64)
			return s, err == nil
		}
		if err != nil {
			return procStat{}, false
		}
		number++
	}
	return procStat{}, false
}

// markerOf reads the marker in the environment a process was started with. There is none where the environment
// may not be read: a process of another user, a zombie, a kernel thread.
func markerOf(pid int) (string, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return "", false
	}
	return markerIn(data)
}

// marker is markerOf, also of a process whose first thread has ended, which has no environment any more.
func (s procStat) marker() (string, bool) {
	if s.state != 'Z' {
		return markerOf(s.pid)
	}
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(s.pid) + "/task/*/environ")
	if err != nil {
		return "", false
	}
	for _, task := range tasks {
		if data, err := os.ReadFile(task); err == nil {
			if m, ok := markerIn(data); ok {
				return m, true
			}
		}
	}
	return "", false
}

var markerStart = []byte(MarkerVariable + "=")

func markerIn(environ []byte) (string, bool) {
	for len(environ) > 0 {
		var kv []byte
		kv, environ, _ = bytes.Cut(environ, []byte{0})
		if value, ok := bytes.CutPrefix(kv, markerStart); ok {
			return string(value), true
		}
	}
	return "", false
}

// below adds to set what descends from its members, and what is in a session that one of them leads: a session is
// entered by birth alone, so its members descend from its leader, even where the parents in between are gone.
func (t procTable) below(set map[procID]bool) {
	children := make(map[int][]procStat, len(t))
	members := make(map[int][]procStat)
	for _, s := range t {
		children[s.ppid] = append(children[s.ppid], s)
		if s.sid != s.pid {
			members[s.sid] = append(members[s.sid], s)
		}
	}
	queue := make([]procID, 0, len(set))
	for id := range set {
		queue = append(queue, id)
	}
	for len(queue) > 0 {
		id := queue[0]
		queue = queue[1:]
		if t[id.pid].procID != id {
			continue // gone; its pid leads to somebody else's children
		}
		for _, next := range [2][]procStat{children[id.pid], members[id.pid]} {
			for _, s := range next {
				// A parent is older than its child; otherwise the pid was reused while the table was read.
				if !set[s.procID] && s.start >= id.start {
					set[s.procID] = true
					queue = append(queue, s.procID)
				}
			}
		}
	}
}

// untouchable are this process, process 1 and all between: a runtime inside a session of another one carries
// that one's marker, and must not end its own ancestors.
func (t procTable) untouchable() map[int]bool {
	out := map[int]bool{0: true, 1: true}
	for pid := os.Getpid(); pid > 1 && !out[pid]; pid = t[pid].ppid {
		out[pid] = true
	}
	return out
}
