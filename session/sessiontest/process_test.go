package sessiontest_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProcessTurnAndCleanEnd(t *testing.T) {
	h := spawn(t, simulated(t))
	answer := h.initialize(nil)
	assert.EqualValues(t, h.pid, answer["response"].(map[string]any)["response"].(map[string]any)["pid"])
	assert.Equal(t, "echo: hello", h.turn("hello")["result"])
	assert.Zero(t, h.end())
	assert.Empty(t, h.stderr.String())
}

// A real crash: no exit code but a signal, and a conversation that can be resumed.
func TestProcessCrashAndResume(t *testing.T) {
	cli := simulated(t)
	h := spawn(t, cli, "--session-id="+session)
	h.turn("first")
	h.prompt("second [[crash]]")
	assert.Equal(t, -1, h.exit(), "ended by a signal")

	h = spawn(t, cli, "--resume="+session)
	result := h.turn("third [[history]]")
	assert.Equal(t, "history: first | second [[crash]]", result["result"])
	assert.InDelta(t, 0.005, result["total_cost_usd"], 1e-9, "starts at zero again")
	h.kill()
	assert.Equal(t, -1, h.exit())

	h = spawn(t, cli, "--resume="+session)
	assert.Equal(t, "history: first | second [[crash]] | third [[history]]", h.turn("[[history]]")["result"])
	assert.Zero(t, h.end())
}

func TestProcessEndsOnSignals(t *testing.T) {
	tests := map[string]struct {
		signal syscall.Signal
		prompt string
		want   int
	}{
		"term":               {syscall.SIGTERM, "[[sleep:1h]]", 143},
		"term while hanging": {syscall.SIGTERM, "[[hang]]", 143},
		"hangup":             {syscall.SIGHUP, "[[sleep:1h]]", 129},
		"interrupt":          {syscall.SIGINT, "[[sleep:1h]]", 0},
		"kill, all ignored":  {syscall.SIGKILL, "[[hang:hard]]", -1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := spawn(t, simulated(t))
			h.prompt(test.prompt)
			h.untilKind("init")
			if test.signal == syscall.SIGKILL {
				require.NoError(t, syscall.Kill(h.pid, syscall.SIGTERM))
				h.request(frame{"subtype": "interrupt"}) // no answer to that either
			}
			require.NoError(t, syscall.Kill(h.pid, test.signal))
			assert.Equal(t, test.want, h.exit())
			assert.Equal(t, "init", h.seen[len(h.seen)-1].kind(), "no frame after the signal")
		})
	}
}

// runningTool has the CLI run a shell that says who it is and stays.
func runningTool(t *testing.T, cli command, h *host) (pid int) {
	t.Helper()
	said := pipe(t, cli)
	h.prompt(`[[tool:Bash {"command":"echo $$ > said; read -t 3600 < /dev/zero"}]]`)
	pid, err := strconv.Atoi(said())
	require.NoError(t, err)
	return pid
}

