package config

import (
	"fmt"
	"reflect"

	"github.com/understudy-run/understudy/session"
)

// Template is the options of sessions that do not have names yet.
type Template struct {
	Name string
	// Options are the defaults with the template's own laid over them.
	Options session.Options
	// Warm is how many processes wait, initialized, for sessions of the template to come. None by default.
	Warm int
}

const (
	warmKey = "warm"
	maxWarm = 1000 // each is a process of some hundred MiB
)

// Template returns the options of a template of the file.
func (c *Config) Template(name string) (session.Options, bool) {
	for _, t := range c.Templates {
		if t.Name == name {
			return t.Options, true
		}
	}
	return session.Options{}, false
}

func (c *Config) templateNames() []string {
	var names []string
	for _, t := range c.Templates {
		if session.ValidName(t.Name) { // a hint shows them as they are
			names = append(names, t.Name)
		}
	}
	return names
}

func (d *decoder) templates(n *node) []Template {
	var out []Template
	d.members("templates", n, templateMember, func(path string, e entry) {
		t := Template{Name: e.key}
		options, warm := e.value.without(warmKey)
		t.Options = d.optionsOver(path, options, templateMember)
		if warm != nil && warm.kind != nullNode && warm.kind != brokenNode {
			d.warm(join(path, warmKey), warm, &t)
		}
		out = append(out, t)
	})
	return out
}

// warm reads how many processes wait, and says which options keep them from it.
func (d *decoder) warm(path string, n *node, t *Template) {
	if !d.decode(path, n, reflect.ValueOf(&t.Warm).Elem()) ||
		!d.atLeast(path, n, t.Warm >= 0 && t.Warm <= maxWarm, fmt.Sprintf("0 to %d", maxWarm)) || t.Warm == 0 {
		return
	}
	for _, p := range t.Options.ForWarm() {
		d.problem(path, n, fmt.Sprintf("processes cannot wait with %s %s", p.Path, shown(p.Value, false)), p.Message)
	}
}

// whichTemplate is the hint about the name of a template that there is not.
func whichTemplate(got string, names []string) string {
	switch s := suggest(got, names); {
	case s != "":
		return s
	case len(names) == 0:
		return "there are none: write it under templates"
	}
	return "expected one of: " + cut(listed(names))
}
