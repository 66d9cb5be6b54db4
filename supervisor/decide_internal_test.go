package supervisor

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

// The model of a window: every charge there ever was.
func TestWindowAgainstItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := window{intensity: Intensity{
			MaxRestarts: rapid.IntRange(0, 8).Draw(t, "max"),
			Within:      time.Duration(rapid.IntRange(1, 20).Draw(t, "within")),
		}}
		now := time.Unix(1, 0)
		var charges []time.Time
		count := func() (n int) {
			for _, at := range charges {
				if now.Sub(at) <= w.intensity.Within {
					n++
				}
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"pass": func(t *rapid.T) { now = now.Add(time.Duration(rapid.IntRange(0, 25).Draw(t, "for"))) },
			"charge": func(t *rapid.T) {
				charges = append(charges, now)
				if got, want := w.charge(now), count() <= w.intensity.MaxRestarts; got != want {
					t.Fatalf("charge at %v of %v: %v, model %v", now, charges, got, want)
				}
			},
			"reset": func(*rapid.T) { w.reset(); charges = nil },
			"": func(t *rapid.T) {
				// One more than allowed is all that is remembered.
				if got, want := w.used(now), min(count(), w.intensity.MaxRestarts+1); got != want {
					t.Fatalf("used %d, model %d", got, want)
				}
				if len(w.times) > 2*(w.intensity.MaxRestarts+2) {
					t.Fatalf("%d times kept for %d restarts", len(w.times), w.intensity.MaxRestarts)
				}
			},
		})
	})
}

func backoffs(t *rapid.T) Backoff {
	b := Backoff{
		Initial:    time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "initial")),
		Max:        time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "max")),
		Factor:     rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(1, 10), rapid.Float64Range(1, math.MaxFloat64)).Draw(t, "factor"),
		Jitter:     rapid.Float64Range(0, 1).Draw(t, "jitter"),
		ResetAfter: time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "reset")),
	}
	if err := b.validate(); err != nil {
		t.Fatalf("%+v: %v", b, err)
	}
	return b.withDefaults()
}

func TestDelayIsNeverNegativeAndNeverAboveMax(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := backoffs(t)
		failures := rapid.IntRange(0, math.MaxInt).Draw(t, "failures")
		r := rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "random")
		got := b.delay(failures, func() float64 { return r })
		if got < 0 || got > b.Max {
			t.Fatalf("%+v.delay(%d) with %v: %d", b, failures, r, got)
		}
	})
}

func TestDelayGrowsWithoutJitter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := backoffs(t)
		b.Jitter = 0
		last := time.Duration(0)
		for failures := range 200 {
			got := b.delay(failures, func() float64 { return 0.5 })
			if got < last {
				t.Fatalf("%+v: delay(%d) = %d after %d", b, failures, got, last)
			}
			last = got
		}
	})
}

func TestDelayAtItsLimits(t *testing.T) {
	longest := Backoff{Initial: time.Second, Max: math.MaxInt64}.withDefaults()
	assert.Equal(t, time.Duration(math.MaxInt64), longest.delay(1000, random))
	assert.Equal(t, time.Second, longest.delay(1, random))
	assert.Zero(t, longest.delay(0, random))
	assert.Zero(t, Backoff{}.withDefaults().delay(5, random))
	assert.Equal(t, time.Minute, Backoff{Initial: time.Minute}.withDefaults().delay(3, random), "Max is not below Initial")
	// The spread is even also at the cap: half of the delays are not the cap itself.
	capped := Backoff{Initial: time.Second, Max: time.Second, Jitter: 0.5}.withDefaults()
	for _, r := range []float64{0, 0.5, 0.9} {
		assert.Equal(t, time.Duration((0.5+0.5*r)*float64(time.Second)), capped.delay(3, func() float64 { return r }))
	}
}

func TestBackoffValidation(t *testing.T) {
	for want, b := range map[string]Backoff{
		"": {},
		"backoff initial -1ns: expected 0 or more":     {Initial: -1},
		"backoff max -1ns: expected 0 or more":         {Max: -1},
		"backoff factor 0.99: expected 1 or more":      {Factor: 0.99},
		"backoff factor -1: expected 1 or more":        {Factor: -1},
		"backoff factor NaN: expected 1 or more":       {Factor: math.NaN()},
		"backoff factor +Inf: expected 1 or more":      {Factor: math.Inf(1)},
		"backoff jitter -0.1: expected 0 to 1":         {Jitter: -0.1},
		"backoff jitter 1.1: expected 0 to 1":          {Jitter: 1.1},
		"backoff jitter NaN: expected 0 to 1":          {Jitter: math.NaN()},
		"backoff reset_after -1ns: expected 0 or more": {ResetAfter: -1},
	} {
		err := b.validate()
		if want == "" {
			assert.NoError(t, err)
		} else {
			assert.EqualError(t, err, want)
		}
	}
	d := Backoff{}.withDefaults()
	assert.Equal(t, Backoff{Max: 30 * time.Second, Factor: 2, ResetAfter: time.Minute}, d)
	assert.Equal(t, time.Hour, Backoff{Max: time.Hour}.withDefaults().ResetAfter)
}

