package process

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// LauncherKind says where the CLI process itself runs.
type LauncherKind string

const (
	// LaunchLocal is on this host, under Containment. It is what the empty kind means.
	LaunchLocal LauncherKind = "local"
	// LaunchDocker and LaunchPodman are in a container: one of its own per process, made from Launcher.Image, or one that is
	// there already, Launcher.Container.
	LaunchDocker LauncherKind = "docker"
	LaunchPodman LauncherKind = "podman"
	// LaunchBwrap is in a sandbox that bubblewrap makes: everything can be read, and the working directory, AddDir, HOME and
	// a /tmp of its own written.
	LaunchBwrap LauncherKind = "bwrap"
	// LaunchCommand is whatever Launcher.Command starts, which the CLI's command line is appended to.
	LaunchCommand LauncherKind = "command"
)

// Launcher says where the CLI process itself runs, tools, hooks and MCP servers with it. The zero value is this host.
//
// In a container the CLI's path is the container's, its environment holds nothing of this host's PATH or HOME, and the
// conversation is on the container's disk: mount a directory over its ~/.claude to have it survive one.
type Launcher struct {
	Kind LauncherKind `json:"kind,omitzero"`
	// Program is the engine's or bubblewrap's client, if it is not the kind's own name on PATH.
	Program string `json:"program,omitzero"`

	// Image is what a container per process is made from: without capabilities and privileges, with a root that is read
	// only, and with the session's Limits, 4096 processes by default.
	Image string `json:"image,omitzero"`
	// Network is the container's network: none, or one of the engine's. It has to be said with Image: with none the CLI
	// reaches the API by a socket that is mounted only. With bwrap: none, or host by default.
	Network string `json:"network,omitzero"`
	// User is whom the CLI runs as in the container, such as 1000:1000. The image's own by default.
	User string `json:"user,omitzero"`
	// Mounts are further directories, SOURCE, SOURCE:TARGET or SOURCE:TARGET:ro. The working directory and AddDir are
	// mounted under their own names.
	Mounts []string `json:"mounts,omitzero"`

	// Container is a running container that the CLI is executed in. It is the host's own: its limits and its mounts are what
	// they are, and what a tool there starts with a cleared environment, once its parents are gone, is found by nobody.
	Container string `json:"container,omitzero"`

	// Args are further arguments of the engine's `run` (`exec`, with Container) or of bubblewrap.
	Args []string `json:"args,omitzero"`

	// Command is the program and arguments of LaunchCommand.
	Command []string `json:"command,omitzero"`
	// Kill is run when the process is to end by force, and after its end: for what Command starts elsewhere, where no
	// signal reaches. {marker} in it is replaced by the marker. Without it, what is below Command on this host is ended.
	Kill []string `json:"kill,omitzero"`
}

// IsZero reports whether the CLI runs on this host.
func (l Launcher) IsZero() bool { return l.Kind == "" || l.Kind == LaunchLocal }

// elsewhere reports whether files and programs are those of a container.
func (l Launcher) elsewhere() bool { return l.Kind == LaunchDocker || l.Kind == LaunchPodman }

// LauncherKinds returns the kinds there are.
func LauncherKinds() []LauncherKind {
	return []LauncherKind{LaunchLocal, LaunchDocker, LaunchPodman, LaunchBwrap, LaunchCommand}
}

// Validate reports what can't be meant.
func (l Launcher) Validate() error {
	var problems []error
	add := func(format string, a ...any) { problems = append(problems, fmt.Errorf("launcher: "+format, a...)) }
	kind := l.Kind
	if kind == "" {
		kind = LaunchLocal
	}
	if !slices.Contains(LauncherKinds(), kind) {
		add("kind %q: expected local, docker, podman, bwrap or command", cut(string(l.Kind), 80))
		return errors.Join(problems...)
	}
	only := func(option string, set bool, kinds ...LauncherKind) {
		if set && !slices.Contains(kinds, kind) {
			add("%s means nothing to %s; remove it, or set kind to one of %v", option, kind, kinds)
		}
	}
	only("program", l.Program != "", LaunchDocker, LaunchPodman, LaunchBwrap)
	only("image", l.Image != "", LaunchDocker, LaunchPodman)
	only("container", l.Container != "", LaunchDocker, LaunchPodman)
	only("network", l.Network != "", LaunchDocker, LaunchPodman, LaunchBwrap)
	only("user", l.User != "", LaunchDocker, LaunchPodman)
	only("mounts", l.Mounts != nil, LaunchDocker, LaunchPodman, LaunchBwrap)
	only("args", l.Args != nil, LaunchDocker, LaunchPodman, LaunchBwrap)
	only("command", l.Command != nil, LaunchCommand)
	only("kill", l.Kill != nil, LaunchCommand)
	switch kind {
	case LaunchDocker, LaunchPodman:
		switch {
		case l.Image == "" && l.Container == "":
			add("%s needs an image, for a container per process, or the name of a container that runs", kind)
		case l.Image != "" && l.Container != "":
			add("image and container exclude each other; remove one")
		case l.Container != "" && (l.Network != "" || l.Mounts != nil):
			add("network and mounts of a container that runs already can't be chosen; remove them")
		case l.Image != "" && l.Network == "":
			add("say which network the container has: none, or one of the engine's such as bridge; the CLI has to reach the API")
		}
		for option, v := range map[string]string{"image": l.Image, "container": l.Container, "user": l.User, "network": l.Network} {
			if strings.HasPrefix(v, "-") || strings.ContainsAny(v, " \t\n\x00") {
				add("%s %q: that would be read as something else", option, cut(v, 80))
			}
		}
	case LaunchBwrap:
		if l.Network != "" && l.Network != "none" && l.Network != "host" {
			add("network %q: bubblewrap has none or host", cut(l.Network, 80))
		}
	case LaunchCommand:
		if len(l.Command) == 0 || l.Command[0] == "" {
			add("command needs a program")
		}
	case LaunchLocal:
	}
	for _, m := range l.Mounts {
		parts := strings.Split(m, ":")
		if !filepath.IsAbs(parts[0]) || len(parts) > 3 || len(parts) > 1 && !filepath.IsAbs(parts[1]) || len(parts) == 3 && parts[2] != "ro" && parts[2] != "rw" {
			add("mount %q: expected SOURCE, SOURCE:TARGET or SOURCE:TARGET:ro with absolute paths", cut(m, 80))
		}
	}
	return errors.Join(problems...)
}

// mount is a directory as it is to be seen by the CLI.
type bind struct {
	source, target string
	readOnly       bool
}

func (l Launcher) binds() []bind {
	var out []bind
	for _, m := range l.Mounts {
		p := strings.Split(m, ":")
		b := bind{source: p[0], target: p[0]}
		if len(p) > 1 {
			b.target = p[1]
		}
		b.readOnly = len(p) > 2 && p[2] == "ro"
		out = append(out, b)
	}
	return out
}
