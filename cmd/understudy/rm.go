package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/supervisor/debug"
)

// removed is what is left to say of a session that is no more.
type removed struct {
	Name      string  `json:"name"`
	SessionID string  `json:"session_id"`
	CWD       string  `json:"cwd"` // empty: the daemon's
	Turns     int     `json:"turns"`
	CostUSD   float64 `json:"cost_usd"`
	Kept      bool    `json:"conversation_kept"` // by the CLI, unless it was told to keep none
}

func newRemove(at *place) *cobra.Command {
	var force, asJSON bool
	cmd := &cobra.Command{
		Use:     "rm NAME…",
		Aliases: []string{"remove"},
		Short:   "Remove sessions that are not in the configuration",
		Long: `Ends a session, with every process that it has started, and forgets it: its name is
free, and its record on disk is gone, with its turns and what it has spent. No daemon
starts it again. What it did stays in the audit log, and what it has spent of a
shared budget stays spent.

Its conversation is the CLI's, and stays where the CLI keeps it: another session
goes on with it (spawn NEW -o resume=ID, in the same directory), and understudy
history lists it. With isolate_home that is a directory of the session's own, which
goes with it.

A session with something to do (a turn that runs, prompts that wait, tasks in the
background) stays as it is, unless with --force: then its turn is interrupted, and
whoever waits gets an error, as with stop.

Of a session that is not there any more, since a reload or another configuration has
taken it away, what it has left is removed (understudy ps --all shows it).

A session of the configuration would be back after the next start: take it out of
the file and run understudy reload; stop ends it until then. If a pool needs the
session, it starts another one in its place, which may get its name.

Each of several is removed by itself; the exit code is that of the first that was not.`,
		Example: `  understudy rm helper
  understudy rm --force helper docs`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError(fmt.Errorf("%s takes the names of sessions: see %s --help", cmd.CommandPath(), cmd.CommandPath()))
			}
			for i, name := range args {
				if slices.Contains(args[:i], name) {
					return usageError(fmt.Errorf("%s: %q is there twice", cmd.CommandPath(), name))
				}
			}
			return nil
		},
		SuggestFor: []string{"delete", "del", "forget", "destroy", "purge"},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			sessions, err := at.client().AllSessions(cmd.Context())
			var names []string
			for _, s := range sessions {
				if err == nil && s.SessionFields != nil && !s.Configured && !slices.Contains(args, s.Name) {
					names = append(names, s.Name)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client := at.client()
			gone := []removed{} // [] and not null
			var first error
			for _, name := range args {
				r, err := removeOne(cmd, client, name, force)
				if err != nil && first == nil {
					first = err
				} else if err != nil {
					fmt.Fprintln(cmd.ErrOrStderr(), "understudy:", err) //nolint:errcheck // the first one is what counts
				}
				if errors.Is(err, debug.ErrNoDaemon) {
					break
				}
				if err != nil {
					continue
				}
				gone = append(gone, r)
				if !asJSON {
					if _, err := fmt.Fprintln(cmd.OutOrStdout(), r.text()); err != nil {
						return err
					}
				}
			}
			if asJSON {
				if err := printJSON(cmd.OutOrStdout(), gone); err != nil {
					return err
				}
			}
			return first
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also remove what has something to do")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was removed as a JSON array")
	return cmd
}

func removeOne(cmd *cobra.Command, client *debug.Client, name string, force bool) (removed, error) {
	node, err := client.Session(cmd.Context(), name) // only for what is said; whether it is there, its removal tells
	setup, _ := client.Setup(cmd.Context(), name)
	if err != nil {
		all, _ := client.AllSessions(cmd.Context())
		if i := slices.IndexFunc(all, func(n debug.Node) bool { return n.Name == name }); i >= 0 {
			node = all[i]
		}
	}
	err = waiting(cmd.Context(), cmd.ErrOrStderr(), client, name, "removing", func(ctx context.Context) error { return client.Remove(ctx, name, force) })
	if e, refused := errors.AsType[*debug.Error](err); refused && e.Code == debug.AtWork {
		return removed{}, &adviceError{err, "interrupt it first, or remove it by force (--force)"}
	}
	if err != nil {
		return removed{}, advised(cmd.Context(), client, name, err)
	}
	r := removed{Name: name}
	if node.SessionFields != nil {
		r.SessionID, r.CWD, r.Turns, r.CostUSD = node.SessionID, node.CWD, node.Turns, node.CostUSD
		r.Kept = (node.Turns > 0 || node.Turn > 0) && !node.Ephemeral && !node.IsolatedHome && setup.Options["isolate_home"] != true
	}
	return r, nil
}

func (r removed) text() string {
	if !r.Kept {
		return r.Name + " removed"
	}
	var where strings.Builder
	if r.CWD != "" {
		where.WriteString(" -o " + shellWord("cwd="+r.CWD))
	}
	return fmt.Sprintf("%s removed; its conversation goes on by: understudy spawn NEW%s -o resume=%s", r.Name, &where, r.SessionID)
}
