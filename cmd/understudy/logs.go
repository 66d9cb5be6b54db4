package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newLogs(at *place) *cobra.Command {
	return &cobra.Command{
		Use:   "logs NAME",
		Short: "Show the last lines that a session's CLI wrote to stderr",
		Long: `Shows the last lines that a session's CLI wrote to stderr, oldest first: those of
the running process, or of the last one if none is running.`,
		Args:              takes("NAME"),
		SuggestFor:        []string{"stderr", "output"},
		ValidArgsFunction: completeSession(at),
		RunE: func(cmd *cobra.Command, args []string) error {
			client := at.client()
			lines, err := client.Stderr(cmd.Context(), args[0])
			if err != nil {
				return advised(cmd.Context(), client, args[0], err)
			}
			if len(lines) == 0 {
				_, err := fmt.Fprintf(cmd.ErrOrStderr(), "the CLI of %s has written nothing to stderr\n", args[0])
				return err
			}
			screen := terminalOf(cmd.OutOrStdout())
			for _, line := range lines {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), screen.shown(line)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
