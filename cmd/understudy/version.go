package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version = "dev"

// testedVersion is the version of the CLI that the conformance tests run.
const testedVersion = "2.1.330"

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version",
		Args:  takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			shown := version
			if info, ok := debug.ReadBuildInfo(); ok && version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
				shown = info.Main.Version
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"version": shown, "go": runtime.Version(), "tested_cli": testedVersion})
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "understudy %s, %s, tested with Claude Code %s\n", shown, runtime.Version(), testedVersion)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}
