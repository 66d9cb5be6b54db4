package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A log is gone through in memory that does not depend on its size. With UNDERSTUDY_SCAN=10000000 it has so many records,
// and how long that takes is printed beside plain reading: see make scan.
func TestScan(t *testing.T) {
	records, most := 2_000, int64(0)
	if text := os.Getenv("UNDERSTUDY_SCAN"); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		records, most = n/1000*1000, 64<<20
	}
	// Not in memory: the log of a long run is longer than that.
	dir := filepath.Join(t.TempDir(), "audit")
	bytes := manyRecords(t, dir, records)
	log, ctx := Log{dir}, context.Background()
	count := func(f Filter) (n int) {
		for _, err := range log.Records(ctx, f) {
			require.NoError(t, err)
			n++
		}
		return n
	}
	export := func(e Encoding) (n int) {
		for line, err := range log.Lines(ctx, Filter{}, e, "source") {
			require.NoError(t, err)
			require.NotEmpty(t, line)
			n++
		}
		return n
	}
	for _, way := range []struct {
		name string
		run  func()
	}{
		{"plain reading", func() { readPlainly(t, dir) }},
		{"query of a session", func() { assert.Zero(t, count(Filter{Sessions: []string{"nobody"}})) }},
		{"query of a tool", func() { assert.Equal(t, records/1000, count(Filter{Tools: []string{"Rare"}})) }},
		{"query of a text", func() { assert.Equal(t, records/1000, count(Filter{Text: "needle"})) }},
		{"query of an hour", func() { assert.Zero(t, count(Filter{Until: time.Now().Add(-time.Hour)})) }},
		{"verify", func() {
			report, err := Verify(ctx, dir, VerifyOptions{})
			require.NoError(t, err)
			assert.Zero(t, report.Code(), "%v", report.Findings)
			assert.EqualValues(t, records, report.Last)
		}},
		{"verify --invariants", func() {
			report, err := Verify(ctx, dir, VerifyOptions{Invariants: true})
			require.NoError(t, err)
			assert.Zero(t, report.Code(), "%v", report.Findings)
			assert.EqualValues(t, records, report.Last)
		}},
		{"every record decoded", func() { assert.Equal(t, records, count(Filter{})) }},
		{"export as jsonl", func() { assert.Equal(t, records, export(JSONL)) }},
		{"export as cloudevents", func() { assert.Equal(t, records, export(CloudEvents)) }},
		{"export as ocsf", func() { assert.Equal(t, records, export(OCSF)) }},
		{"export as otlp", func() { assert.Equal(t, records, export(OTLP)) }},
	} {
		if most == 0 {
			way.run()
			continue
		}
		debug.FreeOSMemory()
		forgetPeak(t)
		begun := time.Now()
		way.run()
		took, peak := time.Since(begun), peakMemory(t)
		if assert.Less(t, peak, most, way.name) {
			fmt.Printf("%-22s %8.1f MB/s %10.0f records/s %6.1f s  peak %d MB\n", way.name, float64(bytes)/1e6/took.Seconds(),
				float64(records)/took.Seconds(), took.Seconds(), peak>>20)
		}
	}
}

// manyRecords makes a log and returns its length.
func manyRecords(t *testing.T, dir string, records int) (bytes int64) {
	l, _, err := openLog(realDisk{}, Options{Dir: dir, SegmentBytes: 64 << 20, SegmentAge: time.Hour, Reserve: -1}, &memory{}, time.Now)
	require.NoError(t, err)
	usual := toolUses(t, 333)
	r := benchRecord()
	r.Kind, r.ToolUseID, r.Tool, r.Input = ToolDecision, "", "Rare", json.RawMessage(`{"command":"needle"}`)
	rare, err := encode(r, newRedactor(nil, nil), levels{}, nil)
	require.NoError(t, err)
	for range records / 1000 {
		if l.due(l.offset) != "" {
			require.NoError(t, l.rotate())
		}
		b := l.begin()
		b.add(&rare, 0)
		for i := range usual {
			b.add(&usual[i], 0)
		}
		require.NoError(t, l.commit(b))
		require.NoError(t, l.sign())
	}
	l.close()
	segments, err := filepath.Glob(filepath.Join(dir, "*"+logExt))
	require.NoError(t, err)
	for _, path := range segments {
		info, err := os.Stat(path)
		require.NoError(t, err)
		bytes += info.Size()
	}
	return bytes
}

func readPlainly(t *testing.T, dir string) {
	segments, err := filepath.Glob(filepath.Join(dir, "*"+logExt))
	require.NoError(t, err)
	buffer := make([]byte, 512<<10)
	for _, path := range segments {
		f, err := os.Open(path)
		require.NoError(t, err)
		for err == nil {
			_, err = f.Read(buffer)
		}
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, f.Close())
	}
}

// forgetPeak has the kernel begin anew with the process's peak of memory.
func forgetPeak(t *testing.T) {
	require.NoError(t, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0))
}

func peakMemory(t *testing.T) int64 {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(status), "VmHWM:")
	require.True(t, found, "%s", status)
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	require.NoError(t, err)
	return kb << 10
}
