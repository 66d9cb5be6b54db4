package process

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// createTimeout bounds the making of a container; the engine may have to fetch the image.
	createTimeout = 2 * time.Minute
	// engineTimeout bounds what else an engine is asked to do.
	engineTimeout = 15 * time.Second
)

// ownerLabel is on every container of ours, with the marker less its last part: the runtime and the session.
const ownerLabel = "run.understudy.session"

// recipe is how a launcher starts a CLI, and how that is ended where signals of this host don't reach. Its fields are kept on
// disk while it runs, so that the next runtime can end what a killed one has left.
type recipe struct {
	Kind      LauncherKind `json:"kind"`
	Program   string       `json:"program"`
	Container string       `json:"container"` // the name
	Own       bool         `json:"own"`       // the container was made for this process alone
	User      string       `json:"user,omitempty"`
	Marker    string       `json:"marker"`
	Command   []string     `json:"command,omitempty"` // of LaunchCommand
	env       []string     // of the engine's client
}

// clientNames are the variables by which an engine's client finds its engine and its own files. They are the host's; what
// the CLI gets under these names is said in arguments.
var clientNames = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "XDG_*", "DOCKER_*", "CONTAINER_*", "CONTAINERS_*", "PODMAN_*", "BUILDAH_*", "REGISTRY_*", "DBUS_*",
	"SSH_AUTH_SOCK", "LD_*",
}

// hostNames are inherited variables that mean nothing in a container.
var hostNames = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "CLAUDE_CODE_TMPDIR", "CLAUDE_CONFIG_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
}

// launchWith changes c into what the launcher makes of it.
func (l Launch) launchWith(c command) (command, error) {
	if l.Launcher.IsZero() {
		return c, nil
	}
	c.recipe = &recipe{Kind: l.Launcher.Kind, Program: l.Launcher.Program, Marker: l.Marker, env: c.parent}
	if c.recipe.Program == "" {
		c.recipe.Program = string(l.Launcher.Kind)
	}
	switch l.Launcher.Kind {
	case LaunchDocker, LaunchPodman:
		return l.inContainer(c)
	case LaunchBwrap:
		return l.inBwrap(c)
	default:
		path, err := findProgram(c.path, c.parent, c.env)
		if err != nil && strings.ContainsRune(c.path, '/') {
			path, err = c.path, nil // it may be there where the command leads
		}
		if err != nil {
			path = c.path
		}
		for _, a := range l.Launcher.Kill {
			c.recipe.Command = append(c.recipe.Command, strings.ReplaceAll(a, "{marker}", l.Marker))
		}
		c.args = slices.Concat(l.Launcher.Command[1:], []string{path}, c.args)
		c.path = l.Launcher.Command[0]
		return c, nil
	}
}

