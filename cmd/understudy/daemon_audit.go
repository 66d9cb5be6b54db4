package main

import (
	"net/http"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/audit/remote"
	"github.com/understudy-run/understudy/config"
)

// auditOptions are the runtime's, by the section audit of the file.
func (d *daemon) auditOptions() (understudy.AuditOptions, error) {
	from := d.cfg.Audit
	o := understudy.AuditOptions{
		Dir: from.Dir, SegmentBytes: int64(from.SegmentSize), SegmentAge: from.SegmentAge,
		KeepBytes: int64(from.KeepSize), KeepAge: from.KeepAge,
		CheckpointRecords: from.CheckpointRecords, CheckpointEvery: from.CheckpointEvery,
		Witness: from.Witness,
	}
	if from.Mode == config.AuditBestEffort {
		o.Mode = audit.BestEffort
	}
	for _, level := range from.Levels {
		o.Levels = append(o.Levels, level.Rule())
	}
	for _, secret := range from.Redact {
		o.Redact = append(o.Redact, secret.Reveal())
	}
	if from.KeyFile != "" {
		var err error
		if o.Signer, o.VerifierKey, err = audit.LoadSigner(from.KeyFile); err != nil {
			return o, misconfigured(err)
		}
	}
	// authorized also sees to it that the token is never in the log.
	authorized := func(token string) remote.HTTP {
		if token == "" {
			return remote.HTTP{}
		}
		o.Redact = append(o.Redact, token)
		return remote.HTTP{Header: http.Header{"Authorization": {"Bearer " + token}}}
	}
	for _, a := range from.Anchors {
		switch {
		case a.File != "":
			o.Anchors = append(o.Anchors, audit.FileAnchor(a.File))
		case a.URL != "":
			o.Anchors = append(o.Anchors, remote.HTTPAnchor(a.URL, authorized(a.Token.Reveal())))
		default:
			anchor, err := remote.SyslogAnchor(a.Syslog)
			if err != nil {
				return o, err
			}
			o.Anchors = append(o.Anchors, anchor)
		}
	}
	for _, s := range from.Sinks {
		if s.Log {
			o.Sinks = append(o.Sinks, audit.LoggerSink(s.Name, d.logger))
			continue
		}
		o.Sinks = append(o.Sinks, remote.Sink(remote.SinkOptions{
			Name: s.Name, URL: s.URL, Encoding: audit.Encoding(s.Format), Batch: s.Batch, HTTP: authorized(s.Token.Reveal()),
		}))
	}
	return o, nil
}
