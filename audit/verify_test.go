package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// smallLog is a closed log of two segments.
func smallLog(t *testing.T) string {
	trail := newTrail(t, Options{SegmentBytes: 1200, Reserve: -1}, nil)
	pid := start(t, trail)
	for i := range 6 {
		r := turn(i + 1)
		r.Session = "worker"
		require.NoError(t, trail.Append(deadline(t), r))
	}
	stop(t, pid)
	segments, _, err := list(trail.options.Dir)
	require.NoError(t, err)
	require.Len(t, segments, 2)
	return trail.options.Dir
}

// TestEveryBit flips a bit of every byte of everything that is evidence.
func TestEveryBit(t *testing.T) {
	dir := smallLog(t)
	require.Equal(t, 0, verify(t, dir).Code())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	flipped := 0
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, logExt) && !strings.HasSuffix(name, signedExt) && name != pubName {
			continue
		}
		path := filepath.Join(dir, name)
		require.NoError(t, os.Chmod(path, 0o600))
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		for i := range content {
			bad := slices.Clone(content)
			bad[i] ^= 1 << (i % 8)
			if name == pubName && i == len(content)-1 {
				continue // the newline
			}
			require.NoError(t, os.WriteFile(path, bad, 0o600))
			report, err := Verify(context.Background(), dir, VerifyOptions{})
			if name == pubName {
				// A hexadecimal digit in upper case is the same key.
				same := strings.EqualFold(string(bad), string(content))
				require.True(t, same || err != nil || report.Code() == 1, "%s byte %d", name, i)
			} else {
				require.NoError(t, err, "%s byte %d", name, i)
				// The last checkpoint without its end is what a crash leaves: the records it covers are
				// not proved then.
				want := []int{1}
				if strings.HasSuffix(name, signedExt) {
					want = []int{1, 2}
				}
				require.Contains(t, want, report.Code(), "%s byte %d of %d: %v", name, i, len(content), report.Findings)
			}
			flipped++
			readBits(t, dir)
		}
		require.NoError(t, os.WriteFile(path, content, 0o600))
	}
	require.Greater(t, flipped, 2000)
	require.Equal(t, 0, verify(t, dir).Code())
}

// readBits reads a damaged log: all it gives must have been written.
func readBits(t *testing.T, dir string) {
	var records []Record
	for r, err := range Read(dir) {
		if err == nil {
			records = append(records, r)
		}
	}
	for _, r := range records {
		require.Equal(t, 1, r.V)
		require.LessOrEqual(t, r.Seq, uint64(20))
	}
}

// frames takes a segment apart: its header and its records.
func frames(t *testing.T, path string) [][]byte {
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	var all [][]byte
	for len(content) > 0 {
		_, n, err := format.Next(content)
		require.NoError(t, err)
		all = append(all, content[:n])
		content = content[n:]
	}
	return all
}

