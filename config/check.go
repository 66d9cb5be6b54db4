package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/supervisor"
)

// The words of the enumerations that are the file's own.
const (
	// AuditRequired denies a tool whose record cannot be written.
	AuditRequired = "required"
	// AuditBestEffort lets the tool run, and records the gap.
	AuditBestEffort = "best_effort"
)

var (
	auditModes     = []string{AuditRequired, AuditBestEffort}
	strategies     = []string{string(supervisor.OneForOne), string(supervisor.OneForAll), string(supervisor.RestForOne)}
	settingSources = []string{"user", "project", "local"}
	resumeFailures = []string{string(session.ResumePark), string(session.ResumeFresh)}
)

// check looks at a field that was filled: whether its value can be, and where its paths lead.
func (d *decoder) check(path, key string, n *node, owner, v reflect.Value) bool {
	switch owner := owner.Addr().Interface().(type) {
	case *session.Options:
		return d.checkOption(path, key, n, owner, v)
	case *Config:
		switch key {
		case "version":
			if owner.Version != Version {
				return d.problem(path, n, fmt.Sprintf("expected %d, the only version of the format so far", Version), "")
			}
		case "data_dir":
			return d.own(path, n, &owner.DataDir)
		case "ignore":
			return d.checkIgnores(path, n, owner.Ignore)
		case "drain_timeout":
			return d.atLeast(path, n, owner.DrainTimeout >= 0, "0s or more")
		}
	case *CLI:
		return d.checkCLI(path, n, owner)
	case *Supervisor:
		switch key {
		case "strategy":
			return d.checkStrategy(path, n, owner.Strategy)
		case "max_restarts":
			return d.atLeast(path, n, owner.MaxRestarts >= 0, "0 (no restart) or more")
		case "max_seconds":
			return d.atLeast(path, n, owner.MaxSeconds > 0 && owner.MaxSeconds <= maxSeconds, fmt.Sprintf("1 to %d seconds", maxSeconds))
		}
	case *Group:
		return d.check(path, key, n, reflect.ValueOf(&owner.Supervisor).Elem(), v)
	case *Budget:
		return d.checkBudgetKey(path, key, n, owner)
	case *Limits:
		return d.checkLimit(path, key, n, owner)
	case *Pool:
		return d.checkPool(path, key, n, owner)
	case *session.Plugin:
		if key == "path" {
			out, ok := d.resolve(path, n, owner.Path)
			if _, err := d.stat(out); ok && err != nil {
				return d.problem(path, n, "expected a directory or a .zip file: "+reason(err), d.where(n, owner.Path))
			}
			owner.Path = out
			return ok
		}
	case *supervisor.Backoff:
		return d.checkBackoff(path, key, n, owner)
	case *Audit:
		return d.checkAudit(path, key, n, owner)
	case *AuditLevel:
		return d.checkAuditLevel(path, key, n, owner)
	case *AuditSink:
		return d.checkAuditSink(path, key, n, owner)
	case *AuditAnchor:
		return d.checkAuditAnchor(path, key, n, owner)
	case *Debug:
		if key == "listen" {
			return d.checkListen(path, n, owner.Listen)
		}
		if key == "token_file" && owner.TokenFile != "" {
			name, ok := d.resolve(path, n, owner.TokenFile) // it may come to be there later
			owner.TokenFile = name
			return ok
		}
	}
	return true
}

const maxSeconds = 365 * 24 * 60 * 60

func (d *decoder) atLeast(path string, n *node, ok bool, expected string) bool {
	return ok || d.problem(path, n, "expected "+expected, "")
}

func (d *decoder) word(path string, n *node, got string, words []string) bool {
	return slices.Contains(words, got) || d.problem(path, n, "expected "+oneOf(words), suggest(n.text, words))
}

func (d *decoder) checkStrategy(path string, n *node, got supervisor.Strategy) bool {
	if got == "simple_one_for_one" { // OTP's fourth
		return d.problem(path, n, "expected "+oneOf(strategies), "sessions that are all alike are a pool, or spawned from a template")
	}
	return d.word(path, n, string(got), strategies)
}

