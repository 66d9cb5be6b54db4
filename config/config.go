package config

import (
	"crypto/sha256"
	"encoding/hex"
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
	// Supervisor is how what is in no group is supervised: sessions, pools, and the groups themselves.
	Supervisor Supervisor `json:"supervisor"`
	// Defaults are what every session starts from.
	Defaults session.Options `json:"defaults"`
	// Sessions are in the order of the file. In the file they are a mapping of names to options.
	Sessions []Session `json:"sessions"`
	// Supervisors are groups of sessions, in the order of the file. They are started after Sessions.
	Supervisors []Group `json:"supervisors"`
	// Templates are options under a name, for pools and for what is spawned later.
	Templates []Template `json:"templates"`
	// Pools are started last.
	Pools []Pool `json:"pools"`
	// Budgets are amounts that sessions share. In the file they are a mapping of names.
	Budgets []Budget `json:"budgets"`
	// Limits bound what all sessions do together.
	Limits Limits `json:"limits"`
	// DrainTimeout is how long turns that run may go on when the daemon is to end. 30s by default; 0s ends them at once.
	DrainTimeout time.Duration `json:"drain_timeout"`
	// Audit is where tool uses are recorded.
	Audit Audit `json:"audit"`
	// Debug is the debug endpoint.
	Debug Debug `json:"debug"`
	// Ignore are findings of the checklist (`understudy check --profile production`) that are accepted.
	Ignore []Ignore `json:"ignore"`

	// Path is the absolute path of the file, SHA256 the digest of its bytes in hexadecimal.
	Path   string `json:"-"`
	SHA256 string `json:"-"`

	around surroundings
	root   *node
}

// DefaultDrainTimeout is how long turns may go on when the daemon is to end, if the file does not say it.
const DefaultDrainTimeout = 30 * time.Second

// CLI says which program is the Claude Code CLI.
type CLI struct {
	// Path is a path, a name on PATH, or "simulated". "claude" by default.
	Path string `json:"path"`
}

// Supervisor says how sessions are supervised.
type Supervisor struct {
	// Strategy is one_for_one, the default, one_for_all or rest_for_one.
	Strategy supervisor.Strategy `json:"strategy"`
	// MaxRestarts restarts are tolerated within MaxSeconds seconds. 3 in 5 by default. Outside of groups each
	// session has a count of its own; the sessions of a group share one.
	MaxRestarts int `json:"max_restarts"`
	MaxSeconds  int `json:"max_seconds"`
	// Backoff delays restarts. By default it is that of the runtime: 200 ms, doubled up to 30 s, with 20 %
	// jitter. What is given of it replaces that part alone; an Initial of 0 turns it off.
	Backoff supervisor.Backoff `json:"backoff"`
}

// defaultSupervisor is one of which the file says nothing.
func defaultSupervisor() Supervisor {
	return Supervisor{
		Strategy:    supervisor.OneForOne,
		MaxRestarts: supervisor.DefaultIntensity.MaxRestarts,
		MaxSeconds:  int(supervisor.DefaultIntensity.Within / time.Second),
		Backoff:     supervisor.Backoff{Initial: 200 * time.Millisecond, Jitter: 0.2}, // understudy.DefaultBackoff
	}
}

// Intensity is MaxRestarts within MaxSeconds.
func (s Supervisor) Intensity() supervisor.Intensity {
	return supervisor.Intensity{MaxRestarts: s.MaxRestarts, Within: time.Duration(s.MaxSeconds) * time.Second}
}

// Debug says where the debug endpoint listens.
type Debug struct {
	// Listen is an address and a port. Empty, the default: no listener but the socket.
	Listen string `json:"listen"`
	// Token is what a client must know. Without one the daemon makes one when it starts, in DATA_DIR/debug.token, which only
	// this user can read.
	Token session.Secret `json:"token"`
	// TokenFile is a file that holds the token, which others must not be able to read. It is read when the daemon starts.
	TokenFile string `json:"token_file"`
	// OpenReads lets every program of this machine look without the token, the tools of an agent included.
	OpenReads bool `json:"open_reads"`
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
		Supervisor: defaultSupervisor(),
		Audit:      Audit{Mode: AuditRequired},

		DrainTimeout: DefaultDrainTimeout,
		Path:         path,
		SHA256:       digest(data),
		around:       around,
		root:         root,
	}
	d := &decoder{report: r, surroundings: around, budget: b}
	later := d.outline("", root, reflect.ValueOf(c).Elem())
	d.defaults = c.Defaults
	c.Budgets = d.sharedBudgets(later[budgetsType])
	d.budgetNames = c.budgetNames()
	if e := root.entry("defaults"); e != nil && e.value.kind == mappingNode {
		d.checkBudgetNames("defaults", e.value, c.Defaults)
	}
	c.Sessions = d.sessions("", later[sessionsType])
	c.Supervisors = d.groups("", later[groupsType], 1)
	c.Templates = d.templates(later[templatesType])
	c.Pools = d.pools(later[poolsType], c)
	d.distinct(c.poolNames())
	d.separate()
	d.apart()
	if c.Audit.Dir == "" {
		c.Audit.Dir = filepath.Join(c.DataDir, "audit")
	}
	d.checkDebug(root, c.Debug)
	if err := r.err(); err != nil {
		return nil, err
	}
	return c, nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
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

// checkDebug looks at what the endpoint's options are together: off this machine nobody may look without a token.
func (d *decoder) checkDebug(root *node, debug Debug) {
	section := root.entry("debug")
	if section != nil && debug.Token != "" && debug.TokenFile != "" {
		if e := section.value.entry("token_file"); e != nil {
			d.problem("debug.token_file", e.value, "token is set as well", "remove one of them")
		}
		return
	}
	if section == nil || debug.Token != "" || debug.TokenFile != "" || local(debug.Listen) || debug.Listen == "" {
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
