package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/supervisor/debug"
)

func newSpawn(at *place) *cobra.Command {
	var pairs []string
	cmd := &cobra.Command{
		Use:     "spawn NAME [-o key=value]…",
		Short:   "Start a session that is not in the file",
		Example: `  understudy spawn docs -o cwd=/srv/docs -o permission_mode=plan -o 'allowed_tools=[Read, Grep]'`,
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := at.client().Spawn(cmd.Context(), args[0], pairs); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is ready; try: understudy send %s \"Hello\"\n", args[0], args[0])
			return err
		},
	}
	cmd.Flags().StringArrayVarP(&pairs, "option", "o", nil, "a session option, over the file's defaults; may be repeated")
	return cmd
}

func newRestart(at *place) *cobra.Command {
	return newAction(at, "restart", "Bring a session into a new process; its conversation goes on", "restarted", (*debug.Client).Restart)
}

func newInterrupt(at *place) *cobra.Command {
	return newAction(at, "interrupt", "End a session's running turn", "interrupted", (*debug.Client).Interrupt)
}

func newStop(at *place) *cobra.Command {
	return newAction(at, "stop", "Stop a session; restart starts it again", "stopped", (*debug.Client).Stop)
}

func newAction(at *place, verb, short, done string, act func(*debug.Client, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " NAME",
		Short: short,
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := act(at.client(), cmd.Context(), args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", args[0], done)
			return err
		},
	}
}
