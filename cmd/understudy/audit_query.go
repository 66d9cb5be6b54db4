package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
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
			if asJSON {
				return lines(cmd, log, &f, audit.JSONL, "")
			}
			screen := terminalOf(cmd.OutOrStdout())
			return each(cmd, log, &f, audit.Log.Records, func(out *bufio.Writer, r audit.Record) error {
				_, err := fmt.Fprintln(out, screen.shown(recordLine(r)))
				return err
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
			return lines(cmd, log, &f, encoding, audit.Origin(log.path()))
		},
	}
	f.register(cmd, log.at)
	cmd.Flags().StringVar(&name, "format", string(audit.JSONL), "jsonl, cloudevents, ocsf or otlp")
	offer(cmd, "format", audit.Encodings...)
	return cmd
}

// lines prints the records that fit in an encoding.
func lines(cmd *cobra.Command, log *auditLog, f *filterFlags, encoding audit.Encoding, source string) error {
	read := func(l audit.Log, ctx context.Context, filter audit.Filter) iter.Seq2[[]byte, error] {
		return l.Lines(ctx, filter, encoding, source)
	}
	return each(cmd, log, f, read, func(out *bufio.Writer, line []byte) error {
		_, err := out.Write(line)
		if err == nil {
			err = out.WriteByte('\n')
		}
		return err
	})
}

// each prints the records that fit. What is no record is an error at the end, after all the others.
func each[T any](
	cmd *cobra.Command, log *auditLog, f *filterFlags,
	read func(audit.Log, context.Context, audit.Filter) iter.Seq2[T, error], print func(*bufio.Writer, T) error,
) error {
	filter, err := f.build(time.Now())
	if err != nil {
		return err
	}
	if err := log.check(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
	damages, first := 0, error(nil)
	for one, err := range read(audit.Log{Dir: log.path()}, ctx, filter) {
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
		if err := print(out, one); err != nil {
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