func TestTampering(t *testing.T) {
	from := smallLog(t)
	segments, _, err := list(from)
	require.NoError(t, err)
	second := segments[1]
	one, two := segmentName(1), segmentName(second)
	reseal := func(frame []byte, old, new string) []byte {
		payload, _, err := format.Next(frame)
		require.NoError(t, err)
		require.Contains(t, string(payload), old)
		return format.AppendFrame(nil, bytes.Replace(payload, []byte(old), []byte(new), 1))
	}
	anchor, err := Checkpoint(from, 0)
	require.NoError(t, err)
	for _, test := range []struct {
		name string
		do   func(t *testing.T, dir string)
		want string // a finding
	}{
		{"a record changed with its checksum", func(t *testing.T, dir string) {
			all := frames(t, filepath.Join(dir, one))
			all[3] = reseal(all[3], `"turn":2`, `"turn":7`)
			require.NoError(t, os.WriteFile(filepath.Join(dir, one), bytes.Join(all, nil), 0o600))
		}, "changed at record 3: it was changed"},
		{"the same without the hashes", func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, hashName)))
			all := frames(t, filepath.Join(dir, one))
			all[3] = reseal(all[3], `"turn":2`, `"turn":7`)
			require.NoError(t, os.WriteFile(filepath.Join(dir, one), bytes.Join(all, nil), 0o600))
		}, "are not those that a checkpoint covers"},
		{"a record removed", func(t *testing.T, dir string) {
			all := frames(t, filepath.Join(dir, one))
			require.NoError(t, os.WriteFile(filepath.Join(dir, one), bytes.Join(slices.Delete(all, 2, 3), nil), 0o600))
		}, "changed at record 2 (audit.00000000000000000001.log, byte"},
		{"a record inserted", func(t *testing.T, dir string) {
			all := frames(t, filepath.Join(dir, one))
			all = slices.Insert(all, 3, reseal(all[2], `"turn":1`, `"turn":9`))
			require.NoError(t, os.WriteFile(filepath.Join(dir, one), bytes.Join(all, nil), 0o600))
		}, "a record of this number is in the place of record 3"},
		{"two records exchanged", func(t *testing.T, dir string) {
			all := frames(t, filepath.Join(dir, one))
			all[2], all[3] = all[3], all[2]
			require.NoError(t, os.WriteFile(filepath.Join(dir, one), bytes.Join(all, nil), 0o600))
		}, "in the place of record"},
		{"the first segment removed", func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, one)))
		}, "are missing, and no log.pruned says so"},
		{"the last segment removed", func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, two)))
		}, "of which"},
		{"the last segment and its checkpoints removed", func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, two)))
			require.NoError(t, os.Remove(filepath.Join(dir, signedName(second))))
		}, "it was rolled back"},
		{"a segment exchanged", func(t *testing.T, dir string) {
			content, err := os.ReadFile(filepath.Join(smallLog(t), two))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, two), content, 0o600))
		}, "the tree in the segment's header is another"},
		{"a whole log exchanged", func(t *testing.T, dir string) {
			require.NoError(t, os.RemoveAll(dir))
			require.NoError(t, os.Rename(smallLog(t), dir))
		}, "the checkpoint given"},
		{"checkpoints removed", func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, signedName(1))))
		}, "the segment's checkpoints are missing"},
		{"something behind a segment", func(t *testing.T, dir string) {
			all := frames(t, filepath.Join(dir, one))
			all = append(all, all[2])
			require.NoError(t, os.WriteFile(filepath.Join(dir, one), bytes.Join(all, nil), 0o600))
		}, "bytes follow the end"},
		{"something behind the log", func(t *testing.T, dir string) {
			all := frames(t, filepath.Join(dir, two))
			all = append(all, all[2])
			require.NoError(t, os.WriteFile(filepath.Join(dir, two), bytes.Join(all, nil), 0o600))
		}, "a record of this number is in the place of record"},
		{"the end cut off", func(t *testing.T, dir string) {
			all := frames(t, filepath.Join(dir, two))
			require.NoError(t, os.WriteFile(filepath.Join(dir, two), bytes.Join(all[:len(all)-1], nil), 0o600))
		}, "a checkpoint covers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := copyLog(t, from, nil)
			test.do(t, dir)
			key, err := PublicKey(from)
			require.NoError(t, err)
			report, err := Verify(context.Background(), dir, VerifyOptions{Anchor: anchor, Key: key})
			require.NoError(t, err)
			assert.Equal(t, 1, report.Code())
			var all []string
			for _, f := range report.Findings {
				all = append(all, f.String())
			}
			assert.Contains(t, strings.Join(all, "\n"), test.want)
			for _, f := range all {
				t.Log(f)
			}
		})
	}
}

