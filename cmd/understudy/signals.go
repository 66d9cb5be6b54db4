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
// A hangup is such a signal if the daemon's terminal is gone, since a closed window must not leave agents at work; otherwise it
// is passed on to hangups, and means to read the configuration again. Whoever starts the daemon may have it ignored, as nohup
// does. SIGPIPE is taken and dropped: a daemon whose log nobody reads any more goes on with its work. (It is not ignored, since the
// sessions' tools would inherit that.)
func signalled(parent context.Context, drained <-chan struct{}, hangups chan<- struct{}) (stop, hurry, kill context.Context, release func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	terminal := hasTerminal()
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
			if s == syscall.SIGHUP && (!terminal || hasTerminal()) {
				select {
				case hangups <- struct{}{}:
				default: // one waits already, and will see what is in the file by then
				}
				continue
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

// hasTerminal reports whether the program belongs to a terminal that is there.
func hasTerminal() bool {
	f, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	_ = f.Close() // nothing was written
	return true
}
