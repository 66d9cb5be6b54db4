package audit

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Records that are written again, to a new segment after a failure, come after what its header carries on: the log is what it was also when
// that segment is the oldest that is kept.
func TestHeaderOfASegmentWithMovedRecords(t *testing.T) {
	dir := filepath.Join(scratch(t), "audit")
	o := Options{Dir: dir, SegmentBytes: 1 << 20, SegmentAge: time.Hour, Reserve: -1, KeepBytes: 1}
	l, _, err := openLog(realDisk{}, o, &memory{}, time.Now)
	require.NoError(t, err)
	add := func(b *batch, r Record, lost uint64) {
		e, err := encode(r, newRedactor(nil, nil), levels{}, nil)
		require.NoError(t, err)
		b.add(&e, lost)
	}
	b := l.begin()
	add(b, Record{Kind: TurnStarted, Session: "a"}, 0)
	require.NoError(t, l.commit(b))
	require.NoError(t, l.sign())
	b = l.begin()
	add(b, Record{Kind: TurnResult, Session: "a"}, 0)
	add(b, Record{Kind: TurnResult, Session: "b"}, 0)
	add(b, Record{Kind: LogGap, Detail: map[string]any{"count": 3}}, 3)
	require.NoError(t, l.commit(b))
	path := l.path
	l.close()

	m := &memory{}
	m.taint(path) // an fsync of it has failed
	l, _, err = openLog(realDisk{}, o, m, time.Now)
	require.NoError(t, err)
	header, err := headerOf(dir, 2)
	require.NoError(t, err)
	assert.Zero(t, header.Lost)
	assert.Equal(t, map[string]uint64{"a": 1}, header.Sessions)
	assert.Equal(t, uint64(4), l.tree.Size())
	b = l.begin()
	add(b, Record{Kind: TurnStarted, Session: "a"}, 0)
	add(b, Record{Kind: LogPruned, Detail: map[string]any{"through": 1}}, 0)
	require.NoError(t, l.commit(b))
	require.NoError(t, l.sign())
	l.close()
	require.NoError(t, os.Remove(path))
	report, err := Verify(context.Background(), dir, VerifyOptions{Invariants: true})
	require.NoError(t, err)
	assert.Equal(t, 3, report.Code(), "the gap, and nothing else: %v", report.Findings)
	last, err := Tail(dir, 2)
	require.NoError(t, err)
	assert.Equal(t, uint64(3), last[0].SessionSeq)
	assert.Equal(t, uint64(3), last[0].Lost)
}