func TestProofs(t *testing.T) {
	dir := smallLog(t)
	key, err := PublicKey(dir)
	require.NoError(t, err)
	last := verify(t, dir).Last
	for _, hashes := range []bool{true, false} {
		if !hashes {
			require.NoError(t, os.Remove(filepath.Join(dir, hashName)))
		}
		for seq := uint64(1); seq <= last; seq++ {
			p, err := Prove(deadline(t), dir, seq)
			require.NoError(t, err)
			data, err := json.Marshal(p)
			require.NoError(t, err)
			text, err := CheckProof(data, key)
			require.NoError(t, err)
			assert.Contains(t, text, fmt.Sprintf("record %d is in the checkpoint of %d records", seq, last))
			_, err = CheckProof(bytes.Replace(data, []byte(`\"id\":\"0`), []byte(`\"id\":\"1`), 1), key)
			require.ErrorContains(t, err, "is not in the checkpoint")
			p.Seq = seq%last + 1
			data, err = json.Marshal(p)
			require.NoError(t, err)
			_, err = CheckProof(data, key)
			require.Error(t, err)
		}
		old, err := Checkpoint(dir, 1)
		require.NoError(t, err)
		p, err := Consistency(deadline(t), dir, old, nil)
		require.NoError(t, err)
		data, err := json.Marshal(p)
		require.NoError(t, err)
		text, err := CheckProof(data, key)
		require.NoError(t, err)
		assert.Contains(t, text, "contains that of 1")
		_, err = Consistency(deadline(t), dir, nil, old)
		require.ErrorContains(t, err, "other way round")
	}
	_, err = Prove(deadline(t), dir, last+1)
	require.ErrorContains(t, err, "the newest checkpoint covers the records 1 to")
	_, err = CheckProof([]byte(`{}`), key)
	require.ErrorContains(t, err, "no proof")
	other, err := PublicKey(smallLog(t))
	require.NoError(t, err)
	p, err := Prove(deadline(t), dir, 1)
	require.NoError(t, err)
	data, err := json.Marshal(p)
	require.NoError(t, err)
	_, err = CheckProof(data, other)
	require.Error(t, err)
}

// Who asks for a checkpoint that there is not is told which there are.
func TestNearestCheckpoints(t *testing.T) {
	dir := filepath.Join(scratch(t), "audit")
	l, _, err := openLog(realDisk{}, Options{Dir: dir, SegmentBytes: 1 << 20, SegmentAge: time.Hour, Reserve: -1}, &memory{}, time.Now)
	require.NoError(t, err)
	e, err := encode(turn(1), newRedactor(nil, nil), levels{}, nil)
	require.NoError(t, err)
	for range 3 {
		b := l.begin()
		for range 10 {
			b.add(&e, 0)
		}
		require.NoError(t, l.commit(b))
		require.NoError(t, l.sign())
	}
	l.close()
	for size, want := range map[uint64]string{7: "of 7 records: the nearest is of 10", 12: "the nearest are of 10 and of 20", 99: "of 99 records: the nearest is of 30"} {
		_, err := Checkpoint(dir, size)
		require.ErrorContains(t, err, want)
	}
	_, err = Checkpoint(dir, 20)
	require.NoError(t, err)
}

