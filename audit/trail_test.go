package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit/internal/format"
)

const writerDir = "UNDERSTUDY_TEST_AUDIT_WRITER"

// segment1 is the first file of a log.
var segment1 = segmentName(1)

// TestMain is also the process that TestKilledProcess kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		appendForEver(dir)
	}
	goleak.VerifyTestMain(m)
}

func appendForEver(dir string) {
	t := New(actor.NewSystem(actor.Options{}), Options{
		Dir: dir, SegmentBytes: 4000, CheckpointRecords: 3, Reserve: 4096, CheckpointEvery: time.Millisecond,
	})
	if _, err := t.Start(context.Background()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 1; ; i++ {
		if err := t.Append(context.Background(), Record{Kind: TurnStarted, Turn: i}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(i)
	}
}

// deadline is for what must happen; a test that gets there has failed.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// scratch is a directory in memory, where there is such a file system: a sync costs nothing there, and what it
// promises, faults and power cuts, is played by the disks of these tests.
func scratch(t testing.TB) string {
	if _, err := os.Stat("/dev/shm"); err != nil || os.Getenv("UNDERSTUDY_TEST_DISK") != "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "understudy-audit-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func newTrail(t *testing.T, o Options, d disk) *Trail {
	if o.Dir == "" {
		o.Dir = filepath.Join(scratch(t), "audit")
	}
	if o.Reserve == 0 {
		o.Reserve = 4096
	}
	trail := New(actor.NewSystem(actor.Options{}), o)
	if d != nil {
		trail.disk = d
	}
	t.Cleanup(func() {
		trail.mu.Lock()
		last := trail.last
		trail.mu.Unlock()
		if last != nil {
			last.ref.Stop(nil)
			<-last.released
		}
	})
	return trail
}

func start(t *testing.T, trail *Trail) actor.PID {
	t.Helper()
	pid, err := trail.Start(deadline(t))
	require.NoError(t, err)
	return pid
}

func stop(t *testing.T, pid actor.PID) {
	t.Helper()
	pid.Stop(nil)
	select {
	case <-pid.Done():
	case <-deadline(t).Done():
		t.Fatal("the audit actor does not end")
	}
}

// read returns all records and checks what holds for every log.
func read(t *testing.T, dir string) []Record {
	t.Helper()
	var records []Record
	for r, err := range Read(dir) {
		require.NoError(t, err)
		require.EqualValues(t, len(records)+1, r.Seq, "sequence")
		records = append(records, r)
	}
	return records
}

func kindsOf(records []Record) (kinds []Kind) {
	for _, r := range records {
		kinds = append(kinds, r.Kind)
	}
	return kinds
}

func turns(records []Record) (turns []int) {
	for _, r := range records {
		if r.Turn > 0 {
			turns = append(turns, r.Turn)
		}
	}
	return turns
}

func turn(n int) Record { return Record{Kind: TurnStarted, Turn: n} }

// gate makes one operation wait. Opening it twice does no harm.
type gate struct {
	reached chan struct{}
	opened  chan struct{}
	once    sync.Once
}

func newGate() *gate  { return &gate{reached: make(chan struct{}), opened: make(chan struct{})} }
func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }

// at lets the gate stop the nth call of an operation.
func (g *gate) at(op string, n int) func(step) (fault, error) {
	return func(s step) (fault, error) {
		if s == (step{op, n}) {
			close(g.reached)
			<-g.opened
		}
		return fine, nil
	}
}

func queued(t *testing.T, trail *Trail, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return trail.Status().Queue == n }, time.Minute, time.Millisecond)
}

