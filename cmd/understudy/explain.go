package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/config"
	"github.com/understudy-run/understudy/session"
)

// explanation is what would be started for a session.
type explanation struct {
	Name        string          `json:"name"`
	Kind        string          `json:"kind"` // session, pool or template
	Path        string          `json:"path"`
	Argv        []string        `json:"argv"`        // without the program
	CWD         string          `json:"cwd"`         // empty: the daemon's
	Environment []string        `json:"environment"` // names only
	Settings    json.RawMessage `json:"settings,omitempty"`
	InheritsAll bool            `json:"inherits_all,omitempty"`
	Initialize  json.RawMessage `json:"initialize"` // the first frame, without secrets
}

func newExplain() *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "Show what would be started for a session, without secrets",
		Long: `Shows what would be started for a session of the file: program, arguments as a
shell would want them, directory, the names of the environment variables, the
settings, and the first frame (hooks, agents, MCP servers). It starts nothing, and shows no value of a variable. The session
id is chosen at the first start.

NAME may be a session, in a group or not, or a pool or a template: then it is
what would be started for each session of it.`,
		Args: takes("NAME"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			cfg, err := loadConfig(file, io.Discard)
			if err != nil || len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return namesOf(cfg), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			kind, options, ok := find(cfg, args[0])
			if !ok {
				return &exitCodeError{exitNoSession, fmt.Errorf("no session %q in %s: %s", args[0], file, have(namesOf(cfg)))}
			}
			cli, err := program(cfg)
			if err != nil {
				return err
			}
			e, err := explain(args[0], cli, prepared(cfg, options))
			if err != nil {
				return misconfigured(err)
			}
			e.Kind = kind
			if asJSON {
				return printJSON(cmd.OutOrStdout(), e)
			}
			return e.print(cmd.OutOrStdout())
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

// find are the options of a session, a pool or a template, looked for in this order.
func find(cfg *config.Config, name string) (kind string, options session.Options, ok bool) {
	if o, ok := cfg.Session(name); ok {
		return "session", o, true
	}
	if p, ok := cfg.Pool(name); ok {
		return "pool", p.Options, true
	}
	o, ok := cfg.Template(name)
	return "template", o, ok
}

// namesOf are those that find knows.
func namesOf(cfg *config.Config) []string {
	names := asked(cfg)
	for _, t := range cfg.Templates {
		if !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
	}
	return names
}

func explain(name string, cli session.CLI, options session.Options) (*explanation, error) {
	s, err := session.New(actor.NewSystem(actor.Options{}), session.Spec{Name: name, Options: options, CLI: cli, Runtime: "RUNTIME"})
	if err != nil {
		return nil, err
	}
	launch := s.Launch()
	argv, err := launch.Argv()
	if err != nil {
		return nil, fmt.Errorf("session %s: %w", name, err)
	}
	environment, err := launch.Environ(os.Environ())
	if err != nil {
		return nil, fmt.Errorf("session %s: %w", name, err)
	}
	settings, err := launch.ShownSettings()
	if err != nil {
		return nil, fmt.Errorf("session %s: %w", name, err)
	}
	handshake, err := s.Handshake()
	if err != nil {
		return nil, fmt.Errorf("session %s: %w", name, err)
	}
	e := &explanation{Name: name, Path: launch.Path, Argv: argv, CWD: launch.Dir, Settings: json.RawMessage(settings), Initialize: handshake, InheritsAll: options.InheritsAll()}
	if e.Path == "" {
		e.Path = "claude"
	}
	for _, pair := range environment {
		variable, _, _ := strings.Cut(pair, "=")
		e.Environment = append(e.Environment, variable)
	}
	for i, arg := range e.Argv {
		if strings.HasPrefix(arg, "--session-id=") && options.SessionID == "" {
			e.Argv[i] = "--session-id=UUID"
		}
	}
	slices.Sort(e.Environment)
	return e, nil
}

func (e *explanation) print(out io.Writer) error {
	var b strings.Builder
	row := func(label, text string) { fmt.Fprintf(&b, "%-13s%s\n", label, text) }
	row(e.Kind, e.Name)
	row("program", shellWord(e.Path))
	label := "arguments"
	for _, arg := range e.Argv {
		row(label, shellWord(arg))
		label = ""
	}
	if e.CWD == "" {
		row("directory", "the daemon's")
	} else {
		row("directory", e.CWD)
	}
	if e.InheritsAll {
		row("inherits", "the whole environment of the daemon, what follows being this shell's (inherit_env: all)")
	}
	label = "environment"
	for _, name := range e.Environment {
		row(label, name)
		label = ""
	}
	if len(e.Settings) > 0 {
		row("settings", string(e.Settings))
	}
	row("first frame", string(e.Initialize))
	_, err := io.WriteString(out, terminalOf(out).shown(b.String()))
	return err
}

// shellWord quotes text for a shell where it needs to be.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=+./,:@%", r)
	}
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
