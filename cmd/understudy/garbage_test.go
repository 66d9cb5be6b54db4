package main

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The daemon's garbage is collected when there is as much as it says, or as whoever started it said.
func TestGarbageOfTheDaemon(t *testing.T) {
	was := debug.SetGCPercent(100)
	defer debug.SetGCPercent(was)
	relax(func(name string) string {
		assert.Equal(t, "GOGC", name)
		return "50" // the runtime has read it
	})
	assert.Equal(t, 100, debug.SetGCPercent(100))
	relax(func(string) string { return "" })
	assert.Equal(t, gcPercent, debug.SetGCPercent(100))
}
