package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTextThatIsNoConfiguration(t *testing.T) {
	for name, r := range map[string]struct{ text, want string }{
		"empty":              {"", `/x:1:1: the file is empty; begin with: version: 1`},
		"comments only":      {"# nothing\n\n", `/x:1:1: the file is empty; begin with: version: 1`},
		"a document start":   {"---\n", `/x:1:1: the file is empty; begin with: version: 1`},
		"null":               {"~\n", `/x:1:1: the file is empty; begin with: version: 1`},
		"text":               {"understudy\n", `/x:1:1: expected a mapping with the keys version, data_dir, cli, supervisor, defaults, sessions, supervisors, templates, pools, budgets, limits, drain_timeout, audit, debug, ignore (got "understudy")`},
		"a list":             {"- a\n", `/x:1:1: expected a mapping with the keys version, data_dir, cli, supervisor, defaults, sessions, supervisors, templates, pools, budgets, limits, drain_timeout, audit, debug, ignore, got a list`},
		"two documents":      {"version: 1\n---\nversion: 1\n", `/x:2:1: a second YAML document; a configuration is one document: keep one, and remove the line ---`},
		"two, the 2nd empty": {"version: 1\n---\n", `/x:2:1: a second YAML document; a configuration is one document: keep one, and remove the line ---`},
		"directive":          {"%YAML 1.2\n---\nversion: 1\n", `/x:1:1: YAML directives are not supported; remove the line`},
		"tag":                {"version: !!int 1\n", `/x:1:10: version: YAML tags are not supported (got "!!int"); write the value alone; quotes make it text`},
		"complex key":        {"? version\n: 1\n", `/x:1:1: keys with ? are not supported`},
		"tab":                {"defaults:\n\tmodel: x\n", `/x:2:1: not valid YAML: a tab in the indentation; YAML is indented with spaces`},
		"tab at the start":   {"\tversion: 1\n", `/x:1:1: not valid YAML: a tab in the indentation; YAML is indented with spaces`},
		"bracket":            {"defaults: {tools: [Read\nversion: 1\n", `/x:2:1: not valid YAML: ',' or ']' must be specified; is a bracket not closed?`},
		"quote":              {"data_dir: \"x\nversion: 1\n", `/x:1:11: not valid YAML: could not find end character of double-quoted text; a quote is not closed`},
		"indentation":        {"version: 1\n  data_dir: x\n", `/x:1:10: not valid YAML: mapping value is not allowed in this context; check the indentation; a text that holds ": " needs quotes`},
		"reserved":           {"data_dir: @x\n", `/x:1:11: not valid YAML: '@' is a reserved character; put the text in quotes`},
		"not UTF-8":          {"version: 1\ndata_dir: \xff\n", `/x:2:11: not UTF-8: byte 0xff; save the file as UTF-8`},
		"UTF-16":             {"\xff\xfev\x00e\x00", `/x:1:1: not UTF-8: this looks like UTF-16; save the file as UTF-8`},
		"control character":  {"data_dir: é\x1b[31m\n", `/x:1:12: control character U+001B; in double quotes it can be written as an escape, such as "\x1b"`},
		"too large":          {strings.Repeat("#", 1<<20) + "\n", `/x: larger than 1 MiB; is this the right file?`},
		"deep brackets":      {"defaults: " + strings.Repeat("[", 5000), `/x:1:75: nested deeper than 64 levels`},
		"deep mappings":      {strings.Repeat("{a: ", 5000), `/x:1:257: nested deeper than 64 levels`},
		"deep lists":         {strings.Repeat("- ", 5000), `/x:1:129: nested deeper than 64 levels`},
		"many keys":          {strings.Repeat("a: 1\n", 6000), `/x:5001:2: more than 5000 entries in one list or mapping`},
		"many flow keys":     {"{" + strings.Repeat("a, ", 6000), `/x:1:15003: more than 5000 entries in one list or mapping`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("/x", []byte(r.text), nil)
			require.IsType(t, Diagnostics{}, err)
			assert.EqualError(t, err, r.want)
			assert.NotEmpty(t, err.(Diagnostics).Render(true))
		})
	}
}

func TestFormsOfText(t *testing.T) {
	for name, text := range map[string]string{
		"byte order mark":    "\ufeffversion: 1\ndefaults:\n  model: é\n",
		"CRLF":               "version: 1\r\ndefaults:\r\n  model: é\r\n",
		"CR":                 "version: 1\rdefaults:\r  model: é\r",
		"no newline":         "defaults:\n  model: é",
		"document markers":   "---\ndefaults:\n  model: é\n...\n",
		"JSON":               "{\"version\": 1,\n\t\"defaults\": {\"model\": \"\\u00e9\"}}",
		"single quotes":      "defaults:\n  model: 'é'",
		"merge key":          "sessions: {a: &a {model: x}}\ndefaults: {<<: *a, model: é}",
		"merged twice":       "sessions: {a: &a {model: é}, b: &b {model: x}}\ndefaults: {<<: [*a, *b]}",
		"alias":              "sessions: {a: {model: &m é}}\ndefaults: {model: *m}",
		"merge of a literal": "defaults: {<<: {model: é}}",
	} {
		c, err := Parse("/x", []byte(text), nil)
		require.NoError(t, err, name)
		assert.Equal(t, "é", c.Defaults.Model, name)
	}
}

