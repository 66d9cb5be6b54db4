package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/audit"
)

// maxStdin bounds what is read of a proof or a checkpoint.
const maxStdin = 64 << 20

func readAll(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, maxStdin)) }

func newAuditQuery(log *auditLog) *cobra.Command {
	var f filterFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "query",
		Short: "Show the records that fit",
		Long: `Shows the records that fit all that is asked for, oldest first, a line each.

  understudy audit query --outcome deny
  understudy audit query --session reviewer --kind tool. --since 2h
  understudy audit query --text 'rm -rf' --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			screen := terminalOf(cmd.OutOrStdout())
			return records(cmd, log, &f, func(r audit.Record) (string, error) {
				if asJSON {
					line, err := audit.JSONL.Encode(r, "")
					return string(line), err
				}
				return screen.shown(recordLine(r)), nil
			})
		},
	}
	f.register(cmd, log.at)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print them as they are in the log, one a line")
	return cmd
}

func newAuditExport(log *auditLog) *cobra.Command {
	var f filterFlags
	var name string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the records that fit in a form for other programs",
		Long: `Writes the records that fit all that is asked for, oldest first, as one JSON
object a line:

  jsonl        as they are in the log
  cloudevents  CloudEvents 1.0, the record as data
  ocsf         OCSF 1.9, API Activity with the profile ai_operation
  otlp         OTLP/JSON, a logs request for each record`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			encoding := audit.Encoding(name)
			if _, err := encoding.Encode(audit.Record{}, ""); err != nil {
				return usageError(fmt.Errorf("--format: %w", err))
			}
			source := audit.Origin(log.path())
			return records(cmd, log, &f, func(r audit.Record) (string, error) {
				line, err := encoding.Encode(r, source)
				return string(line), err
			})
		},
	}
	f.register(cmd, log.at)
	cmd.Flags().StringVar(&name, "format", string(audit.JSONL), "jsonl, cloudevents, ocsf or otlp")
	return cmd
}

// records prints the records that fit. What is no record is an error at the end, after all the others.
func records(cmd *cobra.Command, log *auditLog, f *filterFlags, line func(audit.Record) (string, error)) error {
	filter, err := f.build(time.Now())
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	out := bufio.NewWriter(cmd.OutOrStdout())
	damages, first := 0, error(nil)
	for r, err := range (audit.Log{Dir: log.path()}).Records(ctx, filter) {
		var damage *audit.DamageError
		if errors.As(err, &damage) {
			if damages++; first == nil {
				first = err
			}
			continue
		}
		if err != nil {
			return errors.Join(out.Flush(), err)
		}
		text, err := line(r)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, text); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if damages > 0 {
		return fmt.Errorf("%w; %s in all: run understudy audit verify", first, count(damages, "damaged place"))
	}
	return nil
}
