package audit

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
)

func TestEveryField(t *testing.T) {
	trail := newTrail(t, Options{Name: "root/audit", Runtime: "r1"}, nil)
	pid := start(t, trail)
	no := false
	want := Record{
		Time: time.Date(2025, 11, 5, 9, 30, 0, 123456789, time.FixedZone("", 3600)),
		Kind: ToolResult, Actor: "root/sessions/a", Session: "a", SessionID: "6f1c", Generation: 2, Turn: 3,
		ToolUseID: "t1", ParentToolUseID: "t0", AgentID: "ag", Tool: "Bash",
		Input: json.RawMessage(`{"b":"<&>","a":1e400}`), Output: json.RawMessage(`[null]`), IsError: &no,
		Decision: &Decision{Deny, "rule", "Bash(rm:*)", []string{"a", "\"b"}, "no"}, Exit: &Exit{"killed", -1, "SIGKILL"},
		CostUSD: 0.25, Principal: "uid 1000", Detail: map[string]any{"x": []any{"y", 1.5}},
	}
	require.NoError(t, trail.Append(deadline(t), want))
	stop(t, pid)
	records := read(t, trail.options.Dir)
	require.Equal(t, []Kind{LogOpened, ToolResult, LogClosed}, kindsOf(records))
	got := records[1]
	assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, got.ID)
	assert.Positive(t, got.MonoNS)
	want.V, want.Seq, want.ID, want.Runtime, want.Time = 1, 2, got.ID, "r1", want.Time.UTC()
	want.SessionSeq, want.MonoNS, want.Outcome = 1, got.MonoNS, Deny
	assert.Equal(t, want, got)
	assert.Equal(t, "root/audit", records[0].Actor)
	assert.Equal(t, "r1", records[2].Runtime)
}

func TestGroupCommit(t *testing.T) {
	const n = 200
	g := newGate()
	defer g.open()
	d := &testDisk{hook: g.at("sync "+segment1, 2)} // the first is that of log.opened
	trail := newTrail(t, Options{}, d)
	pid := start(t, trail)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { assert.NoError(t, trail.Append(deadline(t), turn(i+1))) })
	}
	<-g.reached
	queued(t, trail, n)
	g.open()
	wg.Wait()
	assert.Less(t, d.counted("sync "+segment1), n/4)
	assert.EqualValues(t, n+1, trail.Status().DurableSeq)
	assert.Zero(t, trail.Status().Queue)
	stop(t, pid)
	assert.Len(t, turns(read(t, trail.options.Dir)), n)
}

func TestAppendReturnsAfterTheSync(t *testing.T) {
	g := newGate()
	defer g.open()
	d := &testDisk{hook: g.at("sync "+segment1, 2)}
	trail := newTrail(t, Options{}, d)
	start(t, trail)
	returned := make(chan error, 1)
	go func() { returned <- trail.Append(deadline(t), turn(1)) }()
	<-g.reached
	select {
	case <-returned:
		t.Fatal("returned before the sync did")
	default:
	}
	assert.EqualValues(t, 1, trail.Status().DurableSeq)
	assert.True(t, trail.Status().Open)
	g.open()
	require.NoError(t, <-returned)
}

func TestOrderOfASender(t *testing.T) {
	trail := newTrail(t, Options{}, nil)
	pid := start(t, trail)
	var wg sync.WaitGroup
	for sender := range 8 {
		wg.Go(func() {
			for i := range 60 {
				r := Record{Kind: TurnStarted, Session: strconv.Itoa(sender), Turn: i + 1}
				if i%3 == 0 {
					assert.NoError(t, trail.Append(deadline(t), r))
				} else {
					trail.Post(r)
				}
			}
		})
	}
	wg.Wait()
	stop(t, pid)
	next := map[string]int{}
	for _, r := range read(t, trail.options.Dir) {
		if r.Turn > 0 {
			next[r.Session]++
			require.Equal(t, next[r.Session], r.Turn, "session %s", r.Session)
		}
	}
	for sender := range 8 {
		assert.Equal(t, 60, next[strconv.Itoa(sender)])
	}
	assert.Zero(t, trail.Status().Lost)
}

func TestReopenContinues(t *testing.T) {
	dir := filepath.Join(scratch(t), "deep", "audit")
	for i := range 3 {
		trail := newTrail(t, Options{Dir: dir}, nil)
		pid := start(t, trail)
		require.NoError(t, trail.Append(deadline(t), turn(i+1)))
		assert.EqualValues(t, 3*i+2, trail.Status().DurableSeq)
		stop(t, pid)
		assert.False(t, trail.Status().Open)
	}
	records := read(t, dir)
	assert.Equal(t, []int{1, 2, 3}, turns(records))
	assert.Len(t, records, 9)
	for path, mode := range map[string]fs.FileMode{dir: 0o700, Path(dir): 0o600, filepath.Join(dir, lockName): 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode().Perm(), path)
	}
}

