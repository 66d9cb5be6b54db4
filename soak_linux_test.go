package understudy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	runtimedebug "runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

const (
	// soakVariable is how many lives each of twenty sessions has in TestSoak; there are fewer of both without it.
	soakVariable = "UNDERSTUDY_SOAK"
	// soakerVariable makes the test binary the process that TestSoak starts.
	soakerVariable = "UNDERSTUDY_TEST_SOAKER"
)

// TestSoak has sessions begin, answer, end and be removed, again and again, in a process with one processor for Go, with a disk and a clock
// of its own: CLIs are killed, the disk is full now and then, the clock is set back and forth, and whoever starts sessions does so on threads
// that end. No process ends without a reason, the debug endpoint answers all the time, every event is in the audit log or counted as lost,
// and in the end there is no more of anything than after the first lives.
//
// Fault: sessions begin, answer and end, again and again, on one processor, while CLIs are killed, the disk of the data directory is full
// now and then, the clock on the wall is set, and the threads end that started them
// Outcome: nothing ends but what was killed or told to; the debug endpoint answers all the time; each event is in the audit log or counted
// there as lost, and with mode required no turn ran unrecorded; afterwards there are no more processes, descriptors and goroutines, and no
// more memory, than after the first of them
// On: simulated
func TestSoak(t *testing.T) {
	if mode, ok := os.LookupEnv(soakerVariable); ok {
		soak(t, mode)
		return
	}
	t.Parallel()
	for _, mode := range []audit.Mode{audit.Required, audit.BestEffort} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			require.NoError(t, err)
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestSoak$", "-test.v", "-test.timeout=0")
			cmd.Env = append(os.Environ(), soakerVariable+"="+mode.String(), "GOMAXPROCS=1", "GORACE=atexit_sleep_ms=0")
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
			if os.Geteuid() != 0 {
				cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
				cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
				cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
			}
			out, err := cmd.CombinedOutput()
			if _, ran := errors.AsType[*exec.ExitError](err); err != nil && !ran {
				t.Skip("there is no mount namespace to be had: ", err)
			}
			require.NoError(t, err, "%s", out)
			t.Logf("%s", out)
		})
	}
}

// soaker is the runtime in the process that TestSoak starts, and what was done to it.
type soaker struct {
	*testing.T
	*turmoil
	dataDir string
	disk    int64     // bytes
	end     time.Time // no life begins after it
	rt      *understudy.Runtime
	like    session.Options
	clock   func(ahead time.Duration)
	log     panics
	url     string        // of the debug endpoint
	rarely  time.Duration // how many times as long it is between faults as in a short one
	browser *http.Client
	lives   atomic.Int64

	mu      sync.Mutex
	marker  string          // in the environment of some session's processes
	killed  map[string]bool // by conversation and generation
	events  map[audit.Kind]int
	turns   int // that were answered
	kills   int
	fills   int
	looks   int
	slowest time.Duration
}

// soakTime is how long the lives go on at most, however many there are left. A short soak is over long before.
const soakTime = 6 * time.Minute

// What the heap may grow by. As long as the log has heard of no more than 10,000 sessions it keeps a number for the name of each, and another one
// for those that its segment began with: 75 to 165 bytes. Beside that there is only what has its size by chance: buffers, and the sessions
// that ended in the last fifth of a second. Two hundred bytes that each life leaves behind are too many after some nine thousand of them.
const (
	heapPerLife = 128
	heapOnce    = 1 << 20
)

const soakToken = "a token that is long enough to be one"