// What goes down and what comes up, for each strategy and each child that fails: a is up, b temporary,
// c stopped for good, d waits to be started, e is up.
func TestPlanOfAGroup(t *testing.T) {
	members := []member{{up: true, wanted: true}, {up: true, wanted: true, temporary: true}, {}, {wanted: true}, {up: true, wanted: true}}
	for _, tt := range []struct {
		strategy    Strategy
		failed      int
		stop, start []int
	}{
		{OneForOne, 0, nil, []int{0}},
		{SimpleOneForOne, 4, nil, []int{4}},
		{OneForAll, 0, []int{4, 1}, []int{0, 3, 4}},
		{OneForAll, 4, []int{1, 0}, []int{0, 3, 4}},
		{RestForOne, 0, []int{4, 1}, []int{0, 3, 4}},
		{RestForOne, 3, []int{4}, []int{3, 4}},
		{RestForOne, 4, nil, []int{4}},
	} {
		failed := slices.Clone(members)
		failed[tt.failed].up = false
		assert.Equal(t, plan{tt.stop, tt.start}, tt.strategy.plan(failed, tt.failed), "%s, %d fails", tt.strategy, tt.failed)
	}
}

func TestReady(t *testing.T) {
	now := time.Unix(10, 0)
	past, future := now.Add(-1), now.Add(1)
	for _, s := range []Strategy{OneForAll, RestForOne} {
		assert.True(t, s.ready(time.Time{}, time.Time{}, now))
		assert.True(t, s.ready(past, now, now))
		assert.False(t, s.ready(future, future, now))
	}
	assert.False(t, OneForAll.ready(past, future, now), "all wait for the last")
	assert.True(t, RestForOne.ready(past, future, now), "the first waits for nobody")
}

type hopeless struct{}

func (hopeless) Error() string   { return "hopeless" }
func (hopeless) Permanent() bool { return true }

func TestVerdicts(t *testing.T) {
	crash, exit := errors.New("crash"), func(reason error, clean bool) ending { return ending{reason, clean, true} }
	for _, tt := range []struct {
		restart Restart
		ending  ending
		probing bool
		want    verdict
	}{
		{Permanent, exit(nil, true), false, recount},
		{Permanent, exit(crash, false), false, recount},
		{Permanent, exit(crash, false), true, cool},
		{Permanent, exit(hopeless{}, false), true, park},
		{Permanent, exit(ErrRecycle, false), true, replace},
		{Permanent, ending{reason: ErrRecycle}, false, recount}, // a start that fails is no planned end
		{Permanent, ending{reason: hopeless{}}, false, park},
		{Transient, exit(nil, true), false, finish},
		{Transient, exit(nil, true), true, finish},
		{Transient, exit(crash, false), false, recount},
		{Transient, exit(ErrRecycle, true), false, replace},
		{Temporary, exit(crash, false), false, finish},
		{Temporary, exit(ErrRecycle, false), false, finish},
		{Temporary, exit(hopeless{}, false), false, finish},
	} {
		assert.Equal(t, tt.want, judge(tt.restart, tt.ending, tt.probing), "%+v", tt)
	}
	for mode, want := range map[OnExhausted]verdict{"": escalate, Escalate: escalate, Fail: park, Cooldown: cool, Slow: slowDown} {
		assert.Equal(t, want, exhausted(true, mode), "%s", mode)
		assert.Equal(t, escalate, exhausted(false, mode), "the supervisor's own intensity: %s", mode)
	}
}

// The model of a pace: a bucket of tokens.
func TestPaceAgainstItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perSecond, burst := rapid.SampledFrom([]int{1, 2, 5, 10}).Draw(t, "perSecond"), rapid.IntRange(1, 5).Draw(t, "burst")
		p := NewPace(perSecond, burst)
		every := time.Second / time.Duration(perSecond)
		now := time.Unix(1, 0)
		var grants []time.Time
		for range rapid.IntRange(1, 40).Draw(t, "takes") {
			now = now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "pass")) * time.Millisecond)
			at := now.Add(p.take(now))
			if n := len(grants); n > 0 && at.Before(grants[n-1]) {
				t.Fatalf("granted %v before %v", at, grants[n-1])
			}
			grants = append(grants, at)
			// In no stretch of time are there more than the burst and what is earned meanwhile.
			for i := range grants {
				if got, most := len(grants)-i, burst+int(at.Sub(grants[i])/every); got > most {
					t.Fatalf("%d restarts in %v", got, at.Sub(grants[i]))
				}
			}
		}
	})
}

func TestNamesAsText(t *testing.T) {
	for _, s := range strategies {
		var got Strategy
		assert.NoError(t, got.UnmarshalText([]byte(s)))
		assert.Equal(t, s, got)
	}
	assert.EqualError(t, new(Strategy).UnmarshalText([]byte("x")), `strategy "x": expected one_for_one, one_for_all, rest_for_one or simple_one_for_one`)
	for _, a := range []AutoShutdown{Never, AnySignificant, AllSignificant} {
		var got AutoShutdown
		assert.NoError(t, got.UnmarshalText([]byte(a)))
		assert.Equal(t, a, got)
	}
	assert.Error(t, new(AutoShutdown).UnmarshalText([]byte("x")))
	for _, o := range []OnExhausted{Escalate, Fail, Cooldown, Slow} {
		var got OnExhausted
		assert.NoError(t, got.UnmarshalText([]byte(o)))
		assert.Equal(t, o, got)
	}
	assert.Error(t, new(OnExhausted).UnmarshalText([]byte("x")))
}
