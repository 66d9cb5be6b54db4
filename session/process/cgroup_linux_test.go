package process

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// groupsIn makes files like those that the kernel shows, below dir.
func groupsIn(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

func TestWhereGroupsAre(t *testing.T) {
	for _, tc := range []struct {
		name        string
		mounts      string // @ is the directory
		own         string
		files       map[string]string
		dir         string
		controllers []string
		v1          map[string]string
		why         string
	}{
		{
			"version 2", "30 23 0:26 / @/fs rw - cgroup2 cgroup2 rw\n", "0::/a/b\n",
			map[string]string{"fs/a/b/cgroup.procs": "1\n", "fs/a/b/cgroup.subtree_control": "memory pids\n"},
			"fs/a/b", []string{"memory", "pids"}, nil, "",
		},
		{
			"a part of it is mounted, as in a container", "30 23 0:26 /a @/fs\\040x rw - cgroup2 cgroup2 rw\n", "0::/a/b\n",
			map[string]string{"fs x/b/cgroup.procs": "", "fs x/b/cgroup.subtree_control": ""},
			"fs x/b", nil, nil, "",
		},
		{
			"this program has moved itself", "30 23 0:26 / @/fs rw - cgroup2 cgroup2 rw\n", "0::/unit/understudy.runtime\n",
			map[string]string{"fs/unit/cgroup.procs": "", "fs/unit/cgroup.subtree_control": "cpu"},
			"fs/unit", []string{"cpu"}, nil, "",
		},
		{
			"hybrid", "36 23 0:26 / @/u rw - cgroup2 cgroup2 rw\n37 23 0:27 / @/m rw - cgroup cgroup rw,memory\n38 23 0:28 / @/c rw - cgroup cgroup rw,cpu,cpuacct\n39 23 0:28 / @/p ro - cgroup cgroup rw,pids\n",
			"5:pids:/gone\n4:memory:/x\n3:cpu,cpuacct:/\n0::/\n",
			map[string]string{"u/cgroup.procs": "", "u/cgroup.subtree_control": "", "m/x/cgroup.procs": "", "c/cgroup.procs": ""},
			"u", nil, map[string]string{"memory": "m/x", "cpu": "c"}, "",
		},
		{"elsewhere", "30 23 0:26 /other @/fs rw - cgroup2 cgroup2 rw\n", "0::/a\n", nil, "", nil, nil, "not mounted"},
		{"missing", "30 23 0:26 / @/fs rw - cgroup2 cgroup2 rw\n", "0::/a\n", nil, "", nil, nil, "no group can be made in"},
		{"garbage", "x\n - \n30 23\n", "nonsense\n0::\n", nil, "", nil, nil, "not mounted"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			groupsIn(t, dir, tc.files)
			groupsIn(t, dir, map[string]string{"mounts": strings.ReplaceAll(tc.mounts, "@", dir), "own": tc.own})
			h := lookForGroups(filepath.Join(dir, "mounts"), filepath.Join(dir, "own"))
			if managed() && tc.own != "0::/\n" {
				t.Skip("below systemd a group has to be delegated, which a file can't be")
			}
			if tc.why != "" {
				require.NotNil(t, h.why)
				assert.Contains(t, h.why.Error(), tc.why)
				assert.Empty(t, h.dir)
				return
			}
			assert.Nil(t, h.why)
			assert.Equal(t, filepath.Join(dir, tc.dir), h.dir)
			assert.ElementsMatch(t, tc.controllers, h.controllers)
			assert.Len(t, h.v1, len(tc.v1))
			for c, d := range tc.v1 {
				assert.Equal(t, filepath.Join(dir, d), h.v1[c])
			}
		})
	}
	h := lookForGroups("/no/such/file", "/no/such/file")
	assert.ErrorContains(t, h.why, "no such file")
}

