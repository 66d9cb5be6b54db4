package session_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// A caller that reads late gets everything, in order, from disk if need be; beyond the cap it learns that it was too slow.
// The session goes on in both cases.
func TestSlowConsumer(t *testing.T) {
	sp := spec(t, "slow")
	sp.Options.MaxUnreadBytes = 14 << 20
	b := start(t, sp)
	late := func(prompt string) (text int, result *protocol.Result, end error) {
		first := true
		for m, err := range b.Query(t.Context(), prompt) {
			if first { // nothing is read until the turn is over
				first = false
				require.Eventually(t, func() bool { return b.Info().State == session.Idle }, time.Minute, time.Millisecond)
			}
			switch m := m.(type) {
			case *protocol.Assistant:
				text += len(m.Text())
			case *protocol.Result:
				result = m
			default:
			}
			end = err
		}
		return text, result, end
	}
	text, result, err := late("[[hugeline:6000000]]")
	require.NoError(t, err)
	assert.Equal(t, 6_000_000, text)
	assert.Len(t, result.Result, 6_000_000, "the answer comes twice, 12 MB in all")

	text, result, err = late("[[hugeline:15000000]]")
	require.ErrorIs(t, err, session.ErrSlowConsumer)
	require.ErrorContains(t, err, "14680064 bytes wait already (max_unread_bytes)")
	assert.Contains(t, []int{0, 15_000_000}, text, "a message is there or it is not")
	assert.Nil(t, result)
	answer, err := b.Ask(t.Context(), "hello")
	require.NoError(t, err)
	assert.Equal(t, "echo: hello", answer.Text)
}