// TestPrune keeps the last segments, and everything about them can be proved.
func TestPrune(t *testing.T) {
	var clock atomic.Int64
	trail := newTrail(t, Options{SegmentAge: time.Hour, KeepAge: 3 * time.Hour}, nil)
	trail.now = func() time.Time { return time.Unix(clock.Load(), 0) }
	pid := start(t, trail)
	early, err := Checkpoint(trail.options.Dir, 0)
	require.NoError(t, err)
	for i := range 10 {
		clock.Add(3600)
		require.NoError(t, trail.Append(deadline(t), turn(i+1)))
	}
	stop(t, pid)
	dir := trail.options.Dir
	segments, signed, err := list(dir)
	require.NoError(t, err)
	assert.Len(t, segments, 5)
	assert.Len(t, signed, 11, "checkpoints are kept")
	report := verify(t, dir)
	assert.Equal(t, 0, report.Code(), "%v", report.Findings)
	assert.Equal(t, segments[0], report.First)
	report, err = Verify(deadline(t), dir, VerifyOptions{Anchor: early})
	require.NoError(t, err)
	assert.Equal(t, 0, report.Code())
	for _, hashes := range []bool{true, false} {
		if !hashes {
			require.NoError(t, os.Remove(filepath.Join(dir, hashName)))
		}
		p, err := Prove(deadline(t), dir, segments[0])
		require.NoError(t, err)
		assert.NotEmpty(t, p.Hashes)
	}
	_, err = Prove(deadline(t), dir, 1)
	require.ErrorContains(t, err, "record 1 is not there")
	// The side file is made anew by the next opening, as far as there are records.
	stop(t, start(t, trail))
	assert.Equal(t, 0, verify(t, dir).Code())
	f, hashes, err := hashReader(dir)
	require.NoError(t, err)
	defer f.Close()
	p, err := Prove(deadline(t), dir, segments[1])
	require.NoError(t, err)
	_, err = hashes.ReadHashes([]int64{0})
	require.NoError(t, err)
	assert.NotEmpty(t, p.Hashes)

	require.NoError(t, os.Remove(filepath.Join(dir, segmentName(segments[1]))))
	assert.Equal(t, 1, verify(t, dir).Code())
}

