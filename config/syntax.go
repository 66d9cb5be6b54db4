package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	maxBytes = 1 << 20
	maxDepth = 64
	// No list or mapping of ours comes near this.
	maxEntries = 5000
)

// parseText turns YAML into a tree. It returns nil if something was reported that leaves no tree; what it
// reports beyond that is about parts of it.
func parseText(text string, r *report, b *budget) *node {
	tokens, ok := tokenize(text, r)
	if !ok {
		return nil
	}
	file, err := parse(tokens)
	if err != nil {
		reportSyntax(r, text, err)
		return nil
	}
	c := converter{report: r, budget: b, anchors: map[string]*node{}}
	var root *node
	for i, doc := range file.Docs {
		if d, ok := doc.Body.(*ast.DirectiveNode); ok {
			p := d.GetToken().Position
			r.add(p.Line, p.Column, Diagnostic{Message: "YAML directives are not supported", Hint: "remove the line"})
			return nil
		}
		if root != nil || i > 0 && doc.Start != nil && doc.Body == nil {
			p := &token.Position{Line: 1, Column: 1}
			if doc.Start != nil {
				p = doc.Start.Position
			} else if doc.Body != nil {
				p = doc.Body.GetToken().Position
			}
			r.add(p.Line, p.Column, Diagnostic{Message: "a second YAML document", Hint: "a configuration is one document: keep one, and remove the line ---"})
			return nil
		}
		if doc.Body == nil {
			continue
		}
		root = c.convert("", doc.Body, 0)
	}
	return root
}

// checkText finds what is no text, which the parser would take as it is.
func checkText(text string, r *report) bool {
	line, col := 1, 1
	for i, c := range text {
		switch {
		case c == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			r.add(line, col, Diagnostic{Message: fmt.Sprintf("not UTF-8: byte 0x%02x", text[i]), Hint: "save the file as UTF-8"})
			return false
		case c < ' ' && c != '\n' && c != '\t' || c == 0x7f:
			r.add(line, col, Diagnostic{Message: fmt.Sprintf("control character U+%04X", c), Hint: `in double quotes it can be written as an escape, such as "\x1b"`})
			return false
		}
		if c == '\n' {
			line, col = line+1, 1
		} else {
			col++
		}
	}
	return true
}

// tokenize refuses what would take the recursive parser too deep or, since its time grows with the square of some
// things, too long. Running out of stack cannot be recovered from.
func tokenize(text string, r *report) (tokens token.Tokens, ok bool) {
	defer recoverParser(r, &ok)
	tokens = lexer.Tokenize(text)
	refuse := func(t *token.Token, format string, args ...any) (token.Tokens, bool) {
		r.add(t.Position.Line, t.Position.Column, Diagnostic{Message: fmt.Sprintf(format, args...)})
		return nil, false
	}
	var (
		open   []column // block mappings that may go on, from the outermost
		flow   []int    // entries of {…} and […] that are open
		run    int      // what nests without a key between
		merges int
	)
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow = append(flow, 0)
			run++
		case token.MappingEndType, token.SequenceEndType:
			flow = flow[:max(0, len(flow)-1)]
			run = 0
		case token.CollectEntryType:
			if len(flow) > 0 {
				if flow[len(flow)-1]++; flow[len(flow)-1] > maxEntries {
					return refuse(t, "more than %d entries in one list or mapping", maxEntries)
				}
			}
			run = 0
		case token.SequenceEntryType, token.AnchorType, token.TagType:
			run++
		case token.MappingKeyType:
			return refuse(t, "keys with ? are not supported")
		case token.MergeKeyType:
			if merges++; merges > maxEntries {
				return refuse(t, "more than %d merge keys", maxEntries)
			}
		case token.MappingValueType:
			if len(flow) > 0 {
				break
			}
			col := t.Position.Column
			if t.Prev != nil && t.Prev.Position.Line == t.Position.Line {
				col = t.Prev.Position.Column
			}
			for len(open) > 0 && open[len(open)-1].col > col {
				open = open[:len(open)-1]
			}
			if len(open) == 0 || open[len(open)-1].col < col {
				open = append(open, column{col: col})
			}
			if top := &open[len(open)-1]; top.keys < maxEntries {
				top.keys++
			} else {
				return refuse(t, "more than %d entries in one list or mapping", maxEntries)
			}
		default:
			if t.PreviousType() != token.AnchorType {
				run = 0
			}
		}
		if len(flow) > maxDepth || run > maxDepth {
			return refuse(t, "nested deeper than %d levels", maxDepth)
		}
	}
	return tokens, true
}

