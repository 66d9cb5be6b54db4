package session

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/session/toolname"
)

// RuleTrouble is what is wrong with a rule that the CLI takes.
type RuleTrouble string

const (
	// RuleMatchesNothing is a rule without any effect.
	RuleMatchesNothing RuleTrouble = "matches nothing"
	// RuleContradicted is a rule that another one takes back. Denying wins, whichever is more exact.
	RuleContradicted RuleTrouble = "contradicted"
	// RuleTooWide is a rule that allows more than it seems to.
	RuleTooWide RuleTrouble = "allows more than it seems"
	// RuleEvaded is a rule that denies less than it seems to.
	RuleEvaded RuleTrouble = "denies less than it seems"
)

// RuleFinding is something about a rule that its writer would want to know.
type RuleFinding struct {
	// List is allowed_tools, disallowed_tools or tools, Index the rule's place in it.
	List  string
	Index int
	Rule  string
	// Trouble is what kind of finding it is; Why says it in a sentence, Fix what to do.
	Trouble RuleTrouble
	Why     string
	Fix     string
}

// ReviewRules looks at the rules of a session together. It takes lists whose entries ParseRule accepts; others are
// skipped. The options are taken as they are; give it Effective ones. What it finds are no mistakes of form: the CLI takes all of it, and does something else than one would think.
func ReviewRules(o Options) []RuleFinding {
	r := review{options: o}
	r.allowed, r.denied = parsed(o.AllowedTools), parsed(o.DisallowedTools)
	for _, a := range r.allowed {
		r.list, r.at = "allowed_tools", a
		before := len(r.found)
		if r.reach(a.Rule, true); len(r.found) > before {
			continue
		}
		r.contradicted(a.Rule)
		r.width(a.Rule)
	}
	for _, d := range r.denied {
		r.list, r.at = "disallowed_tools", d
		r.reach(d.Rule, false)
		r.evaded(d.Rule)
	}
	for i, name := range o.Tools {
		r.list, r.at = "tools", placed{Rule{Tool: name, text: name}, i}
		if strings.ContainsAny(name, "(*") && name != "default" {
			r.add(RuleMatchesNothing, "tools takes names of tools, no rules", "name the tool here, and write the rule into allowed_tools")
		}
	}
	return r.found
}

type placed struct {
	Rule
	index int
}

func parsed(list []string) []placed {
	var out []placed
	for i, text := range list {
		if r, err := ParseRule(text); err == nil {
			out = append(out, placed{r, i})
		}
	}
	return out
}

type review struct {
	options         Options
	allowed, denied []placed
	list            string
	at              placed
	found           []RuleFinding
}

func (r *review) add(trouble RuleTrouble, why, fix string) {
	r.found = append(r.found, RuleFinding{r.list, r.at.index, r.at.String(), trouble, why, fix})
}

// builtin are the tools of CLI 2.1.330, for telling a misspelt name. Not all are there in every session.
var builtin = []string{
	"Agent", "AskUserQuestion", "Bash", "BashOutput", "Cd", "CronCreate", "CronDelete", "CronList", "Edit", "EnterPlanMode", "EnterWorktree",
	"ExitPlanMode", "ExitWorktree", "Glob", "Grep", "LSP", "ListAgents", "ListMcpResourcesTool", "Monitor", "MultiEdit", "NotebookEdit",
	"NotebookRead", "PowerShell", "PushNotification", "REPL", "Read", "ReadMcpResourceDirTool", "ReadMcpResourceTool", "RemoteTrigger", "ReportFindings",
	"ScheduleWakeup", "SendMessage", "SendUserMessage", "SetGoal", "Skill", "SlashCommand", "StructuredOutput", "TaskCreate", "TaskGet", "TaskList",
	"TaskOutput", "TaskStop", "TaskUpdate", "TodoWrite", "ToolSearch", "WebFetch", "WebSearch", "Workflow", "Write",
}

// BuiltinTool reports whether the CLI has a tool of that name itself, in its newest known version.
func BuiltinTool(name string) bool { return slices.Contains(builtin, name) }

