package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/supervisor/debug"
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

// TestWhatIsTakenBackIsSaid: it was shown before, and cannot be removed from a terminal.
func TestWhatIsTakenBackIsSaid(t *testing.T) {
	var out strings.Builder
	v := newConversation(&out, "one")
	for _, frame := range []string{
		`{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"I would"}},"parent_tool_use_id":null}`,
		`{"type":"assistant","message":{"content":[{"type":"text","text":"I would"}]},"parent_tool_use_id":null,"uuid":"f1"}`,
		`{"type":"system","subtype":"model_refusal_fallback","original_model":"a","fallback_model":"b","request_id":null,"content":"","retracted_message_uuids":["f1"]}`,
		`{"type":"assistant","message":{"content":[{"type":"text","text":"Here it is."}]},"parent_tool_use_id":null,"uuid":"f2","supersedes":["f1"]}`,
	} {
		require.NoError(t, v.show(debug.Watched{Frame: []byte(frame)}))
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 3, "%q", lines)
	assert.Equal(t, "I would", lines[0])
	assert.Contains(t, lines[1], "a will not go on, and what it began is taken back; b answers instead")
	assert.Equal(t, "Here it is.", lines[2])
}