// column is where the keys of a block mapping begin, and how many there are.
type column struct{ col, keys int }

func parse(tokens token.Tokens) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the YAML parser gave up: %v", p)
		}
	}()
	// Duplicate keys are reported with all other mistakes, not instead of them.
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// recoverParser turns a panic of the library on foreign bytes into a diagnostic.
func recoverParser(r *report, ok *bool) {
	if p := recover(); p != nil {
		r.add(1, 1, Diagnostic{Message: "not valid YAML", Hint: "the parser gave up without saying where"})
		*ok = false
	}
}

func reportSyntax(r *report, text string, err error) {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil || e.GetToken().Position == nil {
		r.add(1, 1, Diagnostic{Message: "not valid YAML", Hint: "the parser gave up without saying where"})
		return
	}
	p := *e.GetToken().Position
	message, hint := e.GetMessage(), ""
	line := ""
	if lines := strings.Split(text, "\n"); p.Line >= 1 && p.Line <= len(lines) {
		line = lines[p.Line-1]
	}
	switch {
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		p.Column = strings.IndexByte(line, '\t') + 1
		message, hint = "a tab in the indentation", "YAML is indented with spaces"
	case strings.Contains(message, "must be specified") && strings.Contains(line, "${"):
		hint = `inside of {…} and […], put ${…} in quotes: "${env:NAME}"`
	case strings.Contains(message, "must be specified"):
		hint = "is a bracket not closed?"
	case strings.Contains(message, "mapping value is not allowed"):
		hint = `check the indentation; a text that holds ": " needs quotes`
	case strings.Contains(message, "reserved character"), strings.Contains(message, "unexpected directive value"):
		hint = "put the text in quotes"
	case strings.Contains(message, "could not find end character"):
		hint = "a quote is not closed"
	case strings.Contains(message, "not allowed in this context"), strings.Contains(message, "non-map value"):
		hint = "check the indentation"
	}
	r.add(p.Line, p.Column, Diagnostic{Message: "not valid YAML: " + message, Hint: hint})
}

// converter makes nodes of the library's tree.
type converter struct {
	*report
	budget  *budget
	anchors map[string]*node
}

func (c *converter) fail(line, col int, d Diagnostic) *node {
	c.add(line, col, d)
	return &node{kind: brokenNode, line: line, col: col}
}

func (c *converter) convert(path string, n ast.Node, depth int) *node {
	line, col := 1, 1
	if t := n.GetToken(); t != nil && t.Position != nil {
		line, col = t.Position.Line, t.Position.Column
	}
	if depth > maxDepth {
		return c.fail(line, col, Diagnostic{Path: path, Message: fmt.Sprintf("nested deeper than %d levels", maxDepth)})
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return c.mapping(path, n.Values, line, col, depth)
	case *ast.MappingValueNode:
		return c.mapping(path, []*ast.MappingValueNode{n}, line, col, depth)
	case *ast.SequenceNode:
		out := &node{kind: listNode, line: line, col: col}
		for i, v := range n.Values {
			out.items = append(out.items, c.convert(fmt.Sprintf("%s[%d]", path, i), v, depth+1))
		}
		return out
	case *ast.NullNode:
		return &node{kind: nullNode, line: line, col: col, implicit: n.Token.Type == token.ImplicitNullType}
	case *ast.LiteralNode:
		return &node{kind: scalarNode, line: line, col: col, text: n.Value.Value}
	case *ast.StringNode:
		return &node{kind: scalarNode, line: line, col: col, text: n.Value, plain: n.Token.Type == token.StringType}
	case *ast.AnchorNode:
		out := c.convert(path, n.Value, depth+1)
		// Registered when it is complete: an alias inside of it finds nothing, so there are no cycles.
		c.anchors[n.Name.GetToken().Value] = out
		return out
	case *ast.AliasNode:
		return c.alias(path, n)
	case *ast.TagNode:
		return c.fail(line, col, Diagnostic{Path: path, Message: "YAML tags are not supported", Value: cut(n.Start.Value), Hint: "write the value alone; quotes make it text"})
	case ast.ScalarNode:
		// Numbers, booleans and the rest are resolved by us, for the type that is wanted.
		return &node{kind: scalarNode, line: line, col: col, text: n.GetToken().Value, plain: true}
	}
	return c.fail(line, col, Diagnostic{Path: path, Message: fmt.Sprintf("a YAML %s is not supported here", n.Type().YAMLName())})
}