// reach finds rules that can match nothing.
func (r *review) reach(rule Rule, allow bool) {
	_, _, mcp := rule.MCP()
	glob := strings.Contains(rule.Tool, "*")
	switch {
	case allow && glob && !(mcp && onlyInTool(rule)):
		r.add(RuleMatchesNothing, "an allow rule with a wildcard in the name of the tool or server is ignored by the CLI", "name the tools; mcp__SERVER__* is possible")
		return
	case !mcp && !glob && !slices.Contains(builtin, rule.Tool):
		fix := "look at the list of tools that a session's init message has"
		for _, name := range builtin {
			if strings.EqualFold(name, rule.Tool) {
				fix = "did you mean " + name + "?"
			}
		}
		r.add(RuleMatchesNothing, fmt.Sprintf("the CLI has no tool %q that is known here", cut(rule.Tool, 60)), fix)
	case r.options.Tools != nil && allow && !mcp && !glob && !slices.Contains(r.options.Tools, "default") && !r.exists(rule.Tool):
		r.add(RuleMatchesNothing, "the tool is not among tools, so that it does not exist in this session", "add it to tools, or remove the rule")
	}
	switch rule.Tool {
	case "Write", "MultiEdit", "NotebookEdit", "Glob", "NotebookRead", "Grep":
		if rule.Of != "" {
			use := "Edit"
			if rule.Tool == "Glob" || rule.Tool == "NotebookRead" || rule.Tool == "Grep" {
				use = "Read"
			}
			r.add(RuleMatchesNothing, fmt.Sprintf("the CLI compares paths with rules for %s only, for all tools of its kind", use), fmt.Sprintf("write %s(%s)", use, rule.Of))
		}
	}
	if (rule.Tool == "Read" || rule.Tool == "Edit") && strings.HasPrefix(rule.Of, "/") && !strings.HasPrefix(rule.Of, "//") && r.leadsOutside(rule.Of) {
		r.add(RuleMatchesNothing, "a path with one slash begins in the working directory, not in the root of the file system",
			fmt.Sprintf("write %s(/%s) for the absolute path, or %s(%s) for one in the working directory", rule.Tool, rule.Of, rule.Tool, strings.TrimPrefix(rule.Of, "/")))
	}
	if rule.Tool == "Bash" {
		if head, ok := strings.CutSuffix(rule.Of, ":*"); ok && strings.Contains(head, "*") {
			r.add(RuleMatchesNothing, "before :* a star is a star: only commands with a literal * there match", "write the pattern without the colon, such as Bash(npm run *)")
		} else if !ok && strings.Contains(rule.Of, ":*") {
			r.add(RuleMatchesNothing, "a :* that is not at the end is a colon and a wildcard, and no prefix", "put it at the end")
		}
	}
}

// onlyInTool reports whether the wildcard of an MCP rule is in the tool's name.
func onlyInTool(rule Rule) bool {
	server, tool, _ := rule.MCP()
	return server != "" && !strings.Contains(server, "*") && strings.Contains(tool, "*")
}

func (r *review) exists(tool string) bool {
	return slices.ContainsFunc(r.options.Tools, func(name string) bool { return toolname.Now(name) == tool })
}

// roots of a file system that nobody has in a project.
var systemRoots = []string{"app", "bin", "boot", "dev", "etc", "home", "lib", "media", "mnt", "opt", "proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var", "Users"}

// leadsOutside reports whether a path with one slash looks like an absolute one: it begins as the directories of the session
// do, or as those of a system.
func (r *review) leadsOutside(of string) bool {
	for _, dir := range append(slices.Clone(r.options.AddDir), r.options.CWD) {
		if dir != "" && dir != "/" && (of == dir || strings.HasPrefix(of, dir+"/")) {
			return true
		}
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(of, "/"), "/")
	return slices.Contains(systemRoots, first)
}

// contradicted finds allow rules that a deny rule takes back in full.
func (r *review) contradicted(allow Rule) {
	for _, deny := range r.denied {
		if deny.Covers(allow) {
			r.add(RuleContradicted, fmt.Sprintf("%s in disallowed_tools matches all that this allows, and denying wins", deny.String()), "remove one of them")
			return
		}
	}
}

