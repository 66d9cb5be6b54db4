package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy-run/understudy/audit"
)

// auditGauges are the state of the audit log.
type auditGauges struct {
	open, queue, capacity, durable, signed, lost, delivered *prometheus.Desc
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
	}
}

func (g *auditGauges) describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.open, g.queue, g.capacity, g.durable, g.signed, g.lost, g.delivered} {
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
	delivered := make(map[string]uint64) // of sinks with one name the one that is behind
	for _, sink := range s.Sinks {
		if seq, twice := delivered[sink.Name]; !twice || sink.DeliveredSeq < seq {
			delivered[sink.Name] = sink.DeliveredSeq
		}
	}
	for name, seq := range delivered {
		send(g.delivered, float64(seq), name)
	}
}
