package lint

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/understudy-run/understudy/config"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// rules is the checklist. S01 to S09 are the nine points of the guide.
var rules = []Rule{
	{ID: "S01", Name: "perm-mode-restrictive", Severity: Error, check: permissionMode,
		Why: "the mode decides about every tool that no rule names", Fix: "permission_mode: plan or dontAsk, or a profile"},
	{ID: "S02", Name: "tools-minimal", Severity: Warning, check: minimalTools,
		Why: "what an agent need not use it should not have", Fix: "name tools and rules in tools and allowed_tools"},
	{ID: "S03", Name: "limits-set", Severity: Error, check: limits,
		Why: "an agent in a loop costs until somebody notices", Fix: "set max_turns, max_budget_usd and turn_timeout"},
	{ID: "S04", Name: "key-from-env", Severity: Error, check: literalSecrets,
		Why: "a key in a file is in its backups, in version control, and on the screen of whoever edits it", Fix: "${env:NAME}, api_key_file or api_key_credential"},
	{ID: "S05", Name: "audit-on", Severity: Error, global: true, check: auditOn,
		Why: "what a tool did cannot be told afterwards", Fix: "audit: {mode: required}"},
	{ID: "S06", Name: "dirs-limited", Severity: Error, check: directories,
		Why: "the agent works on everything below its directories", Fix: "give it a directory of its own, and set roots"},
	{ID: "S07", Name: "bash-sandboxed", Severity: Error, check: bashSandboxed,
		Why: "permission rules hold no program once it runs", Fix: "sandbox: {enabled: true}, or a container"},
	{ID: "S08", Name: "no-persistence-sensitive", Severity: Warning, check: sensitive,
		Why: "the conversation stays on disk in the clear", Fix: "no_session_persistence: true"},
	{ID: "S09", Name: "supervised", Severity: Error, check: supervised,
		Why: "a session that died stays dead", Fix: "restart: permanent, and max_restarts above 0"},

	{ID: "L10", Name: "repo-settings-trusted", Severity: Error, check: trusted,
		Why: "a repository's settings run programs, change the environment and take the key, and nobody is asked", Fix: "remove trust_workspace; hand CLAUDE.md over with claude_md"},
	{ID: "L11", Name: "mcp-not-strict", Severity: Error, check: mcpServersOfTheRepository,
		Why: "the CLI starts the servers that a repository names", Fix: "name servers in mcp_servers, without trust_workspace"},
	{ID: "L12", Name: "sandbox-triple", Severity: Error, check: sandboxTriple,
		Why: "without these two a sandbox is left out or left in silence", Fix: "remove failIfUnavailable and allowUnsandboxedCommands: they are right by themselves"},
	{ID: "L13", Name: "sandbox-unknown-keys", Severity: Warning, check: sandboxIgnored,
		Why: "the CLI ignores the key here", Fix: "remove it"},
	{ID: "L14", Name: "sandbox-holes", Severity: Warning, check: sandboxHoles,
		Why: "it is a way out of the sandbox", Fix: "narrow it"},
	{ID: "L15", Name: "sandbox-net-policy", Severity: Warning, check: sandboxNetwork,
		Why: "hosts that are not known are asked about, and where nobody answers the command hangs", Fix: "sandbox.network.strictAllowlist: true, and allowedDomains"},
	{ID: "L16", Name: "sandbox-secret-reads", Severity: Warning, check: sandboxReads,
		Why: "sandboxed commands read every file that this user reads", Fix: "sandbox.filesystem.denyRead, or a profile"},
	{ID: "L17", Name: "file-tools-unconfined", Severity: Warning, check: confinement,
		Why: "the sandbox holds commands only; file tools read and write everywhere", Fix: "remove confine_files: false"},
	{ID: "L18", Name: "key-visible-to-tools", Severity: Error, check: keyVisible,
		Why: "a tool that runs as the same user reads the key", Fix: "api_key_delivery: proxy or fd, and Bash in the sandbox"},
	{ID: "L19", Name: "env-inherited", Severity: Error, check: inherited,
		Why: "tools get what the CLI gets", Fix: "name the variables that are needed, in inherit_env or env"},
	{ID: "L20", Name: "secrets-in-argv", Severity: Error, check: secretsInArgv,
		Why: "every user of the machine can read the arguments of a process", Fix: "api_key, env or mcp_servers, which are no arguments"},
	{ID: "L21", Name: "settings-file-perms", Severity: Warning, check: filePermissions,
		Why: "others can read or change what this depends on", Fix: "chmod 600 for files, 700 for directories"},
	{ID: "L22", Name: "runs-as-root", Severity: Error, global: true, check: root,
		Why: "what escapes has the machine", Fix: "run it as a user of its own"},
	{ID: "L23", Name: "containment-floor", Severity: Error, check: containmentFloor,
		Why: "the session will not start, or starts without what was asked for", Fix: "see `understudy doctor`"},
	{ID: "L24", Name: "container-no-kill", Severity: Warning, check: containerKill,
		Why: "ending the client of a container leaves what runs inside", Fix: "a container for each session"},
	{ID: "L25", Name: "landlock-with-sandbox", Severity: Error, check: landlock,
		Why: "a landlocked process may not mount, so that every sandboxed command fails", Fix: "choose one of them"},
	{ID: "L26", Name: "no-process-limits", Severity: Warning, check: processLimits,
		Why: "one session can take the memory and the processes of all", Fix: "limits: {memory: 2GiB, processes: 300}"},
	{ID: "L27", Name: "hook-fail-open", Severity: Warning, check: hooksFailOpen,
		Why: "a hook that fails lets the tool run", Fix: "decide in the program, whose hooks deny when they fail"},
	{ID: "L28", Name: "prompt-unanswered", Severity: Info, check: unanswered,
		Why: "what must be asked is denied when nobody answers in time", Fix: "permission_mode: dontAsk where nobody is there"},
	{ID: "L29", Name: "cli-version-floor", Severity: Warning, global: true, check: cliPinned,
		Why: "another binary than the tested one may behave otherwise", Fix: "cli: {path: /absolute/path}, owned by another user than the sessions'"},
	{ID: "L30", Name: "base-url-untrusted", Severity: Error, check: baseURL,
		Why: "the key or what was said travels in the clear, to somebody else", Fix: "https"},
	{ID: "L31", Name: "debug-endpoint-exposed", Severity: Error, global: true, check: endpoint,
		Why: "whoever reaches it sees the sessions, and may command them", Fix: "use the socket alone, or listen on 127.0.0.1 with a token"},
	{ID: "L32", Name: "audit-same-fate", Severity: Warning, global: true, check: auditPlace,
		Why: "what the agent can change does not prove what it did", Fix: "audit.dir outside of every cwd and add_dir, and audit.anchors"},
	{ID: "L33", Name: "redaction-off", Severity: Warning, check: telemetry,
		Why: "prompts and tool input leave the machine", Fix: "remove these variables"},
	{ID: "L34", Name: "retention-unset", Severity: Info, global: true, check: retention,
		Why: "logs grow until the disk is full", Fix: "audit: {keep_age: …, keep_size: …}"},
	{ID: "L35", Name: "hooks-or-mcp-unsandboxed", Severity: Warning, check: unsandboxedPrograms,
		Why: "hooks and MCP servers run outside of the sandbox", Fix: "give them an environment and directories of their own"},
	{ID: "L36", Name: "network-tools", Severity: Warning, check: networkTools,
		Why: "what reads files and what reaches the network together carries files away", Fix: "deny WebFetch and WebSearch, or name the hosts"},
	{ID: "L37", Name: "shared-home-or-tmp", Severity: Warning, check: sharedHome,
		Why: "sessions read each other's conversations and settings", Fix: "isolate_home: true"},
	{ID: "L38", Name: "budget-single-meter", Severity: Info, check: singleMeter,
		Why: "the CLI's own count is the only one", Fix: "api_key_delivery: proxy with api_proxy.max_budget_usd, or budgets"},
	{ID: "L39", Name: "kill-ladder", Severity: Warning, check: ladder,
		Why: "a sandboxed CLI needs 1.6 s to end; killed, it leaves files in the workspace", Fix: "shutdown: 5s"},
	{ID: "L40", Name: "rule-without-effect", Severity: Warning, check: rulesWithoutEffect,
		Why: "the rule does not do what it says", Fix: "correct it"},
	{ID: "L41", Name: "profile-loosened", Severity: Warning, check: loosened,
		Why: "the profile promises more than the session keeps", Fix: "remove the option, or choose another profile"},
}

