package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// loads is what became of the configuration when it was read.
type loads struct {
	successful, success *prometheus.Desc
	last                atomic.Pointer[load]
}

type load struct {
	ok bool
	at time.Time // of the last that was
}

func newLoads() loads {
	return loads{
		successful: desc("config_last_reload_successful", "1 if the configuration was taken over as a whole when it was last read."),
		success:    desc("config_last_reload_success_timestamp_seconds", "When a configuration was last taken over as a whole."),
	}
}

// Loaded takes down that the configuration was read, and whether it is in force. Before the first call nothing is shown of it.
func (c *Collector) Loaded(ok bool, at time.Time) {
	next := &load{ok, at}
	if before := c.loads.last.Load(); !ok {
		next.at = time.Time{}
		if before != nil {
			next.at = before.at
		}
	}
	c.loads.last.Store(next)
}

func (l *loads) describe(descs chan<- *prometheus.Desc) {
	descs <- l.successful
	descs <- l.success
}

func (l *loads) collect(out chan<- prometheus.Metric) {
	last := l.last.Load()
	if last == nil {
		return
	}
	ok := 0.0
	if last.ok {
		ok = 1
	}
	out <- prometheus.MustNewConstMetric(l.successful, prometheus.GaugeValue, ok)
	if !last.at.IsZero() {
		out <- prometheus.MustNewConstMetric(l.success, prometheus.GaugeValue, float64(last.at.UnixNano())/1e9)
	}
}
