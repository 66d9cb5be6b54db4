package process

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// watchOOM notes how often the kernel has killed for memory in the runtime's control group, which is the child's too, and
// returns a function that tells whether it has done so since.
func watchOOM() func() bool {
	before, ok := oomKills()
	return func() bool {
		now, still := oomKills()
		return ok && still && now > before
	}
}

// watchOOM is watchOOM for the session's own group, or nil if its memory is not counted.
func (c *child) watchOOM() func() bool {
	if c.group == nil || !slices.ContainsFunc(c.group.oom, func(file string) bool { _, err := os.Stat(file); return err == nil }) {
		return nil
	}
	return func() bool { return c.group.oomKills() > 0 }
}

func oomKills() (int, bool) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	for _, file := range oomFiles(data) {
		if stat, err := os.ReadFile(file); err == nil {
			if n, ok := oomCount(stat); ok {
				return n, true
			}
		}
	}
	return 0, false
}

// oomFiles lists where the count may be: version 2 of control groups, then version 1, each at the group's own path and at
// the root, which is where it is from within a container.
func oomFiles(cgroup []byte) []string {
	var out []string
	for line := range bytes.Lines(cgroup) {
		f := bytes.SplitN(bytes.TrimSpace(line), []byte{':'}, 3)
		if len(f) != 3 {
			continue
		}
		switch path := string(f[2]); {
		case string(f[0]) == "0":
			for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
				out = append(out, filepath.Join(root, path, "memory.events"), filepath.Join(root, "memory.events"))
			}
		case bytes.Contains(f[1], []byte("memory")):
			out = append(out, filepath.Join("/sys/fs/cgroup/memory", path, "memory.oom_control"), "/sys/fs/cgroup/memory/memory.oom_control")
		}
	}
	return out
}

func oomCount(stat []byte) (int, bool) {
	for line := range bytes.Lines(stat) {
		if f := bytes.Fields(line); len(f) == 2 && string(f[0]) == "oom_kill" {
			n, err := strconv.Atoi(string(f[1]))
			return n, err == nil
		}
	}
	return 0, false
}
