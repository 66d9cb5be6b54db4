package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/understudy-run/understudy/metrics"
)

// meters are what the daemon shows at /metrics: its supervisors, and its own process.
type meters struct {
	*metrics.Collector
	registry *prometheus.Registry
}

func newMeters() *meters {
	m := &meters{metrics.NewCollector(metrics.Options{Version: version}), prometheus.NewRegistry()}
	m.registry.MustRegister(m.Collector, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}
