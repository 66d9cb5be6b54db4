package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/config"
	"github.com/understudy-run/understudy/config/lint"
)

func newCheck() *cobra.Command {
	var file, profile, format string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate a configuration file",
		Long: `Reads a configuration file as the daemon would, and shows everything that is wrong
with it, each with its place. Exit code 1 if there is something.

With --profile production it goes through the production checklist as well. Exit
code 2 if a rule of severity error is not kept and the file does not accept it
(ignore: [{rule: S07, session: NAME, reason: …}]).`,
		Args:       takes(),
		SuggestFor: []string{"validate", "lint", "verify", "config"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkProfile(profile); err != nil {
				return err
			}
			if profile != "" {
				return checklist(cmd, file, format, asJSON)
			}
			if !asJSON {
				cfg, err := loadChecked(file, cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, %s\n", file, contents(cfg))
				return err
			}
			_, err := config.Load(file, os.LookupEnv)
			found, ok := errors.AsType[config.Diagnostics](err)
			if err != nil && !ok {
				return err
			}
			if found == nil {
				found = config.Diagnostics{} // [] and not null
			}
			if err := printJSON(cmd.OutOrStdout(), found); err != nil {
				return err
			}
			if len(found) > 0 {
				return &exitCodeError{code: exitError}
			}
			return nil
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as a JSON array")
	cmd.Flags().StringVar(&profile, "profile", "", "production: go through the production checklist")
	cmd.Flags().StringVar(&format, "format", "text", "of the checklist's findings: text, json or sarif")
	offer(cmd, "profile", production)
	offer(cmd, "format", "text", "json", "sarif")
	return cmd
}

// loadChecked is loadConfig where a mistake in the file is the answer, and no mistake of whoever asks.
func loadChecked(file string, stderr io.Writer) (*config.Config, error) {
	cfg, err := loadConfig(file, stderr)
	if exit, ok := errors.AsType[*exitCodeError](err); ok {
		err = &exitCodeError{exitError, exit.err}
	}
	return cfg, err
}

// production is the one profile of the checklist.
const production = "production"

func checkProfile(profile string) error {
	if profile != "" && profile != production {
		return usageError(fmt.Errorf("--profile %q: expected %s", profile, production))
	}
	return nil
}

// checklist goes through the production checklist, and shows what it found.
func checklist(cmd *cobra.Command, file, format string, asJSON bool) error {
	if asJSON {
		format = "json"
	}
	cfg, err := loadChecked(file, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	found, out := lint.Check(cfg, lint.Here()), cmd.OutOrStdout()
	switch format {
	case "text":
		err = lint.WriteText(out, found)
	case "json":
		err = lint.WriteJSON(out, found)
	case "sarif":
		err = lint.WriteSARIF(out, version, found)
	default:
		return usageError(fmt.Errorf("--format %q: expected text, json or sarif", format))
	}
	if err == nil && lint.Failed(found) {
		err = &exitCodeError{code: exitUsage}
	}
	return err
}

// contents counts what there is in a file.
func contents(cfg *config.Config) string {
	parts := []string{count(len(cfg.AllSessions()), "session")}
	for _, part := range []struct {
		n    int
		what string
	}{{groups(cfg.Supervisors), "group"}, {len(cfg.Templates), "template"}, {len(cfg.Pools), "pool"}} {
		if part.n > 0 {
			parts = append(parts, count(part.n, part.what))
		}
	}
	return strings.Join(parts, ", ")
}

func groups(all []config.Group) int {
	n := len(all)
	for _, g := range all {
		n += groups(g.Supervisors)
	}
	return n
}
