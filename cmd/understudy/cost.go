package main

import (
	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/supervisor/debug"
)

func newCost(at *place) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "cost",
		Short: "Show what sessions have spent, by model and budget",
		Long: `Shows what each session has spent in its whole life, restarts of its process and
of the daemon included, in US dollars and tokens; the same by model; and how far
the shared budgets are spent. ESTIMATED is the part of turns that were cut before
their result: it is counted by the tokens that were seen. A session that was
removed is no longer listed; a budget goes on counting what it has spent. Of those
that are not there and have left their state understudy ps --all shows the cost.`,
		Args:       takes(),
		SuggestFor: []string{"costs", "budget", "budgets", "money", "usage", "spent"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := at.client().Costs(cmd.Context())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, found)
			}
			return debug.RenderCosts(out, found, terminalOf(out).rendering())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}
