package supervisor

import (
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// stepped is a time as it would be had somebody set the clock by d meanwhile: the wall's reading is another one, the monotonic one is
// as it was. Nothing in package time makes one. Its first word has 33 bits of seconds above 30 of nanoseconds.
func stepped(now time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&now)) += uint64(int64(d/time.Second)) << 30
	return now
}

// Fault: the clock is set back an hour, or forward, while restarts are counted, spread and waited for
// Outcome: the window of an intensity is as long as it is; nobody is given up early or late, and no start comes early or late
// On: memory
func TestIntensityWhenTheClockIsSet(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, time.Hour} {
		began := time.Now()
		at := func(d time.Duration) time.Time { return stepped(began.Add(d), step) }
		assert.Equal(t, step, at(0).Round(0).Sub(began.Round(0)), "the clock on the wall is set")

		w := window{intensity: Intensity{MaxRestarts: 2, Within: 5 * time.Second}}
		assert.True(t, w.charge(began))
		assert.True(t, w.charge(at(time.Second)))
		assert.False(t, w.charge(at(2*time.Second)), "%v: the third within the window", step)
		w.reset()
		assert.True(t, w.charge(began))
		assert.True(t, w.charge(at(time.Second)))
		assert.True(t, w.charge(at(5001*time.Millisecond)), "%v: the first is out of the window", step)

		pace := NewPace(10, 1)
		assert.Zero(t, pace.take(began))
		assert.Equal(t, 100*time.Millisecond, pace.take(at(0)), "%v", step)

		assert.True(t, OneForAll.ready(began.Add(time.Second), began.Add(time.Second), at(time.Second)), "%v", step)
		assert.False(t, OneForAll.ready(began.Add(time.Second), began.Add(time.Second), at(999*time.Millisecond)), "%v", step)
	}
}
