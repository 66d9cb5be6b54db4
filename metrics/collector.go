package metrics

import (
	"cmp"
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

const namespace = "understudy"

// Options tune a Collector. The zero value works.
type Options struct {
	// Version is the program's, for understudy_build_info. Empty: there is none.
	Version string

	// Reason names the class of an end or of a failed start; nil means the function Reason. It must have few
	// values.
	Reason func(error) string
	// Timeout bounds how long a scrape waits for the tree. 0 means 2 s.
	Timeout time.Duration
}

// Source is a tree of supervisors: an *understudy.Runtime, or see Tree.
type Source interface {
	Supervision(context.Context) (supervisor.Node, error)
}

// Fleet is a Source that has sessions: an *understudy.Runtime.
type Fleet interface {
	Source
	Sessions() []*session.Session
	Approvals() []session.Approval
	Budgets() []session.BudgetState
	Pools() []session.PoolState
	Audit() *audit.Trail // nil: there is none
}

// Tree makes a Source of a supervisor.
func Tree(s *supervisor.Supervisor) Source { return tree{s} }

type tree struct{ top *supervisor.Supervisor }

func (t tree) Supervision(ctx context.Context) (supervisor.Node, error) { return t.top.Tree(ctx) }

// Collector is a prometheus.Collector of everything in this package. Make one with NewCollector.
type Collector struct {
	options Options
	source  atomic.Pointer[Source]
	counts  counts
	gauges  gauges
	turns   turnCounts
	fleet   fleetGauges
	log     auditGauges
	loads   loads
	build   *prometheus.Desc
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a Collector that has seen nothing yet.
func NewCollector(o Options) *Collector {
	if o.Reason == nil {
		o.Reason = Reason
	}
	o.Timeout = cmp.Or(o.Timeout, 2*time.Second)
	return &Collector{
		options: o, counts: newCounts(), gauges: newGauges(), turns: newTurnCounts(), fleet: newFleetGauges(), log: newAuditGauges(), loads: newLoads(),
		build: desc("build_info", "1, with the version of the program and of the Go that it was built with.", "version", "goversion"),
	}
}

// Watch says which tree the gauges are read from; of a Fleet also its sessions, budgets and audit log. Until then there are none.
func (c *Collector) Watch(source Source) { c.source.Store(&source) }

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	c.counts.describe(descs)
	c.gauges.describe(descs)
	c.turns.describe(descs)
	c.fleet.describe(descs)
	c.log.describe(descs)
	c.loads.describe(descs)
	descs <- c.build
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.counts.collect(out)
	c.turns.collect(out)
	c.loads.collect(out)
	if c.options.Version != "" {
		out <- prometheus.MustNewConstMetric(c.build, prometheus.GaugeValue, 1, c.options.Version, runtime.Version())
	}
	source := c.source.Load()
	if source == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.options.Timeout)
	defer cancel()
	node, err := (*source).Supervision(ctx)
	c.gauges.collect(out, node, err == nil)
	if fleet, ok := (*source).(Fleet); ok {
		c.fleet.collect(out, fleet, time.Now())
		c.log.collect(out, fleet.Audit())
	}
}
