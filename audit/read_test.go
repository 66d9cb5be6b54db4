package audit

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit/internal/format"
)

func TestReadNothing(t *testing.T) {
	n := 0
	for _, err := range Read(filepath.Join(scratch(t), "none")) {
		n++
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	assert.Equal(t, 1, n)
	for range Read(scratch(t)) {
		t.Fatal("an empty directory has no record")
	}
}

// following runs a Follow and gives what it finds.
func following(t *testing.T, dir string, after uint64) <-chan Record {
	ctx, cancel := context.WithCancel(deadline(t))
	found, over := make(chan Record), make(chan struct{})
	go func() {
		defer close(over)
		for r, err := range FollowAfter(ctx, dir, after) {
			if !assert.NoError(t, err) {
				return
			}
			select {
			case found <- r:
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-over })
	return found
}

func expect(t *testing.T, found <-chan Record, kind Kind, turn int) {
	t.Helper()
	select {
	case r := <-found:
		require.Equal(t, kind, r.Kind)
		require.Equal(t, turn, r.Turn)
	case <-deadline(t).Done():
		t.Fatalf("no %s", kind)
	}
}

func TestFollow(t *testing.T) {
	dir := filepath.Join(scratch(t), "audit")
	found := following(t, dir, 0) // before there is a log
	trail := newTrail(t, Options{Dir: dir}, nil)
	pid := start(t, trail)
	expect(t, found, LogOpened, 0)
	for i := range 3 {
		require.NoError(t, trail.Append(deadline(t), turn(i+1)))
		expect(t, found, TurnStarted, i+1)
	}
	late := following(t, dir, 3)
	expect(t, late, TurnStarted, 3)
	stop(t, pid)
	expect(t, found, LogClosed, 0)
	expect(t, late, LogClosed, 0)

	// Half a record is none yet.
	again := newTrail(t, Options{Dir: dir}, nil)
	pid = start(t, again)
	expect(t, found, LogOpened, 0)
	frame := format.AppendFrame(nil, nextAfter(t, dir, turn(9)))
	f, err := os.OpenFile(Path(dir), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Write(frame[:9])
	require.NoError(t, err)
	_, err = f.Write(frame[9:])
	require.NoError(t, err)
	expect(t, found, TurnStarted, 9)
	kill(pid, again)

	// The log is moved away and begun anew.
	require.NoError(t, os.Rename(dir, dir+".old"))
	stop(t, start(t, newTrail(t, Options{Dir: dir}, nil)))
	expect(t, found, LogOpened, 0)
	expect(t, found, LogClosed, 0)
}

// TestFollowOverSegments goes on over rotations.
func TestFollowOverSegments(t *testing.T) {
	trail := newTrail(t, Options{SegmentBytes: 1000}, nil)
	pid := start(t, trail)
	found := following(t, trail.options.Dir, 0)
	expect(t, found, LogOpened, 0)
	for i := range 20 {
		require.NoError(t, trail.Append(deadline(t), turn(i+1)))
	}
	stop(t, pid)
	next := 1
	for next <= 20 {
		select {
		case r := <-found:
			if r.Kind == TurnStarted {
				require.Equal(t, next, r.Turn)
				next++
			}
		case <-deadline(t).Done():
			t.Fatal("stuck")
		}
	}
	segments, signed, err := list(trail.options.Dir)
	require.NoError(t, err)
	assert.Greater(t, len(segments), 4)
	assert.Equal(t, segments, signed)
	late := following(t, trail.options.Dir, trail.Status().DurableSeq-1)
	expect(t, late, LogClosed, 0)
	for n := 1; n < 28; n += 4 {
		records, err := Tail(trail.options.Dir, n)
		require.NoError(t, err)
		require.Len(t, records, n)
		assert.Equal(t, trail.Status().DurableSeq, records[n-1].Seq)
	}
	assert.Equal(t, 0, verify(t, trail.options.Dir).Code())
}

// TestFollowOverAnAbandonedWrite: records that were seen and never acknowledged, and others in their place.
func TestFollowOverAnAbandonedWrite(t *testing.T) {
	g := newGate()
	defer g.open()
	d := &testDisk{hook: func(s step) (fault, error) {
		if s == (step{"sync " + segment1, 2}) {
			close(g.reached)
			<-g.opened
			return lost, errBoom
		}
		return fine, nil
	}}
	trail := newTrail(t, Options{}, d)
	pid := start(t, trail)
	found := following(t, trail.options.Dir, 0)
	expect(t, found, LogOpened, 0)
	returned := make(chan error, 1)
	go func() { returned <- trail.Append(deadline(t), turn(1)) }()
	<-g.reached
	expect(t, found, TurnStarted, 1)
	g.open()
	require.ErrorIs(t, <-returned, errBoom)
	stop(t, pid)
	for _, kind := range []Kind{LogRotated, LogOpened, LogRecovered, LogClosed} {
		expect(t, found, kind, 0)
	}
	report := verify(t, trail.options.Dir)
	assert.Equal(t, 0, report.Code())
	assert.Contains(t, report.Findings[0].Text, "bytes of a write that failed follow")
}

// nextAfter is the payload of a record that may follow what a log has.
func nextAfter(t *testing.T, dir string, r Record) []byte {
	e, err := encode(r, newRedactor(nil, nil), levels{}, nil)
	require.NoError(t, err)
	last, err := Tail(dir, 1)
	require.NoError(t, err)
	return append(format.Head{V: Version, Seq: last[0].Seq + 1, Kind: string(r.Kind)}.Append(nil), e.rest...)
}
