package config

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"time"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
)

// Audit says where tool uses are recorded, and who else is told.
type Audit struct {
	// Dir is the log's directory. DATA_DIR/audit by default; it need not exist.
	Dir string `json:"dir"`
	// Mode is AuditRequired, the default, or AuditBestEffort.
	Mode string `json:"mode"`
	// Levels say how much of tools' inputs and outputs is written; the first that fits decides. All of it by default, after
	// redaction.
	Levels []AuditLevel `json:"levels"`
	// Redact are values that must not be in the log, beside those that the runtime knows to be secret.
	Redact []session.Secret `json:"redact"`
	// SegmentSize and SegmentAge end a file of the log; 64MiB and 24h by default.
	SegmentSize process.Bytes `json:"segment_size"`
	SegmentAge  time.Duration `json:"segment_age"`
	// KeepSize and KeepAge let the oldest files go when all together are bigger, or their records older. 0, the default:
	// all are kept.
	KeepSize process.Bytes `json:"keep_size"`
	KeepAge  time.Duration `json:"keep_age"`
	// CheckpointRecords and CheckpointEvery say when a checkpoint is signed: after 1000 records, and 1s, by default.
	CheckpointRecords int           `json:"checkpoint_records"`
	CheckpointEvery   time.Duration `json:"checkpoint_every"`
	// KeyFile is the private key that checkpoints are signed with. By default it is made, and kept in Dir.
	KeyFile string `json:"key_file"`
	// Anchors get the checkpoints, Sinks the records.
	Anchors []AuditAnchor `json:"anchors"`
	Sinks   []AuditSink   `json:"sinks"`
	// Witness compares the log with what the CLI itself reports of its tools.
	Witness bool `json:"witness"`
}

// AuditLevel is one rule of Audit.Levels: see audit.LevelRule.
type AuditLevel struct {
	// Tool is a pattern for the tool's name, Path one for the file that the input names; empty means any.
	Tool string `json:"tool"`
	Path string `json:"path"`
	// Input and Output are none, metadata, digest, redacted (the default) or full.
	Input  string `json:"input"`
	Output string `json:"output"`
}

// Rule is the rule for the audit log.
func (l AuditLevel) Rule() audit.LevelRule {
	return audit.LevelRule{Tool: l.Tool, Path: l.Path, Input: audit.Level(l.Input), Output: audit.Level(l.Output)}
}

// AuditAnchor is a place for checkpoints: one of a file, an URL, and syslog.
type AuditAnchor struct {
	File   string `json:"file"`
	URL    string `json:"url"`
	Syslog string `json:"syslog"` // local, udp://HOST:514, tcp://HOST:601 or unix:///PATH
	// Token goes with URL, as Authorization: Bearer.
	Token session.Secret `json:"token"`
}

// AuditSink is a place for records: one of an URL, and the daemon's own log.
type AuditSink struct {
	// Name tells sinks apart, also after a restart.
	Name string `json:"name"`
	// URL gets batches of Batch records, 256 by default, by POST, in the Format jsonl, the default, cloudevents, ocsf or otlp.
	URL    string `json:"url"`
	Format string `json:"format"`
	Batch  int    `json:"batch"`
	// Token goes with URL, as Authorization: Bearer.
	Token session.Secret `json:"token"`
	// Log writes a line for each record to the daemon's log, without what tools were given and said.
	Log bool `json:"log"`
}

var (
	auditLevels  = []string{"none", "metadata", "digest", "redacted", "full"}
	auditFormats = []string{"jsonl", "cloudevents", "ocsf", "otlp"}
	sinkName     = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	syslogTarget = regexp.MustCompile(`^(local|(udp|tcp)://[^/]+:[0-9]+|unix:///.+)$`)
)

func (d *decoder) checkAudit(path, key string, n *node, a *Audit) bool {
	switch key {
	case "dir":
		return d.own(path, n, &a.Dir)
	case "mode":
		return d.word(path, n, a.Mode, auditModes)
	case "key_file":
		return d.regularFile(path, n, &a.KeyFile)
	case "segment_size":
		return d.atLeast(path, n, a.SegmentSize == 0 || a.SegmentSize >= 64<<10, "64KiB or more, or 0 for the default")
	case "segment_age", "keep_age", "checkpoint_every":
		value := map[string]time.Duration{"segment_age": a.SegmentAge, "keep_age": a.KeepAge, "checkpoint_every": a.CheckpointEvery}[key]
		return d.atLeast(path, n, value >= 0, "0s (for the default) or more")
	case "checkpoint_records":
		return d.atLeast(path, n, a.CheckpointRecords >= 0, "0 (for the default) or more")
	case "sinks":
		var names []string
		for _, sink := range a.Sinks {
			switch {
			case sink.Name == "":
				return d.problem(path, n, "each sink needs a name", "such as {name: siem, url: https://siem.example/ingest}")
			case slices.Contains(names, sink.Name):
				return d.problem(path, n, "two sinks are called "+sink.Name, "a sink's name says how far it got, also after a restart")
			case (sink.URL == "") == !sink.Log:
				return d.problem(path, n, "the sink "+sink.Name+" needs one of url and log", "such as {name: siem, url: https://siem.example/ingest}")
			}
			names = append(names, sink.Name)
		}
	case "anchors":
		for _, anchor := range a.Anchors {
			given := 0
			for _, place := range []string{anchor.File, anchor.URL, anchor.Syslog} {
				if place != "" {
					given++
				}
			}
			if given != 1 {
				return d.problem(path, n, "each anchor needs one of file, url and syslog", "such as {file: /mnt/other/checkpoints}")
			}
		}
	}
	return true
}

func (d *decoder) checkAuditLevel(where, key string, n *node, l *AuditLevel) bool {
	switch key {
	case "input":
		return d.word(where, n, l.Input, auditLevels)
	case "output":
		return d.word(where, n, l.Output, auditLevels)
	default:
		_, err := path.Match(map[string]string{"tool": l.Tool, "path": l.Path}[key], "")
		return d.atLeast(where, n, err == nil, "a pattern such as mcp__github__* or /srv/**")
	}
}

func (d *decoder) checkAuditSink(path, key string, n *node, s *AuditSink) bool {
	switch key {
	case "name":
		return d.atLeast(path, n, sinkName.MatchString(s.Name), "up to 64 letters, digits, - and _")
	case "url":
		return d.webAddress(path, n, s.URL)
	case "format":
		return d.word(path, n, s.Format, auditFormats)
	case "batch":
		return d.atLeast(path, n, s.Batch >= 0 && s.Batch <= 10000, "0 (for the default) to 10000")
	}
	return true
}

func (d *decoder) checkAuditAnchor(path, key string, n *node, a *AuditAnchor) bool {
	switch key {
	case "file":
		out, ok := d.resolve(path, n, a.File)
		if ok {
			a.File = out
		}
		return ok
	case "url":
		return d.webAddress(path, n, a.URL)
	case "syslog":
		return d.atLeast(path, n, syslogTarget.MatchString(a.Syslog), "local, udp://HOST:514, tcp://HOST:601 or unix:///PATH")
	}
	return true
}

func (d *decoder) webAddress(path string, n *node, text string) bool {
	u, err := url.Parse(text)
	ok := err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
	if ok && u.User != nil {
		return d.problem(path, n, "expected no user and password in the address", "write a token, as token: ${env:NAME}")
	}
	return d.atLeast(path, n, ok, "an address such as https://siem.example/ingest")
}
