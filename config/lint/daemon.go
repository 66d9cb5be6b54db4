package lint

import (
	"net"
	"net/netip"
	"strings"

	"github.com/understudy-run/understudy/config"
	"github.com/understudy-run/understudy/supervisor"
)

func auditOn(l *look) {
	if l.cfg.Audit.Mode != config.AuditRequired {
		l.at("audit.mode", "a tool runs although its record cannot be written")
	}
}

func supervised(l *look) {
	if l.cfg.Supervisor.MaxRestarts == 0 {
		l.milder(Warning, "restart", "supervisor.max_restarts is 0: the first crash parks it")
	}
	if l.o.Restart == supervisor.Temporary && l.owner.Kind == "session" {
		l.at("restart", "temporary: it is never started again")
	}
}

func cliPinned(l *look) {
	cli := l.cfg.CLI.Path
	switch {
	case cli == "simulated":
		l.at("cli.path", "the simulation is no Claude Code")
	case !strings.Contains(cli, "/"):
		l.at("cli.path", "%s is whatever PATH leads to", cli)
	case l.host.Mode != nil:
		if perm, uid, ok := l.host.Mode(cli); ok && (perm&0o022 != 0 || uid == l.host.UID && perm&0o200 != 0) {
			l.at("cli.path", "%s can be changed by the user that runs the sessions, or by others", cli)
		}
	}
	for _, o := range l.all {
		if v, ok := o.Options.Env["DISABLE_AUTOUPDATER"]; ok && v != "1" {
			l.at("cli.path", "%s lets the CLI update itself", o.Name)
		}
	}
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func endpoint(l *look) {
	d := l.cfg.Debug
	if d.Listen == "" {
		return
	}
	if host, _, err := net.SplitHostPort(d.Listen); err == nil && !loopback(host) {
		l.at("debug.listen", "%s can be reached from other machines, without TLS", d.Listen)
	}
	if d.OpenReads {
		l.at("debug.open_reads", "every program of this machine can read, an agent's tools included")
	}
}

func auditPlace(l *look) {
	for _, o := range l.all {
		for _, dir := range append([]string{o.Options.CWD}, o.Options.AddDir...) {
			if dir != "" && contains(dir, l.cfg.Audit.Dir) {
				l.at("audit.dir", "the audit log is in a directory of %s", o.Name)
			}
			if dir != "" && contains(dir, l.cfg.DataDir) {
				l.at("data_dir", "the state is in a directory of %s", o.Name)
			}
		}
	}
	if len(l.cfg.Audit.Anchors) == 0 {
		l.milder(Info, "audit.anchors", "checkpoints are kept nowhere else: who has this machine can write the log anew")
	}
}

func retention(l *look) {
	if l.cfg.Audit.KeepAge == 0 && l.cfg.Audit.KeepSize == 0 {
		l.at("audit", "the audit log is kept for ever")
	}
}