// inBwrap runs the CLI in a sandbox of this host.
func (l Launch) inBwrap(c command) (command, error) {
	path, err := findProgram(c.path, c.parent, c.env)
	if err != nil {
		return c, err
	}
	dir := l.Dir
	if dir == "" {
		if dir, err = os.Getwd(); err != nil {
			return c, err
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return c, err
	}
	args := []string{
		"--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent", "--new-session",
		"--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp",
	}
	if l.Launcher.Network == "none" {
		args = append(args, "--unshare-net")
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link's own directory may be covered
	}
	if strings.HasPrefix(path, "/tmp/") {
		args = append(args, "--ro-bind", path, path)
	}
	writable := append([]string{dir}, l.AddDir...)
	for _, name := range []string{"HOME", "CLAUDE_CONFIG_DIR", "CLAUDE_CODE_TMPDIR", "TMPDIR"} {
		if v, ok := lookup(c.env, name); ok && filepath.IsAbs(v) && v != "/" && v != "/tmp" {
			writable = append(writable, v)
		}
	}
	for _, d := range writable {
		if d, err = l.inDir(d); err != nil {
			return c, err
		}
		args = append(args, "--bind-try", d, d)
	}
	for _, b := range l.Launcher.binds() {
		flag := "--bind"
		if b.readOnly {
			flag = "--ro-bind"
		}
		args = append(args, flag, b.source, b.target)
	}
	args = append(args, "--chdir", dir)
	args = append(args, l.Launcher.Args...)
	c.args = slices.Concat(args, []string{"--", path}, c.args)
	c.path, c.contained = c.recipe.Program, true
	return c, nil
}

// inContainer makes a container, if it is to have one of its own, and runs the CLI in it by the engine's exec: the environment of
// an exec is in no answer to inspect.
func (l Launch) inContainer(c command) (command, error) {
	r := c.recipe
	if _, err := findProgram(r.Program, c.parent, nil); err != nil {
		return c, &StartError{
			Class: ClassRequest, Path: r.Program, Dir: l.Dir, Err: fmt.Errorf("launcher: %s: %w", l.Launcher.Kind, errors.Unwrap(err)),
			Hint: fmt.Sprintf("install %s, or set launcher.program to where it is", l.Launcher.Kind),
		}
	}
	for _, layer := range c.containment.Require {
		if layer == LayerPIDNamespace || layer == LayerCgroup {
			return c, &errUnavailable{"containment requires " + string(layer), "the CLI runs in a container, whose own outlive a runtime that is killed until the next one starts",
				"require container"}
		}
	}
	if l.Launcher.Container != "" && !c.limits.IsZero() {
		return c, &errUnavailable{"limits", "those of a container that runs already are its own", "give it limits when you run it, or use launcher.image"}
	}
	r.User, r.Container = l.Launcher.User, l.Launcher.Container
	dir := l.Dir
	if dir == "" && l.Launcher.Image != "" {
		var err error
		if dir, err = os.Getwd(); err != nil {
			return c, err
		}
	}
	if r.Container == "" {
		sum := sha256.Sum256([]byte(l.Marker))
		r.Container, r.Own = "understudy-"+hex.EncodeToString(sum[:12]), true
		run, err := l.runArgs(r.Container, dir)
		if err != nil {
			return c, err
		}
		c.create = run
		c.contained = true
	}
	args := []string{"exec", "-i"}
	if dir != "" {
		args = append(args, "-w", dir)
	}
	if r.User != "" {
		args = append(args, "-u", r.User)
	}
	if !r.Own {
		args = append(args, l.Launcher.Args...)
	}
	client := []string{}
	for _, kv := range c.parent {
		if name, _, ok := strings.Cut(kv, "="); ok && matches(clientNames, name) {
			client = append(client, kv)
		}
	}
	_, homeChosen := l.Env["HOME"]
	if r.Own && !homeChosen {
		args = append(args, "-e", "HOME=/tmp") // the image's is read only
	}
	for _, kv := range c.env {
		name, value, _ := strings.Cut(kv, "=")
		_, chosen := l.Env[name]
		switch {
		case slices.Contains(hostNames, name) && !chosen:
		case matches(clientNames, name):
			if SecretName(name) {
				return c, fmt.Errorf("env: %s is the engine's own, and would be readable by every user in its arguments; rename it", name)
			}
			args = append(args, "-e", kv)
		default:
			args = append(args, "-e", name) // the value travels in the client's environment
			client = append(client, name+"="+value)
		}
	}
	c.args = slices.Concat(args, []string{r.Container, "sh", "-c", privateScript, c.path}, c.args)
	c.path, c.env, c.dir = r.Program, client, ""
	r.env = client
	// The client of an engine may need what a namespace of ours takes away, and there is nothing below it to be contained.
	c.containment.Without = append(slices.Clone(c.containment.Without), LayerPIDNamespace, LayerCgroup)
	c.limits = Limits{}
	return c, nil
}

// runArgs are the arguments that make a container of the session's own. It does nothing but wait for the CLI to be executed
// in it.
func (l Launch) runArgs(name, dir string) ([]string, error) {
	args := []string{
		"run", "-d", "--rm", "--init", "--name", name, "--label", ownerLabel + "=" + owner(l.Marker),
		"--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only",
		"--tmpfs", "/tmp:rw,nosuid,nodev,mode=1777", "--network", l.Launcher.Network,
	}
	if l.Launcher.User != "" {
		args = append(args, "--user", l.Launcher.User)
	}
	processes := l.Limits.Processes
	if processes == 0 {
		processes = 4096
	}
	args = append(args, "--pids-limit", strconv.Itoa(processes))
	if m := int64(l.Limits.Memory); m > 0 {
		args = append(args, "--memory", strconv.FormatInt(m, 10), "--memory-swap", strconv.FormatInt(m, 10))
	}
	if l.Limits.CPUs > 0 {
		args = append(args, "--cpus", strconv.FormatFloat(l.Limits.CPUs, 'f', -1, 64))
	}
	binds := []bind{{source: dir, target: dir}}
	for _, d := range l.AddDir {
		d, err := l.inDir(d)
		if err != nil {
			return nil, err
		}
		binds = append(binds, bind{source: d, target: d})
	}
	for _, name := range []string{"HOME", "CLAUDE_CONFIG_DIR", "TMPDIR", "CLAUDE_CODE_TMPDIR"} { // the conversation is in one of the first two
		dir := l.Env[name]
		if dir == "" || dir == "/tmp" || slices.ContainsFunc(binds, func(b bind) bool { return b.target == dir }) {
			continue
		}
		if _, err := os.Stat(dir); err != nil && name != "HOME" {
			continue // it is the image's
		}
		binds = append(binds, bind{source: dir, target: dir})
	}
	for _, b := range append(binds, l.Launcher.binds()...) {
		if _, err := os.Stat(b.source); err != nil {
			return nil, fmt.Errorf("mount: %w", err) // an engine would make it, as root
		}
		if strings.ContainsAny(b.source+b.target, ",\"") {
			return nil, fmt.Errorf("mount %q: a comma or a quote can't be said to the engine", b.source)
		}
		m := "type=bind,source=" + b.source + ",target=" + b.target
		if b.readOnly {
			m += ",readonly"
		}
		args = append(args, "--mount", m)
	}
	args = append(args, "-w", dir)
	args = append(args, l.Launcher.Args...)
	return append(args, "--entrypoint", "tail", l.Launcher.Image, "-f", "/dev/null"), nil
}

// owner is the part of a marker that a session keeps over its restarts.
func owner(marker string) string {
	if i := strings.LastIndexByte(marker, '/'); i > 0 {
		return marker[:i]
	}
	return marker
}

// make creates the container, after it has ended what an earlier process of the session has left.
func (r *recipe) make(create []string) error {
	if create == nil {
		if r.Kind == LaunchDocker || r.Kind == LaunchPodman {
			return r.kill()
		}
		return nil
	}
	out, err := r.engine(engineTimeout, "ps", "-aq", "--filter", "label="+ownerLabel+"="+owner(r.Marker))
	if err != nil {
		return err
	}
	for id := range strings.FieldsSeq(string(out)) {
		if _, err := r.engine(engineTimeout, "rm", "-f", id); err != nil {
			return err
		}
	}
	_, err = r.engine(createTimeout, create...)
	return err
}

// begin prepares the start. What it prepares is in the ledger before it is there.
func (r *recipe) begin(create []string, l *Ledger) error {
	if r == nil {
		return nil
	}
	if r.elsewhere() {
		l.launching(r)
	}
	err := r.make(create)
	if err != nil {
		err = errors.Join(err, r.end(l))
	}
	return err
}

// end ends what the recipe has started elsewhere.
func (r *recipe) end(l *Ledger) error {
	if !r.elsewhere() {
		return nil
	}
	if err := r.kill(); err != nil {
		return err // it stays in the ledger
	}
	l.ended(r)
	return nil
}

// engine runs the client and returns what it prints.
func (r *recipe) engine(timeout time.Duration, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	path, err := findProgram(r.Program, r.clientEnv(), nil)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = r.clientEnv()
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("it does not come to an end within %v", timeout)
	}
	if err != nil {
		return nil, &engineError{program: filepath.Base(path), args: args, err: err, said: cut(strings.TrimSpace(stderr.String()), 500)}
	}
	return stdout.Bytes(), nil
}

