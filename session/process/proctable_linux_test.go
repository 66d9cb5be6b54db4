package process

import (
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseStat(t *testing.T) {
	const tail = " S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1000 200\n"
	s, ok := parseStat([]byte("42 (a) b (c)" + tail))
	require.True(t, ok)
	assert.Equal(t, procStat{procID: procID{42, 4711}, comm: "a) b (c", state: 'S', ppid: 7, pgrp: 8, sid: 9, threads: 1}, s)
	for _, bad := range []string{"", "42", "42 (a", "42 )a(", "x (a)" + tail, "42 (a) S 1 2", "42 (a) S x 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1000"} {
		_, ok := parseStat([]byte(bad))
		assert.False(t, ok, bad)
	}
	me, ok := readStat(os.Getpid())
	require.True(t, ok)
	assert.Equal(t, os.Getppid(), me.ppid)
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a) S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1000 200"))
	f.Fuzz(func(_ *testing.T, data []byte) { parseStat(data) })
}

func TestMarkerIn(t *testing.T) {
	m, ok := markerIn([]byte("A=1\x00XUNDERSTUDY_SESSION=no\x00UNDERSTUDY_SESSION=a/b/1\x00UNDERSTUDY_SESSION=later"))
	assert.True(t, ok)
	assert.Equal(t, "a/b/1", m)
	_, ok = markerIn([]byte("A=UNDERSTUDY_SESSION=x"))
	assert.False(t, ok)
}

func TestBelow(t *testing.T) {
	table := procTable{}
	add := func(pid, ppid, sid int, start uint64) {
		table[pid] = procStat{procID: procID{pid, start}, ppid: ppid, sid: sid, state: 'S'}
	}
	add(1, 0, 1, 0)
	add(10, 1, 10, 5)   // the runtime
	add(20, 10, 10, 10) // the CLI, in the runtime's session
	add(30, 20, 30, 20) // a tool, in its own
	add(31, 30, 30, 21)
	add(32, 1, 30, 22)  // orphaned, but still in the tool's session
	add(33, 32, 33, 23) // below the orphan
	add(40, 10, 10, 11) // somebody else's, in the runtime's session
	add(50, 20, 50, 9)  // older than its parent: the pid was reused
	set := map[procID]bool{{20, 10}: true}
	table.below(set)
	got := slices.Sorted(func(yield func(int) bool) {
		for id := range maps.Keys(set) {
			if !yield(id.pid) {
				return
			}
		}
	})
	assert.Equal(t, []int{20, 30, 31, 32, 33}, got)

	set = map[procID]bool{{20, 9}: true}
	table.below(set)
	assert.Len(t, set, 1, "gone: its pid is another's")
}

func TestUntouchable(t *testing.T) {
	table, err := readTable()
	require.NoError(t, err)
	keep := table.untouchable()
	assert.True(t, keep[os.Getpid()])
	assert.True(t, keep[os.Getppid()])
	assert.True(t, keep[1])
}

func TestOOMCount(t *testing.T) {
	n, ok := oomCount([]byte("low 0\noom 3\noom_kill 2\noom_group_kill 1\n"))
	assert.True(t, ok)
	assert.Equal(t, 2, n)
	_, ok = oomCount([]byte("oom_kill_disable 0\n"))
	assert.False(t, ok)
	assert.Equal(t, []string{
		"/sys/fs/cgroup/memory/a/memory.oom_control", "/sys/fs/cgroup/memory/memory.oom_control",
		"/sys/fs/cgroup/b/memory.events", "/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/unified/b/memory.events", "/sys/fs/cgroup/unified/memory.events",
	}, oomFiles([]byte("9:memory:/a\n3:cpu:/x\n0::/b\n")))
}
