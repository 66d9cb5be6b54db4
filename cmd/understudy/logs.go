package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newLogs(at *place) *cobra.Command {
	return &cobra.Command{
		Use:   "logs NAME",
		Short: "Show the last lines that a session's CLI wrote to stderr",
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			lines, err := at.client().Stderr(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			for _, line := range lines {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), line); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
