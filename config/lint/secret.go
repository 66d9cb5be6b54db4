package lint

import (
	"net/url"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/config"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
)

func literalSecrets(l *look) {
	written := func(keys ...string) {
		for _, prefix := range [][]string{l.owner.Keys, {"defaults"}} {
			text, ok := l.cfg.Written(append(slices.Clone(prefix), keys...)...)
			if ok && text != "" && !config.FromEnvironment(text) {
				l.at(strings.Join(keys, "."), "a secret is written into the file")
			}
			if ok {
				return
			}
		}
	}
	written("api_key")
	for name := range l.o.Env {
		if process.SecretName(name) && !strings.HasPrefix(name, "CLAUDE_CODE_MAX_") {
			written("env", name)
		}
	}
	for name, server := range l.o.MCPServers {
		for variable := range server.Env {
			if process.SecretName(variable) {
				written("mcp_servers", name, "env", variable)
			}
		}
		for header := range server.Headers {
			written("mcp_servers", name, "headers", header)
		}
	}
	for name, value := range l.o.ExtraArgs {
		if value != nil && strings.HasPrefix(*value, "sk-") {
			l.at("extra_args", "--%s looks like a key, and arguments are no secret", name)
		}
	}
	if env, ok := l.o.Settings.Values["env"].(map[string]any); ok {
		for name := range env {
			if process.SecretName(name) {
				l.at("settings", "settings.env.%s is a secret in the settings", name)
			}
		}
	}
	if l.owner.Kind == "session" && len(l.all) > 0 && l.owner.Name == l.all[0].Name { // once
		if text, ok := l.cfg.Written("debug", "token"); ok && text != "" && !strings.Contains(text, "${env:") {
			l.elsewhere(l.cfg.Path, "debug.token is written into the file")
		}
	}
}

func keyVisible(l *look) {
	if v, ok := l.o.Env["CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST"]; ok && v != "1" {
		l.at("env", "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST is switched off: tools get the key in their environment")
	}
	delivered := l.o.APIKeyDelivery == session.DeliverFD || l.o.APIKeyDelivery == session.DeliverProxy
	if !delivered && runs(l.o) && !l.o.Sandbox.On() {
		l.at("api_key_delivery", "commands run outside of a sandbox, and the CLI's environment holds the key")
	}
	for _, name := range []string{"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"} {
		if _, ok := l.o.Env[name]; ok {
			l.at("env", "%s is set as a variable; api_key has ways that are safer", name)
		}
	}
}

func inherited(l *look) {
	for _, name := range l.o.InheritEnv {
		stem := strings.TrimSuffix(name, "*")
		if name == process.InheritAll {
			l.at("inherit_env", "the whole environment of this program passes to the CLI and all its tools%s", l.host.secretNames())
			continue
		}
		dangerous := process.SecretName(stem)
		for _, part := range []string{"AWS_", "GIT_", "GITHUB_", "DOCKER_", "SSH_", "LD_", "NODE_OPTIONS", "BUN_", "OTEL_", "GOOGLE_", "AZURE_", "KUBE", "NPM_", "VAULT_", "PYTHON", "BASH_ENV"} {
			dangerous = dangerous || strings.HasPrefix(stem, part)
		}
		if dangerous {
			l.at("inherit_env", "%s passes to the CLI and all its tools", name)
		}
	}
	for _, name := range []string{"LD_PRELOAD", "LD_LIBRARY_PATH", "NODE_OPTIONS", "BUN_OPTIONS", "BASH_ENV"} {
		if v, ok := l.env()[name]; ok {
			l.at(v.key, "%s changes what code runs", name)
		}
	}
}

func secretsInArgv(l *look) {
	if v, ok := l.o.ExtraArgs["mcp-config"]; ok && v != nil && strings.Contains(*v, "{") {
		l.at("extra_args", "--mcp-config has environments and headers of servers in an argument")
	}
	var secrets []string
	if len(l.o.APIKey) >= shortestSecret {
		secrets = append(secrets, l.o.APIKey.Reveal())
	}
	for name, value := range l.o.Env {
		if process.SecretName(name) && len(value) >= shortestSecret {
			secrets = append(secrets, value)
		}
	}
	hasOne := func(key string, texts ...string) {
		for _, secret := range secrets {
			if slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, secret) }) {
				l.at(key, "%s has the key or a secret of env in it", key)
				return
			}
		}
	}
	hasOne("system_prompt", l.o.SystemPrompt)
	hasOne("append_system_prompt", l.o.AppendSystemPrompt)
	hasOne("launcher", slices.Concat(l.o.Launcher.Args, l.o.Launcher.Command, l.o.Launcher.Kill)...)
	for name, value := range l.o.ExtraArgs {
		if value != nil {
			hasOne("extra_args."+name, *value)
		}
	}
}

// shortestSecret is how long a value must be to be looked for in other texts.
const shortestSecret = 8

func baseURL(l *look) {
	check := func(key, text string) {
		u, err := url.Parse(text)
		if text == "" || err == nil && (u.Scheme != "http" || loopback(u.Hostname())) {
			return
		}
		l.at(key, "%s leads to plain http on another machine", key)
	}
	for name, v := range l.env() {
		if name == "ANTHROPIC_BASE_URL" || strings.HasPrefix(name, "OTEL_EXPORTER_") && strings.HasSuffix(name, "ENDPOINT") {
			check(v.key, v.value)
		}
	}
	check("api_proxy.upstream", l.o.APIProxy.Upstream)
	for name, server := range l.o.MCPServers {
		check("mcp_servers."+name, server.URL)
	}
}

func telemetry(l *look) {
	for _, name := range []string{"OTEL_LOG_USER_PROMPTS", "OTEL_LOG_TOOL_DETAILS", "OTEL_LOG_RAW_API_BODIES", "OTEL_LOG_TOOL_CONTENT"} {
		if v := l.env()[name]; v.value != "" && v.value != "0" && v.value != "false" {
			l.at(v.key, "%s is on", name)
		}
	}
}
