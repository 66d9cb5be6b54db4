package audit

import (
	"bufio"
	"context"
	"fmt"
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

	"github.com/understudy-run/understudy/actor"
)

// TestKilledAtEveryStep has the files as a kill -9 leaves them before each operation of a log's life, and after the half of
// each write: what was written is there, since the kernel lives. Each time verify finds nothing worse than a torn end, and
// the next process goes on with all that was acknowledged. (TestKilledProcess kills real ones.)
func TestKilledAtEveryStep(t *testing.T) {
	parent := scratch(t)
	type left struct {
		dir, step    string
		acknowledged int
	}
	var mu sync.Mutex
	var all []left
	acknowledged := 0
	dir := filepath.Join(scratch(t), "audit")
	keep := func(step string) {
		mu.Lock()
		defer mu.Unlock()
		if _, err := os.Stat(dir); err != nil {
			return // it is not there yet
		}
		copied := filepath.Join(parent, fmt.Sprint(len(all)))
		assert.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
		assert.NoError(t, os.Chmod(copied, 0o700))
		all = append(all, left{copied, step, acknowledged})
	}
	d := &killedDisk{keep: keep}
	trail := newTrail(t, Options{Dir: dir, SegmentBytes: 900, CheckpointRecords: 2, KeepBytes: 4000}, d)
	pid := start(t, trail)
	for i := range 12 {
		require.NoError(t, trail.Append(deadline(t), turn(i+1)))
		mu.Lock()
		acknowledged++
		mu.Unlock()
		if i == 5 { // and an opening with what a killed one has left
			kill(pid, trail)
			pid = start(t, trail)
		}
	}
	stop(t, pid)
	keep("at the end")
	assert.Greater(t, len(all), 150)

	for _, l := range all {
		name := fmt.Sprintf("killed before %s, %d acknowledged", l.step, l.acknowledged)
		if _, err := os.Stat(filepath.Join(l.dir, pubName)); err == nil {
			report := verify(t, l.dir)
			require.Contains(t, []int{0, 2}, report.Code(), "%s: %v", name, report.Findings)
		}
		again := newTrail(t, Options{Dir: l.dir}, nil)
		pid, err := again.Start(deadline(t))
		require.NoError(t, err, name)
		require.NoError(t, again.Append(deadline(t), turn(100)))
		stop(t, pid)
		report := verify(t, l.dir)
		require.Zero(t, report.Code(), "%s: %v", name, report.Findings)
		var records []Record // the oldest may have been removed
		for r, err := range Read(l.dir) {
			require.NoError(t, err, name)
			records = append(records, r)
		}
		got := turns(records)
		require.Equal(t, 100, got[len(got)-1], name)
		got = got[:len(got)-1]
		if len(got) > 0 {
			require.GreaterOrEqual(t, got[len(got)-1], l.acknowledged, name)
			for i := range got {
				require.Equal(t, got[0]+i, got[i], name)
			}
		} else {
			require.Zero(t, l.acknowledged, name)
		}
		require.NoError(t, os.RemoveAll(l.dir))
	}
}

// killedDisk tells before each operation that changes something, and writes in two halves.
type killedDisk struct {
	realDisk
	keep func(step string)
}

func (d *killedDisk) Open(path string, flag int) (file, error) {
	d.keep("open " + filepath.Base(path))
	f, err := d.realDisk.Open(path, flag)
	if err != nil {
		return nil, err
	}
	return &killedFile{f, d, filepath.Base(path)}, nil
}

func (d *killedDisk) Rename(from, to string) error {
	d.keep("rename to " + filepath.Base(to))
	return d.realDisk.Rename(from, to)
}

func (d *killedDisk) Remove(path string) error {
	d.keep("remove " + filepath.Base(path))
	return d.realDisk.Remove(path)
}

func (d *killedDisk) SyncDir(path string) error {
	d.keep("syncdir")
	return d.realDisk.SyncDir(path)
}

func (d *killedDisk) Lock(f file) error { return d.realDisk.Lock(f.(*killedFile).file) }

func (d *killedDisk) Same(f file, path string) error {
	return d.realDisk.Same(f.(*killedFile).file, path)
}

type killedFile struct {
	file
	disk *killedDisk
	name string
}

func (f *killedFile) WriteAt(p []byte, at int64) (int, error) {
	f.disk.keep("write " + f.name)
	half := len(p) / 2
	if n, err := f.file.WriteAt(p[:half], at); err != nil {
		return n, err
	}
	f.disk.keep("second half of write " + f.name)
	n, err := f.file.WriteAt(p[half:], at+int64(half))
	return half + n, err
}

func (f *killedFile) WriteSynced(p []byte, at int64) error { return writeThenSync(f, p, at) }

func (f *killedFile) Truncate(size int64) error {
	f.disk.keep("truncate " + f.name)
	return f.file.Truncate(size)
}

func (f *killedFile) Sync() error {
	f.disk.keep("sync " + f.name)
	return f.file.Sync()
}

const writerDir = "UNDERSTUDY_TEST_AUDIT_WRITER"

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
	admitted(t, trail, 2)
	trail.Post(turn(3))
	gaveUp, cancel := context.WithCancel(context.Background())
	go func() { returned <- trail.Append(gaveUp, turn(4)) }()
	admitted(t, trail, 4)
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