func (r *recipe) clientEnv() []string {
	if r.env != nil {
		return r.env
	}
	return os.Environ() // of a runtime that ends what an earlier one has left
}

// engineError is an engine that did not do what it was asked to.
type engineError struct {
	program string
	args    []string
	err     error
	said    string
}

func (e *engineError) Error() string {
	s := fmt.Sprintf("%s %s: %v", e.program, e.args[0], e.err)
	if e.said != "" {
		s += ": " + strconv.Quote(e.said)
	}
	return s
}
func (e *engineError) Unwrap() error { return e.err }

// signalScript sends a signal to what carries a marker in a container, and to what descends from that; with -9 again and
// again until nothing is found. It takes a shell and what every image has, and works on what /proc says.
const signalScript = `m=UNDERSTUDY_SESSION=$1; sig=$2; n=0
while [ $n -lt 100 ]; do
	n=$((n+1)); v=' '
	for d in /proc/[0-9]*; do
		if tr '\0' '\n' <$d/environ 2>/dev/null | grep -qxF "$m"; then v="$v${d#/proc/} "; fi
	done
	grown=1
	while [ $grown = 1 ]; do
		grown=0
		for d in /proc/[0-9]*; do
			p=${d#/proc/}
			case $v in *" $p "*) continue;; esac
			{ read -r l <$d/stat; } 2>/dev/null || continue
			l=${l##*) }; set -- $l
			case $v in *" $2 "*) [ "$1" = Z ] || { v="$v$p "; grown=1; };; esac
		done
	done
	[ "$v" = ' ' ] && exit 0
	kill -$sig $v 2>/dev/null
	[ $sig = 9 ] || exit 0
	sleep 0.02 2>/dev/null || sleep 1
done
exit 1`

