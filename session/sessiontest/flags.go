package sessiontest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// version is the CLI version that the simulation was compared with.
const version = "2.1.330"

// arity says what a flag takes.
type arity int

const (
	bare     arity = iota // nothing
	single                // one value
	optional              // a value or nothing
	variadic              // one value or more, up to the next flag
)

// flagArity has every flag of the CLI, the hidden ones included. What the simulation does not act on is accepted.
var flagArity = map[string]arity{
	"add-dir": variadic, "agent": single, "agents": single, "allow-dangerously-skip-permissions": bare,
	"allowedTools": variadic, "allowed-tools": variadic, "append-system-prompt": single, "append-system-prompt-file": single,
	"append-subagent-system-prompt": single, "autocompact": single, "await-claim": bare, "await-initialize": bare, "ax-screen-reader": bare,
	"bare": bare, "betas": variadic, "brief": bare, "channels": variadic, "chrome": bare, "continue": bare,
	"dangerously-skip-permissions": bare, "debug": optional, "debug-file": single, "debug-to-stderr": bare,
	"disable-slash-commands": bare, "disallowedTools": variadic, "disallowed-tools": variadic, "effort": single,
	"enable-auth-status": bare, "exclude-dynamic-system-prompt-sections": bare, "fallback-model": single, "file": variadic,
	"fork-session": bare, "forward-subagent-text": bare, "from-pr": optional, "ide": bare, "include-hook-events": bare,
	"include-partial-messages": bare, "inherit-permission-mode": bare, "init": bare, "initialize-fields": single,
	"input-format": single, "json-schema": single, "maintenance": bare, "managed-settings": single,
	"managed-settings-in-initialize": bare, "max-budget-usd": single, "max-thinking-tokens": single, "max-turns": single,
	"mcp-config": variadic, "model": single, "name": single, "no-chrome": bare, "no-session-persistence": bare,
	"output-format": single, "permission-mode": single, "permission-prompt-tool": single, "permission-prompts": single,
	"plan-mode-instructions": single, "plugin-dir": single, "plugin-dir-no-mcp": single, "plugin-url": single, "print": bare,
	"project-config-root": single, "prompt-suggestions": optional, "replay-user-messages": bare, "restricted": bare,
	"resume": optional, "resume-drops-turn": single, "resume-session-at": single, "safe-mode": bare, "sdk-url": single,
	"session-id": single, "session-mirror": bare, "setting-sources": single, "settings": single, "strict-mcp-config": bare,
	"system-prompt": single, "system-prompt-file": single, "system-prompt-snapshot": single, "task-budget": single,
	"thinking": single, "thinking-display": single, "tools": variadic, "verbose": bare, "version": bare, "workload": single,
	"worktree": optional,
}

var shortFlags = map[string]string{"-p": "print", "-v": "version", "-c": "continue", "-r": "resume", "-d": "debug", "-n": "name", "-w": "worktree"}

// invocation is an argument list, understood.
type invocation struct {
	version         bool
	streaming       bool // stream-json both ways
	model           string
	permissionMode  string
	bypassAllowed   bool
	allowed, denied []rule
	tools           []string // nil for the default set
	addDirs         []string
	promptTool      bool // --permission-prompt-tool stdio
	promptsNone     bool // --permission-prompts none
	maxTurns        int
	maxBudget       float64
	partial         bool
	forward         bool // --forward-subagent-text
	persist         bool
	sessionID       string
	resume          string
	resuming        bool
	continuing      bool
	fork            bool
	awaitInitialize bool
	// Settings that must be in the first frame.
	settingsInInitialize, managedInInitialize bool

	warnings []string
}

// usageError is what the CLI prints to stderr before it exits with 1.
type usageError string

func (e usageError) Error() string { return string(e) }

var (
	launchModes = []string{"acceptEdits", "auto", "bypassPermissions", "manual", "dontAsk", "plan"}
	wireModes   = []string{"acceptEdits", "auto", "bypassPermissions", "default", "dontAsk", "plan"}
	efforts     = []string{"low", "medium", "high", "xhigh", "max"}
)

// parseArguments reads an argument list as the CLI does.
func parseArguments(args []string) (invocation, error) {
	values, err := splitArguments(args)
	if err != nil {
		return invocation{}, err
	}
	inv := invocation{persist: true, permissionMode: "default"}
	for _, v := range values {
		if err := inv.set(v.name, v.values); err != nil {
			return invocation{}, err
		}
	}
	if inv.version {
		return inv, nil
	}
	return inv, inv.check(values)
}

// argument is one flag with its values.
type argument struct {
	name   string
	values []string
}

