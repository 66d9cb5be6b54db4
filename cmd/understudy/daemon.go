package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/config"
	"github.com/understudy-run/understudy/config/lint"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// daemon is `understudy up`.
type daemon struct {
	cfg    *config.Config                // that the program was started with
	live   atomic.Pointer[config.Config] // what of it can change, as of the last reload
	socket string                        // as --socket says; empty for the one in the data directory
	logger zerolog.Logger
	out    io.Writer

	dataDir  string // that --data-dir gives in place of the file's; empty: none
	profile  string // of the checklist that the configuration has to pass; empty: none
	rt       *understudy.Runtime
	systemd  *notifier
	token    session.Secret // of the TCP endpoint
	metrics  *meters
	findings []lint.Finding // of the checklist, for the audit log
}

// shutdownMargin is how long everything but the sessions may take to end.
const shutdownMargin = 20 * time.Second

func (d *daemon) run(ctx context.Context) error {
	unix.Umask(0o077) // what sessions and the log make is this user's alone
	relax(os.Getenv)
	drained := make(chan struct{})
	hangups := make(chan struct{}, 1)
	stop, hurry, kill, release := signalled(ctx, drained, hangups)
	defer release()
	systemd, err := newNotifier(os.Getenv, d.logger)
	if err != nil {
		return err
	}
	d.systemd = systemd
	d.live.Store(d.cfg)
	// Last of all: this process is the parent of whatever a tool has left behind, and knows no other children.
	defer func() {
		if swept := process.SweepOrphans(); len(swept.Killed) > 0 {
			d.logger.Warn().Int("processes", len(swept.Killed)).Msg("ended what tools had left running")
		}
	}()
	rt, err := d.start(stop)
	if stop.Err() != nil && rt == nil {
		d.logger.Info().AnErr("reason", context.Cause(stop)).AnErr("error", err).Msg("stopped before it was up")
		return nil
	}
	if err != nil {
		return err
	}
	systemd.ready(fmt.Sprintf("%d sessions", len(rt.Sessions())))
	watching, unwatch := context.WithCancel(kill)
	defer unwatch()
	go systemd.watch(watching, func(ctx context.Context) error { // ends with the daemon
		_, err := rt.Tree(ctx)
		return err
	})
	go d.onHangups(stop, hangups) // ends with stop
	select {
	case <-rt.Done():
		if err := rt.Err(); err != nil {
			return fmt.Errorf("the runtime gave up: %w", err)
		}
		return nil
	case <-stop.Done():
	}
	limit, limited := d.patience()
	systemd.stopping(d.live.Load().DrainTimeout+limit, limited)
	d.drain(hurry, context.Cause(stop), rt)
	close(drained)
	return d.shutdown(kill, rt)
}

// start brings everything up and says so. If it fails, nothing stays behind.
func (d *daemon) start(ctx context.Context) (*understudy.Runtime, error) {
	cli, err := program(d.cfg)
	if err != nil {
		return nil, err
	}
	version, err := process.Version(ctx, cli.Path, cli.Args)
	if err != nil {
		return nil, err
	}
	if version != testedVersion {
		d.logger.Warn().Str("cli", version).Str("tested", testedVersion).Msg("this CLI version was not tested")
	}
	recorded, err := d.auditOptions()
	if err != nil {
		return nil, err
	}
	// This process exists to run sessions, so orphans of theirs may become its own.
	if err := process.BecomeSubreaper(); err != nil {
		d.logger.Warn().Err(err).Msg("tools that hide well may survive their session")
	}
	// It holds the keys of all sessions, and may have been given them in its environment.
	if err := process.Conceal(); err != nil {
		d.logger.Warn().Err(err).Msg("other processes of this user may read the keys")
	}
	abort()
	if needsGroups(d.cfg) {
		if err := process.DelegateCgroup(); err != nil {
			d.logger.Warn().Err(err).Msg("sessions with limits may be refused")
		}
	}
	// Listening first: an address in use must not be found out with sessions running.
	endpoints, err := d.listen()
	if err != nil {
		return nil, err
	}
	d.metrics = newMeters()
	options := d.options(cli)
	options.Audit = recorded
	options.Audit.Redact = append(options.Audit.Redact, d.cfg.Debug.Token.Reveal()) // which may be a new one
	rt, err := understudy.Start(ctx, options)
	if err != nil {
		return nil, errors.Join(err, closeAll(endpoints))
	}
	d.rt = rt
	if trail := rt.Audit(); trail != nil && d.token != "" {
		trail.Redact(d.token.Reveal()) // it may have been made just now
	}
	d.metrics.Watch(rt)
	d.metrics.Loaded(true, time.Now())
	d.recordFindings(d.findings)
	for _, e := range endpoints {
		if err := rt.Supervise(ctx, e.child(rt, d)); err != nil {
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownMargin)
			defer cancel()
			return nil, errors.Join(err, closeAll(endpoints), rt.Shutdown(limited))
		}
	}
	d.greet(version, endpoints)
	return rt, nil
}