func soak(t *testing.T, mode string) {
	actors, lives, rarely := 3, 3, 1
	if text := os.Getenv(soakVariable); text != "" {
		var err error
		lives, err = strconv.Atoi(text)
		require.NoError(t, err, soakVariable)
		actors, rarely = 20, 10
	}
	k := &soaker{T: t, turmoil: newTurmoil(t, 0), rarely: time.Duration(rarely), killed: make(map[string]bool), events: make(map[audit.Kind]int)}
	k.boot(mode, actors*lives)
	k.clock = wallClock(t)

	k.live(actors, max(lives/20, 1))
	before, first := k.measure(soaked{}), k.lives.Load()
	k.end = time.Now().Add(soakTime)
	k.live(actors, lives)
	after := k.measure(before)
	t.Logf("%d lives: %s; %d kills, the disk was full %d times, %d looks, the slowest answer %v", k.lives.Load(), k, k.kills, k.fills, k.looks, k.slowest)
	t.Logf("after the first lives: %v; in the end: %v", before, after)
	assert.Empty(t, after.beyond(before), "%v\n%s", descriptorNames(), stackDump())
	assert.LessOrEqual(t, after.idle, 16*runtime.GOMAXPROCS(0), "goroutines of the actors that wait for work")
	assert.Less(t, after.heap-before.heap, heapOnce+heapPerLife*int(k.lives.Load()-first), "bytes of the heap that are in use")
	assert.Less(t, after.resident, before.resident+before.resident/4+64<<20, "bytes of memory")
	assert.Zero(t, k.ends["interrupted"], "nobody does")
	if rarely > 1 {
		assert.Greater(t, k.ends["answered"], 9*k.ends["unaudited"], "most queries do something")
	}
	last, err := k.rt.Spawn(t.Context(), "last", k.like)
	require.NoError(t, err)
	answer, err := last.Ask(t.Context(), "still there?")
	require.NoError(t, err)
	assert.Equal(t, "echo: still there?", answer.Text)
	k.account(mode)
}

// boot starts the runtime on a small disk.
func (k *soaker) boot(mode string, lives int) {
	k.dataDir = k.TempDir()
	require.NoError(k, unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""), "what is mounted here is this process's own")
	k.disk = 16<<20 + 2*int64(lives)*64<<10
	if err := unix.Mount("tmpfs", k.dataDir, "tmpfs", 0, fmt.Sprint("size=", k.disk)); err != nil {
		k.Skip("a small disk cannot be mounted here: ", err)
	}
	k.Cleanup(func() { assert.NoError(k, unix.Unmount(k.dataDir, unix.MNT_DETACH)) })
	path, args, env := sessiontest.CLI(k)
	delete(env, soakerVariable)
	env["HOME"] = k.TempDir()
	k.like = session.Options{
		CWD: k.TempDir(), Env: env, APIKey: madeUpKey, AllowedTools: []string{"Bash"}, Shutdown: supervisor.Within(10 * time.Second),
		StartTimeout: patience, Budgets: []string{"team"},
	}
	o := understudy.Options{
		DataDir: k.dataDir, CLI: session.CLI{Path: path, Args: args},
		Budgets: []session.BudgetSpec{{Name: "team", LimitUSD: 1e6, Per: time.Hour}},
		Supervisor: understudy.SupervisorOptions{
			Intensity: &supervisor.Intensity{MaxRestarts: 4, Within: 30 * time.Second},
			Backoff:   &supervisor.Backoff{Initial: 5 * time.Millisecond, Max: 50 * time.Millisecond, Jitter: 0.2},
		},
		OnMoment: k.onMoment, OnEvent: k.onEvent,
		Logger: zerolog.New(&k.log).Level(zerolog.WarnLevel),
	}
	require.NoError(k, o.Audit.Mode.UnmarshalText([]byte(mode)))
	var err error
	k.rt, err = understudy.Start(k.Context(), o)
	require.NoError(k, err)
	k.Cleanup(func() { shutdown(k.T, k.rt) })

	address := make(chan string, 1)
	handler := debug.Handler(k.rt.Backend(nil), debug.Options{Token: soakToken, RequireTokenForReads: true})
	require.NoError(k, k.rt.Supervise(k.Context(), supervisor.ChildSpec{
		ID: "debug", Start: debug.Serve(k.rt.System(), "root/debug", func() (net.Listener, error) {
			listener, err := debug.ListenTCP("127.0.0.1:0")
			if err == nil {
				address <- listener.Addr().String()
			}
			return listener, err
		}, handler, zerolog.Nop()),
	}))
	k.url = "http://" + <-address
	k.browser = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	open := debug.Handler(k.rt.Backend(nil), debug.Options{})
	stranger := httptest.NewRequest("GET", "http://127.0.0.1"+debug.Path+"tree", nil)
	stranger.RemoteAddr = "192.0.2.1:40000"
	answer := httptest.NewRecorder()
	open.ServeHTTP(answer, stranger)
	assert.Equal(k, http.StatusForbidden, answer.Code, "without a token nobody else's machine is answered")
}