func (a argument) first() string {
	if len(a.values) == 0 {
		return ""
	}
	return a.values[0]
}

func splitArguments(args []string) ([]argument, error) {
	var found []argument
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			break
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			continue // a prompt, which stream-json input does not use
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if long, ok := shortFlags[arg]; ok {
			name, hasValue = long, false
		}
		kind, known := flagArity[name]
		if !known || !strings.HasPrefix(arg, "--") && shortFlags[arg] == "" {
			return nil, usageError(fmt.Sprintf("error: unknown option '%s'", strings.SplitN(arg, "=", 2)[0]))
		}
		a := argument{name: name}
		if hasValue {
			a.values = []string{value}
		}
		follows := func() bool { return i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") }
		switch {
		case kind == single && !hasValue:
			if i+1 >= len(args) {
				return nil, usageError(fmt.Sprintf("error: option '--%s <value>' argument missing", name))
			}
			i++
			a.values = []string{args[i]}
		case kind == optional && !hasValue && follows():
			i++
			a.values = []string{args[i]}
		case kind == variadic && !hasValue && !follows() && i+1 < len(args) && args[i+1] == "":
			i++
			a.values = []string{""}
		case kind == variadic:
			for follows() {
				i++
				a.values = append(a.values, args[i])
			}
			if a.values == nil {
				return nil, usageError(fmt.Sprintf("error: option '--%s <values...>' argument missing", name))
			}
		}
		found = append(found, a)
	}
	return found, nil
}

func (inv *invocation) set(name string, values []string) error {
	value := argument{values: values}.first()
	switch name {
	case "version":
		inv.version = true
	case "model":
		inv.model = value
	case "permission-mode":
		if value != "default" && !slices.Contains(launchModes, value) {
			return invalid("--permission-mode <mode>", value, "Allowed choices are "+strings.Join(launchModes, ", ")+".")
		}
		inv.permissionMode = normalMode(value)
		inv.bypassAllowed = inv.bypassAllowed || value == "bypassPermissions"
	case "dangerously-skip-permissions":
		inv.permissionMode, inv.bypassAllowed = "bypassPermissions", true
	case "allow-dangerously-skip-permissions":
		inv.bypassAllowed = true
	case "allowedTools", "allowed-tools":
		inv.allowed = append(inv.allowed, parseRules(values)...)
	case "disallowedTools", "disallowed-tools":
		inv.denied = append(inv.denied, parseRules(values)...)
	case "tools":
		inv.setTools(values)
	case "add-dir":
		inv.addDirs = append(inv.addDirs, values...)
	case "permission-prompt-tool":
		inv.promptTool = value == "stdio"
	case "permission-prompts":
		if value != "host" && value != "none" {
			return invalid("--permission-prompts <target>", value, "Allowed choices are host, none.")
		}
		inv.promptsNone = value == "none"
	case "max-turns":
		turns, err := strconv.Atoi(value)
		if err != nil {
			return invalid("--max-turns <turns>", value, "must be a number")
		}
		inv.maxTurns = turns
	case "max-budget-usd":
		budget, err := strconv.ParseFloat(value, 64)
		if err != nil || budget <= 0 {
			return invalid("--max-budget-usd <amount>", value, "--max-budget-usd must be a number greater than 0")
		}
		inv.maxBudget = budget
	case "thinking":
		if choices := []string{"enabled", "adaptive", "disabled"}; !slices.Contains(choices, value) {
			return invalid("--thinking <mode>", value, "Allowed choices are "+strings.Join(choices, ", ")+".")
		}
	case "effort":
		if !slices.Contains(efforts, value) {
			inv.warnings = append(inv.warnings, fmt.Sprintf("Warning: Unknown --effort value '%s' — ignoring it. Valid values: %s.", value, strings.Join(efforts, ", ")))
		}
	case "forward-subagent-text":
		inv.forward = true
	case "include-partial-messages":
		inv.partial = true
	case "no-session-persistence":
		inv.persist = false
	case "session-id":
		inv.sessionID = value
	case "resume":
		inv.resume, inv.resuming = value, true
	case "continue":
		inv.continuing = true
	case "fork-session":
		inv.fork = true
	case "await-initialize":
		inv.awaitInitialize = true
	case "setting-sources":
		for source := range strings.SplitSeq(value, ",") {
			if source = strings.TrimSpace(source); source != "" && !slices.Contains([]string{"user", "project", "local"}, source) {
				return usageError("Error processing --setting-sources: Invalid setting source: " + source + ". Valid options are: user, project, local")
			}
		}
	case "initialize-fields":
		for field := range strings.SplitSeq(value, ",") {
			if field != "settings" && field != "disallowedTools" {
				return usageError(fmt.Sprintf("error: option '--initialize-fields <names>' argument '%s' is invalid. This Claude Code does not take %q in "+
					"--initialize-fields. Update Claude Code, or send the value by its flag.", value, field))
			}
			inv.settingsInInitialize = inv.settingsInInitialize || field == "settings"
		}
	case "managed-settings-in-initialize":
		inv.managedInInitialize = true
	case "settings":
		return inv.setSettings(value)
	}
	return nil
}

