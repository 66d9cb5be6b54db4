package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

// notifier tells a service manager how the daemon is, in the protocol of sd_notify(3): one datagram a message. Without a
// NOTIFY_SOCKET nobody listens, and it does nothing.
type notifier struct {
	addr   string
	every  time.Duration // between two signs of life that are wanted; 0: none
	logger zerolog.Logger
}

func newNotifier(env func(string) string, logger zerolog.Logger) (*notifier, error) {
	n := &notifier{addr: env("NOTIFY_SOCKET"), logger: logger}
	if n.addr == "" {
		return n, nil
	}
	if !strings.HasPrefix(n.addr, "/") && !strings.HasPrefix(n.addr, "@") {
		return nil, usageError(fmt.Errorf("NOTIFY_SOCKET %q: expected the path of a unix socket, or @ and a name", n.addr))
	}
	if text := env("WATCHDOG_USEC"); text != "" {
		usec, err := strconv.ParseInt(text, 10, 64)
		if err != nil || usec <= 0 {
			return nil, usageError(fmt.Errorf("WATCHDOG_USEC %q: expected a number of microseconds", text))
		}
		n.every = time.Duration(usec) * time.Microsecond / 2
	}
	return n, nil
}

func (n *notifier) tell(lines ...string) {
	if n.addr == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.addr, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(strings.Join(lines, "\n")))
		_ = conn.Close() // it was sent, or err says that it was not
	}
	if err != nil {
		n.logger.Warn().Err(err).Msg("the service manager could not be told")
	}
}

// ready says that the daemon serves.
func (n *notifier) ready(status string) { n.tell("READY=1", "STATUS="+status) }

// reloading says that the configuration is being read again; ready follows.
func (n *notifier) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		n.logger.Warn().Err(err).Msg("the service manager could not be told of the reload")
		return
	}
	n.tell("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

// stopping says that it is ending, and how long that may take.
func (n *notifier) stopping(limit time.Duration, limited bool) {
	lines := []string{"STOPPING=1", "STATUS=draining"}
	if limited {
		lines = append(lines, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", limit.Microseconds()))
	}
	n.tell(lines...)
}

// watch gives a sign of life as often as is wanted, as long as alive says that there is life, until ctx ends. A daemon whose
// supervisor does not answer gives none, and the service manager starts it again.
func (n *notifier) watch(ctx context.Context, alive func(context.Context) error) {
	if n.every == 0 {
		return
	}
	tick := time.NewTicker(n.every)
	defer tick.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, n.every)
		err := alive(limited)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			n.logger.Error().Err(err).Msg("the tree does not answer: no sign of life to the service manager")
		default:
			n.tell("WATCHDOG=1")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