// recordFindings puts what the checklist has to say into the audit log.
func (d *daemon) recordFindings(findings []lint.Finding) {
	for _, f := range findings {
		d.rt.RecordLint(audit.Lint{
			Rule: f.Rule, Severity: string(f.Severity), Message: f.Message, Where: fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Col), Session: f.Session, Accepted: f.Ignored,
		})
	}
}

// needsGroups reports whether a session of the file, or one that is spawned from its defaults and templates, has limits or
// asks for a control group.
func needsGroups(c *config.Config) bool {
	all := []session.Options{c.Defaults}
	for _, s := range c.AllSessions() {
		all = append(all, s.Options)
	}
	for _, t := range c.Templates {
		all = append(all, t.Options)
	}
	for _, p := range c.Pools {
		all = append(all, p.Options)
	}
	return slices.ContainsFunc(all, func(o session.Options) bool {
		return !o.Limits.IsZero() || slices.Contains(o.Containment.Require, process.LayerCgroup)
	})
}

func (d *daemon) options(cli session.CLI) understudy.Options {
	o := understudy.Options{
		DataDir: d.cfg.DataDir, CLI: cli, Logger: d.logger, OnEvent: d.metrics.OnEvent, OnMoment: d.metrics.OnMoment,
		Configuration: understudy.Configuration{Path: d.cfg.Path, SHA256: d.cfg.SHA256},
		Supervisor: understudy.SupervisorOptions{
			Strategy: d.cfg.Supervisor.Strategy, Intensity: new(d.cfg.Supervisor.Intensity()), Backoff: &d.cfg.Supervisor.Backoff,
		},
		Sessions: d.sessions(d.cfg.Sessions),
		Groups:   d.groups(d.cfg.Supervisors),
	}
	o.Pools, o.Budgets, o.Limits = d.pools(d.cfg.Pools), budgets(d.cfg), limits(d.cfg)
	o.Respawn = d.respawn
	o.Warm = d.warm(d.cfg)
	return o
}

func limits(cfg *config.Config) session.Limits {
	l := cfg.Limits
	return session.Limits{
		MaxProcesses: l.MaxProcesses, MaxBusy: l.MaxBusy, MaxStarting: l.MaxStarting, StartsPerMinute: l.StartsPerMinute, StartBurst: l.StartBurst,
	}
}

func budgets(cfg *config.Config) []session.BudgetSpec {
	var out []session.BudgetSpec
	for _, b := range cfg.Budgets {
		out = append(out, session.BudgetSpec{Name: b.Name, LimitUSD: b.LimitUSD, Per: b.Per})
	}
	return out
}

func (d *daemon) pools(all []config.Pool) []understudy.PoolSpec {
	var out []understudy.PoolSpec
	for _, p := range all {
		out = append(out, understudy.PoolSpec{
			Name: p.Name, Options: prepared(d.cfg, p.Options), Min: p.Min, Max: p.Max, MaxQueue: p.MaxQueue, IdleTimeout: p.IdleTimeout,
		})
	}
	return out
}

// respawn completes the options of a session that was spawned by an earlier daemon: what was not kept of them is the file's,
// from where it came.
func (d *daemon) respawn(_ string, o session.Options) (session.Options, error) {
	o.APIKey = d.cfg.Defaults.APIKey
	env := maps.Clone(d.cfg.Defaults.Env)
	for name := range env {
		if !process.SecretName(name) {
			delete(env, name)
		}
	}
	if env != nil {
		maps.Copy(env, o.Env)
		o.Env = env
	}
	return o, nil
}

// warm are the processes that wait for sessions of a configuration's templates.
func (d *daemon) warm(cfg *config.Config) []understudy.WarmSpec {
	var out []understudy.WarmSpec
	for _, t := range cfg.Templates {
		out = append(out, understudy.WarmSpec{Template: t.Name, Options: prepared(d.cfg, t.Options), Count: t.Warm})
	}
	return out
}

func (d *daemon) sessions(all []config.Session) []understudy.SessionSpec {
	var out []understudy.SessionSpec
	for _, s := range all {
		out = append(out, understudy.SessionSpec{Name: s.Name, Options: prepared(d.cfg, s.Options)})
	}
	return out
}

func (d *daemon) groups(all []config.Group) []understudy.Group {
	var out []understudy.Group
	for _, g := range all {
		out = append(out, understudy.Group{
			Name: g.Name, Strategy: g.Strategy, Intensity: new(g.Intensity()), Backoff: &g.Backoff,
			Sessions: d.sessions(g.Sessions), Groups: d.groups(g.Supervisors),
		})
	}
	return out
}

