package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/config"
)

func newCheck() *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate a configuration file",
		Long: `Reads a configuration file as the daemon would, and shows everything that is wrong
with it, each with its place. Exit code 1 if there is something.`,
		Args:       takes(),
		SuggestFor: []string{"validate", "lint", "verify", "config"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !asJSON {
				cfg, err := loadConfig(file, cmd.ErrOrStderr())
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
	return cmd
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
