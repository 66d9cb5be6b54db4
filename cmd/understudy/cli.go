package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/session/install"
)

func newCLI(at *place) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cli",
		Short: "Install the Claude Code CLI",
		Args:  subcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCLIInstall(at))
	return cmd
}

func newCLIInstall(at *place) *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "install [VERSION]",
		Short: "Fetch a version of the CLI from npm, checked",
		Long: `Fetches the Claude Code CLI from npm, in the version that understudy is tested with
(` + install.Tested + `) or in another one, into DATA_DIR/cli/VERSION, and prints the path of the
binary: write it into the configuration as cli.path.

npm does the fetching, with its registry, proxy and credentials. The package is
checked against the registry's SHA-512 sum, and the tested version against sums that
are part of this program too. What was installed before is not fetched again.`,
		Example: `  understudy cli install
  understudy cli install 2.1.330 --dir /opt/claude`,
		Args: takesAtMost("VERSION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o := install.Options{Version: install.Tested, Dir: dir, Progress: func(step string) {
				fmt.Fprintln(cmd.ErrOrStderr(), step) //nolint:errcheck // for a person, if there is one
			}}
			if len(args) > 0 {
				o.Version = args[0]
			}
			if !install.ValidVersion(o.Version) {
				return usageError(fmt.Errorf("version %q: expected an exact one, such as %s", o.Version, install.Tested))
			}
			if o.Dir == "" {
				o.Dir = filepath.Join(at.data(), "cli", o.Version)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			path, err := install.CLI(ctx, o)
			if err != nil {
				return fmt.Errorf("install CLI %s: %w", o.Version, err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"path": path, "version": o.Version})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print path and version as JSON")
	cmd.Flags().StringVar(&dir, "dir", "", "the `directory` to install into (default DATA_DIR/cli/VERSION)")
	return cmd
}