func (d *decoder) checkCLI(path string, n *node, c *CLI) bool {
	switch {
	case c.Path == "":
		return d.problem(path, n, `expected a path, a name on PATH, or "simulated"`, "")
	case !strings.Contains(c.Path, "/"):
		return true
	}
	out, ok := d.resolve(path, n, c.Path)
	if ok {
		c.Path = out
	}
	return ok
}

func (d *decoder) checkBackoff(path, key string, n *node, b *supervisor.Backoff) bool {
	switch key {
	case "initial":
		return d.atLeast(path, n, b.Initial >= 0, "0s (no backoff) or more")
	case "max":
		return d.atLeast(path, n, b.Max >= 0, "0s (for the default) or more")
	case "factor":
		return d.atLeast(path, n, b.Factor == 0 || b.Factor >= 1, "1 or more")
	case "jitter":
		return d.atLeast(path, n, b.Jitter >= 0 && b.Jitter <= 1, "0 to 1")
	case "reset_after":
		return d.atLeast(path, n, b.ResetAfter >= 0, "0s (for the default) or more")
	}
	return true
}

func (d *decoder) checkListen(path string, n *node, listen string) bool {
	if listen == "" {
		return true
	}
	const expected = "expected an address and a port such as 127.0.0.1:7070"
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		hint := ""
		if _, err := strconv.ParseUint(n.text, 10, 16); err == nil {
			hint = fmt.Sprintf("did you mean 127.0.0.1:%s?", n.text)
		}
		return d.problem(path, n, expected, hint)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return d.problem(path, n, expected, "a port is a number up to 65535")
	}
	return true
}

