package session

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

// Problem is something that is wrong with an option.
type Problem struct {
	Path    string // of the option's key, such as sandbox.credentials.envVars[0].mode
	Value   string
	Message string // what was expected, and perhaps, behind a semicolon, what to do
	// Combination says that the value is wrong beside other options only.
	Combination bool
}

func (p Problem) Error() string { return fmt.Sprintf("%s %q: %s", p.Path, cut(p.Value, 80), p.Message) }

// Problems is what is wrong with the options: what Validate reports, with places.
func (o Options) Problems() []Problem {
	o = o.Effective()
	var problems []Problem
	add := func(path string, value any, format string, args ...any) {
		problems = append(problems, Problem{Path: path, Value: fmt.Sprint(value), Message: fmt.Sprintf(format, args...)})
	}
	together := func(path string, value any, format string, args ...any) {
		add(path, value, format, args...)
		problems[len(problems)-1].Combination = true
	}
	if o.Profile != "" && !slices.Contains(Profiles(), o.Profile) {
		add("profile", o.Profile, "expected review, ci, edit or interactive")
	}
	for _, list := range []struct {
		option string
		rules  []string
	}{{"allowed_tools", o.AllowedTools}, {"disallowed_tools", o.DisallowedTools}} {
		for i, rule := range list.rules {
			if _, err := ParseRule(rule); err != nil {
				add(fmt.Sprintf("%s[%d]", list.option, i), rule, "%v", err)
			}
		}
	}
	for _, p := range o.Sandbox.Problems() {
		add("sandbox."+p.Path, p.Value, "%s", p.Message)
	}
	option, mode := "permission_mode", o.PermissionMode
	if o.DangerouslySkipPermissions {
		option, mode = "dangerously_skip_permissions", protocol.ModeBypassPermissions
	}
	if err := o.mayBypass(mode); err != nil {
		together(option, mode, "%v", err)
	}
	problems = append(problems, o.APIProxy.problems()...)
	if o.APIKeyDelivery != "" && !slices.Contains(APIKeyDeliveries(), o.APIKeyDelivery) {
		add("api_key_delivery", o.APIKeyDelivery, "expected env, fd or proxy")
	}
	if sources := o.keySources(); len(sources) > 1 {
		together(sources[1], "", "the key has two sources, %s; remove one, or take a default back with null", strings.Join(sources, " and "))
	}
	if strings.ContainsAny(o.APIKeyCredential, "/\x00") || strings.HasPrefix(o.APIKeyCredential, ".") {
		add("api_key_credential", o.APIKeyCredential, "expected the name of a credential, not a path")
	}
	if !o.TrustWorkspace && o.StrictMCPConfig != nil && !*o.StrictMCPConfig {
		together("strict_mcp_config", false, "the CLI would start the servers that a repository's .mcp.json names, and nobody is asked; set trust_workspace if you trust it")
	}
	if !o.TrustWorkspace {
		for i, source := range o.SettingSources {
			if source == "project" || source == "local" {
				together(fmt.Sprintf("setting_sources[%d]", i), source,
					"a repository's settings run programs and take the key, and nobody is asked; set trust_workspace if you trust it")
			}
		}
	}
	for i, name := range o.UnsetEnv {
		if name == "" || strings.ContainsAny(name, "=\x00 ") {
			add(fmt.Sprintf("unset_env[%d]", i), name, "expected the name of a variable")
		}
		if _, both := o.Env[name]; both {
			together(fmt.Sprintf("unset_env[%d]", i), name, "it is set in env; remove one of them")
		}
	}
	if _, set := o.Env["HOME"]; set && is(o.IsolateHome) {
		together("isolate_home", true, "env sets HOME; remove one of them")
	}
	if is(o.IsolateHome) && o.launcher().Container != "" {
		together("isolate_home", true, "a container that runs already has none of this host's directories; set HOME to one of its own in env, or use launcher.image")
	}
	for i, root := range o.Roots {
		if !filepath.IsAbs(root) {
			add(fmt.Sprintf("roots[%d]", i), root, "expected an absolute path")
		}
	}
	if p, ok := o.Settings.Values["permissions"]; ok {
		if _, isObject := p.(map[string]any); !isObject {
			add("settings.permissions", "", "expected an object")
		}
	}
	if err := o.launcher().Validate(); err != nil {
		add("launcher", "", "%s", strings.ReplaceAll(err.Error(), "launcher: ", ""))
	}
	if !o.Launcher.IsZero() && o.Sandbox.InContainer() {
		together("launcher", o.Launcher.Kind, "sandbox.container says where the CLI runs as well; remove one of them")
	}
	if err := o.Containment.Validate(); err != nil {
		add("containment", "", "%s", strings.TrimPrefix(err.Error(), "containment: "))
	}
	if err := o.Limits.Validate(); err != nil {
		add("limits", "", "%s", strings.TrimPrefix(err.Error(), "limits: "))
	}
	return append(problems, o.faults()...)
}