// onMoment counts what has a record, and looks at how processes end.
func (k *soaker) onMoment(m session.Moment) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch m.Kind {
	case session.ProcessStarted:
		k.events[audit.SessionStarted]++
	case session.ProcessReady:
		k.events[audit.SessionReady]++
	case session.TurnEnded:
		if m.Outcome != "crashed" {
			k.events[audit.TurnResult]++
		}
	case session.ProcessEnded:
		killed := k.killed[incarnation(m.SessionID, m.Generation)]
		// One that was killed before it wrote anything down has left nothing to resume, which the next one finds out.
		empty := m.Outcome == "exit code 1" && m.Turn == 0 && k.killed[incarnation(m.SessionID, m.Generation-1)]
		if !strings.HasPrefix(m.Outcome, "stopped") && !killed && !empty {
			k.Errorf("nobody has killed it: %+v", m)
		}
	}
}

func incarnation(conversation string, generation int) string {
	return conversation + " " + strconv.Itoa(generation)
}

// onEvent counts the decisions of supervisors. The log cannot be told of its own last end.
func (k *soaker) onEvent(e supervisor.Event) {
	if e.Supervisor == "root" && e.Child == "audit" && e.Ending {
		return
	}
	kind := audit.SupervisorEvent
	switch {
	case e.Supervisor != "root/sessions":
	case e.Kind == supervisor.ChildParked:
		kind = audit.SessionParked
	case e.Kind == supervisor.RestartScheduled:
		kind = audit.SessionRestarted
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events[kind]++
}

// live has all actors live so many lives, while everything happens to them.
func (k *soaker) live(actors, lives int) {
	k.over = make(chan struct{})
	var all sync.WaitGroup
	for i := range actors {
		all.Go(func() {
			random := k.random(i + 1)
			for range lives {
				if !k.end.IsZero() && time.Now().After(k.end) {
					return
				}
				name := fmt.Sprintf("a%02d-%d", i, k.lives.Add(1)) // which nobody has had before, as jobs have
				done := make(chan struct{})
				go func() { // ends with the life, and its thread with it
					defer close(done)
					runtime.LockOSThread()
					k.life(name, random)
				}()
				<-done
			}
		})
	}
	random := k.random(0)
	k.repeat(func() bool { return k.kill(random) })
	disk, clock := k.random(-1), k.random(-2)
	k.repeat(func() bool { return k.fill(disk) })
	k.repeat(func() bool { return k.leap(clock) })
	k.repeat(k.look)
	k.repeat(func() bool { return k.pause(20*time.Millisecond, k.say) })
	all.Wait()
	close(k.over)
	k.await(k.T, func() string { return fmt.Sprint(k.rt.Sessions()) })
	k.clock(0)
	assert.Empty(k, k.rt.Sessions())
}

// pause waits, unless it is over, and then does something.
func (k *soaker) pause(d time.Duration, f func()) bool {
	select {
	case <-k.over:
		return false
	case <-time.After(d):
		f()
		return true
	}
}

// life is that of one session.
func (k *soaker) life(name string, random *rand.Rand) {
	ctx, cancel := context.WithTimeout(k.Context(), patience)
	defer cancel()
	s, err := k.rt.Spawn(ctx, name, k.like)
	if end := endOf(err); err != nil {
		if end != "crashed" { // as it came up
			k.Errorf("spawn %s: %v", name, err)
		}
		k.ended("start " + end)
		return
	}
	k.mu.Lock()
	k.marker = s.Launch().Marker
	k.mu.Unlock()
	for range 1 + random.IntN(2) {
		prompt := []string{"x", "[[sleep:20ms]] x", bash("true"), bash("(setsid sleep 30 &) ; echo left something"), "[[selfturn:5ms y]] x"}[random.IntN(5)]
		_, err := s.Ask(ctx, prompt)
		end := endOf(err)
		if end == "" {
			k.Errorf("%s: %q ended with %v (%+v)", name, prompt, err, s.Info())
		}
		k.ended(end)
		if err == nil {
			k.mu.Lock()
			k.turns++
			k.mu.Unlock()
		}
	}
	if random.IntN(4) == 0 {
		if err := k.rt.Stop(ctx, name); err != nil && !errors.Is(err, unix.ENOSPC) { // that it is to stay stopped is not on disk
			k.Errorf("stop %s: %v", name, err)
		}
		if err := k.rt.Restart(ctx, name); err != nil && endOf(err) != "crashed" {
			k.Errorf("restart %s: %v", name, err)
		}
	}
	if err := k.rt.Remove(ctx, name); err != nil {
		k.Errorf("remove %s: %v (%+v)", name, err, s.Info())
	}
}

// kill sends SIGKILL to a CLI, or to what holds it.
func (k *soaker) kill(random *rand.Rand) bool {
	return k.pause(time.Duration(50+random.IntN(300))*time.Millisecond*k.rarely, func() {
		all := k.rt.Sessions()
		if len(all) == 0 {
			return
		}
		info := all[random.IntN(len(all))].Info()
		if info.PID == 0 {
			return
		}
		k.mu.Lock()
		k.killed[incarnation(info.SessionID, info.Generation)] = true
		k.kills++
		k.mu.Unlock()
		pid := info.PID
		if above := parentOf(pid); above > 1 && above != os.Getpid() && random.IntN(4) == 0 {
			pid = above
		}
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone
	})
}

// parentOf is 0 if there is no such process.
func parentOf(pid int) int {
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat") // it may be gone
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after)
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1]) // it is a number
	return parent
}

