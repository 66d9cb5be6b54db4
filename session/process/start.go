package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Options tune how a process is held. The zero value is what the runtime uses.
type Options struct {
	// StderrLines is how many of the last lines of stderr are kept. 0 means 200.
	StderrLines int
	// StderrBytes bounds the kept lines together. 0 means 64 KiB.
	StderrBytes int
	// StderrLineBytes is where a line is cut. 0 means 4 KiB.
	StderrLineBytes int
	// OnStderr, if not nil, gets each line of stderr, cut and redacted as those that are kept. Calls come
	// one after the other from a goroutine of their own; when it is slow, lines are dropped instead of the
	// CLI being held up. The last call may come after Done is closed.
	OnStderr func(line string)
	// OutputGrace is how long after the exit stdout and stderr stay open for what a descendant may still write.
	// What the CLI itself wrote is always delivered. 0 means 300 ms.
	OutputGrace time.Duration
	// SweepTimeout bounds the sweep that follows the exit. 0 means 5 s.
	SweepTimeout time.Duration
	// Ledger, if not nil, lists on disk what the CLI starts, where nothing better ends it when this program is killed.
	Ledger *Ledger
	// Parent is the environment that Launch.Environ inherits from. nil means os.Environ().
	Parent []string
	// OnCommand, if not nil, is called by Start before the process exists, with the CLI's arguments and the names of its environment. Neither
	// has secrets in it.
	OnCommand func(args, env []string)
	// OnStrays, if not nil, is told what carried the marker and was not in the CLI's pid namespace, and why it could not be ended. It is
	// called some moments after Done is closed, and not at all where nothing was found or there was no pid namespace (Swept
	// has it then). It must return at once.
	OnStrays func(SweepReport)
	// AtEnd, if not nil, is called once when the CLI and all that it started have ended, before Done is closed: to remove what was
	// there for them. It is not called when Start fails, and must not wait for the process.
	AtEnd func()
}

func (o Options) filled() Options {
	def := func(v *int, n int) {
		if *v <= 0 {
			*v = n
		}
	}
	def(&o.StderrLines, 200)
	def(&o.StderrBytes, 64<<10)
	def(&o.StderrLineBytes, 4<<10)
	if o.OutputGrace <= 0 {
		o.OutputGrace = 300 * time.Millisecond
	}
	if o.SweepTimeout <= 0 {
		o.SweepTimeout = 5 * time.Second
	}
	if o.Parent == nil {
		o.Parent = os.Environ()
	}
	return o
}

// StartError is a process that could not be started. Its text says what was wrong and what to do.
type StartError struct {
	Class ExitClass // ClassRequest, or ClassResources when another try may succeed
	Path  string    // the program, as it was asked for or as it was found
	Dir   string    // the working directory, if one was given
	Err   error     // what was wrong
	Hint  string    // what to do; may be empty
}

