package config

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/understudy-run/understudy/session"
)

func (d *decoder) sequence(path string, n *node, v reflect.Value) bool {
	if n.kind == scalarNode && n.text == "all" && takesAll(path) {
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		v.Index(0).SetString("all")
		return true
	}
	if n.kind != listNode {
		hint := "write a list: [a, b]"
		if n.kind == scalarNode && n.plain && !strings.ContainsAny(n.text, "[]{}$") && !d.secret(path) {
			hint = fmt.Sprintf("did you mean [%s]?", cut(n.text))
		}
		return d.mismatch(path, n, "a list", hint)
	}
	out := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	ok := true
	for i, item := range n.items {
		if !d.decode(fmt.Sprintf("%s[%d]", path, i), item, out.Index(i)) {
			item.kind, ok = brokenNode, false
		}
	}
	v.Set(out) // also if it is wrong in part: the other entries may be as well
	return ok
}

// takesAll reports whether a list may be written as the word all.
func takesAll(path string) bool {
	key := path[strings.LastIndexByte(path, '.')+1:]
	return key == "inherit_env" || key == "skills"
}

// mapping fills a map over what is in it.
func (d *decoder) mapping(path string, n *node, v reflect.Value) bool {
	if n.kind != mappingNode {
		return d.mismatch(path, n, "a mapping of keys and values", "")
	}
	if v.IsNil() {
		v.Set(reflect.MakeMapWithSize(v.Type(), len(n.entries)))
	}
	ok := true
	for _, e := range n.entries {
		elem := reflect.New(v.Type().Elem()).Elem()
		key := reflect.ValueOf(e.key).Convert(v.Type().Key())
		if old := v.MapIndex(key); old.IsValid() {
			elem.Set(old)
		}
		if d.decode(join(path, e.key), e.value, elem) {
			v.SetMapIndex(key, elem)
		} else {
			ok = false
		}
	}
	return ok
}

// any is a value of no given type. Mappings are laid over those that are there, key by key and to any depth: a
// session that allows one more directory must not lose what the defaults deny.
func (d *decoder) any(path string, n *node, old any) (any, bool) {
	if !d.budget.spend(1, d.report, n) {
		return nil, false
	}
	switch n.kind {
	case nullNode:
		return nil, true
	case listNode:
		out, ok := make([]any, len(n.items)), true
		for i, item := range n.items {
			var itemOK bool
			out[i], itemOK = d.any(fmt.Sprintf("%s[%d]", path, i), item, nil)
			ok = ok && itemOK
		}
		return out, ok
	case mappingNode:
		out, _ := old.(map[string]any)
		if out == nil {
			out = make(map[string]any, len(n.entries))
		}
		ok := true
		for _, e := range n.entries {
			value, valueOK := d.any(join(path, e.key), e.value, out[e.key])
			if valueOK {
				out[e.key] = value
			}
			ok = ok && valueOK
		}
		return out, ok
	case scalarNode:
		text, _, ok := d.text(path, n)
		if !ok {
			return nil, false
		}
		if !n.plain {
			return text, true
		}
		value := plainValue(text)
		if f, isFloat := value.(float64); isFloat && (math.IsNaN(f) || math.IsInf(f, 0)) {
			return nil, d.mismatch(path, n, "a finite number", "")
		}
		return value, true
	}
	return nil, false
}

// outline fills a struct, and returns what was put aside of it.
func (d *decoder) outline(path string, n *node, v reflect.Value) (later map[reflect.Type]*node) {
	outer := d.later
	d.later = map[reflect.Type]*node{}
	d.structure(path, n, v)
	later, d.later = d.later, outer
	return later
}

// structure fills a struct's fields by their json names.
func (d *decoder) structure(path string, n *node, v reflect.Value) bool {
	if n.kind != mappingNode {
		if v.Type() == optionsType {
			return d.mismatch(path, n, "a mapping with options of a session", "")
		}
		return d.mismatch(path, n, "a mapping with the keys "+strings.Join(keysOf(v.Type()), ", "), "")
	}
	ok := true
	for _, e := range n.entries {
		p := join(path, e.key)
		index, known := fieldOf(v.Type(), e.key)
		if !known {
			d.add(e.line, e.col, Diagnostic{Path: p, Value: shown(e.key, false), Message: "unknown key", Hint: elsewhere(v.Type(), e)})
			ok = false
			continue
		}
		ok = d.field(p, e, v, v.FieldByIndex(index)) && ok
	}
	return ok
}

// field fills one field of the struct owner.
func (d *decoder) field(path string, e entry, owner, v reflect.Value) bool {
	n := e.value
	if n.kind == nullNode && !needsDefaults(v.Type()) {
		switch {
		case !n.implicit:
			if d.resets {
				v.SetZero()
			}
			return true
		case isSection(v.Type()):
			return true // all of it is commented out
		}
		return d.problem(path, n, "no value after the key", "give one, or remove the key; null takes back what the defaults say")
	}
	if v.Type() == optionsType {
		return d.options(path, n, v.Addr().Interface().(*session.Options))
	}
	ok := d.decode(path, n, v)
	if ok || n.kind == listNode && v.Kind() == reflect.Slice || n.kind == mappingNode && v.Kind() == reflect.Map {
		ok = d.check(path, e.key, n, owner, v) && ok
	}
	return ok
}

// isSection reports whether a type is written as keys and values.
func isSection(t reflect.Type) bool {
	if p := reflect.PointerTo(t); p.Implements(jsonType) || p.Implements(textType) {
		return false
	}
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Map
}

// options fills a session's options over what is in them.
func (d *decoder) options(path string, n *node, o *session.Options) bool {
	if n.kind == nullNode {
		return true
	}
	outer := d.resets
	d.resets = true
	ok := d.structure(path, n, reflect.ValueOf(o).Elem())
	d.resets = outer
	if n.kind == mappingNode {
		ok = d.combination(path, n, *o) && ok
		ok = d.checkBudgetNames(path, n, *o) && ok
	}
	return ok
}
