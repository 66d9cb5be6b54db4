package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// finding is one thing that doctor looked at.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warn, fail
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

func newDoctor(at *place) *cobra.Command {
	var cli string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what this host has for running sessions",
		Long: `Looks for the CLI and its version, the API key, the data directory, sandbox tools, and
what this host has for containing sessions: pid namespaces, control groups and so on. Exit code 1 if something fails that sessions cannot do without.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := []finding{
				checkCLI(cmd.Context(), cli), checkOwner(cli, os.Geteuid()), checkKey(), checkDataDir(at.data()), checkDaemon(cmd.Context(), at),
				checkTool("bwrap", "bubblewrap"), checkTool("socat", "socat"), checkUser(),
			}
			findings = append(findings, checkContainment()...)
			if err := printFindings(cmd, findings, asJSON); err != nil {
				return err
			}
			for _, f := range findings {
				if f.Status == "fail" {
					return &exitCodeError{code: exitError}
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&cli, "cli", "claude", "the CLI: a path, a name on PATH, or simulated")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an array of findings")
	return cmd
}

func printFindings(cmd *cobra.Command, findings []finding, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		return printJSON(out, findings)
	}
	for _, f := range findings {
		if _, err := fmt.Fprintf(out, "%-4s  %-16s  %s\n", f.Status, f.Check, f.Detail); err != nil {
			return err
		}
		if f.Fix != "" {
			if _, err := fmt.Fprintf(out, "%24s→ %s\n", "", f.Fix); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkCLI(ctx context.Context, path string) finding {
	f := finding{Check: "cli"}
	cli, err := programAt(path)
	if err != nil {
		f.Status, f.Detail = "fail", err.Error()
		return f
	}
	version, err := process.Version(ctx, cli.Path, cli.Args)
	var start *process.StartError
	switch {
	case errors.As(err, &start):
		f.Status, f.Detail, f.Fix = "fail", fmt.Sprint(start.Err), start.Hint
	case err != nil:
		f.Status, f.Detail = "fail", err.Error()
	case version != testedVersion:
		f.Status, f.Detail = "warn", fmt.Sprintf("%s is version %s; tested with %s", path, version, testedVersion)
		f.Fix = "npm install -g @anthropic-ai/claude-code@" + testedVersion
	default:
		f.Status, f.Detail = "ok", fmt.Sprintf("%s, version %s", path, version)
	}
	return f
}

// checkOwner looks at who can change the program that gets the key: its file, what a link leads to, and the directories above it.
func checkOwner(cli string, uid int) finding {
	f := finding{Check: "cli owner", Status: "ok"}
	program, err := programAt(cli)
	if err != nil || program.Args != nil {
		f.Detail = "nothing to look at" // cli says why, or it is this program
		return f
	}
	path := program.Path
	if !strings.Contains(path, "/") {
		if path = onPath(path); path == "" {
			f.Detail = "nothing to look at"
			return f
		}
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if path, err = filepath.Abs(path); err != nil {
		f.Status, f.Detail = "warn", err.Error()
		return f
	}
	const fix = "install it as another user, in a directory that the daemon's user cannot write to, and give its path in cli: {path: …}"
	owner := -1
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			f.Detail = "nothing to look at"
			return f
		}
		holder, known := ownerOf(info)
		if at == path {
			owner = holder
		}
		perm := info.Mode().Perm()
		switch {
		case perm&0o022 != 0 && info.Mode()&os.ModeSticky == 0:
			f.Status, f.Detail, f.Fix = "warn", fmt.Sprintf("%s can be written by others (%04o), so that they can change the CLI", at, perm), "chmod go-w "+at
			return f
		case known && holder == uid && uid != 0:
			f.Status, f.Detail, f.Fix = "warn", fmt.Sprintf("%s is the daemon's own (uid %d): what an agent runs outside of the sandbox can change the CLI", at, uid), fix
			return f
		case known && holder != uid && holder != 0 && at != path:
			f.Status, f.Detail, f.Fix = "warn", fmt.Sprintf("%s is uid %d's, who can change the CLI", at, holder), fix
			return f
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	f.Detail = fmt.Sprintf("%s is uid %d's, and nobody else can change it", path, owner)
	return f
}

func onPath(name string) string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode().Perm()&0o111 != 0 {
			return path
		}
	}
	return ""
}

func checkKey() finding {
	if os.Getenv("ANTHROPIC_API_KEY") != "" {
		return finding{Check: "api key", Status: "ok", Detail: "ANTHROPIC_API_KEY is set; sessions get it by api_key: ${env:ANTHROPIC_API_KEY}"}
	}
	return finding{
		Check: "api key", Status: "warn", Detail: "ANTHROPIC_API_KEY is not set",
		Fix: "set it for the daemon and write api_key: ${env:ANTHROPIC_API_KEY}, unless the CLI is logged in",
	}
}

func checkDataDir(dir string) finding {
	f := finding{Check: "data directory"}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		f.Status, f.Detail = "ok", dir+" will be made"
	case err != nil:
		f.Status, f.Detail = "fail", err.Error()
	case !info.IsDir():
		f.Status, f.Detail, f.Fix = "fail", dir+" is no directory", "give another one with --data-dir"
	case info.Mode().Perm()&0o077 != 0:
		f.Status, f.Detail, f.Fix = "warn", fmt.Sprintf("%s is open to others (%04o)", dir, info.Mode().Perm()), "chmod 700 "+dir
	case openInside(dir) != "":
		at := openInside(dir)
		f.Status, f.Detail, f.Fix = "warn", at+" is open to others: what is in there is the conversations', the log's, or a token", "chmod go-rwx "+at
	default:
		probe, err := os.CreateTemp(dir, ".doctor-*")
		if err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
		if err != nil {
			f.Status, f.Detail, f.Fix = "fail", err.Error(), "make it writable for this user"
			return f
		}
		f.Status, f.Detail = "ok", dir
	}
	return f
}

// openInside is a file or directory of the data that others can read or change, or empty.
func openInside(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "" // which is found out below
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode()&os.ModeSymlink == 0 && info.Mode().Perm()&0o077 != 0 {
			return filepath.Join(dir, e.Name())
		}
	}
	return ""
}

func checkDaemon(ctx context.Context, at *place) finding {
	tree, err := at.client().Tree(ctx)
	switch {
	case errors.Is(err, debug.ErrNoDaemon):
		return finding{Check: "daemon", Status: "ok", Detail: "none is running at " + at.socketPath()}
	case err != nil:
		return finding{Check: "daemon", Status: "warn", Detail: err.Error()}
	}
	return finding{Check: "daemon", Status: "ok", Detail: "running, " + count(len(tree.Sessions()), "session")}
}

// checkTool looks for what the CLI's sandbox needs.
func checkTool(name, pkg string) finding {
	if path := onPath(name); path != "" {
		return finding{Check: name, Status: "ok", Detail: path}
	}
	return finding{
		Check: name, Status: "warn", Detail: "not found: sessions with sandbox: {enabled: true} will not start",
		Fix: "apt-get install " + pkg,
	}
}

// checkContainment says which layers hold together what a session starts, so that nothing outlives it.
func checkContainment() []finding {
	var out []finding
	namespace := false
	for _, l := range process.Inspect() {
		if l.Layer == process.LayerPIDNamespace {
			namespace = l.Available
		}
	}
	for _, l := range process.Inspect() {
		f := finding{Check: string(l.Layer), Status: "ok", Detail: l.Detail, Fix: l.Fix}
		switch {
		case l.Available:
		case l.Layer == process.LayerPIDNamespace:
			f.Status = "warn"
			f.Detail += "; a tool that hides well may survive when the daemon is killed, until the next one starts"
		case l.Layer == process.LayerCgroup && namespace:
			f.Detail = "not to be had: limits: {memory: …} is refused (" + l.Detail + ")"
			f.Status = "warn"
		default:
			f.Status = "warn"
		}
		out = append(out, f)
	}
	return out
}

func checkUser() finding {
	if os.Geteuid() == 0 {
		return finding{
			Check: "user", Status: "warn", Detail: "running as root: so do the sessions, and the CLI refuses bypassPermissions",
			Fix: "run the daemon as a user of its own",
		}
	}
	return finding{Check: "user", Status: "ok", Detail: fmt.Sprintf("uid %d", os.Geteuid())}
}
