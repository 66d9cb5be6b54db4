package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor"
)

// Version is the version of the format that this package reads.
const Version = 1

// Config is a configuration file, with every default filled in and every path absolute. The zero value is none;
// Load and Parse make one.
type Config struct {
	// Version is 1.
	Version int `json:"version"`
	// DataDir is where state, audit log and socket are. ./data by default; it need not exist.
	DataDir string `json:"data_dir"`
	// CLI is the program that is run.
	CLI CLI `json:"cli"`
	// Supervisor is how the sessions are supervised.
	Supervisor Supervisor `json:"supervisor"`
	// Defaults are what every session starts from.
	Defaults session.Options `json:"defaults"`
	// Sessions are in the order of the file. In the file they are a mapping of names to options.
	Sessions []Session `json:"sessions"`
	// Audit is where tool uses are recorded.
	Audit Audit `json:"audit"`
	// Debug is the debug endpoint.
	Debug Debug `json:"debug"`

	// Path is the absolute path of the file.
	Path string `json:"-"`

	around surroundings
}

// CLI says which program is the Claude Code CLI.
type CLI struct {
	// Path is a path, a name on PATH, or "simulated". "claude" by default.
	Path string `json:"path"`
}

// Supervisor says how the sessions are supervised.
type Supervisor struct {
	// Strategy is one_for_one, the default and the only one so far.
	Strategy supervisor.Strategy `json:"strategy"`
	// MaxRestarts restarts are tolerated within MaxSeconds seconds. 3 in 5 by default.
	MaxRestarts int `json:"max_restarts"`
	MaxSeconds  int `json:"max_seconds"`
	// Backoff delays restarts. None by default.
	Backoff supervisor.Backoff `json:"backoff"`
}

// Intensity is MaxRestarts within MaxSeconds.
func (s Supervisor) Intensity() supervisor.Intensity {
	return supervisor.Intensity{MaxRestarts: s.MaxRestarts, Within: time.Duration(s.MaxSeconds) * time.Second}
}

// Audit says where tool uses are recorded.
type Audit struct {
	// Dir is the log's directory. DATA_DIR/audit by default; it need not exist.
	Dir string `json:"dir"`
	// Mode is AuditRequired, the default, or AuditBestEffort.
	Mode string `json:"mode"`
}

// Debug says where the debug endpoint listens.
type Debug struct {
	// Listen is an address and a port. Empty, the default: no listener but the socket.
	Listen string `json:"listen"`
	// Token is what a client must know to do more than look, and to look from another machine.
	Token session.Secret `json:"token"`
}

// Session is a session of the file.
type Session struct {
	Name string
	// Options are the defaults with the session's own laid over them. No two sessions share memory.
	Options session.Options
}

// Session returns the options of a session of the file.
func (c *Config) Session(name string) (session.Options, bool) {
	for _, s := range c.Sessions {
		if s.Name == name {
			return s.Options, true
		}
	}
	return session.Options{}, false
}

// Load reads a configuration file. ${env:NAME} is looked up with lookup, for a program os.LookupEnv; with nil no
// variable is set. The error is of type Diagnostics and holds everything that is wrong.
func Load(path string, lookup func(string) (string, bool)) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err, "give the file with -f FILE")
	}
	defer f.Close()
	// One byte more than is accepted tells a file that is too large.
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, unreadable(path, err, "")
	}
	return Parse(path, data, lookup)
}

// Parse is Load for a text that was read already. Name is the file's path: it is part of diagnostics, and
// relative paths in the file start from its directory.
func Parse(name string, data []byte, lookup func(string) (string, bool)) (*Config, error) {
	return parseFile(name, data, surroundings{lookup: lookup, stat: os.Stat})
}

