package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/audit"
)

// auditLog is a log that is read from its directory.
type auditLog struct {
	at  *place
	dir string
}

func (l *auditLog) path() string { return cmp.Or(l.dir, filepath.Join(l.at.data(), "audit")) }

// check reports a directory in which there is no log: nothing that fits would be found in it, whatever is asked for.
func (l *auditLog) check() error {
	files, err := os.ReadDir(l.path())
	if err != nil {
		return err
	}
	for _, file := range files {
		if strings.HasPrefix(file.Name(), "audit.") && strings.HasSuffix(file.Name(), ".log") {
			return nil
		}
	}
	return fmt.Errorf("%s: there is no audit log in it", l.path())
}

// filterFlags are the flags that choose records.
type filterFlags struct {
	sessions, kinds, tools, outcomes []string
	since, until                     string
	filter                           audit.Filter
}

// outcomes are those that a record may have.
func outcomes() (names []string) {
	for _, outcome := range audit.Outcomes {
		names = append(names, string(outcome))
	}
	return names
}

func (f *filterFlags) register(cmd *cobra.Command, at *place) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.sessions, "session", nil, "of these sessions (repeatable, or with commas; so the following)")
	flags.StringSliceVar(&f.kinds, "kind", nil, "of these kinds, such as tool.intent; tool. stands for all that begin so")
	flags.StringSliceVar(&f.tools, "tool", nil, "of these tools")
	flags.StringSliceVar(&f.outcomes, "outcome", nil, "with these outcomes: "+strings.Join(outcomes(), ", "))
	flags.IntVar(&f.filter.Turn, "turn", 0, "of this turn")
	flags.StringVar(&f.filter.ToolUse, "tool-use", "", "of this tool use, and of a subagent it started")
	flags.StringVar(&f.since, "since", "", "from this time on: 2025-11-05T08:30:00Z, 2025-11-05, or 24h ago")
	flags.StringVar(&f.until, "until", "", "before this time")
	flags.StringVar(&f.filter.Text, "text", "", "with this text somewhere in the record's JSON")
	flags.Uint64Var(&f.filter.After, "after", 0, "behind the record of this number")
	flags.IntVarP(&f.filter.Limit, "limit", "n", 0, "no more than so many, the oldest (0: all)")
	complete(cmd, "session", sessionNames(at))
	offer(cmd, "kind", audit.Kinds()...)
	offer(cmd, "outcome", audit.Outcomes...)
}

func (f *filterFlags) build(now time.Time) (audit.Filter, error) {
	filter := f.filter
	if filter.Turn < 0 {
		return filter, usageError(fmt.Errorf("--turn %d: expected the number of a turn, from 1 on", filter.Turn))
	}
	filter.Sessions, filter.Tools = f.sessions, f.tools
	for _, name := range f.kinds {
		kinds := audit.KindsOf(name)
		if len(kinds) == 0 {
			return filter, usageError(fmt.Errorf("--kind %q: expected one of %v", name, audit.Kinds()))
		}
		filter.Kinds = append(filter.Kinds, kinds...)
	}
	for _, name := range f.outcomes {
		if !slices.Contains(outcomes(), name) {
			return filter, usageError(fmt.Errorf("--outcome %q: expected %s", name, alternatives(outcomes())))
		}
		filter.Outcomes = append(filter.Outcomes, audit.Outcome(name))
	}
	if filter.Limit < 0 {
		return filter, usageError(fmt.Errorf("--limit %d: expected 0 or more", filter.Limit))
	}
	var err error
	if filter.Since, err = moment("--since", f.since, now); err != nil {
		return filter, err
	}
	if filter.Until, err = moment("--until", f.until, now); err != nil {
		return filter, err
	}
	if !filter.Since.IsZero() && !filter.Until.IsZero() && !filter.Since.Before(filter.Until) {
		return filter, usageError(fmt.Errorf("--until %s: expected a time after --since %s", f.until, f.since))
	}
	return filter, nil
}

// moment reads a time, or how long ago it was.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError(fmt.Errorf("%s %q: expected a time such as 2025-11-05T08:30:00Z or 2025-11-05, or how long ago, such as 24h", flag, text))
}

// fileOrStdin reads a small file; - is stdin.
func fileOrStdin(cmd *cobra.Command, path string) ([]byte, error) {
	if path != "-" {
		return os.ReadFile(path)
	}
	return readAll(cmd.InOrStdin())
}