// mayBypass says why a session may not be in a permission mode.
func (o Options) mayBypass(mode protocol.PermissionMode) error {
	switch {
	case mode != protocol.ModeBypassPermissions:
		return nil
	case !o.AllowDangerouslySkipPermissions:
		return errors.New("it needs allow_dangerously_skip_permissions: true, since nothing that the agent does is asked about")
	case !o.contained():
		return errors.New("it needs a sandbox (sandbox: {enabled: true}) or a container, since nothing else holds the agent")
	}
	return nil
}

// contained reports whether something other than permissions holds what the agent runs.
func (o Options) contained() bool {
	s := o.Sandbox
	l := o.launcher()
	return l.Image != "" || l.Container != "" || l.Kind == process.LaunchBwrap || s.On() && !is(s.AllowUnsandboxedCommands) && (s.FailIfUnavailable == nil || *s.FailIfUnavailable)
}

// InheritsAll reports whether the CLI gets the whole environment of this program.
func (o Options) InheritsAll() bool { return slices.Contains(o.InheritEnv, process.InheritAll) }

// sources are the settings files that the CLI reads.
func (o Options) sources() []string {
	if o.TrustWorkspace && o.SettingSources == nil {
		return []string{"project", "local"}
	}
	return o.SettingSources
}

// confined reports whether the file tools are kept in the working directories.
func (o Options) confined() bool { return o.ConfineFiles == nil || *o.ConfineFiles }

// confining are the keys of permissions that keep the file tools in. The first keeps Read, Grep and the rest; its older relative,
// blockReadsOutsideWorkingDirectories, would also turn commands into questions.
var confining = []string{"blockFileToolReadsOutsideWorkingDirectories", "blockWritesOutsideWorkingDirectories"}

// bypassKey is the key of permissions that takes the mode bypassPermissions away.
const bypassKey = "disableBypassPermissionsMode"

// secure adds to a launch what the options say about privileges.
func (o Options) secure(l *process.Launch) {
	l.SettingSources, l.WorkspaceMCP = o.sources(), o.TrustWorkspace && !is(o.StrictMCPConfig)
	l.UnsetEnv = o.UnsetEnv
	l.Sandbox = o.Sandbox.settings()
	harder := map[string]any{}
	if o.confined() {
		for _, key := range confining {
			harder[key] = true
		}
	}
	if !o.AllowDangerouslySkipPermissions {
		harder[bypassKey] = "disable"
	}
	if len(harder) > 0 {
		values := maps.Clone(o.Settings.Values)
		if values == nil {
			values = map[string]any{}
		}
		have, _ := values["permissions"].(map[string]any)
		for key, value := range have {
			if _, ours := harder[key]; !ours {
				harder[key] = value
			}
		}
		values["permissions"] = harder
		l.Settings = values
	}
}

// maxInstructions is how long the files of ClaudeMD may be together. They travel in an argument, which has 128 KiB.
const maxInstructions = 96 << 10

