package process

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// PermissionModes returns the permission modes of the CLI, as it spells them. "default" and "manual" are the same.
func PermissionModes() []string {
	return []string{"acceptEdits", "auto", "bypassPermissions", "default", "dontAsk", "manual", "plan"}
}

// maxArg is the longest single argument that Linux accepts (MAX_ARG_STRLEN, 32 pages, with the final NUL).
// A longer one fails in exec as "argument list too long", without saying which.
const maxArg = 128<<10 - 1

// Argv returns the arguments that follow the program name: PrefixArgs, the flags that every session needs,
// and those of the options that are set, always in the same order. Values are joined to their flag with
// "=", since a value that begins with a dash would be read as a flag of its own.
//
// It reads SettingsPath when one is set, and touches nothing else. Every problem is reported as an error
// that names the option: the CLI would end at once on most of them, and would ignore the others.
func (l Launch) Argv() ([]string, error) {
	args := append([]string{}, l.PrefixArgs...)
	// --await-initialize: the hooks and servers of the first frame are in place before anything else, also before what a
	// resumed conversation left unfinished; and MCP servers may be in that frame, whose secrets do not belong here.
	args = append(args, "--print", "--verbose", "--input-format=stream-json", "--output-format=stream-json", "--await-initialize")
	if !l.OtherMCPServers && !l.WorkspaceMCP {
		args = append(args, "--strict-mcp-config")
	}

	for _, s := range l.SettingSources {
		if s != "user" && s != "project" && s != "local" {
			return nil, fmt.Errorf("setting_sources: unknown source %q; use user, project or local", s)
		}
	}
	args = append(args, "--setting-sources="+strings.Join(l.SettingSources, ","))

	conversation, err := l.conversationFlags()
	if err != nil {
		return nil, err
	}
	args = append(args, conversation...)

	flag := func(name, value string) {
		if value != "" {
			args = append(args, "--"+name+"="+value)
		}
	}
	flag("model", l.Model)
	model, err := l.modelFlags()
	if err != nil {
		return nil, err
	}
	args = append(args, model...)
	flag("system-prompt", l.SystemPrompt)
	flag("append-system-prompt", l.AppendSystemPrompt)
	flag("append-subagent-system-prompt", l.AppendSubagentSystemPrompt)
	for _, dir := range l.AddDir {
		if dir == "" {
			return nil, fmt.Errorf("add_dir: an empty path; remove it")
		}
		flag("add-dir", dir)
	}
	places, err := l.placeFlags()
	if err != nil {
		return nil, err
	}
	args = append(args, places...)
	if l.PermissionMode != "" && !slices.Contains(PermissionModes(), l.PermissionMode) {
		return nil, fmt.Errorf("permission_mode: unknown mode %q; use one of %s",
			cut(l.PermissionMode, 80), strings.Join(PermissionModes(), ", "))
	}
	flag("permission-mode", l.PermissionMode)
	if l.SkipPermissions {
		args = append(args, "--dangerously-skip-permissions")
	}
	if l.AllowSkipPermissions {
		args = append(args, "--allow-dangerously-skip-permissions")
	}

	for _, list := range []struct {
		option, flag string
		rules        []string
		emptyCounts  bool
	}{
		{"allowed_tools", "allowedTools", l.AllowedTools, false},
		{"disallowed_tools", "disallowedTools", l.DisallowedTools, false},
		{"tools", "tools", l.Tools, true},
	} {
		if err := checkRules(list.option, list.rules); err != nil {
			return nil, err
		}
		if len(list.rules) > 0 || list.emptyCounts && list.rules != nil {
			args = append(args, "--"+list.flag+"="+strings.Join(list.rules, ","))
		}
	}

	if l.MaxTurns < 0 {
		return nil, fmt.Errorf("max_turns: %d is negative; use a positive number, or 0 for no limit", l.MaxTurns)
	}
	if l.MaxTurns > 0 {
		flag("max-turns", strconv.Itoa(l.MaxTurns))
	}
	if b := l.MaxBudgetUSD; b != nil {
		if !(*b > 0) || math.IsInf(*b, 0) { // the negation catches NaN
			return nil, fmt.Errorf("max_budget_usd: %v is not a positive amount; the CLI refuses it", *b)
		}
		flag("max-budget-usd", strconv.FormatFloat(*b, 'f', -1, 64))
	}
	if l.NoSessionPersistence {
		args = append(args, "--no-session-persistence")
	}
	settings, err := l.settingsFlags()
	if err != nil {
		return nil, err
	}
	args = append(args, settings...)
	for _, p := range l.Plugins {
		name := "plugin-dir"
		if p.NoMCP {
			name = "plugin-dir-no-mcp"
		}
		path, err := l.inDir(p.Path)
		if err != nil || p.Path == "" {
			return nil, fmt.Errorf("plugins: %q is no path", p.Path)
		}
		flag(name, path)
	}
	frames, err := l.frameFlags()
	if err != nil {
		return nil, err
	}
	args = append(args, frames...)
	prompts, err := l.promptFlags()
	if err != nil {
		return nil, err
	}
	args = append(args, prompts...)
	extra, err := l.extraFlags(args[len(l.PrefixArgs):])
	if err != nil {
		return nil, err
	}
	args = append(args, extra...)
	return args, l.checkArgs(args)
}

