package session

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/session/toolname"
)

// about reports whether a rule is about a tool, with whatever input.
func (r Rule) about(tool string) bool {
	tool = toolname.Now(tool)
	if _, _, mcp := r.MCP(); mcp {
		return r.Covers(Rule{Tool: tool})
	}
	if r.Of != "" {
		// Paths are compared with rules for two tools only, which are about all that read and all that write.
		switch r.Tool {
		case "Edit":
			return slices.Contains([]string{"Edit", "Write", "MultiEdit", "NotebookEdit"}, tool)
		case "Read":
			return slices.Contains([]string{"Read", "Grep", "Glob", "NotebookRead", "LSP"}, tool)
		}
		if slices.Contains(pathTools, r.Tool) {
			return false
		}
	}
	return r.Tool == tool
}

// matches reports whether a rule matches a use of a tool, by its text: links are not followed, and commands are taken apart
// without regard to quotes. A command matches that has a part which does.
func (r Rule) matches(tool string, input json.RawMessage, cwd string) bool {
	if !r.about(tool) {
		return false
	}
	if r.Of == "" {
		return true
	}
	var in struct {
		Command  string `json:"command"`
		FilePath string `json:"file_path"`
		Notebook string `json:"notebook_path"`
		Path     string `json:"path"`
		URL      string `json:"url"`
		Query    string `json:"query"`
	}
	if json.Unmarshal(input, &in) != nil {
		return false
	}
	switch {
	case r.Tool == "Bash":
		return slices.ContainsFunc(commandsOf(in.Command), r.command)
	case slices.Contains(pathTools, r.Tool):
		for _, path := range []string{in.FilePath, in.Notebook, in.Path} {
			if path != "" && r.path(path, cwd) {
				return true
			}
		}
		return false
	case r.Tool == "WebFetch":
		host, _ := strings.CutPrefix(r.Of, "domain:")
		_, rest, _ := strings.Cut(in.URL, "://")
		rest, _, _ = strings.Cut(rest, "/")
		return wild(host, rest)
	case r.Tool == "WebSearch":
		return in.Query == r.Of
	}
	return false
}

// commandsOf are the simple commands of a line of the shell, and the line itself.
func commandsOf(line string) []string {
	parts := []string{strings.TrimSpace(line)}
	for part := range strings.FieldsFuncSeq(line, func(c rune) bool { return strings.ContainsRune(";|&\n()`{}", c) }) {
		if part = strings.TrimSpace(part); part != parts[0] {
			parts = append(parts, strings.TrimSuffix(part, "$"))
		}
	}
	return parts
}

// command reports whether a simple command is one of those of the rule.
func (r Rule) command(command string) bool {
	if head, ok := strings.CutSuffix(r.Of, ":*"); ok {
		head = strings.TrimSpace(head)
		return command == head || strings.HasPrefix(command, head+" ")
	}
	if head, ok := strings.CutSuffix(r.Of, " *"); ok && command == head {
		return true
	}
	return wild(strings.TrimSpace(r.Of), command)
}

// wild compares with a pattern in which a * stands for anything.
func wild(pattern, text string) bool {
	head, rest, more := strings.Cut(pattern, "*")
	if !more {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, head)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	for _, part := range parts[:len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}

// path reports whether a file may be one of the rule's: what comes before a wildcard is compared.
func (r Rule) path(path, cwd string) bool {
	if !filepath.IsAbs(path) {
		path = filepath.Join(cwd, path)
	}
	path = filepath.Clean(path)
	head, anchored := r.Of, strings.Contains(strings.TrimSuffix(r.Of, "/"), "/")
	wildcard := strings.IndexAny(head, "*?[")
	if wildcard >= 0 {
		head = head[:wildcard]
	}
	switch {
	case strings.HasPrefix(head, "~"):
		return strings.Contains(path, strings.TrimPrefix(head, "~"))
	case strings.HasPrefix(head, "//"):
		head = head[1:]
	case anchored:
		head = filepath.Join(cwd, head) + map[bool]string{true: "/"}[strings.HasSuffix(head, "/")]
	default: // at any depth
		return strings.Contains(path, "/"+head)
	}
	if wildcard >= 0 {
		return strings.HasPrefix(path, head)
	}
	head = strings.TrimSuffix(head, "/")
	return path == head || strings.HasPrefix(path, head+"/")
}

// rulesFor are the rules of a list that match a use of a tool; if by their text none does, those that are about the tool, which is not
// exact.
func rulesFor(list []string, tool string, input json.RawMessage, cwd string) (found []string, exact bool) {
	for _, exact = range []bool{true, false} {
		for _, text := range list {
			r, err := ParseRule(text)
			if err == nil && (exact && r.matches(tool, input, cwd) || !exact && r.about(tool)) && !slices.Contains(found, text) {
				found = append(found, text)
			}
		}
		if len(found) > 0 {
			return found, exact
		}
	}
	return nil, false
}

// configuredRules are the rules of the options that allow, or deny: those of the lists, and of settings that are given inline.
func (o Options) configuredRules(denied bool) []string {
	rules, key := o.AllowedTools, "allow"
	if denied {
		rules, key = o.DisallowedTools, "deny"
	}
	rules = slices.Clone(rules)
	if permissions, ok := o.Settings.Values["permissions"].(map[string]any); ok {
		switch list := permissions[key].(type) {
		case []string:
			rules = append(rules, list...)
		case []any:
			for _, entry := range list {
				if text, ok := entry.(string); ok {
					rules = append(rules, text)
				}
			}
		}
	}
	return rules
}
