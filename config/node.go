package config

import (
	"fmt"
	"strconv"
	"strings"
)

// kind is what a node is, before anybody asks for a Go type.
type kind int

const (
	nullNode kind = iota
	scalarNode
	listNode
	mappingNode
	brokenNode // was reported when the text was parsed; nobody may complain about it again
)

// node is one value of the file with its position. It holds what the decoder needs and nothing of the YAML
// library: aliases and merge keys are resolved, tags are gone.
type node struct {
	kind      kind
	line, col int // from 1; columns count characters

	text     string // scalar: as written, without quotes and before expansion
	plain    bool   // scalar: without quotes, so that it may be a number or a boolean
	implicit bool   // null: nothing is written after the key

	items   []*node // list
	entries []entry // mapping, in the order of the file; merged ones come last
}

// entry is one key of a mapping. Its position is the key's.
type entry struct {
	key       string
	line, col int
	value     *node
}

// entry returns the entry with the key, or nil.
func (n *node) entry(key string) *entry {
	for i := range n.entries {
		if n.entries[i].key == key {
			return &n.entries[i]
		}
	}
	return nil
}

// without returns a mapping without one of its keys, and that key's value; nil if it is not there.
func (n *node) without(key string) (rest, value *node) {
	if n.kind != mappingNode || n.entry(key) == nil {
		return n, nil
	}
	copied := *n
	copied.entries = nil
	for _, e := range n.entries {
		switch {
		case e.key != key:
			copied.entries = append(copied.entries, e)
		case value == nil:
			value = e.value
		}
	}
	return &copied, value
}

// at returns the value at a path such as a.b[0].c below n, or the deepest value that is written on the way to it.
func (n *node) at(path string) *node {
	for _, key := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		if e := n.entry(key); e != nil {
			n = e.value
		} else if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(n.items) {
			n = n.items[i]
		} else {
			break
		}
	}
	return n
}

func (n *node) describe() string {
	switch n.kind {
	case listNode:
		return "a list"
	case mappingNode:
		return "a mapping"
	case nullNode:
		if n.implicit {
			return "nothing"
		}
		return "null"
	}
	return "a single value"
}

// join appends a key to a path, in quotes where it could be taken for more than one.
func join(path, key string) string {
	if key == "" || strings.ContainsAny(key, ". []\"'\t\n:") {
		key = quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

const maxValues = 200_000

// budget bounds what a small file can blow up to, by aliases, merge keys and defaults.
type budget struct {
	left int
	told bool
}

// spend takes n values off the budget. When that is too many it says so, once, and false from then on.
func (b *budget) spend(n int, r *report, at *node) bool {
	if b.left -= n; b.left >= 0 {
		return true
	}
	if !b.told {
		b.told = true
		r.add(at.line, at.col, Diagnostic{
			Message: "aliases, merge keys and defaults make more values of this file than are accepted",
			Hint:    fmt.Sprintf("the limit is %d", maxValues),
		})
	}
	return false
}
