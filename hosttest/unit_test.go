//go:build hosttest

package hosttest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestUnit walks through a unit's life: start, reload, kill -9, stop.
func TestUnit(t *testing.T) {
	install(t, "")
	assert.Equal(t, "active", property(t, "ActiveState"))
	assert.NotEmpty(t, property(t, "StatusText"))
	pid := mainPID(t)
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	require.NoError(t, err)
	assert.NotContains(t, string(environ), key, "the key is a credential, and in no environment of the daemon's")

	// The key is the CLI's alone, and no tool's.
	assert.Equal(t, "done", send(t, "free", bash(`env > environment; cat /proc/1/environ >> environment; ! grep -q made-up environment`)))

	t.Log("reload")
	changed := strings.Replace(configuration, "  free: {}", "  free: {model: haiku}\n  later: {}", 1)
	require.NoError(t, os.WriteFile("/etc/understudy/understudy.yaml", []byte(changed), 0o644))
	run(t, "systemctl", "reload", unit) // which has sent the signal when it returns, and no more
	idle(t, "later", 0)
	assert.Equal(t, "done", send(t, "later", "[[say:done]]"))
	assert.Equal(t, pid, mainPID(t))

	t.Log("kill -9 while tools run that hide")
	before := idle(t, "other", 0)
	assert.Equal(t, "remembered", send(t, "other", "[[say:remembered]]"))
	const hide = `setsid -f env -i /bin/sh -c 'setsid sleep 3600' & trap "" TERM; echo > begun; sleep 3600`
	turn := understudy("send", "other", bash(hide))
	require.NoError(t, turn.Start())
	await(t, func() bool { _, err := os.Stat(data + "/begun"); return err == nil }, "the tool does not start")
	clis := []int{}
	for _, n := range sessions(t) {
		clis = append(clis, n.PID)
	}
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	assert.Error(t, turn.Wait())
	await(t, func() bool { return mainPID(t) != 0 && mainPID(t) != pid && property(t, "ActiveState") == "active" }, "the unit is not started again")
	for _, cli := range clis {
		assert.NoDirExists(t, "/proc/"+strconv.Itoa(cli), "a CLI that outlived the runtime")
	}
	after := idle(t, "other", before.Generation)
	assert.Equal(t, before.SessionID, after.SessionID)
	assert.Positive(t, after.Cost)
	assert.NotContains(t, run(t, "ps", "-e", "-o", "args"), "sleep 3600")
	assert.Contains(t, send(t, "other", "[[history]]"), "[[say:remembered]]")
	for _, n := range sessions(t) {
		assert.True(t, strings.HasPrefix(groupOf(t, n.PID), group+"/understudy."), groupOf(t, n.PID))
	}

	t.Log("stop while a turn runs")
	turn = understudy("send", "other", bash(hide))
	require.NoError(t, turn.Start())
	await(t, func() bool { return sessions(t)["other"].State == "busy" }, "the turn does not begin")
	run(t, "systemctl", "stop", unit)
	assert.Error(t, turn.Wait())
	assert.Equal(t, "inactive", property(t, "ActiveState"))
	assert.Equal(t, "success", property(t, "Result"))
	left(t)
	assert.NotContains(t, run(t, "ps", "-e", "-o", "args"), "sleep 3600")

	out, err := exec.Command(program, "audit", "verify", "--invariants", "--dir", data+"/audit").CombinedOutput()
	assert.NoError(t, err, "%s", out)
}

// TestWatchdog halts the daemon, as one that hangs: systemd ends it with everything it has started and starts another.
func TestWatchdog(t *testing.T) {
	install(t, "WatchdogSec=10\nWatchdogSignal=SIGKILL\n")
	before, pid := idle(t, "free", 0), mainPID(t)
	fed := func() time.Duration { // when it was, the last time
		usec, err := strconv.ParseInt(property(t, "WatchdogTimestampMonotonic"), 10, 64)
		require.NoError(t, err)
		return time.Duration(usec) * time.Microsecond
	}
	first := fed()
	require.NotZero(t, first)
	await(t, func() bool { return fed() > first+10*time.Second }, "it is not fed for longer than it may stay silent")
	assert.Equal(t, pid, mainPID(t))
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	await(t, func() bool { return mainPID(t) != 0 && mainPID(t) != pid && property(t, "ActiveState") == "active" }, "the unit is not started again")
	assert.NotEqual(t, "0", property(t, "NRestarts"))
	assert.NoDirExists(t, "/proc/"+strconv.Itoa(before.PID))
	after := idle(t, "free", before.Generation)
	assert.Equal(t, before.SessionID, after.SessionID)
}

// TestAbort ends the daemon as a watchdog does, with SIGABRT, and as a panic would end it: that is no mistake in the configuration.
func TestAbort(t *testing.T) {
	install(t, "")
	before, pid := idle(t, "free", 0), mainPID(t)
	require.NoError(t, syscall.Kill(pid, syscall.SIGABRT))
	await(t, func() bool { return mainPID(t) != 0 && mainPID(t) != pid && property(t, "ActiveState") == "active" }, "the unit is not started again")
	assert.NoDirExists(t, "/proc/"+strconv.Itoa(before.PID))
	assert.Equal(t, before.SessionID, idle(t, "free", before.Generation).SessionID)
}

// TestWrongConfiguration: a unit that can't serve is not reported started, and is not started again for ever.
func TestWrongConfiguration(t *testing.T) {
	install(t, "")
	run(t, "systemctl", "stop", unit)
	require.NoError(t, os.WriteFile("/etc/understudy/understudy.yaml", []byte(configuration+"  free: {modle: haiku}\n"), 0o644))
	out, err := exec.Command("systemctl", "start", unit).CombinedOutput()
	assert.Error(t, err, "%s", out)
	// A unit that is to be started again is not failed but activating.
	await(t, func() bool { return property(t, "ActiveState") == "failed" }, "the unit is not given up")
	assert.Equal(t, "0", property(t, "NRestarts"))
	assert.Equal(t, "2", property(t, "ExecMainStatus"))
	assert.Contains(t, run(t, "journalctl", "--no-pager", "-u", unit), "modle")

	t.Log("the same with what passes")
	require.NoError(t, os.WriteFile("/etc/understudy/understudy.yaml", []byte(configuration+"debug: {listen: 127.0.0.1:7070}\n"), 0o644))
	taken, err := net.Listen("tcp", "127.0.0.1:7070")
	require.NoError(t, err)
	out, err = exec.Command("systemctl", "start", unit).CombinedOutput()
	assert.Error(t, err, "%s", out)
	await(t, func() bool { return property(t, "NRestarts") != "0" }, "the unit is not started again although its port may be free by then")
	require.NoError(t, taken.Close())
	await(t, func() bool { return property(t, "ActiveState") == "active" }, "the unit does not come up although its port is free")
}
