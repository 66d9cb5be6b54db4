package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"github.com/understudy-run/understudy/session"
)

// Session is a session of the file.
type Session struct {
	Name string
	// Options are the defaults with the session's own laid over them. No two sessions share memory.
	Options session.Options
}

// Session returns the options of a session of the file, in a group or not.
func (c *Config) Session(name string) (session.Options, bool) {
	for _, s := range c.AllSessions() {
		if s.Name == name {
			return s.Options, true
		}
	}
	return session.Options{}, false
}

// AllSessions returns the sessions of the file in the order in which they are started: those in no group, then
// those of each group, its own before those of the groups in it. The sessions of pools are not among them.
func (c *Config) AllSessions() []Session {
	all := append([]Session(nil), c.Sessions...)
	for _, g := range c.Supervisors {
		all = g.appendSessions(all)
	}
	return all
}

// sessions are those of one level: of the file, or of a group.
func (d *decoder) sessions(level string, n *node) []Session {
	var out []Session
	d.members(join(level, "sessions"), n, sessionMember, func(path string, e entry) {
		d.declare(sessionMember, level, path, e)
		o := d.optionsOver(path, e.value, sessionMember)
		out = append(out, Session{e.key, o})
		d.works(sessionMember, path, e.value, e, o)
		d.claim(sessionMember, path, e.value, e, o)
	})
	return out
}

// claim says that a session, or that of a pool, is on a conversation.
type claim struct {
	conversation, option string
	kind                 memberKind
	path                 string
	at                   *node // what its options are written in
	of                   entry
}

// claim notes on which conversation a session or a pool is, if the options say so.
func (d *decoder) claim(kind memberKind, path string, at *node, e entry, o session.Options) {
	if conversation, option := o.Claim(); conversation != "" {
		d.claims = append(d.claims, claim{conversation, option, kind, path, at, e})
	}
}

// separate reports sessions that would be on one conversation, at the later of them. Two processes on one would each write a
// history of its own into the same file.
func (d *decoder) separate() {
	slices.SortStableFunc(d.claims, func(a, b claim) int {
		return cmp.Or(a.of.line-b.of.line, a.of.col-b.of.col)
	})
	first := make(map[string]claim)
	for _, x := range d.claims {
		y, taken := first[x.conversation]
		if !taken {
			first[x.conversation] = x
			continue
		}
		hint := "add fork_session, which gives each a copy of it"
		if x.option == "session_id" {
			hint = "leave it out: every session gets an id of its own"
		}
		message := fmt.Sprintf("the %s %s at %d:%d is on this conversation already (%s)", y.kind, y.of.key, y.of.line, y.of.col, y.option)
		line, col, path := x.of.line, x.of.col, x.path // what the defaults say, it has from there
		if at := x.at.entry(x.option); at != nil {
			line, col, path = at.value.line, at.value.col, join(x.path, x.option)
		} else {
			message = x.option + ": " + message
		}
		d.add(line, col, Diagnostic{Path: path, Message: message, Hint: hint})
	}
}

// optionsOver are the defaults, and what is at n laid over them.
func (d *decoder) optionsOver(path string, n *node, what memberKind) session.Options {
	o := d.copyOf(d.defaults, n)
	switch {
	case n.kind == mappingNode && d.budget.left >= 0:
		d.options(path, n, &o)
	case n.kind == listNode || n.kind == scalarNode:
		d.mismatch(path, n, fmt.Sprintf("a mapping with the options of the %s", what), fmt.Sprintf("for a %s with the defaults alone, write nothing after the colon", what))
	}
	return o
}

// copyOf copies options for the value at n, so that no two share memory.
func (d *decoder) copyOf(o session.Options, at *node) session.Options {
	return d.clone(reflect.ValueOf(o), at).Interface().(session.Options)
}
