package understudy_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// Every decision of a supervisor is in the audit log: about a session that crashes until it is parked and is
// brought back by an operator, and about the log itself, whose own end it tells of when it is back.
func TestAuditLogHasWhatSupervisorsDid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one := supervisor.Intensity{MaxRestarts: 1, Within: time.Hour}
	rt := runtimeWith(t, func(o *understudy.Options, s session.Options) {
		o.DataDir = dir
		o.Supervisor.Intensity, o.Supervisor.Backoff = &one, &supervisor.Backoff{Initial: time.Millisecond}
		o.Sessions = []understudy.SessionSpec{{Name: "a", Options: s}}
	})
	s, err := rt.Session("a")
	require.NoError(t, err)
	for range 2 {
		_, err = s.Ask(t.Context(), "[[crash]]")
		require.Error(t, err)
	}
	require.Eventually(t, func() bool { return s.Info().State == session.Failed }, patience, time.Millisecond)
	require.NoError(t, rt.Restart(t.Context(), "a"))
	require.Eventually(t, func() bool { // on disk: what a killed log has not written is a gap
		for r := range audit.Read(filepath.Join(dir, "audit")) {
			if r.Detail["cause"] == "operator" {
				return true
			}
		}
		return false
	}, patience, time.Millisecond)
	trail, ok := rt.System().Lookup("root/audit")
	require.True(t, ok)
	trail.Kill()
	require.Eventually(t, func() bool {
		now, ok := rt.System().Lookup("root/audit")
		return ok && now != trail && s.Info().State == session.Idle
	}, patience, time.Millisecond)
	require.NoError(t, rt.Stop(t.Context(), "a"))
	require.NoError(t, rt.Shutdown(t.Context()))

	ofSession, ofLog := []string{}, []string{}
	for r, err := range audit.Read(filepath.Join(dir, "audit")) {
		require.NoError(t, err)
		event, _ := r.Detail["event"].(string)
		if event == "" {
			continue
		}
		line := event
		if r.Detail["cause"] != nil {
			line += fmt.Sprintf(" (%v)", r.Detail["cause"])
		}
		switch {
		case r.Actor == "root/sessions/a":
			assert.Equal(t, "a", r.Session)
			ofSession = append(ofSession, string(r.Kind)+": "+line)
		case r.Detail["child"] == "audit":
			ofLog = append(ofLog, line)
		}
	}
	assert.Equal(t, []string{
		"supervisor.event: child started (first)",
		"supervisor.event: child ended", "session.restarted: child will be restarted", "supervisor.event: child restarted (crash)",
		"supervisor.event: child ended", "session.parked: child is parked as failed",
		"supervisor.event: child restarted (operator)",
		"supervisor.event: child stopped",
	}, ofSession)
	assert.Equal(t, []string{"child started (first)", "child ended", "child will be restarted", "child restarted (crash)"}, ofLog)
}

// Run shuts the tree down when its context ends.
func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	rt, options := startRuntime(t, understudy.Options{})
	s, err := rt.Spawn(t.Context(), "a", options)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- rt.Run(ctx) }()
	cancel()
	require.NoError(t, <-ended)
	_, err = s.Ask(t.Context(), "hello")
	assert.ErrorIs(t, err, session.ErrStopped)
	assert.NoError(t, rt.Run(t.Context()), "it has ended")
}
