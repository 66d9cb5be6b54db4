package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/session/protocol"
)

func newSend(at *place) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "send NAME PROMPT|-",
		Short: "Send a prompt and stream the answer",
		Long: `Sends a prompt to a session and streams the answer's text; what tools it uses goes
to stderr. With - the prompt is read from stdin. Ctrl-C interrupts the turn.

With --json the frames of the turn are printed, one a line, the last being the
CLI's result frame. Exit code 3 says that the result is an error.`,
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			prompt := args[1]
			if prompt == "-" {
				data, err := io.ReadAll(cmd.InOrStdin())
				if err != nil {
					return fmt.Errorf("read prompt: %w", err)
				}
				prompt = string(data)
			}
			if strings.TrimSpace(prompt) == "" {
				return usageError(fmt.Errorf("the prompt is empty"))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			out := cmd.OutOrStdout()
			for frame, err := range at.client().Query(ctx, args[0], prompt) {
				if err != nil {
					return err
				}
				if asJSON {
					if _, err := fmt.Fprintf(out, "%s\n", frame); err != nil {
						return err
					}
					continue
				}
				if err := printFrame(out, cmd.ErrOrStderr(), frame); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the frames of the turn, one a line")
	return cmd
}

// printFrame shows what a reader wants of a frame: the assistant's text, and on stderr the tools.
func printFrame(out, progress io.Writer, frame []byte) error {
	m, err := protocol.Decode(frame)
	if err != nil {
		return err
	}
	a, ok := m.(*protocol.Assistant)
	if !ok || a.ParentToolUseID != nil {
		return nil
	}
	for _, block := range a.Message.Content {
		switch block := block.(type) {
		case *protocol.TextBlock:
			_, err = fmt.Fprintln(out, block.Text)
		case *protocol.ToolUseBlock:
			_, err = fmt.Fprintf(progress, "· %s\n", block.Name)
		default: // thinking and the like: --json shows it
		}
		if err != nil {
			return err
		}
	}
	return nil
}
