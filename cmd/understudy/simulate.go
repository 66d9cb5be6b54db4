package main

import (
	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/session/sessiontest"
)

func newSimulate() *cobra.Command {
	return &cobra.Command{
		Use:   "simulate [flags of the CLI]",
		Short: "Be a simulated Claude Code CLI",
		Long: `Speaks the protocol of the Claude Code CLI on stdin and stdout, without a model:
what it does is written into the prompts. Used by cli: {path: simulated}.`,
		DisableFlagParsing: true, // they are the CLI's
		Run:                func(_ *cobra.Command, args []string) { sessiontest.Exec(args) },
	}
}
