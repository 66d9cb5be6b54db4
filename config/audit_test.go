package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
)

// Every key of audit can be written, and arrives.
func TestEveryKeyOfAudit(t *testing.T) {
	rows := map[string]struct {
		yaml string
		want any
	}{
		"dir":  {"log", "/etc/log"},
		"mode": {"best_effort", "best_effort"},
		"levels": {"[{tool: 'mcp__*', path: /srv/**, input: none, output: digest}, {}]", []AuditLevel{
			{Tool: "mcp__*", Path: "/srv/**", Input: "none", Output: "digest"}, {},
		}},
		"redact":             {"['${env:SECRET}']", []session.Secret{"a secret value"}},
		"segment_size":       {"1.5MiB", process.Bytes(3 << 19)},
		"segment_age":        {"1h", time.Hour},
		"keep_size":          {"10GiB", process.Bytes(10 << 30)},
		"keep_age":           {"2160h", 90 * 24 * time.Hour},
		"checkpoint_records": {"100", 100},
		"checkpoint_every":   {"5s", 5 * time.Second},
		"key_file":           {"/etc/key", "/etc/key"},
		"anchors": {"[{file: anchored}, {url: https://w.example/c, token: t0k3n}, {syslog: local}]", []AuditAnchor{
			{File: "/etc/anchored"}, {URL: "https://w.example/c", Token: "t0k3n"}, {Syslog: "local"},
		}},
		"sinks": {"[{name: siem, url: https://s.example/in, format: ocsf, batch: 10, token: t0k3n}, {name: mine, log: true}]", []AuditSink{
			{Name: "siem", URL: "https://s.example/in", Format: "ocsf", Batch: 10, Token: "t0k3n"}, {Name: "mine", Log: true},
		}},
		"witness": {"true", true},
	}
	fields := reflect.TypeFor[Audit]()
	for i := range fields.NumField() {
		key := fields.Field(i).Tag.Get("json")
		row, ok := rows[key]
		require.True(t, ok, "no row for %s", key)
		around := machine("", "/etc/key")
		around.lookup = func(name string) (string, bool) { return "a secret value", name == "SECRET" }
		c, err := parseFile("/etc/understudy.yaml", fmt.Appendf(nil, "audit: {%s: %s}\n", key, row.yaml), around)
		require.NoError(t, err, key)
		assert.Equal(t, row.want, reflect.ValueOf(c.Audit).Field(i).Interface(), key)
	}
	assert.Len(t, rows, fields.NumField())
	assert.Equal(t, audit.LevelRule{Tool: "a", Path: "b", Input: "full", Output: "none"}, AuditLevel{"a", "b", "full", "none"}.Rule())
}

func TestAuditMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"mode: strict":                                         "audit.mode: expected required or best_effort",
		"levels: [{input: all}]":                               "audit.levels[0].input: expected none, metadata, digest, redacted or full",
		"levels: [{tool: '[a'}]":                               "audit.levels[0].tool: expected a pattern",
		"levels: [{tols: x}]":                                  "unknown key",
		"segment_size: 1KiB":                                   "audit.segment_size: expected 64KiB or more",
		"segment_size: lots":                                   "not an amount",
		"keep_age: -1s":                                        "audit.keep_age: expected 0s",
		"checkpoint_records: -1":                               "audit.checkpoint_records: expected 0",
		"key_file: /nowhere":                                   "audit.key_file: expected a file",
		"anchors: [{}]":                                        "each anchor needs one of file, url and syslog",
		"anchors: [{file: a, syslog: local}]":                  "each anchor needs one of file, url and syslog",
		"anchors: [{syslog: here}]":                            "audit.anchors[0].syslog: expected local, udp://HOST:514",
		"anchors: [{url: ftp://x}]":                            "audit.anchors[0].url: expected an address",
		"anchors: [{url: 'https://u:p@x/'}]":                   "expected no user and password",
		"sinks: [{url: https://x/}]":                           "each sink needs a name",
		"sinks: [{name: a}]":                                   "the sink a needs one of url and log",
		"sinks: [{name: a/b, log: true}]":                      "audit.sinks[0].name: expected up to 64",
		"sinks: [{name: a, log: true}, {name: a, log: true}]":  "two sinks are called a",
		"sinks: [{name: a, url: https://x/, format: csv}]":     "audit.sinks[0].format: expected jsonl",
		"sinks: [{name: a, url: https://x/, batch: 1000000}]":  "audit.sinks[0].batch: expected 0",
		"sinks: [{name: a, url: https://x/, token: [s3cr3t]}]": "audit.sinks[0].token",
	} {
		_, err := parseFile("/etc/understudy.yaml", []byte("audit:\n  "+text+"\n"), directories())
		require.Error(t, err, text)
		assert.Contains(t, err.Error(), want, text)
		assert.NotContains(t, strings.ReplaceAll(err.Error(), text, ""), "s3cr3t")
	}
}
