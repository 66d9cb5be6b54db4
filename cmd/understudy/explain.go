package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session"
)

// explanation is what would be started for a session.
type explanation struct {
	Name        string          `json:"name"`
	Path        string          `json:"path"`
	Argv        []string        `json:"argv"`
	CWD         string          `json:"cwd"`
	Environment []string        `json:"environment"` // names only
	Settings    json.RawMessage `json:"settings,omitempty"`
}

func newExplain() *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain NAME",
		Short: "Show what would be started for a session, without secrets",
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			var names []string
			for _, s := range cfg.Sessions {
				names = append(names, s.Name)
				if s.Name != args[0] {
					continue
				}
				cli, err := program(cfg)
				if err != nil {
					return err
				}
				e, err := explain(s.Name, cli, prepared(cfg, s.Options))
				if err != nil {
					return err
				}
				return e.print(cmd, asJSON)
			}
			return &exitCodeError{exitNoSession, fmt.Errorf("no session %q in %s: it has %s", args[0], file, strings.Join(names, ", "))}
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

func explain(name string, cli session.CLI, options session.Options) (*explanation, error) {
	s, err := session.New(actor.NewSystem(actor.Options{}), session.Spec{Name: name, Options: options, CLI: cli, Runtime: "RUNTIME"})
	if err != nil {
		return nil, err
	}
	launch := s.Launch()
	argv, err := launch.Argv()
	if err != nil {
		return nil, err
	}
	environment, err := launch.Environ(os.Environ())
	if err != nil {
		return nil, err
	}
	settings, err := launch.SettingsJSON()
	if err != nil {
		return nil, err
	}
	e := &explanation{Name: name, Path: launch.Path, Argv: argv, CWD: launch.Dir, Settings: json.RawMessage(settings)}
	for _, pair := range environment {
		variable, _, _ := strings.Cut(pair, "=")
		e.Environment = append(e.Environment, variable)
	}
	// The id is chosen at the first start.
	for i, arg := range e.Argv {
		if strings.HasPrefix(arg, "--session-id=") {
			e.Argv[i] = "--session-id=UUID"
		}
	}
	slices.Sort(e.Environment)
	return e, nil
}

func (e *explanation) print(cmd *cobra.Command, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(e)
	}
	path := e.Path
	if path == "" {
		path = "claude"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "session      %s\nprogram      %s\n", e.Name, path)
	for i, arg := range e.Argv {
		label := ""
		if i == 0 {
			label = "arguments"
		}
		fmt.Fprintf(&b, "%-12s %s\n", label, arg)
	}
	fmt.Fprintf(&b, "directory    %s\nenvironment  %s\n", e.CWD, strings.Join(e.Environment, " "))
	if len(e.Settings) > 0 {
		fmt.Fprintf(&b, "settings     %s\n", e.Settings)
	}
	_, err := fmt.Fprint(out, b.String())
	return err
}