func parseFile(name string, data []byte, around surroundings) (*Config, error) {
	if around.lookup == nil {
		around.lookup = func(string) (string, bool) { return "", false }
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, unreadable(name, err, "give an absolute path")
	}
	around.dir = filepath.Dir(path)

	r := &report{file: name}
	text, ok := clean(data, r)
	if !ok {
		return nil, r.err()
	}
	r.source = newSource(text)
	b := &budget{left: maxValues}
	if !checkText(text, r) {
		return nil, r.err()
	}
	root := parseText(text, r, b)
	switch {
	case root == nil && len(r.list) > 0 || root != nil && root.kind == brokenNode:
		return nil, r.err()
	case root == nil || root.kind == nullNode:
		r.add(1, 1, Diagnostic{Message: "the file is empty", Hint: fmt.Sprintf("begin with: version: %d", Version)})
		return nil, r.err()
	}

	c := &Config{
		Version:    Version,
		DataDir:    filepath.Join(around.dir, "data"),
		CLI:        CLI{Path: "claude"},
		Supervisor: Supervisor{Strategy: supervisor.OneForOne, MaxRestarts: supervisor.DefaultIntensity.MaxRestarts, MaxSeconds: int(supervisor.DefaultIntensity.Within / time.Second)},
		Audit:      Audit{Mode: AuditRequired},
		Path:       path,
		around:     around,
	}
	d := &decoder{report: r, surroundings: around, budget: b}
	d.structure("", root, reflect.ValueOf(c).Elem())
	c.Sessions = d.sessionsOver(c.Defaults)
	if c.Audit.Dir == "" {
		c.Audit.Dir = filepath.Join(c.DataDir, "audit")
	}
	d.checkDebug(root, c.Debug)
	if err := r.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// clean turns a file's bytes into text with \n line ends, or reports why that cannot be done.
func clean(data []byte, r *report) (string, bool) {
	if len(data) > maxBytes {
		r.add(0, 0, Diagnostic{Message: "larger than 1 MiB", Hint: "is this the right file?"})
		return "", false
	}
	text := string(data)
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		r.add(1, 1, Diagnostic{Message: "not UTF-8: this looks like UTF-16", Hint: "save the file as UTF-8"})
		return "", false
	}
	text = strings.TrimPrefix(text, "\ufeff") // the byte order mark that some editors write
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), true
}

// sessionsOver fills the sessions that were put aside.
func (d *decoder) sessionsOver(defaults session.Options) []Session {
	const path = "sessions"
	n := d.sessions
	if n == nil || n.kind == nullNode || n.kind == brokenNode {
		return nil
	}
	if n.kind != mappingNode {
		d.mismatch(path, n, "a mapping of names to options", "write one key a session: reviewer: {model: sonnet}")
		return nil
	}
	out := make([]Session, 0, len(n.entries))
	for _, e := range n.entries {
		p := join(path, e.key)
		if !session.ValidName(e.key) {
			d.add(e.line, e.col, Diagnostic{Path: path, Value: shown(e.key, false), Message: badName, Hint: goodName})
		}
		s := Session{Name: e.key, Options: d.clone(reflect.ValueOf(defaults), e.value).Interface().(session.Options)}
		if d.budget.left < 0 {
			return nil
		}
		switch e.value.kind {
		case brokenNode:
		case mappingNode, nullNode:
			d.options(p, e.value, &s.Options)
		default:
			d.mismatch(p, e.value, "a mapping with the options of the session", "for a session with the defaults alone, write nothing after the colon")
		}
		out = append(out, s)
	}
	return out
}

const (
	badName  = "invalid name of a session"
	goodName = "up to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit"
)

// checkDebug looks at what the endpoint's options are together: off this machine nobody may look without a token.
func (d *decoder) checkDebug(root *node, debug Debug) {
	section := root.entry("debug")
	if section == nil || debug.Token != "" || local(debug.Listen) || debug.Listen == "" {
		return
	}
	if e := section.value.entry("token"); e != nil && e.value.kind == scalarNode && e.value.text != "" {
		if _, _, problems := expand(e.value.text, d.lookup); len(problems) > 0 {
			return // there is one, and it was reported
		}
	}
	if e := section.value.entry("listen"); e != nil {
		d.problem("debug.listen", e.value, "an address that other machines can reach needs debug.token", "set debug.token, or listen on 127.0.0.1")
	}
}
