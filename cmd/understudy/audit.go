package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/audit"
)

func newAudit(at *place) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Look at the audit log",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditTail(at))
	return cmd
}

func newAuditTail(at *place) *cobra.Command {
	var n int
	var follow, asJSON bool
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show the last records",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n < 0 {
				return usageError(fmt.Errorf("-n %d: expected 0 or more", n))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			out := cmd.OutOrStdout()
			for line, err := range at.client().Audit(ctx, n, follow) {
				if err != nil {
					if follow && ctx.Err() != nil {
						return nil
					}
					return err
				}
				text := string(line)
				if !asJSON {
					var r audit.Record
					if err := json.Unmarshal(line, &r); err != nil {
						return fmt.Errorf("read record: %w", err)
					}
					text = recordLine(r)
				}
				if _, err := fmt.Fprintln(out, text); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVarP(&n, "lines", "n", 20, "how many")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new ones until Ctrl-C")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as they are in the log")
	return cmd
}

// recordLine is a record for people.
func recordLine(r audit.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%6d  %s  %-17s", r.Seq, r.Time.Local().Format("01-02 15:04:05.000"), r.Kind)
	add := func(format string, args ...any) { fmt.Fprintf(&b, "  "+format, args...) }
	if r.Session != "" {
		add("%s/%d", r.Session, r.Generation)
	}
	if r.Tool != "" {
		add("%s", r.Tool)
	}
	if r.Decision != nil {
		add("%s by %s", r.Decision.Outcome, r.Decision.By)
	}
	if r.IsError != nil && *r.IsError {
		add("error")
	}
	if r.CostUSD != 0 {
		add("%.4f USD", r.CostUSD)
	}
	if r.Exit != nil {
		add("%s", r.Exit.Reason)
	}
	if len(r.Input) > 0 {
		input := string(r.Input)
		if len(input) > 100 {
			input = strings.ToValidUTF8(input[:100], "") + "…"
		}
		add("%s", input)
	}
	if r.Principal != "" {
		add("by %s", r.Principal)
	}
	return b.String()
}
