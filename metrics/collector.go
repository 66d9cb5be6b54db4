package metrics

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy-run/understudy/supervisor"
)

const namespace = "understudy"

// Options tune a Collector. The zero value works.
type Options struct {
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
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a Collector that has seen nothing yet.
func NewCollector(o Options) *Collector {
	if o.Reason == nil {
		o.Reason = Reason
	}
	o.Timeout = cmp.Or(o.Timeout, 2*time.Second)
	return &Collector{options: o, counts: newCounts(), gauges: newGauges()}
}

// Watch says which tree the gauges are read from. Until then there are none.
func (c *Collector) Watch(source Source) { c.source.Store(&source) }

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	c.counts.describe(descs)
	c.gauges.describe(descs)
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.counts.collect(out)
	source := c.source.Load()
	if source == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.options.Timeout)
	defer cancel()
	node, err := (*source).Supervision(ctx)
	c.gauges.collect(out, node, err == nil)
}
