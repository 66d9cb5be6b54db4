package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy-run/understudy/audit"
)

// auditGauges are the state of the audit log.
type auditGauges struct {
	open, queue, capacity, durable, signed, lost, delivered, missed, anchored *prometheus.Desc
}

func newAuditGauges() auditGauges {
	return auditGauges{
		open:      desc("audit_open", "1 if records can be written. If not and the log is required, no turn is begun and no tool runs."),
		queue:     desc("audit_queue_records", "Records on their way to the disk."),
		capacity:  desc("audit_queue_capacity_records", "How many may be: beyond that whoever writes one waits."),
		durable:   desc("audit_durable_sequence", "The number of the last record that is on disk."),
		signed:    desc("audit_signed_sequence", "The number of the last record that a signed checkpoint covers."),
		lost:      desc("audit_lost_records_total", "Records that were lost since the program was started."),
		delivered: desc("audit_sink_delivered_sequence", "The number of the last record that a sink has taken.", "sink"),
		missed: desc("audit_sink_missed_records_total",
			"Records that a sink did not get since the program was started: they were removed as too old before, or are damaged.", "sink"),
		anchored: desc("audit_anchor_signed_sequence", "The number of the last record that a checkpoint covers which an anchor has taken.", "anchor"),
	}
}

func (g *auditGauges) describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.open, g.queue, g.capacity, g.durable, g.signed, g.lost, g.delivered, g.missed, g.anchored} {
		descs <- d
	}
}

func (g *auditGauges) collect(out chan<- prometheus.Metric, trail *audit.Trail) {
	if trail == nil {
		return
	}
	send := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	s := trail.Status()
	open := 0.0
	if s.Open {
		open = 1
	}
	send(g.open, open)
	send(g.queue, float64(s.Queue))
	send(g.capacity, float64(s.QueueCapacity))
	send(g.durable, float64(s.DurableSeq))
	send(g.signed, float64(s.SignedSeq))
	out <- prometheus.MustNewConstMetric(g.lost, prometheus.CounterValue, float64(s.Lost))
	// Of those with one name the one that is behind counts, and all that they have missed.
	delivered, missed, anchored := make(map[string]uint64), make(map[string]uint64), make(map[string]uint64)
	for _, sink := range s.Sinks {
		behind(delivered, sink.Name, sink.DeliveredSeq)
		missed[sink.Name] += sink.Missed
	}
	for _, anchor := range s.Anchors {
		behind(anchored, anchor.Name, anchor.SignedSeq)
	}
	for name, seq := range delivered {
		send(g.delivered, float64(seq), name)
		out <- prometheus.MustNewConstMetric(g.missed, prometheus.CounterValue, float64(missed[name]), name)
	}
	for name, seq := range anchored {
		send(g.anchored, float64(seq), strings.ToValidUTF8(name, "\ufffd")) // such as a path
	}
}

// behind keeps the lowest number of a name.
func behind(of map[string]uint64, name string, seq uint64) {
	if before, twice := of[name]; !twice || seq < before {
		of[name] = seq
	}
}
