package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/config"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

func newUp(at *place) *cobra.Command {
	var file, level string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the tree in the foreground until SIGTERM or Ctrl-C",
		Long: `Runs the sessions of a configuration file, and whatever is spawned later, until
SIGTERM or SIGINT: turns are interrupted, every process is ended with everything
it started, and the daemon exits. A second signal kills at once.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if dir := at.override(); dir != "" {
				if cfg.DataDir, err = filepath.Abs(dir); err != nil {
					return err
				}
				cfg.Audit.Dir = filepath.Join(cfg.DataDir, "audit")
			}
			parsed, err := zerolog.ParseLevel(level)
			if err != nil {
				return usageError(fmt.Errorf("--log-level %q: expected debug, info, warn or error", level))
			}
			logger := newLogger(cmd.ErrOrStderr()).Level(parsed)
			d := &daemon{cfg: cfg, socket: at.socket, logger: logger, out: cmd.OutOrStdout()}
			return d.run(cmd.Context())
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// override is the data directory that flags or the environment ask for, empty if they do not.
func (p *place) override() string {
	if p.dataDir != "" {
		return p.dataDir
	}
	return os.Getenv("UNDERSTUDY_DATA_DIR")
}

// newLogger writes for people on a terminal, and JSON otherwise.
func newLogger(w io.Writer) zerolog.Logger {
	if isTerminal(w) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05"}
	}
	return zerolog.New(w).With().Timestamp().Logger()
}

// isTerminal reports whether somebody may be looking, and wants colour.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// daemon is `understudy up`.
type daemon struct {
	cfg    *config.Config
	socket string
	logger zerolog.Logger
	out    io.Writer
}

// drainTimeout is how long an orderly shutdown may take before everything is killed.
const drainTimeout = 30 * time.Second

func (d *daemon) run(ctx context.Context) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	cli, err := program(d.cfg)
	if err != nil {
		return err
	}
	version, err := process.Version(ctx, cli.Path, cli.Args)
	if err != nil {
		return err
	}
	if version != testedVersion {
		d.logger.Warn().Str("cli", version).Str("tested", testedVersion).Msg("this CLI version was not tested")
	}
	// This process exists to run sessions, so orphans of theirs may become its own.
	if err := process.BecomeSubreaper(); err != nil {
		d.logger.Warn().Err(err).Msg("tools that hide well may survive their session")
	}
	// Listening first: an address in use must not be found out with sessions running.
	listener, err := d.listenTCP()
	if err != nil {
		return err
	}
	rt, err := understudy.Start(ctx, d.options(cli))
	if err != nil {
		if listener != nil {
			err = errors.Join(err, listener.Close())
		}
		return err
	}
	if err := d.serve(ctx, rt, listener); err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		return errors.Join(err, rt.Shutdown(stop))
	}
	d.greet(version)
	return d.wait(ctx, rt, signals)
}

func (d *daemon) options(cli session.CLI) understudy.Options {
	o := understudy.Options{
		DataDir: d.cfg.DataDir, CLI: cli, Logger: d.logger,
		Supervisor: understudy.SupervisorOptions{Intensity: new(d.cfg.Supervisor.Intensity())},
		Audit:      understudy.AuditOptions{Dir: d.cfg.Audit.Dir},
	}
	if d.cfg.Supervisor.Backoff != (supervisor.Backoff{}) {
		o.Supervisor.Backoff = &d.cfg.Supervisor.Backoff
	}
	if d.cfg.Audit.Mode == config.AuditBestEffort {
		o.Audit.Mode = audit.BestEffort
	}
	for _, s := range d.cfg.Sessions {
		o.Sessions = append(o.Sessions, understudy.SessionSpec{Name: s.Name, Options: prepared(d.cfg, s.Options)})
	}
	return o
}

func (d *daemon) listenTCP() (net.Listener, error) {
	if d.cfg.Debug.Listen == "" {
		return nil, nil
	}
	return debug.ListenTCP(d.cfg.Debug.Listen)
}

func (d *daemon) socketPath() string {
	if d.socket != "" {
		return d.socket
	}
	return filepath.Join(d.cfg.DataDir, socketName)
}

// serve puts the debug endpoint into the tree: on the socket, which only this user can reach, with
// actions; on TCP read-only, and with actions for those who have the token.
func (d *daemon) serve(ctx context.Context, rt *understudy.Runtime, tcp net.Listener) error {
	backend := rt.Backend(func(name string, pairs []string) (session.Options, error) {
		o, err := d.cfg.ParseSession(name, pairs)
		return prepared(d.cfg, o), err
	})
	onSocket := debug.Handler(backend, debug.Options{Socket: true, Actions: true, Logger: d.logger, Version: version})
	path := d.socketPath()
	socket := debug.Serve(rt.System(), "root/socket", func() (net.Listener, error) { return debug.ListenUnix(path) }, onSocket, d.logger)
	if err := rt.Supervise(ctx, endpoint("socket", socket)); err != nil {
		return err
	}
	if tcp == nil {
		return nil
	}
	onTCP := debug.Handler(backend, debug.Options{
		Actions: d.cfg.Debug.Token != "", Token: d.cfg.Debug.Token.Reveal(), Logger: d.logger, Version: version,
	})
	first := tcp
	address := tcp.Addr().String()
	listen := func() (net.Listener, error) {
		if l := first; l != nil {
			first = nil
			return l, nil
		}
		return debug.ListenTCP(address)
	}
	return rt.Supervise(ctx, endpoint("debug", debug.Serve(rt.System(), "root/debug", listen, onTCP, d.logger)))
}

// endpoint is how a server is supervised: whatever happens to it, the sessions go on.
func endpoint(id string, start func(context.Context) (actor.PID, error)) supervisor.ChildSpec {
	return supervisor.ChildSpec{
		ID: id, Start: start,
		Intensity: &supervisor.Intensity{MaxRestarts: 10, Within: time.Minute}, OnExhausted: supervisor.Fail,
		Backoff: &supervisor.Backoff{Initial: 200 * time.Millisecond, Max: 10 * time.Second},
	}
}

// greet says where things are and what to try next.
func (d *daemon) greet(version string) {
	names := "none yet"
	example := "NAME"
	for i, s := range d.cfg.Sessions {
		if i == 0 {
			names, example = s.Name, s.Name
		} else {
			names += ", " + s.Name
		}
	}
	page := "off (set debug.listen)"
	if d.cfg.Debug.Listen != "" {
		page = "http://" + d.cfg.Debug.Listen + "/debug/understudy/"
	}
	self := os.Args[0]
	where := ""
	if abs, err := filepath.Abs("data"); err != nil || abs != d.cfg.DataDir {
		where = " --data-dir " + d.cfg.DataDir
	}
	fmt.Fprintf(d.out, `
understudy is up: sessions %s; CLI %s

  debug page  %s
  socket      %s

  %s tree --watch%s
  %s send %s "Hello"%s
  %s ps%s

Ctrl-C ends everything.

`, names, version, page, d.socketPath(), self, where, self, example, where, self, where)
}

// wait runs until a signal or the tree's end.
func (d *daemon) wait(ctx context.Context, rt *understudy.Runtime, signals <-chan os.Signal) error {
	select {
	case <-rt.Done():
		if err := rt.Err(); err != nil {
			return fmt.Errorf("the runtime gave up: %w", err)
		}
		return nil
	case s := <-signals:
		d.logger.Info().Str("signal", s.String()).Msg("shutting down; a second signal kills at once")
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	go func() { // ends with the shutdown
		select {
		case <-signals:
			cancel()
		case <-stop.Done():
		}
	}()
	return rt.Shutdown(stop)
}
