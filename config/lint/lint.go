package lint

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/config"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
)

// Severity is how bad a finding is.
type Severity string

// The severities. An Error keeps `understudy up --profile production` from starting.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// Rule is an entry of the checklist.
type Rule struct {
	ID       string
	Name     string
	Severity Severity // unless a finding is milder
	Why      string
	Fix      string
	check    func(*look)
	global   bool // about the file, and not about each of its sessions
}

// Finding is a place where a rule is not kept.
type Finding struct {
	Rule     string   `json:"rule"`
	Name     string   `json:"name"`
	Severity Severity `json:"severity"`
	File     string   `json:"file"`
	Line     int      `json:"line,omitzero"`
	Col      int      `json:"col,omitzero"`
	Path     string   `json:"path,omitzero"`    // the key it is about
	Session  string   `json:"session,omitzero"` // or template, or pool
	Message  string   `json:"message"`
	Why      string   `json:"why"`
	Fix      string   `json:"fix"`
	// Ignored is the reason for which the file accepts the finding.
	Ignored string `json:"ignored,omitzero"`
}

// Host is what rules ask about the machine. Nil functions know nothing.
type Host struct {
	UID       int
	Container bool // this program runs in one
	Home      string
	// Environ is the environment that sessions would inherit from.
	Environ []string
	// Layers are what can hold together what a session starts.
	Layers func() []process.LayerStatus
	// Program reports whether a program is there, by its path or on PATH.
	Program func(name string) bool
	// Mode gives permissions and owner of a path.
	Mode func(path string) (perm os.FileMode, uid int, ok bool)
	// Resolve follows links, ReadFile reads what a repository has.
	Resolve  func(path string) (string, error)
	ReadFile func(path string) ([]byte, error)
}

// Rules is the checklist, in the order of its ids.
func Rules() []Rule { return slices.Clone(rules) }

// look is one rule looking at the file, or at one session of it.
type look struct {
	rule  *Rule
	cfg   *config.Config
	host  Host
	owner config.Owner
	o     session.Options // effective
	all   []config.Owner
	found *[]Finding
}

// settings are the session's settings for the CLI, read from their file if need be.
func (l *look) settings() map[string]any {
	path := l.o.Settings.Path
	if path == "" || l.host.ReadFile == nil {
		return l.o.Settings.Values
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(l.o.CWD, path)
	}
	var values map[string]any
	if data, err := l.host.ReadFile(path); err != nil || json.Unmarshal(data, &values) != nil {
		return nil // the start of the session says so
	}
	return values
}

// env is what is set in the CLI's environment, by env or by the settings, with the key that says so.
func (l *look) env() map[string]setting {
	out := map[string]setting{}
	if env, ok := l.settings()["env"].(map[string]any); ok {
		for name, value := range env {
			out[name] = setting{"settings", fmt.Sprint(value)}
		}
	}
	for name, value := range l.o.Env {
		if _, twice := out[name]; !twice { // the CLI's own settings win
			out[name] = setting{"env." + name, value}
		}
	}
	return out
}

type setting struct{ key, value string }

// at reports a finding about a key of the session.
func (l *look) at(key, format string, args ...any) {
	l.report(l.rule.Severity, key, fmt.Sprintf(format, args...), "")
}

// milder is at with less weight.
func (l *look) milder(s Severity, key, format string, args ...any) {
	l.report(s, key, fmt.Sprintf(format, args...), "")
}

func (l *look) report(severity Severity, key, message, fix string) {
	keys := l.owner.Keys
	head, _, _ := strings.Cut(key, "[")
	parts := strings.Split(head, ".")
	if key == "" {
		parts = nil
	}
	place := l.cfg.Place(append(slices.Clone(keys), parts...)...)
	path := strings.Join(append(slices.Clone(keys), key), ".")
	if !place.Exact && !l.rule.global && len(parts) > 0 { // it may come from the defaults
		if d := l.cfg.Place(append([]string{"defaults"}, parts...)...); d.Exact {
			place, path = d, "defaults."+key
		}
	}
	*l.found = append(*l.found, Finding{
		Rule: l.rule.ID, Name: l.rule.Name, Severity: severity, File: l.cfg.Path, Line: place.Line, Col: place.Col, Path: strings.Trim(path, "."),
		Session: l.owner.Name, Message: message, Why: l.rule.Why, Fix: cmp.Or(fix, l.rule.Fix),
	})
}

// elsewhere reports a finding about another file.
func (l *look) elsewhere(file, message string) {
	l.report(l.rule.Severity, "", message, "")
	f := &(*l.found)[len(*l.found)-1]
	f.File, f.Line, f.Col, f.Path = file, 1, 1, ""
}

// Check goes through the checklist. The findings are in the order of the file.
func Check(cfg *config.Config, host Host) []Finding {
	var found []Finding
	owners := cfg.Owners()
	for i := range rules {
		l := &look{rule: &rules[i], cfg: cfg, host: host, all: owners, found: &found}
		if l.rule.global {
			l.rule.check(l)
			continue
		}
		for _, owner := range owners {
			l.owner, l.o = owner, owner.Options.Effective()
			l.rule.check(l)
		}
	}
	found = accept(cfg, distinct(found))
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), a.Line-b.Line, a.Col-b.Col, cmp.Compare(a.Rule, b.Rule))
	})
	return found
}

// distinct keeps one of the findings that defaults cause in many sessions.
func distinct(all []Finding) []Finding {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(f Finding) bool {
		id := fmt.Sprint(f.Rule, f.File, f.Line, f.Col, f.Path, f.Message)
		if !strings.HasPrefix(f.Path, "defaults.") && f.Line > 1 {
			id += f.Session
		}
		twice := seen[id]
		seen[id] = true
		return twice
	})
}

// unused is the rule about the file's own exceptions.
var unused = Rule{ID: "L00", Name: "ignore-unused", Severity: Warning, global: true,
	Why: "it says that something is accepted which is not there, and would hide it if it came", Fix: "remove the entry"}

// accept marks what the file accepts.
func accept(cfg *config.Config, found []Finding) []Finding {
	for i, ignore := range cfg.Ignore {
		used := false
		for j := range found {
			f := &found[j]
			if f.Rule == ignore.Rule && (ignore.Session == "" || ignore.Session == f.Session) {
				f.Ignored, used = ignore.Reason, true
			}
		}
		if !used {
			l := &look{rule: &unused, cfg: cfg, found: &found}
			l.report(Warning, fmt.Sprintf("ignore[%d]", i), fmt.Sprintf("%s is accepted, and there is no such finding", ignore.Rule), "")
		}
	}
	return found
}

// Failed reports whether there is an error that nobody accepts.
func Failed(all []Finding) bool {
	return slices.ContainsFunc(all, func(f Finding) bool { return f.Severity == Error && f.Ignored == "" })
}
