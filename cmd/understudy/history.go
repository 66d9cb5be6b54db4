package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/transcript"
)

func newHistory() *cobra.Command {
	var asJSON, all bool
	var store transcript.Store
	cmd := &cobra.Command{
		Use:   "history [DIR]",
		Short: "List the conversations of a directory, or show one",
		Long: `Lists the conversations that the CLI keeps of a directory (the current one by
default), the newest first. No daemon is needed.

A conversation can be gone on with: session option resume=ID, and fork_session=true
for a copy.`,
		Example: `  understudy history /srv/app
  understudy history show 3d3fefbe-8dba-47b1-a384-aa4bb7288c99
  understudy spawn again -o cwd=/srv/app -o resume=3d3fefbe-8dba-47b1-a384-aa4bb7288c99`,
		Args:       takesAtMost("DIR"),
		SuggestFor: []string{"conversations", "transcripts", "sessions"},
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			list := store.List(dir)
			if all {
				list = store.All()
			}
			return listConversations(cmd, list, asJSON)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "list those of all directories")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object a line")
	cmd.PersistentFlags().StringVar(&store.ConfigDir, "config-dir", "", "the CLI's configuration `directory` (default $CLAUDE_CONFIG_DIR, or ~/.claude)")
	cmd.AddCommand(newHistoryShow(&store))
	return cmd
}

// conversationJSON is what history --json prints of a conversation.
type conversationJSON struct {
	ID          string    `json:"id"`
	Path        string    `json:"path"`
	Bytes       int64     `json:"bytes"`
	Modified    time.Time `json:"modified"`
	Started     time.Time `json:"started,omitzero"`
	CWD         string    `json:"cwd,omitempty"`
	Title       string    `json:"title,omitempty"`
	FirstPrompt string    `json:"first_prompt,omitempty"`
	Prompts     int       `json:"prompts"`
	Damaged     int       `json:"damaged_lines,omitempty"`
	Version     string    `json:"cli_version,omitempty"`
}

func listConversations(cmd *cobra.Command, list iter.Seq2[transcript.Conversation, error], asJSON bool) error {
	screen := terminalOf(cmd.OutOrStdout())
	found := false
	for c, err := range list {
		if err != nil {
			return err
		}
		s, err := c.Summary()
		if err != nil {
			return err
		}
		found = true
		if asJSON {
			if err := json.NewEncoder(cmd.OutOrStdout()).Encode(conversationJSON{
				c.ID, c.Path, c.Bytes, c.Modified, s.Started, s.CWD, s.Title, s.FirstPrompt, s.Prompts, s.Damaged, s.Version,
			}); err != nil {
				return err
			}
			continue
		}
		what := s.Title
		if what == "" {
			what = s.FirstPrompt
		}
		what, _, _ = strings.Cut(what, "\n")
		if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %3d prompts  %s\n", c.ID, c.Modified.Local().Format("2006-01-02 15:04"),
			s.Prompts, screen.shown(shortened(what, 60))); err != nil {
			return err
		}
	}
	if !found && !asJSON {
		_, err := fmt.Fprintln(cmd.ErrOrStderr(), "no conversations; --all lists those of other directories, --config-dir looks elsewhere")
		return err
	}
	return nil
}

func shortened(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

func newHistoryShow(store *transcript.Store) *cobra.Command {
	var asJSON bool
	var agent string
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a conversation",
		Long: `Shows what was said in a conversation, and which tools were used. With --json the
lines of its transcript are printed as they are, damaged ones left out.`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := store.Find(args[0])
			if errors.Is(err, transcript.ErrNotFound) {
				return &exitCodeError{code: exitNoSession, err: err}
			}
			if err == nil && agent != "" {
				c, err = subagent(c, agent)
			}
			if err != nil {
				return err
			}
			return showConversation(cmd, c, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the transcript's lines")
	cmd.Flags().StringVar(&agent, "agent", "", "show a subagent's conversation, by the agent's `id`")
	return cmd
}

func subagent(c transcript.Conversation, id string) (transcript.Conversation, error) {
	list, err := c.Subagents()
	if err != nil {
		return c, err
	}
	var ids []string
	for _, a := range list {
		if a.ID == id {
			return a, nil
		}
		ids = append(ids, a.ID)
	}
	if ids == nil {
		return c, fmt.Errorf("conversation %s had no subagents", c.ID)
	}
	return c, fmt.Errorf("conversation %s had no subagent %q: there were %s", c.ID, id, strings.Join(ids, ", "))
}

func showConversation(cmd *cobra.Command, c transcript.Conversation, asJSON bool) error {
	out := cmd.OutOrStdout()
	screen := terminalOf(out)
	damaged := 0
	for e, err := range c.Entries() {
		if err != nil {
			return err
		}
		if e.Damaged != nil {
			damaged++
			continue
		}
		if asJSON {
			if _, err := fmt.Fprintf(out, "%s\n", e.Raw()); err != nil {
				return err
			}
			continue
		}
		if e.Meta {
			continue
		}
		for _, line := range spoken(e.Message) {
			if _, err := fmt.Fprintln(out, screen.shown(line)); err != nil {
				return err
			}
		}
	}
	if damaged > 0 {
		_, err := fmt.Fprintf(cmd.ErrOrStderr(), "%d lines of %s cannot be read\n", damaged, c.Path)
		return err
	}
	return nil
}

// spoken is a message in lines: what a person said, what the model said, and the tools.
func spoken(m protocol.Message) (lines []string) {
	switch m := m.(type) {
	case *protocol.User:
		for _, b := range m.Message.Content.Blocks() {
			switch b := b.(type) {
			case *protocol.TextBlock:
				lines = append(lines, "> "+b.Text)
			case *protocol.ToolResultBlock:
				if b.IsError {
					lines = append(lines, "  failed: "+shortened(b.Content.Text(), 200))
				}
			default:
				lines = append(lines, fmt.Sprintf("> (%T)", b))
			}
		}
	case *protocol.Assistant:
		for _, b := range m.Message.Content {
			switch b := b.(type) {
			case *protocol.TextBlock:
				lines = append(lines, b.Text)
			case *protocol.ToolUseBlock:
				lines = append(lines, "· "+b.Name+" "+shortened(string(b.Input), 120))
			default: // thinking and the like: --json shows it
			}
		}
	default:
	}
	return lines
}
