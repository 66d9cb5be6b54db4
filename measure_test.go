package understudy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// TestMeasureStarts measures what docs/performance.md says of processes, on the real CLI, all in one run: each round starts the CLI by
// a plain exec with the same arguments and environment and the same first frame, then as a session, and then kills that one.
// UNDERSTUDY_MEASURE is the number of rounds; without it nothing is measured. It asserts nothing about time.
func TestMeasureStarts(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("UNDERSTUDY_MEASURE"))
	if err != nil {
		t.Skip("set UNDERSTUDY_MEASURE to a number of rounds")
	}
	r := newRig(t, true)
	r.options.Supervisor.Backoff = &supervisor.Backoff{Initial: time.Nanosecond}
	r.options.Supervisor.Intensity = &supervisor.Intensity{MaxRestarts: 10_000, Within: time.Second}
	r.boot()
	r.mustAsk("first") // so that there is a conversation to be resumed
	var bare, ready, crash []time.Duration
	var helper string
	for i := range rounds {
		bare = append(bare, bareStart(t, r))
		name := "w" + strconv.Itoa(i)
		began := time.Now()
		s, err := r.rt.Spawn(r.within(), name, r.spec)
		require.NoError(t, err)
		ready = append(ready, time.Since(began))
		helper = firstProcess(s.Info().PID)
		require.NoError(t, r.rt.Remove(r.within(), name))

		generation := r.Info().Generation
		began = time.Now()
		require.NoError(t, syscall.Kill(r.Info().PID, syscall.SIGKILL))
		for info := r.Info(); info.Generation == generation || info.State != session.Idle; info = r.Info() {
			time.Sleep(200 * time.Microsecond)
		}
		crash = append(crash, time.Since(began))
	}
	fmt.Printf("| best / median / worst of %d | ms | over the bare start's median |\n|---|---:|---:|\n", rounds)
	for _, row := range []struct {
		name string
		d    []time.Duration
	}{{"bare start to answered initialize", bare}, {"start to ready", ready}, {"crash to ready (resumed)", crash}} {
		slices.Sort(row.d)
		ms := func(d time.Duration) string { return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 0, 64) }
		over := row.d[len(row.d)/2] - bare[len(bare)/2]
		fmt.Printf("| %s | %s / %s / %s | %s ms, %.1f %% |\n", row.name, ms(row.d[0]), ms(row.d[len(row.d)/2]), ms(row.d[len(row.d)-1]),
			ms(over), 100*float64(over)/float64(bare[len(bare)/2]))
	}
	fmt.Println("the first process of a namespace:", helper)
}

// bareStart starts the CLI as a session would, without any of ours around it.
func bareStart(t *testing.T, r *rig) time.Duration {
	t.Helper()
	launch := r.Launch()
	launch.SessionID, launch.Resume, launch.Marker = "", false, ""
	args, err := launch.Argv()
	require.NoError(t, err)
	env, err := launch.Environ(os.Environ())
	require.NoError(t, err)
	frame, err := protocol.Encode(protocol.NewControlRequest("1", &protocol.Initialize{Hooks: map[string][]protocol.HookMatcher{
		protocol.HookPreToolUse: {{HookCallbackIDs: []string{"x"}, Timeout: 60}},
	}}))
	require.NoError(t, err)
	cmd := exec.Command(launch.Path, args...)
	cmd.Env, cmd.Dir = env, launch.Dir
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, cmd.Start())
	_, err = in.Write(append(bytes.TrimSpace(frame), '\n'))
	require.NoError(t, err)
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		if strings.Contains(line, "control_response") {
			break
		}
	}
	took := time.Since(began)
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait())
	return took
}

// firstProcess says how much memory the CLI's parent has for itself.
func firstProcess(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return err.Error()
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	status, err := os.ReadFile("/proc/" + strings.Fields(after)[1] + "/status")
	if err != nil {
		return err.Error()
	}
	var out []string
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "Name:") || strings.HasPrefix(line, "RssAnon:") || strings.HasPrefix(line, "RssFile:") {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(out, ", ")
}