// local reports whether an address can be reached from this machine only.
func local(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return true // reported elsewhere
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// checkOption looks at a session's option.
func (d *decoder) checkOption(path, key string, n *node, o *session.Options, v reflect.Value) bool {
	switch key {
	case "cwd":
		return o.CWD == "" || d.directory(path, n, &o.CWD)
	case "add_dir":
		return d.each(path, n, o.AddDir, func(path string, n *node, dir *string) bool {
			if *dir == "" {
				return d.problem(path, n, "expected a directory", "remove the entry")
			}
			return d.directory(path, n, dir)
		})
	case "allowed_tools", "disallowed_tools", "tools":
		return d.each(path, n, v.Interface().([]string), d.rule)
	case "roots":
		return d.each(path, n, o.Roots, func(path string, n *node, dir *string) bool {
			return d.directory(path, n, dir)
		})
	case "project_config_root":
		return o.ProjectConfigRoot == "" || d.directory(path, n, &o.ProjectConfigRoot)
	case "mcp_config":
		return o.MCPConfig == "" || d.regularFile(path, n, &o.MCPConfig)
	case "debug_file":
		out, ok := d.resolve(path, n, o.DebugFile)
		o.DebugFile = out
		return ok
	case "setting_sources":
		return d.each(path, n, o.SettingSources, func(path string, n *node, source *string) bool {
			return d.word(path, n, *source, settingSources)
		})
	case "max_budget_usd":
		return d.checkBudget(path, n, o.MaxBudgetUSD)
	case "sandbox":
		return d.sandbox(path, n, o.Sandbox)
	case "api_proxy", "api_key_credential":
		return d.problemsOf(path, key, n, *o)
	case "api_key_file":
		if o.APIKeyFile == "" {
			return true
		}
		name, ok := d.resolve(path, n, o.APIKeyFile) // it may come to be there later
		o.APIKeyFile = name
		return ok
	case "claude_md":
		return d.each(path, n, o.ClaudeMD, func(path string, n *node, name *string) bool {
			return *name != "" || d.problem(path, n, "expected the path of a file", "remove the entry")
		})
	case "unset_env":
		return d.each(path, n, o.UnsetEnv, func(path string, n *node, name *string) bool {
			return variableName.MatchString(*name) || d.problem(path, n, "expected the name of a variable", "")
		})
	case "settings":
		if o.Settings.Path != "" {
			return d.regularFile(path, n, &o.Settings.Path)
		}
		if box, ok := o.Settings.Values["sandbox"]; ok {
			inner := n
			if e := n.entry("sandbox"); e != nil {
				inner = e.value
			}
			if _, isMapping := box.(map[string]any); !isMapping {
				return d.mismatch(join(path, "sandbox"), inner, "a mapping", "")
			}
			return d.sandboxSettings(join(path, "sandbox"), inner, box)
		}
		if p, ok := o.Settings.Values["permissions"]; ok {
			inner := n
			if e := n.entry("permissions"); e != nil {
				inner = e.value
			}
			if _, isMapping := p.(map[string]any); !isMapping {
				return d.mismatch(join(path, "permissions"), inner, "a mapping", "")
			}
		}
	case "max_thinking_tokens": // 0 has a meaning; the rest is Validate's
	case "env":
		return d.environment(path, n)
	case "inherit_env":
		return d.each(path, n, o.InheritEnv, func(path string, n *node, name *string) bool {
			switch {
			case !variableName.MatchString(strings.TrimSuffix(*name, "*")):
				return d.problem(path, n, "expected the name of a variable, or the beginning of one and *", "such as LANG or LC_*")
			case process.CheckInherit(*name) != nil:
				return d.problem(path, n, "what changes which code runs, or belongs to an outer session, is never inherited, and a prefix ends in _*",
					"set it in env if it is meant")
			}
			return true
		})
	case "on_resume_failure":
		return d.word(path, n, string(o.OnResumeFailure), resumeFailures)
	case "budgets":
		return d.each(path, n, o.Budgets, func(path string, n *node, name *string) bool {
			return *name != "" || d.problem(path, n, "expected the name of a budget", "remove the entry")
		})
	case "stall_timeout": // negative for none
	default:
		switch value := v.Interface().(type) {
		case time.Duration:
			return d.atLeast(path, n, value >= 0, "0s or more")
		case int:
			return d.atLeast(path, n, value >= 0, "0 or more")
		}
	}
	return true
}

func (d *decoder) checkBudget(path string, n *node, usd float64) bool {
	return usd > 0 || d.problem(path, n, "expected an amount above 0", "for no limit, remove the key; null takes back a limit of the defaults")
}

// each checks the entries of a list that was filled. They may be changed.
func (d *decoder) each(path string, n *node, values []string, check func(path string, n *node, value *string) bool) bool {
	ok := true
	for i := range values {
		at := n
		if i < len(n.items) {
			at = n.items[i]
		}
		if at.kind == brokenNode {
			continue
		}
		ok = check(fmt.Sprintf("%s[%d]", path, i), at, &values[i]) && ok
	}
	return ok
}

// rule checks a permission rule such as Bash(git:*).
func (d *decoder) rule(path string, n *node, rule *string) bool {
	_, err := session.ParseRule(*rule)
	if err == nil {
		return true
	}
	if n.text != *rule { // the error may hold what ${env:…} stands for
		return d.problem(path, n, "expected one tool or rule, such as Bash(git:*)", "")
	}
	return d.explained(path, n, err.Error())
}

// explained reports a message that says what to do behind a semicolon.
func (d *decoder) explained(path string, n *node, message string) bool {
	message, hint, _ := strings.Cut(message, "; ")
	return d.problem(path, n, message, hint)
}

// sandbox checks the values of the CLI's sandbox. For one that it does not know the CLI would drop all of its settings.
func (d *decoder) sandbox(path string, n *node, box session.Sandbox) bool {
	ok := true
	for _, p := range box.Problems() {
		if at := n.at(p.Path); at != n || !slices.Contains(d.defaults.Sandbox.Problems(), p) { // those of the defaults were reported there
			ok = d.explained(path+"."+p.Path, at, p.Message) && ok
		}
	}
	return ok
}

// sandboxSettings checks the sandbox among the CLI's settings, which are otherwise taken as they are: a key that is not known
// would be ignored, and what it forbids allowed.
func (d *decoder) sandboxSettings(path string, n *node, box any) bool {
	var typed session.Sandbox
	if n.kind == mappingNode {
		return d.decode(path, n, reflect.ValueOf(&typed).Elem()) && d.sandbox(path, n, typed)
	}
	data, err := json.Marshal(box)
	if err == nil {
		strict := json.NewDecoder(bytes.NewReader(data))
		strict.DisallowUnknownFields()
		err = strict.Decode(&typed)
	}
	if err != nil {
		hint := ""
		if n.kind == scalarNode && !strings.Contains(n.text, "${") { // the error holds parts of the value
			hint = strings.TrimPrefix(err.Error(), "json: ")
			if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
				hint = fmt.Sprintf("%s is a %s where a %v is expected", wrong.Field, wrong.Value, wrong.Type)
			}
		}
		return d.problem(path, n, "expected the keys and types of the CLI's sandbox", hint)
	}
	return d.sandbox(path, n, typed)
}

