package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit/internal/format"
)

// sample is a log whose process ended without a word after two turns, and where its last frame begins.
func sample(t *testing.T) (dir string, content []byte, last int) {
	trail := newTrail(t, Options{CheckpointEvery: time.Hour}, nil)
	pid := start(t, trail)
	for i := range 2 {
		require.NoError(t, trail.Append(deadline(t), turn(i+1)))
	}
	kill(pid, trail)
	content, err := os.ReadFile(Path(trail.options.Dir))
	require.NoError(t, err)
	return trail.options.Dir, content, lastFrame(content)
}

// kill ends an audit actor without log.closed.
func kill(pid actor.PID, trail *Trail) {
	pid.Kill()
	released(trail)
}

// released waits until an ended actor has let go of everything.
func released(trail *Trail) {
	trail.mu.Lock()
	last := trail.last
	trail.mu.Unlock()
	<-last.released
	<-last.quiet
}

// lastFrame is where the last frame begins.
func lastFrame(content []byte) int {
	at, last := 0, 0
	for at < len(content) {
		_, n, err := format.Next(content[at:])
		if err != nil {
			break
		}
		last = at
		at += n
	}
	return last
}

// copyLog copies a log, with other content in its first segment unless that is nil.
func copyLog(t *testing.T, from string, content []byte) string {
	dir := filepath.Join(scratch(t), "audit")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.CopyFS(dir, os.DirFS(from)))
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	}))
	if content != nil {
		require.NoError(t, os.WriteFile(filepath.Join(dir, segment1), content, 0o600))
	}
	return dir
}

func TestTornAtEveryByte(t *testing.T) {
	from, content, last := sample(t)
	for end := last; end <= len(content); end++ {
		dir := copyLog(t, from, content[:end])
		torn := end > last && end < len(content)
		code := 0
		if torn {
			code = 2
		}
		require.Equal(t, code, verify(t, dir).Code(), "cut at %d", end)
		trail := newTrail(t, Options{Dir: dir}, nil)
		stop(t, start(t, trail))
		records := read(t, dir)
		whole := 2
		if end == len(content) {
			whole = 3
		}
		require.Equal(t, LogOpened, records[whole].Kind)
		require.Equal(t, 0, verify(t, dir).Code(), "cut at %d", end)
		if !torn {
			require.Len(t, records, whole+2)
			continue
		}
		recovered := records[whole+1]
		require.Equal(t, LogRecovered, recovered.Kind, "cut at %d", end)
		require.EqualValues(t, end-last, recovered.Detail["dropped_bytes"])
		require.EqualValues(t, last, recovered.Detail["offset"])
		kept, err := os.ReadFile(filepath.Join(dir, recovered.Detail["side_file"].(string)))
		require.NoError(t, err)
		require.Equal(t, content[last:end], kept)
	}
}

func TestTornEnds(t *testing.T) {
	from, content, last := sample(t)
	bad := slices.Clone(content)
	bad[last+20] ^= 1
	for _, test := range []struct {
		name  string
		file  string
		whole int
	}{
		{"last frame with another checksum", string(bad), 2},
		{"zeros", string(content) + strings.Repeat("\x00", 5000), 3},
		{"newlines", string(content) + "\x00\x00\n\n\x00", 3},
		{"huge", string(content) + strings.Repeat("x", format.MaxPayload+2) + "\n", 3},
		{"a page missing before a frame", string(content[:last]) + strings.Repeat("\x00", 512) + "\n" + string(content[last:]), 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := copyLog(t, from, []byte(test.file))
			require.Equal(t, 2, verify(t, dir).Code())
			trail := newTrail(t, Options{Dir: dir}, nil)
			stop(t, start(t, trail))
			records := read(t, dir)
			require.Len(t, records, test.whole+3)
			assert.Equal(t, LogRecovered, records[test.whole+1].Kind)
			require.Equal(t, 0, verify(t, dir).Code())
		})
	}
}

