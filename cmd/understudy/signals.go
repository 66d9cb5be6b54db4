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

// signalled gives three contexts: stop ends with the first signal that asks the daemon to end, hurry with the next one as
// long as drained is open, and kill with the one after that. release gives the signals back.
//
// A hangup is such a signal, unless whoever started the daemon has it ignored, as nohup does. SIGPIPE is taken
// and dropped: a daemon whose log nobody reads any more goes on with its work. (It is not ignored, since the
// sessions' tools would inherit that.)
func signalled(parent context.Context, drained <-chan struct{}) (stop, hurry, kill context.Context, release func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)

	kill, cancelKill := context.WithCancelCause(parent)
	hurry, cancelHurry := context.WithCancelCause(kill)
	stop, cancelStop := context.WithCancelCause(hurry)
	go func() { // ends with release, or with the signal that kills
		for {
			var s os.Signal
			select {
			case s = <-signals:
			case <-kill.Done():
				return
			}
			over := false
			select {
			case <-drained:
				over = true
			default:
			}
			switch {
			case stop.Err() == nil:
				cancelStop(signalError{s})
			case hurry.Err() == nil && !over:
				cancelHurry(signalError{s})
			default:
				cancelKill(signalError{s})
			}
		}
	}()
	return stop, hurry, kill, func() {
		signal.Stop(signals)
		signal.Stop(pipes)
		cancelKill(context.Canceled)
	}
}
