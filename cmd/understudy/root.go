package main

import (
	"cmp"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/supervisor/debug"
)

// socketName is the daemon's socket in its data directory.
const socketName = "understudy.sock"

// place says where the daemon is, by flags and environment.
type place struct{ dataDir, socket string }

// override is the data directory that a flag or the environment asks for, empty if they do not.
func (p *place) override() string { return cmp.Or(p.dataDir, os.Getenv("UNDERSTUDY_DATA_DIR")) }

func (p *place) data() string { return cmp.Or(p.override(), "data") }

func (p *place) socketPath() string {
	return cmp.Or(p.socket, filepath.Join(p.data(), socketName))
}

// client talks to the daemon. Whether there is one shows at the first call.
func (p *place) client() *debug.Client { return debug.Dial(p.socketPath()) }

func newRoot() *cobra.Command {
	at := &place{}
	root := &cobra.Command{
		Use:   "understudy",
		Short: "Supervised Claude Code sessions",
		Long: `understudy runs Claude Code sessions as supervised processes: a session that
crashes is started again and its conversation goes on.

  understudy up -f understudy.yaml     start the daemon
  understudy top                       watch the sessions
  understudy send reviewer "Hello"     send a prompt, stream the answer

Exit codes: 0 done, 1 error, 2 usage, a mistake in the configuration or a failed
check, 3 the session answered with an error result, 4 no such session, 5 no daemon.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          subcommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	root.PersistentFlags().StringVar(&at.dataDir, "data-dir", "", "the daemon's data `directory` (default $UNDERSTUDY_DATA_DIR, or ./data)")
	root.PersistentFlags().StringVar(&at.socket, "socket", "", "the `path` of the daemon's socket (default DATA_DIR/"+socketName+")")
	root.SetFlagErrorFunc(badFlag)
	root.SetHelpCommand(newHelp())
	root.AddCommand(
		newUp(at), newCheck(), newExplain(), newTree(at), newPs(at), newSend(at), newSpawn(at),
		newFork(at), newReload(at), newRestart(at), newInterrupt(at), newStop(at), newRemove(at), newLogs(at), newStatus(at), newCost(at), newTop(at), newAttach(at),
		newApprovals(at), newApprove(at), newDeny(at), newAudit(at), newDoctor(at), newSimulate(), newVersion(), newCompletion(), newMan(), newInit(), newSchema(),
	)
	root.AddCommand(newHistory(), newCLI(at))
	root.CompletionOptions.DisableDefaultCmd = true // there is our own
	return root
}

// fileFlag adds -f.
func fileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "file", "f", "understudy.yaml", "the configuration `file`")
}