// TestDamageInTheMiddle: a log that is not what was signed for is not continued.
func TestDamageInTheMiddle(t *testing.T) {
	trail := newTrail(t, Options{}, nil)
	pid := start(t, trail)
	for i := range 3 {
		require.NoError(t, trail.Append(deadline(t), turn(i+1)))
	}
	stop(t, pid)
	dir := trail.options.Dir
	content, err := os.ReadFile(Path(dir))
	require.NoError(t, err)
	content[bytes.Index(content, []byte(`"turn":2`))] ^= 1
	dir = copyLog(t, dir, content)
	_, err = newTrail(t, Options{Dir: dir}, nil).Start(deadline(t))
	var changed *ChangedError
	require.ErrorAs(t, err, &changed)
	assert.ErrorContains(t, err, "the records 3 to 5 are missing")
	assert.ErrorContains(t, err, "run understudy audit verify")

	var damages []error
	var seqs []uint64
	for r, err := range Read(dir) {
		if err != nil {
			damages = append(damages, err)
			continue
		}
		seqs = append(seqs, r.Seq)
	}
	require.Len(t, damages, 1)
	assert.ErrorContains(t, damages[0], segment1+": record 3 (byte ")
	assert.Equal(t, []uint64{1, 2, 4, 5}, seqs)

	records, err := Tail(dir, 5)
	assert.ErrorContains(t, err, "record 3 (byte ")
	assert.Len(t, records, 4)
	records, err = Tail(dir, 2)
	require.NoError(t, err)
	assert.Len(t, records, 2)
	records, err = Tail(dir, 0)
	require.NoError(t, err)
	assert.Empty(t, records)
	_, err = Tail(filepath.Join(dir, "none"), 1)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// verify checks a log.
func verify(t *testing.T, dir string) *Report {
	t.Helper()
	report, err := Verify(context.Background(), dir, VerifyOptions{Invariants: false})
	require.NoError(t, err)
	return report
}

// story is what the fault table breaks: a torn log is opened, five records are appended one by one and five
// are posted, the actor is stopped. What fails is begun again by a stubborn caller, and the first opening by whoever starts the log.
func story(t *testing.T, d *testDisk, mode Mode, from string, content []byte) (*Trail, []int) {
	dir := filepath.Join(scratch(t), "audit")
	if content != nil {
		dir = copyLog(t, from, content)
		require.NoError(t, os.Chmod(filepath.Join(dir, segment1), 0o644))
	}
	// It rotates once, and signs in between.
	trail := newTrail(t, Options{Dir: dir, Mode: mode, SegmentBytes: 2500, CheckpointRecords: 3}, d)
	trail.retry = time.Microsecond
	ctx := deadline(t)
	enough, over := make(chan struct{}), make(chan struct{})
	go func() { // ends when the actor has ended in good order
		defer close(over)
		for ctx.Err() == nil {
			pid, err := trail.Start(ctx)
			if err != nil {
				continue
			}
			select {
			case <-enough:
				pid.Stop(nil)
			case <-pid.Done():
				assert.Fail(t, "ended by itself", "%v", pid.Reason())
			}
			if <-pid.Done(); actor.Clean(pid.Reason()) {
				return
			}
		}
	}()
	var acknowledged []int
	for n := 1; len(acknowledged) < 5 && ctx.Err() == nil; n++ {
		trail.Post(Record{Kind: TurnResult})
		if trail.Append(ctx, turn(n)) == nil {
			acknowledged = append(acknowledged, n)
		}
	}
	close(enough)
	<-over
	require.NoError(t, ctx.Err(), "it got stuck: %s", trail.Status().LastError)
	return trail, acknowledged
}

func TestFaults(t *testing.T) {
	from, content, last := sample(t)
	torn := content[:last+10]
	for _, mode := range []Mode{Required, BestEffort} {
		for name, content := range map[string][]byte{"torn": torn, "new": nil} {
			quiet := &testDisk{}
			story(t, quiet, mode, from, content)
			once := &testDisk{oneCall: true}
			story(t, once, mode, from, content)
			isOne := func(s step) bool { return strings.HasPrefix(s.op, "writesync ") }
			for _, at := range append(quiet.steps, slices.DeleteFunc(once.steps, func(s step) bool { return !isOne(s) })...) {
				for how, word := range map[fault]string{lost: "lost", done: "done", short: "short", holed: "holed"} {
					if how == short && !strings.HasPrefix(at.op, "write") || how == holed && !isOne(at) {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s/%s %d %s", mode, name, at.op, at.n, word), func(t *testing.T) {
						checkFault(t, mode, from, content, at, how, isOne(at))
					})
				}
			}
			assert.True(t, slices.ContainsFunc(once.steps, isOne))
		}
	}
}