// fill fills the disk for a while.
func (k *soaker) fill(random *rand.Rand) bool {
	// While it is full, and for up to a second after that, what is asked for is refused where the log is required.
	if !k.pause(time.Duration(200+random.IntN(600))*time.Millisecond*k.rarely*k.rarely, func() {}) {
		return false
	}
	if err := k.resize(false); err != nil {
		k.Errorf("fill the disk: %v", err)
		return false
	}
	k.fills++
	k.pause(time.Duration(20+random.IntN(200))*time.Millisecond, func() {})
	if err := k.resize(true); err != nil {
		k.Errorf("make room on the disk: %v", err)
	}
	return true
}

// resize makes the disk as large as it was made, or as small as it can be, which costs no memory as a file would that fills it.
func (k *soaker) resize(whole bool) error {
	for {
		size := k.disk
		if !whole {
			var now unix.Statfs_t
			if err := unix.Statfs(k.dataDir, &now); err != nil {
				return err
			}
			size = int64(now.Blocks-now.Bfree) * now.Bsize
		}
		err := unix.Mount("tmpfs", k.dataDir, "tmpfs", unix.MS_REMOUNT, fmt.Sprint("size=", size))
		if whole || !errors.Is(err, unix.EINVAL) { // meanwhile there is more on it
			return err
		}
	}
}