// runs reports whether the session can run commands.
func runs(o session.Options) bool {
	if o.Tools != nil && !slices.Contains(o.Tools, "Bash") && !slices.Contains(o.Tools, "default") {
		return false
	}
	for _, text := range o.DisallowedTools {
		if r, err := session.ParseRule(text); err == nil && r.Tool == "Bash" && r.Of == "" {
			return false
		}
	}
	switch o.PermissionMode {
	case protocol.ModeBypassPermissions, protocol.ModeAuto, protocol.ModeAcceptEdits:
		return true
	}
	return allows(o, "Bash") || is(o.Sandbox.AutoAllowBashIfSandboxed)
}

func allows(o session.Options, tool string) bool {
	return slices.ContainsFunc(o.AllowedTools, func(text string) bool {
		r, err := session.ParseRule(text)
		return err == nil && r.Tool == tool
	})
}

func is(p *bool) bool { return p != nil && *p }

func permissionMode(l *look) {
	switch l.o.PermissionMode {
	case protocol.ModeBypassPermissions:
		l.at("permission_mode", "nothing that the agent does is asked about")
	case protocol.ModeAcceptEdits, protocol.ModeAuto:
		if !l.o.Sandbox.On() {
			l.milder(Warning, "permission_mode", "%s without a sandbox", l.o.PermissionMode)
		}
	case "":
		l.milder(Warning, "permission_mode", "no permission mode is set; the CLI's default asks, and what is asked may be allowed")
	}
	if l.o.DangerouslySkipPermissions {
		l.at("dangerously_skip_permissions", "nothing that the agent does is asked about")
	}
}

