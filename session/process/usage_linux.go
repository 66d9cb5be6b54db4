package process

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// clockTick is the unit of times in /proc/PID/stat, the same on every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// taskUsage is what one line of the process table says about a process's use of the machine.
type taskUsage struct {
	ppid int
	own  Usage
}

// Usages is what each of these processes uses, with its descendants as far as parenthood shows them. It reads the
// process table once, whatever the number of pids: some 10 µs for each process of the machine. A process that is not
// there is not in the answer.
func Usages(pids []int) map[int]Usage {
	if len(pids) == 0 {
		return nil
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	names, err := dir.Readdirnames(-1)
	_ = dir.Close() // read only
	if err != nil {
		return nil
	}
	page := int64(os.Getpagesize())
	table := make(map[int]taskUsage, len(names))
	children := make(map[int][]int, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		data, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		if t, ok := parseUsage(data, page); ok {
			table[pid] = t
			children[t.ppid] = append(children[t.ppid], pid)
		}
	}
	found := make(map[int]Usage, len(pids))
	for _, pid := range pids {
		if _, ok := table[pid]; !ok {
			continue
		}
		var sum Usage
		seen := map[int]bool{} // a pid that was used again while the table was read could make a circle
		for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
			p := queue[0]
			if seen[p] {
				continue
			}
			seen[p] = true
			own := table[p].own
			sum.Processes++
			sum.RSS += own.RSS
			sum.CPU += own.CPU
			queue = append(queue, children[p]...)
		}
		found[pid] = sum
	}
	return found
}

// parseUsage reads fields 4, 14 to 17 and 24 of /proc/PID/stat. The name in parentheses may hold anything.
func parseUsage(data []byte, page int64) (taskUsage, bool) {
	f := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	const first = 3 // the number of the field after the name
	if len(f) <= 24-first {
		return taskUsage{}, false
	}
	var numbers [25]int64
	for _, field := range []int{4, 14, 15, 16, 17, 24} {
		n, err := strconv.ParseInt(string(f[field-first]), 10, 64)
		if err != nil || n < 0 && field != 16 && field != 17 {
			return taskUsage{}, false
		}
		numbers[field] = max(n, 0)
	}
	ticks := numbers[14] + numbers[15] + numbers[16] + numbers[17]
	return taskUsage{
		ppid: int(numbers[4]),
		own:  Usage{RSS: numbers[24] * page, CPU: time.Duration(ticks) * clockTick},
	}, true
}
