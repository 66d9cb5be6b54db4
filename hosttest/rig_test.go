//go:build hosttest

package hosttest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	unit     = "understudy.service"
	key      = "sk-ant-made-up-for-the-host-test"
	program  = "/usr/local/bin/understudy"
	data     = "/var/lib/understudy"
	socket   = data + "/understudy.sock"
	group    = "/sys/fs/cgroup/system.slice/" + unit
	patience = 2 * time.Minute // an emulated machine is slow
)

// configuration is an operator's: three sessions with limits, one without.
const configuration = `version: 1
cli: {path: simulated}
drain_timeout: 2s
supervisor: {max_restarts: 10, max_seconds: 60, backoff: {initial: 100ms, max: 1s}}
audit: {mode: required}
defaults:
  permission_mode: dontAsk
  allowed_tools: [Bash]
  api_key_credential: anthropic-api-key
  start_timeout: 2m
  turn_timeout: 5m
  containment: {require: [cgroup]}
sessions:
  small:
    limits: {memory: 200MiB, processes: 60}
  slow:
    limits: {cpus: 0.2}
  other:
    limits: {memory: 1GiB, processes: 200}
  free: {}
`

// install installs the sample unit as its first lines say, with drop-ins, and starts it: systemd reports it started when the daemon
// says that it serves. It is stopped and taken away with the test.
func install(t *testing.T, dropIn string) {
	t.Helper()
	write := func(path, text string, mode os.FileMode) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		require.NoError(t, os.Chmod(path, mode))
	}
	if exec.Command("id", "understudy").Run() != nil {
		run(t, "useradd", "--system", "understudy")
	}
	read := func(name string) string {
		data, err := os.ReadFile("/payload/" + name)
		require.NoError(t, err)
		return string(data)
	}
	if _, err := os.Stat(program); err != nil {
		write(program, read("understudy"), 0o755)
	}
	write("/etc/understudy/understudy.yaml", configuration, 0o644)
	write("/etc/understudy/api-key", key+"\n", 0o600)
	write("/etc/systemd/system/"+unit, read(unit), 0o644)
	if dropIn != "" {
		write("/etc/systemd/system/"+unit+".d/test.conf", "[Service]\n"+dropIn, 0o644)
	}
	t.Cleanup(func() {
		run(t, "systemctl", "stop", unit)
		_ = exec.Command("systemctl", "reset-failed", unit).Run() // it is not, mostly
		for _, path := range []string{"/etc/systemd/system/" + unit + ".d", data} {
			require.NoError(t, os.RemoveAll(path))
		}
		if t.Failed() {
			out, _ := exec.Command("journalctl", "--no-pager", "-n", "60", "-u", unit).CombinedOutput()
			t.Logf("%s", out)
		}
	})
	run(t, "systemctl", "daemon-reload")
	run(t, "systemctl", "start", unit)
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), out)
	return strings.TrimSpace(string(out))
}

// property is one that systemd has of the unit.
func property(t *testing.T, name string) string {
	t.Helper()
	return run(t, "systemctl", "show", "--value", "-p", name, unit)
}

func mainPID(t *testing.T) int {
	t.Helper()
	pid, err := strconv.Atoi(property(t, "MainPID"))
	require.NoError(t, err)
	return pid
}

// node is what is looked at of a session.
type node struct {
	Name        string   `json:"name"`
	State       string   `json:"state"`
	SessionID   string   `json:"session_id"`
	PID         int      `json:"pid"`
	Generation  int      `json:"generation"`
	Turns       int      `json:"turns"`
	Restarts    int      `json:"restarts"`
	Cost        float64  `json:"cost_usd"`
	Containment []string `json:"containment"`
	Why         string   `json:"last_error"`
}

func understudy(args ...string) *exec.Cmd {
	return exec.Command(program, append([]string{"--socket", socket}, args...)...)
}

// sessions are all of them by name.
func sessions(t *testing.T) map[string]node {
	t.Helper()
	out, err := understudy("ps", "--json").Output()
	require.NoError(t, err, "%s", out)
	var all []node
	require.NoError(t, json.Unmarshal(out, &all))
	named := map[string]node{}
	for _, n := range all {
		named[n.Name] = n
	}
	return named
}

// idle waits until a session is, in a generation after the given one.
func idle(t *testing.T, name string, after int) node {
	t.Helper()
	var n node
	await(t, func() bool {
		out, err := understudy("ps", "--json").Output()
		if err != nil {
			return false // the daemon is coming up
		}
		var all []node
		require.NoError(t, json.Unmarshal(out, &all))
		for _, n = range all {
			if n.Name == name {
				return n.State == "idle" && n.Generation > after
			}
		}
		return false
	}, "session %s is not idle after generation %d", name, after)
	return n
}

// send has a session answer.
func send(t *testing.T, name, prompt string) string {
	t.Helper()
	var tools strings.Builder
	cmd := understudy("send", name, prompt)
	cmd.Stderr = &tools
	out, err := cmd.Output()
	require.NoError(t, err, "%s%s", out, &tools)
	return strings.TrimSpace(string(out))
}

// bash has a session run a command, and returns the text behind it.
func bash(command string) string {
	input, err := json.Marshal(map[string]string{"command": command})
	if err != nil {
		panic(err) // a string can be marshalled
	}
	return "[[tool:Bash " + string(input) + "]] [[say:done]]"
}

// groupOf is the control group of a session's process.
func groupOf(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	require.NoError(t, err)
	return "/sys/fs/cgroup" + strings.TrimPrefix(strings.TrimSpace(string(data)), "0::")
}

// in reads a file of a control group.
func in(t *testing.T, dir, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, file))
	require.NoError(t, err)
	return strings.TrimSpace(string(data))
}

// count is a number of a control group's file of them, such as oom_kill in memory.events.
func count(t *testing.T, dir, file, name string) int {
	t.Helper()
	for line := range strings.Lines(in(t, dir, file)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			require.NoError(t, err)
			return n
		}
	}
	t.Fatalf("%s/%s has no %s", dir, file, name)
	return 0
}

// inGroups are the pids in a control group and those below it.
func inGroups(dir string) []string {
	var all []string
	_ = filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error { // a group may go meanwhile
		if err == nil && entry.Name() == "cgroup.procs" {
			data, _ := os.ReadFile(path)
			all = append(all, strings.Fields(string(data))...)
		}
		return nil
	})
	return all
}

// await polls, since systemd and the kernel tell nobody.
func await(t *testing.T, done func() bool, why string, args ...any) {
	t.Helper()
	require.Eventually(t, done, patience, 100*time.Millisecond, append([]any{why}, args...)...)
}

// left asserts that no process of the unit's user is there.
func left(t *testing.T) {
	t.Helper()
	out, err := exec.Command("ps", "-o", "pid,args", "-u", "understudy").Output()
	assert.Error(t, err, "processes are left: %s", out) // exit code 1: there is none
	assert.Empty(t, inGroups(group))
}