func checkFault(t *testing.T, mode Mode, from string, content []byte, at step, how fault, oneCall bool) {
	var once sync.Once
	d := &testDisk{oneCall: oneCall, hook: func(s step) (fault, error) {
		result := fine
		if s == at {
			once.Do(func() { result = how })
		}
		return result, errBoom
	}}
	trail, acknowledged := story(t, d, mode, from, content)
	records := read(t, trail.options.Dir)
	var written []int
	var posted int
	var last uint64
	for _, r := range records {
		switch r.Kind {
		case TurnStarted:
			written = append(written, r.Turn)
		case TurnResult:
			posted++
		case LogGap:
			assert.EqualValues(t, last+uint64(r.Detail["count"].(float64)), r.Lost)
		}
		assert.GreaterOrEqual(t, r.Lost, last)
		last = r.Lost
	}
	if content != nil {
		written = written[1:] // those of the sample
	}
	assert.Equal(t, acknowledged, written, "what is in the log is what was acknowledged")
	assert.Equal(t, LogClosed, records[len(records)-1].Kind)
	status := trail.Status()
	code := 0
	if status.Lost > 0 {
		code = 3
	}
	report := verify(t, trail.options.Dir)
	assert.Equal(t, code, report.Code(), "%v", report.Findings)
	assert.EqualValues(t, len(records), report.Signed)
	assert.EqualValues(t, len(records), status.DurableSeq)
	assert.Equal(t, status.Lost, last, "each loss is recorded")
	attempts := acknowledged[len(acknowledged)-1]
	expected := attempts - posted
	if mode == BestEffort {
		expected += attempts - len(acknowledged)
	}
	assert.EqualValues(t, expected, status.Lost, "each loss is counted")
	assert.Zero(t, status.Queue)
}

func TestFailureReachesAllThatWait(t *testing.T) {
	for _, mode := range []Mode{Required, BestEffort} {
		t.Run(mode.String(), func(t *testing.T) {
			g := newGate()
			defer g.open()
			stopAt := g.at("sync "+segment1, 2)
			d := &testDisk{hook: func(s step) (fault, error) {
				_, _ = stopAt(s)
				if s.op == "sync "+segment1 && s.n == 2 {
					return lost, unix.EIO
				}
				return fine, nil
			}}
			trail := newTrail(t, Options{Mode: mode}, d)
			trail.retry = time.Hour
			pid := start(t, trail)
			returned := make(chan error, 3)
			go func() { returned <- trail.Append(deadline(t), turn(1)) }()
			<-g.reached
			for i := range 2 {
				go func() { returned <- trail.Append(deadline(t), turn(2+i)) }()
			}
			admitted(t, trail, 3)
			g.open()
			for range 3 {
				err := <-returned
				var file *FileError
				require.ErrorAs(t, err, &file)
				require.ErrorIs(t, err, unix.EIO)
				assert.Equal(t, filepath.Join(trail.options.Dir, segment1), file.Path)
			}
			assert.False(t, trail.Status().Open)
			assert.Contains(t, trail.Status().LastError, "sync: input/output error")
			assert.Zero(t, trail.Status().Queue)
			assert.True(t, pid.Alive())
			lost := map[Mode]uint64{BestEffort: 3}[mode] // of a required log those who were told know it
			assert.Equal(t, lost, trail.Status().Lost)
			stop(t, pid) // which tries once more
			records := read(t, trail.options.Dir)
			if mode == Required {
				require.Equal(t, []Kind{LogOpened, LogRotated, LogOpened, LogRecovered, LogClosed}, kindsOf(records))
				return
			}
			require.Equal(t, []Kind{LogOpened, LogRotated, LogOpened, LogRecovered, LogGap, LogClosed}, kindsOf(records))
			assert.EqualValues(t, 3, records[4].Lost)
		})
	}
}

// TestHoledBatch: of a write that failed, some pages can be there and others not. None of its records is in the log: those who waited
// were told so, and the first of them is whole.
func TestHoledBatch(t *testing.T) {
	for _, how := range []fault{short, holed} {
		g := newGate()
		defer g.open()
		stopAt := g.at("writesync "+segment1, 2)
		d := &testDisk{oneCall: true, hook: func(s step) (fault, error) {
			_, _ = stopAt(s)
			if s == (step{"writesync " + segment1, 3}) {
				return how, unix.EIO
			}
			return fine, nil
		}}
		trail := newTrail(t, Options{}, d)
		trail.retry = time.Millisecond
		pid := start(t, trail)
		returned := make(chan error, 7)
		go func() { returned <- trail.Append(deadline(t), turn(1)) }()
		<-g.reached
		for i := range 6 { // one batch
			go func() { returned <- trail.Append(deadline(t), turn(2+i)) }()
		}
		admitted(t, trail, 7)
		g.open()
		failed := 0
		for range 7 {
			if errors.Is(<-returned, unix.EIO) {
				failed++
			}
		}
		require.Equal(t, 6, failed)
		works(t, trail)
		require.NoError(t, trail.Append(deadline(t), turn(9)))
		stop(t, pid)
		assert.Equal(t, []int{1, 9}, turns(read(t, trail.options.Dir)))
		assert.Equal(t, 0, verify(t, trail.options.Dir).Code())
	}
}

