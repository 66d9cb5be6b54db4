package audit

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// collected is what a sink took.
type collected struct {
	mu   sync.Mutex
	seqs []uint64
}

func (c *collected) add(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seqs = append(c.seqs, seq)
}

func (c *collected) has(n uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seqs) > 0 && c.seqs[len(c.seqs)-1] >= n
}

func TestSinks(t *testing.T) {
	dir := filepath.Join(scratch(t), "audit")
	var good, flaky collected
	failing := 0
	stuck := make(chan struct{})
	defer close(stuck)
	var lines bytes.Buffer
	var posted collected
	sinks := []Sink{
		CallbackSink("good", func(r Record) { good.add(r.Seq) }),
		{Name: "flaky", Batch: 3, Deliver: func(_ context.Context, records []Record) error {
			if failing++; failing%2 == 1 {
				if failing%4 == 1 {
					panic("no")
				}
				return errors.New("not now")
			}
			for _, r := range records {
				flaky.add(r.Seq)
			}
			return nil
		}},
		{Name: "stuck", Deliver: func(ctx context.Context, _ []Record) error {
			<-ctx.Done()
			return ctx.Err()
		}},
		LoggerSink("lines", zerolog.New(&lines)),
		HTTPSink("http", func(_ context.Context, contentType string, body []byte) error {
			assert.Equal(t, "application/x-ndjson", contentType)
			for line := range bytes.Lines(body) {
				r, err := decode(bytes.TrimSuffix(line, []byte("\n")))
				assert.NoError(t, err)
				posted.add(r.Seq)
			}
			return nil
		}),
	}
	for round := range 3 {
		trail := newTrail(t, Options{Dir: dir, Sinks: sinks, SegmentBytes: 1500}, nil)
		trail.retry = 10 * time.Microsecond
		pid := start(t, trail)
		for i := range 10 {
			require.NoError(t, trail.Append(deadline(t), Record{Kind: TurnStarted, Session: "s", Turn: round*10 + i + 1}))
		}
		last := trail.Status().DurableSeq
		require.Eventually(t, func() bool { return good.has(last) && flaky.has(last) && posted.has(last) }, time.Minute, time.Millisecond)
		stop(t, pid)
		released(trail)
	}
	for name, c := range map[string]*collected{"good": &good, "flaky": &flaky} {
		seen := map[uint64]bool{}
		before := uint64(0)
		for _, seq := range c.seqs {
			if !seen[seq] {
				assert.Equal(t, before+1, seq, "%s: in order, without a hole", name)
				before = seq
			}
			seen[seq] = true
		}
		assert.GreaterOrEqual(t, before, uint64(30))
	}
	assert.Contains(t, lines.String(), `"kind":"turn.started"`)
	assert.Contains(t, lines.String(), `"session":"s"`)

	for _, bad := range []Sink{{Name: "a/b", Deliver: sinks[0].Deliver}, {Name: "x"}, {Deliver: sinks[0].Deliver}, sinks[0]} {
		_, err := newTrail(t, Options{Dir: dir, Sinks: []Sink{sinks[0], bad}}, nil).Start(deadline(t))
		require.ErrorContains(t, err, "audit sink")
	}
}

func TestAnchors(t *testing.T) {
	file := filepath.Join(scratch(t), "anchored")
	tries := 0
	trail := newTrail(t, Options{CheckpointRecords: 2, Anchors: []Anchor{FileAnchor(file), {Name: "flaky", Publish: func(context.Context, []byte) error {
		tries++
		return errors.New("not now")
	}}}}, nil)
	trail.retry = time.Microsecond
	pid := start(t, trail)
	for i := range 20 {
		require.NoError(t, trail.Append(deadline(t), turn(i+1)))
	}
	kill(pid, trail)
	pid = start(t, trail)
	stop(t, pid)
	released(trail)
	assert.Positive(t, tries)
	anchored, err := os.ReadFile(file)
	require.NoError(t, err)
	newest, err := Checkpoint(trail.options.Dir, 0)
	require.NoError(t, err)
	assert.True(t, bytes.HasSuffix(anchored, newest))
	report, err := Verify(deadline(t), trail.options.Dir, VerifyOptions{Anchor: anchored})
	require.NoError(t, err)
	assert.Equal(t, 0, report.Code(), "%v", report.Findings)
	anchored[bytes.IndexByte(anchored, '\n')+3] ^= 1
	report, err = Verify(deadline(t), trail.options.Dir, VerifyOptions{Anchor: anchored})
	require.NoError(t, err)
	assert.Equal(t, 1, report.Code())
	_, err = Verify(deadline(t), trail.options.Dir, VerifyOptions{Key: "x"})
	require.ErrorContains(t, err, "expected NAME+HASH+KEY")
	assert.True(t, strings.HasPrefix(Origin(trail.options.Dir), "understudy-audit/"))
}

