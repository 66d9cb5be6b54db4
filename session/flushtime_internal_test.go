package session

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/understudy-run/understudy/supervisor"
)

// Fault: the CLI takes two seconds to save what it has when it is told to end
// Outcome: it has more than that before SIGTERM, under the default shutdown too, and the whole ladder stays within the session's time
// On: memory
func TestTheLadderLeavesTimeToSave(t *testing.T) {
	for _, test := range []struct {
		shutdown         supervisor.Shutdown
		interrupted      bool
		background       int
		want             time.Duration
		beforeTheLadder  time.Duration
		isWithinItsLimit bool
	}{
		{shutdown: supervisor.Shutdown{}, want: 2500 * time.Millisecond, isWithinItsLimit: true},
		{shutdown: supervisor.Within(30 * time.Second), want: 3 * time.Second, isWithinItsLimit: true},
		{shutdown: supervisor.Infinity, want: 3 * time.Second, isWithinItsLimit: true},
		{shutdown: supervisor.Within(5 * time.Second), interrupted: true, want: 1250 * time.Millisecond, beforeTheLadder: 1250 * time.Millisecond, isWithinItsLimit: true},
		{shutdown: supervisor.Within(20 * time.Second), background: 1, want: 2 * time.Second, isWithinItsLimit: true},
		{shutdown: supervisor.Within(time.Second), want: 500 * time.Millisecond}, // the supervisor's deadline kills what is left
	} {
		l := &loop{options: Options{Shutdown: test.shutdown}, interrupting: test.interrupted, background: test.background}
		ladder := l.ladder()
		assert.Equal(t, test.want, ladder.Stdin, "%+v", test)
		if test.isWithinItsLimit {
			assert.Less(t, test.beforeTheLadder+ladder.Stdin+ladder.Term+ladder.Kill, l.grace(), "%+v", test)
		}
	}
}
