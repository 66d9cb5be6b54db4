// Command understudy runs supervised Claude Code sessions, and talks to the daemon that does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// The exit codes of every command.
const (
	exitDone      = 0
	exitError     = 1
	exitUsage     = 2 // a mistake in the command line or the configuration, or a failed check: the same again gives the same
	exitResult    = 3 // the session answered with an error result
	exitNoSession = 4
	exitNoDaemon  = 5
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes one command and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var exit *exitCodeError
	if errors.As(err, &exit) {
		if exit.err != nil {
			fmt.Fprintln(stderr, "understudy:", exit.err)
		}
		return exit.code
	}
	fmt.Fprintln(stderr, "understudy:", err)
	return codeOf(err)
}

// exitCodeError is an error that says with which code to exit. A nil err prints nothing.
type exitCodeError struct {
	code int
	err  error
}

func (e *exitCodeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitCodeError) Unwrap() error { return e.err }