// width finds allow rules that allow more than they seem to.
func (r *review) width(allow Rule) {
	if server, tool, ok := allow.MCP(); ok {
		if tool == "" || tool == "*" {
			r.add(RuleTooWide, fmt.Sprintf("it allows every tool that the server %s has, and those that it will have", server), "name the tools: mcp__"+server+"__TOOL")
		}
		return
	}
	switch allow.Tool {
	case "Bash":
		r.commands(allow)
	case "PowerShell", "REPL", "Monitor":
		if allow.Of == "" {
			r.add(RuleTooWide, "it runs any command", "leave it out, or name the commands in parentheses")
		}
	case "Agent", "Workflow":
		// What subagents do is held to the same rules.
	case "Write":
		if allow.Of == "" && !allow.Bounded && !r.options.confined() {
			r.add(RuleTooWide, "it allows writing every file that this user may write, also outside of the working directories", "write Write(*) or Edit(**) for the working directories")
		}
	case "Edit":
		if allow.Of == "" && !allow.Bounded && !r.options.confined() {
			r.add(RuleTooWide, "it allows editing every file that this user may write, also outside of the working directories", "write Edit(*) or Edit(**) for the working directories")
		}
	case "WebFetch":
		if of := strings.TrimPrefix(allow.Of, "domain:"); allow.Of == "" || strings.HasPrefix(of, "*") && strings.Count(of, ".") < 2 {
			r.add(RuleTooWide, "it fetches any address, and can carry away what the agent has read", "name the hosts: WebFetch(domain:HOST)")
		}
	}
}

// What commands can do beyond what their name says.
var (
	shells = []string{"sh", "bash", "zsh", "dash", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "busybox", "toybox", "pwsh", "powershell", "su", "sudo", "doas", "runuser"}
	// runners execute the command that follows.
	runners = []string{
		"env", "xargs", "time", "timeout", "nice", "nohup", "setsid", "stdbuf", "ionice", "chrt", "taskset", "watch", "strace", "ltrace", "script", "flock", "unshare",
		"nsenter", "chroot", "command", "builtin", "exec", "eval", "source", ".", "parallel", "entr", "ssh", "docker", "podman", "kubectl", "systemd-run", "at", "crontab",
	}
	interpreters = []string{
		"python", "python3", "perl", "ruby", "node", "deno", "bun", "php", "lua", "awk", "gawk", "mawk", "tclsh", "expect", "Rscript", "julia", "elixir", "erl", "iex", "java", "gdb",
		"vi", "vim", "nvim", "emacs", "ed", "nano",
	}
	// builders run what the repository says.
	builders = []string{
		"make", "cmake", "ninja", "npm", "npx", "yarn", "pnpm", "bunx", "pip", "pip3", "uv", "uvx", "poetry", "cargo", "go", "mvn", "gradle", "gradlew", "mix", "rake", "bundle", "gem", "composer",
		"bazel", "just", "task", "tox", "nox", "pytest", "jest", "vitest", "dotnet", "sbt", "ant", "meson",
	}
	// escapes run another program, or write any file, by an option.
	escapes = map[string]string{
		"git": "-c, aliases, hooks, pagers and external diffs run programs", "hg": "aliases and hooks run programs",
		"find": "-exec, -execdir, -delete and -fprintf run programs and remove or write files", "fd": "--exec runs programs",
		"tar": "--to-command and --checkpoint-action run programs", "zip": "-TT runs a program", "rsync": "-e runs a program",
		"sed": "its e command and flag run programs, w writes files", "sort": "--compress-program runs a program, -o writes a file",
		"less": "! runs programs", "more": "! runs programs", "man": "its pager runs programs", "rg": "--pre runs a program",
		"curl": "it writes files, and carries away what the agent has read", "wget": "it writes files, and carries away what the agent has read",
		"nc": "it carries away what the agent has read", "socat": "EXEC runs programs", "scp": "-S runs a program", "tee": "it writes any file",
		"cp": "it writes any file", "mv": "it writes any file", "dd": "it writes any file", "ln": "links lead file tools elsewhere", "install": "it writes any file",
		"gh": "aliases and extensions run programs", "openssl": "it writes files and opens connections", "xdg-open": "it starts programs", "open": "it starts programs",
		"export": "LD_PRELOAD and PATH change what later commands run", "patch": "it writes files", "systemctl": "it starts services",
	}
)

