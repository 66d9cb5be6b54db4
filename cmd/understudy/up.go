package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/config"
	"github.com/understudy-run/understudy/config/lint"
)

var logLevels = []string{"debug", "info", "warn", "error"}

func newUp(at *place) *cobra.Command {
	var file, level, profile string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the tree in the foreground until SIGTERM or Ctrl-C",
		Long: `Runs the sessions of a configuration file, and whatever is spawned later, until
SIGTERM or SIGINT, or the end of its terminal: no more queries are taken, turns that run get
drain_timeout, then they are interrupted, every process is ended with everything
it started, and the daemon exits. A second signal cuts the drain, a third kills.

SIGHUP reads the file again, as understudy reload does, unless it is ignored: under
nohup it stays so.

The log goes to stderr, for people on a terminal and as JSON elsewhere.

A mistake in the configuration, or in a file that it names, ends it with exit code
2: so does the next start. Whatever may be better the next time has 1: a data
directory that another daemon has, an address in use, a disk that is full, a CLI
that is not there.

Garbage is collected as with GOGC=400, unless GOGC is set; GOMEMLIMIT is heeded.`,
		Args:       takes(),
		SuggestFor: []string{"run", "start", "serve", "daemon"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(logLevels, level) {
				return usageError(fmt.Errorf("--log-level %q: expected %s", level, alternatives(logLevels)))
			}
			parsed, err := zerolog.ParseLevel(level)
			if err != nil {
				return err
			}
			if err := checkProfile(profile); err != nil {
				return err
			}
			cfg, err := loadConfig(file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := moveData(cfg, at.override()); err != nil {
				return err
			}
			var found []lint.Finding
			if profile != "" {
				if found = lint.Check(cfg, lint.Here()); lint.Failed(found) {
					if err := lint.WriteText(cmd.ErrOrStderr(), found); err != nil {
						return err
					}
					return &exitCodeError{exitUsage, errors.New("the production checklist has errors: nothing was started")}
				}
			}
			d := &daemon{findings: found, dataDir: at.override(), profile: profile, cfg: cfg, socket: at.socket, logger: newLogger(cmd.ErrOrStderr()).Level(parsed), out: cmd.OutOrStdout()}
			return d.run(cmd.Context())
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().StringVar(&profile, "profile", "", "production: refuse to start if the production checklist has an error")
	cmd.Flags().StringVar(&level, "log-level", "info", alternatives(logLevels))
	offer(cmd, "profile", production)
	offer(cmd, "log-level", logLevels...)
	return cmd
}

// moveData puts the data of a configuration elsewhere, and with it an audit log that is among it. (One that is
// not stays where the file says.)
func moveData(cfg *config.Config, dir string) error {
	if dir == "" {
		return nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if inside, err := filepath.Rel(cfg.DataDir, cfg.Audit.Dir); err == nil && filepath.IsLocal(inside) {
		cfg.Audit.Dir = filepath.Join(dir, inside)
	}
	cfg.DataDir = dir
	return nil
}

// newLogger writes for people on a terminal, and JSON otherwise.
func newLogger(w io.Writer) zerolog.Logger {
	if screen := terminalOf(w); screen.is {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05", NoColor: !screen.color}
	}
	return zerolog.New(w).With().Timestamp().Logger()
}

// errKilled is what a daemon ends with that was not given the time to end in order.
var errKilled = errors.New("killed on a second signal: turns that were running are cut off")
