package process

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Efforts returns the levels of effort, from the least.
func Efforts() []string { return []string{"low", "medium", "high", "xhigh", "max"} }

// ThinkingModes returns how the model may think.
func ThinkingModes() []string { return []string{"adaptive", "enabled", "disabled"} }

// ThinkingDisplays returns what is shown of it.
func ThinkingDisplays() []string { return []string{"summarized", "omitted", "highlights"} }

// modelFlags are about the model and what it is given to think with.
func (l Launch) modelFlags() ([]string, error) {
	for _, word := range []struct {
		option, value string
		words         []string
	}{
		{"thinking.type", l.Thinking, ThinkingModes()},
		{"thinking.display", l.ThinkingDisplay, ThinkingDisplays()},
		{"effort", l.Effort, Efforts()},
	} {
		if word.value != "" && !slices.Contains(word.words, word.value) {
			return nil, fmt.Errorf("%s: unknown word %q; use one of %s", word.option, cut(word.value, 80), strings.Join(word.words, ", "))
		}
	}
	var args []string
	add := func(name, value string) {
		if value != "" {
			args = append(args, "--"+name+"="+value)
		}
	}
	add("fallback-model", l.FallbackModel)
	add("agent", l.Agent)
	if l.Thinking != "enabled" || l.MaxThinkingTokens == nil { // a budget says both, and would not count beside it
		add("thinking", l.Thinking)
	}
	add("thinking-display", l.ThinkingDisplay)
	if l.MaxThinkingTokens != nil {
		if *l.MaxThinkingTokens < 0 {
			return nil, fmt.Errorf("max_thinking_tokens: %d is negative; use 0 for no thinking", *l.MaxThinkingTokens)
		}
		add("max-thinking-tokens", strconv.Itoa(*l.MaxThinkingTokens))
	}
	add("effort", l.Effort)
	add("json-schema", l.JSONSchema)
	for _, beta := range l.Betas { // one flag each: a list with commas is taken for one name
		if beta == "" || strings.ContainsAny(beta, ", ") {
			return nil, fmt.Errorf("betas: %q is no name of a beta; write one name an entry", cut(beta, 80))
		}
		add("betas", beta)
	}
	if l.TaskBudget < 0 {
		return nil, fmt.Errorf("task_budget: %d is negative; use a number of tokens, or 0 for none", l.TaskBudget)
	}
	if l.TaskBudget > 0 {
		add("task-budget", strconv.Itoa(l.TaskBudget))
	}
	return args, nil
}

// placeFlags are about where the CLI works and what it gets to work on.
func (l Launch) placeFlags() ([]string, error) {
	var args []string
	if root := l.ProjectConfigRoot; root != "" {
		if !filepath.IsAbs(root) {
			return nil, fmt.Errorf("project_config_root: %q is not absolute; the CLI refuses it", cut(root, 200))
		}
		args = append(args, "--project-config-root="+root)
	}
	if l.Worktree != "" {
		args = append(args, "--worktree="+l.Worktree)
	}
	for _, file := range l.Files {
		id, path, ok := strings.Cut(file, ":")
		if !ok || id == "" || path == "" {
			return nil, fmt.Errorf("file: %q; write file_id:relative_path", cut(file, 80))
		}
		args = append(args, "--file="+file)
	}
	if l.MCPConfig != "" {
		path, err := l.inDir(l.MCPConfig)
		if err != nil {
			return nil, fmt.Errorf("mcp_config %q: %w", cut(l.MCPConfig, 200), err)
		}
		args = append(args, "--mcp-config="+path)
	}
	return args, nil
}

// frameFlags are about what is said on stdout, and to the debug log.
func (l Launch) frameFlags() ([]string, error) {
	var args []string
	for _, flag := range []struct {
		name string
		on   bool
	}{
		{"include-partial-messages", l.IncludePartialMessages},
		{"include-hook-events", l.IncludeHookEvents},
		{"replay-user-messages", l.ReplayUserMessages},
		{"disable-slash-commands", l.DisableSlashCommands},
	} {
		if flag.on {
			args = append(args, "--"+flag.name)
		}
	}
	switch {
	case l.DebugFilter != "":
		args = append(args, "--debug="+l.DebugFilter)
	case l.Debug:
		args = append(args, "--debug")
	}
	if l.DebugFile != "" {
		path, err := l.inDir(l.DebugFile)
		if err != nil {
			return nil, fmt.Errorf("debug_file %q: %w", cut(l.DebugFile, 200), err)
		}
		args = append(args, "--debug-file="+path)
	}
	return args, nil
}

// promptFlags say who answers permission questions.
func (l Launch) promptFlags() ([]string, error) {
	switch {
	case l.PermissionPromptsNone && (l.PermissionPromptStdio || l.PermissionPromptTool != ""):
		return nil, fmt.Errorf("permission prompts: asking somebody and denying all questions exclude each other; choose one")
	case l.PermissionPromptStdio && l.PermissionPromptTool != "":
		return nil, fmt.Errorf("permission prompts: the host and permission_prompt_tool exclude each other; choose one")
	case l.PermissionPromptStdio:
		return []string{"--permission-prompt-tool=stdio"}, nil
	case l.PermissionPromptTool != "":
		return []string{"--permission-prompt-tool=" + l.PermissionPromptTool}, nil
	case l.PermissionPromptsNone:
		return []string{"--permission-prompts=none"}, nil
	}
	return nil, nil
}