func minimalTools(l *look) {
	if l.o.Tools == nil && l.o.AllowedTools == nil {
		l.at("allowed_tools", "no tools are named: the session has all of them")
	}
	for _, f := range session.ReviewRules(l.o) {
		if f.Trouble == session.RuleTooWide || f.Trouble == session.RuleEvaded {
			l.report(l.rule.Severity, f.List, f.Rule+": "+f.Why, f.Fix)
		}
	}
	if allows(l.o, "Write") && allows(l.o, "Bash") && allows(l.o, "WebFetch") {
		l.at("allowed_tools", "it may fetch, write and run what it has fetched")
	}
}

func limits(l *look) {
	if l.o.MaxTurns == 0 {
		l.at("max_turns", "no limit of model calls for a prompt")
	}
	if l.o.MaxBudgetUSD == 0 && len(l.o.Budgets) == 0 {
		l.at("max_budget_usd", "no limit of money")
	}
	if l.o.TurnTimeout == 0 {
		l.at("turn_timeout", "no limit of time for a turn")
	}
	if l.o.StallTimeout < 0 {
		l.milder(Warning, "stall_timeout", "a turn in which nothing happens is never ended")
	}
}

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

func auditOn(l *look) {
	if l.cfg.Audit.Mode != config.AuditRequired {
		l.at("audit.mode", "a tool runs although its record cannot be written")
	}
}

