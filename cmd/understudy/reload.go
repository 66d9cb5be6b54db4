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

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/config"
	"github.com/understudy-run/understudy/config/lint"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// hangup is who asks for a reload with a signal.
const hangup = "SIGHUP"

// onHangups reads the configuration again whenever somebody sends a hangup, until ctx ends.
func (d *daemon) onHangups(ctx context.Context, hangups <-chan struct{}) {
	for {
		select {
		case <-hangups:
			_, err := d.reload(ctx, hangup, false) // which logs what comes of it
			d.rt.Backend(nil).Acted(ctx, hangup, "reload", "", err)
		case <-ctx.Done():
			return
		}
	}
}

// reload reads the configuration file again and makes the sessions what it says. An error says that nothing was changed.
func (d *daemon) reload(ctx context.Context, principal string, dryRun bool) (debug.Reload, error) {
	log := d.logger.With().Str("principal", principal).Str("path", d.cfg.Path).Logger()
	if !dryRun {
		log.Info().Msg("configuration is read again")
		d.systemd.reloading()
		defer func() { d.systemd.ready(fmt.Sprintf("%d sessions", len(d.rt.Sessions()))) }()
	}
	report, err := d.tryReload(ctx, principal, dryRun)
	if dryRun {
		return report, err
	}
	failed := report.Failed()
	d.metrics.Loaded(err == nil && len(failed) == 0, time.Now())
	switch {
	case err != nil:
		log.Error().Err(err).Msg("configuration is not taken over: nothing was changed")
	case len(failed) > 0:
		log.Error().Int("failed", len(failed)).Int("changes", len(report.Changes)).Msg("configuration is taken over in part")
	default:
		log.Info().Int("changes", len(report.Changes)).Int("unchanged", report.Unchanged).Strs("needs_restart", report.NeedsRestart).
			Msg("configuration is taken over")
	}
	return report, err
}

func (d *daemon) tryReload(ctx context.Context, principal string, dryRun bool) (debug.Reload, error) {
	next, findings, err := d.loadAgain()
	if err != nil {
		return debug.Reload{}, &debug.Error{Code: debug.BadRequest, Message: err.Error()}
	}
	difference := config.Differ(d.cfg, next)
	difference.Live = config.Differ(d.live.Load(), next).Live
	report := debug.Reload{
		Path: next.Path, SHA256: next.SHA256, DryRun: dryRun,
		Live: append([]string{}, difference.Live...), NeedsRestart: append([]string{}, difference.Restart...),
	}
	detail := map[string]any{}
	if len(difference.Restart) > 0 {
		detail["needs_restart"] = difference.Restart
	}
	report.Changes, err = d.rt.Reload(ctx, understudy.ReloadSpec{
		Sessions: d.sessions(next.Sessions), Groups: d.groups(next.Supervisors), Pools: d.pools(next.Pools), Budgets: budgets(next), Limits: limits(next),
		DryRun: dryRun, Drain: next.DrainTimeout, Principal: principal, Detail: detail,
		Configuration: understudy.Configuration{Path: next.Path, SHA256: next.SHA256},
	})
	if errors.Is(err, understudy.ErrReload) {
		return report, &debug.Error{Code: debug.BadRequest, Message: err.Error()}
	}
	if err != nil {
		return report, err
	}
	if report.Changes == nil {
		report.Changes = []debug.Change{}
	}
	report.Unchanged = len(next.AllSessions())
	again := false // something outside of groups is started later than the file says
	for _, c := range report.Changes {
		if c.Session != "" && c.Action != debug.Removed {
			report.Unchanged--
		}
		again = again || c.Action != debug.Removed && c.Setting != "limits" && !strings.HasPrefix(c.Setting, "budgets.")
	}
	if d.cfg.Supervisor.Strategy != supervisor.OneForOne && again {
		report.NeedsRestart = append(report.NeedsRestart, "sessions (order)") // what is started later stands last
	}
	if !dryRun {
		d.live.Store(next)
		if err := d.rt.SetWarm(context.WithoutCancel(ctx), d.warm(next)); err != nil {
			d.logger.Error().Err(err).Msg("reload: processes that wait for sessions are not those of the templates")
			report.NeedsRestart = append(report.NeedsRestart, "templates (warm)")
		}
		d.recordFindings(findings)
	}
	return report, nil
}