func invalid(option, value, why string) error {
	return usageError(fmt.Sprintf("error: option '%s' argument '%s' is invalid. %s", option, value, why))
}

// normalMode is how a mode is reported: manual is default.
func normalMode(mode string) string {
	if mode == "manual" {
		return "default"
	}
	return mode
}

func (inv *invocation) setTools(values []string) {
	inv.tools = []string{}
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			switch name = strings.TrimSpace(name); name {
			case "":
			case "default":
				inv.tools = nil
				return
			default:
				inv.tools = append(inv.tools, name)
			}
		}
	}
}

// setSettings takes a settings layer, in place or in a file.
func (inv *invocation) setSettings(value string) error {
	var data []byte
	trimmed := strings.TrimSpace(value)
	if strings.HasPrefix(trimmed, "{") && json.Valid([]byte(trimmed)) {
		data = []byte(trimmed)
	} else {
		path, err := filepath.Abs(value)
		if err != nil {
			path = value
		}
		if data, err = os.ReadFile(path); err != nil {
			return usageError("Error: Settings file not found: " + path)
		}
	}
	inv.takeSettings(data, false)
	return nil
}

// takeSettings takes the permission rules out of a settings layer; the rest is accepted. The policy tier can only restrict.
func (inv *invocation) takeSettings(data []byte, managed bool) {
	var layer struct {
		Permissions struct {
			Allow []string `json:"allow"`
			Deny  []string `json:"deny"`
		} `json:"permissions"`
	}
	if err := json.Unmarshal(data, &layer); err != nil {
		return // the CLI drops a layer with a wrong value, in silence
	}
	if !managed {
		inv.allowed = append(inv.allowed, parseRules(layer.Permissions.Allow)...)
	}
	inv.denied = append(inv.denied, parseRules(layer.Permissions.Deny)...)
}

// check looks at what flags mean together.
func (inv *invocation) check(given []argument) error {
	formats := map[string]string{}
	has := map[string]bool{}
	for _, a := range given {
		has[a.name] = true
		formats[a.name] = a.first()
	}
	inv.streaming = formats["input-format"] == "stream-json" && formats["output-format"] == "stream-json"
	switch {
	case formats["output-format"] == "stream-json" && !has["verbose"]:
		return usageError("Error: When using --print, --output-format=stream-json requires --verbose")
	case !inv.streaming:
		return usageError("Error: the simulation speaks --input-format stream-json with --output-format stream-json only")
	}
	switch {
	case inv.settingsInInitialize && !inv.awaitInitialize:
		return usageError("Error: --initialize-fields requires --await-initialize and --input-format=stream-json with stdin piped, and cannot be used with --sdk-url or a subcommand.")
	case inv.settingsInInitialize && has["settings"]:
		return usageError("Error: --initialize-fields=settings cannot be used with --settings.")
	case inv.managedInInitialize && has["managed-settings"]:
		return usageError("Error: --managed-settings-in-initialize cannot be used with --managed-settings.")
	}
	if inv.sessionID != "" {
		if _, err := uuid.Parse(inv.sessionID); err != nil {
			return usageError("Error: Invalid session ID. Must be a valid UUID.")
		}
		if (inv.resuming || inv.continuing) && !inv.fork {
			return usageError("Error: --session-id can only be used with --continue or --resume if --fork-session is also specified.")
		}
	}
	return nil
}

// modelNames are the names behind the aliases.
var modelNames = map[string]string{
	"": "claude-opus-5-5", "default": "claude-opus-5-5", "opus": "claude-opus-5-5",
	"sonnet": "claude-sonnet-5-5", "haiku": "claude-haiku-5-5",
}

func resolveModel(name string) string {
	if resolved, ok := modelNames[name]; ok {
		return resolved
	}
	return name
}

// callPrice is what one model call costs at list prices, in USD.
func callPrice(model string) float64 {
	switch {
	case strings.Contains(model, "haiku"):
		return 0.00125
	case strings.Contains(model, "sonnet"):
		return 0.0025
	case strings.Contains(model, "opus-4"):
		return 0.00625
	}
	return 0.005
}
