package audit

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit/internal/format"
)

func intent(session string, n int) Record {
	return Record{
		Kind: ToolIntent, Session: session, SessionID: "conversation of " + session, Generation: 2, Turn: n, ToolUseID: fmt.Sprint("toolu_", n),
		Tool: "Bash", Policy: "p1", Input: []byte(`{"command":"make"}`),
	}
}

func result(session string, n int) Record {
	r := intent(session, n)
	failed := false
	r.Kind, r.Input, r.IsError, r.Detail = ToolResult, nil, &failed, map[string]any{"intent_recorded": true, "duration_ms": 1}
	return r
}

// held fails unless the log's invariants hold, and returns its orphans.
func held(t require.TestingT, dir string) (orphans []Record) {
	report, err := Verify(context.Background(), dir, VerifyOptions{Invariants: true})
	require.NoError(t, err)
	require.Zero(t, report.Code(), "%v", report.Findings)
	for r, err := range (Log{dir}).Records(context.Background(), Filter{Kinds: []Kind{ToolOrphan}}) {
		require.NoError(t, err)
		orphans = append(orphans, r)
	}
	return orphans
}

// What a runtime that was killed has left running has its end in the log from the moment on at which the next one opens it.
func TestToolsOfAnEarlierRuntime(t *testing.T) {
	dir := filepath.Join(scratch(t), "audit")
	trail := newTrail(t, Options{Dir: dir, Runtime: "r1"}, nil)
	pid := start(t, trail)
	subagent := intent("b", 3)
	subagent.ParentToolUseID, subagent.AgentID, subagent.Tool = "toolu_2", "agent", "Read"
	for _, r := range []Record{intent("a", 1), intent("b", 1), result("a", 1), intent("b", 2), subagent} {
		require.NoError(t, trail.Append(deadline(t), r))
	}
	kill(pid, trail)

	// Its actor ended, and is restarted: its tools run on.
	pid = start(t, trail)
	require.NoError(t, trail.Append(deadline(t), result("b", 1)))
	kill(pid, trail)

	next := newTrail(t, Options{Dir: dir, Runtime: "r2"}, nil)
	pid = start(t, next)
	require.NoError(t, next.Append(deadline(t), intent("b", 2)), "an id that comes again")
	require.NoError(t, next.Append(deadline(t), result("b", 2)))
	stop(t, pid)
	stop(t, start(t, newTrail(t, Options{Dir: dir, Runtime: "r3"}, nil)))

	orphans := held(t, dir)
	require.Len(t, orphans, 2)
	first, second := orphans[0], orphans[1]
	assert.Equal(t, "toolu_2", first.ToolUseID)
	assert.Equal(t, "r2", first.Runtime)
	assert.Equal(t, Unknown, first.Outcome)
	assert.Equal(t, "conversation of b", second.SessionID)
	assert.Equal(t, "toolu_3 toolu_2 agent Read p1", fmt.Sprint(second.ToolUseID, " ", second.ParentToolUseID, " ", second.AgentID, " ", second.Tool, " ", second.Policy))
	assert.Equal(t, 2, second.Generation)
	assert.Equal(t, 3, second.Turn)
	assert.Equal(t, "r1", second.Detail["runtime"])
	assert.InDelta(t, 6, second.Detail["intent"], 0)
	for _, orphan := range orphans {
		assert.NoError(t, Check(orphan))
	}
}

// It holds for all that can be left, over rotations, removed segments, and runtimes that end in whatever way.
func TestLeftoverAtRandom(t *testing.T) {
	parent := scratch(t)
	rounds := 0
	rapid.Check(t, func(rt *rapid.T) {
		rounds++
		o := Options{
			Dir: filepath.Join(parent, fmt.Sprint(rounds)), SegmentBytes: int64(rapid.SampledFrom([]int{1500, 6000, 1 << 20}).Draw(rt, "segment")),
			CheckpointRecords: 3, Reserve: -1, Runtime: "r",
		}
		defer func() { require.NoError(rt, os.RemoveAll(o.Dir)) }()
		if rapid.Bool().Draw(rt, "pruned") {
			o.KeepBytes = 8000
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		open := map[string]Record{}
		orphans, last := 0, 0
		var trail *Trail
		var pid actor.PID
		begin := func(again bool) {
			if !again {
				orphans += len(open)
				clear(open)
				trail = New(actor.NewSystem(actor.Options{}), o)
			}
			var err error
			pid, err = trail.Start(ctx)
			require.NoError(rt, err)
		}
		begin(false)
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch step := rapid.IntRange(0, 9).Draw(rt, "step"); {
			case step < 5 || len(open) == 0 && step < 8:
				last++
				r := intent(rapid.SampledFrom([]string{"a", "b", ""}).Draw(rt, "session"), last)
				require.NoError(rt, trail.Append(ctx, r))
				open[r.ToolUseID] = r
			case step < 8:
				for id, r := range open {
					delete(open, id)
					r.Kind, r.Input, r.Detail = rapid.SampledFrom([]Kind{ToolResult, ToolOrphan}).Draw(rt, "end"), nil, map[string]any{"intent_recorded": true}
					if r.Kind == ToolOrphan {
						orphans++
					}
					require.NoError(rt, trail.Append(ctx, r))
					break
				}
			default:
				if rapid.Bool().Draw(rt, "killed") {
					pid.Kill()
				} else {
					pid.Stop(nil)
				}
				released(trail)
				begin(rapid.Bool().Draw(rt, "the same runtime"))
			}
		}
		pid.Kill()
		released(trail)
		begin(false)
		pid.Stop(nil)
		released(trail)
		if found := held(rt, o.Dir); o.KeepBytes == 0 {
			require.Len(rt, found, orphans)
		}
	})
}