// leap sets the clock.
func (k *soaker) leap(random *rand.Rand) bool {
	return k.pause(time.Duration(100+random.IntN(400))*time.Millisecond, func() {
		most := []time.Duration{time.Minute, time.Hour, 30 * time.Hour, 400 * 24 * time.Hour}[random.IntN(4)]
		k.clock(time.Duration(random.Int64N(2*int64(most))) - most)
	})
}

// say puts records of the embedder's own into the log.
func (k *soaker) say() {
	k.rt.Audit().Post(audit.Record{Kind: audit.AdminAction, Principal: "somebody", Detail: map[string]any{"action": "soak"}})
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events[audit.AdminAction]++
}

// look is somebody who watches the tree, and two who must not.
func (k *soaker) look() bool {
	return k.pause(50*time.Millisecond, func() {
		began := time.Now()
		status, body := k.get("tree", "127.0.0.1", soakToken)
		k.slowest = max(k.slowest, time.Since(began))
		k.looks++
		var tree debug.Node
		if !assert.Equal(k, http.StatusOK, status, "%s", body) || !assert.NoError(k, json.Unmarshal(body, &tree)) {
			return
		}
		for _, n := range tree.Children {
			if n.Name != "sessions" {
				continue
			}
			for _, s := range n.Children {
				if assert.NotNil(k, s.SessionFields, "%+v", s) {
					assert.NotEmpty(k, s.State, "%+v", s)
					assert.False(k, s.Since.IsZero(), "%+v", s)
					assert.Equal(k, []string{"team"}, s.Budgets)
				}
			}
		}
		require.Len(k, tree.SharedBudgets, 1)
		status, _ = k.get("tree", "evil.example", soakToken)
		assert.Equal(k, http.StatusMisdirectedRequest, status)
		status, _ = k.get("tree", "127.0.0.1", "")
		assert.Equal(k, http.StatusUnauthorized, status)
	})
}

func (k *soaker) get(path, host, token string) (status int, body []byte) {
	request, err := http.NewRequestWithContext(k.Context(), "GET", k.url+debug.Path+path, nil)
	if !assert.NoError(k, err) {
		return 0, nil
	}
	request.Host = host
	request.Header.Set("Accept", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := k.browser.Do(request)
	if !assert.NoError(k, err) {
		return 0, nil
	}
	defer func() { _ = answer.Body.Close() }() // it is read to its end, or was given up
	body, err = io.ReadAll(answer.Body)
	assert.NoError(k, err)
	return answer.StatusCode, body
}

// soaked is what there is of what must not grow.
type soaked struct {
	descriptors, goroutines map[string]int // by what they lead to, and by where they were started
	idle                    int            // goroutines on which actors run, and none does: as many are kept as ever ran at a time, up to a bound
	heap, resident          int
}

func (s soaked) String() string {
	return fmt.Sprintf("%d descriptors, %d goroutines, %d that actors run on, %d bytes of heap, %d of memory",
		total(s.descriptors), total(s.goroutines), s.idle, s.heap, s.resident)
}

func total(of map[string]int) (sum int) {
	for _, n := range of {
		sum += n
	}
	return sum
}

// beyond is what there is more of than before.
func (s soaked) beyond(before soaked) []string {
	var more []string
	for _, pair := range [][2]map[string]int{{s.descriptors, before.descriptors}, {s.goroutines, before.goroutines}} {
		for what, n := range pair[0] {
			if was := pair[1][what]; n > was {
				more = append(more, fmt.Sprintf("%d, not %d: %s", n, was, what))
			}
		}
	}
	return more
}

var digits = regexp.MustCompile(`[0-9]+`)

// count counts descriptors and goroutines.
func count() soaked {
	now := soaked{descriptors: make(map[string]int), goroutines: make(map[string]int)}
	for _, name := range descriptorNames() {
		_, to, _ := strings.Cut(name, "=")
		now.descriptors[digits.ReplaceAllString(to, "N")]++ // the log goes from one segment to the next
	}
	for stack := range strings.SplitSeq(string(stackDump()), "\n\n") {
		lines := strings.Split(strings.TrimSpace(stack), "\n")
		if strings.Contains(lines[0], "[chan receive") && strings.Contains(lines[1], "/actor.(*crew).enlist(") {
			now.idle++
			continue
		}
		where, _, _ := strings.Cut(lines[max(0, len(lines)-2)], " in goroutine ")
		now.goroutines[where]++
	}
	return now
}

// measure waits until all that was is gone, and no more is there than before.
func (k *soaker) measure(before soaked) soaked {
	id, _, _ := strings.Cut(k.marker, "/")
	require.NotEmpty(k, id)
	var now soaked
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		quiet := k.rt.Audit().Health() == nil && k.rt.Audit().Status().Queue == 0 && len(children()) == 0
		now = count()
		if quiet && (before.goroutines == nil || len(now.beyond(before)) == 0) || time.Now().After(deadline) {
			break
		}
	}
	assert.NoError(k, k.rt.Audit().Health())
	assert.Empty(k, children(), "zombies among them")
	assert.Empty(k, process.SweepPrefix(id+"/").Killed, "processes left behind")
	assert.Empty(k, k.rt.Budgets()[0].Sessions, "those that spend from it are gone")
	runtime.GC()
	runtimedebug.FreeOSMemory()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	data, err := os.ReadFile("/proc/self/statm")
	require.NoError(k, err)
	fields := strings.Fields(string(data))
	pages, err := strconv.Atoi(fields[1])
	require.NoError(k, err)
	if before.goroutines == nil {
		// When writing it has failed the log does without this one file until it is opened anew.
		file := digits.ReplaceAllString(filepath.Join(k.dataDir, "audit", "audit.hashes"), "N")
		now.descriptors[file] = 1
	}
	now.heap, now.resident = int(memory.HeapAlloc), pages*os.Getpagesize()
	return now
}