// kill ends what runs in the container, with it if it was made for this process.
func (r *recipe) kill() error {
	switch r.Kind {
	case LaunchDocker, LaunchPodman:
		if r.Own {
			_, err := r.engine(engineTimeout, "rm", "-f", r.Container)
			if e, ok := errors.AsType[*engineError](err); ok && (strings.Contains(strings.ToLower(e.said), "no such container") ||
				strings.Contains(strings.ToLower(e.said), "no container with name")) {
				return nil
			}
			return err
		}
		return r.script("9")
	case LaunchCommand:
		if len(r.Command) == 0 {
			return nil
		}
		k := &recipe{Kind: r.Kind, Program: r.Command[0], env: r.env}
		_, err := k.engine(engineTimeout, r.Command[1:]...)
		return err
	default: // what this host's own means end
		return nil
	}
}

// term asks the CLI in the container to end. Whether it could be asked is the ladder's to find out.
func (r *recipe) term() {
	if r.Kind == LaunchDocker || r.Kind == LaunchPodman {
		_ = r.script("15")
	}
}

func (r *recipe) script(signal string) error {
	args := []string{"exec"}
	if r.User != "" {
		args = append(args, "-u", r.User)
	}
	_, err := r.engine(engineTimeout, append(args, r.Container, "sh", "-c", signalScript, "sh", r.Marker, signal)...)
	if e, ok := errors.AsType[*engineError](err); ok {
		said := strings.ToLower(e.said)
		if strings.Contains(said, "no such container") || strings.Contains(said, "no container with name") || strings.Contains(said, "is not running") ||
			strings.Contains(said, "container state improper") {
			return nil // with it, all in it are gone
		}
	}
	return err
}

// elsewhere reports whether this host's signals end what the recipe starts.
func (r *recipe) elsewhere() bool {
	return r != nil && (r.Kind == LaunchDocker || r.Kind == LaunchPodman || len(r.Command) > 0)
}

// launchError makes a StartError of a launcher that could not do its work.
func launchError(c command, err error) error {
	if se, ok := errors.AsType[*StartError](err); ok {
		return se
	}
	if _, ok := errors.AsType[*errUnavailable](err); ok {
		return refusal(c, err)
	}
	e := &StartError{Class: ClassRequest, Path: c.path, Dir: c.dir, Err: fmt.Errorf("launcher: %w", err)}
	said := strings.ToLower(err.Error())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case strings.Contains(said, "cannot connect"), strings.Contains(said, "permission denied while trying to connect"), strings.Contains(said, "does not come to an end"):
		e.Class, e.Hint = ClassResources, "is the engine running, and may this user use it?"
	case strings.Contains(said, "container-init binary not found"):
		e.Hint = "install catatonit"
	case strings.Contains(said, "error setting rlimit"):
		e.Hint = `this user may not raise limits: launcher.args: [--ulimit, "nofile=1024:1024", --ulimit, "nproc=1024:1024"]`
	case strings.Contains(said, "no such image"), strings.Contains(said, "image not known"), strings.Contains(said, "pull access denied"):
		e.Hint = "pull or build the image, or correct launcher.image"
	case strings.Contains(said, "no such container"), strings.Contains(said, "no container with name"), strings.Contains(said, "is not running"):
		e.Hint = "start the container, or correct launcher.container"
	}
	return e
}