func TestRecordsTheGapWithoutBeingAsked(t *testing.T) {
	var mu sync.Mutex
	broken := true
	d := &testDisk{hook: func(s step) (fault, error) {
		mu.Lock()
		defer mu.Unlock()
		if broken && s.op == "write "+segment1 && s.n > 1 {
			return short, unix.ENOSPC
		}
		return fine, nil
	}}
	trail := newTrail(t, Options{Mode: BestEffort}, d)
	trail.retry = time.Millisecond
	pid := start(t, trail)
	err := trail.Append(deadline(t), turn(1))
	require.ErrorIs(t, err, unix.ENOSPC)
	assert.ErrorContains(t, err, filepath.Join(trail.options.Dir, segment1)+": write and sync: no space left on device (disk full: make room there)")
	mu.Lock()
	broken = false
	mu.Unlock()
	require.Eventually(t, func() bool { return trail.Status().Open }, time.Minute, time.Millisecond)
	stop(t, pid)
	records := read(t, trail.options.Dir)
	assert.Equal(t, []Kind{LogOpened, LogRotated, LogOpened, LogRecovered, LogGap, LogClosed}, kindsOf(records))
}

// TestLyingDisk loses what was acknowledged, which no program can prevent. It must show.
func TestLyingDisk(t *testing.T) {
	d := &testDisk{hook: func(s step) (fault, error) {
		if s == (step{"write " + segment1, 2}) {
			return lie, nil
		}
		return fine, nil
	}}
	trail := newTrail(t, Options{}, d)
	pid := start(t, trail)
	require.NoError(t, trail.Append(deadline(t), turn(1)))
	kill(pid, trail)
	_, err := trail.Start(deadline(t))
	var changed *ChangedError
	require.ErrorAs(t, err, &changed)
	assert.ErrorContains(t, err, "the records 2 to 2 are missing")
}

// TestForeignRecordsStay: what another process appended in the meantime is no leftover of ours.
func TestForeignRecordsStay(t *testing.T) {
	d := &testDisk{hook: func(s step) (fault, error) {
		if s == (step{"write " + segment1, 2}) {
			return lost, unix.EIO
		}
		return fine, nil
	}}
	trail := newTrail(t, Options{}, d)
	trail.retry = time.Hour
	pid := start(t, trail)
	require.Error(t, trail.Append(deadline(t), turn(1)))
	kill(pid, trail)
	other := newTrail(t, Options{Dir: trail.options.Dir}, nil)
	pid = start(t, other)
	require.NoError(t, other.Append(deadline(t), turn(2)))
	stop(t, pid)
	stop(t, start(t, trail))
	records := read(t, trail.options.Dir)
	assert.Equal(t, []int{2}, turns(records))
	assert.NotContains(t, kindsOf(records), LogRecovered)
}

func TestPanicOfTheDisk(t *testing.T) {
	d := &testDisk{}
	d.hook = func(s step) (fault, error) {
		if s == (step{"sync " + segment1, 2}) {
			panic("boom")
		}
		return fine, nil
	}
	trail := newTrail(t, Options{}, d)
	pid := start(t, trail)
	require.Error(t, trail.Append(deadline(t), turn(1)))
	<-pid.Done()
	var failure *actor.PanicError
	require.ErrorAs(t, pid.Reason(), &failure)
	pid = start(t, trail)
	require.NoError(t, trail.Append(context.Background(), turn(2)))
	stop(t, pid)
	assert.Equal(t, []int{2}, turns(read(t, trail.options.Dir)))
}

// TestMovedAway: a log whose directory is removed or moved away acknowledges nothing more, and goes on when it is
// put back.
func TestMovedAway(t *testing.T) {
	for _, mode := range []Mode{Required, BestEffort} {
		t.Run(mode.String(), func(t *testing.T) {
			trail := newTrail(t, Options{Mode: mode}, nil)
			trail.retry = time.Millisecond
			pid := start(t, trail)
			require.NoError(t, trail.Append(deadline(t), turn(1)))
			dir := trail.options.Dir
			require.NoError(t, os.Rename(dir, dir+".away"))
			require.ErrorIs(t, trail.Append(deadline(t), turn(2)), fs.ErrNotExist)
			require.ErrorIs(t, trail.Health(), fs.ErrNotExist)
			var changed *ChangedError
			require.Eventually(t, func() bool { return errors.As(trail.Health(), &changed) }, time.Minute, time.Millisecond,
				"a log that begins anew would look as if nothing had been before")
			assert.NoDirExists(t, dir)
			require.NoError(t, os.Rename(dir+".away", dir))
			works(t, trail)
			require.NoError(t, trail.Append(deadline(t), turn(3)))
			stop(t, pid)
			assert.Equal(t, []int{1, 3}, turns(read(t, dir)))
			code := map[Mode]int{Required: 0, BestEffort: 3}[mode]
			assert.Equal(t, code, verify(t, dir).Code())
		})
	}
}

var errBoom = errors.New("boom")
