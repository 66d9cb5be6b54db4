package tool_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/understudy-run/understudy/session/tool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A connection that is closed, or whose context has ended, takes nothing more and leaves no goroutine.
func TestConnectionEnds(t *testing.T) {
	for name, end := range map[string]func(cancel func(), c func() error){
		"closed":    func(_ func(), c func() error) { assert.NoError(t, c()); assert.NoError(t, c(), "twice") },
		"cancelled": func(cancel func(), _ func() error) { cancel() },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		c, err := tool.NewServer("s", "1").ConnectMCP(ctx, func(json.RawMessage) {})
		require.NoError(t, err, name)
		assert.Error(t, c.Receive(json.RawMessage(`not JSON`)), name)
		end(cancel, c.Close)
		assert.Eventually(t, func() bool {
			return c.Receive(json.RawMessage(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)) != nil
		}, time.Minute, time.Millisecond, name)
		cancel()
	}
}

// A server that was put together wrongly is an error, and no panic.
func TestConnectNoServer(t *testing.T) {
	_, err := tool.Wrap(nil).ConnectMCP(t.Context(), func(json.RawMessage) {})
	assert.ErrorContains(t, err, "panic")
}