func directories(l *look) {
	if l.o.CWD == "" {
		l.at("cwd", "no directory: it is the one in which the daemon was started")
	}
	broad := []string{"/", "/etc", "/tmp", "/var", "/usr", "/home", "/root", "/opt", "/srv", "/proc", "/sys", "/dev", "/run", l.host.Home}
	check := func(key, dir string) {
		real := dir
		if l.host.Resolve != nil {
			if r, err := l.host.Resolve(dir); err == nil {
				real = r
			}
		}
		switch {
		case dir != "" && (slices.Contains(broad, filepath.Clean(dir)) || slices.Contains(broad, real)):
			l.at(key, "%s is no directory for an agent", dir)
		case l.host.Home != "" && real != "" && contains(real, filepath.Join(l.host.Home, ".ssh")):
			l.at(key, "%s has the .ssh of this user below it", dir)
		case l.host.Mode != nil && dir != "":
			if _, _, ok := l.host.Mode(filepath.Join(real, ".ssh")); ok {
				l.at(key, "%s has a .ssh in it", dir)
			}
		}
		if real != filepath.Clean(dir) && dir != "" && len(l.o.Roots) == 0 {
			l.milder(Warning, key, "%s is a link to %s, and roots do not say that it may be", dir, real)
		}
	}
	check("cwd", l.o.CWD)
	for _, dir := range l.o.AddDir {
		check("add_dir", dir)
	}
}