func (e *StartError) Error() string {
	s := fmt.Sprintf("start %q: %v", e.Path, e.Err)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// Start checks the launch and starts it. The process is in a process group of its own, and on Linux gets SIGKILL
// when the runtime dies. An error is a *StartError.
//
// The caller must read Stdout to its end or close it, and must see to it that the process ends (Stop, Kill,
// CloseStdin); everything else is released without further ado by the time Done is closed.
func Start(l Launch, o Options) (*Process, error) {
	o = o.filled()
	refuse := func(err error) error {
		return &StartError{Class: ClassRequest, Path: l.program(), Dir: l.Dir, Err: err}
	}
	if l.Marker == "" {
		return nil, refuse(errors.New("the launch has no marker, without which its tools could not be found again; set Marker"))
	}
	args, err := l.Argv()
	if err != nil {
		return nil, refuse(err)
	}
	env, err := l.Environ(o.Parent)
	if err != nil {
		return nil, refuse(err)
	}
	if err := l.checkSandbox(env); err != nil && !l.Launcher.elsewhere() {
		if _, ok := errors.AsType[*StartError](err); ok {
			return nil, err
		}
		return nil, refuse(err)
	}
	if sandboxed, _ := lookup(env, "IS_SANDBOX"); l.PermissionMode == "bypassPermissions" && os.Geteuid() == 0 && len(l.PrefixArgs) == 0 && !l.Launcher.elsewhere() &&
		sandboxed != "1" {
		return nil, refuse(errors.New("permission_mode: the CLI refuses bypassPermissions as root; " +
			"run as another user, choose another mode, or set env IS_SANDBOX=1 if this is a throw-away container"))
	}
	if err := l.Launcher.Validate(); err != nil {
		return nil, refuse(err)
	}
	if l.Dir != "" && !(l.Launcher.elsewhere() && l.Launcher.Image == "") { // of a container that runs, this host knows no directories
		if err := checkDir(l.Dir); err != nil {
			return nil, &StartError{Class: ClassRequest, Path: l.program(), Dir: l.Dir, Err: err, Hint: "create it, or correct cwd"}
		}
	}
	c := command{
		path: l.program(), args: args, env: env, dir: l.Dir, marker: l.Marker, secrets: l.secrets(), parent: o.Parent,
		containment: l.Containment, limits: l.Limits,
	}
	if l.APIKeyFD {
		if l.Launcher.elsewhere() {
			return nil, refuse(errors.New("api_key_delivery: an engine passes no descriptors into its containers; use env or proxy"))
		}
		c.secretFD = l.APIKey
	}
	if o.OnCommand != nil {
		names := make([]string, 0, len(env))
		for _, variable := range env {
			name, _, _ := strings.Cut(variable, "=")
			names = append(names, strings.Clone(name)) // nobody is to hold on to the values by it
		}
		o.OnCommand(slices.Clone(args), names)
	}
	c, err = l.launchWith(c)
	if err != nil {
		return nil, launchError(command{path: l.program(), dir: l.Dir}, err)
	}
	return start(c, o)
}

// command is a launch that has become plain: what the operating system is asked to run.
type command struct {
	path    string
	args    []string
	env     []string
	dir     string
	marker  string
	secrets []string
	parent  []string

	containment Containment
	limits      Limits
	hold        *holding // what of it is had
	secretFD    string   // what the child reads from keyDescriptor

	recipe    *recipe  // nil: the CLI runs on this host
	create    []string // what the engine is asked first
	contained bool     // in a container or sandbox of its own
}

func start(c command, o Options) (*Process, error) {
	if c.dir != "" {
		if err := checkDir(c.dir); err != nil {
			return nil, &StartError{Class: ClassRequest, Path: c.path, Dir: c.dir, Err: err,
				Hint: "create it, or correct cwd"}
		}
	}
	path, err := findProgram(c.path, c.parent, c.env)
	if err != nil {
		var se *StartError
		if errors.As(err, &se) {
			se.Dir = c.dir
		}
		return nil, err
	}
	if c.hold, err = hold(c, o); err != nil {
		return nil, refusal(c, err)
	}
	if err := c.recipe.begin(c.create, o.Ledger); err != nil {
		return nil, launchError(c, err)
	}
	p, err := spawn(path, c, o)
	if err != nil {
		c.recipe.end(o.Ledger)
		return nil, explainExec(path, c, err)
	}
	return p, nil
}

// privateScript starts a program whose files are its user's alone, and which leaves no core file: that would hold the key.
const privateScript = `umask 077; ulimit -c 0 2>/dev/null; exec "$0" "$@"`

// privately has a shell start a program, if there is one.
func privately(path string, argv []string) (string, []string) {
	const shell = "/bin/sh"
	if accessExec(shell) != nil {
		return path, argv
	}
	return shell, slices.Concat([]string{"sh", "-c", privateScript, path}, argv[1:])
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the working directory %q does not exist", dir)
	case err != nil:
		return fmt.Errorf("the working directory: %w", err)
	case !info.IsDir():
		return fmt.Errorf("the working directory %q is not a directory", dir)
	}
	return nil
}