// loadAgain reads and checks the file as `up` did.
func (d *daemon) loadAgain() (*config.Config, []lint.Finding, error) {
	var told strings.Builder
	next, err := loadConfig(d.cfg.Path, &told)
	if err != nil {
		return nil, nil, fmt.Errorf("%s\n%s", err, strings.TrimRight(told.String(), "\n"))
	}
	if err := moveData(next, d.dataDir); err != nil {
		return nil, nil, err
	}
	if d.profile == "" {
		return next, nil, nil
	}
	found := lint.Check(next, lint.Here())
	if lint.Failed(found) {
		if err := lint.WriteText(&told, found); err != nil {
			return nil, nil, err
		}
		return nil, nil, fmt.Errorf("the production checklist has errors:\n%s", strings.TrimRight(told.String(), "\n"))
	}
	return next, found, nil
}

func newReload(at *place) *cobra.Command {
	var dryRun, asJSON bool
	cmd := &cobra.Command{
		Use:   "reload [--dry-run]",
		Short: "Have the daemon read its configuration again",
		Long: `Validates the daemon's configuration file, shows what has changed, and applies it
with the least disturbance: sessions whose options are the same are not touched.
A session with other options ends its turn, for drain_timeout at most, and is
started again; its conversation goes on, prompts that wait end with an error. New
sessions are started, those that are gone are stopped; their state stays on disk.
In groups too; a group whose own settings or order change is started anew. A pool
loses no prompt: its sessions are replaced as they become free. Budgets and limits
hold at once, templates and defaults for what is spawned from then on.

A file with a mistake changes nothing (exit code 2). The settings of the daemon
itself cannot change while it runs: they are listed. SIGHUP does the same without
the answer.`,
		Example: `  understudy reload --dry-run
  understudy reload --json | jq .needs_restart`,
		Args:       takes(),
		SuggestFor: []string{"refresh", "apply", "hup"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := at.client().Reload(cmd.Context(), dryRun)
			if debug.CodeOf(err) == debug.BadRequest {
				return &exitCodeError{exitUsage, err}
			}
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), report)
			} else {
				err = printReload(cmd.OutOrStdout(), report)
			}
			if failed := report.Failed(); err == nil && len(failed) > 0 {
				err = fmt.Errorf("%d of %d changes did not happen: mend what they say, and reload again", len(failed), len(report.Changes))
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "only show what would change")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what has changed as JSON")
	return cmd
}

// signs of changes, as a diff has them.
var changeSigns = map[debug.ChangeAction]string{debug.Added: "+", debug.Changed: "~", debug.Removed: "-"}

func printReload(out io.Writer, r debug.Reload) error {
	var b strings.Builder
	verb := "read again"
	if r.DryRun {
		verb = "would be read again; nothing was changed"
	}
	fmt.Fprintf(&b, "%s %s\n", r.Path, verb)
	for _, c := range r.Changes {
		fmt.Fprintf(&b, "  %s %s", changeSigns[c.Action], c.Name())
		switch {
		case c.Error != "":
			fmt.Fprintf(&b, ": NOT %s: %s", c.Action, c.Error)
		case len(c.Fields) > 0:
			b.WriteString(": " + strings.Join(fieldTexts(c.Fields), "; "))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "  %s not touched\n", unchangedText(r.Unchanged))
	if len(r.Live) > 0 {
		fmt.Fprintf(&b, "holds from now on: %s\n", strings.Join(r.Live, ", "))
	}
	if len(r.NeedsRestart) > 0 {
		fmt.Fprintf(&b, "needs a restart of the daemon: %s\n", strings.Join(r.NeedsRestart, ", "))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func unchangedText(n int) string {
	if n == 1 {
		return "1 session is"
	}
	return fmt.Sprintf("%d sessions are", n)
}

func fieldTexts(fields []debug.FieldChange) []string {
	var texts []string
	for _, f := range fields {
		if f.Before == nil && f.After == nil {
			texts = append(texts, f.Field+" (not shown)")
			continue
		}
		texts = append(texts, fmt.Sprintf("%s %s -> %s", f.Field, shortJSON(f.Before), shortJSON(f.After)))
	}
	return texts
}

// shortJSON is a value in one line of moderate length.
func shortJSON(v any) string {
	if v == nil {
		return "unset"
	}
	data, err := json.Marshal(v)
	if err != nil { // it came as JSON
		return "?"
	}
	if text := []rune(string(data)); len(text) > 60 {
		return string(text[:59]) + "…"
	}
	return string(data)
}
