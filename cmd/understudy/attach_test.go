package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestCtrlCTwiceDetaches: the second one within two seconds.
func TestCtrlCTwiceDetaches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		a := &attachment{name: "one", screen: newConversation(&out, "one")}
		assert.False(t, a.interrupted(t.Context()))
		assert.Contains(t, out.String(), "Ctrl-C again detaches")
		time.Sleep(againWithin) // of the bubble: no time passes
		assert.False(t, a.interrupted(t.Context()), "that was too late")
		time.Sleep(againWithin - time.Millisecond) // of the bubble
		assert.True(t, a.interrupted(t.Context()))
	})
}