// pipe makes a named pipe "said" in the working directory, and returns what waits for a line in it.
func pipe(t *testing.T, cli command) func() string {
	t.Helper()
	path := filepath.Join(cli.dir, "said")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = file.Close() })
	return func() string {
		t.Helper()
		require.NoError(t, file.SetReadDeadline(time.Now().Add(patience)))
		line, err := bufio.NewReader(file).ReadString('\n')
		require.NoError(t, err, "nothing was said")
		return strings.TrimSpace(line)
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestToolsHaveASessionOfTheirOwn(t *testing.T) {
	t.Run("a killed CLI leaves them", func(t *testing.T) {
		cli := simulated(t)
		h := spawn(t, cli, "--allowedTools=Bash")
		pid := runningTool(t, cli, h)
		t.Cleanup(func() { _ = syscall.Kill(-pid, syscall.SIGKILL) })
		group, err := syscall.Getpgid(pid)
		require.NoError(t, err)
		assert.Equal(t, pid, group)
		h.kill()
		assert.Equal(t, -1, h.exit())
		assert.True(t, alive(pid))
	})
	t.Run("SIGTERM ends them", func(t *testing.T) {
		cli := simulated(t)
		h := spawn(t, cli, "--allowedTools=Bash")
		pid := runningTool(t, cli, h)
		require.NoError(t, syscall.Kill(h.pid, syscall.SIGTERM))
		assert.Equal(t, 143, h.exit())
		assert.False(t, alive(pid))
	})
}

func TestToolEnvironment(t *testing.T) {
	cli := simulated(t)
	cli.env["ANTHROPIC_API_KEY"] = "secret"
	cli.env["MY_MARKER"] = "here"
	show := `[[tool:Bash {"command":"env | grep -E '^(ANTHROPIC_API_KEY|MY_MARKER|CLAUDECODE|CLAUDE_CODE_SESSION_ID|CLAUDE_PID|UNDERSTUDY_SIMULATE)=' | sort"}]]`
	output := func(h *host) string {
		h.prompt(show)
		content := h.untilType("user")["message"].(map[string]any)["content"].([]any)[0].(map[string]any)["content"].(string)
		h.untilType("result")
		assert.Zero(t, h.end())
		return strings.ReplaceAll(content, strconv.Itoa(h.pid), "PID")
	}
	seen := output(spawn(t, cli, "--allowedTools=Bash", "--session-id="+session))
	assert.Equal(t, "ANTHROPIC_API_KEY=secret\nCLAUDECODE=1\nCLAUDE_CODE_SESSION_ID="+session+"\nCLAUDE_PID=PID\nMY_MARKER=here", seen)
	cli.env["CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST"] = "1"
	seen = output(spawn(t, cli, "--allowedTools=Bash", "--resume="+session))
	assert.Equal(t, "CLAUDECODE=1\nCLAUDE_CODE_SESSION_ID="+session+"\nCLAUDE_PID=PID\nMY_MARKER=here", seen)
}

// Nobody reads the output, and the CLI goes on all the same.
func TestOutputThatNobodyReads(t *testing.T) {
	cli := simulated(t)
	h := spawn(t, cli, "--allowedTools=Bash")
	said := pipe(t, cli)
	h.prompt("[[hugeline:1000000]]")
	h.prompt(`[[tool:Bash {"command":"echo went on > said"}]]`)
	assert.Equal(t, "went on", said())
	assert.Equal(t, "success", h.untilType("result")["subtype"])
	assert.Equal(t, "success", h.untilType("result")["subtype"])
	assert.Zero(t, h.end())
}

func TestProcessThatFlushes(t *testing.T) {
	h := spawn(t, simulated(t))
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	h.turn("[[flush:" + pipe + "]]")
	require.NoError(t, h.stdin.Close())
	end, err := os.OpenFile(pipe, os.O_WRONLY, 0) // when it is at it
	require.NoError(t, err)
	assert.NoError(t, syscall.Kill(h.pid, 0))
	require.NoError(t, end.Close())
	assert.Zero(t, h.exit())

	h = spawn(t, simulated(t))
	h.turn("[[flush:1m]]")
	require.NoError(t, h.stdin.Close())
	require.NoError(t, syscall.Kill(h.pid, syscall.SIGTERM))
	assert.Equal(t, 143, h.exit())
}

func TestProcessThatLingers(t *testing.T) {
	h := spawn(t, simulated(t))
	h.turn("[[linger]]")
	require.NoError(t, h.stdin.Close())
	require.NoError(t, syscall.Kill(h.pid, syscall.SIGTERM))
	assert.Equal(t, 143, h.exit())
}

func TestProcessCrashesNowAndThen(t *testing.T) {
	cli := simulated(t)
	cli.env["UNDERSTUDY_SIM_CRASH_EVERY"] = "20ms"
	assert.Equal(t, -1, spawn(t, cli).exit())
}

func TestProcessThatStartsBadly(t *testing.T) {
	cli := simulated(t)
	cli.env["UNDERSTUDY_SIM_STARTUP"] = "silent"
	h := spawn(t, cli)
	require.NoError(t, h.stdin.Close())
	require.NoError(t, syscall.Kill(h.pid, syscall.SIGTERM))
	assert.NotZero(t, h.exit())
	assert.Empty(t, h.seen)
}
