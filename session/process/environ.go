package process

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// MarkerVariable is the environment variable that holds Launch.Marker in the CLI and in everything it starts.
const MarkerVariable = "UNDERSTUDY_SESSION"

// inherited is what a CLI needs of the runtime's environment: where things are, who it is, how to reach
// the network. Names of locale variables are matched by prefix.
var inherited = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_*", "TZ", "TERM",
	"TMPDIR", "CLAUDE_CODE_TMPDIR", "CLAUDE_CONFIG_DIR",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

// InheritedNames returns the default allowlist: exact names, and prefixes that end in "*".
func InheritedNames() []string { return slices.Clone(inherited) }

// neverInherited changes what code runs in the child, or tells it that it is part of another session.
// Patterns skip these; naming one is an error. To set one on purpose there is Env.
var neverInherited = []string{
	"LD_*", "DYLD_*", "NODE_OPTIONS", "BUN_*", "BASH_ENV", "ENV", "CLAUDECODE", "CLAUDE_PID", "UNDERSTUDY_*",
	"CLAUDE_CODE_SESSION_ID", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT", "CLAUDE_CODE_MESSAGING_*",
	"CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS", "CLAUDE_CODE_CHILD_SESSION", "CLAUDE_CODE_EXECPATH",
}

// InheritAll in Launch.InheritEnv stands for the whole environment of the runtime, its secrets included, but for what is never
// inherited.
const InheritAll = "all"

// reservedNames are set by the runtime alone, because it depends on them.
var reservedNames = []string{MarkerVariable, "CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS"}

// Environ returns the child's environment, "NAME=value", sorted and without duplicates, made from parent (usually
// os.Environ()): what the allowlist and InheritEnv let through, then defaults of the runtime, then Env, then
// the key and the marker. The variables of the runtime:
//
//	ANTHROPIC_API_KEY                        APIKey, if set and not in a pipe
//	CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR      with APIKeyFD: where the CLI reads the key
//	ANTHROPIC_BASE_URL, NO_PROXY             with APIProxy
//	CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST=1   where there is a key: tools, hooks and MCP servers don't get it
//	CLAUDE_CODE_ENTRYPOINT=sdk-go
//	DISABLE_AUTOUPDATER=1
//	CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS=1  (reserved)
//	CLAUDE_CODE_ENABLE_SDK_FILE_CHECKPOINTING=true, CLAUDE_CODE_QUESTION_PREVIEW_FORMAT and
//	CLAUDE_CODE_MAX_CONCURRENT_SUBAGENTS     for their options
//	UNDERSTUDY_SESSION                       Marker (reserved)
//	PWD                                      Dir, if set
//
// Env may change those that are not reserved. Variables of an outer Claude Code session (CLAUDECODE,
// CLAUDE_CODE_…), of the dynamic linker and of the JavaScript runtime are not inherited, whatever a
// pattern matches; an exact name in InheritEnv may name a CLAUDE_CODE_ variable that is a setting.
func (l Launch) Environ(parent []string) ([]string, error) {
	for _, p := range l.InheritEnv {
		if err := CheckInherit(p); err != nil {
			return nil, err
		}
	}
	env := map[string]string{}
	for _, kv := range parent {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || name == "" || strings.IndexByte(kv, 0) >= 0 {
			continue // the parent's oddities are not the user's mistakes
		}
		if l.inherits(name) {
			env[name] = value
		}
	}
	env["CLAUDE_CODE_ENTRYPOINT"] = "sdk-go"
	env["DISABLE_AUTOUPDATER"] = "1"
	env["CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS"] = "1"
	if l.FileCheckpointing {
		env["CLAUDE_CODE_ENABLE_SDK_FILE_CHECKPOINTING"] = "true"
	}
	if l.QuestionPreview != "" {
		env["CLAUDE_CODE_QUESTION_PREVIEW_FORMAT"] = l.QuestionPreview
	}
	if l.MaxSubagents > 0 {
		env["CLAUDE_CODE_MAX_CONCURRENT_SUBAGENTS"] = strconv.Itoa(l.MaxSubagents)
	}
	if l.Dir != "" {
		dir, err := l.inDir(".")
		if err != nil {
			return nil, fmt.Errorf("cwd %q: %w", l.Dir, err)
		}
		env["PWD"] = dir
	}
	for _, name := range slices.Sorted(maps.Keys(l.Env)) {
		value := l.Env[name]
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			return nil, fmt.Errorf("env: %q is not a name of an environment variable", cut(name, 80))
		case strings.IndexByte(value, 0) >= 0:
			return nil, fmt.Errorf("env: the value of %s contains a NUL byte", name)
		case slices.Contains(reservedNames, name):
			return nil, fmt.Errorf("env: %s is set by the runtime; remove it", name)
		case name == "ANTHROPIC_API_KEY" && l.APIKey != "":
			return nil, fmt.Errorf("env: ANTHROPIC_API_KEY is given twice, in env and as api_key; remove one")
		}
		env[name] = value
	}
	if strings.ContainsAny(l.APIKey, "\x00\r\n") {
		return nil, fmt.Errorf("api_key: contains a line break or a NUL byte; check where it is read from")
	}
	switch {
	case l.APIKey == "":
	case l.APIKeyFD:
		env["CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR"] = keyDescriptor
	default:
		env["ANTHROPIC_API_KEY"] = l.APIKey
	}
	if l.APIProxy != "" {
		env["ANTHROPIC_BASE_URL"] = l.APIProxy
		for _, name := range []string{"NO_PROXY", "no_proxy"} { // it is on this machine
			if list := env[name]; list == "" {
				env[name] = "127.0.0.1"
			} else {
				env[name] = list + ",127.0.0.1"
			}
		}
	}
	if l.APIKey != "" || env["ANTHROPIC_API_KEY"] != "" || env["ANTHROPIC_AUTH_TOKEN"] != "" {
		if _, chosen := l.Env["CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST"]; !chosen {
			env["CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST"] = "1"
		}
	}
	if strings.IndexByte(l.Marker, 0) >= 0 {
		return nil, fmt.Errorf("marker: contains a NUL byte")
	}
	if l.Marker != "" {
		env[MarkerVariable] = l.Marker
	}
	out := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out, nil
}