func TestInvariants(t *testing.T) {
	trail := newTrail(t, Options{}, nil)
	pid := start(t, trail)
	yes, failed := false, true
	for _, r := range []Record{
		{Kind: ToolIntent, Session: "a", ToolUseID: "t1"},
		{Kind: ToolResult, Session: "a", ToolUseID: "t1", IsError: &yes, Detail: map[string]any{"intent_recorded": true}},
		{Kind: ToolIntent, Session: "a", ToolUseID: "t2"},
		{Kind: ToolResult, Session: "a", ToolUseID: "t3", Detail: map[string]any{"intent_recorded": true}},
		{Kind: ToolResult, Session: "a", ToolUseID: "t4", IsError: &yes, Detail: map[string]any{"intent_recorded": false}},
		{Kind: ToolDecision, Session: "a", ToolUseID: "t5", Decision: &Decision{Outcome: Deny, By: "rule"}},
		{Kind: ToolResult, Session: "a", ToolUseID: "t5", IsError: &failed, Decision: &Decision{Outcome: Deny, By: "rule"}, Detail: map[string]any{"intent_recorded": false}},
		{Kind: ToolResult, Session: "a", ToolUseID: "t6", IsError: &failed, Detail: map[string]any{"intent_recorded": false}},
		{Kind: ToolOrphan, Session: "a", ToolUseID: "t7", Detail: map[string]any{"intent_recorded": false}},
		{Kind: TurnResult, Session: "a", CostUSD: 0.25, TotalCostUSD: 0.25},
		{Kind: TurnResult, Session: "a", CostUSD: 0.25, TotalCostUSD: 0.75},
		{Kind: SessionStarted, Session: "b", Generation: 1},
		{Kind: TurnResult, Session: "b", CostUSD: 0.25, TotalCostUSD: 0.25},
		{Kind: SessionStarted, Session: "b", Generation: 2},
		{Kind: TurnResult, Session: "b", CostUSD: 0.25, TotalCostUSD: 0.5},
		{Kind: SessionStarted, Session: "b", Generation: 1}, // it was removed, and another has its name
		{Kind: TurnResult, Session: "b", CostUSD: 0.25, TotalCostUSD: 0.25},
		{Kind: SessionStarted, Session: "b", Generation: 1},
		{Kind: TurnResult, Session: "b", CostUSD: 0.25, TotalCostUSD: 0.5},
		{Kind: SessionStarted, Session: "c", SessionID: "1", Generation: 1},
		{Kind: TurnResult, Session: "c", SessionID: "1", CostUSD: 0.25, TotalCostUSD: 0.25},
		{Kind: TurnResult, Session: "c", SessionID: "2", CostUSD: 0.25, TotalCostUSD: 0.5}, // after /clear
		{Kind: SessionStarted, Session: "c", SessionID: "3", Generation: 1},
		{Kind: SessionStopped, Session: "c", SessionID: "2", CostUSD: 0.25, TotalCostUSD: 0.75}, // the one before
		{Kind: TurnResult, Session: "c", SessionID: "3", CostUSD: 0.25, TotalCostUSD: 0.25},
		{Kind: SessionStarted, Session: "c", SessionID: "4", Generation: 2}, // another one, whose first process ended before it was recorded
		{Kind: TurnResult, Session: "c", SessionID: "4", CostUSD: 0.125, TotalCostUSD: 0.125},
		{Kind: TurnResult, Session: "c", SessionID: "5", CostUSD: 0.125, TotalCostUSD: 0.75},
		{Kind: ToolIntent, Session: "a", ToolUseID: "t8"},
		{Kind: ToolOrphan, Session: "a", ToolUseID: "t8", Detail: map[string]any{"intent_recorded": true}},
		{Kind: ToolResult, Session: "a", ToolUseID: "t8", IsError: &yes, Detail: map[string]any{"intent_recorded": true, "late": true}},
		{Kind: ToolOrphan, Session: "a", ToolUseID: "t9", Detail: map[string]any{"intent_recorded": false}},
		{Kind: ToolResult, Session: "a", ToolUseID: "t9", IsError: &yes, Detail: map[string]any{"intent_recorded": false, "late": true}},
		{Kind: TurnResult, Session: "d", SessionID: "1", CostUSD: 0.25, TotalCostUSD: 0.25},
		{Kind: SessionCrashed, Session: "d", SessionID: "1", CostUSD: 0.125, TotalCostUSD: 0.375, Detail: map[string]any{"recovered": true}},
		{Kind: SessionCrashed, Session: "d", SessionID: "1", CostUSD: 0.125, TotalCostUSD: 0.375, Detail: map[string]any{"recovered": true}}, // said again
		{Kind: SessionCrashed, Session: "d", SessionID: "1", CostUSD: 0.125, TotalCostUSD: 0.5},
		{Kind: SessionCrashed, Session: "d", SessionID: "1", CostUSD: 0.125, TotalCostUSD: 0.5},
		{Kind: SessionCrashed, Session: "d", SessionID: "1", CostUSD: 0.125, TotalCostUSD: 0.75, Detail: map[string]any{"recovered": true}},
	} {
		require.NoError(t, trail.Append(deadline(t), r))
	}
	stop(t, pid)
	report, err := Verify(deadline(t), trail.options.Dir, VerifyOptions{Invariants: true})
	require.NoError(t, err)
	assert.Equal(t, 3, report.Code())
	var texts []string
	for _, f := range report.Findings {
		texts = append(texts, f.String())
	}
	assert.Equal(t, []string{
		"gap at record 5: tool use t3: it has no intent",
		"gap at record 6: tool use t4: it ran without an intent",
		"gap at record 12: session a: it had spent 0.250000 USD, this has cost 0.250000, and the record says that it has spent 0.750000",
		"gap at record 20: session b: it had spent 0.000000 USD, this has cost 0.250000, and the record says that it has spent 0.500000",
		"gap at record 29: session c: it had spent 0.125000 USD, this has cost 0.125000, and the record says that it has spent 0.750000",
		"gap at record 34: tool use t9: it ran without an intent",
		"gap at record 39: session d: it had spent 0.500000 USD, this has cost 0.125000, and the record says that it has spent 0.500000",
		"gap at record 40: session d: it had spent 0.500000 USD, this has cost 0.125000, and the record says that it has spent 0.750000",
		"gap at record 4: tool use t2: its intent has no result, denial or orphan",
	}, texts)
	assert.Equal(t, 0, verify(t, trail.options.Dir).Code())
}

