package session

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/toolname"
)

// Rule is a permission rule of the CLI, taken apart: a tool, and in parentheses which uses of it.
//
//	Read                      every use of the tool
//	Bash(git log:*)           commands that begin with "git log"
//	Bash(npm run *)           commands that match a pattern
//	Edit(src/**)              files below src of the working directory; so does Edit(/src/**)
//	Read(//srv/data/**)       two slashes: an absolute path
//	WebFetch(domain:go.dev)   one host
//	mcp__github               every tool of an MCP server; also mcp__github__*
//	mcp__github__get_issue    one of them
type Rule struct {
	// Tool is the tool's name as the CLI has it now: Task, KillShell and others were renamed.
	Tool string
	// Of is what stands in the parentheses; empty for every use.
	Of string
	// Bounded is Tool(*). For file tools the CLI does not take it for Tool: it allows them in the working
	// directories, where Tool allows them everywhere.
	Bounded bool

	text string
}

// String is the rule as it was written.
func (r Rule) String() string { return r.text }

// maxRule is how long a rule may be. Longer ones are no rules.
const maxRule = 4096

// ParseRule takes a rule apart. Its error says why the CLI would not take it for one rule, or would take it for another than
// was meant.
func ParseRule(text string) (Rule, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return Rule{}, errors.New("expected the name of a tool or a rule; remove the entry")
	case len(text) > maxRule:
		return Rule{}, fmt.Errorf("expected a rule, this text has %d bytes", len(text))
	case strings.ContainsAny(text, "\x00\n\r"):
		return Rule{}, errors.New("expected one line without NUL")
	}
	if parts := process.SplitRules(text); len(parts) != 1 || parts[0] != text {
		// For a list, the first closing parenthesis ends what an opening one began: Bash(a (b), Write) is two rules.
		return Rule{}, errors.New("expected one tool or rule; write one rule an entry; commas and spaces go inside of parentheses only")
	}
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 && end < 0 {
		return named(Rule{Tool: text, text: text})
	}
	if open < 0 || end != len(text)-1 || end <= open || strings.Contains(text[:open], ")") {
		return Rule{}, errors.New("expected balanced parentheses, such as Bash(git:*)")
	}
	r := Rule{Tool: text[:open], Of: text[open+1 : end], text: text}
	switch {
	case r.Tool == "":
		return Rule{}, errors.New("expected the name of a tool before the parenthesis")
	case strings.TrimSpace(r.Of) == "":
		return Rule{}, fmt.Errorf("there is nothing in the parentheses; for every use of the tool write %s", r.Tool)
	case strings.HasPrefix(r.Tool, "mcp__"):
		return Rule{}, fmt.Errorf("a rule for an MCP tool has no parentheses, and the CLI ignores this one; write %s", r.Tool)
	}
	if r.Of == "*" {
		r.Of, r.Bounded = "", true
	}
	return named(r)
}

// named looks at a rule's tool and what is in its parentheses.
func named(r Rule) (Rule, error) {
	if strings.ContainsAny(r.Tool, " \t,=\"'`$;|&<>") {
		return Rule{}, fmt.Errorf("%q is not the name of a tool", cut(r.Tool, 60))
	}
	r.Tool = toolname.Now(r.Tool)
	switch {
	case r.Tool == "Bash" && strings.TrimSpace(r.Of) == ":*":
		return Rule{}, errors.New("there is no command before :*; for every command write Bash")
	case r.Tool == "WebFetch" && r.Of != "" && !strings.HasPrefix(r.Of, "domain:"):
		return Rule{}, errors.New("expected WebFetch(domain:HOST), such as WebFetch(domain:go.dev); the CLI matches no addresses")
	case r.Tool == "WebSearch" && strings.ContainsAny(r.Of, "*?"):
		return Rule{}, errors.New("the CLI knows no wildcards for WebSearch")
	case slices.Contains(pathTools, r.Tool) && strings.Contains(r.Of, ":*"):
		return Rule{}, fmt.Errorf(":* is for commands only; for files write a pattern such as %s(src/**)", r.Tool)
	}
	return r, nil
}

// pathTools have paths in their parentheses.
var pathTools = []string{"Read", "Write", "Edit", "MultiEdit", "NotebookEdit", "NotebookRead", "Glob", "Grep"}

// MCP is the server and the tool of a rule about MCP tools. The tool is empty, or *, for all of a server.
func (r Rule) MCP() (server, tool string, ok bool) {
	rest, ok := strings.CutPrefix(r.Tool, "mcp__")
	if !ok || rest == "" {
		return "", "", false
	}
	server, tool, _ = strings.Cut(rest, "__")
	return server, tool, true
}

// Prefix is the beginning of the commands that a rule for Bash matches, and whether it is the whole command.
func (r Rule) Prefix() (words string, exact bool) {
	if head, ok := strings.CutSuffix(r.Of, ":*"); ok {
		return strings.TrimSpace(head), false
	}
	if i := strings.IndexByte(r.Of, '*'); i >= 0 {
		return strings.TrimSpace(r.Of[:i]), false
	}
	return strings.TrimSpace(r.Of), true
}

// Covers reports whether everything that other matches is matched by r. Patterns are compared by what they begin with
// and not by meaning: if it says no, that may be wrong.
func (r Rule) Covers(other Rule) bool {
	if server, tool, ok := r.MCP(); ok {
		s, t, ok := other.MCP()
		if !ok || server != s {
			return false
		}
		if tool == "" || tool == "*" {
			return true
		}
		if head, glob := strings.CutSuffix(tool, "*"); glob {
			return strings.HasPrefix(t, head)
		}
		return tool == t
	}
	if r.Tool != other.Tool {
		return false
	}
	switch {
	case r.Of == "" && !r.Bounded, r.Of == "" && r.Tool == "Bash", r.Of == other.Of && r.Bounded == other.Bounded:
		return true
	case r.Of == "" || other.Of == "":
		return false
	case r.Tool == "Bash":
		mine, exact := r.Prefix()
		theirs, _ := other.Prefix()
		if exact {
			return false
		}
		if strings.HasSuffix(r.Of, ":*") || strings.HasSuffix(r.Of, " *") && strings.Count(r.Of, "*") == 1 { // whole words
			return theirs == mine || strings.HasPrefix(theirs, mine+" ")
		}
		return false
	case slices.Contains(pathTools, r.Tool):
		head, all := strings.CutSuffix(r.Of, "/**")
		return all && !strings.ContainsAny(head, "*?[") && strings.HasPrefix(rooted(other.Of), rooted(head)+"/")
	}
	return false
}

// rooted writes a path of a rule such that those that begin in the working directory compare: src and /src are the same.
func rooted(path string) string {
	if strings.HasPrefix(path, "/") || strings.HasPrefix(path, "~") {
		return path
	}
	return "/" + strings.TrimPrefix(path, "./")
}
