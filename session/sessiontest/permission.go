package sessiontest

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// rule is a permission rule: a tool, or a tool with some of its inputs, like Bash(git log:*).
type rule struct {
	tool    string
	content string // empty for every input
}

// parseRules splits rules on commas and spaces outside of parentheses, as the CLI does.
func parseRules(values []string) []rule {
	var rules []rule
	for _, value := range values {
		depth, start := 0, 0
		flush := func(end int) {
			if text := strings.TrimSpace(value[start:end]); text != "" {
				rules = append(rules, parseRule(text))
			}
			start = end + 1
		}
		for i, c := range value {
			switch {
			case c == '(':
				depth++
			case c == ')':
				depth--
			case depth == 0 && (c == ',' || c == ' '):
				flush(i)
			}
		}
		flush(len(value))
	}
	return rules
}

func parseRule(text string) rule {
	tool, content, found := strings.Cut(text, "(")
	if !found {
		return rule{tool: text}
	}
	content = strings.TrimSuffix(content, ")")
	if content == "*" {
		content = ""
	}
	return rule{tool: tool, content: content}
}

// matches says whether the rule is about a shell command or a path of the tool. One that names an MCP server is about all its tools.
func (r rule) matches(tool, subject string) bool {
	if strings.HasPrefix(r.tool, "mcp__") && r.content == "" && strings.HasPrefix(tool, r.tool+"__") {
		return true
	}
	if r.tool != tool && (r.tool != "*" || r.content != "") {
		return false
	}
	if r.content == "" {
		return true
	}
	if prefix, ok := strings.CutSuffix(r.content, ":*"); ok {
		return subject == prefix || strings.HasPrefix(subject, prefix+" ")
	}
	return glob(r.content).MatchString(subject)
}

