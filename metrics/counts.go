package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy-run/understudy/supervisor"
)

// counts are what the events of supervisors add up to.
type counts struct {
	starts, failures, exits, kills, restarts, parked, escalations *prometheus.CounterVec
}

func newCounts() counts {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	return counts{
		starts:      vec("actor_starts_total", "Starts of children that succeeded, by why they were started.", "supervisor", "child", "cause"),
		failures:    vec("actor_start_failures_total", "Starts of children that failed, by class of the reason.", "supervisor", "child", "reason"),
		exits:       vec("actor_exits_total", "Ends of children that nobody asked for, by class of the reason.", "supervisor", "child", "reason"),
		kills:       vec("actor_kills_total", "Children that did not end within their shutdown time and were killed.", "supervisor", "child"),
		restarts:    vec("supervisor_restarts_total", "Starts of children that had been up or had failed before, by why they were started.", "supervisor", "child", "cause"),
		parked:      vec("supervisor_parked_total", "Children that were given up until somebody acts, or for a cooldown.", "supervisor", "child"),
		escalations: vec("supervisor_escalations_total", "How often the supervisor gave up.", "supervisor"),
	}
}

func (c *counts) all() []*prometheus.CounterVec {
	return []*prometheus.CounterVec{c.starts, c.failures, c.exits, c.kills, c.restarts, c.parked, c.escalations}
}

func (c *counts) describe(descs chan<- *prometheus.Desc) {
	for _, vec := range c.all() {
		vec.Describe(descs)
	}
}

func (c *counts) collect(out chan<- prometheus.Metric) {
	for _, vec := range c.all() {
		vec.Collect(out)
	}
}

// OnEvent counts what a supervisor did. It is what supervisor.Options.OnEvent and understudy.Options.OnEvent
// want; an embedder with a hook of its own calls it from there.
func (c *Collector) OnEvent(e supervisor.Event) {
	switch e.Kind {
	case supervisor.ChildStarted:
		c.counts.starts.WithLabelValues(e.Supervisor, e.Label, string(e.Cause)).Inc()
		if e.Restarted() {
			c.counts.restarts.WithLabelValues(e.Supervisor, e.Label, string(e.Cause)).Inc()
		}
	case supervisor.StartFailed:
		c.counts.failures.WithLabelValues(e.Supervisor, e.Label, c.options.Reason(e.Reason)).Inc()
	case supervisor.ChildExited:
		c.counts.exits.WithLabelValues(e.Supervisor, e.Label, c.options.Reason(e.Reason)).Inc()
	case supervisor.ChildKilled:
		c.counts.kills.WithLabelValues(e.Supervisor, e.Label).Inc()
	case supervisor.ChildParked:
		c.counts.parked.WithLabelValues(e.Supervisor, e.Label).Inc()
	case supervisor.Escalated:
		c.counts.escalations.WithLabelValues(e.Supervisor).Inc()
	case supervisor.RestartScheduled, supervisor.GroupRestart, supervisor.ChildIgnored, supervisor.ChildReset, supervisor.ChildStopped:
		// What comes of them is counted, or shown by the gauges.
	}
}
