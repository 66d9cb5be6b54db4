package audit

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEvents has each event in the log, with the details that those who look for it expect.
func TestEvents(t *testing.T) {
	approval := Approval{
		ID: "ap-1", Tool: "Bash", ToolUseID: "toolu_01", AgentID: "agent", Input: json.RawMessage(`{"command":"ls"}`),
		Reason: "no rule allows it", Expires: time.Date(2025, 11, 5, 8, 30, 0, 0, time.UTC),
	}
	budget := Budget{Name: "team", SpentUSD: 4, LimitUSD: 5, Window: time.Hour}
	for _, test := range []struct {
		record Record
		want   string
	}{
		{approval.Asked(), `"kind":"approval.asked","tool_use_id":"toolu_01","agent_id":"agent","tool":"Bash","input":{"command":"ls"},` +
			`"detail":{"approval_id":"ap-1","expires":"2025-11-05T08:30:00Z","reason":"no rule allows it"}`},
		{approval.Answered(Decision{Outcome: Deny, By: "operator", Reason: "not today"}, "uid 0"), `"kind":"approval.answered",` +
			`"tool_use_id":"toolu_01","agent_id":"agent","tool":"Bash","outcome":"deny","decision":{"outcome":"deny","by":"operator","reason":"not today"},` +
			`"principal":"uid 0","detail":{"approval_id":"ap-1","expires":"2025-11-05T08:30:00Z","reason":"no rule allows it"}`},
		{budget.Warned(0.8), `"kind":"budget.warned","detail":{"budget":"team","limit_usd":5,"share":0.8,"spent_usd":4,"window_s":3600}`},
		{budget.Exhausted(), `"kind":"budget.exhausted","detail":{"budget":"team","limit_usd":5,"spent_usd":4,"window_s":3600}`},
		{Lint{Rule: "sandbox-off", Severity: "error", Message: "no sandbox", Where: "a.yaml:3", Session: "w", Accepted: "a test"}.Record(),
			`"kind":"lint.finding","session":"w","session_seq":1,"detail":{"accepted":"a test","message":"no sandbox","rule":"sandbox-off","severity":"error","where":"a.yaml:3"}`},
		{Supervision{Event: "child exited", Supervisor: "root", Child: "audit", Attempt: 2, Restarts: 1, Delay: time.Second, Reason: errors.New("boom")}.Record(),
			`"kind":"supervisor.event","actor":"root","detail":{"attempt":2,"child":"audit","delay_ms":1000,"event":"child exited","reason":"boom","restarts":1}`},
	} {
		trail := newTrail(t, Options{}, nil)
		pid := start(t, trail)
		require.NoError(t, trail.Append(deadline(t), test.record))
		stop(t, pid)
		got := read(t, trail.options.Dir)[1]
		got.V, got.Seq, got.ID, got.Time, got.MonoNS, got.Runtime = 0, 0, "", time.Time{}, 0, ""
		line, err := json.Marshal(got)
		require.NoError(t, err)
		assert.Equal(t, `{"v":0,"seq":0,`+test.want+`}`, strings.Replace(string(line), `"id":"","time":"0001-01-01T00:00:00Z",`, "", 1))
	}
}

func TestHealth(t *testing.T) {
	trail := newTrail(t, Options{}, nil)
	require.ErrorIs(t, trail.Health(), errNotRunning)
	pid := start(t, trail)
	require.NoError(t, trail.Health())
	stop(t, pid)
	require.Error(t, trail.Health())
}
