package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// notifySocket is where a service manager would listen.
func notifySocket(t *testing.T) (addr string, next func() string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // a test's own directory may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	addr = filepath.Join(dir, "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close()) })
	return addr, func() string {
		t.Helper()
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		buffer := make([]byte, 4096)
		n, err := conn.Read(buffer)
		require.NoError(t, err)
		return string(buffer[:n])
	}
}

func TestServiceManagerIsTold(t *testing.T) {
	addr, next := notifySocket(t)
	env := map[string]string{"NOTIFY_SOCKET": addr, "WATCHDOG_USEC": "20000"}
	n, err := newNotifier(func(name string) string { return env[name] }, zerolog.Nop())
	require.NoError(t, err)
	n.ready("3 sessions")
	assert.Equal(t, "READY=1\nSTATUS=3 sessions", next())
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() { defer close(watched); n.watch(ctx, func(context.Context) error { return nil }) }()
	assert.Equal(t, "WATCHDOG=1", next())
	assert.Equal(t, "WATCHDOG=1", next())
	cancel()
	<-watched
	n.stopping(90*time.Second, true)
	told := next()
	for told == "WATCHDOG=1" {
		told = next()
	}
	assert.Equal(t, "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=90000000", told)
	n.stopping(0, false)
	assert.Equal(t, "STOPPING=1\nSTATUS=draining", next())
}

// Fault: the tree of supervisors does not answer any more
// Outcome: the daemon gives the service manager no sign of life, and logs why
// On: memory
func TestATreeThatHangsGivesNoSignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		n := &notifier{addr: "/nowhere/at/all", every: time.Second, logger: zerolog.New(&log)}
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		n.watch(ctx, func(ctx context.Context) error { <-ctx.Done(); return errors.New("no answer") })
		assert.Contains(t, log.String(), "the tree does not answer")
		assert.NotContains(t, log.String(), "could not be told", "nothing was sent")
	})
}

func TestNotifySocketsThatAreNone(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"relative": {"NOTIFY_SOCKET": "notify"}, "watchdog": {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"}, "zero": {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "0"},
	} {
		_, err := newNotifier(func(key string) string { return env[key] }, zerolog.Nop())
		assert.Error(t, err, name)
	}
	n, err := newNotifier(func(string) string { return "" }, zerolog.Nop())
	require.NoError(t, err)
	n.ready("nobody listens")
	n.watch(t.Context(), nil) // returns at once
}

// The sample unit has what the containment and the shutdown need.
func TestSampleUnit(t *testing.T) {
	data, err := os.ReadFile("../../docs/understudy.service")
	require.NoError(t, err)
	lines := strings.Split(string(data), "\n")
	for _, line := range []string{"Type=notify", "NotifyAccess=main", "Delegate=yes", "KillMode=mixed", "Restart=on-failure", "WatchdogSec=30", "TimeoutStopSec=150"} {
		assert.True(t, slices.Contains(lines, line), line)
	}
}
