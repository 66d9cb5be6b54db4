package metrics_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/understudy-run/understudy/metrics"
	"github.com/understudy-run/understudy/session"
)

func TestMomentsAreCounted(t *testing.T) {
	c := metrics.NewCollector(metrics.Options{})
	for _, m := range []session.Moment{
		{Kind: session.TurnStarted, Label: "a"},
		{Kind: session.TurnEnded, Label: "a", Outcome: "success", Took: 2 * time.Second, ByModel: map[string]session.ModelTokens{
			"opus": {Tokens: session.Tokens{Input: 1, Output: 2, CacheRead: 3, CacheCreation: 4}, CostUSD: 0.5},
		}},
		{Kind: session.TurnEnded, Label: "a", Outcome: "crashed"},
		{Kind: session.TurnEnded, Label: "a", Outcome: "something the CLI made up"},
		{Kind: session.ToolEnded, Label: "a", Tool: "Bash", Outcome: "ok", Took: time.Second},
		{Kind: session.ToolEnded, Label: "a", Tool: "mcp__db__query", Outcome: "error"},
		{Kind: session.ToolEnded, Label: "a", Tool: "mcp__db__drop", Outcome: "error"},
		{Kind: session.ToolEnded, Label: "a", Tool: "Zauberei", Outcome: "denied"},
		{Kind: session.PermissionAsked, Label: "a"},
		{Kind: session.PermissionGiven, Label: "a", Outcome: "allow", By: "operator", Took: 10 * time.Second},
		{Kind: session.PermissionNone, Label: "a", Outcome: "deny", By: "timeout", Took: 5 * time.Minute},
		{Kind: session.APIRetried, Label: "a", Outcome: "overloaded"},
		{Kind: session.APIRetried, Label: "a", Outcome: "of a later version"},
		{Kind: session.UnknownFrame, Label: "a"},
		{Kind: session.Noticed, Label: "a", Outcome: string(session.NoticeToolLoop)},
	} {
		c.OnMoment(m)
	}
	assert.ElementsMatch(t, []string{
		"permission_requests_total operator a allow 1", "permission_requests_total timeout a deny 1", "protocol_unknown_frames_total a 1",
		"session_api_retries_total a other 1", "session_api_retries_total a overloaded 1", "session_cost_usd_total a opus 0.5",
		"session_notices_total a tool_loop 1",
		"session_tokens_total a opus cache_creation 4", "session_tokens_total a opus cache_read 3",
		"session_tokens_total a opus input 1", "session_tokens_total a opus output 2",
		"session_turns_total a crashed 1", "session_turns_total a other 1", "session_turns_total a success 1",
		"tool_calls_total a denied other 1", "tool_calls_total a error mcp__db 2", "tool_calls_total a ok Bash 1",
	}, values(t, c, "permission_requests_total", "protocol_unknown_frames_total", "session_api_retries_total", "session_cost_usd_total",
		"session_notices_total", "session_tokens_total", "session_turns_total", "tool_calls_total"))
}

func TestLoadsOfTheConfiguration(t *testing.T) {
	c := metrics.NewCollector(metrics.Options{})
	names := []string{"config_last_reload_successful", "config_last_reload_success_timestamp_seconds"}
	assert.Empty(t, values(t, c, names...))
	at := time.Unix(1000, 0)
	c.Loaded(true, at)
	assert.ElementsMatch(t, []string{"config_last_reload_successful  1", "config_last_reload_success_timestamp_seconds  1000"}, values(t, c, names...))
	c.Loaded(false, at.Add(time.Hour))
	assert.Equal(t, []string{"config_last_reload_success_timestamp_seconds  1000"}, values(t, c, names...), "the other is 0")
}

// TestWhatACLISaysDoesNotGrowTheMetrics has a CLI make up names without end.
func TestWhatACLISaysDoesNotGrowTheMetrics(t *testing.T) {
	c := metrics.NewCollector(metrics.Options{})
	for i := range 2000 {
		name := fmt.Sprint("made-up-", i)
		c.OnMoment(session.Moment{Kind: session.TurnEnded, Label: "a", Outcome: name, ByModel: map[string]session.ModelTokens{name: {}, "\xff": {}}})
		c.OnMoment(session.Moment{Kind: session.ToolEnded, Label: "a", Tool: "mcp__" + name + "__x", Outcome: "ok"})
		c.OnMoment(session.Moment{Kind: session.ToolEnded, Label: "a", Tool: name, Outcome: "ok"})
		c.OnMoment(session.Moment{Kind: session.APIRetried, Label: "a", Outcome: name})
	}
	assert.Len(t, values(t, c, "session_cost_usd_total"), 25)
	assert.Len(t, values(t, c, "tool_calls_total"), 49)
	assert.Len(t, values(t, c, "session_turns_total"), 1)
	assert.Len(t, values(t, c, "session_api_retries_total"), 1)
}
