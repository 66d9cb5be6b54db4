package supervisor

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

func (b Backoff) validate() error {
	switch {
	case b.Initial < 0:
		return fmt.Errorf("backoff initial %v: expected 0 or more", b.Initial)
	case b.Max < 0:
		return fmt.Errorf("backoff max %v: expected 0 or more", b.Max)
	case b.Factor != 0 && (b.Factor < 1 || math.IsNaN(b.Factor) || math.IsInf(b.Factor, 0)):
		return fmt.Errorf("backoff factor %v: expected 1 or more", b.Factor)
	case !(b.Jitter >= 0 && b.Jitter <= 1):
		return fmt.Errorf("backoff jitter %v: expected 0 to 1", b.Jitter)
	case b.ResetAfter < 0:
		return fmt.Errorf("backoff reset_after %v: expected 0 or more", b.ResetAfter)
	}
	return nil
}

// withDefaults fills in what is zero.
func (b Backoff) withDefaults() Backoff {
	if b.Max == 0 {
		b.Max = max(30*time.Second, b.Initial)
	}
	if b.Factor == 0 {
		b.Factor = 2
	}
	if b.ResetAfter == 0 {
		b.ResetAfter = max(b.Max, time.Minute)
	}
	return b
}

// delay is how long to wait before the restart after so many failures in a row, the first being 1. random
// is taken from [0, 1).
func (b Backoff) delay(failures int, random func() float64) time.Duration {
	if b.Initial == 0 || failures < 1 {
		return 0
	}
	// In floating point, so that a thousand failures make +Inf and not a negative duration.
	return b.spread(float64(b.Initial)*math.Pow(b.Factor, float64(failures-1)), random)
}

// longest is the delay at which it grows no more.
func (b Backoff) longest(random func() float64) time.Duration {
	return b.spread(float64(b.Max), random)
}

// spread draws from around a delay.
func (b Backoff) spread(middle float64, random func() float64) time.Duration {
	longest := float64(b.Max)
	middle = min(middle, longest)
	// The spread is cut at Max before the draw: cut after it, half of the delays that have reached Max would
	// be Max exactly, and children that failed together would restart in step.
	least, most := middle*(1-b.Jitter), min(middle*(1+b.Jitter), longest)
	d := least + random()*(most-least)
	if d >= longest {
		return b.Max // a float64 next to math.MaxInt64 converts to a negative duration
	}
	return time.Duration(d)
}

func random() float64 { return rand.Float64() }
