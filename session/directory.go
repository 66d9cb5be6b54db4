package session

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

// Directories are where a session works, as they are on the disk at the moment: links resolved. Options.ExclusiveCWD is about them.
type Directories struct {
	// CWD is empty if the session works in none of this host's.
	CWD string
	// Worktree is the checkout below CWD in which the session works instead of in CWD itself; empty if there is none.
	Worktree string
	// AddDir are the others that it may write in; empty if it may not write.
	AddDir []string
	// Exclusive is Options.ExclusiveCWD, Writes is Options.MayWrite.
	Exclusive, Writes bool
}

// Directories looks at the disk for where a session of that name works. A directory that is not there yet counts as what it will be
// when it is made.
func (o Options) Directories(name string) Directories {
	d := Directories{Exclusive: o.ExclusiveCWD, Writes: o.MayWrite()}
	if o.elsewhere() {
		return d
	}
	d.CWD = RealPath(o.cwd())
	if o.Worktree.On {
		d.Worktree = strings.ReplaceAll(cmp.Or(o.Worktree.Value, name), "/", "+") // as the CLI calls its directory
	}
	if d.Writes {
		for _, dir := range o.AddDir {
			d.AddDir = append(d.AddDir, RealPath(dir))
		}
	}
	return d
}

// elsewhere reports whether CWD is a directory of a container or of another machine.
func (o Options) elsewhere() bool {
	l := o.launcher()
	return l.Container != "" || l.Kind == process.LaunchCommand
}

// Excludes says which directories of two sessions may not be theirs at the same time, since one is to be exclusive; both are empty if
// there are none. It is the same whichever of them is asked.
func (d Directories) Excludes(e Directories) (mine, theirs string) {
	if d.CWD == "" || e.CWD == "" || !d.Exclusive && !e.Exclusive {
		return "", ""
	}
	if d.meets(e) {
		return d.CWD, e.CWD
	}
	if d.Exclusive {
		for _, dir := range e.AddDir {
			if overlap(d.CWD, dir) {
				return d.CWD, dir
			}
		}
	}
	if e.Exclusive {
		for _, dir := range d.AddDir {
			if overlap(dir, e.CWD) {
				return dir, e.CWD
			}
		}
	}
	return "", ""
}

// Shares reports whether two sessions may write in one working directory, and neither says that it is to be alone there.
func (d Directories) Shares(e Directories) bool {
	return d.CWD != "" && e.CWD != "" && d.Writes && e.Writes && !d.Exclusive && !e.Exclusive && d.meets(e)
}

// meets reports whether they have a working directory, or a part of one, in common.
func (d Directories) meets(e Directories) bool {
	if d.Worktree != "" && e.Worktree != "" && d.Worktree != e.Worktree {
		return false // a checkout each
	}
	return overlap(d.CWD, e.CWD)
}

// overlap reports whether two clean paths are the same, or one is below the other.
func overlap(a, b string) bool { return below(a, b) || below(b, a) }

func below(dir, path string) bool {
	rest, ok := strings.CutPrefix(path, dir)
	return ok && (rest == "" || rest[0] == filepath.Separator || strings.HasSuffix(dir, string(filepath.Separator)))
}

// maxLinks is how many links a path may lead through before it is given up, as in the kernel.
const maxLinks = 40

// RealPath is an absolute path with its links resolved. What is not there, or cannot be looked at, is resolved as far as it goes: a link
// to a directory that is not made yet leads there.
func RealPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		if real, err = filepath.Abs(real); err == nil {
			return real
		}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return filepath.Clean(path)
	}
	rest, links := "", 0
	for at := path; ; {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest)
		}
		if target, err := os.Readlink(at); err == nil && links < maxLinks {
			links++
			if !filepath.IsAbs(target) {
				target = filepath.Join(RealPath(filepath.Dir(at)), target)
			}
			at = filepath.Clean(target)
			continue
		}
		if at == filepath.Dir(at) {
			return path
		}
		at, rest = filepath.Dir(at), filepath.Join(filepath.Base(at), rest)
	}
}

// writers are the tools that change files.
var writers = []string{"Bash", "Edit", "MultiEdit", "NotebookEdit", "PowerShell", "Write"}

// MayWrite reports whether the session may change files as far as its options say: whether it has a tool that does, and its mode, or a
// rule, lets that run, or has somebody asked. Hooks and callbacks that deny are not looked at, nor is what is changed at run time.
func (o Options) MayWrite() bool {
	o = o.Effective()
	modes := []protocol.PermissionMode{o.PermissionMode}
	if o.DangerouslySkipPermissions {
		modes = append(modes, protocol.ModeBypassPermissions)
	}
	for _, a := range o.Agents {
		if a.PermissionMode != "" {
			modes = append(modes, a.PermissionMode)
		}
	}
	free := slices.ContainsFunc(modes, func(m protocol.PermissionMode) bool {
		switch m {
		case protocol.ModePlan, protocol.ModeDontAsk:
			return false
		case protocol.ModeDefault, protocol.ModeManual, "":
			return o.PermissionPrompts != PromptsNone || o.PermissionPromptTool != ""
		}
		return true
	})
	listed := func(rules []string, match func(Rule) bool) bool {
		return slices.ContainsFunc(rules, func(text string) bool {
			r, err := ParseRule(text)
			return err == nil && match(r)
		})
	}
	for _, tool := range writers {
		missing := o.Tools != nil && !slices.Contains(o.Tools, tool) && !slices.Contains(o.Tools, "default")
		if missing || listed(o.DisallowedTools, func(r Rule) bool { return r.Tool == tool && r.Of == "" }) {
			continue
		}
		sandboxed := tool == "Bash" && o.Sandbox.On() && (o.Sandbox.AutoAllowBashIfSandboxed == nil || *o.Sandbox.AutoAllowBashIfSandboxed)
		if free || sandboxed || listed(o.AllowedTools, func(r Rule) bool { return r.Tool == tool }) {
			return true
		}
	}
	// What a server of somebody else's does nobody knows.
	servers := len(o.MCPServers) > 0 || o.MCPConfig != "" || o.TrustWorkspace
	return servers && (free || listed(o.AllowedTools, func(r Rule) bool { return strings.HasPrefix(r.Tool, "mcp__") }))
}
