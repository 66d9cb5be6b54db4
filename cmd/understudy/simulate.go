package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/session/sessiontest"
)

func newSimulate() *cobra.Command {
	return &cobra.Command{
		Use:   "simulate [flags of the CLI]",
		Short: "Be a simulated Claude Code CLI",
		Long: `Speaks the protocol of the Claude Code CLI on stdin and stdout, without a model:
what it does is written into the prompts. Used by cli: {path: simulated}.

Without directives the answer is an echo. Some to try with send:

  [[say:text]]                            answer with a text
  [[history]]                             answer with the earlier prompts
  [[tool:Bash {"command":"echo hi"}]]     use a tool
  [[slow:5s]]  [[sleep:5s]]               write slowly, think slowly
  [[status:529]]                          the API answers with an error
  [[crash]]  [[exit:3]]  [[hang]]         the process ends, or does nothing any more
  [[stderr:text]]                         write a line to stderr`,
		DisableFlagParsing: true, // they are the CLI's
		RunE: func(cmd *cobra.Command, args []string) error {
			if slices.Equal(args, []string{"--help"}) || slices.Equal(args, []string{"-h"}) {
				return cmd.Help()
			}
			sessiontest.Exec(args) // does not return
			return nil
		},
	}
}
