package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
)

var shells = []string{"bash", "zsh", "fish"}

func newCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Write a shell's completion, which knows the running sessions",
		Long: `Writes a script that makes a shell complete commands, flags, and the names of the
sessions that run.`,
		Example: `  source <(understudy completion bash)                                   # for now
  understudy completion bash > /etc/bash_completion.d/understudy         # for good
  understudy completion zsh > "${fpath[1]}/_understudy"
  understudy completion fish > ~/.config/fish/completions/understudy.fish`,
		ValidArgs:             shells,
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := takes("SHELL")(cmd, args); err != nil {
				return err
			}
			if slices.Contains(shells, args[0]) {
				return nil
			}
			return usageError(fmt.Errorf("no completion for %q: expected %s", args[0], alternatives(shells)))
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			}
			return root.GenFishCompletion(out, true)
		},
	}
}

// offer has shells complete a flag's value with these.
func offer[T ~string](cmd *cobra.Command, flag string, values ...T) {
	var texts []string
	for _, v := range values {
		texts = append(texts, string(v))
	}
	complete(cmd, flag, cobra.FixedCompletions(texts, cobra.ShellCompDirectiveNoFileComp))
}

// complete says how shells complete a flag's value.
func complete(cmd *cobra.Command, flag string, how cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, how); err != nil {
		panic(err) // there is no such flag
	}
}