// TestVerifyWhileWriting: a log in use is never found changed or torn.
func TestVerifyWhileWriting(t *testing.T) {
	trail := newTrail(t, Options{SegmentBytes: 20000, CheckpointRecords: 10}, nil)
	pid := start(t, trail)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for i := range 600 {
			assert.NoError(t, trail.Append(context.Background(), turn(i+1)))
		}
	}()
	for n := 0; ; n++ {
		report := verify(t, trail.options.Dir)
		require.Equal(t, 0, report.Code(), "%v", report.Findings)
		select {
		case <-over:
			assert.Positive(t, n)
			stop(t, pid)
			return
		default:
		}
	}
}

// TestWhileSegmentsAreRemoved: what reads a log from its beginning may find that segments have gone since it looked. Nothing is
// found wrong with the log then, and what is not given is what log.pruned says.
func TestWhileSegmentsAreRemoved(t *testing.T) {
	trail := newTrail(t, Options{SegmentBytes: 900, KeepBytes: 2000, CheckpointRecords: 5}, nil)
	pid := start(t, trail)
	dir := trail.options.Dir
	appended := 0
	rotate := func() { // until the oldest segment there is now has gone
		segments, _, err := list(dir)
		require.NoError(t, err)
		for path := filepath.Join(dir, segmentName(segments[0])); ; {
			appended++
			require.NoError(t, trail.Append(deadline(t), turn(appended)))
			if _, err := os.Stat(path); err != nil {
				return
			}
		}
	}
	rotate()

	v := newVerification(dir)
	require.NoError(t, v.prepare(VerifyOptions{}))
	rotate()
	err := v.run(deadline(t))
	require.ErrorIs(t, err, fs.ErrNotExist)
	assert.True(t, v.overtaken(err), "it is done over")
	require.NoError(t, os.Rename(filepath.Join(dir, segmentName(v.segments[len(v.segments)-1])), filepath.Join(dir, "kept")))
	assert.False(t, func() bool { v := newVerification(dir); _ = v.prepare(VerifyOptions{}); return v.overtaken(err) }(), "nothing was removed since")
	require.NoError(t, os.Rename(filepath.Join(dir, "kept"), filepath.Join(dir, segmentName(v.segments[len(v.segments)-1]))))
	assert.Equal(t, 0, verify(t, dir).Code())

	// A slow reader: it goes on behind the hole, which is that of log.pruned.
	next, last := iter.Pull2(Log{dir}.Records(deadline(t), Filter{}))
	defer last()
	first, err, ok := next()
	require.True(t, ok)
	require.NoError(t, err)
	for range 4 {
		rotate()
	}
	before, holes, through := first.Seq, 0, uint64(0)
	for {
		r, err, ok := next()
		if !ok {
			break
		}
		require.NoError(t, err)
		require.Greater(t, r.Seq, before)
		if r.Seq != before+1 {
			holes++
			through = r.Seq - 1
		}
		before = r.Seq
	}
	assert.Equal(t, 1, holes)
	assert.GreaterOrEqual(t, before, uint64(appended))
	said := false
	for r, err := range Read(dir) {
		require.NoError(t, err)
		said = said || r.Kind == LogPruned && r.Detail["through"].(float64) >= float64(through)
	}
	assert.True(t, said)
	stop(t, pid)
}

