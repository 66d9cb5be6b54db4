package supervisor

import "time"

// window counts restarts against an intensity. It holds at most MaxRestarts+1 times, and drops those that
// have passed from the front without moving the others, so that charging costs the same however long a
// storm lasts (OTP walks its list twice for each restart).
type window struct {
	intensity Intensity
	times     []time.Time // oldest first, from head on
	head      int
}

// charge records a restart and reports whether it is still tolerated. A restart exactly Within ago counts,
// as in OTP.
func (w *window) charge(now time.Time) bool {
	tolerated := w.used(now) < w.intensity.MaxRestarts
	if len(w.times)-w.head > w.intensity.MaxRestarts {
		w.head++
	}
	if w.head > len(w.times)/2 { // fewer are moved than have been dropped
		w.times = append(w.times[:0], w.times[w.head:]...)
		w.head = 0
	}
	w.times = append(w.times, now)
	return tolerated
}

// used is how many restarts the window holds.
func (w *window) used(now time.Time) int {
	for w.head < len(w.times) && now.Sub(w.times[w.head]) > w.intensity.Within {
		w.head++
	}
	return len(w.times) - w.head
}

func (w *window) reset() { w.times, w.head = nil, 0 }
