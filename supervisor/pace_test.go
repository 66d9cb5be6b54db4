package supervisor_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/supervisor"
)

// towers is a supervisor of supervisors, levels deep, over a leaf that dies a millisecond after it is up: one
// that died before its supervisors are up would fail their start.
func (r *rig) towers(levels int, pace *supervisor.Pace) supervisor.Options {
	dies := kid{started: func(c *actor.Context[message], _ int) error {
		c.After(time.Millisecond, func(c *actor.Context[message]) { c.Exit(errBoom) })
		return nil
	}}
	path := "root"
	for i := range levels - 1 {
		path += fmt.Sprint("/", i)
	}
	options := supervisor.Options{Children: []supervisor.ChildSpec{r.specUnder(path, "leaf", dies)}}
	for i := levels - 2; i >= 0; i-- {
		options = supervisor.Options{Children: []supervisor.ChildSpec{r.inner(path, fmt.Sprint(i), options, nil)}}
		path = path[:len(path)-2]
	}
	options.Pace = pace
	return options
}

func TestS61StartsOfANestedTreeAreBoundedByItsPace(t *testing.T) {
	for _, tt := range []struct {
		levels      int
		pace        *supervisor.Pace
		unpaced     int // Π(intensity + 1), which OTP starts at once
		firstSecond int // (1 + burst + rate) * (intensity + 1) at most
	}{
		{3, supervisor.NewPace(2, 2), 64, (1 + 2 + 2) * 4},
		{4, nil, 256, (1 + 10 + 10) * 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			err := r.tryStart(r.towers(tt.levels, tt.pace))
			require.NoError(t, err)
			time.Sleep(time.Second)
			n := len(r.startsOf("leaf"))
			assert.LessOrEqual(t, n, tt.firstSecond)
			assert.Less(t, n, tt.unpaced)
			assert.Greater(t, n, tt.firstSecond/4)
			r.over()
		})
	}
}

// What is within the pace is not slowed, and ends as it would have.
func TestPaceLeavesTheBudgetsAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		require.NoError(t, r.tryStart(r.towers(3, supervisor.NewPace(1000, 1000))))
		assert.ErrorIs(t, r.ends(), errBoom)
		assert.Len(t, r.startsOf("leaf"), 64)
		assert.Equal(t, 64*time.Millisecond, time.Since(r.begun))
		r.over()
	})
}

// The storm of many children at once is spread by the jitter of their backoff.
func TestS60StormOfManyChildrenIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		r := newRig(t)
		options := r.template(kid{})
		options.Intensity = intensity(n, time.Hour)
		options.Backoff = supervisor.Backoff{Initial: time.Second, Jitter: 1}
		r.start(options)
		for range n {
			r.instance("", nil)
		}
		for i := range n {
			r.ref(fmt.Sprint("child-", i+1)).Kill()
		}
		time.Sleep(2 * time.Second)
		buckets := make([]int, 21)
		for i := range n {
			starts := r.startsOf(fmt.Sprint("child-", i+1))
			require.Len(t, starts, 2)
			buckets[starts[1]/(100*time.Millisecond)]++
		}
		for i, in := range buckets[:20] {
			assert.Less(t, in, n/8, "within 100 ms after %d ms", i*100)
		}
		r.over()
	})
}