// instructions are the texts of ClaudeMD.
func (o Options) instructions() (string, error) {
	var b strings.Builder
	for _, name := range o.ClaudeMD {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(o.CWD, path)
		}
		text, err := o.readInside(path)
		if err != nil {
			return "", fmt.Errorf("claude_md %q: %w", name, err)
		}
		fmt.Fprintf(&b, "\n\n# Instructions from %s\n\n%s", filepath.Base(path), strings.TrimSpace(text))
		if b.Len() > maxInstructions {
			return "", fmt.Errorf("claude_md %q: the files have more than %d KiB together", name, maxInstructions>>10)
		}
	}
	return strings.TrimSpace(b.String()), nil
}

// readInside reads a regular file that does not lead out of the session's directories. A repository could have a link there to
// what is not its own to show.
func (o Options) readInside(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	if real, err = filepath.Abs(real); err != nil {
		return "", err
	}
	inside := false
	for _, dir := range append([]string{o.cwd()}, o.AddDir...) {
		if root, err := filepath.EvalSymlinks(dir); err == nil && within(root, real) {
			inside = true
		}
	}
	// What was named by an absolute path was chosen by whoever wrote the options; a link below the repository was not.
	if plain, err := filepath.Abs(path); !inside && (err != nil || plain != real) {
		return "", fmt.Errorf("it leads to %s, outside of cwd and add_dir", real)
	}
	// Not to wait for a pipe's other end.
	info, err := os.Stat(real)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("not a regular file")
	}
	f, err := os.Open(real)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxInstructions+1))
	if err == nil && len(data) > maxInstructions {
		err = fmt.Errorf("larger than %d KiB", maxInstructions>>10)
	}
	return string(data), err
}

func (o Options) cwd() string {
	if o.CWD != "" {
		return o.CWD
	}
	dir, err := os.Getwd()
	if err != nil {
		return "/"
	}
	return dir
}

// within reports whether a clean path is dir or below it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// directories checks that CWD and AddDir are there and lie in Roots, links resolved. It looks at the disk, at each start: a
// link may have been changed since.
func (o Options) directories() error {
	var roots []string
	for _, root := range o.Roots {
		if !filepath.IsAbs(root) {
			return fmt.Errorf("roots %q: expected an absolute path", root)
		}
		real, err := filepath.EvalSymlinks(root)
		if err != nil {
			return fmt.Errorf("roots: %w", err)
		}
		roots = append(roots, real)
	}
	check := func(option, dir string) error {
		if !filepath.IsAbs(dir) {
			return fmt.Errorf("%s %q: expected an absolute path; it would start in the directory of this program, whichever that is", option, dir)
		}
		real, err := filepath.EvalSymlinks(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s %q: it does not exist; create it, or correct %s: %w", option, dir, option, err)
		}
		if err != nil {
			return fmt.Errorf("%s %q: %w", option, dir, err)
		}
		info, err := os.Stat(real)
		if err != nil {
			return fmt.Errorf("%s %q: %w", option, dir, err)
		}
		if !info.IsDir() {
			return fmt.Errorf("%s %q: it is no directory", option, dir)
		}
		if len(roots) == 0 || slices.ContainsFunc(roots, func(root string) bool { return within(root, real) }) {
			return nil
		}
		if real != filepath.Clean(dir) {
			return fmt.Errorf("%s %q: it leads to %s, which is in none of roots (%s)", option, dir, real, strings.Join(o.Roots, ", "))
		}
		return fmt.Errorf("%s %q: it is in none of roots (%s)", option, dir, strings.Join(o.Roots, ", "))
	}
	if o.CWD != "" || len(roots) > 0 {
		if err := check("cwd", o.cwd()); err != nil {
			return err
		}
	}
	for _, dir := range o.AddDir {
		if err := check("add_dir", dir); err != nil {
			return err
		}
	}
	return nil
}

// prepare does what has to look at the machine before each start.
func (o Options) prepare(l *process.Launch) error {
	if err := o.directories(); err != nil {
		return err
	}
	text, err := o.instructions()
	if err != nil {
		return err
	}
	if text != "" {
		l.AppendSystemPrompt = strings.TrimSpace(l.AppendSystemPrompt + "\n\n" + text)
	}
	return nil
}
