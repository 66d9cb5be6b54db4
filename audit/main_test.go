package audit

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session/sessiontest"
)

// segment1 is the first file of a log.
var segment1 = segmentName(1)

// TestMain is also the process that TestKilledProcess kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(writerDir); dir != "" {
		appendForEver(dir)
	}
	os.Exit(sessiontest.NothingLeft(m).Run())
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
			<-last.quiet
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

// works waits until a log takes records that did not.
func works(t *testing.T, trail *Trail) {
	t.Helper()
	require.Eventually(t, func() bool { return trail.Health() == nil }, time.Minute, time.Millisecond)
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

func newGate() *gate { return &gate{reached: make(chan struct{}), opened: make(chan struct{})} }

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

// admitted waits until so many entries are the audit actor's: those that it does not write are in its next batch.
func admitted(t *testing.T, trail *Trail, n int) {
	t.Helper()
	trail.mu.Lock()
	in := trail.up
	trail.mu.Unlock()
	require.Eventually(t, func() bool {
		in.mu.Lock()
		defer in.mu.Unlock()
		found := 0
		for e := in.outstanding; e != nil; e = e.next {
			found++
		}
		return found == n
	}, time.Minute, time.Millisecond)
}
