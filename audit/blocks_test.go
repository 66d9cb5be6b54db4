package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/understudy-run/understudy/audit/internal/format"
)

// What several goroutines find in blocks of a segment is what one finds record by record, whatever was done to the log.
func TestBlocksFindWhatAScannerFinds(t *testing.T) {
	dir := filepath.Join(scratch(t), "audit")
	l, _, err := openLog(realDisk{}, Options{Dir: dir, SegmentBytes: 1 << 20, SegmentAge: time.Hour, Reserve: -1}, &memory{}, time.Now)
	require.NoError(t, err)
	for i := range 12 {
		b := l.begin()
		for j := range 7 + i%3 {
			input := json.RawMessage(`{"x":"y"}`)
			if i == 5 && j == 3 { // longer than a block
				input = json.RawMessage(`{"x":"` + string(slices.Repeat([]byte("z"), 3000)) + `"}`)
			}
			r, lost := Record{Kind: ToolIntent, Session: "a", Input: input}, uint64(0)
			switch {
			case i == 4 && j == 2:
				r = Record{Kind: LogFull}
			case i == 8 && j == 4:
				r, lost = Record{Kind: LogGap, Detail: map[string]any{"count": 3}}, 3
			}
			e, err := encode(r, newRedactor(nil, nil), levels{}, nil)
			require.NoError(t, err)
			b.add(&e, lost)
		}
		require.NoError(t, l.commit(b))
		if i%2 == 0 {
			require.NoError(t, l.sign())
		}
	}
	l.close()
	path := filepath.Join(dir, segmentName(1))
	original, err := os.ReadFile(path)
	require.NoError(t, err)
	whole := frames(t, path)
	look := func(many int64, blockSize int) *Report {
		v := newVerification(dir)
		v.many, v.blockSize = many, blockSize
		report, err := v.verify(context.Background(), VerifyOptions{Invariants: true})
		require.NoError(t, err)
		slices.SortStableFunc(report.Findings, func(a, b Finding) int { return strings.Compare(a.Text, b.Text) }) // of one block that are of both sorts
		return report
	}
	read := func(many int64, blockSize int) (all []string) {
		for payload, err := range lookInBlocks(context.Background(), dir, 1, blockSize, many, asIs) {
			all = append(all, fmt.Sprintf("%s %v", payload, err))
		}
		decoded := func() looker[Record] {
			var d decoder
			return func(p *payload) (Record, verdict, error) {
				r, err := d.record(p.payload)
				return r, []verdict{keep, skip}[r.Seq%2], err
			}
		}
		for r, err := range lookInBlocks(context.Background(), dir, 1, blockSize, many, decoded) {
			all = append(all, fmt.Sprintf("%d %v", r.Seq, err))
		}
		return all
	}
	rapid.Check(t, func(rt *rapid.T) {
		content := slices.Clone(original)
		for range rapid.IntRange(0, 2).Draw(rt, "changes") {
			switch rapid.IntRange(0, 5).Draw(rt, "change") {
			case 0:
				content[rapid.IntRange(0, len(content)-1).Draw(rt, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
			case 1:
				content = content[:rapid.IntRange(1, len(content)).Draw(rt, "cut")]
			case 2: // frames that are all right, in another order, or missing, or twice
				order := rapid.SliceOfN(rapid.IntRange(1, len(whole)-1), 1, 2*len(whole)).Draw(rt, "order")
				content = slices.Clone(whole[0])
				for _, i := range order {
					content = append(content, whole[i]...)
				}
			case 3:
				i := rapid.IntRange(1, len(whole)-1).Draw(rt, "missing")
				content = slices.Concat(slices.Delete(slices.Clone(whole), i, min(i+2, len(whole)))...)
			case 4: // frames that are no records
				at := rapid.IntRange(1, len(whole)).Draw(rt, "before")
				strange := format.AppendFrame(nil, []byte(rapid.SampledFrom([]string{`{}`, `{"v":1,"seq":3,"kind":"x",`, `{"v":1,"seq":9,"kind":"x","id":1}`}).Draw(rt, "strange")))
				content = slices.Concat(slices.Insert(slices.Clone(whole), at, strange, strange)...)
			case 5:
				content = append(content, rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(rt, "more")...)
			}
		}
		require.NoError(t, os.WriteFile(path, content, 0o600))
		want := look(math.MaxInt64, 0)
		size := rapid.SampledFrom([]int{64, 500, 1000, 5000, blockSize}).Draw(rt, "block")
		got := look(0, size)
		if !assert.Equal(t, want, got) {
			rt.Fatalf("they differ")
		}
		one, several := read(math.MaxInt64, 0), read(0, size)
		if len(one) != len(several) {
			rt.Fatalf("%d and %d records and damages", len(one), len(several))
		}
		for i := range one {
			if one[i] != several[i] {
				rt.Fatalf("%d: %q and %q", i, one[i], several[i])
			}
		}
	})
	require.NoError(t, os.WriteFile(path, original, 0o600))
	assert.Equal(t, 3, look(0, 500).Code(), "the gap")
	assert.Equal(t, uint64(len(whole)-1), look(0, 500).Last)
}

func TestSubtreesAreWhatRecordsMakeOneByOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leaf := func(i int) format.Hash { return format.Hash{byte(i), byte(i >> 8)} }
		var one, many, all format.Frontier
		var hasher format.Hasher
		stored, storedAll := []format.Hash{}, []format.Hash{}
		for at := 0; at < 300; {
			n := rapid.IntRange(1, 70).Draw(t, "run")
			var leaves []format.Hash
			for i := range n {
				leaves = append(leaves, leaf(at+i))
				stored = one.Add(leaf(at+i), stored)
			}
			for _, s := range hasher.Subtrees(uint64(at), leaves, nil) {
				many.AddSubtree(s)
			}
			storedAll = all.AddAll(&hasher, leaves, storedAll)
			at += n
			if all.Size() != one.Size() || !slices.Equal(all.Nodes(), one.Nodes()) || !slices.Equal(stored, storedAll) {
				t.Fatalf("after %d records, all at once: %v, want %v", at, all, one)
			}
			if one.Size() != many.Size() || !slices.Equal(one.Nodes(), many.Nodes()) {
				t.Fatalf("after %d records: %v, want %v", at, many, one)
			}
		}
	})
}
