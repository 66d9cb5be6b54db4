package metrics

import (
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// other is the label of what is not among the few that have one of their own.
const other = "other"

// turnCounts are what the moments of sessions add up to.
type turnCounts struct {
	turns, tokens, cost, tools, permissions, retries, unknown, notices *prometheus.CounterVec
	turnTime, toolTime, waits                                          *prometheus.HistogramVec

	models, servers *few
}

func newTurnCounts() turnCounts {
	count := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	times := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	}
	return turnCounts{
		turns:       count("session_turns_total", "Turns that came to an end, by outcome.", "child", "outcome"),
		turnTime:    times("session_turn_duration_seconds", "How long turns took.", []float64{1, 3, 10, 30, 60, 180, 600, 1800, 3600}, "child"),
		tokens:      count("session_tokens_total", "Tokens that turns with a result have used.", "child", "model", "type"),
		cost:        count("session_cost_usd_total", "What turns with a result have cost in US dollars, as the CLI estimates it.", "child", "model"),
		tools:       count("tool_calls_total", "Uses of tools that came to an end, by outcome.", "child", "tool", "outcome"),
		toolTime:    times("tool_duration_seconds", "How long tools took, with what they waited for permission.", []float64{.01, .05, .25, 1, 5, 15, 60, 300, 1800}, "tool"),
		permissions: count("permission_requests_total", "Permission questions that were settled, by decision and who made it.", "child", "decision", "by"),
		waits:       times("permission_wait_seconds", "How long they waited.", []float64{.01, .1, 1, 5, 15, 60, 300, 900, 3600}, "by"),
		retries:     count("session_api_retries_total", "Requests to the model that the CLI tried again, by what was wrong.", "child", "error"),
		unknown:     count("protocol_unknown_frames_total", "Frames of the CLI of a type that this program does not know.", "child"),
		notices:     count("session_notices_total", "What happened to sessions that nobody asked for: what they recovered from, lost, wait for, were kept from.", "child", "notice"),
		models:      &few{most: 24}, servers: &few{most: 48},
	}
}

func (t *turnCounts) all() []prometheus.Collector {
	return []prometheus.Collector{t.turns, t.turnTime, t.tokens, t.cost, t.tools, t.toolTime, t.permissions, t.waits, t.retries, t.unknown, t.notices}
}

func (t *turnCounts) describe(descs chan<- *prometheus.Desc) {
	for _, c := range t.all() {
		c.Describe(descs)
	}
}

func (t *turnCounts) collect(out chan<- prometheus.Metric) {
	for _, c := range t.all() {
		c.Collect(out)
	}
}

// OnMoment counts what a session did. It is what session.Spec.OnMoment and understudy.Options.OnMoment want; an embedder
// with a hook of its own calls it from there.
func (c *Collector) OnMoment(m session.Moment) {
	t := &c.turns
	switch m.Kind {
	case session.TurnEnded:
		t.turns.WithLabelValues(m.Label, oneOf(m.Outcome, outcomes)).Inc()
		t.turnTime.WithLabelValues(m.Label).Observe(m.Took.Seconds())
		for name, used := range m.ByModel {
			model := t.models.name(name)
			for kind, n := range map[string]int64{
				"input": used.Input, "output": used.Output, "cache_read": used.CacheRead, "cache_creation": used.CacheCreation,
			} {
				t.tokens.WithLabelValues(m.Label, model, kind).Add(float64(max(n, 0)))
			}
			t.cost.WithLabelValues(m.Label, model).Add(max(used.CostUSD, 0))
		}
	case session.ToolEnded:
		tool := t.tool(m.Tool)
		t.tools.WithLabelValues(m.Label, tool, m.Outcome).Inc()
		t.toolTime.WithLabelValues(tool).Observe(m.Took.Seconds())
	case session.PermissionGiven, session.PermissionNone:
		t.permissions.WithLabelValues(m.Label, m.Outcome, m.By).Inc()
		t.waits.WithLabelValues(m.By).Observe(m.Took.Seconds())
	case session.APIRetried:
		t.retries.WithLabelValues(m.Label, oneOf(m.Outcome, apiErrors)).Inc()
	case session.UnknownFrame:
		t.unknown.WithLabelValues(m.Label).Inc()
	case session.Noticed:
		t.notices.WithLabelValues(m.Label, m.Outcome).Inc() // the outcomes are this program's own
	case session.ProcessStarted, session.ProcessReady, session.ProcessEnded, session.TurnStarted, session.ToolStarted,
		session.PermissionAsked, session.StateChanged, session.StderrLine:
		// Their ends are counted, or the gauges show them, or supervisors' events say it.
	}
}

// tool is a tool's name, if the CLI has it, or the MCP server's: the tools of one are whatever it says they are.
func (t *turnCounts) tool(name string) string {
	if session.BuiltinTool(name) {
		return name
	}
	if rest, ok := strings.CutPrefix(name, "mcp__"); ok {
		server, _, _ := strings.Cut(rest, "__")
		if server = t.servers.name(server); server != other {
			return "mcp__" + server
		}
	}
	return other
}

// What the CLI says may be anything; these have a series of their own.
var (
	outcomes = []string{
		protocol.ResultSuccess, protocol.ResultErrorDuringExecution, protocol.ResultErrorMaxTurns, protocol.ResultErrorMaxBudget,
		protocol.ResultErrorMaxRetries, "error", "crashed",
	}
	apiErrors = []string{
		protocol.ErrorAuthentication, protocol.ErrorOAuthOrgNotAllowed, protocol.ErrorAccountOnHold, protocol.ErrorVerificationRequired,
		protocol.ErrorBilling, protocol.ErrorRateLimit, protocol.ErrorOverloaded, protocol.ErrorInvalidRequest, protocol.ErrorModelNotFound,
		protocol.ErrorServer, protocol.ErrorUnknown, protocol.ErrorMaxOutputTokens, protocol.ErrorCloudCredential,
	}
)

func oneOf(name string, known []string) string {
	if slices.Contains(known, name) {
		return name
	}
	return other
}

// few lets the first names through, up to a number: what names them is not the configuration alone.
type few struct {
	mu    sync.Mutex
	most  int
	known map[string]bool
}

func (f *few) name(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.known[name]:
	case name == "" || len(name) > 80 || !utf8.ValidString(name) || len(f.known) >= f.most:
		return other
	default:
		if f.known == nil {
			f.known = make(map[string]bool)
		}
		f.known[name] = true
	}
	return name
}
