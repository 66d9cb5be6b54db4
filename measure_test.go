package understudy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// TestMeasureStarts measures what docs/performance.md says of processes, on the real CLI, all in one run: each round starts the CLI by
// a plain exec with the same arguments and environment and the same first frame, kills such a one and starts it again, then both as a session.
// UNDERSTUDY_MEASURE is the number of rounds; without it nothing is measured. It asserts nothing about time.
func TestMeasureStarts(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("UNDERSTUDY_MEASURE"))
	if err != nil {
		t.Skip("set UNDERSTUDY_MEASURE to a number of rounds")
	}
	r := newRig(t, true)
	r.options.Supervisor.Backoff = &supervisor.Backoff{Initial: time.Nanosecond}
	r.options.Supervisor.Intensity = &supervisor.Intensity{MaxRestarts: 10_000, Within: time.Second}
	r.options.Warm = []understudy.WarmSpec{{Template: "worker", Options: r.spec, Count: 1}}
	r.boot()
	r.mustAsk("first") // so that there is a conversation to be resumed
	var bare, resumed, restarted, ready, crash, warm []time.Duration
	plain := r.spec
	plain.Title = "no process waits for this one"
	var helper string
	for i := range rounds {
		bare = append(bare, bareStart(t, r, false))
		name := "w" + strconv.Itoa(i)
		began := time.Now()
		s, err := r.rt.Spawn(r.within(), name, plain)
		require.NoError(t, err)
		ready = append(ready, time.Since(began))
		helper = firstProcess(s.Info().PID)
		require.NoError(t, r.rt.Remove(r.within(), name))

		r.warmedUp(1)
		began = time.Now()
		_, err = r.rt.SpawnFrom(r.within(), "worker", name)
		require.NoError(t, err)
		warm = append(warm, time.Since(began))
		require.NoError(t, r.rt.Remove(r.within(), name))
		r.warmedUp(1) // what comes up in its place must not meet what is measured next

		resumed = append(resumed, bareStart(t, r, true))
		restarted = append(restarted, bareRestart(t, r))
		generation := r.Info().Generation
		began = time.Now()
		signal(t, r.Session, syscall.SIGKILL)
		for info := r.Info(); info.Generation == generation || info.State != session.Idle; info = r.Info() {
			time.Sleep(200 * time.Microsecond) // asked now and then, so that the asking is not what is measured
		}
		crash = append(crash, time.Since(began))
	}
	fmt.Printf("| best / median / worst of %d | ms | over the bare start's median |\n|---|---:|---:|\n", rounds)
	for _, row := range []struct {
		name string
		d    []time.Duration
	}{{"bare start to answered initialize", bare}, {"the same with a conversation to resume", resumed},
		{"a plain kill, wait and such a start", restarted}, {"start to ready", ready}, {"crash to ready (resumed)", crash}, {"warm start to ready", warm}} {
		slices.Sort(row.d)
		ms := func(d time.Duration) string { return strconv.FormatFloat(float64(d.Microseconds())/1000, 'g', 3, 64) }
		over := row.d[len(row.d)/2] - bare[len(bare)/2]
		fmt.Printf("| %s | %s / %s / %s | %s ms, %.1f %% |\n", row.name, ms(row.d[0]), ms(row.d[len(row.d)/2]), ms(row.d[len(row.d)-1]),
			ms(over), 100*float64(over)/float64(bare[len(bare)/2]))
	}
	fmt.Println("the first process of a namespace:", helper)
}

