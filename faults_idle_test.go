package understudy_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/understudy-run/understudy/session"
)

// TestQueriesAtTheMomentOfHibernation asks now a little before and now a little after an idle session's process is told to end: what is
// asserted is the same in each case. TestAQueryMeetsTheEndOfAnIdleProcess brings each of the moments about.
//
// Fault: queries come around the moment in which an idle session's process is ended
// Outcome: each is answered, in the same conversation; no restart is counted, and a process is gone before the next one is started
// On: simulated, real
func TestQueriesAtTheMomentOfHibernation(t *testing.T) {
	t.Parallel()
	both(t, map[string]func(*rig){"queries": func(r *rig) {
		r.spec.IdleTimeout = time.Millisecond
		var last atomic.Int64
		r.options.OnMoment = func(m session.Moment) {
			if m.Kind == session.ProcessStarted {
				if before := last.Swap(int64(m.PID)); before != 0 {
					assert.False(r, alive(int(before)), "process %d is there when %d is started", before, m.PID)
				}
			}
		}
		r.boot()
		waits := []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 30 * time.Millisecond}
		for _, wait := range waits {
			assert.Equal(r, "echo: "+wait.String(), r.mustAsk(wait.String()).Text)
			time.Sleep(wait) // so that the moments differ: nothing is waited for
		}
		history := r.history()
		for _, wait := range waits {
			assert.Contains(r, history, wait.String())
		}
		info := r.Info()
		assert.Zero(r, info.Restarts)
		assert.Equal(r, len(waits)+1, info.Turns)
	}})
}
