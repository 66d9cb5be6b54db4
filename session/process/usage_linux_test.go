package process

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUsagesOfATree(t *testing.T) {
	// A shell that has burnt some time and has a child: both count for the shell.
	cmd := exec.Command("sh", "-c", `i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 600 & echo ready; read x; kill $!`)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = out.Read(make([]byte, 16))
	require.NoError(t, err)
	found := Usages([]int{cmd.Process.Pid, os.Getpid(), 1 << 30})
	require.NoError(t, in.Close())
	_ = cmd.Wait() // read has failed, which is its exit code
	assert.Len(t, found, 2, "a process that is not there is left out")
	shell, self := found[cmd.Process.Pid], found[os.Getpid()]
	assert.Equal(t, 2, shell.Processes)
	assert.Positive(t, shell.RSS)
	assert.GreaterOrEqual(t, shell.CPU, clockTick)
	assert.GreaterOrEqual(t, self.Processes, 3)
	assert.Greater(t, self.RSS, shell.RSS)
	assert.Nil(t, Usages(nil))
}

func TestParseUsage(t *testing.T) {
	line := "4711 (a) b ( c) S 4700 4711 4711 0 -1 4194560 1 2 0 0 12 34 5 6 20 0 9 0 1234 9999 77 18446744073709551615\n"
	u, ok := parseUsage([]byte(line), 4096)
	assert.True(t, ok)
	assert.Equal(t, taskUsage{ppid: 4700, own: Usage{RSS: 77 * 4096, CPU: 570 * time.Millisecond}}, u)
	for _, broken := range []string{"", "4711", "4711 (x) S", "4711 (x", line[:60]} {
		_, ok := parseUsage([]byte(broken), 4096)
		assert.False(t, ok, broken)
	}
}