// TestMeasureSessions measures on the simulated CLI what sessions cost: 1,000 of them started, queried once and stopped, beside a plain
// loop that does the same with the same processes; and the memory that an idle one takes in the runtime. UNDERSTUDY_MEASURE_SESSIONS is
// the number of sessions. It asserts nothing.
func TestMeasureSessions(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv("UNDERSTUDY_MEASURE_SESSIONS"))
	if err != nil {
		t.Skip("set UNDERSTUDY_MEASURE_SESSIONS to a number of sessions")
	}
	r := newRig(t, false)
	r.options.Logger = zerolog.Nop() // as an embedder has it who says nothing
	r.boot()
	side := 2 * runtime.GOMAXPROCS(0) // as many as come up at a time by default
	took := func(kind *measuredKind, from, to int) {
		before, began := cpuTime(t), time.Now()
		next := make(chan int, to-from)
		for i := from; i < to; i++ {
			next <- i
		}
		close(next)
		var all sync.WaitGroup
		for range side {
			all.Go(func() {
				for i := range next {
					kind.one(i)
				}
			})
		}
		all.Wait()
		kind.took += time.Since(began)
		for i, after := range cpuTime(t) {
			kind.cpu[i] += after - before[i]
		}
	}
	sessions := func(without ...process.Layer) func(i int) {
		spec := r.spec
		spec.Containment.Without = without
		return func(i int) {
			name := fmt.Sprint("w", i)
			s, err := r.rt.Spawn(t.Context(), name, spec)
			if assert.NoError(t, err) {
				_, err = s.Ask(t.Context(), "hello")
				assert.NoError(t, err)
				assert.NoError(t, r.rt.Remove(t.Context(), name))
			}
		}
	}
	kinds := []*measuredKind{
		{name: "processes in a plain loop", one: func(int) { bareTurn(t, r) }},
		{name: "sessions", one: sessions()},
		{name: "sessions without a pid namespace", one: sessions(process.LayerPIDNamespace)},
	}
	// In turns, so that what else the machine does meets all of them.
	const turn = 100
	for from := 0; from < count; from += turn {
		for _, kind := range kinds {
			took(kind, from, min(from+turn, count))
		}
	}
	each := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(count) }
	fmt.Printf("| %d of each | wall time, ms each | beside the loop | processor time here, ms each | in their processes | all of it beside the loop's |\n|---|---:|---:|---:|---:|---:|\n", count)
	for _, kind := range kinds {
		loop := kinds[0]
		fmt.Printf("| %s | %.2f | %.2f | %.2f | %.2f | %.2f |\n", kind.name, each(kind.took), float64(kind.took)/float64(loop.took),
			each(kind.cpu[0]), each(kind.cpu[1]), float64(kind.cpu[0]+kind.cpu[1])/float64(loop.cpu[0]+loop.cpu[1]))
	}

	const idle = 100
	used := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := used()
	for i := range idle {
		_, err := r.rt.Spawn(t.Context(), fmt.Sprint("idle", i), r.spec)
		require.NoError(t, err)
	}
	fresh := used()
	for i := range idle {
		s, err := r.rt.Session(fmt.Sprint("idle", i))
		require.NoError(t, err)
		_, err = s.Ask(t.Context(), "hello")
		require.NoError(t, err)
	}
	after := used()
	fmt.Printf("| memory of an idle session without its CLI | %.1f kB | %.1f kB after a turn |\n", float64(fresh-before)/idle/1000, float64(after-before)/idle/1000)
}

// measuredKind is one way to run a process, and what it took.
type measuredKind struct {
	name string
	one  func(i int)
	took time.Duration
	cpu  [2]time.Duration // as cpuTime has it
}

// cpuTime is what this process has used, and what those have that it has waited for.
func cpuTime(t *testing.T) (used [2]time.Duration) {
	for i, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		require.NoError(t, syscall.Getrusage(who, &u))
		used[i] = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return used
}

// bareTurn starts the CLI, sends one prompt, and ends it, without any of ours around it.
func bareTurn(t *testing.T, r *rig) {
	launch := r.Launch()
	launch.SessionID, launch.Resume, launch.Marker = uuid.NewString(), false, ""
	args, err := launch.Argv()
	require.NoError(t, err)
	env, err := launch.Environ(os.Environ())
	require.NoError(t, err)
	prompt := protocol.NewUserText("", "hello")
	prompt.UUID = uuid.NewString()
	frames := []protocol.Message{
		protocol.NewControlRequest("1", &protocol.Initialize{Hooks: map[string][]protocol.HookMatcher{
			protocol.HookPreToolUse: {{HookCallbackIDs: []string{"x"}, Timeout: 60, OnFailure: protocol.OnFailureBlock}},
		}}),
		prompt, // with an id, as a session has one: it makes the CLI say more
	}
	cmd := exec.Command(launch.Path, append(slices.Clone(launch.PrefixArgs), args...)...)
	cmd.Env, cmd.Dir = env, launch.Dir
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(out)
	for i, awaited := range []string{"control_response", `"type":"result"`} {
		frame, err := protocol.Encode(frames[i])
		require.NoError(t, err)
		_, err = in.Write(append(bytes.TrimSpace(frame), '\n'))
		require.NoError(t, err)
		for {
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			if strings.Contains(line, awaited) {
				break
			}
		}
	}
	require.NoError(t, in.Close())
	_, err = io.Copy(io.Discard, lines)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
}

// bareStart starts the CLI as a session would, without any of ours around it, and ends it.
func bareStart(t *testing.T, r *rig, resume bool) time.Duration {
	t.Helper()
	cmd, in, took := bareCLI(t, r, resume)
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait())
	return took
}

// bareRestart kills such a CLI, waits for it, and starts it again, as a loop would that does nothing else.
func bareRestart(t *testing.T, r *rig) time.Duration {
	t.Helper()
	cmd, _, _ := bareCLI(t, r, true)
	began := time.Now()
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	cmd, in, _ := bareCLI(t, r, true)
	took := time.Since(began)
	require.NoError(t, in.Close())
	require.NoError(t, cmd.Wait())
	return took
}

// bareCLI is one that has answered its first frame, and how long that took.
func bareCLI(t *testing.T, r *rig, resume bool) (*exec.Cmd, io.Closer, time.Duration) {
	t.Helper()
	launch := r.Launch()
	launch.SessionID, launch.Resume, launch.Marker = "", resume, ""
	if resume {
		launch.SessionID = r.Info().SessionID
	}
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
	return cmd, in, time.Since(began)
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
