package audit

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/understudy-run/understudy/actor"
)

// sample is a closed log with two turns, and where its last line begins.
func sample(t *testing.T) (content []byte, last int) {
	trail := newTrail(t, Options{}, nil)
	pid := start(t, trail)
	for i := range 2 {
		require.NoError(t, trail.Append(deadline(t), turn(i+1)))
	}
	stop(t, pid)
	content, err := os.ReadFile(Path(trail.options.Dir))
	require.NoError(t, err)
	return content, bytes.LastIndexByte(content[:len(content)-1], '\n') + 1
}

func dirWith(t *testing.T, content []byte) string {
	dir := filepath.Join(t.TempDir(), "audit")
	require.NoError(t, os.Mkdir(dir, 0o700))
	require.NoError(t, os.WriteFile(Path(dir), content, 0o600))
	return dir
}

func TestTornAtEveryByte(t *testing.T) {
	content, last := sample(t)
	for end := last; end <= len(content); end++ {
		dir := dirWith(t, content[:end])
		trail := newTrail(t, Options{Dir: dir}, nil)
		stop(t, start(t, trail))
		records := read(t, dir)
		torn := end > last && end < len(content)
		whole := 3
		if end == len(content) {
			whole = 4
		}
		require.Equal(t, LogOpened, records[whole].Kind)
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
	content, last := sample(t)
	for _, test := range []struct {
		name  string
		file  string
		whole int
	}{
		{"first line unfinished", `{"v":1,"se`, 0},
		{"last line is no JSON", string(content[:last]) + "{\"v\":1,\"seq\n", 3},
		{"last line is another JSON", string(content[:last]) + "{}\n", 3},
		{"zeros", string(content) + strings.Repeat("\x00", 5000), 4},
		{"lines of zeros", string(content) + "\x00\x00\n\n\x00", 4},
		{"a huge line", string(content) + strings.Repeat("x", maxLine+2) + "\n", 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := dirWith(t, []byte(test.file))
			trail := newTrail(t, Options{Dir: dir}, nil)
			stop(t, start(t, trail))
			records := read(t, dir)
			require.Len(t, records, test.whole+3)
			assert.Equal(t, LogRecovered, records[test.whole+1].Kind)
		})
	}
}

func TestDamageInTheMiddle(t *testing.T) {
	content, _ := sample(t)
	lines := bytes.SplitAfter(content, []byte("\n"))
	lines[1][0] = 'x'
	dir := dirWith(t, bytes.Join(lines, nil))
	trail := newTrail(t, Options{Dir: dir}, nil)
	stop(t, start(t, trail))
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
	assert.ErrorContains(t, damages[0], "audit.jsonl:2 (byte ")
	assert.Equal(t, []uint64{1, 3, 4, 5, 6}, seqs)

	records, err := Tail(dir, 5)
	assert.ErrorContains(t, err, "audit.jsonl:2")
	assert.Len(t, records, 4)
	records, err = Tail(dir, 4)
	require.NoError(t, err)
	assert.Len(t, records, 4)
	records, err = Tail(dir, 0)
	require.NoError(t, err)
	assert.Empty(t, records)
	_, err = Tail(filepath.Join(dir, "none"), 1)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// story is what the fault table breaks: a torn log is opened, five records are appended one by one and five
// are posted, the actor is stopped. Whatever fails is begun again as a supervisor and a stubborn caller do.
func story(t *testing.T, d disk, mode Mode, content []byte) (*Trail, []int) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "audit")
	if content != nil {
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, os.WriteFile(Path(dir), content, 0o644))
	}
	trail := newTrail(t, Options{Dir: dir, Mode: mode}, d)
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
				assert.Equal(t, Required, mode, "ended by itself: %v", pid.Reason())
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
	require.NoError(t, ctx.Err(), "it got stuck")
	return trail, acknowledged
}

func TestFaults(t *testing.T) {
	content, last := sample(t)
	torn := content[:last+10]
	for _, mode := range []Mode{Required, BestEffort} {
		for name, content := range map[string][]byte{"torn": torn, "new": nil} {
			quiet := &testDisk{}
			story(t, quiet, mode, content)
			for _, at := range quiet.steps {
				for how, word := range map[fault]string{lost: "lost", done: "done", short: "short"} {
					if how == short && !strings.HasPrefix(at.op, "write") {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s/%s %d %s", mode, name, at.op, at.n, word), func(t *testing.T) {
						checkFault(t, mode, content, at, how)
					})
				}
			}
		}
	}
}

