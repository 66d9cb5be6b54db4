package lint

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
)

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
