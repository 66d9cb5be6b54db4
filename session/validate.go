package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/understudy-run/understudy/session/protocol"
)

// Validate reports everything that is wrong with the options by themselves, all of it at once: also what the CLI
// refuses in combination, or would leave out in silence. What needs a look at the machine (directories, the binary)
// is found when the session is started. The error joins a Problem for each.
func (o Options) Validate() error {
	var problems []error
	for _, p := range o.Problems() {
		problems = append(problems, p)
	}
	return errors.Join(problems...)
}

// faults are the problems that are not about privileges.
func (o Options) faults() []Problem {
	var problems []Problem
	add := func(option string, value any, expected string) {
		problems = append(problems, Problem{Path: option, Value: fmt.Sprint(value), Message: "expected " + expected})
	}
	together := func(option string, value any, expected string) {
		add(option, value, expected)
		problems[len(problems)-1].Combination = true
	}
	o.checkNumbers(add)
	o.checkWords(add, together)
	o.checkConversation(add, together)
	o.checkPermissions(add, together)
	if o.Settings.Path != "" && o.Settings.Values != nil {
		add("settings", o.Settings.Path, "either a file or values")
	}
	for _, name := range slices.Sorted(maps.Keys(o.Agents)) {
		o.Agents[name].problems(name, add)
	}
	for _, name := range slices.Sorted(maps.Keys(o.MCPServers)) {
		o.MCPServers[name].problems(name, add)
	}
	for i, p := range o.Plugins {
		if p.Path == "" {
			add(fmt.Sprintf("plugins[%d].path", i), "", "a directory or a .zip file")
		}
	}
	o.Hooks.problems(add)
	if len(o.DialogKinds) > 0 && o.OnUserDialog == nil {
		add("DialogKinds", o.DialogKinds, "OnUserDialog as well")
	}
	return problems
}

type adder = func(option string, value any, expected string)

func (o Options) checkNumbers(add adder) {
	if !(o.MaxBudgetUSD >= 0) {
		add("max_budget_usd", o.MaxBudgetUSD, "0 (no limit) or more")
	}
	for _, n := range []struct {
		name, zero string
		value      int
	}{
		{"max_turns", "no limit", o.MaxTurns},
		{"max_subagents", "no limit", o.MaxSubagents},
		{"max_identical_tool_calls", "no limit", o.MaxIdenticalToolCalls},
		{"max_queue", "for the default", o.MaxQueue},
		{"max_line_bytes", "for the default", o.MaxLineBytes},
		{"task_budget", "for none", o.TaskBudget},
		{"resume_attempts", "for the default", o.ResumeAttempts},
		{"thinking.budget_tokens", "for the default", o.Thinking.BudgetTokens},
	} {
		if n.value < 0 {
			add(n.name, n.value, fmt.Sprintf("0 (%s) or more", n.zero))
		}
	}
	if n := o.MaxToolCycles; n < 0 || n == 1 {
		add("max_tool_cycles", n, "0 (no limit), or 2 or more: once is no cycle")
	}
	if o.MaxUnreadBytes < 0 {
		add("max_unread_bytes", o.MaxUnreadBytes, "0 (for the default) or more")
	}
	if n := o.MaxThinkingTokens; n != nil && *n < 0 {
		add("max_thinking_tokens", *n, "0 (no thinking) or more")
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"start_timeout", o.StartTimeout}, {"turn_timeout", o.TurnTimeout},
		{"control_timeout", o.ControlTimeout}, {"permission_timeout", o.PermissionTimeout},
		{"interrupt_grace", o.InterruptGrace}, {"idle_timeout", o.IdleTimeout},
	} {
		if d.value < 0 {
			add(d.name, d.value, "0 or more")
		}
	}
}

// skillName are the names of skills that a permission rule can hold.
var skillName = regexp.MustCompile(`^[^(),\x00-\x1f*/\s][^(),\x00-\x1f*]*$`)

