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
		Long: `Shows the supervision tree of the daemon. RESTARTS are those used of those allowed,
and in parentheses those so far; QUEUE is the prompts that wait.`,
		Args:       takes(),
		SuggestFor: []string{"watch"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			out := cmd.OutOrStdout()
			show := asText(out, watch)
			if asJSON {
				show = asDocument(out, watch)
			}
			for {
				tree, err := at.client().Tree(ctx)
				if err != nil && watch && ctx.Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				if err := show(tree); err != nil || !watch || !sleep(ctx, time.Second) {
					return err
				}
			}
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the tree as JSON, with --watch one document a line")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again every second until Ctrl-C")
	return cmd
}

func newPs(at *place) *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "Show one line per session",
		Long: `Shows one line for each session. With --all also for those that are not there and have
left their state in the data directory, as "kept", and since when: a session that is not
in the configuration any more, or one that was spawned and stopped before the daemon was
started again. One that is spawned or configured under the same name goes on with the
conversation and the money of that; understudy rm NAME removes it.`,
		Args:       takes(),
		SuggestFor: []string{"ls", "list", "sessions"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			sessions, err := sessionsOf(cmd.Context(), at.client(), all)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				if sessions == nil {
					sessions = []debug.Node{} // [] and not null
				}
				return printJSON(out, sessions)
			}
			return debug.RenderSessions(out, sessions, terminalOf(out).rendering())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an array of sessions")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also those whose state is all that there is")
	return cmd
}

// sessionsOf are the sessions of the tree, and those that are not there.
func sessionsOf(ctx context.Context, client *debug.Client, all bool) ([]debug.Node, error) {
	if all {
		return client.AllSessions(ctx)
	}
	tree, err := client.Tree(ctx)
	return tree.Sessions(), err
}

// rendering is how tables are drawn on the stream.
func (t terminal) rendering() debug.RenderOptions {
	return debug.RenderOptions{Now: time.Now(), Color: t.color, Width: t.width}
}

// asText draws trees, on a terminal that is watched each in the place of the one before.
func asText(out io.Writer, watch bool) func(debug.Node) error {
	first := true
	return func(tree debug.Node) error {
		screen := terminalOf(out) // its size may have changed
		var b strings.Builder
		if err := debug.RenderTree(&b, tree, screen.rendering()); err != nil {
			return err
		}
		text := b.String()
		switch {
		case watch && screen.is:
			const home, clear, endOfLine, below = "\x1b[H", "\x1b[2J", "\x1b[K", "\x1b[J"
			// Clearing line by line, after what is new was written, does not flicker.
			text = home + strings.ReplaceAll(text, "\n", endOfLine+"\n") + below
			if first {
				text = clear + text
			}
		case !first:
			text = "\n" + text
		}
		first = false
		_, err := io.WriteString(out, text)
		return err
	}
}

// asDocument prints trees as JSON, on a line each if there are several.
func asDocument(out io.Writer, watch bool) func(debug.Node) error {
	return func(tree debug.Node) error {
		if watch {
			return json.NewEncoder(out).Encode(tree)
		}
		return printJSON(out, tree)
	}
}

// printJSON prints a value for programs, and for people who look at it.
func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
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