// Program is the path of the program that a launch starts, as it is found now.
func (l Launch) Program() (string, error) {
	env, err := l.Environ(os.Environ())
	if err != nil {
		return "", err
	}
	return findProgram(l.program(), os.Environ(), env)
}

// findProgram resolves a name on the runtime's PATH first, then on the child's: a PATH that is set for the tools
// need not lead to the CLI. It never takes a program from the working directory.
func findProgram(name string, parent, env []string) (string, error) {
	const hint = "install Claude Code (npm install -g @anthropic-ai/claude-code) or set cli.path to where it is"
	if strings.ContainsRune(name, '/') {
		abs, err := filepath.Abs(name)
		if err != nil {
			return "", &StartError{Class: ClassRequest, Path: name, Err: err}
		}
		if err := executable(abs); err != nil {
			se := &StartError{Class: ClassRequest, Path: name, Err: err}
			switch {
			case errors.Is(err, fs.ErrNotExist):
				se.Err, se.Hint = fmt.Errorf("no such file: %w", fs.ErrNotExist), hint
			case errors.Is(err, fs.ErrPermission):
				se.Hint = "make it executable (chmod +x) and its directories searchable for this user"
			}
			return "", se
		}
		return abs, nil
	}
	var paths []string
	for _, e := range [][]string{parent, env} {
		if v, ok := lookup(e, "PATH"); ok && !slices.Contains(paths, v) {
			paths = append(paths, v)
		}
	}
	var denied error
	for _, path := range paths {
		for _, dir := range filepath.SplitList(path) {
			if !filepath.IsAbs(dir) { // "." and the empty entry
				continue
			}
			file := filepath.Join(dir, name)
			err := executable(file)
			if err == nil {
				return file, nil
			}
			if errors.Is(err, fs.ErrPermission) && denied == nil {
				denied = err
			}
		}
	}
	err := fmt.Errorf("not found on PATH %q", strings.Join(paths, string(os.PathListSeparator)))
	if denied != nil {
		err = fmt.Errorf("%w (found but not usable: %w)", err, denied)
	} else {
		err = fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	}
	return "", &StartError{Class: ClassRequest, Path: name, Err: err, Hint: hint}
}

func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%q is a directory", path)
	}
	if err := accessExec(path); err != nil {
		return fmt.Errorf("%q can't be executed: %w", path, err)
	}
	return nil
}

// explainExec names the cause of what exec says in one word. Program and directory have been looked at before, so
// that "no such file" is about what the program needs.
func explainExec(path string, c command, err error) error {
	e := &StartError{Class: ClassRequest, Path: path, Dir: c.dir, Err: err}
	if c.hold.failed(err) { // not the program's fault
		e.Class = ClassResources
		return e
	}
	var no syscall.Errno
	if !errors.As(err, &no) {
		return e
	}
	switch no {
	case syscall.ENOENT:
		e.Hint = "the file is there, but not the interpreter in its first line, or not the loader it was built for (a glibc build on musl?)"
	case syscall.ENOEXEC:
		e.Hint = "it is no program for this machine: a script needs a first line like #!/bin/sh, a binary the right architecture"
	case syscall.EACCES, syscall.EPERM:
		e.Hint = "check the permissions of the program and of the working directory, and whether the file system is mounted noexec"
	case syscall.E2BIG:
		e.Hint = "arguments and environment are too large together; shorten the system prompt or the settings"
	case syscall.EAGAIN:
		e.Class, e.Hint = ClassResources, "too many processes; raise the limit (ulimit -u, pids.max) or run fewer sessions"
	case syscall.EMFILE, syscall.ENFILE:
		e.Class, e.Hint = ClassResources, "too many open files; raise the limit (ulimit -n) or run fewer sessions"
	case syscall.ENOMEM:
		e.Class, e.Hint = ClassResources, "the system is out of memory; run fewer sessions"
	case syscall.ETXTBSY:
		e.Class, e.Hint = ClassResources, "the program is being written at this moment (an update?); try again"
	}
	return e
}
