package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// exitOf is the exit code that an error ends the program with.
func exitOf(err error) int {
	if exit, ok := errors.AsType[*exitCodeError](err); ok {
		return exit.code
	}
	return codeOf(err)
}

func TestExitCodes(t *testing.T) {
	_, invalid := understudy.Start(t.Context(), understudy.Options{Sessions: []understudy.SessionSpec{{Name: "a"}, {Name: "a"}}})
	require.Error(t, invalid)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, inUse := debug.ListenTCP(taken.Addr().String())
	_, noAddress := debug.ListenTCP("127.0.0.1")
	_, tooLong := debug.ListenUnix("/" + strings.Repeat("a", 200))
	_, notFound := process.Version(t.Context(), "/nowhere/claude", nil)
	file := func(err error) error {
		return fmt.Errorf("read key: %w", &fs.PathError{Op: "open", Path: "key", Err: err})
	}
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"anything":             {errors.New("anything"), exitError},
		"no daemon":            {debug.ErrNoDaemon, exitNoDaemon},
		"no session":           {&debug.Error{Code: debug.NoSuchSession}, exitNoSession},
		"no session, advised":  {&adviceError{&debug.Error{Code: debug.NoSuchSession}, "there is none"}, exitNoSession},
		"an error result":      {&debug.Error{Code: debug.ErrorResult}, exitResult},
		"a crash":              {&debug.Error{Code: debug.Crashed}, exitError},
		"a refused option":     {&debug.Error{Code: debug.BadRequest}, exitUsage},
		"a state":              {&debug.Error{Code: debug.Conflict}, exitError},
		"options":              {errors.Join(invalid, errors.New("and another")), exitUsage},
		"no address":           {noAddress, exitUsage},
		"a socket's path":      {tooLong, exitUsage},
		"a file that is not":   {misconfigured(file(fs.ErrNotExist)), exitUsage},
		"a file that is shut":  {misconfigured(file(syscall.EACCES)), exitUsage},
		"a directory":          {misconfigured(file(syscall.EISDIR)), exitUsage},
		"what is in a file":    {misconfigured(errors.New("malformed key")), exitUsage},
		"said, a mistake":      {said(misconfigured(errors.New("malformed"))), exitUsage},
		"the disk of a file":   {misconfigured(file(syscall.EIO)), exitError},
		"said, the disk":       {said(misconfigured(file(syscall.EIO))), exitError},
		"no descriptors":       {misconfigured(file(syscall.EMFILE)), exitError},
		"address in use":       {inUse, exitError},
		"a name, no network":   {&debug.ListenError{Err: &net.DNSError{Err: "no such host", Name: "box"}}, exitError},
		"data directory taken": {fmt.Errorf("%w: by another", understudy.ErrDataDirInUse), exitError},
		"no CLI":               {notFound, exitError},
		"a full disk":          {fmt.Errorf("audit log: %w", file(syscall.ENOSPC)), exitError},
	} {
		require.Error(t, c.err, name)
		assert.Equal(t, c.want, exitOf(c.err), "%s: %v", name, c.err)
	}
}

// Every command says of arguments and flags that it does not know what it takes, with the exit code of a mistake.
func TestEveryCommandRefusesWhatItDoesNotTake(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visited := 0
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
		if !cmd.Runnable() || cmd.DisableFlagParsing { // simulate has the CLI's manners
			return
		}
		visited++
		path := strings.Fields(cmd.CommandPath())[1:]
		for _, wrong := range [][]string{{"a", "a", "a", "a", "a"}, {"--no-such-flag"}, {"--socket"}} {
			var stdout, stderr strings.Builder
			args := append(append([]string{}, path...), wrong...)
			assert.Equal(t, exitUsage, run(context.Background(), args, strings.NewReader(""), &stdout, &stderr), "%q: %s", args, &stderr)
			assert.Empty(t, stdout.String(), "%q", args)
			assert.Contains(t, stderr.String(), "understudy:", "%q", args)
		}
	}
	visit(newRoot())
	assert.Greater(t, visited, 30)
	assert.Equal(t, exitDone, run(context.Background(), []string{"--help"}, nil, io.Discard, io.Discard))
}
