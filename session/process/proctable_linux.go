package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
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

type procTable map[int]procStat

// readTable lists the processes of this pid namespace. Processes that come and go meanwhile may be missing.
func readTable() (procTable, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	_ = dir.Close() // read only
	if err != nil {
		return nil, err
	}
	t := make(procTable, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if s, ok := readStat(pid); ok {
			t[pid] = s
		}
	}
	return t, nil
}

func readStat(pid int) (procStat, bool) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, false
	}
	return parseStat(data)
}

// parseStat reads /proc/PID/stat. The name in parentheses may hold anything, parentheses and spaces as well:
// the last one closes it.
func parseStat(data []byte) (procStat, bool) {
	open, closing := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 1 || closing < open {
		return procStat{}, false
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(data[:open])))
	if err != nil {
		return procStat{}, false
	}
	f := bytes.Fields(data[closing+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return procStat{}, false
	}
	s := procStat{comm: string(data[open+1 : closing]), state: f[0][0]}
	s.pid = pid
	for i, p := range []*int{&s.ppid, &s.pgrp, &s.sid} {
		if *p, err = strconv.Atoi(string(f[1+i])); err != nil {
			return procStat{}, false
		}
	}
	if s.threads, err = strconv.Atoi(string(f[17])); err != nil { // field 20 of the line
		return procStat{}, false
	}
	s.start, err = strconv.ParseUint(string(f[19]), 10, 64) // field 22 of the line
	return s, err == nil
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
