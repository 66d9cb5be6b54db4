package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy-run/understudy/supervisor"
)

// gauges are what a look at the tree shows.
type gauges struct {
	read, actors, backoff, childUsed, childAllowed *prometheus.Desc
	used, allowed, ratio, messages, oldest         *prometheus.Desc
}

func newGauges() gauges {
	return gauges{
		read:         desc("tree_read", "1 if the tree could be read for this scrape, 0 if it is not up or did not answer in time."),
		actors:       desc("actors", "Children in each state.", "supervisor", "child", "kind", "state"),
		backoff:      desc("actor_backoff_seconds", "Time until the next try to start the child; 0 if none is waited for.", "supervisor", "child"),
		childUsed:    desc("actor_restart_window_used", "Restarts in the window of the child's own intensity.", "supervisor", "child"),
		childAllowed: desc("actor_restart_window_allowed", "Restarts that the child's own intensity tolerates.", "supervisor", "child"),
		used:         desc("supervisor_restart_window_used", "Restarts in the window of the supervisor's intensity.", "supervisor"),
		allowed:      desc("supervisor_restart_window_allowed", "Restarts that the supervisor's intensity tolerates.", "supervisor"),
		ratio:        desc("supervisor_restart_window_used_ratio", "Restarts in the window over those tolerated: at 1 the next is too many.", "supervisor"),
		messages:     desc("mailbox_messages", "Messages that wait in the child's mailbox.", "supervisor", "child"),
		oldest:       desc("mailbox_oldest_seconds", "For how long the oldest of them may have waited.", "supervisor", "child"),
	}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

func (g *gauges) describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		g.read, g.actors, g.backoff, g.childUsed, g.childAllowed, g.used, g.allowed, g.ratio, g.messages, g.oldest,
	} {
		descs <- d
	}
}

// states are shown for every child, also those that none is in: a series that comes and goes cannot be
// alerted on.
var states = []supervisor.State{
	supervisor.Starting, supervisor.Running, supervisor.Restarting, supervisor.Stopping, supervisor.Stopped, supervisor.Failed,
}

// alike are the children of one supervisor and one label.
type alike struct {
	kind          supervisor.Kind
	inState       map[supervisor.State]int
	backoff       time.Duration
	own           bool
	used, allowed int // of the one that has used most of its own
	messages      int
	oldest        time.Duration
}

func (a *alike) add(n supervisor.Node, now time.Time) {
	a.kind = n.Kind
	a.inState[n.State]++
	if !n.NextTry.IsZero() {
		a.backoff = max(a.backoff, n.NextTry.Sub(now))
	}
	if n.Intensity != nil && n.Kind != supervisor.Supervised {
		if !a.own || n.Used > a.used {
			a.used, a.allowed = n.Used, n.Intensity.MaxRestarts
		}
		a.own = true
	}
	info := n.PID.Info()
	a.messages = max(a.messages, info.Depth)
	a.oldest = max(a.oldest, info.OldestAge)
}

func (g *gauges) collect(out chan<- prometheus.Metric, top supervisor.Node, read bool) {
	send := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	if !read {
		send(g.read, 0)
		return
	}
	send(g.read, 1)
	g.supervisor(send, top, time.Now())
}

func (g *gauges) supervisor(send func(*prometheus.Desc, float64, ...string), n supervisor.Node, now time.Time) {
	if n.Intensity != nil && n.Strategy != "" {
		send(g.used, float64(n.Used), n.Path)
		send(g.allowed, float64(n.Intensity.MaxRestarts), n.Path)
		// One that tolerates none is as near to its end with none used as others are with all.
		ratio := 1.0
		if n.Intensity.MaxRestarts > 0 {
			ratio = float64(n.Used) / float64(n.Intensity.MaxRestarts)
		}
		send(g.ratio, ratio, n.Path)
	}
	groups := make(map[string]*alike)
	for _, child := range n.Children {
		group := groups[child.Label]
		if group == nil {
			group = &alike{inState: make(map[supervisor.State]int)}
			groups[child.Label] = group
		}
		group.add(child, now)
	}
	for label, group := range groups {
		for _, state := range states {
			send(g.actors, float64(group.inState[state]), n.Path, label, string(group.kind), string(state))
		}
		send(g.backoff, max(group.backoff, 0).Seconds(), n.Path, label)
		send(g.messages, float64(group.messages), n.Path, label)
		send(g.oldest, group.oldest.Seconds(), n.Path, label)
		if group.own {
			send(g.childUsed, float64(group.used), n.Path, label)
			send(g.childAllowed, float64(group.allowed), n.Path, label)
		}
	}
	for _, child := range n.Children {
		if child.Kind == supervisor.Supervised {
			g.supervisor(send, child, now)
		}
	}
}
