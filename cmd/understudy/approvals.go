package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/supervisor/debug"
)

func newApprovals(at *place) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "approvals",
		Short: "List the questions of sessions that wait for somebody",
		Long: `Lists what waits for somebody: whether a tool may run, and the agent's own
questions. approve and deny answer them. What nobody answers within the session's
permission_timeout is denied.`,
		Args:       takes(),
		SuggestFor: []string{"pending", "questions", "permissions"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := at.client().Approvals(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				if list == nil {
					list = []debug.Approval{}
				}
				return printJSON(cmd.OutOrStdout(), list)
			}
			return printApprovals(cmd.OutOrStdout(), list, time.Now())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

func printApprovals(out io.Writer, list []debug.Approval, now time.Time) error {
	var b strings.Builder
	if len(list) == 0 {
		b.WriteString("nothing waits for approval\n")
	}
	for i, a := range list {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s  %s  %s", a.ID, a.Session, a.Tool)
		if a.AgentID != "" {
			fmt.Fprintf(&b, " (subagent %s)", a.AgentID)
		}
		fmt.Fprintf(&b, "  denied in %s\n", a.ExpiresAt.Sub(now).Round(time.Second))
		if a.Reason != "" {
			fmt.Fprintf(&b, "    because %s\n", a.Reason)
		}
		if len(a.Questions) == 0 {
			fmt.Fprintf(&b, "    %s\n", a.Input)
			continue
		}
		for _, q := range a.Questions {
			fmt.Fprintf(&b, "    %s\n", q.Question)
			for _, o := range q.Options {
				fmt.Fprintf(&b, "      - %s", o.Label)
				if o.Description != "" {
					fmt.Fprintf(&b, ": %s", o.Description)
				}
				b.WriteString("\n")
			}
		}
	}
	_, err := io.WriteString(out, terminalOf(out).shown(b.String()))
	return err
}

func newApprove(at *place) *cobra.Command {
	var input string
	var answers []string
	var always, asJSON bool
	cmd := &cobra.Command{
		Use:   "approve ID",
		Short: "Let a tool run that waits for approval, or answer the agent's question",
		Long: `Lets a tool run that waits for approval. ID is that of understudy approvals, or
the beginning of it. --input gives the tool another input, whole and as JSON.
A question of the agent needs an --answer for each of its questions: the label of
an option, labels separated by commas, or words of your own.`,
		Example: `  understudy approve k3v7
  understudy approve k3v7 --input '{"command":"go test ./..."}'
  understudy approve k3v7 --answer 'Postgres'`,
		Args:              takes("ID"),
		SuggestFor:        []string{"allow", "yes", "answer"},
		ValidArgsFunction: completeApproval(at),
		RunE: func(cmd *cobra.Command, args []string) error {
			answer := debug.ApprovalAnswer{Decision: "allow", Always: always}
			if cmd.Flags().Changed("input") {
				if answer.Input = json.RawMessage(input); !json.Valid(answer.Input) {
					return &exitCodeError{exitUsage, errors.New("--input: not JSON")}
				}
			}
			a, err := findApproval(cmd.Context(), at.client(), args[0])
			if err != nil {
				return err
			}
			if answer.Answers, err = answersTo(a, answers); err != nil {
				return &exitCodeError{exitUsage, err}
			}
			return settle(cmd, at.client(), a, answer, "approved", asJSON)
		},
	}
	cmd.Flags().StringVar(&input, "input", "", "another input for the tool, as a `JSON` object")
	cmd.Flags().StringArrayVar(&answers, "answer", nil, "the answer to a question, as `[QUESTION=]ANSWER`; may be repeated, in the order of the questions")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was answered as JSON")
	cmd.Flags().BoolVar(&always, "always", false, "keep the rule that the CLI suggests, so that it does not ask again")
	return cmd
}

func newDeny(at *place) *cobra.Command {
	var message string
	var interrupt, asJSON bool
	cmd := &cobra.Command{
		Use:        "deny ID [--message TEXT]",
		Short:      "Keep a tool from running that waits for approval",
		Long:       "Keeps a tool from running that waits for approval. ID is that of understudy\napprovals, or the beginning of it. The message is told to the model.",
		Args:       takes("ID"),
		SuggestFor: []string{"reject", "refuse", "no"},

		ValidArgsFunction: completeApproval(at),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := findApproval(cmd.Context(), at.client(), args[0])
			if err != nil {
				return err
			}
			return settle(cmd, at.client(), a, debug.ApprovalAnswer{Decision: "deny", Message: message, Interrupt: interrupt}, "denied", asJSON)
		},
	}
	cmd.Flags().StringVarP(&message, "message", "m", "", "what the model is told")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was answered as JSON")
	cmd.Flags().BoolVar(&interrupt, "interrupt", false, "end the turn as well")
	return cmd
}

func settle(cmd *cobra.Command, client *debug.Client, a debug.Approval, answer debug.ApprovalAnswer, done string, asJSON bool) error {
	if err := client.Answer(cmd.Context(), a.ID, answer); err != nil {
		return err
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), map[string]string{"id": a.ID, "session": a.Session, "tool": a.Tool, "decision": answer.Decision})
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %s %s\n", a.Session, a.Tool, done)
	return err
}

// findApproval is the one whose id begins so. What is none is left to the daemon, which remembers what became of it.
func findApproval(ctx context.Context, client *debug.Client, id string) (debug.Approval, error) {
	list, err := client.Approvals(ctx)
	if err != nil {
		return debug.Approval{}, err
	}
	var found []debug.Approval
	for _, a := range list {
		if a.ID == id {
			return a, nil
		}
		if strings.HasPrefix(a.ID, id) {
			found = append(found, a)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return debug.Approval{}, &exitCodeError{exitUsage, fmt.Errorf("%d approvals begin with %q: write more of the id", len(found), id)}
	}
	return debug.Approval{ID: id}, nil
}

// answersTo sorts answers to the questions that they are for.
func answersTo(a debug.Approval, given []string) (map[string]string, error) {
	if len(given) == 0 {
		return nil, nil
	}
	answers := make(map[string]string)
	next := 0
	for _, text := range given {
		question, answer := "", text
		for _, q := range a.Questions {
			if rest, ok := strings.CutPrefix(text, q.Question+"="); ok {
				question, answer = q.Question, rest
			}
		}
		if question == "" {
			for next < len(a.Questions) && answers[a.Questions[next].Question] != "" {
				next++
			}
			if next == len(a.Questions) {
				return nil, fmt.Errorf("--answer %q: there are %d questions, and each has its answer", text, len(a.Questions))
			}
			question = a.Questions[next].Question
		}
		answers[question] = answer
	}
	return answers, nil
}

// completeApproval lets a shell complete the id of a question that waits.
func completeApproval(at *place) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		list, err := at.client().Approvals(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var ids []string
		for _, a := range list {
			ids = append(ids, cobra.CompletionWithDesc(a.ID, a.Session+" "+a.Tool))
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}