// What is written where, for hosts whose controllers are on version 2, which this one's need not be.
func TestLimitsOfVersion2(t *testing.T) {
	dir := t.TempDir()
	h := &groupHost{dir: dir, controllers: []string{"memory", "pids", "cpu"}, v1: map[string]string{"memory": "/no/such/directory"}}
	limits := Limits{Memory: 1 << 30, Processes: 100, CPUs: 1.5}
	assert.Nil(t, h.lacks(limits, false))
	g, err := h.create("rt/a b/1", limits)
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "understudy.rt%2Fa%20b%2F1"), g.v2)
	assert.Empty(t, g.v1)
	for file, want := range map[string]string{"memory.max": "1073741824", "memory.swap.max": "0", "pids.max": "100", "cpu.max": "150000 100000"} {
		data, err := os.ReadFile(filepath.Join(g.v2, file))
		require.NoError(t, err)
		assert.Equal(t, want, string(data), file)
	}
	require.NoError(t, os.WriteFile(filepath.Join(g.v2, "memory.events"), []byte("low 0\noom 3\noom_kill 2\n"), 0o600))
	assert.Equal(t, 2, g.oomKills())

	h.controllers = []string{"pids"}
	h.v1 = nil
	miss := h.lacks(limits, true)
	require.NotNil(t, miss)
	assert.Contains(t, miss.Error(), "limits.memory")
	assert.Contains(t, miss.fix, "Delegate=yes")
}

// The kernel's own groups: what has no pid namespace is ended with its group, whatever it has done to hide.
//
// Fault: tools hide in every way on a host without pid namespaces, but with control groups, and the CLI is killed
// Outcome: nothing of it is left once the exit is reported, and the group is removed
// On: process
func TestGroupsEndWhatHides(t *testing.T) {
	needs(t, LayerCgroup)
	l := launch(t, "hostile:pause")
	l.Containment = Containment{Require: []Layer{LayerCgroup}, Without: []Layer{LayerPIDNamespace}}
	p := begin(t, l, Options{})
	require.Equal(t, "ready", line(t, p))
	assert.Contains(t, p.Containment(), LayerCgroup)
	dir := filepath.Join(findGroups().dir, groupName(l.Marker))
	members := words(filepath.Join(dir, "cgroup.procs"))
	require.GreaterOrEqual(t, len(members), 1+len(hostile))
	p.Kill()
	assert.NoError(t, p.Swept().Err)
	assert.NoDirExists(t, dir)
	for _, pid := range pids(t, strings.Join(members, " ")) {
		gone(t, pid)
	}
}

// Fault: the runtime is killed on a host without pid namespaces, but with control groups, while tools hide in every way
// Outcome: the next runtime on the data directory ends them all with their groups
// On: process
func TestGroupsOfAKilledRuntime(t *testing.T) {
	needs(t, LayerCgroup)
	h := findGroups()
	m := marker(t)
	g, err := h.create(m+"/x/1", Limits{})
	require.NoError(t, err)
	cmd := again("idle-silent")
	cmd.Env = append([]string{}, roleVariable+"=idle-silent", goraceOff)
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	require.NoError(t, (&cgroup{v1: []string{g.v2}}).join(cmd.Process.Pid))
	require.NoError(t, os.Mkdir(filepath.Join(g.v2, "below"), 0o755))

	assert.Zero(t, SweepPrefix(m+"0/").InGroups)
	r := SweepPrefix(m + "/")
	require.NoError(t, r.Err)
	assert.Equal(t, 1, r.InGroups)
	gone(t, cmd.Process.Pid)
	assert.NoDirExists(t, g.v2)
	_, err = endGroup(g.v2, time.Now())
	assert.NoError(t, err, "of a group that is gone")
}

// A first process that can't be moved to its group is not let go on without its limits.
func TestAGroupThatCannotBeJoined(t *testing.T) {
	needs(t, LayerPIDNamespace)
	ns, err := pidNamespace()
	require.NoError(t, err)
	var c child
	h := &holding{ns: ns, group: &cgroup{v1: []string{"/no/such/group"}}, env: []string{MarkerVariable + "=" + marker(t)}}
	err = c.startInit(initOrder{Probe: true}, &syscall.ProcAttr{}, h)
	require.ErrorContains(t, err, "control group: ")
	_, there := readStat(c.pid)
	assert.False(t, there, "it is ended and reaped")
}
