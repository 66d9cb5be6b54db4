// Package remote is what the audit log says to other machines, and hears from the CLI: sinks and anchors over HTTP,
// anchors in syslog, and the witness.
//
//	trail := audit.New(system, audit.Options{
//		Dir:     "data/audit",
//		Sinks:   []audit.Sink{remote.Sink(remote.SinkOptions{Name: "siem", URL: "https://siem.example/ingest"})},
//		Anchors: []audit.Anchor{remote.HTTPAnchor("https://witness.example/checkpoints", remote.HTTP{}), syslog},
//	})
//
// # Concurrency
//
// A sink and an anchor are called by one goroutine at a time, as package audit says. A [Witness] may be used from any.
package remote
