package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/understudy-run/understudy/session"
)

// memberKind is what may be under a name in a file.
type memberKind string

const (
	sessionMember  memberKind = "session"
	groupMember    memberKind = "group"
	templateMember memberKind = "template"
	poolMember     memberKind = "pool"
	budgetMember   memberKind = "budget"
)

// mapsTo is what the names are given, and how that looks.
func (k memberKind) mapsTo() (value, example string) {
	switch k {
	case groupMember:
		return "groups", "ci: {strategy: one_for_all, sessions: {…}}"
	case budgetMember:
		return "budgets", "team: {limit_usd: 50, per: 24h}"
	case poolMember:
		return "pools", "workers: {template: worker, max: 4}"
	case templateMember:
		return "options", "worker: {model: haiku}"
	}
	return "options", "reviewer: {model: sonnet}"
}

const (
	maxName     = 64
	maxPoolName = 56 // its sessions' names are longer by a number
)

// named reports whether a member may be called that, and what is to be said if not.
func (k memberKind) named(name string) (ok bool, message, hint string) {
	most, why := maxName, ""
	if k == poolMember {
		most, why = maxPoolName, "; its sessions' names are longer by a number"
	}
	return session.ValidName(name) && len(name) <= most, "invalid name of a " + string(k),
		fmt.Sprintf("up to %d letters, digits, dots, dashes and underscores, beginning with a letter or digit%s", most, why)
}

// members goes through a mapping of names.
func (d *decoder) members(path string, n *node, what memberKind, each func(path string, e entry)) {
	if n == nil || n.kind == nullNode || n.kind == brokenNode {
		return
	}
	if n.kind != mappingNode {
		value, example := what.mapsTo()
		d.mismatch(path, n, "a mapping of names to "+value, fmt.Sprintf("write one key a %s: %s", what, example))
		return
	}
	for _, e := range n.entries {
		// Each counts, whatever is in it: by aliases, groups can become many.
		if !d.budget.spend(1, d.report, e.value) {
			return
		}
		name := e.key
		if ok, message, hint := what.named(name); !ok {
			d.add(e.line, e.col, Diagnostic{Path: path, Value: shown(name, false), Message: message, Hint: hint})
			name = cut(name) // it becomes part of the path of all that is in it
		}
		each(join(path, name), e)
	}
}

// declaration is a name that must be the only one of its kind, or on its level.
type declaration struct {
	kind              memberKind
	level, path, name string // level is the path of the supervisor
	line, col         int
}

func (d *decoder) declare(kind memberKind, level, path string, e entry) {
	d.declared = append(d.declared, declaration{kind, level, path, e.key, e.line, e.col})
}

// distinct reports names that are given twice, at the later of the two places: sessions are known by their names
// in the whole runtime, and a supervisor knows all its children by theirs.
func (d *decoder) distinct(pools map[string]Pool) {
	slices.SortStableFunc(d.declared, func(a, b declaration) int {
		return cmp.Or(a.line-b.line, a.col-b.col)
	})
	type place struct{ level, name string }
	siblings, sessions := map[place]declaration{}, map[string]declaration{}
	for _, x := range d.declared {
		if x.kind == sessionMember {
			if first, twice := sessions[x.name]; twice {
				d.twice(x, first, "there is a session of this name already", "names of sessions are unique in the whole file")
				continue
			}
			sessions[x.name] = x
		}
		at := place{x.level, x.name}
		if first, twice := siblings[at]; twice {
			d.twice(x, first, fmt.Sprintf("there is a %s of this name beside it", first.kind), "sessions, groups and pools side by side need names of their own")
			continue
		}
		siblings[at] = x
	}
	for _, x := range d.declared {
		if p, taken := poolWith(x.name, pools); taken && x.kind == sessionMember {
			d.twice(x, siblings[place{"", p.Name}], p.calls(), "give this session another name")
		}
	}
}

// twice reports the second of two names.
func (d *decoder) twice(x, first declaration, message, hint string) {
	if x.line == first.line && x.col == first.col {
		message, hint = fmt.Sprintf("this %s is there twice, by an alias or a merge key", x.kind), "write it out, under a name of its own"
	} else {
		message = fmt.Sprintf("%s, at %d:%d", message, first.line, first.col)
	}
	d.add(x.line, x.col, Diagnostic{Path: x.path, Value: shown(x.name, false), Message: message, Hint: hint})
}

// poolWith is the pool that may have a session of that name.
func poolWith(name string, pools map[string]Pool) (Pool, bool) {
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return Pool{}, false
	}
	p, ok := pools[name[:i]]
	n, err := strconv.Atoi(name[i+1:])
	return p, ok && err == nil && n >= 1 && n <= p.Max && strconv.Itoa(n) == name[i+1:]
}

// calls says how the pool's sessions are called.
func (p Pool) calls() string {
	if p.Max <= 1 {
		return fmt.Sprintf("the session of the pool %s is called %s-1", p.Name, p.Name)
	}
	return fmt.Sprintf("the sessions of the pool %s are called %s-1 to %s-%d", p.Name, p.Name, p.Name, p.Max)
}
