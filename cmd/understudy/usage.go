package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func usageError(err error) error { return &exitCodeError{exitUsage, err} }

// takes checks that a command has been given one argument for each name, and says which are expected otherwise.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return usageError(fmt.Errorf("%s takes no arguments, got %q: see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath()))
		}
		hint := ""
		if len(args) > len(names) && names[len(names)-1] == promptArgument {
			hint = " (a prompt of several words needs quotes)"
		}
		return usageError(fmt.Errorf("%s takes %s, got %s%s: see %s --help",
			cmd.CommandPath(), strings.Join(names, " and "), count(len(args), "argument"), hint, cmd.CommandPath()))
	}
}

// takesAtMost is takes for an argument that may be left out.
func takesAtMost(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usageError(fmt.Errorf("%s takes one %s at most, got %s: see %s --help", cmd.CommandPath(), name, count(len(args), "argument"), cmd.CommandPath()))
		}
		return nil
	}
}

// subcommand refuses what is not the name of a subcommand, and names those it may have been meant for.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usageError(fmt.Errorf("unknown command %q: did you mean %s?", args[0], alternatives(near)))
	}
	return usageError(fmt.Errorf("unknown command %q: see %s --help", args[0], cmd.CommandPath()))
}

// newHelp replaces cobra's command of that name, which exits with 0 when it does not know the topic.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 && found.HasSubCommands() {
				return subcommand(cmd.Root(), args)
			}
			if len(rest) > 0 {
				return usageError(fmt.Errorf("%s has no subcommands", found.CommandPath()))
			}
			found.InitDefaultHelpFlag() // else its line is missing
			return found.Help()
		},
	}
}

// badFlag says where the flags are listed.
func badFlag(cmd *cobra.Command, err error) error {
	return usageError(fmt.Errorf("%w: see %s --help", err, cmd.CommandPath()))
}

var errEmptyPrompt = errors.New("the prompt is empty")

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// alternatives is "a", "a or b", "a, b or c".
func alternatives(names []string) string {
	if last := len(names) - 1; last > 0 {
		return strings.Join(names[:last], ", ") + " or " + names[last]
	}
	return strings.Join(names, "")
}
