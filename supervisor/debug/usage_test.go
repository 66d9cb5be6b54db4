package debug

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLoadOfAProcess(t *testing.T) {
	var l load
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	assert.Negative(t, l.percent(1, 10, at(0)), "one sample says nothing")
	assert.Negative(t, l.percent(1, 10.1, at(100*time.Millisecond)), "too close")
	assert.InDelta(t, 50, l.percent(1, 11, at(2*time.Second)), 1e-9)
	assert.InDelta(t, 50, l.percent(1, 19, at(2500*time.Millisecond)), 1e-9, "the same for all that ask at a time")
	assert.InDelta(t, 200, l.percent(1, 15, at(4*time.Second)), 1e-9)
	assert.Negative(t, l.percent(1, 3, at(6*time.Second)), "another process of that pid")
	l.percent(2, 1, at(10*time.Minute))
	assert.Len(t, l.last, 1, "what nobody asks for is forgotten")
}

// TestUsageIsMeasuredForWhoLooks: the stream of events, which looks all the time, measures nothing.
func TestUsageIsMeasuredForWhoLooks(t *testing.T) {
	f := newFake()
	h := fixed(f, Options{})
	f.root.Children[1].Children[0].Usage = nil
	_, err := h.digest(t.Context())
	require.NoError(t, err)
	assert.Zero(t, f.measured)
	var n Node
	require.NoError(t, json.Unmarshal(ask(h, "GET", Path+"sessions/reviewer", "").Body.Bytes(), &n))
	assert.Equal(t, using(4711), n.Usage)
	require.NoError(t, json.Unmarshal(ask(h, "GET", Path+"tree", "").Body.Bytes(), &n))
	assert.Equal(t, 2, f.measured)
	for _, s := range n.Sessions() {
		assert.Equal(t, s.PID != 0, s.Usage != nil, s.Name)
	}
	tree, err := f.Tree(t.Context())
	require.NoError(t, err)
	assert.Nil(t, tree.Children[1].Children[0].Usage, "what the backend has is left as it is")
}
