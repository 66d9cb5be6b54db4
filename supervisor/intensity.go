package supervisor

import "time"

// window counts restarts against an intensity. It holds at most MaxRestarts+1 times, so that charging
// costs the same however long a storm lasts.
type window struct {
	intensity Intensity
	times     []time.Time // oldest first
}

// charge records a restart and reports whether it is still tolerated. A restart exactly Within ago counts,
// as in OTP.
func (w *window) charge(now time.Time) bool {
	w.prune(now)
	if len(w.times) > w.intensity.MaxRestarts {
		w.times = w.times[1:]
	}
	w.times = append(w.times, now)
	return len(w.times) <= w.intensity.MaxRestarts
}

// used is how many restarts the window holds.
func (w *window) used(now time.Time) int {
	w.prune(now)
	return len(w.times)
}

func (w *window) prune(now time.Time) {
	keep := 0
	for keep < len(w.times) && now.Sub(w.times[keep]) > w.intensity.Within {
		keep++
	}
	w.times = append(w.times[:0], w.times[keep:]...)
}

func (w *window) reset() { w.times = w.times[:0] }