func FuzzRead(f *testing.F) {
	dir := filepath.Join(scratch(f), "audit")
	if err := os.Mkdir(dir, 0o700); err != nil {
		f.Fatal(err)
	}
	segment := format.Segment{Began: time.Unix(0, 0)}
	segment.SetFrontier(&format.Frontier{})
	header, err := segment.Encode()
	if err != nil {
		f.Fatal(err)
	}
	whole := format.AppendFrame(nil, header)
	written := map[string]bool{}
	for i := range 3 {
		payload := fmt.Appendf(nil, `{"v":1,"seq":%d,"kind":"turn.started","id":"%d","time":"2025-11-05T08:30:00Z"}`, i+1, i)
		written[string(payload)] = true
		whole = format.AppendFrame(whole, payload)
	}
	f.Add(whole, 0, 0, []byte{})
	f.Add(whole, 20, 3, []byte("\x00\n{}"))
	f.Fuzz(func(t *testing.T, content []byte, at, drop int, insert []byte) {
		if at < 0 || drop < 0 || at > len(content) || drop > len(content)-at {
			at, drop = 0, 0
		}
		content = slices.Concat(content[:at], insert, content[at+drop:])
		if err := os.WriteFile(filepath.Join(dir, segmentName(1)), content, 0o600); err != nil {
			t.Fatal(err)
		}
		for payload, err := range look(context.Background(), dir, 1, asIs) {
			if err == nil && !written[string(payload)] && bytes.Contains(payload, []byte(`"kind"`)) {
				// It must be one that the input itself has with its checksum.
				if !bytes.Contains(content, format.AppendFrame(nil, payload)) {
					t.Fatalf("never written: %q", payload)
				}
			}
		}
		for range Read(dir) {
		}
	})
}

// FuzzChanged changes a log that was written: what is read was written, and a change is found.
func FuzzChanged(f *testing.F) {
	f.Add(uint16(100), byte(1), uint16(0))
	f.Add(uint16(900), byte(255), uint16(40))
	dir := filepath.Join(scratch(f), "audit")
	l, _, err := openLog(realDisk{}, Options{Dir: dir, SegmentBytes: 1 << 20, SegmentAge: time.Hour, Reserve: -1}, &memory{}, time.Now)
	if err != nil {
		f.Fatal(err)
	}
	e, err := encode(Record{Kind: ToolIntent, Session: "a", Input: json.RawMessage(`{"x":"y"}`)}, newRedactor(nil, nil), levels{}, nil)
	if err != nil {
		f.Fatal(err)
	}
	b := l.begin()
	for range 5 {
		b.add(&e, 0)
	}
	if err := l.commit(b); err != nil {
		f.Fatal(err)
	}
	if err := l.sign(); err != nil {
		f.Fatal(err)
	}
	l.close()
	path := filepath.Join(dir, segmentName(1))
	original, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, at uint16, xor byte, cut uint16) {
		content := slices.Clone(original)
		content[int(at)%len(content)] ^= xor
		content = content[:len(content)-int(cut)%len(content)]
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		for payload, err := range look(context.Background(), dir, 1, asIs) {
			if err == nil && !bytes.Contains(original, payload) {
				t.Fatalf("never written: %q", payload)
			}
		}
		report, err := Verify(context.Background(), dir, VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if same := bytes.Equal(content, original); same != (report.Code() == 0) {
			t.Fatalf("same %v, code %d: %v", same, report.Code(), report.Findings)
		}
	})
}

// TestChangedProofs: a proof of which any bit was changed proves nothing, or what it did before (names of fields may be in capitals).
func TestChangedProofs(t *testing.T) {
	dir := smallLog(t)
	key, err := PublicKey(dir)
	require.NoError(t, err)
	record, err := Prove(deadline(t), dir, 3)
	require.NoError(t, err)
	old, err := Checkpoint(dir, 1)
	require.NoError(t, err)
	consistency, err := Consistency(deadline(t), dir, old, nil)
	require.NoError(t, err)
	for _, p := range []any{record, consistency} {
		data, err := json.Marshal(p)
		require.NoError(t, err)
		text, err := CheckProof(data, key)
		require.NoError(t, err)
		refused := 0
		for i := range data {
			changed := bytes.Clone(data)
			changed[i] ^= 1 << (i % 8)
			got, err := CheckProof(changed, key)
			if err != nil {
				refused++
				continue
			}
			assert.Equal(t, text, got, "byte %d: %s", i, changed)
		}
		assert.Greater(t, refused, len(data)*9/10)
		for end := range data {
			_, err := CheckProof(data[:end], key)
			require.Error(t, err, "the first %d bytes", end)
		}
		_, err = CheckProof(append(bytes.Clone(data), data...), key)
		require.Error(t, err, "twice")
	}
}