func (c *converter) alias(path string, n *ast.AliasNode) *node {
	p, name := n.GetToken().Position, n.Value.GetToken().Value
	target, ok := c.anchors[name]
	if !ok {
		return c.fail(p.Line, p.Column, Diagnostic{Path: path, Message: "no anchor of this name before it", Value: "*" + cut(name), Hint: "quotes make it text"})
	}
	out := *target
	out.line, out.col = p.Line, p.Column // what is wrong with it here may be right there
	return &out
}

func (c *converter) mapping(path string, values []*ast.MappingValueNode, line, col, depth int) *node {
	out := &node{kind: mappingNode, line: line, col: col}
	index := map[string]int{}
	var merges []*node
	for i, v := range values {
		p := v.Key.GetToken().Position
		if i == 0 && v.Start != nil && v.Start.Position.Line == line && v.Start.Position.Column == col {
			out.line, out.col = p.Line, p.Column // the library takes the colon for the place of a block mapping
		}
		isMerge := v.Key.IsMergeKey()
		key, ok := keyText(v.Key)
		if !isMerge && !ok {
			c.add(p.Line, p.Column, Diagnostic{Path: path, Message: "a key must be plain text"})
			continue
		}
		at := join(path, key)
		if isMerge {
			at = path
		}
		value := c.convert(at, v.Value, depth+1)
		if value.kind == nullNode && value.implicit {
			value.line, value.col = p.Line, p.Column
		}
		if isMerge {
			merges = append(merges, value)
			continue
		}
		if first, twice := index[key]; twice {
			e := out.entries[first]
			c.add(p.Line, p.Column, Diagnostic{
				Path: at, Message: fmt.Sprintf("duplicate key, first given at %d:%d", e.line, e.col), Value: shown(key, false), Hint: "remove one of them",
			})
			continue
		}
		index[key] = len(out.entries)
		out.entries = append(out.entries, entry{key, p.Line, p.Column, value})
	}
	for _, m := range merges {
		c.merge(path, out, index, m, true)
	}
	return out
}

// keyText is the text of a key that is written as one word or in quotes.
func keyText(key ast.MapKeyNode) (string, bool) {
	switch key := key.(type) {
	case *ast.StringNode:
		return key.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.InfinityNode, *ast.NanNode:
		return key.GetToken().Value, true
	}
	return "", false
}

// merge adds what a merge key refers to and the mapping does not say itself.
func (c *converter) merge(path string, out *node, index map[string]int, from *node, lists bool) {
	switch {
	case from.kind == brokenNode:
	case from.kind == listNode && lists:
		for _, item := range from.items {
			c.merge(path, out, index, item, false)
		}
	case from.kind == mappingNode:
		if !c.budget.spend(len(from.entries), c.report, from) {
			return
		}
		for _, e := range from.entries {
			if _, have := index[e.key]; !have {
				index[e.key] = len(out.entries)
				out.entries = append(out.entries, e)
			}
		}
	default:
		c.add(from.line, from.col, Diagnostic{Path: path, Message: "<< takes a mapping or a list of mappings, got " + from.describe(), Hint: "refer to an anchor: <<: *name"})
	}
}