// checkArgs looks at the finished arguments: what exec would refuse, and what must not be readable by
// every user of the machine in /proc/PID/cmdline.
func (l Launch) checkArgs(args []string) error {
	secrets := l.secrets()
	for _, a := range args {
		name, _, _ := strings.Cut(a, "=")
		name = cut(name, 80)
		if strings.IndexByte(a, 0) >= 0 {
			return fmt.Errorf("argument %q: contains a NUL byte", name)
		}
		if len(a) > maxArg {
			return fmt.Errorf("argument %q: %d bytes, the system accepts %d in one argument; "+
				"use a shorter text, or a flag that takes a file (system-prompt-file, settings path)", name, len(a), maxArg)
		}
		for _, s := range secrets {
			if strings.Contains(a, s) {
				// The name may be the secret itself when there is no "=".
				return fmt.Errorf("argument %q: contains the API key or a secret from env; arguments are readable by every user "+
					"of the machine, keep secrets in env or api_key", strings.ReplaceAll(name, s, "[redacted]"))
			}
		}
	}
	return nil
}

// ownFlags are the flags that ExtraArgs may not give, with what to do instead. A second --print or another
// output format would break the protocol; a second value of the others would silently win or lose.
var ownFlags = map[string]string{
	"print": "it is always sent", "verbose": "it is always sent", "await-initialize": "it is always sent",
	"input-format": "the runtime speaks stream-json only", "output-format": "the runtime speaks stream-json only",
	"session-id": "use session_id", "resume": "use resume", "continue": "use continue", "from-pr": "use from_pr",
	"fork-session": "use fork_session", "resume-session-at": "use resume_session_at", "resume-drops-turn": "use resume_drops_turn",
	"session-mirror":  "the runtime would not read its frames",
	"setting-sources": "use setting_sources", "settings": "use settings", "managed-settings": "use managed_settings",
	"managed-settings-in-initialize": "use managed_settings", "initialize-fields": "the runtime writes that frame",
	"model": "use model", "strict-mcp-config": "use strict_mcp_config",
	"allow-dangerously-skip-permissions": "use allow_dangerously_skip_permissions",
	"system-prompt":                      "use system_prompt", "append-system-prompt": "use append_system_prompt", "add-dir": "use add_dir",
	"permission-mode": "use permission_mode", "dangerously-skip-permissions": "use dangerously_skip_permissions",
	"allowedTools": "use allowed_tools", "allowed-tools": "use allowed_tools",
	"disallowedTools": "use disallowed_tools", "disallowed-tools": "use disallowed_tools", "tools": "use tools",
	"max-turns": "use max_turns", "max-budget-usd": "use max_budget_usd",
	"no-session-persistence":   "use no_session_persistence",
	"include-partial-messages": "use include_partial_messages",
	"permission-prompt-tool":   "use permission_prompt_tool",
	"permission-prompts":       "use permission_prompts",
	"help":                     "the CLI would print its help and end", "version": "the CLI would print its version and end",
	"bg": "the CLI would leave the runtime's control", "background": "the CLI would leave the runtime's control",
	"cloud": "the session would run elsewhere", "teleport": "the session would run elsewhere",
	"environment": "the session would run elsewhere", "tmux": "the CLI would leave the runtime's control",
	"desktop": "the CLI would leave the runtime's control", "remote-control": "the runtime owns the session",
	"sdk-url": "the runtime talks over stdin and stdout",
}

// extraFlags are ExtraArgs as flags. given are the flags that other options have become.
func (l Launch) extraFlags(given []string) ([]string, error) {
	seen := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(l.ExtraArgs)) {
		name := strings.TrimPrefix(key, "--")
		if !flagName(name) {
			return nil, fmt.Errorf("extra_args: %q is not the long name of a flag; write it like debug-file or --debug-file, the value apart",
				cut(key, 80))
		}
		if why, ours := ownFlags[name]; ours {
			return nil, fmt.Errorf("extra_args: --%s can't be given here: %s", name, why)
		}
		if slices.ContainsFunc(given, func(arg string) bool { return arg == "--"+name || strings.HasPrefix(arg, "--"+name+"=") }) {
			return nil, fmt.Errorf("extra_args: --%s is given by an option of its own already; remove one of them", name)
		}
		if _, twice := seen[name]; twice {
			return nil, fmt.Errorf("extra_args: --%s is given twice, with and without dashes", name)
		}
		seen[name] = key
	}
	var args []string
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if v := l.ExtraArgs[seen[name]]; v != nil {
			args = append(args, "--"+name+"="+*v)
		} else {
			args = append(args, "--"+name)
		}
	}
	return args, nil
}

func flagName(s string) bool {
	if len(s) < 2 || s[0] == '-' { // one letter is a short flag, and "-" + letter could be any of ours
		return false
	}
	for _, c := range s {
		if c != '-' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return false
			}
		}
	}
	return true
}

// inDir resolves a path as a program in Dir would.
func (l Launch) inDir(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(l.Dir, path)
	}
	return filepath.Abs(path)
}

// cut shortens foreign text for an error message.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
