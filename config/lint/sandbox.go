package lint

import (
	"path/filepath"
	"slices"
	"strings"
)

func bashSandboxed(l *look) {
	if runs(l.o) && !l.o.Sandbox.On() && !l.o.Sandbox.InContainer() && !contained(l.o) && l.o.Launcher.Container == "" {
		l.at("sandbox", "commands may run, and no sandbox holds them")
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