// TestSinkThatIsLate: what the retention has removed before a sink got to it is counted, in the sink's state and in the log of the
// program. A cursor that is further than the log is of another log.
func TestSinkThatIsLate(t *testing.T) {
	var got collected
	working := make(chan struct{})
	var lines bytes.Buffer
	sinks := []Sink{{Name: "late", Batch: 1, Deliver: func(ctx context.Context, records []Record) error {
		if got.has(1) {
			select {
			case <-working:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		got.add(records[0].Seq)
		return nil
	}}}
	o := Options{Sinks: sinks, SegmentBytes: 900, KeepBytes: 2000, Logger: zerolog.New(zerolog.SyncWriter(&lines))}
	trail := newTrail(t, o, nil)
	pid := start(t, trail)
	dir := trail.options.Dir
	require.NoError(t, trail.Append(deadline(t), turn(1)))
	require.Eventually(t, func() bool { return trail.Status().Sinks[0].DeliveredSeq == 1 }, time.Minute, time.Millisecond)
	for i := range 40 {
		require.NoError(t, trail.Append(deadline(t), turn(i+2)))
	}
	stop(t, pid)
	require.NoError(t, trail.Settle(deadline(t)))
	close(working)

	segments, _, err := list(dir)
	require.NoError(t, err)
	require.Greater(t, segments[0], uint64(3), "the cursor is in a segment that has gone")
	got.mu.Lock()
	before := got.seqs[len(got.seqs)-1]
	got.mu.Unlock()
	o.Dir = dir
	trail = newTrail(t, o, nil)
	pid = start(t, trail)
	last := trail.Status().DurableSeq
	require.Eventually(t, func() bool { return trail.Status().Sinks[0].DeliveredSeq >= last }, time.Minute, time.Millisecond)
	assert.Equal(t, segments[0]-before-1, trail.Status().Sinks[0].Missed)
	stop(t, pid)
	require.NoError(t, trail.Settle(deadline(t)))
	assert.Contains(t, lines.String(), `"from":`+strconv.FormatUint(before+1, 10)+`,"through":`+strconv.FormatUint(segments[0]-1, 10))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "audit.sink-late"), []byte("100000\n"), 0o600))
	got = collected{}
	trail = newTrail(t, o, nil)
	start(t, trail)
	last = trail.Status().DurableSeq
	require.Eventually(t, func() bool { return got.has(last) }, time.Minute, time.Millisecond)
	assert.Zero(t, trail.Status().Sinks[0].Missed)
}

// TestAnchorThatHangs holds nothing back, not even the next incarnation; and what it has not got it gets when it goes on.
func TestAnchorThatHangs(t *testing.T) {
	stuck := make(chan struct{})
	var mu sync.Mutex
	var published []byte
	trail := newTrail(t, Options{CheckpointRecords: 1, Anchors: []Anchor{{Name: "hangs", Publish: func(_ context.Context, checkpoint []byte) error {
		<-stuck // it has not heard of contexts
		mu.Lock()
		defer mu.Unlock()
		published = checkpoint
		return nil
	}}}}, nil)
	require.NoError(t, trail.Settle(deadline(t)), "nothing has begun")
	pid := start(t, trail)
	require.NoError(t, trail.Append(deadline(t), turn(1)))
	pid.Kill()
	<-pid.Done()
	pid = start(t, trail)
	require.NoError(t, trail.Append(deadline(t), turn(2)))
	stop(t, pid)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, trail.Settle(gone), context.Canceled)
	assert.Equal(t, []AnchorStatus{{Name: "hangs"}}, trail.Status().Anchors)
	close(stuck)
	require.NoError(t, trail.Settle(deadline(t)))
	newest, err := Checkpoint(trail.options.Dir, 0)
	require.NoError(t, err)
	released(trail)
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, string(newest), string(published))
	assert.Equal(t, []AnchorStatus{{Name: "hangs", SignedSeq: trail.Status().SignedSeq}}, trail.Status().Anchors)
}

// TestAnchorThatFails says so in the log's state, and has the newest checkpoint when it works again.
func TestAnchorThatFails(t *testing.T) {
	path := filepath.Join(scratch(t), "anchored")
	require.NoError(t, os.Mkdir(path, 0o700))
	trail := newTrail(t, Options{CheckpointRecords: 1, Anchors: []Anchor{FileAnchor(path)}}, nil)
	trail.retry = time.Millisecond
	pid := start(t, trail)
	require.NoError(t, trail.Append(deadline(t), turn(1)))
	require.Eventually(t, func() bool { return strings.Contains(trail.Status().Anchors[0].LastError, "is a directory") }, time.Minute, time.Millisecond)
	require.NoError(t, os.Remove(path))
	require.Eventually(t, func() bool {
		s := trail.Status()
		return s.Anchors[0].LastError == "" && s.Anchors[0].SignedSeq == s.SignedSeq
	}, time.Minute, time.Millisecond)
	stop(t, pid)
	require.NoError(t, trail.Settle(deadline(t)))
	anchored, err := os.ReadFile(path)
	require.NoError(t, err)
	report, err := Verify(deadline(t), trail.options.Dir, VerifyOptions{Anchor: anchored})
	require.NoError(t, err)
	assert.Equal(t, 0, report.Code(), "%v", report.Findings)

	// A full disk takes a part.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	require.ErrorIs(t, appendWhole(halfFull{f}, anchored[:100]), errBoom)
	require.NoError(t, f.Close())
	now, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(anchored), string(now))
}

// halfFull is a file on a disk with room for half of what is written.
type halfFull struct{ *os.File }

func (f halfFull) Write(p []byte) (int, error) {
	n, err := f.File.Write(p[:len(p)/2])
	return n, errors.Join(err, errBoom)
}
