package process

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func init() {
	// listed is a runtime without a pid namespace that keeps a ledger, to be killed.
	roles["listed"] = func(path string) int {
		l, _, err := OpenLedger(path)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		launch := bare(Launch{Path: self(), Marker: "listed/" + path, Env: map[string]string{roleVariable: "tree:pause", "GORACE": "atexit_sleep_ms=0"}})
		p, err := Start(launch, Options{Ledger: l})
		if err != nil {
			fmt.Println(err)
			return 1
		}
		line, _ := bufio.NewReader(p.Stdout()).ReadString('\n')
		fmt.Print(p.PID(), " ", line)
		return pause()
	}
}

func readLedger(t *testing.T, path string) ledgerFile {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var f ledgerFile
	require.NoError(t, json.Unmarshal(data, &f))
	return f
}

// TestFaultRuntimeKilledWithoutANamespace kills a runtime whose tool has neither marker nor session.
//
// Fault: the runtime is killed with SIGKILL where there is no pid namespace, while a tool runs that has cleared its
// environment and begun a session of its own
// Outcome: the next runtime on the data directory ends that tool, by the list of processes that its predecessor kept there
// On: process
func TestFaultRuntimeKilledWithoutANamespace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "processes.json")
	cmd := again("listed:" + path)
	cmd.Env = append(cmd.Env, goraceOff)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	text, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	ids := pids(t, text)
	require.Len(t, ids, 3, text)
	require.Eventually(t, func() bool { return len(readLedger(t, path).Processes) == 2 }, time.Minute, 5*time.Millisecond, "both tools")
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	gone(t, ids[0])
	require.True(t, alive(ids[2]), "it survives the runtime, or nothing is tested")

	_, report, err := OpenLedger(path)
	require.NoError(t, err)
	require.NoError(t, report.Err)
	assert.Len(t, report.Killed, 2)
	gone(t, ids[1])
	gone(t, ids[2])
	_, report, err = OpenLedger(path)
	require.NoError(t, err)
	assert.Zero(t, report, "nothing is listed any more")
}

// TestFaultRecycledPIDs has a ledger that names processes which have others' pids by now.
//
// Fault: the list of processes names a pid, or a session, that belongs to another process by now, or was written before a reboot, or in
// another container, or is damaged
// Outcome: nothing is killed by it; damage is reported
// On: process
func TestFaultRecycledPIDs(t *testing.T) {
	p := begin(t, bare(launch(t, "idle")), Options{})
	require.Equal(t, "ready", line(t, p))
	s, ok := readStat(p.PID())
	require.True(t, ok)
	boot, ns := here()
	path := filepath.Join(t.TempDir(), "processes.json")
	write := func(f ledgerFile) {
		data, err := json.Marshal(f)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
	alone := again("idle-silent") // leads a session of its own
	alone.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	alone.Env = append(alone.Env, goraceOff)
	require.NoError(t, alone.Start())
	t.Cleanup(func() {
		assert.NoError(t, alone.Process.Kill(), "it is there still")
		_ = alone.Wait()
	})
	leader, ok := readStat(alone.Process.Pid)
	require.True(t, ok)
	for _, f := range []ledgerFile{
		{Boot: boot, Namespace: ns, Sessions: []ledgerEntry{{leader.pid, leader.start - 1}}},
		{Boot: boot, Namespace: ns, Processes: []ledgerEntry{{p.PID(), s.start - 1}}, Sessions: []ledgerEntry{{p.PID() + 1, s.start + 1}}},
		{Boot: "another", Namespace: ns, Processes: []ledgerEntry{{p.PID(), s.start}}},
		{Boot: boot, Namespace: "pid:[1]", Processes: []ledgerEntry{{p.PID(), s.start}}},
	} {
		write(f)
		_, report, err := OpenLedger(path)
		require.NoError(t, err)
		assert.Empty(t, report.Killed)
		require.True(t, alive(p.PID()))
		require.True(t, alive(leader.pid))
	}
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	_, _, err := OpenLedger(path)
	require.ErrorContains(t, err, path)
	require.True(t, alive(p.PID()))

	write(ledgerFile{Boot: boot, Namespace: ns, Processes: []ledgerEntry{{p.PID(), s.start}}})
	_, report, err := OpenLedger(path)
	require.NoError(t, err)
	require.Len(t, report.Killed, 1, "the right one is")
	await(t, "done", p.Done())
}