func (o Options) checkWords(add, together adder) {
	if !o.Effort.valid() {
		add("effort", o.Effort, effortWords()+": the CLI ignores others")
	}
	t := o.Thinking
	if t.Type != "" && !slices.Contains(thinkingTypes, t.Type) {
		add("thinking.type", t.Type, orWords(thinkingTypes))
	}
	if t.Display != "" && !slices.Contains(thinkingDisplays, t.Display) {
		add("thinking.display", t.Display, orWords(thinkingDisplays))
	}
	switch {
	case t.Type == "" && t.BudgetTokens > 0:
		together("thinking.budget_tokens", t.BudgetTokens, "thinking.type enabled with it")
	case t.Type != ThinkingEnabled && t.BudgetTokens > 0:
		together("thinking.budget_tokens", t.BudgetTokens, "none for thinking.type "+string(t.Type))
	}
	if t != (Thinking{}) && o.MaxThinkingTokens != nil {
		together("max_thinking_tokens", *o.MaxThinkingTokens, "none beside thinking, which says the same")
	}
	if o.FallbackModel != "" {
		for name := range strings.SplitSeq(o.FallbackModel, ",") {
			switch strings.TrimSpace(name) {
			case "":
				add("fallback_model", o.FallbackModel, "names separated by commas")
			case o.Model:
				together("fallback_model", o.FallbackModel, "models other than model: it has failed when a fallback is tried")
			}
		}
	}
	for _, beta := range o.Betas {
		if beta == "" || strings.ContainsAny(beta, ", ") {
			add("betas", beta, "one name an entry")
		}
	}
	f := o.OutputFormat
	switch {
	case f.Type != "" && f.Type != OutputJSONSchema:
		add("output_format.type", f.Type, OutputJSONSchema)
	case f.Type != "" && f.Schema == nil:
		add("output_format.schema", "is missing", "a JSON Schema")
	case f.Schema != nil:
		if _, err := json.Marshal(f.Schema); err != nil {
			add("output_format.schema", err, "values that JSON has")
		} else if kind, set := f.Schema["type"]; set && kind != "object" {
			add("output_format.schema", "has another type", "type: object, which is what the model can answer with")
		}
	}
	if !slices.Contains([]ResumeFailure{"", ResumePark, ResumeFresh}, o.OnResumeFailure) {
		add("on_resume_failure", o.OnResumeFailure, "park or fresh")
	}
	if slices.Contains(o.Budgets, "") {
		add("budgets", o.Budgets, "names of budgets")
	}
	if p := o.ToolConfig.AskUserQuestion.PreviewFormat; p != "" && p != "markdown" && p != "html" {
		add("tool_config.ask_user_question.preview_format", p, "markdown or html")
	}
	for _, name := range o.Skills {
		if !skillName.MatchString(name) || name == "all" && len(o.Skills) > 1 {
			add("skills", cut(name, 80), `names of skills, or the one entry "all"`)
		}
	}
	for _, from := range slices.Sorted(maps.Keys(o.ToolAliases)) {
		if from == "" || o.ToolAliases[from] == "" {
			add("tool_aliases", fmt.Sprintf("%q: %q", from, o.ToolAliases[from]), "names of tools")
		}
	}
	if o.ProjectConfigRoot != "" && !filepath.IsAbs(o.ProjectConfigRoot) {
		add("project_config_root", o.ProjectConfigRoot, "an absolute path")
	}
	if o.ExclusiveCWD && o.elsewhere() {
		together("exclusive_cwd", true, "no container that runs already, and no launcher.command, beside it: cwd is no directory of this host there, and cannot be held")
	}
	if o.Worktree.On && strings.HasPrefix(o.Worktree.Value, "-") {
		add("worktree", o.Worktree.Value, "true or a name")
	}
	for _, file := range o.File {
		if id, path, ok := strings.Cut(file, ":"); !ok || id == "" || path == "" {
			add("file", file, "file_id:relative_path")
		}
	}
	if len(o.File) > 0 && o.Env["CLAUDE_CODE_SESSION_ACCESS_TOKEN"] == "" && !slices.Contains(o.InheritEnv, "CLAUDE_CODE_SESSION_ACCESS_TOKEN") {
		together("file", "is set", "CLAUDE_CODE_SESSION_ACCESS_TOKEN in env as well: the CLI downloads with it, and ends without it")
	}
}

