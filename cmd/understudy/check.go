package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/config"
)

func newCheck() *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate a configuration file",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !asJSON {
				cfg, err := loadConfig(file, cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, %d sessions\n", file, len(cfg.Sessions))
				return err
			}
			_, err := config.Load(file, os.LookupEnv)
			found, ok := errors.AsType[config.Diagnostics](err)
			if err != nil && !ok {
				return err
			}
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			if found == nil {
				found = config.Diagnostics{} // [] and not null
			}
			if err := out.Encode(found); err != nil {
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