// An opening that is killed at any of its steps leaves the ends to the next one, and no end is written twice.
func TestKilledWhileItTellsOfTheEnds(t *testing.T) {
	parent := scratch(t)
	from := newTrail(t, Options{Runtime: "r1"}, nil)
	pid := start(t, from)
	for n := range 5 {
		require.NoError(t, from.Append(deadline(t), intent("a", n)))
	}
	kill(pid, from)

	dir := copyLog(t, from.options.Dir, nil)
	var all []string
	d := &killedDisk{keep: func(string) {
		copied := filepath.Join(parent, fmt.Sprint(len(all)))
		assert.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
		assert.NoError(t, os.Chmod(copied, 0o700))
		all = append(all, copied)
	}}
	l, _, err := openLog(d, newTrail(t, Options{Dir: dir}, nil).options, &memory{}, time.Now)
	require.NoError(t, err)
	require.Len(t, l.left, 5)
	l.close()
	trail := newTrail(t, Options{Dir: dir, Runtime: "r2"}, d)
	kill(start(t, trail), trail)
	require.Greater(t, len(all), 10)
	for _, dir := range append(all, dir) {
		stop(t, start(t, newTrail(t, Options{Dir: dir, Runtime: "r3"}, nil)))
		require.Len(t, held(t, dir), 5, dir)
	}
}

// An opening whose write fails has said nothing yet: the next try does, once.
func TestLeftoverAfterAFailedOpening(t *testing.T) {
	from := newTrail(t, Options{Runtime: "r1"}, nil)
	pid := start(t, from)
	require.NoError(t, from.Append(deadline(t), intent("a", 1)))
	kill(pid, from)
	failures := 0
	for i := range 3 * 40 {
		op, what := i/3, []fault{lost, done, short}[i%3]
		dir, n := copyLog(t, from.options.Dir, nil), 0
		d := &testDisk{hook: func(step) (fault, error) {
			if n++; n == op {
				return what, syscall.EIO
			}
			return fine, nil
		}}
		trail := newTrail(t, Options{Dir: dir, Runtime: "r2"}, d)
		pid, err := trail.Start(deadline(t))
		if err != nil {
			failures++
			pid = start(t, trail)
		}
		kill(pid, trail)
		stop(t, start(t, newTrail(t, Options{Dir: dir, Runtime: "r3"}, nil))) // the operation may be a later one
		require.Len(t, held(t, dir), 1, "operation %d, %d", op, what)
	}
	assert.Greater(t, failures, 5)
}

// A segment's header carries on what is open by its beginning, and no more than there is room for.
func TestHeaderCarriesIntents(t *testing.T) {
	o := leftover{}
	for n := range uint64(3 * maxLeft) {
		o.note(toolMark{use: n, seq: n + 1, begins: true})
		require.LessOrEqual(t, len(o), 2*maxLeft)
	}
	o.note(toolMark{use: 3*maxLeft - 1, seq: 4 * maxLeft})
	o.shorten()
	assert.LessOrEqual(t, len(o), maxLeft)
	assert.EqualValues(t, 3*maxLeft-1, slices.Max(slices.Collect(maps.Values(o))), "the latest but the one that ended")
}

// What a record is to the log as it is written is what it is when it is read.
func TestToolUseOfARecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Record{
			Kind:    rapid.SampledFrom([]Kind{ToolIntent, ToolResult, ToolOrphan, ToolDecision}).Draw(t, "kind"),
			Session: rapid.SampledFrom([]string{"", "a", "reviewer", "\"\u00e9"}).Draw(t, "session"), ToolUseID: rapid.String().Draw(t, "id"),
			ParentToolUseID: "toolu_0", Input: []byte(`{"tool_use_id":"b"}`),
		}
		e, err := encode(r, newRedactor([]string{"a secret of mine"}, []byte("salt")), levels{}, nil)
		require.NoError(t, err)
		head := format.Head{V: Version, Seq: 7, Kind: string(e.kind), Session: e.session, SessionSeq: 1}
		payload := append(head.Append(nil), e.rest...)
		head, ok := format.ParseHead(payload, format.Head{})
		require.True(t, ok)
		m, ok := markOf(&head, payload, new(view))
		require.Equal(t, e.use != 0, ok)
		if ok {
			require.Equal(t, toolMark{e.use, 7, r.Kind == ToolIntent}, m)
		}
	})
}
