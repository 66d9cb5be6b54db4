package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// The names of the endpoints in the tree.
const (
	socketEndpoint = "socket"
	tcpEndpoint    = "debug"
)

// endpoint is a place where the daemon listens. The first listener is opened before anything runs, so that an
// address in use is an error of the start; a supervisor that starts the endpoint again opens it anew.
type endpoint struct {
	id     string
	addr   net.Addr
	first  chan net.Listener // holds the first listener until it is taken
	reopen func() (net.Listener, error)
}

func newEndpoint(id string, open func() (net.Listener, error), reopen func(net.Addr) (net.Listener, error)) (*endpoint, error) {
	listener, err := open()
	if err != nil {
		return nil, err
	}
	e := &endpoint{id: id, addr: listener.Addr(), first: make(chan net.Listener, 1)}
	e.first <- listener
	e.reopen = func() (net.Listener, error) { return reopen(e.addr) }
	return e, nil
}

// listen opens the endpoints of the configuration.
func (d *daemon) listen() ([]*endpoint, error) {
	var all []*endpoint
	add := func(e *endpoint, err error) error {
		if err != nil {
			return errors.Join(err, closeAll(all))
		}
		all = append(all, e)
		return nil
	}
	path := d.socketPath()
	onSocket := func() (net.Listener, error) { return debug.ListenUnix(path) }
	if err := add(newEndpoint(socketEndpoint, onSocket, func(net.Addr) (net.Listener, error) { return onSocket() })); err != nil {
		return nil, err
	}
	if d.cfg.Debug.Listen == "" {
		return all, nil
	}
	if err := d.makeToken(); err != nil {
		return nil, errors.Join(err, closeAll(all))
	}
	// Port 0 is any, the first time; afterwards it is the one that people know.
	onTCP := func() (net.Listener, error) { return debug.ListenTCP(d.cfg.Debug.Listen) }
	again := func(addr net.Addr) (net.Listener, error) { return debug.ListenTCP(addr.String()) }
	if err := add(newEndpoint(tcpEndpoint, onTCP, again)); err != nil {
		return nil, err
	}
	return all, nil
}

// tokenName is the file in the data directory that has the endpoint's token, if the configuration has none.
const tokenName = "debug.token"

// makeToken sees to it that the TCP endpoint has a token: the configuration's, or a new one at each start, which only this user
// can read.
func (d *daemon) makeToken() error {
	if d.token = d.cfg.Debug.Token; d.token != "" {
		return nil
	}
	if path := d.cfg.Debug.TokenFile; path != "" {
		token, err := readToken(path)
		if err != nil {
			return misconfigured(fmt.Errorf("token of the debug endpoint: %w", err))
		}
		d.cfg.Debug.Token = session.Secret(token)
		return nil
	}
	token := rand.Text() + rand.Text()
	path := filepath.Join(d.cfg.DataDir, tokenName)
	if err := os.MkdirAll(d.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("token of the debug endpoint: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // it may be a link, or open to others
		return fmt.Errorf("token of the debug endpoint: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("token of the debug endpoint: %w", err)
	}
	_, err = f.WriteString(token + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("token of the debug endpoint: %w", err)
	}
	d.token = session.Secret(token)
	return nil
}

// shortestToken is how long a token must be that somebody else has made: it can be guessed at without end.
const shortestToken = 16

// readToken reads a token from a file that nobody else may read.
func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s: not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("%s: others can read or change it (%04o); chmod 600 %s", path, info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	if len(token) < shortestToken || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("%s: expected one word of %d characters at least, such as `openssl rand -hex 32` makes", path, shortestToken)
	}
	return token, nil
}

func (d *daemon) socketPath() string {
	if d.socket != "" {
		return d.socket
	}
	return filepath.Join(d.cfg.DataDir, socketName)
}

// child is how an endpoint is supervised: whatever happens to it, the sessions go on. On the socket, which only
// this user can reach, it acts; on TCP it shows, and acts for those who have the token.
func (e *endpoint) child(rt *understudy.Runtime, d *daemon) supervisor.ChildSpec {
	options := debug.Options{Socket: true, Actions: true, Stranger: process.FromSession, Logger: d.logger, Version: version}
	options.Reload = d.reload
	options.Metrics = promhttp.HandlerFor(d.metrics.registry, promhttp.HandlerOpts{})
	if e.id == tcpEndpoint {
		options.Socket, options.Token = false, d.token.Reveal()
		options.RequireTokenForReads = !d.cfg.Debug.OpenReads // an agent's tools reach loopback, too
	}
	backend := rt.Backend(func(name string, pairs []string) (session.Options, error) {
		o, err := d.live.Load().ParseSession(name, pairs)
		return prepared(d.cfg, o), err
	})
	return supervisor.ChildSpec{
		ID:        e.id,
		Start:     debug.Serve(rt.System(), "root/"+e.id, e.listener, debug.Handler(backend, options), d.logger),
		Intensity: &supervisor.Intensity{MaxRestarts: 10, Within: time.Minute}, OnExhausted: supervisor.Fail,
		Backoff: &supervisor.Backoff{Initial: 200 * time.Millisecond, Max: 10 * time.Second},
	}
}

// listener is the first one, or a new one if that was taken.
func (e *endpoint) listener() (net.Listener, error) {
	select {
	case l := <-e.first:
		return l, nil
	default:
		return e.reopen()
	}
}

// closeAll closes the listeners that nobody has taken.
func closeAll(endpoints []*endpoint) error {
	var problems []error
	for _, e := range endpoints {
		select {
		case l := <-e.first:
			problems = append(problems, l.Close())
		default:
		}
	}
	return errors.Join(problems...)
}
