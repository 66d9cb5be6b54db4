package remote

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/understudy-run/understudy/audit"
)

// localSyslog are where a machine's own syslog listens.
var localSyslog = []string{"/dev/log", "/var/run/syslog", "/var/run/log"}

// SyslogAnchor writes each checkpoint into syslog as one message (RFC 5424, facility authpriv, severity notice), from which
// audit verify --checkpoint reads it: any file with such lines will do. The address is local for the machine's own, or
// udp://HOST:514, tcp://HOST:601, or unix:///PATH. Over UDP and to the machine's own, nobody says whether it was kept.
func SyslogAnchor(address string) (audit.Anchor, error) {
	dial, stream, err := syslogDialer(address)
	if err != nil {
		return audit.Anchor{}, err
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "-"
	}
	return audit.Anchor{Name: "syslog " + address, Publish: func(ctx context.Context, checkpoint []byte) error {
		ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
		conn, err := dial(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }() // what was written is on its way
		// One that does not read makes the write wait.
		defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
		const priority = 10*8 + 5 // authpriv.notice
		message := fmt.Sprintf("<%d>1 %s %s understudy %d checkpoint - %s",
			priority, time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"), host, os.Getpid(), audit.CheckpointLine(checkpoint))
		if stream { // RFC 6587: octet counting
			message = fmt.Sprintf("%d %s", len(message), message)
		}
		if _, err = conn.Write([]byte(message)); err != nil && ctx.Err() != nil {
			return fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
		return err
	}}, nil
}

// syslogDialer reads an address.
func syslogDialer(address string) (dial func(context.Context) (net.Conn, error), stream bool, err error) {
	to := func(network, host string) func(context.Context) (net.Conn, error) {
		return func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, network, host) }
	}
	if address == "local" {
		return func(ctx context.Context) (conn net.Conn, err error) {
			for _, path := range localSyslog {
				if conn, err = to("unixgram", path)(ctx); err == nil {
					return conn, nil
				}
			}
			return nil, fmt.Errorf("no syslog on this machine: %w", err)
		}, false, nil
	}
	u, err := url.Parse(address)
	if err == nil && u.Scheme == "unix" && u.Host == "" && u.Path != "" {
		return to("unixgram", u.Path), false, nil
	}
	if err == nil && (u.Scheme == "udp" || u.Scheme == "tcp") && u.Port() != "" && u.Path == "" {
		return to(u.Scheme, u.Host), u.Scheme == "tcp", nil
	}
	return nil, false, fmt.Errorf("syslog %.60q: expected local, udp://HOST:514, tcp://HOST:601 or unix:///PATH", address)
}