// contains reports whether a path is dir or below it.
func contains(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

func bashSandboxed(l *look) {
	if runs(l.o) && !l.o.Sandbox.On() && !l.o.Sandbox.InContainer() && !contained(l.o) && l.o.Launcher.Container == "" {
		l.at("sandbox", "commands may run, and no sandbox holds them")
	}
}

func sensitive(l *look) {
	if l.o.Sensitive && !l.o.NoSessionPersistence {
		l.at("no_session_persistence", "the session is sensitive, and its conversation is kept")
	}
}

func supervised(l *look) {
	if l.cfg.Supervisor.MaxRestarts == 0 {
		l.milder(Warning, "restart", "supervisor.max_restarts is 0: the first crash parks it")
	}
	if l.o.Restart == supervisor.Temporary && l.owner.Kind == "session" {
		l.at("restart", "temporary: it is never started again")
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

func sandboxTriple(l *look) {
	s := l.o.Sandbox
	if !s.On() {
		return
	}
	if s.FailIfUnavailable != nil && !*s.FailIfUnavailable {
		l.at("sandbox.failIfUnavailable", "without the sandbox's tools the session runs without a sandbox")
	}
	if is(s.AllowUnsandboxedCommands) {
		l.at("sandbox.allowUnsandboxedCommands", "the model can ask for a command to run outside")
	}
}

func sandboxIgnored(l *look) {
	s := l.o.Sandbox
	if s.BwrapPath != "" {
		l.at("sandbox.bwrapPath", "it counts in managed settings only")
	}
	if s.SocatPath != "" {
		l.at("sandbox.socatPath", "it counts in managed settings only")
	}
	if s.Environment != "" && !s.On() {
		l.milder(Info, "sandbox.environment", "the CLI ignores it; the container is all that holds the session")
	}
}

func sandboxHoles(l *look) {
	s := l.o.Sandbox
	if len(s.ExcludedCommands) > 0 {
		l.at("sandbox.excludedCommands", "%s runs outside", strings.Join(s.ExcludedCommands, ", "))
	}
	for key, on := range map[string]*bool{
		"sandbox.network.allowAllUnixSockets": s.Network.AllowAllUnixSockets, "sandbox.allowNestedUserNamespaces": s.AllowNestedUserNamespaces,
		"sandbox.enableWeakerNestedSandbox": s.EnableWeakerNestedSandbox, "sandbox.filesystem.disabled": s.Filesystem.Disabled,
		"sandbox.enableWeakerNetworkIsolation": s.EnableWeakerNetworkIsolation, "sandbox.allowAppleEvents": s.AllowAppleEvents,
	} {
		if is(on) {
			l.at(key, "it is on")
		}
	}
	for _, dir := range s.Filesystem.AllowWrite {
		if clean := filepath.Clean(dir); clean == "/" || clean == "~" || l.o.CWD != "" && filepath.IsAbs(clean) && contains(clean, l.o.CWD) && clean != l.o.CWD {
			l.at("sandbox.filesystem.allowWrite", "%s is above the workspace", dir)
		}
	}
	for _, domain := range s.Network.AllowedDomains {
		switch name := strings.TrimPrefix(domain, "*."); {
		case domain == "*", domain != name && strings.Count(name, ".") == 0:
			l.at("sandbox.network.allowedDomains", "%s is everything", domain)
		case name == "localhost" || name == "127.0.0.1" || name == "::1":
			l.at("sandbox.network.allowedDomains", "%s opens the services of this machine", domain)
		}
	}
	if (s.Network.HTTPProxyPort > 0 || s.Network.SOCKSProxyPort > 0) && len(s.Network.DeniedDomains) > 0 {
		l.at("sandbox.network.deniedDomains", "with a proxy of one's own they are that proxy's to refuse")
	}
}

func sandboxNetwork(l *look) {
	if l.o.Sandbox.On() && !is(l.o.Sandbox.Network.StrictAllowlist) {
		l.at("sandbox.network", "no strictAllowlist")
	}
}

func sandboxReads(l *look) {
	if !l.o.Sandbox.On() || is(l.o.IsolateHome) || l.o.IsolateHome == nil && l.o.NoSessionPersistence {
		return
	}
	for _, place := range []string{"~/.ssh", "~/.aws", "~/.config/gcloud", "~/.netrc", "~/.docker", "~/.kube", "~/.claude"} {
		if !slices.ContainsFunc(l.o.Sandbox.Filesystem.DenyRead, func(denied string) bool {
			return denied == place || denied == "~" || denied == "~/" || denied == "/" || l.host.Home != "" && contains(denied, strings.Replace(place, "~", l.host.Home, 1))
		}) {
			l.at("sandbox.filesystem", "commands may read %s, and perhaps other secrets", place)
			return
		}
	}
}

func confinement(l *look) {
	if l.o.ConfineFiles != nil && !*l.o.ConfineFiles {
		l.at("confine_files", "file tools may leave the working directories")
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

func filePermissions(l *look) {
	if l.host.Mode == nil {
		return
	}
	check := func(key, path string, bits os.FileMode) {
		if path == "" {
			return
		}
		perm, _, ok := l.host.Mode(path)
		if ok && perm&bits != 0 {
			l.at(key, "%s is open to others (%04o)", path, perm)
		}
	}
	others := os.FileMode(0o022)
	for key := range l.settings() {
		if key != "permissions" && key != "sandbox" {
			others = 0o077 // it may have secrets in it
		}
	}
	check("settings", l.o.Settings.Path, others)
	check("mcp_config", l.o.MCPConfig, 0o077)
	check("api_key_file", l.o.APIKeyFile, 0o077)
	if len(l.all) > 0 && l.owner.Name == l.all[0].Name {
		for path, bits := range map[string]os.FileMode{l.cfg.DataDir: 0o077, l.cfg.Audit.Dir: 0o077, l.cfg.Path: 0o022, l.cfg.Debug.TokenFile: 0o077} {
			if perm, _, ok := l.host.Mode(path); ok && perm&bits != 0 {
				l.elsewhere(path, path+" is open to others")
			}
		}
	}
}

func root(l *look) {
	if l.host.UID == 0 && !l.host.Container {
		l.at("", "this user is root")
	}
}

func containmentFloor(l *look) {
	var layers []process.LayerStatus
	if l.host.Layers != nil && len(l.o.Containment.Require) > 0 {
		layers = l.host.Layers()
	}
	for _, layer := range l.o.Containment.Require {
		if layer == process.LayerContainer && !contained(l.o) {
			l.at("containment", "%s is required, and the session has no launcher that makes one", layer)
		}
		for _, status := range layers {
			if status.Layer == layer && !status.Available {
				l.report(l.rule.Severity, "containment", fmt.Sprintf("%s is required and cannot be had here: %s", layer, status.Detail), status.Fix)
			}
		}
	}
	if l.host.Program == nil {
		return
	}
	switch launcher := l.o.Launcher; launcher.Kind {
	case process.LaunchDocker, process.LaunchPodman, process.LaunchBwrap:
		if name := cmp.Or(launcher.Program, string(launcher.Kind)); !l.host.Program(name) {
			l.report(l.rule.Severity, "launcher", name+" is not to be found here", "install it, or set launcher.program to where it is")
		}
	case process.LaunchLocal, process.LaunchCommand:
	}
	if s := l.o.Sandbox; s.On() && !s.InContainer() && l.o.Launcher.IsZero() && (s.FailIfUnavailable == nil || *s.FailIfUnavailable) {
		var missing []string
		for _, tool := range []struct{ name, pkg string }{{"bwrap", "bubblewrap"}, {"socat", "socat"}} {
			if !l.host.Program(tool.name) {
				missing = append(missing, tool.pkg)
			}
		}
		if len(missing) > 0 {
			l.report(l.rule.Severity, "sandbox", "the sandbox needs "+strings.Join(missing, " and "), "apt-get install "+strings.Join(missing, " "))
		}
	}
}

// contained reports whether the launcher makes a container or sandbox for the session alone.
func contained(o session.Options) bool {
	return o.Launcher.Image != "" || o.Launcher.Kind == process.LaunchBwrap
}

// clients start something elsewhere that does not end with them.
var clients = []string{"docker", "podman", "nerdctl", "lxc", "incus", "kubectl", "oc", "crictl", "ssh", "machinectl", "systemd-run", "systemd-nspawn"}

func containerKill(l *look) {
	if name := cmp.Or(l.o.Launcher.Container, l.o.Sandbox.Container); name != "" {
		key := "launcher.container"
		if l.o.Launcher.Container == "" {
			key = "sandbox.container"
		}
		l.at(key, "the container %s exists by itself; sessions that share it are not held apart", name)
	}
	if command := l.o.Launcher.Command; len(command) > 0 && len(l.o.Launcher.Kill) == 0 && slices.Contains(clients, path.Base(command[0])) {
		l.report(Error, "launcher", path.Base(command[0])+" starts the CLI elsewhere, and nothing ends it there: killing the client does not",
			"launcher.kill, or kind: docker or podman")
	}
}

// landlockers put a program under landlock.
var landlockers = []string{"landrun", "ll-sandbox", "island", "sandboxer"}

// landlock looks at what starts the CLI: the program itself, the launcher's command, and a script that either of them is.
func landlock(l *look) {
	if !l.o.Sandbox.On() {
		return
	}
	uses := func(words []string) string {
		for i, word := range words {
			base := path.Base(strings.Trim(word, `"'`))
			if slices.Contains(landlockers, base) || base == "setpriv" && slices.ContainsFunc(words[i:], func(w string) bool { return strings.HasPrefix(w, "--landlock") }) {
				return base
			}
		}
		return ""
	}
	command := append([]string{l.cfg.CLI.Path}, l.o.Launcher.Command...)
	name := uses(command)
	for _, program := range command {
		if name != "" || !strings.HasPrefix(program, "/") || l.host.ReadFile == nil {
			continue
		}
		if text, err := l.host.ReadFile(program); err == nil && strings.HasPrefix(string(text), "#!") {
			name = uses(strings.Fields(string(text)))
		}
	}
	if name != "" {
		l.at("sandbox.enabled", "the CLI is started by %s", name)
	}
}

func processLimits(l *look) {
	if l.o.Limits.Memory == 0 || l.o.Limits.Processes == 0 {
		l.at("limits", "no limit of memory or of processes")
	}
}

func hooksFailOpen(l *look) {
	if hooks, ok := l.settings()["hooks"].(map[string]any); ok && hooks["PreToolUse"] != nil {
		l.at("settings", "a PreToolUse hook that is a command decides about tools")
	}
}

func unanswered(l *look) {
	if m := l.o.PermissionMode; (m == protocol.ModeDefault || m == protocol.ModeManual || m == "" || m == protocol.ModeAcceptEdits) && l.owner.Kind == "session" {
		l.at("permission_mode", "questions wait for somebody, %v at most", max(l.o.PermissionTimeout, session.DefaultPermissionTimeout))
	}
}

func cliPinned(l *look) {
	cli := l.cfg.CLI.Path
	switch {
	case cli == "simulated":
		l.at("cli.path", "the simulation is no Claude Code")
	case !strings.Contains(cli, "/"):
		l.at("cli.path", "%s is whatever PATH leads to", cli)
	case l.host.Mode != nil:
		if perm, uid, ok := l.host.Mode(cli); ok && (perm&0o022 != 0 || uid == l.host.UID && perm&0o200 != 0) {
			l.at("cli.path", "%s can be changed by the user that runs the sessions, or by others", cli)
		}
	}
	for _, o := range l.all {
		if v, ok := o.Options.Env["DISABLE_AUTOUPDATER"]; ok && v != "1" {
			l.at("cli.path", "%s lets the CLI update itself", o.Name)
		}
	}
}

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

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func endpoint(l *look) {
	d := l.cfg.Debug
	if d.Listen == "" {
		return
	}
	if host, _, err := net.SplitHostPort(d.Listen); err == nil && !loopback(host) {
		l.at("debug.listen", "%s can be reached from other machines, without TLS", d.Listen)
	}
	if d.OpenReads {
		l.at("debug.open_reads", "every program of this machine can read, an agent's tools included")
	}
}

func auditPlace(l *look) {
	for _, o := range l.all {
		for _, dir := range append([]string{o.Options.CWD}, o.Options.AddDir...) {
			if dir != "" && contains(dir, l.cfg.Audit.Dir) {
				l.at("audit.dir", "the audit log is in a directory of %s", o.Name)
			}
			if dir != "" && contains(dir, l.cfg.DataDir) {
				l.at("data_dir", "the state is in a directory of %s", o.Name)
			}
		}
	}
	if len(l.cfg.Audit.Anchors) == 0 {
		l.milder(Info, "audit.anchors", "checkpoints are kept nowhere else: who has this machine can write the log anew")
	}
}

func telemetry(l *look) {
	for _, name := range []string{"OTEL_LOG_USER_PROMPTS", "OTEL_LOG_TOOL_DETAILS", "OTEL_LOG_RAW_API_BODIES", "OTEL_LOG_TOOL_CONTENT"} {
		if v := l.env()[name]; v.value != "" && v.value != "0" && v.value != "false" {
			l.at(v.key, "%s is on", name)
		}
	}
}

func retention(l *look) {
	if l.cfg.Audit.KeepAge == 0 && l.cfg.Audit.KeepSize == 0 {
		l.at("audit", "the audit log is kept for ever")
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

func networkTools(l *look) {
	for _, tool := range []string{"WebFetch", "WebSearch"} {
		if slices.ContainsFunc(l.o.AllowedTools, func(text string) bool {
			r, err := session.ParseRule(text)
			return err == nil && r.Tool == tool && r.Of == ""
		}) && !slices.Contains(l.o.DisallowedTools, tool) {
			l.at("allowed_tools", "%s to anywhere, beside tools that read files", tool)
		}
	}
}

func sharedHome(l *look) {
	if is(l.o.IsolateHome) || l.o.IsolateHome == nil && l.o.NoSessionPersistence || l.owner.Kind == "template" {
		return
	}
	for _, other := range l.all {
		if other.Name != l.owner.Name && other.Kind != "template" && other.Options.Env["HOME"] == l.o.Env["HOME"] {
			l.at("isolate_home", "it has the same HOME as %s", other.Name)
			return
		}
	}
}

func singleMeter(l *look) {
	if l.o.MaxBudgetUSD > 0 && len(l.o.Budgets) == 0 && (l.o.APIKeyDelivery != session.DeliverProxy || l.o.APIProxy.MaxBudgetUSD == 0) {
		l.at("max_budget_usd", "what is spent is what the CLI says")
	}
}

func ladder(l *look) {
	if grace, limited := l.o.Shutdown.Grace(); limited && grace < 3*time.Second {
		l.at("shutdown", "%s", l.o.Shutdown)
	}
}

func rulesWithoutEffect(l *look) {
	for _, f := range session.ReviewRules(l.o) {
		if f.Trouble == session.RuleMatchesNothing || f.Trouble == session.RuleContradicted {
			l.report(l.rule.Severity, f.List, f.Rule+" "+string(f.Trouble)+": "+f.Why, f.Fix)
		}
	}
}

func loosened(l *look) {
	for _, x := range l.owner.Options.Loosened() {
		l.at(x.Option, "%s", x)
	}
}