// panics keeps of a log what is said of panics: the rest grows with each life.
type panics struct {
	mu    sync.Mutex
	lines []string
}

func (p *panics) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("panic")) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lines = append(p.lines, string(line))
	}
	return len(line), nil
}

func (p *panics) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines
}

// children are those of this process, the dead ones that nobody has reaped among them.
func children() (pids []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is right
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir)) // it is a number
		if parentOf(pid) == os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// account ends the runtime and holds its log to what happened.
func (k *soaker) account(mode string) {
	shutdown(k.T, k.rt)
	assert.Empty(k, k.log.said())
	dir := filepath.Join(k.dataDir, "audit")
	report, err := audit.Verify(k.Context(), dir, audit.VerifyOptions{})
	require.NoError(k, err)
	assert.Contains(k, []int{0, 3}, report.Code(), "%v", report.Findings)
	have, lost := make(map[audit.Kind]int), make(map[audit.Kind]int)
	for r, err := range audit.Read(dir) {
		require.NoError(k, err)
		have[r.Kind]++
		if r.Kind != audit.LogGap {
			continue
		}
		kinds, _ := r.Detail["kinds"].(map[string]any)
		for kind, n := range kinds {
			number, err := strconv.Atoi(fmt.Sprint(n))
			require.NoError(k, err)
			lost[audit.Kind(kind)] += number
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for kind, n := range k.events {
		assert.Equal(k, n, have[kind]+lost[kind], "%s: %d in the log, %d lost", kind, have[kind], lost[kind])
	}
	sum := 0
	for _, n := range lost {
		sum += n
	}
	assert.Equal(k, k.rt.Audit().Status().Lost, uint64(sum))
	k.Logf("in the log %v, lost %v", have, lost)
	if mode == audit.Required.String() {
		assert.Zero(k, lost[audit.TurnStarted]+lost[audit.ToolIntent], "what must be in the log before it happens")
		assert.LessOrEqual(k, k.turns, have[audit.TurnStarted])
	}
}
