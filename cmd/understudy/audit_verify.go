package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/audit"
)

func newAuditVerify(log *auditLog) *cobra.Command {
	var key, checkpoint string
	var invariants, asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that the log is complete and unchanged",
		Long: `Reads the whole log and compares it with the checkpoints that were signed while
it was written. It says which record was changed, removed, inserted or moved, which
segment is missing or exchanged, and what a crash has left.

Against somebody who can sign with the log's key, or who puts an old copy of the
directory back, only a checkpoint helps that was kept elsewhere: --checkpoint takes a
file of them, as an anchor writes it, or as printed by audit checkpoint; and --key takes
the public key from elsewhere too, as in audit.pub.

Exit codes: 0 unchanged, 1 changed or missing, or not to be read, 2 the end is torn, as
after a crash (the next start cuts it off and records it), 3 records were lost, as the log
itself says (or, with --invariants, as its records show).`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := audit.VerifyOptions{Invariants: invariants}
			if key != "" {
				data, err := os.ReadFile(key)
				if err != nil {
					return err
				}
				o.Key = string(data)
			}
			if checkpoint != "" {
				data, err := fileOrStdin(cmd, checkpoint)
				if err != nil {
					return err
				}
				if len(data) == 0 {
					return fmt.Errorf("%s: there is no checkpoint in it", checkpoint)
				}
				o.Anchor = data
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			report, err := audit.Verify(ctx, log.path(), o)
			if err != nil {
				return err
			}
			if err := printReport(cmd, report, asJSON); err != nil {
				return err
			}
			if code := report.Code(); code != 0 {
				return &exitCodeError{code: code}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "a file with the public key (default: the log's own)")
	cmd.Flags().StringVar(&checkpoint, "checkpoint", "", "a file with checkpoints that were kept elsewhere; - is stdin")
	cmd.Flags().BoolVar(&invariants, "invariants", false, "also compare records with each other: intents have ends, sequences no holes, sums are right")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

// verdicts are the exit codes in words.
var verdicts = []string{
	"unchanged",
	"CHANGED: this is not what was written",
	"unchanged, with a torn end, as after a crash",
	"unchanged, with gaps",
}

func printReport(cmd *cobra.Command, r *audit.Report, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(r)
	}
	screen := terminalOf(out)
	for _, f := range r.Findings {
		if _, err := fmt.Fprintln(out, screen.shown(f.String())); err != nil {
			return err
		}
	}
	if r.More > 0 {
		if _, err := fmt.Fprintf(out, "and %d more\n", r.More); err != nil {
			return err
		}
	}
	records := "no records"
	if r.Last > 0 && r.First > 0 {
		records = fmt.Sprintf("records %d to %d", r.First, r.Last)
	}
	_, err := fmt.Fprintf(out, "%s: %s in %s, signed up to %d by %s\n", verdicts[r.Code()], records, count(r.Segments, "segment"), r.Signed, r.Origin)
	return err
}
