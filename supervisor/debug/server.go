package debug

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/understudy-run/understudy/actor"
)

// The limits of NewServer. Handlers that take longer lift them for themselves. The time for the answer
// begins with that for the body, and is longer so that a client can be told that it was too slow.
const (
	headerTimeout  = 5 * time.Second
	bodyTimeout    = 30 * time.Second
	answerTimeout  = 60 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// shutdownGrace is how long requests may go on when a server is asked to stop.
const shutdownGrace = 2 * time.Second

// NewServer returns a server with limits on what a client may send and how long it may take. Its error
// log is silent; set another if you want one. When it is shut down, event streams and followed logs of a
// Handler end at once.
func NewServer(h http.Handler) *http.Server {
	closing := make(chan struct{})
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: log.New(io.Discard, "", 0),
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.Background(), closingKey{}, closing)
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if peer := peerOf(c); peer.name != "" {
				return context.WithValue(ctx, peerKey{}, peer)
			}
			return ctx
		},
	}
	s.RegisterOnShutdown(sync.OnceFunc(func() { close(closing) }))
	return s
}

// Serve gives the Start function of a supervisor.ChildSpec whose child is an HTTP server.
//
// Each start calls listen, whose error fails the start, and spawns an actor with that name that owns the
// listener and a NewServer with h. It is ready when it is listening. Asked to stop, it lets requests go on
// for two seconds, then cuts them off; event streams and followed logs end at once. If the listener fails
// the actor ends with that error. The logger gets what net/http has to say, at warn level.
func Serve(system *actor.System, name string, listen func() (net.Listener, error), h http.Handler, logger zerolog.Logger) func(context.Context) (actor.PID, error) {
	var before atomic.Pointer[chan struct{}] // closed when the one before has let go of its listener
	return func(ctx context.Context) (actor.PID, error) {
		if closed := before.Load(); closed != nil {
			select { // after a kill it comes a moment after the actor's end, and its address would be in use
			case <-*closed:
			case <-ctx.Done():
				return actor.PID{}, fmt.Errorf("wait for the listener of the server before: %w", context.Cause(ctx))
			}
		}
		listener, err := listen()
		if err != nil {
			return actor.PID{}, err
		}
		server := NewServer(h)
		server.ErrorLog = log.New(warnings{logger}, "", 0)
		ref, err := actor.Spawn(system, actor.Spec{Name: name}, &serving{server: server, listener: listener})
		if err != nil {
			return actor.PID{}, errors.Join(err, listener.Close())
		}
		closed := make(chan struct{})
		before.Store(&closed)
		go func() { // ends when the actor has ended
			defer close(closed)
			<-ref.Done()
			// It may have ended before it began, or been killed. Both have been closed otherwise, and say so.
			_ = server.Close()
			_ = listener.Close()
		}()
		return ref.PID, nil
	}
}

//sumtype:decl
type servingMessage interface{ isServingMessage() }

type (
	served   struct{ err error }    // Serve has returned
	shutDown struct{ reason error } // requests have ended or were cut off
)

func (served) isServingMessage()   {}
func (shutDown) isServingMessage() {}

// serving is the actor that owns a server.
type serving struct {
	server   *http.Server
	listener net.Listener
}

func (s *serving) Started(c *actor.Context[servingMessage]) error {
	c.Go("serve", func(ctx context.Context) servingMessage {
		defer context.AfterFunc(ctx, func() { _ = s.server.Close() })() // makes Serve return
		return served{s.server.Serve(s.listener)}
	})
	return nil
}

// Exiting begins the stop.
func (s *serving) Exiting(c *actor.Context[servingMessage], reason error) {
	c.Go("shut down", func(ctx context.Context) servingMessage {
		ctx, cancel := context.WithTimeout(ctx, shutdownGrace)
		defer cancel()
		if s.server.Shutdown(ctx) != nil {
			_ = s.server.Close() // what it says of the listener does not matter any more
		}
		return shutDown{reason}
	})
}

// Receive handles the outcome of the server's goroutines.
func (s *serving) Receive(c *actor.Context[servingMessage], m servingMessage) {
	switch m := m.(type) {
	case served:
		if !errors.Is(m.err, http.ErrServerClosed) {
			c.Exit(fmt.Errorf("serve on %s: %w", s.listener.Addr(), m.err))
		}
	case shutDown:
		c.Exit(m.reason)
	}
}

// warnings is where a server's error log goes.
type warnings struct{ logger zerolog.Logger }

func (w warnings) Write(p []byte) (int, error) {
	w.logger.Warn().Str("text", cut(string(p), 500)).Msg("http server")
	return len(p), nil
}