func TestEveryField(t *testing.T) {
	trail := newTrail(t, Options{Name: "root/audit", Runtime: "r1"}, nil)
	pid := start(t, trail)
	no := false
	want := Record{
		Time: time.Date(2025, 11, 5, 9, 30, 0, 123456789, time.FixedZone("", 3600)),
		Kind: ToolResult, Actor: "root/sessions/a", Session: "a", SessionID: "6f1c", Generation: 2, Turn: 3,
		ToolUseID: "t1", ParentToolUseID: "t0", AgentID: "ag", Tool: "Bash",
		Input: json.RawMessage(`{"b":"<&>","a":1e400}`), Output: json.RawMessage(`[null]`), IsError: &no,
		Decision: &Decision{Deny, "rule", "Bash(rm:*)", "no"}, Exit: &Exit{"killed", -1, "SIGKILL"},
		CostUSD: 0.25, Principal: "uid 1000", Detail: map[string]any{"x": []any{"y", 1.5}},
	}
	require.NoError(t, trail.Append(deadline(t), want))
	stop(t, pid)
	records := read(t, trail.options.Dir)
	require.Equal(t, []Kind{LogOpened, ToolResult, LogClosed}, kindsOf(records))
	got := records[1]
	assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, got.ID)
	assert.Positive(t, got.MonoNS)
	want.V, want.Seq, want.ID, want.Runtime, want.Time = 1, 2, got.ID, "r1", want.Time.UTC()
	want.SessionSeq, want.MonoNS, want.Outcome = 1, got.MonoNS, Deny
	assert.Equal(t, want, got)
	assert.Equal(t, "root/audit", records[0].Actor)
	assert.Equal(t, "r1", records[2].Runtime)
}

func TestGroupCommit(t *testing.T) {
	const n = 200
	g := newGate()
	defer g.open()
	d := &testDisk{hook: g.at("sync "+segment1, 2)} // the first is that of log.opened
	trail := newTrail(t, Options{}, d)
	pid := start(t, trail)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { assert.NoError(t, trail.Append(deadline(t), turn(i+1))) })
	}
	<-g.reached
	queued(t, trail, n)
	g.open()
	wg.Wait()
	assert.Less(t, d.counted("sync "+segment1), n/4)
	assert.EqualValues(t, n+1, trail.Status().DurableSeq)
	assert.Zero(t, trail.Status().Queue)
	stop(t, pid)
	assert.Len(t, turns(read(t, trail.options.Dir)), n)
}

func TestAppendReturnsAfterTheSync(t *testing.T) {
	g := newGate()
	defer g.open()
	d := &testDisk{hook: g.at("sync "+segment1, 2)}
	trail := newTrail(t, Options{}, d)
	start(t, trail)
	returned := make(chan error, 1)
	go func() { returned <- trail.Append(deadline(t), turn(1)) }()
	<-g.reached
	select {
	case <-returned:
		t.Fatal("returned before the sync did")
	default:
	}
	assert.EqualValues(t, 1, trail.Status().DurableSeq)
	assert.True(t, trail.Status().Open)
	g.open()
	require.NoError(t, <-returned)
}

func TestOrderOfASender(t *testing.T) {
	trail := newTrail(t, Options{}, nil)
	pid := start(t, trail)
	var wg sync.WaitGroup
	for sender := range 8 {
		wg.Go(func() {
			for i := range 60 {
				r := Record{Kind: TurnStarted, Session: strconv.Itoa(sender), Turn: i + 1}
				if i%3 == 0 {
					assert.NoError(t, trail.Append(deadline(t), r))
				} else {
					trail.Post(r)
				}
			}
		})
	}
	wg.Wait()
	stop(t, pid)
	next := map[string]int{}
	for _, r := range read(t, trail.options.Dir) {
		if r.Turn > 0 {
			next[r.Session]++
			require.Equal(t, next[r.Session], r.Turn, "session %s", r.Session)
		}
	}
	for sender := range 8 {
		assert.Equal(t, 60, next[strconv.Itoa(sender)])
	}
	assert.Zero(t, trail.Status().Lost)
}

func TestReopenContinues(t *testing.T) {
	dir := filepath.Join(scratch(t), "deep", "audit")
	for i := range 3 {
		trail := newTrail(t, Options{Dir: dir}, nil)
		pid := start(t, trail)
		require.NoError(t, trail.Append(deadline(t), turn(i+1)))
		assert.EqualValues(t, 3*i+2, trail.Status().DurableSeq)
		stop(t, pid)
		assert.False(t, trail.Status().Open)
	}
	records := read(t, dir)
	assert.Equal(t, []int{1, 2, 3}, turns(records))
	assert.Len(t, records, 9)
	for path, mode := range map[string]fs.FileMode{dir: 0o700, Path(dir): 0o600, filepath.Join(dir, lockName): 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode().Perm(), path)
	}
}

