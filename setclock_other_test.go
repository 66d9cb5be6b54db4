//go:build linux && !amd64

package understudy_test

import (
	"testing"
	"time"
)

// wallClock does not set the clock here: it knows one processor's instructions.
func wallClock(t *testing.T) (set func(ahead time.Duration)) {
	t.Log("the clock is not set: this processor's instructions are not known")
	return func(time.Duration) {}
}