// glob turns a pattern in which * stands for anything into an expression.
func glob(pattern string) *regexp.Regexp {
	quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*\*`, `.*`)
	return regexp.MustCompile("^(?:" + strings.ReplaceAll(quoted, `\*`, `.*`) + ")$")
}

// verdict is what the rules and the mode say about a tool use.
type verdict struct {
	decision string // allow, deny or ask
	reason   string // rule, mode, subcommandResults, asyncAgent, classifier, or empty
	detail   string // why, where the CLI says so
	message  string // for a denial
	asked    bool   // nothing but a missing approval stands in the way
}

// policy decides about tool uses. It is pure: the simulation holds what it is made of.
type policy struct {
	mode            string
	allowed, denied []rule
	dirs            []string // the working directory and the added ones
	promptTool      bool
	promptsNone     bool
}

const (
	dontAskText = "Permission to use %s has been denied because Claude Code is running in don't ask mode."
	nobodyText  = "Permission for this tool use was denied. It requires approval, and this session has no approval surface, so it was denied automatically."
)

// decide follows the order of the CLI: deny rules, bypass, plan mode, allow rules, what only reads, acceptEdits, then asking.
//
// What needs asking is denied where nobody is there to answer: in mode dontAsk, with --permission-prompts none, and without
// --permission-prompt-tool stdio.
func (p policy) decide(tool string, input json.RawMessage) verdict {
	subjects := subjectsOf(tool, input)
	for _, s := range subjects {
		for _, r := range p.denied {
			if r.matches(tool, s) {
				return p.deniedByRule(tool, s)
			}
		}
	}
	if p.mode == "bypassPermissions" {
		return verdict{decision: "allow", reason: "mode"}
	}
	if p.mode == "plan" && (tool == "Write" || tool == "Edit") {
		return verdict{decision: "deny", reason: "mode", message: "Cannot write to " + pathOf(input) + " while in plan mode."}
	}
	if p.allowsAll(tool) || tool != "Bash" && p.allows(tool, subjects[0]) {
		return verdict{decision: "allow", reason: "rule"}
	}
	if startsAgent(tool) { // what it does is decided about one by one
		return verdict{decision: "allow"}
	}
	if tool == "Bash" && p.allowsCommands(subjects) { // each for a reason of its own
		return verdict{decision: "allow", reason: "subcommandResults"}
	}
	if onlyReads(tool) && p.inside(pathOf(input)) {
		return verdict{decision: "allow", reason: "mode"}
	}
	switch p.mode {
	case "acceptEdits":
		if (tool == "Write" || tool == "Edit") && p.inside(pathOf(input)) {
			return verdict{decision: "allow", reason: "mode"}
		}
	case "plan":
		return verdict{
			decision: "deny", reason: "classifier", detail: "Classifier unavailable",
			message: "Auto mode is unavailable: its safety check does not run for this session, so " + tool + " was not run.",
		}
	case "dontAsk":
		return verdict{decision: "deny", asked: true, reason: "mode", message: strings.Replace(dontAskText, "%s", tool, 1)}
	}
	return p.ask(tool, subjects)
}

// ask is the verdict where no rule and no mode decides.
func (p policy) ask(tool string, subjects []string) verdict {
	switch {
	case p.promptsNone:
		return verdict{
			decision: "deny", asked: true, reason: "asyncAgent", message: nobodyText,
			detail: "no approval surface in this session; permission request denied automatically",
		}
	case p.promptTool:
		return verdict{decision: "ask", asked: true}
	}
	what := tool
	if len(subjects) > 0 {
		what = tool + " " + subjects[0]
	}
	return verdict{decision: "deny", asked: true, message: what + " needs approval, and nobody can be asked in this session."}
}

func (p policy) deniedByRule(tool, subject string) verdict {
	if tool != "Bash" {
		return verdict{decision: "deny", reason: "rule", message: "Permission to use " + tool + " has been denied."}
	}
	return verdict{decision: "deny", reason: "subcommandResults", message: "Permission to use Bash with command " + subject + " has been denied."}
}

// allowsAll says whether an allow rule covers the tool, whatever it is used for.
func (p policy) allowsAll(tool string) bool {
	return slices.ContainsFunc(p.allowed, func(r rule) bool { return r.content == "" && r.matches(tool, "") })
}

func (p policy) allows(tool, subject string) bool {
	return slices.ContainsFunc(p.allowed, func(r rule) bool { return r.matches(tool, subject) })
}

// allowsCommands says whether each command of a shell line may run: by a rule, because it only reads, or because it edits files in a mode for that.
func (p policy) allowsCommands(commands []string) bool {
	for _, c := range commands {
		if !p.allows("Bash", c) && !among(readers, c) && !(p.mode == "acceptEdits" && among(editors, c)) {
			return false
		}
	}
	return len(commands) > 0
}

func (p policy) inside(path string) bool {
	for _, dir := range p.dirs {
		if rel, err := filepath.Rel(dir, path); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			return true
		}
	}
	return false
}

func pathOf(input json.RawMessage) string {
	var in struct {
		FilePath string `json:"file_path"`
	}
	_ = json.Unmarshal(input, &in) // no path then
	return in.FilePath
}

func commandOf(input json.RawMessage) string {
	var in struct {
		Command string `json:"command"`
	}
	_ = json.Unmarshal(input, &in) // no command then
	return in.Command
}

// subjectsOf is what rules are compared with: the commands of a shell line, or the path.
func subjectsOf(tool string, input json.RawMessage) []string {
	if tool == "Bash" {
		return splitCommands(commandOf(input))
	}
	return []string{pathOf(input)}
}

// splitCommands cuts a shell line at its operators, outside of quotes.
func splitCommands(line string) []string {
	var commands []string
	var current strings.Builder
	quote := rune(0)
	flush := func() {
		if text := strings.TrimSpace(current.String()); text != "" {
			commands = append(commands, text)
		}
		current.Reset()
	}
	for _, c := range line {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
			current.WriteRune(c)
		case c == '\'' || c == '"':
			quote = c
			current.WriteRune(c)
		case c == ';' || c == '|' || c == '&' || c == '\n':
			flush()
		default:
			current.WriteRune(c)
		}
	}
	flush()
	return commands
}

var (
	readers = []string{"cat", "cd", "date", "echo", "false", "file", "find", "grep", "head", "id", "ls", "printf", "pwd", "stat", "tail", "test", "true", "uname", "wc", "which", "whoami"}
	editors = []string{"cp", "mkdir", "mv", "rm", "rmdir", "sed", "touch"}
)

// onlyReads says so of a tool for files.
func onlyReads(tool string) bool { return tool == "Read" || tool == "Glob" || tool == "Grep" }

// among says whether a command is a plain use of one of those programs.
func among(names []string, command string) bool {
	first, _, _ := strings.Cut(command, " ")
	return slices.Contains(names, first) && !strings.ContainsAny(command, ">`$")
}
