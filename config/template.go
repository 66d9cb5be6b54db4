package config

import "github.com/understudy-run/understudy/session"

// Template is the options of sessions that do not have names yet.
type Template struct {
	Name string
	// Options are the defaults with the template's own laid over them.
	Options session.Options
}

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
		out = append(out, Template{e.key, d.optionsOver(path, e.value, templateMember)})
	})
	return out
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
