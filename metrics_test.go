package understudy_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/metrics"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

var _ metrics.Fleet = (*understudy.Runtime)(nil)

// TestMetricsOfARuntime scrapes a runtime whose sessions have worked, asked and crashed.
func TestMetricsOfARuntime(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	collector := metrics.NewCollector(metrics.Options{Version: "v1"})
	r.options.OnEvent, r.options.OnMoment = collector.OnEvent, collector.OnMoment
	r.options.Budgets = []session.BudgetSpec{{Name: "team", LimitUSD: 100}}
	mine := r.spec
	mine.Budgets, mine.MaxBudgetUSD = []string{"team"}, 50
	mine.PermissionMode, mine.AllowedTools = protocol.ModeDefault, nil
	r.options.Sessions = []understudy.SessionSpec{{Name: "asking", Options: mine}}
	r.options.Audit.Sinks = []audit.Sink{audit.CallbackSink("siem", func(audit.Record) {})}
	r.options.Audit.Anchors = []audit.Anchor{{Name: "notary \xff", Publish: func(context.Context, []byte) error { return nil }}}
	r.boot()
	collector.Watch(r.rt)
	r.mustAsk(`[[tool:Bash {"command":"echo hello"}]]`)
	_, err := r.ask(`[[crash]]`)
	require.Error(t, err)
	r.mustAsk("back again")

	asking, err := r.rt.Session("asking")
	require.NoError(t, err)
	asked := make(chan error, 1)
	go func() { // ends with the query
		_, err := asking.Ask(r.within(), `[[ask:Bash {"command":"echo allowed"}]]`)
		asked <- err
	}()
	r.until("a question waits", func() bool { return len(r.rt.Approvals()) == 1 })
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(collector))
	scrape := func() map[string]float64 {
		families, err := registry.Gather()
		require.NoError(t, err)
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		require.NoError(t, err)
		assert.Empty(t, problems)
		found := make(map[string]float64)
		for _, family := range families {
			for _, m := range family.GetMetric() {
				key := []string{strings.TrimPrefix(family.GetName(), "understudy_")}
				for _, l := range m.GetLabel() {
					key = append(key, l.GetValue())
					assert.False(t, l.GetValue() == "worker" && l.GetName() != "kind", "the name of a session that was spawned is no label")
				}
				found[strings.Join(key, " ")] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
		return found
	}
	var found map[string]float64
	r.until("the state and the supervisor's count follow the answer", func() bool {
		found = scrape()
		return found["sessions spawned idle"] == 1 && found["supervisor_restarts_total crash spawned root/sessions"] == 1
	})
	assert.Equal(t, 1.0, found["permission_pending"])
	assert.Positive(t, found["permission_oldest_seconds"])
	assert.Equal(t, 1.0, found["sessions asking busy"])
	assert.Positive(t, found["subprocesses asking"])
	assert.Positive(t, found["subprocess_resident_memory_bytes spawned"])
	assert.Contains(t, found, "subprocess_cpu_seconds_total spawned")
	assert.Equal(t, 1.0, found["session_turns_total spawned crashed"])
	assert.Equal(t, 2.0, found["session_turns_total spawned success"])
	assert.Equal(t, 3.0, found["session_turn_duration_seconds spawned"])
	assert.Equal(t, 1.0, found["tool_calls_total spawned ok Bash"])
	assert.Equal(t, 1.0, found["tool_duration_seconds Bash"])
	assert.Equal(t, 1.0, found["audit_open"])
	assert.Positive(t, found["audit_durable_sequence"])
	r.until("sinks and anchors have what is there", func() bool {
		found = scrape()
		return found["audit_sink_delivered_sequence siem"] > 0 && found["audit_anchor_signed_sequence notary \ufffd"] > 0
	})
	assert.Contains(t, found, "audit_sink_missed_records_total siem")
	assert.Zero(t, found["audit_sink_missed_records_total siem"])
	assert.Equal(t, 100.0, found["budget_limit_usd team"])
	assert.Contains(t, found, "session_budget_used_ratio asking")
	assert.NotContains(t, found, "session_budget_used_ratio spawned")

	require.NoError(t, r.rt.Answer(r.within(), r.rt.Approvals()[0].ID, session.ApprovalAnswer{Allow: true, By: "somebody"}))
	require.NoError(t, <-asked)
	found = scrape()
	assert.Zero(t, found["permission_pending"])
	assert.Equal(t, 1.0, found["permission_requests_total operator asking allow"])
	assert.Equal(t, 1.0, found["permission_wait_seconds operator"])
	assert.Equal(t, 1.0, found["session_turns_total asking success"])
	assert.Positive(t, found["budget_spent_usd team"])
	tokens := 0.0
	for name, value := range found {
		if fields := strings.Fields(name); fields[0] == "session_tokens_total" && slices.Contains(fields, "asking") {
			tokens += value
		}
	}
	assert.Positive(t, tokens)
}

// TestHooksThatPanicAreNobodysEnd has the embedder's hook panic at each moment.
func TestHooksThatPanicAreNobodysEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	r.options.OnMoment = func(session.Moment) { panic("a hook's") }
	r.boot()
	r.mustAsk("hello")
	assert.Equal(t, 1, r.Info().Generation)
}