// environment checks the names of variables.
func (d *decoder) environment(path string, n *node) bool {
	ok := true
	for _, e := range n.entries {
		if e.key == "" || strings.ContainsAny(e.key, "=\x00 \t\n$") {
			d.add(e.line, e.col, Diagnostic{
				Path: path, Value: shown(e.key, false), Message: "expected the name of an environment variable",
				Hint: "a name holds no =, $ or space; ${env:…} is for values only",
			})
			ok = false
		}
	}
	return ok
}

// combination looks at options that exclude each other. Each trouble is reported where the second of them is
// set: in a session, only if the session sets one of them.
func (d *decoder) combination(path string, n *node, o session.Options) bool {
	allowed, disallowed := n.entry("allowed_tools"), n.entry("disallowed_tools")
	ok := d.problems(path, n, o)
	if allowed == nil && disallowed == nil {
		return ok
	}
	for i, rule := range o.DisallowedTools {
		j := slices.Index(o.AllowedTools, rule)
		if j < 0 || rule == "" {
			continue
		}
		key, index, at := "disallowed_tools", i, disallowed
		if at == nil {
			key, index, at = "allowed_tools", j, allowed
		}
		place := at.value
		if index < len(place.items) {
			place = place.items[index]
		}
		ok = d.problem(fmt.Sprintf("%s[%d]", join(path, key), index), place, "this tool is both allowed and disallowed", "remove it from one of allowed_tools and disallowed_tools")
	}
	return ok
}

// problemsOf reports what is wrong with one option by itself.
func (d *decoder) problemsOf(path, key string, n *node, o session.Options) bool {
	ok := true
	for _, p := range o.Problems() {
		below, found := strings.CutPrefix(p.Path, key)
		if !found || p.Combination || below != "" && below[0] != '.' && below[0] != '[' {
			continue
		}
		ok = d.explained(path+below, n.at(below), p.Message) && ok
	}
	return ok
}

// problems reports what the options themselves find wrong. What defaults lack may come from the session, and what a pair of the
// command line lacks from the next. What is wrong by itself is reported where it is written.
func (d *decoder) problems(path string, n *node, o session.Options) bool {
	if path == "" {
		return true
	}
	ok := true
	for _, p := range o.Problems() {
		at := n.at(p.Path)
		switch {
		case at.kind == brokenNode, p.Combination && path == "defaults", !p.Combination && (at == n || d.reported(join(path, p.Path))):
		default:
			ok = d.explained(join(path, p.Path), at, p.Message)
		}
	}
	return ok
}

// reported says whether something about that place was reported already.
func (d *decoder) reported(path string) bool {
	return slices.ContainsFunc(d.list, func(other Diagnostic) bool {
		return other.Path == path || strings.HasPrefix(other.Path, path+".") || strings.HasPrefix(other.Path, path+"[")
	})
}

// reason is an error of the operating system without the path, which may hold what ${env:…} stands for.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}
