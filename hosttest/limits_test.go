//go:build hosttest

package hosttest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestLimits has tools take more memory, more processes and more processor time than their session may. Others don't notice.
func TestLimits(t *testing.T) {
	install(t, "")
	small, other := idle(t, "small", 0), idle(t, "other", 0)
	dir := groupOf(t, small.PID)
	assert.Equal(t, group, filepath.Dir(dir))
	assert.Subset(t, small.Containment, []string{"cgroup", "pid_namespace"})
	assert.Equal(t, "209715200", in(t, dir, "memory.max"))
	assert.Equal(t, "0", in(t, dir, "memory.swap.max"))
	assert.Equal(t, "60", in(t, dir, "pids.max"))
	assert.Equal(t, "max 100000", in(t, groupOf(t, other.PID), "cpu.max"))

	t.Run("processor", func(t *testing.T) {
		dir := groupOf(t, idle(t, "slow", 0).PID)
		assert.Equal(t, "20000 100000", in(t, dir, "cpu.max"))
		used, held := count(t, dir, "cpu.stat", "usage_usec"), count(t, dir, "cpu.stat", "throttled_usec")
		const busy = `i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done`
		assert.Equal(t, "done", send(t, "slow", bash(busy)))
		used, held = count(t, dir, "cpu.stat", "usage_usec")-used, count(t, dir, "cpu.stat", "throttled_usec")-held
		t.Logf("worked %d us, was held %d us", used, held)
		assert.Greater(t, held, used, "with a fifth of a processor it waits four times as long as it works")
	})
	t.Run("processes", func(t *testing.T) {
		const bomb = `bomb() { bomb | bomb & }; bomb; sleep 5; true`
		answered := make(chan string, 1)
		go func() { // ends with the answer
			out, _ := understudy("send", "small", bash(bomb)).CombinedOutput()
			answered <- string(out)
		}()
		assert.Equal(t, "done", send(t, "other", bash("true")), "the others work")
		<-answered // an error of the tool's, or none: some of the forks have failed
		assert.Positive(t, count(t, dir, "pids.events", "max"))
		assert.Equal(t, "done", send(t, "other", bash("true")))
		require.NoError(t, understudy("restart", "small").Run(), "restarted over what is left of the bomb")
		assert.NoDirExists(t, dir)
	})
	t.Run("memory of a tool", func(t *testing.T) {
		before := idle(t, "small", 0)
		dir := groupOf(t, before.PID)
		assert.Equal(t, "done", send(t, "small", bash(`head -c 400m /dev/zero | tail -c 400m | wc -c; true`)), "the tool is ended, and the turn goes on")
		assert.Positive(t, count(t, dir, "memory.events", "oom_kill"))
		assert.Equal(t, before.PID, idle(t, "small", 0).PID, "the CLI was not chosen")
		assert.Equal(t, other.PID, idle(t, "other", 0).PID)
	})
	t.Run("memory of the CLI", func(t *testing.T) {
		before := idle(t, "small", 0)
		// What looks largest to the kernel is ended, and what others may be ended before.
		out, err := understudy("send", "small", bash(`echo 1000 > /proc/$CLAUDE_PID/oom_score_adj; head -c 400m /dev/zero | tail -c 400m; true`)).CombinedOutput()
		assert.Error(t, err)
		assert.Contains(t, string(out), "lack of memory")
		after := idle(t, "small", before.Generation)
		assert.Equal(t, before.SessionID, after.SessionID)
		assert.Equal(t, other.PID, idle(t, "other", 0).PID)
		assert.Contains(t, send(t, "small", "[[history]]"), "oom_score_adj")
	})
}

// TestDoctor: what the daemon's host has, and that a requirement it does not meet keeps a session from starting.
func TestDoctor(t *testing.T) {
	install(t, "")
	doctor := func(properties ...string) string {
		args := []string{"--quiet", "--wait", "--pipe", "-p", "User=understudy", "-p", "WorkingDirectory=/tmp"}
		out, _ := exec.Command("systemd-run", append(append(args, properties...), program, "doctor")...).Output() // it fails: there is no CLI
		return string(out)
	}
	out := doctor("-p", "Delegate=yes")
	assert.Regexp(t, `(?m)^ok +cgroup +below /sys/fs/cgroup/system.slice/run-.*limits: memory, processes, cpus, which the daemon switches on`, out)
	assert.Regexp(t, `(?m)^ok +pid_namespace`, out)

	out = doctor()
	assert.Regexp(t, `(?m)^(warn|fail) +cgroup .*not delegated`, out)
	assert.Contains(t, out, "Delegate=yes")
}

// TestProcesses runs the tests of package process that are about control groups, which elsewhere mostly have none with all their controllers,
// as root and as a plain user.
func TestProcesses(t *testing.T) {
	if exec.Command("id", "plain").Run() != nil {
		run(t, "useradd", "--create-home", "plain")
	}
	for user, home := range map[string]string{"root": "/root", "plain": "/home/plain"} {
		t.Run(user, func(t *testing.T) {
			out, err := exec.Command("systemd-run", "--quiet", "--wait", "--pipe", "-p", "Delegate=yes", "-p", "User="+user, "-p", "WorkingDirectory="+home, "-E", "HOME="+home,
				"/payload/process.test", "-test.v", "-test.run", "Groups|LimitsOfVersion2|AGroupThat|ToolsThatHide|ForkBomb|OutOfMemory").CombinedOutput()
			assert.NoError(t, err, "%s", out)
			for _, name := range []string{"TestGroupsEndWhatHides", "TestGroupsOfAKilledRuntime", "TestLimitsOfVersion2", "TestFaultToolsThatHide"} {
				assert.Contains(t, string(out), "--- PASS: "+name)
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "--- SKIP") {
					t.Log(strings.TrimSpace(line))
				}
			}
		})
	}
}
