package config

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/understudy-run/understudy/session"
)

// Pool is a number of sessions that are all alike. They are called NAME-1, NAME-2, ….
type Pool struct {
	Name string
	// Template is what its sessions are made of; empty if they have options of their own.
	Template string `json:"template"`
	// Options are those of each session, from the template if there is one. In the file they are laid over
	// the defaults, and exclude Template.
	Options session.Options `json:"options"`
	// Min sessions are kept up, 1 by default; up to Max are started when they are needed, Min by default.
	Min int `json:"min"`
	Max int `json:"max"`
	// MaxQueue is how many queries may wait for a session. None by default.
	MaxQueue int `json:"max_queue"`
	// IdleTimeout ends a session beyond Min that had nothing to do for so long. 5 minutes by default.
	IdleTimeout time.Duration `json:"idle_timeout"`
}

const (
	maxPool            = 1000 // sessions; each is a process of some hundred MiB
	defaultIdleTimeout = 5 * time.Minute
)

// Pool returns a pool of the file.
func (c *Config) Pool(name string) (Pool, bool) {
	for _, p := range c.Pools {
		if p.Name == name {
			return p, true
		}
	}
	return Pool{}, false
}

func (c *Config) poolNames() map[string]Pool {
	names := make(map[string]Pool, len(c.Pools))
	for _, p := range c.Pools {
		if session.ValidName(p.Name) {
			names[p.Name] = p
		}
	}
	return names
}

func (d *decoder) pools(n *node, c *Config) []Pool {
	var out []Pool
	d.known = c.templateNames()
	d.members("pools", n, poolMember, func(path string, e entry) {
		d.declare(poolMember, "", path, e)
		p := Pool{Name: e.key, Options: d.copyOf(d.defaults, e.value), Min: 1, IdleTimeout: defaultIdleTimeout}
		if e.value.kind != nullNode && e.value.kind != brokenNode && d.budget.left >= 0 {
			d.structure(path, e.value, reflect.ValueOf(&p).Elem())
			d.poolOf(path, e.value, &p, c)
		}
		if p.Max == 0 {
			p.Max = p.Min
		}
		place, at := path, e.value
		if options := e.value.entry("options"); options != nil {
			place, at = join(path, "options"), options.value
		}
		d.works(poolMember, place, at, e, p.Options)
		if p.Max == 1 { // several cannot have one at all, and that is reported
			d.claim(poolMember, place, at, e, p.Options)
		}
		out = append(out, p)
	})
	return out
}

// poolOf looks at what a pool's keys are together, and gives it the options of its template.
func (d *decoder) poolOf(path string, n *node, p *Pool, c *Config) {
	given := func(key string) *entry {
		if e := n.entry(key); e != nil && e.value.kind != nullNode && e.value.kind != brokenNode {
			return e
		}
		return nil
	}
	if most := given("max"); most != nil && p.Min >= 1 && p.Max >= 1 && p.Max < p.Min {
		d.problem(join(path, "max"), most.value, fmt.Sprintf("expected at least min, which is %d", p.Min), "")
	}
	template, options := given("template"), given("options")
	switch {
	case template == nil:
	case options != nil:
		second := template
		if second.line < options.line || second.line == options.line && second.col < options.col {
			second = options
		}
		d.add(second.line, second.col, Diagnostic{
			Path: join(path, second.key), Message: "template and options exclude each other", Hint: "put these options into the template, or remove the key template",
		})
	default:
		if o, ok := c.Template(p.Template); ok {
			p.Options = d.copyOf(o, template.value)
		}
	}
	if max(p.Min, p.Max) <= 1 {
		return
	}
	place, at := path, n
	switch {
	case template != nil && options == nil:
		place, at = join(path, "template"), template.value
	case options != nil:
		place, at = join(path, "options"), options.value
	}
	for _, problem := range p.Options.ForSeveral() {
		if wrong := at.at(problem.Path); wrong != at {
			d.problem(join(place, problem.Path), wrong, problem.Message, "")
		} else { // it is in the template, or in the defaults
			d.problem(place, at, problem.Path+": "+problem.Message, "")
		}
	}
}

// checkPool looks at a pool's key.
func (d *decoder) checkPool(path, key string, n *node, p *Pool) bool {
	switch key {
	case "template":
		return slices.Contains(d.known, p.Template) || d.problem(path, n, "unknown template", whichTemplate(n.text, d.known))
	case "min":
		return d.atLeast(path, n, p.Min >= 1 && p.Min <= maxPool, fmt.Sprintf("1 to %d sessions", maxPool))
	case "max":
		return d.atLeast(path, n, p.Max >= 1 && p.Max <= maxPool, fmt.Sprintf("1 to %d sessions", maxPool))
	case "max_queue":
		return d.atLeast(path, n, p.MaxQueue >= 0, "0 (no queue) or more")
	case "idle_timeout":
		return d.atLeast(path, n, p.IdleTimeout > 0, "a duration above 0s")
	}
	return true
}
