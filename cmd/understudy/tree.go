package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/supervisor/debug"
)

func newTree(at *place) *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "tree",
		Short: "Show the supervision tree",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(cmd, at.client(), asJSON, watch, debug.RenderTree)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the tree as JSON, with --watch one document a line")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again every second until Ctrl-C")
	return cmd
}

func newPs(at *place) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "Show one line per session",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := at.client()
			if asJSON {
				tree, err := client.Tree(cmd.Context())
				if err != nil {
					return err
				}
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(tree.Sessions())
			}
			return show(cmd, client, false, false, func(w io.Writer, tree debug.Node, o debug.RenderOptions) error {
				return debug.RenderSessions(w, tree.Sessions(), o)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an array of sessions")
	return cmd
}

// show prints the tree once, or every second.
func show(cmd *cobra.Command, client *debug.Client, asJSON, watch bool, render func(io.Writer, debug.Node, debug.RenderOptions) error) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	out := cmd.OutOrStdout()
	terminal := isTerminal(out)
	for {
		tree, err := client.Tree(ctx)
		if err != nil {
			if watch && ctx.Err() != nil {
				return nil
			}
			return err
		}
		var b strings.Builder
		if asJSON {
			encoder := json.NewEncoder(&b)
			if !watch {
				encoder.SetIndent("", "  ")
			}
			err = encoder.Encode(tree)
		} else {
			if watch && terminal {
				b.WriteString("\x1b[H\x1b[2J") // home, clear
			}
			err = render(&b, tree, debug.RenderOptions{Now: time.Now(), Color: terminal})
		}
		if err != nil {
			return err
		}
		if _, err := io.WriteString(out, b.String()); err != nil || !watch {
			return err
		}
		if !sleep(ctx, time.Second) {
			return nil
		}
	}
}

// sleep waits, and reports whether the context still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