func (o Options) checkConversation(add, together adder) {
	if _, err := uuid.Parse(o.SessionID); o.SessionID != "" && (err != nil || len(o.SessionID) != 36) {
		add("session_id", cut(o.SessionID, 60), "a UUID")
	}
	var from []string
	for _, way := range []struct {
		option string
		set    bool
	}{{"resume", o.Resume != ""}, {"continue", o.Continue}, {"from_pr", o.FromPR != ""}} {
		if way.set {
			from = append(from, way.option)
		}
	}
	if len(from) > 1 {
		together(from[1], "is set", "it without "+from[0]+": each names a conversation to go on with")
	}
	if o.ForkSession && len(from) == 0 {
		together("fork_session", true, "resume, continue or from_pr as well: there is nothing to copy")
	}
	if o.SessionID != "" && len(from) > 0 && !o.ForkSession {
		together("session_id", o.SessionID, "fork_session with "+from[0]+": a conversation that is gone on with keeps its own id")
	}
	if o.ResumeSessionAt != "" && o.Resume == "" {
		together("resume_session_at", o.ResumeSessionAt, "resume as well")
	}
	if o.ResumeDropsTurn != "" && o.ResumeSessionAt == "" {
		together("resume_drops_turn", o.ResumeDropsTurn, "resume_session_at as well")
	}
	if strings.HasPrefix(o.Resume, "-") {
		add("resume", cut(o.Resume, 60), "an id, a title or the path of a transcript")
	}
}

// ForSeveral is what several sessions cannot have in common: a conversation, since two processes on one would each write a history of
// its own into the same file, and nobody would be told; and a directory that is to be one session's own.
func (o Options) ForSeveral() []Problem {
	var problems []Problem
	add := func(option string, value any, message string) {
		problems = append(problems, Problem{Path: option, Value: fmt.Sprint(value), Combination: true, Message: message})
	}
	if o.SessionID != "" {
		add("session_id", o.SessionID, "several sessions cannot have one conversation; leave it out")
	}
	if o.ExclusiveCWD && (!o.Worktree.On || o.Worktree.Value != "") {
		add("exclusive_cwd", true, "several sessions cannot have one directory, each to itself; add worktree: true, which gives each a checkout of its own, or leave it out")
	}
	if o.ForkSession {
		return problems
	}
	const copied = "several sessions cannot go on with one conversation; add fork_session, which gives each a copy of it"
	if o.Resume != "" {
		add("resume", o.Resume, copied)
	}
	if o.Continue {
		add("continue", o.Continue, copied)
	}
	if o.FromPR != "" {
		add("from_pr", o.FromPR, copied)
	}
	return problems
}

// Claim is the conversation that the options say the session has, in words that are equal for two sessions that would be on one, and
// the option that says so. Both are empty if the session gets one of its own: nothing is said, or a copy is asked for.
func (o Options) Claim() (conversation, option string) {
	switch {
	case o.SessionID != "":
		return strings.ToLower(o.SessionID), "session_id"
	case o.ForkSession:
		return "", ""
	case o.Resume != "":
		if _, err := uuid.Parse(o.Resume); err == nil {
			return strings.ToLower(o.Resume), "resume"
		}
		return fmt.Sprintf("%q in %s", o.Resume, o.CWD), "resume"
	case o.Continue:
		return "the latest one in " + o.CWD, "continue"
	case o.FromPR != "":
		return fmt.Sprintf("that of %s in %s", o.FromPR, o.CWD), "from_pr"
	}
	return "", ""
}

func (o Options) checkPermissions(add, together adder) {
	if o.PermissionPrompts != "" && !slices.Contains(permissionPrompts, o.PermissionPrompts) {
		add("permission_prompts", o.PermissionPrompts, orWords(permissionPrompts))
	}
	none := o.PermissionPrompts == PromptsNone
	if none && o.CanUseTool != nil {
		together("permission_prompts", o.PermissionPrompts, "no CanUseTool: it would never be called")
	}
	if tool := o.PermissionPromptTool; tool != "" {
		switch {
		case none:
			together("permission_prompt_tool", tool, "permission_prompts other than none, which asks nobody")
		case o.CanUseTool != nil:
			together("permission_prompt_tool", tool, "no CanUseTool: only one of them is asked")
		case !strings.HasPrefix(tool, "mcp__") || strings.Count(tool, "__") < 2:
			add("permission_prompt_tool", tool, "the name of an MCP tool, mcp__SERVER__TOOL")
		}
	}
	if mode := o.PermissionMode; o.DangerouslySkipPermissions && mode != "" && mode != protocol.ModeBypassPermissions {
		together("permission_mode", mode, "none beside dangerously_skip_permissions, which is the mode bypassPermissions")
	}
}
