package config

import (
	"slices"
	"strings"

	"github.com/understudy-run/understudy/session"
)

// Ignore is a finding of the checklist that somebody has looked at and accepts.
type Ignore struct {
	// Rule is the rule's id, such as S07.
	Rule string `json:"rule"`
	// Session is whose finding it is; empty: everybody's.
	Session string `json:"session"`
	// Reason says why it is accepted. There must be one.
	Reason string `json:"reason"`
}

// Place is where something is written in the file, from 1.
type Place struct {
	Line, Col int
	// Exact says that it is the value itself, and not what is around the place where it could be.
	Exact bool
}

// Place finds a value by its keys, such as "sessions", "reviewer", "max_turns". What is not written in the file has the place of
// the innermost section that is.
func (c *Config) Place(keys ...string) Place {
	n := c.root
	if n == nil {
		return Place{}
	}
	p := Place{n.line, n.col, len(keys) == 0}
	for i, key := range keys {
		e := n.entry(key)
		if e == nil {
			return p
		}
		n = e.value
		p = Place{e.line, e.col, i == len(keys)-1}
	}
	return p
}

// Written is a single value as it stands in the file, before ${env:…} is replaced.
func (c *Config) Written(keys ...string) (text string, ok bool) {
	n := c.root
	for _, key := range keys {
		if n == nil {
			return "", false
		}
		e := n.entry(key)
		if e == nil {
			return "", false
		}
		n = e.value
	}
	if n == nil || n.kind != scalarNode {
		return "", false
	}
	return n.text, true
}

// Keys are the keys of a mapping of the file, in their order.
func (c *Config) Keys(keys ...string) []string {
	n := c.root
	for _, key := range keys {
		if n == nil {
			return nil
		}
		e := n.entry(key)
		if e == nil {
			return nil
		}
		n = e.value
	}
	if n == nil {
		return nil
	}
	var out []string
	for _, e := range n.entries {
		out = append(out, e.key)
	}
	return out
}

// FromEnvironment reports whether a value as it is written takes what it is from the environment alone.
func FromEnvironment(written string) bool { return reference.MatchString(strings.TrimSpace(written)) }

// checkIgnores looks at accepted findings.
func (d *decoder) checkIgnores(path string, n *node, all []Ignore) bool {
	ok := true
	for i, ignore := range all {
		at := n
		if i < len(n.items) {
			at = n.items[i]
		}
		switch {
		case ignore.Rule == "":
			ok = d.problem(path, at, "expected the id of a rule, such as {rule: S07, reason: …}", "")
		case strings.TrimSpace(ignore.Reason) == "":
			ok = d.problem(path, at, "a finding is accepted for a reason", "add reason: …, for whoever reads this next")
		}
	}
	return ok
}

// Owners are the members of the file that have options, each with its keys and its options: sessions, templates and pools.
func (c *Config) Owners() []Owner {
	var out []Owner
	for _, s := range c.Sessions {
		out = append(out, Owner{"session", s.Name, []string{"sessions", s.Name}, s.Options})
	}
	var groups func(prefix []string, all []Group)
	groups = func(prefix []string, all []Group) {
		for _, g := range all {
			here := append(slices.Clone(prefix), "supervisors", g.Name)
			for _, s := range g.Sessions {
				out = append(out, Owner{"session", s.Name, append(slices.Clone(here), "sessions", s.Name), s.Options})
			}
			groups(here, g.Supervisors)
		}
	}
	groups(nil, c.Supervisors)
	for _, t := range c.Templates {
		out = append(out, Owner{"template", t.Name, []string{"templates", t.Name}, t.Options})
	}
	for _, p := range c.Pools {
		keys := []string{"pools", p.Name, "options"}
		if p.Template != "" {
			keys = []string{"templates", p.Template}
		}
		out = append(out, Owner{"pool", p.Name, keys, p.Options})
	}
	return out
}

// Owner is a member of the file that has options.
type Owner struct {
	Kind    string // session, template or pool
	Name    string
	Keys    []string // where its options are
	Options session.Options
}
