package lint

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// attack is something in a repository that works when the repository is trusted.
type attack struct{ file, what string }

// workspace lists what the settings of a repository would do.
func workspace(host Host, cwd string) []attack {
	if host.ReadFile == nil || cwd == "" {
		return nil
	}
	var out []attack
	for _, name := range []string{".claude/settings.json", ".claude/settings.local.json"} {
		file := filepath.Join(cwd, name)
		data, err := host.ReadFile(file)
		if err != nil {
			continue
		}
		add := func(format string, args ...any) { out = append(out, attack{file, fmt.Sprintf(format, args...)}) }
		var s map[string]any
		if json.Unmarshal(data, &s) != nil {
			add("it is no JSON object")
			continue
		}
		if hooks, ok := s["hooks"].(map[string]any); ok {
			for _, event := range slices.Sorted(maps.Keys(hooks)) {
				add("hooks: a program runs at %s", event)
			}
		}
		if env, ok := s["env"].(map[string]any); ok {
			for _, variable := range slices.Sorted(maps.Keys(env)) {
				switch {
				case strings.HasSuffix(variable, "_BASE_URL"):
					add("env: %s sends the key and the conversation elsewhere", variable)
				case strings.HasPrefix(variable, "LD_"), variable == "PATH", strings.HasSuffix(variable, "_OPTIONS"), variable == "BASH_ENV":
					add("env: %s changes what code runs", variable)
				default:
					add("env: %s is set for the CLI and its tools", variable)
				}
			}
		}
		for _, key := range []string{"apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "gcpAuthRefresh", "otelHeadersHelper", "statusLine", "fileSuggestion"} {
			if _, ok := s[key]; ok {
				add("%s: a program runs", key)
			}
		}
		if p, ok := s["permissions"].(map[string]any); ok {
			for _, key := range []string{"allow", "defaultMode", "additionalDirectories"} {
				if v, ok := p[key]; ok {
					add("permissions.%s: %v", key, v)
				}
			}
		}
		if box, ok := s["sandbox"].(map[string]any); ok {
			for _, key := range slices.Sorted(maps.Keys(box)) {
				add("sandbox.%s is the repository's", key)
			}
		}
		for _, key := range []string{"enableAllProjectMcpServers", "enabledMcpjsonServers", "enabledPlugins", "extraKnownMarketplaces"} {
			if _, ok := s[key]; ok {
				add("%s: more programs are loaded", key)
			}
		}
	}
	return out
}

// servers lists the MCP servers that repositories here and above would start.
func servers(host Host, cwd string) []attack {
	if host.ReadFile == nil || cwd == "" {
		return nil
	}
	var out []attack
	for dir := cwd; ; dir = filepath.Dir(dir) {
		file := filepath.Join(dir, ".mcp.json")
		if data, err := host.ReadFile(file); err == nil {
			var s struct {
				Servers map[string]struct{ Command, URL string } `json:"mcpServers"`
			}
			if json.Unmarshal(data, &s) != nil {
				out = append(out, attack{file, "it is no JSON object"})
			}
			for _, name := range slices.Sorted(maps.Keys(s.Servers)) {
				out = append(out, attack{file, fmt.Sprintf("the MCP server %q is started", name)})
			}
		}
		if dir == filepath.Dir(dir) {
			return out
		}
	}
}

func trusted(l *look) {
	if slices.Contains(l.o.SettingSources, "user") {
		l.milder(Warning, "setting_sources", "the settings of this user count: hooks, permissions and environment")
	}
	if !l.o.TrustWorkspace {
		return
	}
	l.at("trust_workspace", "the workspace is trusted with all that its settings say")
	for _, attack := range workspace(l.host, l.o.CWD) {
		l.elsewhere(attack.file, attack.what)
	}
}

func mcpServersOfTheRepository(l *look) {
	if !l.o.TrustWorkspace && (l.o.StrictMCPConfig == nil || *l.o.StrictMCPConfig) {
		return
	}
	for _, attack := range servers(l.host, l.o.CWD) {
		l.elsewhere(attack.file, attack.what)
	}
}

func hooksFailOpen(l *look) {
	if hooks, ok := l.settings()["hooks"].(map[string]any); ok && hooks["PreToolUse"] != nil {
		l.at("settings", "a PreToolUse hook that is a command decides about tools")
	}
}

func unsandboxedPrograms(l *look) {
	if _, ok := l.settings()["hooks"]; ok {
		l.at("settings", "hooks are commands outside of the sandbox")
	}
	for name, server := range l.o.MCPServers {
		if server.Command != "" {
			l.at("mcp_servers", "%s is a program outside of the sandbox", name)
		}
	}
}
