package session

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/understudy-run/understudy/audit"
)

// TestAnEndFollowsItsIntent has a tool end before, and after, its intent is written. TestChaos brings it about.
func TestAnEndFollowsItsIntent(t *testing.T) {
	end := &audit.Record{Kind: audit.ToolResult}
	var early intentWrite
	assert.True(t, early.follow(end), "left to whoever writes the intent")
	assert.False(t, early.follow(&audit.Record{}), "another one is not held up, nor takes its place")
	assert.Same(t, end, early.done())

	var late intentWrite
	assert.Nil(t, late.done())
	assert.False(t, late.follow(end), "nobody would write it")
}
