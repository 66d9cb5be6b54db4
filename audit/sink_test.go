package audit

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
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