// commands says what a rule for Bash allows beyond what it seems to.
func (r *review) commands(allow Rule) {
	const anything = "it runs any command"
	if allow.Of == "" {
		r.add(RuleTooWide, anything+sandboxed(r.options), "name the commands: Bash(git log:*)")
		return
	}
	words, exact := allow.Prefix()
	fields := strings.Fields(words)
	for len(fields) > 0 && strings.Contains(fields[0], "=") { // variables before the command
		fields = fields[1:]
	}
	if len(fields) == 0 {
		r.add(RuleTooWide, anything, "begin the rule with a command: Bash(git log:*)")
		return
	}
	name := path.Base(fields[0])
	if exact {
		return // one command, as it is written
	}
	why := ""
	bare := strings.TrimRight(name, "0123456789.")
	switch {
	case slices.Contains(shells, name):
		why = "a shell runs any command"
	case slices.Contains(runners, name):
		why = "it runs the command that is given to it, which may be any"
	case (slices.Contains(interpreters, name) || slices.Contains(interpreters, bare)) && (len(fields) == 1 || strings.HasPrefix(fields[len(fields)-1], "-")):
		why = "an interpreter runs any program that it is given"
	case name == "go" && len(fields) > 1 && !slices.Contains([]string{"run", "generate", "test", "tool", "build", "vet", "install", "env"}, fields[1]):
	case slices.Contains(builders, name) && len(fields) == 1:
		why = "it runs what the repository's files tell it to, and has options that run programs"
	case name == "go" && slices.Contains([]string{"run", "generate", "test", "tool", "vet", "build"}, fields[1]):
		why = "it runs code of the repository, and -exec or -toolexec any program"
	case escapes[name] != "" && len(fields) == 1:
		why = escapes[name]
	case name == "git" && len(fields) > 1 && (strings.HasPrefix(fields[1], "-") || slices.Contains([]string{"config", "bisect", "submodule", "rebase", "filter-branch", "difftool", "mergetool"}, fields[1])):
		why = "this part of git runs programs that its options or the configuration name"
	case name == "find" && len(fields) > 1:
		why = escapes["find"]
	}
	if why == "" {
		return
	}
	fix := fmt.Sprintf("name what is meant, such as Bash(%s SUBCOMMAND:*), and keep Bash in the sandbox", name)
	if name == "git" {
		fix = "name subcommands that only look, such as Bash(git log:*) and Bash(git diff:*), and keep Bash in the sandbox"
	}
	if slices.Contains(shells, name) || slices.Contains(runners, name) {
		fix = "name the commands that are meant, each in a rule of its own"
	}
	r.add(RuleTooWide, why, fix)
}

func sandboxed(o Options) string {
	if o.Sandbox.On() {
		return "; the sandbox is all that holds it"
	}
	return ""
}

// evaded finds deny rules that do not keep what they name from happening.
func (r *review) evaded(deny Rule) {
	shell := slices.ContainsFunc(r.allowed, func(a placed) bool { return a.Tool == "Bash" })
	switch deny.Tool {
	case "Bash":
		if deny.Of == "" || !shell {
			return
		}
		// Only worth saying where what is allowed can do it in other words.
		wide := slices.ContainsFunc(r.allowed, func(a placed) bool {
			other := review{options: r.options}
			if a.Tool == "Bash" {
				other.commands(a.Rule)
			}
			return len(other.found) > 0
		})
		if wide {
			r.add(RuleEvaded, "it stops the command in this spelling; what allowed_tools has can do the same in other words (a path, a shell, an option that runs programs)",
				"allow less, or keep Bash in the sandbox")
		}
	case "Write", "Edit":
		if deny.Of == "" && shell && !r.options.Sandbox.On() {
			r.add(RuleEvaded, "Bash writes files too", "allow only commands that do not, or sandbox Bash with filesystem.denyWrite")
		}
	case "Read":
		if shell && !r.options.Sandbox.On() {
			r.add(RuleEvaded, "Bash reads files too", "sandbox Bash with filesystem.denyRead")
		}
	case "WebFetch", "WebSearch":
		if shell && !r.options.Sandbox.On() && slices.ContainsFunc(r.allowed, func(a placed) bool { return a.Tool == "Bash" && a.Of == "" }) {
			r.add(RuleEvaded, "Bash reaches the network too", "sandbox Bash with network.strictAllowlist")
		}
	}
}