func TestStopDrains(t *testing.T) {
	g := newGate()
	defer g.open()
	d := &testDisk{hook: g.at("sync "+segment1, 2)}
	trail := newTrail(t, Options{}, d)
	pid := start(t, trail)
	trail.Post(turn(1))
	<-g.reached
	for i := range 300 {
		trail.Post(turn(i + 2))
	}
	pid.Stop(nil)
	g.open()
	<-pid.Done()
	require.ErrorIs(t, pid.Reason(), actor.ErrShutdown)
	records := read(t, trail.options.Dir)
	assert.Equal(t, LogClosed, records[len(records)-1].Kind)
	assert.Len(t, turns(records), 301)
	assert.Zero(t, trail.Status().Lost)

	// The directory is free as soon as the actor has ended.
	other := newTrail(t, Options{Dir: trail.options.Dir}, nil)
	stop(t, start(t, other))
}

func TestDown(t *testing.T) {
	for _, mode := range []Mode{Required, BestEffort} {
		t.Run(mode.String(), func(t *testing.T) {
			trail := newTrail(t, Options{Mode: mode}, nil)
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			err := trail.Append(ended, turn(1))
			require.ErrorIs(t, err, context.Canceled)
			assert.ErrorContains(t, err, "audit actor is down")
			trail.Post(turn(2))
			assert.Zero(t, trail.Status().Queue)

			// What waits is written when the actor is there.
			returned := make(chan error, 1)
			go func() { returned <- trail.Append(deadline(t), turn(3)) }()
			queued(t, trail, 1)
			pid := start(t, trail)
			require.NoError(t, <-returned)
			_, err = trail.Start(deadline(t))
			require.ErrorContains(t, err, "it is running as audit#")
			stop(t, pid)

			records := read(t, trail.options.Dir)
			require.Equal(t, []Kind{LogOpened, LogGap, TurnStarted, LogClosed}, kindsOf(records))
			count := 1
			if mode == BestEffort { // the Append that gave up counts too
				count = 2
			}
			gap := records[1]
			assert.EqualValues(t, count, gap.Lost)
			assert.EqualValues(t, count, gap.Detail["count"])
			assert.Equal(t, map[string]any{"turn.started": float64(count)}, gap.Detail["kinds"])
			assert.NotEmpty(t, gap.Detail["first"])
			assert.NotEmpty(t, gap.Detail["last"])
			assert.EqualValues(t, count, records[3].Lost)
			assert.EqualValues(t, count, trail.Status().Lost)
		})
	}
}