func (l Launch) inherits(name string) bool {
	if slices.Contains(l.UnsetEnv, name) {
		return false
	}
	if slices.Contains(l.InheritEnv, name) || slices.Contains(inherited, name) {
		return true
	}
	if matches(neverInherited, name) || strings.HasPrefix(name, "CLAUDE_CODE_") {
		return false
	}
	return matches(inherited, name) || matches(l.InheritEnv, name) || slices.Contains(l.InheritEnv, InheritAll)
}

// CheckInherit says what is wrong with an entry of Launch.InheritEnv.
func CheckInherit(pattern string) error {
	stem, prefix := strings.CutSuffix(pattern, "*")
	switch {
	case pattern == "*":
		return fmt.Errorf(`inherit_env: "*" is no prefix; name what is needed, a prefix like "AWS_*", or %q if the whole environment is meant`, InheritAll)
	case stem == "" || strings.ContainsAny(stem, "=*\x00"):
		return fmt.Errorf(`inherit_env: %q is neither a name nor a prefix like "AWS_*"`, cut(pattern, 80))
	case prefix && !strings.HasSuffix(stem, "_"):
		return fmt.Errorf(`inherit_env: %q: a prefix ends in an underscore before the star, like "AWS_*"`, cut(pattern, 80))
	case prefix && strings.HasPrefix(stem, "CLAUDE_CODE_"):
		return fmt.Errorf("inherit_env: %q would hand over the state of an outer session; name the variables that are meant", cut(pattern, 80))
	case matches(neverInherited, stem), slices.Contains(neverInherited, pattern):
		return fmt.Errorf("inherit_env: %s is never inherited (it changes what runs, or belongs to an outer session); set it in env if it is meant",
			cut(pattern, 80))
	}
	return nil
}

func matches(patterns []string, name string) bool {
	for _, p := range patterns {
		if stem, ok := strings.CutSuffix(p, "*"); ok && strings.HasPrefix(name, stem) || p == name {
			return true
		}
	}
	return false
}

func lookup(env []string, name string) (string, bool) {
	for _, kv := range env {
		if n, v, ok := strings.Cut(kv, "="); ok && n == name {
			return v, true
		}
	}
	return "", false
}
