package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

var flagName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]+$`)

// flags are further flags of the CLI: name to value, null or true for a flag without one.
func (d *decoder) flags(path string, n *node, v reflect.Value) bool {
	if n.kind != mappingNode {
		return d.mismatch(path, n, "a mapping of flags and values", "")
	}
	// A map of its own: a flag that is wrong must not have half replaced the defaults'.
	out := map[string]*string{}
	first, ok := map[string]entry{}, true
	for _, e := range n.entries {
		p, name := join(path, e.key), strings.TrimLeft(e.key, "-")
		at := &node{kind: scalarNode, line: e.line, col: e.col, text: e.key}
		if !flagName.MatchString(name) {
			hint := "letters, digits and dashes"
			if i := strings.IndexAny(name, "= "); i > 0 {
				hint = fmt.Sprintf("write the value apart: %s: …", cut(name[:i]))
			}
			d.add(e.line, e.col, Diagnostic{Path: path, Value: shown(e.key, false), Message: "expected the long name of a flag", Hint: hint})
			ok = false
			continue
		}
		if f, twice := first[name]; twice {
			ok = d.problem(p, at, fmt.Sprintf("the same flag as %s at %d:%d", quote(f.key), f.line, f.col), "remove one of them")
			continue
		}
		first[name] = e
		value, valueOK := d.flag(p, e.value)
		out[name], ok = value, ok && valueOK
	}
	if !ok {
		return false
	}
	if v.IsNil() {
		v.Set(reflect.MakeMapWithSize(v.Type(), len(out)))
	}
	for name, value := range out {
		v.SetMapIndex(reflect.ValueOf(name), reflect.ValueOf(value))
	}
	return true
}

func (d *decoder) flag(path string, n *node) (*string, bool) {
	const expected = "text, a number, or null for a flag without value"
	switch n.kind {
	case nullNode:
		return nil, true
	case scalarNode:
		if b, isBool := plainValue(n.text).(bool); isBool && n.plain {
			if b {
				return nil, true
			}
			return nil, d.mismatch(path, n, expected, "to leave a flag out, remove it")
		}
		text, _, ok := d.text(path, n)
		if ok && strings.ContainsRune(text, 0) {
			ok = d.problem(path, n, "text must not hold a NUL character", "")
		}
		return &text, ok
	case brokenNode:
		return nil, false
	}
	return nil, d.mismatch(path, n, expected, "")
}