func TestInvalidRecords(t *testing.T) {
	trail := newTrail(t, Options{}, nil)
	pid := start(t, trail)
	for _, r := range []Record{
		{}, {Kind: "tool.indent"}, {Kind: LogClosed},
		{Kind: AdminAction, Detail: map[string]any{"f": func() {}}},
		{Kind: AdminAction, Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		assert.Error(t, trail.Append(deadline(t), r))
		trail.Post(r)
	}
	assert.Zero(t, trail.Status().Queue)
	stop(t, pid)
	var count float64
	byKind := map[string]float64{}
	for _, r := range read(t, trail.options.Dir) {
		if r.Kind == LogGap {
			count += r.Detail["count"].(float64)
			for kind, n := range r.Detail["kinds"].(map[string]any) {
				byKind[kind] += n.(float64)
			}
		}
	}
	assert.EqualValues(t, 5, count)
	assert.Equal(t, map[string]float64{"invalid": 2, "log.closed": 1, "admin.action": 2}, byKind)
}

func TestQueueFull(t *testing.T) {
	g := newGate()
	defer g.open()
	d := &testDisk{hook: g.at("sync "+segment1, 2)}
	trail := newTrail(t, Options{}, d)
	pid := start(t, trail)
	for i := range queueSize + 7 {
		trail.Post(turn(i + 1))
	}
	<-g.reached
	assert.EqualValues(t, 7, trail.Status().Lost)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	assert.ErrorContains(t, trail.Append(ctx, turn(9999)), "1024 records are waiting")
	g.open()
	// The gap is recorded although nothing else comes.
	require.Eventually(t, func() bool {
		records, err := Tail(trail.options.Dir, 1)
		return err == nil && len(records) == 1 && records[0].Lost == 7
	}, time.Minute, time.Millisecond)
	stop(t, pid)
	assert.Len(t, turns(read(t, trail.options.Dir)), queueSize)
}

func TestAppendThatGaveUpMayBeWritten(t *testing.T) {
	g := newGate()
	defer g.open()
	d := &testDisk{hook: g.at("sync "+segment1, 2)}
	trail := newTrail(t, Options{Mode: BestEffort}, d)
	pid := start(t, trail)
	ctx, cancel := context.WithCancel(context.Background())
	returned := make(chan error, 1)
	go func() { returned <- trail.Append(ctx, turn(1)) }()
	<-g.reached
	cancel()
	require.ErrorIs(t, <-returned, context.Canceled)
	g.open()
	stop(t, pid)
	assert.Equal(t, []int{1}, turns(read(t, trail.options.Dir)))
	assert.Zero(t, trail.Status().Lost)
	assert.Zero(t, trail.Status().Queue)
}

// TestKill kills the actor while one batch is being written and others wait.
func TestKill(t *testing.T) {
	g := newGate()
	defer g.open()
	d := &testDisk{hook: g.at("sync "+segment1, 2)}
	trail := newTrail(t, Options{}, d)
	pid := start(t, trail)
	returned := make(chan error, 3)
	go func() { returned <- trail.Append(deadline(t), turn(1)) }()
	<-g.reached
	go func() { returned <- trail.Append(deadline(t), turn(2)) }()
	queued(t, trail, 2)
	trail.Post(turn(3))
	gaveUp, cancel := context.WithCancel(context.Background())
	go func() { returned <- trail.Append(gaveUp, turn(4)) }()
	queued(t, trail, 4)
	require.Eventually(t, func() bool { return pid.Info().Depth == 0 }, time.Minute, time.Millisecond)
	pid.Kill()
	<-pid.Done()
	cancel()
	require.ErrorIs(t, <-returned, context.Canceled)

	// The file is still being written: the next incarnation has to wait.
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := trail.Start(ended)
	require.Error(t, err)
	g.open()
	require.NoError(t, <-returned) // the one that was being written
	pid = start(t, trail)
	require.NoError(t, <-returned) // the one that was not
	stop(t, pid)
	records := read(t, trail.options.Dir)
	assert.Equal(t, []int{1, 2}, turns(records))
	assert.EqualValues(t, 1, trail.Status().Lost, "what was posted")
	assert.EqualValues(t, 1, records[len(records)-1].Lost)
	assert.Zero(t, trail.Status().Queue)
}

func TestKilledAgainAndAgain(t *testing.T) {
	trail := newTrail(t, Options{}, nil)
	const n = 300
	var wg sync.WaitGroup
	for sender := range 4 {
		wg.Go(func() {
			for i := range n {
				r := Record{Kind: TurnStarted, Session: strconv.Itoa(sender), Turn: i + 1}
				assert.NoError(t, trail.Append(deadline(t), r))
			}
		})
	}
	finished := make(chan struct{})
	go func() { wg.Wait(); close(finished) }()
	for over := false; !over; {
		pid := start(t, trail)
		seq := trail.Status().DurableSeq
		for !over && trail.Status().DurableSeq < seq+20 {
			select {
			case <-finished:
				over = true
			case <-time.After(50 * time.Microsecond):
			}
		}
		pid.Kill()
		<-pid.Done()
	}
	stop(t, start(t, trail))
	next := map[string]int{}
	for _, r := range read(t, trail.options.Dir) {
		if r.Turn > 0 {
			next[r.Session]++
			require.Equal(t, next[r.Session], r.Turn)
		}
	}
	assert.Equal(t, map[string]int{"0": n, "1": n, "2": n, "3": n}, next)
	assert.Zero(t, trail.Status().Lost)
}

// TestKilledProcess ends a writing process with SIGKILL, again and again, at any point of its work: in the
// course of rotations, checkpoints and openings.
func TestKilledProcess(t *testing.T) {
	dir := filepath.Join(scratch(t), "audit")
	self, err := os.Executable()
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	acknowledged := 0 // over all processes
	for round := range 25 {
		cmd := exec.CommandContext(deadline(t), self)
		cmd.Env = append(os.Environ(), writerDir+"="+dir, "GORACE=atexit_sleep_ms=0")
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		scanner := bufio.NewScanner(out)
		last, enough := 0, 20+random.IntN(60)
		for scanner.Scan() {
			last, err = strconv.Atoi(scanner.Text())
			require.NoError(t, err, scanner.Text())
			if last != enough {
				continue
			}
			if round == 0 {
				_, err := newTrail(t, Options{Dir: dir}, nil).Start(deadline(t))
				var locked *LockedError
				require.ErrorAs(t, err, &locked)
				assert.Equal(t, cmd.Process.Pid, locked.PID)
				assert.ErrorContains(t, err, "in use by pid "+strconv.Itoa(cmd.Process.Pid))
			}
			require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
		}
		require.Error(t, cmd.Wait())
		acknowledged += last
		report := verify(t, dir)
		require.Contains(t, []int{0, 2}, report.Code(), "%v", report.Findings)
	}
	trail := newTrail(t, Options{Dir: dir}, nil)
	stop(t, start(t, trail))
	got := turns(read(t, dir))
	assert.GreaterOrEqual(t, len(got), acknowledged, "acknowledged records are there")
	before := 0
	for _, n := range got {
		require.True(t, n == before+1 || n == 1, "turn %d follows %d", n, before)
		before = n
	}
	report := verify(t, dir)
	assert.Equal(t, 0, report.Code(), "%v", report.Findings)
	assert.Greater(t, report.Segments, 20)
}

func TestLockedInThisProcess(t *testing.T) {
	trail := newTrail(t, Options{}, nil)
	start(t, trail)
	_, err := newTrail(t, Options{Dir: trail.options.Dir}, nil).Start(deadline(t))
	var locked *LockedError
	require.ErrorAs(t, err, &locked)
	assert.Equal(t, os.Getpid(), locked.PID)
	require.NoError(t, trail.Append(deadline(t), turn(1)))
}

func TestPlaces(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(t *testing.T, dir string) // dir does not exist
		want string                         // the error; empty: none
	}{
		{"created", func(*testing.T, string) {}, ""},
		{"empty and open to others", func(t *testing.T, dir string) { require.NoError(t, os.Mkdir(dir, 0o755)) }, ""},
		{"an open log", func(t *testing.T, dir string) {
			begin(t, dir)
			require.NoError(t, os.Chmod(dir, 0o755))
			require.NoError(t, os.Chmod(Path(dir), 0o666))
			require.NoError(t, os.Chmod(filepath.Join(dir, keyName), 0o644))
		}, ""},
		{"others' directory", func(t *testing.T, dir string) {
			require.NoError(t, os.Mkdir(dir, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "notes"), nil, 0o644))
		}, "run chmod 700 on it"},
		{"a closed directory with others' files", func(t *testing.T, dir string) {
			require.NoError(t, os.Mkdir(dir, 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "notes"), nil, 0o644))
		}, ""},
		{"a file", func(t *testing.T, dir string) { require.NoError(t, os.WriteFile(dir, nil, 0o600)) }, "it is a file"},
		{"the log is a directory", func(t *testing.T, dir string) {
			begin(t, dir)
			require.NoError(t, os.Remove(Path(dir)))
			require.NoError(t, os.MkdirAll(filepath.Join(dir, segment1), 0o700))
		}, "expected a plain file"},
		{"the log is a link", func(t *testing.T, dir string) {
			begin(t, dir)
			require.NoError(t, os.Remove(Path(dir)))
			require.NoError(t, os.Symlink("/dev/null", filepath.Join(dir, segment1)))
		}, "expected a plain file"},
		{"the log is a pipe", func(t *testing.T, dir string) {
			begin(t, dir)
			require.NoError(t, os.Remove(Path(dir)))
			require.NoError(t, syscall.Mkfifo(filepath.Join(dir, segment1), 0o600))
		}, "no plain file"},
		{"no log of ours", func(t *testing.T, dir string) {
			begin(t, dir)
			require.NoError(t, os.WriteFile(Path(dir), []byte("one\ntwo\n"), 0o600))
		}, "changed from outside"},
		{"a later format", func(t *testing.T, dir string) {
			begin(t, dir)
			require.NoError(t, os.WriteFile(Path(dir), format.AppendFrame(nil, []byte(`{"format":"understudy audit segment 2"}`)), 0o600))
		}, `a segment of format "understudy audit segment 2"`},
		{"a later version", func(t *testing.T, dir string) {
			begin(t, dir)
			f, err := os.OpenFile(Path(dir), os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.Write(format.AppendFrame(nil, []byte(`{"v":2,"seq":3,"kind":"x","new":1}`)))
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}, "record of version 2"},
		{"the key is gone", func(t *testing.T, dir string) {
			begin(t, dir)
			require.NoError(t, os.Remove(filepath.Join(dir, keyName)))
		}, "put it back"},
		{"another key", func(t *testing.T, dir string) {
			begin(t, dir)
			begin(t, dir+"2")
			require.NoError(t, os.Rename(filepath.Join(dir+"2", keyName), filepath.Join(dir, keyName)))
		}, "signed with another key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(scratch(t), "audit")
			test.make(t, dir)
			trail := newTrail(t, Options{Dir: dir}, nil)
			pid, err := trail.Start(deadline(t))
			if test.want != "" {
				require.ErrorContains(t, err, test.want)
				assert.ErrorContains(t, err, dir)
				assert.Equal(t, err.Error(), trail.Status().LastError)
				return
			}
			require.NoError(t, err)
			stop(t, pid)
			for path, mode := range map[string]fs.FileMode{dir: 0o700, Path(dir): 0o600} {
				info, err := os.Stat(path)
				require.NoError(t, err)
				assert.Equal(t, mode, info.Mode().Perm(), path)
			}
		})
	}
	t.Run("below a file", func(t *testing.T) {
		path := filepath.Join(scratch(t), "file")
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		_, err := newTrail(t, Options{Dir: filepath.Join(path, "audit")}, nil).Start(deadline(t))
		assert.ErrorContains(t, err, "a part of the path is a file")
	})
	t.Run("unwritable", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may write everywhere; the fault table has it")
		}
		dir := filepath.Join(scratch(t), "audit")
		require.NoError(t, os.Mkdir(dir, 0o500))
		_, err := newTrail(t, Options{Dir: dir}, nil).Start(deadline(t))
		require.ErrorIs(t, err, fs.ErrPermission)
		assert.ErrorContains(t, err, "check its owner and mode")
	})
	t.Run("none", func(t *testing.T) {
		_, err := New(actor.NewSystem(actor.Options{}), Options{}).Start(deadline(t))
		assert.ErrorContains(t, err, "set audit.dir")
	})
}

// begin makes a log with two records.
func begin(t *testing.T, dir string) {
	stop(t, start(t, newTrail(t, Options{Dir: dir}, nil)))
}

func TestNameInUse(t *testing.T) {
	trail := newTrail(t, Options{}, nil)
	start(t, trail)
	other := New(trail.system, Options{Dir: filepath.Join(scratch(t), "other")})
	_, err := other.Start(deadline(t))
	require.ErrorIs(t, err, actor.ErrNameTaken)
	// Nothing is left open: another name will do.
	again := newTrail(t, Options{Dir: other.options.Dir, Name: "b"}, nil)
	start(t, again)
}

func TestModeText(t *testing.T) {
	for _, mode := range []Mode{Required, BestEffort} {
		text, err := mode.MarshalText()
		require.NoError(t, err)
		var got Mode
		require.NoError(t, got.UnmarshalText(text))
		assert.Equal(t, mode, got)
	}
	var m Mode
	assert.ErrorContains(t, m.UnmarshalText([]byte("strict")), "expected required or best_effort")
	_, err := Mode(7).MarshalText()
	assert.Error(t, err)
	assert.Equal(t, "Mode(7)", Mode(7).String())
}

var errBoom = errors.New("boom")
