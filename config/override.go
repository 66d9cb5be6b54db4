package config

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/understudy-run/understudy/session"
)

// ParseSession makes the options of a session that is not in the file: the file's defaults, and over them pairs
// of the form key=value. The keys are SessionKeys; a value is what could stand after the key in one line of a
// file, such as 5, [Read, Grep] or {LANG: C}. Where text is expected it is taken as it is, unless it begins with a
// quote. ${env:NAME} is looked up, and paths start, where they do in the file.
//
// If the first pair is template=NAME, that template of the file takes the place of the defaults.
//
// The error is of type Diagnostics, with "-o #n" in place of a file and a position for the n-th pair after the
// template, and "--template" for that.
func (c *Config) ParseSession(name string, pairs []string) (session.Options, error) {
	around := c.around
	if around.lookup == nil {
		around.lookup = func(string) (string, bool) { return "", false }
	}
	if around.stat == nil {
		around.stat = os.Stat
	}
	d := &decoder{surroundings: around, budget: &budget{left: maxValues}, resets: true, budgetNames: c.budgetNames()}
	d.report = &report{file: "spawn"}
	if ok, message, hint := sessionMember.named(name); !ok {
		d.add(0, 0, Diagnostic{Value: shown(name, false), Message: message, Hint: hint})
	} else if p, taken := poolWith(name, c.poolNames()); taken {
		d.add(0, 0, Diagnostic{Value: name, Message: p.calls(), Hint: "give this session another name"})
	}
	all, base := d.list, c.Defaults
	if template, rest, ok := leadingTemplate(pairs); ok {
		pairs = rest
		if base, ok = c.Template(template); !ok {
			d.report = &report{file: "--template"}
			d.add(0, 0, Diagnostic{Value: shown(template, false), Message: "unknown template", Hint: whichTemplate(template, c.templateNames())})
			all = append(all, d.list...)
		}
	}
	o := d.copyOf(base, &node{})
	first := map[string]int{}
	for i, pair := range pairs {
		d.report = &report{file: fmt.Sprintf("-o #%d", i+1), inArg: true, source: newSource(pair)}
		if e, ok := d.pair(pair); ok {
			if f, twice := first[e.key]; e.key == templateKey {
				d.add(1, 1, Diagnostic{Message: "a template comes before the options", Hint: "give it once, with --template NAME"})
			} else if twice {
				d.add(1, 1, Diagnostic{
					Path: e.key, Message: fmt.Sprintf("given twice, first in -o #%d", f), Hint: "a later value does not add to an earlier one: write a list such as [a, b]",
				})
			} else {
				first[e.key] = i + 1
				d.options("", &node{kind: mappingNode, line: 1, col: 1, entries: []entry{e}}, &o)
			}
		}
		all = append(all, d.list...)
	}
	if len(all) > 0 {
		return session.Options{}, all
	}
	for _, p := range o.Problems() { // together, which no pair could be by itself
		head, _, _ := strings.Cut(p.Path, ".")
		head, _, _ = strings.Cut(head, "[")
		d.report = &report{file: "spawn"}
		if i := first[head]; i > 0 {
			d.report = &report{file: fmt.Sprintf("-o #%d", i), inArg: true}
		}
		message, hint, _ := strings.Cut(p.Message, "; ")
		d.add(0, 0, Diagnostic{Path: p.Path, Message: message, Hint: hint})
		all = append(all, d.list...)
	}
	if len(all) > 0 {
		return session.Options{}, all
	}
	return o, nil
}

const templateKey = "template"

// leadingTemplate is the template that pairs begin with, and what follows.
func leadingTemplate(pairs []string) (name string, rest []string, ok bool) {
	if len(pairs) == 0 {
		return "", nil, false
	}
	key, name, found := strings.Cut(pairs[0], "=")
	return name, pairs[1:], found && strings.TrimSpace(key) == templateKey
}

// pair takes key=value apart.
func (d *decoder) pair(pair string) (entry, bool) {
	key, text, found := strings.Cut(pair, "=")
	key = strings.TrimSpace(key)
	if !found || key == "" {
		d.add(1, 1, Diagnostic{Value: shown(pair, false), Message: "expected key=value", Hint: "such as model=sonnet or 'allowed_tools=[Read, Grep]'"})
		return entry{}, false
	}
	e := entry{key: key, line: 1, col: 1}
	index, known := fieldOf(optionsType, key)
	if !known {
		e.value = &node{kind: nullNode, line: 1, col: 1}
		return e, true // structure reports it
	}
	if len(pair) > maxBytes {
		d.add(1, 1, Diagnostic{Path: key, Message: "larger than 1 MiB"})
		return entry{}, false
	}
	col := utf8.RuneCountInString(pair) - utf8.RuneCountInString(text) + 1
	if literal(optionsType.FieldByIndex(index).Type, text) {
		e.value = &node{kind: scalarNode, line: 1, col: col, text: text}
		return e, d.reportPath(key, func() bool { return checkText(pair, d.report) })
	}
	ok := d.reportPath(key, func() bool {
		if !checkText(pair, d.report) {
			return false
		}
		// Spaces in place of the key put every position of the value where it is in the pair.
		e.value = parseText(strings.Repeat(" ", col-1)+text, d.report, d.budget)
		return e.value != nil
	})
	if !ok && len(d.list) == 0 {
		d.add(1, col, Diagnostic{Path: key, Message: "no value after =", Hint: "null takes back what the defaults say, [] is the empty list"})
	}
	return e, ok
}

// reportPath lets what knows nothing of keys report under one.
func (d *decoder) reportPath(key string, f func() bool) bool {
	from := len(d.list)
	ok := f()
	for i := range d.list[from:] {
		p := &d.list[from+i].Path
		if *p != "" && !strings.HasPrefix(*p, "[") {
			*p = "." + *p
		}
		*p = key + *p
	}
	return ok
}

// literal reports whether a value is taken as it is: a shell has its own quotes, and nobody wants to write a
// prompt's in YAML's as well.
func literal(t reflect.Type, text string) bool {
	if strings.HasPrefix(text, `"`) || strings.HasPrefix(text, "'") || text == "null" {
		return false
	}
	p := reflect.PointerTo(t)
	if p.Implements(jsonType) {
		return !strings.HasPrefix(strings.TrimSpace(text), "{")
	}
	return t.Kind() == reflect.String || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}
