package audit

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// TestAges has clocks that leap. Each case has the days between the beginnings of segments, and how old their ends are.
func TestAges(t *testing.T) {
	for name, test := range map[string]struct {
		steps, want []time.Duration
	}{
		"none but the last":                       {nil, []time.Duration{}},
		"every day":                               {[]time.Duration{day, day, day}, []time.Duration{2 * day, day, 0}},
		"two hours, and it stands still":          {[]time.Duration{2 * time.Hour, 0, time.Hour}, []time.Duration{time.Hour, time.Hour, 0}},
		"a year forward just now":                 {[]time.Duration{day, day, year}, []time.Duration{3 * day, 2 * day, 0}},
		"a year forward yesterday":                {[]time.Duration{day, year, day}, []time.Duration{3 * day, day, 0}},
		"a year forward eight days ago":           {append([]time.Duration{day, year}, days(8)...), append([]time.Duration{year + 8*day}, countdown(8)...)},
		"and back, at once":                       {[]time.Duration{day, year, -year, day}, []time.Duration{3 * day, day, day, 0}},
		"and back, after three weeks":             {slices.Concat([]time.Duration{day, year}, days(21), []time.Duration{-year}, days(2)), slices.Concat([]time.Duration{25 * day}, countdownFrom(23, 2), []time.Duration{2 * day, day, 0})},
		"an hour back":                            {[]time.Duration{day, -time.Hour, day}, []time.Duration{day, day, 0}},
		"a year back, as it should have been":     {append([]time.Duration{day, -year}, days(9)...), append([]time.Duration{9 * day}, countdown(9)...)},
		"a clock without a battery begins anew":   {append([]time.Duration{day, -50 * year, 50 * year}, days(9)...), append([]time.Duration{11 * day, 11 * day}, countdown(9)...)},
		"nothing for a month, yesterday":          {[]time.Duration{day, 30 * day, day}, []time.Duration{3 * day, day, 0}},
		"nothing for a month, eight days ago":     {append([]time.Duration{day, 30 * day}, days(8)...), append([]time.Duration{38 * day}, countdown(8)...)},
		"little to do: a segment in five days":    {[]time.Duration{5 * day, 5 * day, 5 * day, 5 * day, 5 * day, 5 * day}, []time.Duration{13 * day, 8 * day, 6 * day, 4 * day, 2 * day, 0}},
		"nothing for a month, and a leap of late": {slices.Concat([]time.Duration{day, 30 * day}, days(8), []time.Duration{year}), slices.Concat([]time.Duration{40 * day}, plus(countdown(8), 2*day), []time.Duration{0})},
	} {
		began := []time.Time{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
		for _, step := range test.steps {
			began = append(began, began[len(began)-1].Add(step))
		}
		assert.Equal(t, test.want, ages(began, day, 90*day), name)
	}
	// Of segments that take longer than they are kept, the same holds for what is counted.
	at := func(steps ...time.Duration) (all []time.Time) {
		now := time.Now()
		for _, step := range steps {
			now = now.Add(step)
			all = append(all, now)
		}
		return all
	}
	assert.Equal(t, []time.Duration{30 * time.Minute, 0}, ages(at(0, day, day), day, time.Hour))
	assert.Equal(t, []time.Duration{47*time.Hour + 30*time.Minute, 30 * time.Minute, 0}[1:], ages(at(0, day, day, day), day, time.Hour)[1:])
}

func days(n int) []time.Duration { return slices.Repeat([]time.Duration{day}, n) }

// countdown is n days, n-1 and so on to 0.
func countdown(n int) []time.Duration { return countdownFrom(n, 0) }

func countdownFrom(n, to int) (all []time.Duration) {
	for ; n >= to; n-- {
		all = append(all, time.Duration(n)*day)
	}
	return all
}

func plus(all []time.Duration, more time.Duration) (sum []time.Duration) {
	for _, one := range all {
		sum = append(sum, one+more)
	}
	return sum
}

// Whatever a clock does for less than a week, nothing is thought to be older than it is but by what a leap counts; and when the clock
// has been right for a week, hardly anything is thought to be younger than by that.
func TestAgesWithAnyClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var right, shown []time.Time
		now, wrong, leaps := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Duration(0), 0
		write := func(n int) {
			for range n {
				now = now.Add(time.Duration(rapid.Int64Range(int64(time.Hour), int64(day)).Draw(t, "step")))
				right, shown = append(right, now), append(shown, now.Add(wrong))
			}
		}
		write(rapid.IntRange(1, 20).Draw(t, "before"))
		for range rapid.IntRange(0, 3).Draw(t, "times") {
			wrong = time.Duration(rapid.Int64Range(-60, 60).Draw(t, "months")) * 30 * day
			write(rapid.IntRange(1, 6).Draw(t, "wrong"))
			wrong, leaps = 0, leaps+2
			write(rapid.IntRange(1, 20).Draw(t, "right"))
		}
		for i, old := range ages(shown, day, 90*day) {
			really := now.Sub(right[i+1])
			if old > really+time.Duration(leaps)*2*day {
				t.Fatalf("segment %d is thought to be %v old, and is %v", i, old, really)
			}
			if old < really-time.Duration(leaps)*2*day {
				t.Fatalf("segment %d is thought to be %v old, and is %v", i, old, really)
			}
		}
	})
}

// setClock is a clock that a test sets, and that goes on by itself. It has no monotonic part: as if the process were another each time.
type setClock struct{ ahead atomic.Int64 }