// drain lets the turns that run come to their end, for as long as they may or until hurry ends.
func (d *daemon) drain(hurry context.Context, reason error, rt *understudy.Runtime) {
	patience := d.live.Load().DrainTimeout
	if patience <= 0 {
		d.logger.Info().AnErr("reason", reason).Msg("shutting down; a second signal kills at once")
		return
	}
	d.logger.Info().AnErr("reason", reason).Dur("drain_timeout", patience).
		Msg("shutting down: no more queries; turns that run may end. A second signal interrupts them, a third kills at once")
	ctx, cancel := context.WithTimeout(hurry, patience)
	defer cancel()
	if err := rt.Drain(ctx); err != nil {
		d.logger.Warn().Err(err).Msg("turns that still run are interrupted")
	}
}

// shutdown ends everything in order, until the kill context ends or a session takes longer than it may.
func (d *daemon) shutdown(kill context.Context, rt *understudy.Runtime) error {
	ctx, cancel := kill, context.CancelFunc(func() {})
	limit, limited := d.patience()
	if limited {
		ctx, cancel = context.WithTimeout(kill, limit)
	}
	defer cancel()
	err := rt.Shutdown(ctx)
	switch {
	case err == nil:
		return nil
	case kill.Err() != nil:
		return errKilled
	case ctx.Err() != nil:
		return fmt.Errorf("shutdown took longer than %v: what was left was killed", limit)
	}
	return err
}

// patience is how long a shutdown may take. Sessions end at the same time, each within its own limit, and those of
// a group one after the other; this is for the case that something does not keep to it. There is none if a session
// may take for ever.
func (d *daemon) patience() (time.Duration, bool) {
	cfg := d.live.Load()
	longest, limited := cfg.Defaults.Shutdown.Grace() // of what is spawned, most likely
	var sum time.Duration
	wait := func(grace time.Duration, ok bool) {
		longest, sum, limited = max(longest, grace), sum+grace, limited && ok
	}
	for _, s := range cfg.Sessions {
		wait(s.Options.Shutdown.Grace())
	}
	for _, t := range cfg.Templates {
		wait(t.Options.Shutdown.Grace())
	}
	for _, p := range cfg.Pools {
		wait(p.Options.Shutdown.Grace())
	}
	for _, g := range cfg.Supervisors {
		wait(together(g))
	}
	if d.cfg.Supervisor.Strategy != supervisor.OneForOne { // then all end one after the other
		longest += sum
	}
	return longest + shutdownMargin, limited
}

// together is how long a group may take to end.
func together(g config.Group) (total time.Duration, limited bool) {
	limited = true
	add := func(grace time.Duration, ok bool) { total, limited = total+grace, limited && ok }
	for _, s := range g.Sessions {
		add(s.Options.Shutdown.Grace())
	}
	for _, below := range g.Supervisors {
		add(together(below))
	}
	return total, limited
}

// greet says where things are and what to try next.
func (d *daemon) greet(version string, endpoints []*endpoint) {
	names, example := "none yet", "NAME"
	if all := asked(d.cfg); len(all) > 0 {
		names, example = strings.Join(all, ", "), all[0]
	}
	page, socket := "off (set debug.listen)", ""
	for _, e := range endpoints {
		if e.id == tcpEndpoint {
			page = "http://" + browsable(e.addr) + debug.Path
			if _, err := os.Stat(filepath.Join(d.cfg.DataDir, tokenName)); err == nil && !d.cfg.Debug.OpenReads {
				page += "  (password: " + filepath.Join(d.cfg.DataDir, tokenName) + ")"
			}
		} else {
			socket = e.addr.String()
		}
	}
	self, where := shellWord(os.Args[0]), ""
	if d.socket != "" {
		where = " --socket " + shellWord(d.socket)
	} else if here, err := filepath.Abs("data"); err != nil || here != d.cfg.DataDir {
		where = " --data-dir " + shellWord(d.cfg.DataDir)
	}
	// Nobody may be reading; the daemon works all the same.
	_, _ = fmt.Fprintf(d.out, `
understudy is up: sessions %s; CLI %s

  debug page  %s
  socket      %s

  %s tree --watch%s
  %s send %s "Hello"%s
  %s ps%s

Ctrl-C ends everything.

`, names, version, page, socket, self, where, self, example, where, self, where)
}

// asked are the names that take prompts: those of sessions and pools.
func asked(cfg *config.Config) []string {
	var names []string
	for _, s := range cfg.AllSessions() {
		names = append(names, s.Name)
	}
	for _, p := range cfg.Pools {
		names = append(names, p.Name)
	}
	return names
}

// browsable is an address for the address bar of a browser on this machine.
func browsable(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("localhost:%d", tcp.Port)
	}
	return addr.String()
}