// Positions count characters, after a byte order mark too, and lines, whatever ends them.
func TestPositions(t *testing.T) {
	for name, r := range map[string]struct {
		text      string
		line, col int
	}{
		"characters":      {"cli: {\"pfäd\": é, x: y}\npath: x\n", 1, 7},
		"byte order mark": {"\ufeffxx: 1\n", 1, 1},
		"CRLF":            {"version: 1\r\nxx: 1\r\n", 2, 1},
		"below a block":   {"defaults:\n  system_prompt: |\n    a\n\n    b\n\n  xx: 1\n", 7, 3},
		"below a folded":  {"defaults:\n  system_prompt: >-\n    a\n    b\n  xx: 1\n", 5, 3},
		"below quotes":    {"defaults:\n  system_prompt: \"a\n    b\"\n  xx: 1\n", 4, 3},
		"below a comment": {"# a\n\n# b\nxx: 1\n", 4, 1},
		"a block itself":  {"version: |\n  1\n", 1, 10},
		"in a list":       {"defaults:\n  allowed_tools:\n  - Read\n  - 5\n", 4, 5},
		"a nested list":   {"defaults:\n  add_dir: [a,\n    [b]]\n", 3, 5},
		"empty mapping":   {"defaults:\n  tools: {}\n", 2, 10},
		"block mapping":   {"defaults:\n  tools:\n    a: b\n", 3, 5},
		"an alias":        {"defaults: {model: &m x}\nsupervisor: {max_restarts: *m}\n", 2, 28},
	} {
		_, err := parseFile("/x", []byte(r.text), directories())
		ds, ok := err.(Diagnostics)
		require.True(t, ok, name)
		assert.Equal(t, []int{r.line, r.col}, []int{ds[0].Line, ds[0].Col}, "%s: %v", name, ds[0])
	}
}

// A small file must not become a large one in memory.
func TestAliasesDoNotBlowUp(t *testing.T) {
	for name, text := range map[string]string{
		"lists": "sessions:\n  s:\n    settings:\n      a: &a [x, x, x, x, x, x, x, x, x, x]\n" +
			"      b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n      c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n" +
			"      d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n      e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n" +
			"      f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]\n      g: [*f, *f, *f, *f, *f, *f, *f, *f, *f, *f]\n",
		"defaults": "defaults: {settings: {a: [" + strings.Repeat("1,", 1000) + "]}}\nsessions:\n" + sessions(1000, ""),
		"merges":   "defaults:\n  env: &e {" + manyKeys(1000) + "}\nsessions:\n" + sessions(1000, "{env: {<<: *e}}"),
	} {
		_, err := Parse("/x", []byte(text), nil)
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), "more values of this file than are accepted", name)
		assert.Less(t, len(err.Error()), 10_000, name)
	}
}

func sessions(n int, options string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("  s" + strings.Repeat("i", i%7) + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + ": " + options + "\n")
	}
	return b.String()
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("K" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)) + ": v, ")
	}
	return b.String()
}

// Every value of the sample files stands where its node says.
func TestPositionsOfAllValues(t *testing.T) {
	files, err := filepath.Glob("../testdata/config/*.txtar")
	require.NoError(t, err)
	checked := 0
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		require.NoError(t, err)
		text := string(archive.Files[0].Data)
		lines := strings.Split(text, "\n")
		at := func(line, col int) string { return string([]rune(lines[line-1])[col-1:]) }
		var visit func(n *node)
		visit = func(n *node) {
			switch {
			case n.kind == scalarNode && n.plain:
				if got := at(n.line, n.col); !strings.HasPrefix(got, "*") { // an alias is what it stands for
					assert.True(t, strings.HasPrefix(got, n.text), "%s:%d:%d: %q, want %q", file, n.line, n.col, got, n.text)
				}
				checked++
			case n.kind == scalarNode:
				assert.Contains(t, `"'|>`, at(n.line, n.col)[:1], "%s:%d:%d", file, n.line, n.col)
			}
			for _, item := range n.items {
				visit(item)
			}
			for _, e := range n.entries {
				assert.True(t, strings.HasPrefix(strings.TrimLeft(at(e.line, e.col), `"'`), e.key), "%s:%d:%d", file, e.line, e.col)
				visit(e.value)
			}
		}
		if root := parseText(text, &report{}, &budget{left: maxValues}); root != nil {
			visit(root)
		}
	}
	assert.Greater(t, checked, 100)
}