func TestStopDrains(t *testing.T) {
	g := newGate()
	defer g.open()
	d := &testDisk{hook: g.at("sync "+segment1, 2)}
	trail := newTrail(t, Options{}, d)
	pid := start(t, trail)
	trail.Post(turn(1))
	<-g.reached
	for i := range 300 {
		trail.Post(turn(i + 2))
	}
	pid.Stop(nil)
	g.open()
	<-pid.Done()
	require.ErrorIs(t, pid.Reason(), actor.ErrShutdown)
	records := read(t, trail.options.Dir)
	assert.Equal(t, LogClosed, records[len(records)-1].Kind)
	assert.Len(t, turns(records), 301)
	assert.Zero(t, trail.Status().Lost)

	// The directory is free as soon as the actor has ended.
	other := newTrail(t, Options{Dir: trail.options.Dir}, nil)
	stop(t, start(t, other))
}

func TestDown(t *testing.T) {
	for _, mode := range []Mode{Required, BestEffort} {
		t.Run(mode.String(), func(t *testing.T) {
			trail := newTrail(t, Options{Mode: mode}, nil)
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			err := trail.Append(ended, turn(1))
			require.ErrorIs(t, err, context.Canceled)
			assert.ErrorContains(t, err, "audit actor is down")
			trail.Post(turn(2))
			assert.Zero(t, trail.Status().Queue)

			// What waits is written when the actor is there.
			returned := make(chan error, 1)
			go func() { returned <- trail.Append(deadline(t), turn(3)) }()
			queued(t, trail, 1)
			pid := start(t, trail)
			require.NoError(t, <-returned)
			_, err = trail.Start(deadline(t))
			require.ErrorContains(t, err, "it is running as audit#")
			stop(t, pid)

			records := read(t, trail.options.Dir)
			require.Equal(t, []Kind{LogOpened, LogGap, TurnStarted, LogClosed}, kindsOf(records))
			count := 1
			if mode == BestEffort { // the Append that gave up counts too
				count = 2
			}
			gap := records[1]
			assert.EqualValues(t, count, gap.Lost)
			assert.EqualValues(t, count, gap.Detail["count"])
			assert.Equal(t, map[string]any{"turn.started": float64(count)}, gap.Detail["kinds"])
			assert.NotEmpty(t, gap.Detail["first"])
			assert.NotEmpty(t, gap.Detail["last"])
			assert.EqualValues(t, count, records[3].Lost)
			assert.EqualValues(t, count, trail.Status().Lost)
		})
	}
}

func TestInvalidRecords(t *testing.T) {
	trail := newTrail(t, Options{}, nil)
	pid := start(t, trail)
	for _, r := range []Record{
		{}, {Kind: "tool.indent"}, {Kind: LogClosed},
		{Kind: AdminAction, Detail: map[string]any{"f": func() {}}},
		{Kind: AdminAction, Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		assert.Error(t, trail.Append(deadline(t), r))
		trail.Post(r)
	}
	assert.Zero(t, trail.Status().Queue)
	stop(t, pid)
	var count float64
	byKind := map[string]float64{}
	for _, r := range read(t, trail.options.Dir) {
		if r.Kind == LogGap {
			count += r.Detail["count"].(float64)
			for kind, n := range r.Detail["kinds"].(map[string]any) {
				byKind[kind] += n.(float64)
			}
		}
	}
	assert.EqualValues(t, 5, count)
	assert.Equal(t, map[string]float64{"invalid": 2, "log.closed": 1, "admin.action": 2}, byKind)
}

func TestQueueFull(t *testing.T) {
	g := newGate()
	defer g.open()
	d := &testDisk{hook: g.at("sync "+segment1, 2)}
	trail := newTrail(t, Options{}, d)
	pid := start(t, trail)
	for i := range queueSize + 7 {
		trail.Post(turn(i + 1))
	}
	<-g.reached
	assert.EqualValues(t, 7, trail.Status().Lost)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	assert.ErrorContains(t, trail.Append(ctx, turn(9999)), "1024 records are waiting")
	g.open()
	// The gap is recorded although nothing else comes.
	require.Eventually(t, func() bool {
		records, err := Tail(trail.options.Dir, 1)
		return err == nil && len(records) == 1 && records[0].Lost == 7
	}, time.Minute, time.Millisecond)
	stop(t, pid)
	assert.Len(t, turns(read(t, trail.options.Dir)), queueSize)
}

func TestAppendThatGaveUpMayBeWritten(t *testing.T) {
	g := newGate()
	defer g.open()
	d := &testDisk{hook: g.at("sync "+segment1, 2)}
	trail := newTrail(t, Options{Mode: BestEffort}, d)
	pid := start(t, trail)
	ctx, cancel := context.WithCancel(context.Background())
	returned := make(chan error, 1)
	go func() { returned <- trail.Append(ctx, turn(1)) }()
	<-g.reached
	cancel()
	require.ErrorIs(t, <-returned, context.Canceled)
	g.open()
	stop(t, pid)
	assert.Equal(t, []int{1}, turns(read(t, trail.options.Dir)))
	assert.Zero(t, trail.Status().Lost)
	assert.Zero(t, trail.Status().Queue)
}

func TestModeText(t *testing.T) {
	for _, mode := range []Mode{Required, BestEffort} {
		text, err := mode.MarshalText()
		require.NoError(t, err)
		var got Mode
		require.NoError(t, got.UnmarshalText(text))
		assert.Equal(t, mode, got)
	}
	var m Mode
	assert.ErrorContains(t, m.UnmarshalText([]byte("strict")), "expected required or best_effort")
	_, err := Mode(7).MarshalText()
	assert.Error(t, err)
	assert.Equal(t, "Mode(7)", Mode(7).String())
}
