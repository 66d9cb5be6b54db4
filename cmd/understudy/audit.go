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
		Short: "Look at the audit log, and prove that it is unchanged",
		Long: `The audit log has a record of everything a runtime and its sessions did.

tail asks the daemon. The other commands read the log's directory, which is
DATA_DIR/audit unless --dir says otherwise; they need no daemon, change nothing,
and work on a copy of the directory as well.

  understudy audit tail -f
  understudy audit query --session reviewer --outcome deny --since 24h
  understudy audit export --format ocsf > records.jsonl
  understudy audit verify
  understudy audit verify --key audit.pub --checkpoint anchored.txt`,
		Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	log := &auditLog{at: at}
	cmd.PersistentFlags().StringVar(&log.dir, "dir", "", "the log's directory (default DATA_DIR/audit)")
	cmd.AddCommand(
		newAuditTail(at), newAuditQuery(log), newAuditExport(log), newAuditVerify(log), newAuditProve(log),
		newAuditConsistency(log), newAuditVerifyProof(log), newAuditCheckpoint(log),
		newAuditNewKey(),
	)
	return cmd
}

func newAuditTail(at *place) *cobra.Command {
	var n int
	var follow, asJSON bool
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show the last records",
		Args:  takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n < 0 {
				return usageError(fmt.Errorf("-n %d: expected 0 or more", n))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			out := cmd.OutOrStdout()
			screen := terminalOf(out)
			for line, err := range at.client().Audit(ctx, n, follow) {
				if err != nil {
					return err
				}
				text := string(line)
				if !asJSON {
					var r audit.Record
					if err := json.Unmarshal(line, &r); err != nil {
						return fmt.Errorf("read record: %w", err)
					}
					text = screen.shown(recordLine(r))
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
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as they are in the log, one a line")
	return cmd
}

// recordLine is a record for people, without the details that only programs want.
func recordLine(r audit.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%6d  %s  %-17s", r.Seq, r.Time.Local().Format("01-02 15:04:05.000"), r.Kind)
	add := func(format string, args ...any) { fmt.Fprintf(&b, "  "+format, args...) }
	switch {
	case r.Session != "" && r.Generation > 0:
		add("%s/%d", r.Session, r.Generation)
	case r.Session != "":
		add("%s", r.Session)
	}
	if action, ok := r.Detail["action"].(string); ok {
		add("%s", action)
	}
	if r.Principal != "" {
		add("by %s", r.Principal)
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
		add("$%.4f", r.CostUSD)
	}
	if r.Exit != nil {
		add("%s", brief(r.Exit.Reason))
	}
	if len(r.Input) > 0 {
		add("%s", brief(string(r.Input)))
	}
	if text, ok := r.Detail["error"].(string); ok {
		add("%s", brief(text))
	}
	return b.String()
}

// brief is text on one line, and not too much of it.
func brief(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 100 {
		text = strings.ToValidUTF8(text[:100], "") + "…"
	}
	return text
}