func (c *setClock) now() time.Time           { return time.Now().Round(0).Add(time.Duration(c.ahead.Load())) }
func (c *setClock) set(t time.Time)          { c.ahead.Store(int64(time.Until(t))) }
func (c *setClock) advance(by time.Duration) { c.ahead.Add(int64(by)) }

// A clock that is a year ahead for a while costs no records, and one that stays so is believed after a week.
func TestRetentionWithAClockThatLeaps(t *testing.T) {
	var clock setClock
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock.set(begin)
	trail := newTrail(t, Options{SegmentAge: day, KeepAge: 30 * day}, nil)
	trail.now = clock.now
	pid := start(t, trail)
	n := 0
	write := func(days int) {
		for range days {
			clock.advance(day)
			n++
			require.NoError(t, trail.Append(deadline(t), turn(n)))
		}
	}
	kept := func() int {
		segments, _, err := list(trail.options.Dir)
		require.NoError(t, err)
		return len(segments)
	}
	write(20)
	assert.Equal(t, 21, kept())
	clock.advance(year)
	write(3)
	// A restart in between, with the clock as wrong as it was.
	stop(t, pid)
	pid = start(t, trail)
	write(2)
	assert.Equal(t, 26, kept(), "nothing is removed")
	clock.advance(-year)
	write(1) // the segment's beginning is in the future: it ends
	assert.Equal(t, 27, kept())
	write(20)
	assert.LessOrEqual(t, kept(), 32, "the oldest go as they always did")
	assert.GreaterOrEqual(t, kept(), 30)
	assert.Equal(t, 0, verify(t, trail.options.Dir).Code())

	write(30)
	clock.advance(year) // and now it is right
	write(5)
	assert.GreaterOrEqual(t, kept(), 30)
	write(4)
	assert.Less(t, kept(), 14)
	stop(t, pid)
	assert.Equal(t, 0, verify(t, trail.options.Dir).Code())
}

// A log goes on when its clock is set back by an hour, or forward by a year: records are durable, checkpoints are signed, gaps say when,
// and queries find what was at a time, in whatever order it is there.
func TestClockThatIsSet(t *testing.T) {
	var clock setClock
	noon := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	clock.set(noon)
	trail := newTrail(t, Options{CheckpointEvery: 20 * time.Millisecond, CheckpointRecords: 1 << 20}, nil)
	trail.now = clock.now
	pid := start(t, trail)
	for i, at := range []time.Time{noon, noon.Add(time.Minute), noon.Add(-time.Hour), noon.Add(-time.Hour + time.Second), noon.Add(year), noon.Add(2 * time.Minute)} {
		clock.set(at)
		r := turn(i + 1)
		r.Time = at
		require.NoError(t, trail.Append(deadline(t), r))
		if i > 0 {
			require.Eventually(t, func() bool { s := trail.Status(); return s.SignedSeq == s.DurableSeq }, time.Minute, time.Millisecond, "a checkpoint after %s", at)
		}
	}
	trail.lose(TurnStarted, noon.Add(time.Hour), lossFailed)
	trail.lose(TurnStarted, noon.Add(-time.Hour), lossFailed)
	require.NoError(t, trail.Append(deadline(t), turn(7)))
	stop(t, pid)

	ask := func(f Filter) (turns []int) {
		f.Kinds = []Kind{TurnStarted}
		for r, err := range (Log{trail.options.Dir}).Records(deadline(t), f) {
			require.NoError(t, err)
			turns = append(turns, r.Turn)
		}
		return turns
	}
	assert.Equal(t, []int{3, 4}, ask(Filter{Until: noon}))
	assert.Equal(t, []int{1, 2, 6}, ask(Filter{Since: noon, Until: noon.Add(time.Hour)}))
	assert.Contains(t, ask(Filter{Since: noon.Add(day)}), 5)
	last, err := Tail(trail.options.Dir, 4)
	require.NoError(t, err)
	var kinds []Kind
	for _, r := range last {
		kinds = append(kinds, r.Kind)
		if r.Kind == LogGap {
			assert.Equal(t, noon.Add(-time.Hour).Format(time.RFC3339Nano), r.Detail["first"])
			assert.Equal(t, noon.Add(time.Hour).Format(time.RFC3339Nano), r.Detail["last"])
		}
	}
	assert.Contains(t, kinds, LogGap)
	report, err := Verify(deadline(t), trail.options.Dir, VerifyOptions{Invariants: true})
	require.NoError(t, err)
	assert.Equal(t, 3, report.Code(), "the gap, and nothing else: %v", report.Findings)
}

// What is measured within a process is measured by the monotonic clock, which nobody sets: the times that are compared have it.
func TestTimesWithinAProcessAreMonotonic(t *testing.T) {
	l, _, err := openLog(realDisk{}, Options{Dir: scratch(t) + "/audit", SegmentBytes: 1 << 20, SegmentAge: time.Hour, Reserve: -1}, &memory{}, time.Now)
	require.NoError(t, err)
	defer l.close()
	require.NoError(t, l.sign())
	assert.Contains(t, l.signedAt.String(), " m=")
	assert.Contains(t, l.header.Began.String(), " m=")
	header, err := headerOf(l.dir, 1)
	require.NoError(t, err)
	assert.Equal(t, time.UTC, header.Began.Location())
	assert.True(t, header.Began.Equal(l.header.Began))
}
