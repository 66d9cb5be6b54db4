package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newFork(at *place) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "fork NAME NEW",
		Short: "Start a session with a copy of another one's conversation",
		Long: `Starts the session NEW with the options of NAME and a copy of its conversation, as
far as that is on disk, and returns when it takes prompts. From its first prompt
on they know nothing of each other; NEW counts its own money.`,
		Args:              takes("NAME", "NEW"),
		SuggestFor:        []string{"branch", "copy", "clone"},
		ValidArgsFunction: completeSession(at),
		RunE: func(cmd *cobra.Command, args []string) error {
			client := at.client()
			if err := client.Spawn(cmd.Context(), args[1], []string{"fork=" + args[0]}); err != nil {
				return advised(cmd.Context(), client, args[0], err)
			}
			if asJSON {
				return printSession(cmd.Context(), cmd.OutOrStdout(), client, args[1])
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is ready, with the conversation of %s; try: understudy send %s \"Hello\"\n", args[1], args[0], args[1])
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the new session as JSON")
	return cmd
}
