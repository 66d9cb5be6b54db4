package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor/debug"
)

const promptArgument = "PROMPT"

func newSend(at *place) *cobra.Command {
	var asJSON bool
	var files []string
	cmd := &cobra.Command{
		Use:   "send NAME PROMPT|-",
		Short: "Send a prompt and stream the answer",
		Long: `Sends a prompt to a session and streams the answer's text; what tools it uses goes
to stderr. With - the prompt is read from stdin. Ctrl-C interrupts the turn.

A session takes one prompt at a time; others wait in its queue.

With --json the frames of the turn are printed, one a line, the last being the
CLI's result frame. Exit code 3 says that the result is an error.`,
		Example: `  understudy send reviewer "What does this repository do?"
  git diff | understudy send reviewer -
  understudy send reviewer --file screenshot.png --file spec.pdf "What is wrong here?"
  understudy send --json reviewer "Hello" | tail -n 1`,
		Args:              takes("NAME", promptArgument),
		SuggestFor:        []string{"query", "prompt", "ask", "say"},
		ValidArgsFunction: completeSession(at),
		RunE: func(cmd *cobra.Command, args []string) error {
			prompt := args[1]
			if prompt == "-" {
				data, err := io.ReadAll(cmd.InOrStdin())
				if err != nil {
					return fmt.Errorf("read prompt: %w", err)
				}
				prompt = string(data)
			}
			if strings.TrimSpace(prompt) == "" && len(files) == 0 {
				return usageError(errEmptyPrompt)
			}
			show := printFrames(cmd.OutOrStdout(), cmd.ErrOrStderr())
			if asJSON {
				show = copyFrames(cmd.OutOrStdout())
			}
			client := at.client()
			if len(files) == 0 {
				return send(cmd.Context(), client, args[0], func(ctx context.Context) iter.Seq2[json.RawMessage, error] {
					return client.Query(ctx, args[0], prompt)
				}, show)
			}
			content, err := contentOf(prompt, files)
			if err != nil {
				return err
			}
			return send(cmd.Context(), client, args[0], func(ctx context.Context) iter.Seq2[json.RawMessage, error] {
				return client.QueryContent(ctx, args[0], content)
			}, show)
		},
	}
	cmd.Flags().StringArrayVar(&files, "file", nil, "send a file along: an image, a PDF or text; may be repeated")
	cmd.Flags().StringArrayVar(&files, "image", nil, "the same as --file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the frames of the turn, one a line")
	return cmd
}

// contentOf is a prompt with files, the text last.
func contentOf(prompt string, files []string) (json.RawMessage, error) {
	var blocks []protocol.ContentBlock
	for _, file := range files {
		block, err := session.FileBlock(file)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, block)
	}
	if strings.TrimSpace(prompt) != "" {
		blocks = append(blocks, protocol.NewText(prompt))
	}
	return protocol.BlockContent(blocks...).MarshalJSON()
}

// send gives a prompt to a session, and every frame of the turn to show.
func send(ctx context.Context, client *debug.Client, name string, query func(context.Context) iter.Seq2[json.RawMessage, error],
	show func(frame []byte) error) error {
	listening, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	for frame, err := range query(listening) {
		switch {
		case err != nil && listening.Err() != nil:
			return errors.New("interrupted") // the daemon does that when we go
		case err != nil:
			return advised(ctx, client, name, err)
		}
		if err := show(frame); err != nil {
			return err
		}
	}
	return nil
}

// copyFrames shows frames to programs.
func copyFrames(out io.Writer) func([]byte) error {
	return func(frame []byte) error {
		_, err := fmt.Fprintf(out, "%s\n", frame)
		return err
	}
}

// printFrames shows people what they want of a turn: the answer's text, and on stderr the tools. With
// include_partial_messages the text comes as it is written; its block follows, and is not shown again.
func printFrames(out, progress io.Writer) func([]byte) error {
	screen, side := terminalOf(out), terminalOf(progress)
	partial := false // the line is not over
	answered := false
	return func(frame []byte) error {
		m, err := protocol.Decode(frame)
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *protocol.StreamEvent:
			if text, ok := m.TextDelta(); ok && m.ParentToolUseID == nil {
				partial, answered = true, true
				_, err = fmt.Fprint(out, screen.shown(text))
			}
		case *protocol.Assistant:
			if m.ParentToolUseID != nil {
				return nil
			}
			for _, block := range m.Message.Content {
				switch block := block.(type) {
				case *protocol.TextBlock:
					text := screen.shown(block.Text)
					if partial {
						text = ""
					}
					partial, answered = false, true
					_, err = fmt.Fprintln(out, text)
				case *protocol.ToolUseBlock:
					_, err = fmt.Fprintf(progress, "· %s\n", side.shown(block.Name))
				default: // thinking and the like: --json shows it
				}
				if err != nil {
					return err
				}
			}
		case *protocol.Result:
			if partial { // the turn was interrupted in the middle of a block
				_, err = fmt.Fprintln(out)
			} else if !answered && !m.IsError && m.Result != "" {
				_, err = fmt.Fprintln(out, screen.shown(m.Result)) // a slash command's, which no model wrote
			}
		default: // for --json
		}
		return err
	}
}
