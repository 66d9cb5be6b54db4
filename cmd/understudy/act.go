package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor/debug"
)

func newSpawn(at *place) *cobra.Command {
	var template string
	var pairs []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "spawn NAME [--template T] [-o key=value]…",
		Short: "Start a session that is not in the file",
		Long: `Starts a session with the options of the file's defaults, or of one of its
templates, and those of -o over them, and returns when it takes prompts. The
keys are those of a session in the file; a value is what could stand after the
key in one line of it.

The next daemon on the same data directory starts it again, unless it was stopped.
If there was one of that name before, its conversation goes on.`,
		Example: `  understudy spawn helper --template worker
  understudy spawn docs -o cwd=/srv/docs -o permission_mode=plan -o 'allowed_tools=[Read, Grep]'`,
		Args:       takes("NAME"),
		SuggestFor: []string{"start", "new", "add", "create"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("template") {
				pairs = append([]string{"template=" + template}, pairs...)
			}
			client := at.client()
			err := waiting(cmd.Context(), cmd.ErrOrStderr(), client, args[0], "starting", func(ctx context.Context) error {
				return client.Spawn(ctx, args[0], pairs)
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printSession(cmd.Context(), cmd.OutOrStdout(), client, args[0])
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is ready; try: understudy send %s \"Hello\"\n", args[0], args[0])
			return err
		},
	}
	cmd.Flags().StringArrayVarP(&pairs, "option", "o", nil, "a session option as `key=value`, over the file's defaults; may be repeated")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the session as JSON")
	cmd.Flags().StringVar(&template, "template", "", "the `name` of a template of the file, in place of its defaults")
	return cmd
}

func newRestart(at *place) *cobra.Command {
	return newAction(at, "restart", []string{"resume"}, "Bring a session into a new process; its conversation goes on",
		"A turn that is running is interrupted; queries that wait are kept. A session that\nhas failed or was stopped is started again.",
		func(ctx context.Context, client *debug.Client, name string) (string, error) {
			return "restarted", client.Restart(ctx, name)
		})
}

func newInterrupt(at *place) *cobra.Command {
	return newAction(at, "interrupt", []string{"cancel", "abort"}, "End a session's running turn",
		"The process and the conversation go on; whoever waits for the turn gets an error\nresult (exit code 3).",
		func(ctx context.Context, client *debug.Client, name string) (string, error) {
			before, _ := client.Session(ctx, name) // only for the message
			if err := client.Interrupt(ctx, name); err != nil {
				return "", err
			}
			switch session.State(before.State) {
			case "", session.Busy, session.Draining: // which ends a turn
				return "interrupted", nil
			}
			return "is " + before.State + ": there was nothing to interrupt", nil
		})
}

func newStop(at *place) *cobra.Command {
	return newAction(at, "stop", []string{"kill", "down", "halt"}, "Stop a session; restart starts it again",
		"A turn that is running is interrupted; then the CLI is ended with every process\nthat it has started. To stop the daemon, send it SIGTERM or press Ctrl-C there.",
		func(ctx context.Context, client *debug.Client, name string) (string, error) {
			return "stopped", client.Stop(ctx, name)
		})
}

// newAction is a command that does something to a session and says what it has done.
func newAction(at *place, verb string, alike []string, short, long string, act func(context.Context, *debug.Client, string) (string, error)) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               verb + " NAME",
		Short:             short,
		Long:              short + ".\n\n" + long,
		Args:              takes("NAME"),
		SuggestFor:        alike,
		ValidArgsFunction: completeSession(at),
		RunE: func(cmd *cobra.Command, args []string) error {
			client := at.client()
			var done string
			err := waiting(cmd.Context(), cmd.ErrOrStderr(), client, args[0], doing[verb], func(ctx context.Context) (err error) {
				done, err = act(ctx, client, args[0])
				return err
			})
			if err != nil {
				return advised(cmd.Context(), client, args[0], err)
			}
			if asJSON {
				return printSession(cmd.Context(), cmd.OutOrStdout(), client, args[0])
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", args[0], done)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the session as JSON, as it is then")
	return cmd
}

// doing is what is being waited for.
var doing = map[string]string{"restart": "restarting", "interrupt": "interrupting", "stop": "stopping"}

// printSession prints a session for programs.
func printSession(ctx context.Context, out io.Writer, client *debug.Client, name string) error {
	node, err := client.Session(ctx, name)
	if err != nil {
		return err
	}
	return printJSON(out, node)
}
