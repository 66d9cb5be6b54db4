package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/supervisor/debug"
)

func newLogs(at *place) *cobra.Command {
	var follow, asJSON bool
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Show what a session's CLI wrote to stderr, or follow its life",
		Long: `Shows the last lines that a session's CLI wrote to stderr, oldest first: those of
the running process, or of the last one if none is running.

With -f it follows the session's life until Ctrl-C, over restarts: processes,
turns, tools, permissions, requests tried again, and stderr. It begins with what
was of late. What prompts and answers say is not in it: see attach.`,
		Example: `  understudy logs -f reviewer
  understudy logs -f reviewer --json | jq 'select(.type == "tool_ended")'`,
		Args:              takes("NAME"),
		SuggestFor:        []string{"stderr", "output", "follow", "log"},
		ValidArgsFunction: completeSession(at),
		RunE: func(cmd *cobra.Command, args []string) error {
			client := at.client()
			show := showStderr
			if follow {
				show = followLife
			}
			return advised(cmd.Context(), client, args[0], show(cmd, client, args[0], asJSON))
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "follow the session's life until Ctrl-C")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an array of lines; with -f one object a line")
	return cmd
}

func showStderr(cmd *cobra.Command, client *debug.Client, name string, asJSON bool) error {
	lines, err := client.Stderr(cmd.Context(), name)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), lines)
	}
	if len(lines) == 0 {
		_, err := fmt.Fprintf(cmd.ErrOrStderr(), "the CLI of %s has written nothing to stderr; understudy logs -f %s follows its life\n", name, name)
		return err
	}
	screen := terminalOf(cmd.OutOrStdout())
	for _, line := range lines {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), screen.shown(line)); err != nil {
			return err
		}
	}
	return nil
}

func followLife(cmd *cobra.Command, client *debug.Client, name string, asJSON bool) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	for e, err := range client.Life(ctx, name) {
		if err != nil {
			return err
		}
		if err := printMoment(cmd.OutOrStdout(), e, asJSON); err != nil {
			return err
		}
	}
	return nil
}

func printMoment(out io.Writer, e debug.LifeEvent, asJSON bool) error {
	if asJSON {
		_, err := fmt.Fprintf(out, "%s\n", e.Raw)
		return err
	}
	screen := terminalOf(out)
	text, tone := momentText(e)
	_, err := fmt.Fprintf(out, "%s %s %s\n", screen.tint("2", e.At.Local().Format("15:04:05")),
		screen.tint("2", fmt.Sprintf("%d/%-3d", e.Generation, e.Turn)), screen.tint(tone, screen.shown(text)))
	return err
}

// The colours of moments.
const (
	plainTone = ""
	goodTone  = "32"
	warnTone  = "33"
	badTone   = "31"
	dimTone   = "2"
)

// momentText is a moment in words.
func momentText(e debug.LifeEvent) (text, tone string) {
	took := ""
	if e.Seconds > 0 {
		took = " in " + time.Duration(e.Seconds*float64(time.Second)).Round(time.Millisecond).String()
	}
	tool := strings.TrimSpace(e.Tool + " " + e.Argument)
	switch e.Type {
	case "process_started":
		return fmt.Sprintf("process %d started", e.PID), plainTone
	case "process_ready":
		return "ready: " + e.Detail, goodTone
	case "process_ended":
		if strings.HasPrefix(e.Outcome, "stopped") {
			return "process ended: " + e.Outcome, plainTone
		}
		return strings.TrimSuffix("process ended: "+e.Outcome+": "+e.Detail, ": "), badTone
	case "turn_started":
		if e.Own {
			return fmt.Sprintf("turn %d began by itself", e.Turn), plainTone
		}
		return fmt.Sprintf("turn %d began", e.Turn), plainTone
	case "turn_ended":
		if e.Outcome != "success" {
			return fmt.Sprintf("turn %d ended with %s%s", e.Turn, e.Outcome, took), badTone
		}
		return fmt.Sprintf("turn %d is done%s, $%.4f", e.Turn, took, e.CostUSD), goodTone
	case "tool_started":
		return "  " + tool, plainTone
	case "tool_ended":
		if e.Outcome != "ok" {
			return "  " + tool + ": " + e.Outcome + took, warnTone
		}
		return "  " + tool + ": ok" + took, dimTone
	case "permission_asked":
		return "  asks for " + tool, warnTone
	case "permission_given", "permission_refused":
		return strings.TrimSpace("  " + strings.TrimPrefix(e.Type, "permission_") + ": " + tool + " " + e.Detail), plainTone
	case "api_retry":
		return "request to the model is tried again: " + strings.TrimSpace(e.Outcome+" "+e.Detail), warnTone
	case "unknown_frame":
		return "frame that is not understood: " + e.Detail, warnTone
	case "state":
		return strings.TrimSuffix(e.Outcome+": "+e.Detail, ": "), badTone
	case "stderr":
		return "stderr: " + e.Detail, dimTone
	}
	return strings.TrimSpace(e.Type + " " + e.Outcome + " " + e.Detail), plainTone
}
