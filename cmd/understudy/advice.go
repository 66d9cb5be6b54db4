package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// maxNamed is how many sessions a message names.
const maxNamed = 12

// adviceError is a daemon's refusal with what can be done about it.
type adviceError struct {
	err    error
	advice string
}

func (e *adviceError) Error() string { return e.err.Error() + ": " + e.advice }

func (e *adviceError) Unwrap() error { return e.err }

// advised adds to what the daemon says about a session what its user can do: which sessions there are, or how to
// get this one going again. nil stays nil.
func advised(ctx context.Context, client *debug.Client, name string, err error) error {
	if err == nil {
		return nil
	}
	code := debug.CodeOf(err)
	if code != debug.NoSuchSession && code != debug.Unavailable || ctx.Err() != nil {
		return err
	}
	tree, failed := client.Tree(ctx)
	if failed != nil {
		return err // that it is gone was most likely said already
	}
	if code == debug.NoSuchSession {
		var names []string
		for _, s := range tree.Sessions() {
			names = append(names, s.Name)
		}
		return &adviceError{err, have(names)}
	}
	if node, ok := tree.Session(name); ok && (node.State == string(session.Stopped) || node.State == string(session.Failed)) {
		return &adviceError{err, fmt.Sprintf("`understudy restart %s` starts it again", name)}
	}
	return err
}

// have says which sessions there are.
func have(names []string) string {
	switch {
	case len(names) == 0:
		return "there are no sessions"
	case len(names) > maxNamed:
		return fmt.Sprintf("there are %s and %d others", strings.Join(names[:maxNamed], ", "), len(names)-maxNamed)
	case len(names) == 1:
		return "there is " + names[0]
	}
	return "there are " + strings.Join(names, ", ")
}

// completeSession lets a shell complete the name of a running daemon's session as the first argument.
func completeSession(at *place) cobra.CompletionFunc {
	names := sessionNames(at)
	return func(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(cmd, args, text)
	}
}

// sessionNames completes the names of the sessions that run.
func sessionNames(at *place) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		tree, err := at.client().Tree(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, s := range tree.Sessions() {
			names = append(names, s.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