func checkFault(t *testing.T, mode Mode, content []byte, at step, how fault) {
	var once sync.Once
	d := &testDisk{hook: func(s step) (fault, error) {
		result := fine
		if s == at {
			once.Do(func() { result = how })
		}
		return result, errBoom
	}}
	trail, acknowledged := story(t, d, mode, content)
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
		written = written[2:] // those of the sample
	}
	assert.Equal(t, acknowledged, written, "what is in the log is what was acknowledged")
	assert.Equal(t, LogClosed, records[len(records)-1].Kind)
	status := trail.Status()
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
			stopAt := g.at("sync "+logName, 2)
			d := &testDisk{hook: func(s step) (fault, error) {
				_, _ = stopAt(s)
				if s.op == "sync "+logName && s.n == 2 {
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
			queued(t, trail, 3)
			require.Eventually(t, func() bool { return pid.Info().Depth == 0 && pid.Info().State == actor.Idle && pid.Info().Handled == 3 },
				20*time.Second, time.Millisecond)
			g.open()
			for range 3 {
				err := <-returned
				var file *FileError
				require.ErrorAs(t, err, &file)
				require.ErrorIs(t, err, unix.EIO)
				assert.Equal(t, Path(trail.options.Dir), file.Path)
			}
			assert.False(t, trail.Status().Open)
			assert.Contains(t, trail.Status().LastError, "sync: input/output error")
			assert.Zero(t, trail.Status().Queue)
			if mode == Required {
				<-pid.Done()
				require.ErrorIs(t, pid.Reason(), unix.EIO)
				assert.Zero(t, trail.Status().Lost)
				return
			}
			assert.True(t, pid.Alive())
			assert.EqualValues(t, 3, trail.Status().Lost)
			stop(t, pid) // which tries once more
			records := read(t, trail.options.Dir)
			require.Equal(t, []Kind{LogOpened, LogOpened, LogRecovered, LogGap, LogClosed}, kindsOf(records))
			assert.EqualValues(t, 3, records[3].Lost)
		})
	}
}

func TestRecordsTheGapWithoutBeingAsked(t *testing.T) {
	var mu sync.Mutex
	broken := true
	d := &testDisk{hook: func(s step) (fault, error) {
		mu.Lock()
		defer mu.Unlock()
		if broken && s.op == "write "+logName && s.n > 1 {
			return short, unix.ENOSPC
		}
		return fine, nil
	}}
	trail := newTrail(t, Options{Mode: BestEffort}, d)
	trail.retry = time.Millisecond
	pid := start(t, trail)
	err := trail.Append(deadline(t), turn(1))
	require.ErrorIs(t, err, unix.ENOSPC)
	assert.ErrorContains(t, err, Path(trail.options.Dir)+": write: no space left on device (disk full: make room there)")
	mu.Lock()
	broken = false
	mu.Unlock()
	require.Eventually(t, func() bool { return trail.Status().Open }, 20*time.Second, time.Millisecond)
	stop(t, pid)
	records := read(t, trail.options.Dir)
	assert.Equal(t, []Kind{LogOpened, LogOpened, LogRecovered, LogGap, LogClosed}, kindsOf(records))
}

// TestLyingDisk loses what was acknowledged, which no program can prevent. It must show.
func TestLyingDisk(t *testing.T) {
	d := &testDisk{hook: func(s step) (fault, error) {
		if s == (step{"write " + logName, 2}) {
			return lie, nil
		}
		return fine, nil
	}}
	trail := newTrail(t, Options{}, d)
	pid := start(t, trail)
	require.NoError(t, trail.Append(deadline(t), turn(1)))
	pid.Kill()
	<-pid.Done()
	stop(t, start(t, trail))
	var seqs []uint64
	var recovered Record
	for r, err := range Read(trail.options.Dir) {
		require.NoError(t, err)
		seqs = append(seqs, r.Seq)
		if r.Kind == LogRecovered {
			recovered = r
		}
	}
	assert.Equal(t, []uint64{1, 3, 4, 5}, seqs)
	assert.EqualValues(t, 2, recovered.Detail["missing_from"])
	assert.EqualValues(t, 2, recovered.Detail["missing_to"])
}

// TestForeignRecordsStay: what another process appended in the meantime is no leftover of ours.
func TestForeignRecordsStay(t *testing.T) {
	d := &testDisk{hook: func(s step) (fault, error) {
		if s == (step{"write " + logName, 2}) {
			return lost, unix.EIO
		}
		return fine, nil
	}}
	trail := newTrail(t, Options{}, d)
	pid := start(t, trail)
	require.Error(t, trail.Append(deadline(t), turn(1)))
	<-pid.Done()
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
		if s == (step{"sync " + logName, 2}) {
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
