package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/supervisor/debug"
)

func newStatus(at *place) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status NAME",
		Short: "Show a session on one screen",
		Long: `Shows a session on one screen: what it does and for how long, how its process was
started and what it uses, how close it is to being given up, why it last ended,
what it has cost, its last turns and tools, and the last lines of stderr.`,
		Args:              takes("NAME"),
		SuggestFor:        []string{"show", "info", "describe"},
		ValidArgsFunction: completeSession(at),
		RunE: func(cmd *cobra.Command, args []string) error {
			client := at.client()
			status, err := statusOf(cmd.Context(), client, args[0])
			if err != nil {
				return advised(cmd.Context(), client, args[0], err)
			}
			out := cmd.OutOrStdout()
			if asJSON {
				return printJSON(out, status)
			}
			return debug.RenderStatus(out, status, terminalOf(out).rendering())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

// statusOf asks for everything that a status has.
func statusOf(ctx context.Context, client *debug.Client, name string) (debug.Status, error) {
	tree, err := client.Tree(ctx)
	if err != nil {
		return debug.Status{}, err
	}
	s := debug.Status{Path: pathOf(tree, name, "")}
	if s.Node, err = client.Session(ctx, name); err != nil {
		return s, err
	}
	if s.History, err = client.History(ctx, name); err != nil {
		return s, err
	}
	if s.Setup, err = client.Setup(ctx, name); err != nil {
		return s, err
	}
	s.Stderr, err = client.Stderr(ctx, name)
	return s, err
}

// pathOf is where a session is in the tree.
func pathOf(n debug.Node, name, above string) string {
	path := above + n.Name
	if n.Kind == debug.KindSession && n.Name == name {
		return path
	}
	for _, child := range n.Children {
		if found := pathOf(child, name, path+"/"); found != "" {
			return found
		}
	}
	return ""
}
