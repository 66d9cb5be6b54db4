package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// signalError is the cause of a context that a signal has ended.
type signalError struct{ os.Signal }

func (e signalError) Error() string { return fmt.Sprintf("signal: %v", e.Signal) }

// signalled gives two contexts: stop ends with the first signal that asks the daemon to end, and kill with the
// second. release gives the signals back.
//
// A hangup is such a signal, unless whoever started the daemon has it ignored, as nohup does. SIGPIPE is taken
// and dropped: a daemon whose log nobody reads any more goes on with its work. (It is not ignored, since the
// sessions' tools would inherit that.)
func signalled(parent context.Context) (stop, kill context.Context, release func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)

	kill, cancelKill := context.WithCancelCause(parent)
	stop, cancelStop := context.WithCancelCause(kill)
	go func() { // ends with release, or with the second signal
		for _, cancel := range []context.CancelCauseFunc{cancelStop, cancelKill} {
			select {
			case s := <-signals:
				cancel(signalError{s})
			case <-kill.Done():
				return
			}
		}
	}()
	return stop, kill, func() {
		signal.Stop(signals)
		signal.Stop(pipes)
		cancelKill(context.Canceled)
	}
}
