package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/understudy-run/understudy/config"
	"github.com/understudy-run/understudy/session"
)

// answers are what init has to know.
type answers struct {
	session string
	cwd     string
	budget  float64
	listen  string
	cli     string
}

func newInit() *cobra.Command {
	var file string
	var yes, force, asJSON bool
	a := answers{session: "reviewer", cwd: ".", budget: 5, listen: "127.0.0.1:7070", cli: "claude"}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a configuration to start from",
		Long: `Writes a commented configuration, and its schema beside it for editors. On a
terminal it asks what it has to know; flags answer beforehand, and with --yes
nothing is asked. A file that is there is left alone unless --force is given.`,
		Example: `  understudy init
  understudy init --yes --session builder --cwd /srv/app --budget 2.50
  understudy init --yes --cli simulated        # to try it without a key`,
		Args:       takes(),
		SuggestFor: []string{"new-config", "configure", "setup"},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in, ok := cmd.InOrStdin().(*os.File); ok && !yes && term.IsTerminal(int(in.Fd())) {
				if err := a.askFor(cmd, bufio.NewReader(in), cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			out := cmd.ErrOrStderr()
			if asJSON {
				out = cmd.OutOrStdout()
			}
			return a.write(out, file, force, asJSON)
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().StringVar(&a.session, "session", a.session, "the `name` of the first session")
	cmd.Flags().StringVar(&a.cwd, "cwd", a.cwd, "the `directory` that it works in")
	cmd.Flags().Float64Var(&a.budget, "budget", a.budget, "what it may spend in its life, in `dollars`; 0 for no limit")
	cmd.Flags().StringVar(&a.listen, "listen", a.listen, "the `address` of the debug page; empty for none")
	cmd.Flags().StringVar(&a.cli, "cli", a.cli, "the CLI: a path, a name on PATH, or simulated")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was written as JSON")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "ask nothing")
	cmd.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	return cmd
}

// askFor asks for what no flag has answered. An empty line takes what is proposed.
func (a *answers) askFor(cmd *cobra.Command, in *bufio.Reader, out io.Writer) error {
	for _, q := range []struct {
		flag, question string
		value          *string
	}{
		{"session", "Name of the first session", &a.session}, {"cwd", "Directory that it works in", &a.cwd},
		{"cli", "CLI (simulated: to try it without a key)", &a.cli}, {"listen", "Address of the debug page (- for none)", &a.listen},
	} {
		if cmd.Flags().Changed(q.flag) {
			continue
		}
		if err := ask(in, out, q.question, q.value); err != nil {
			return err
		}
	}
	if a.listen == "-" {
		a.listen = ""
	}
	if cmd.Flags().Changed("budget") {
		return nil
	}
	text := strconv.FormatFloat(a.budget, 'f', 2, 64)
	if err := ask(in, out, "Dollars that it may spend (0: no limit)", &text); err != nil {
		return err
	}
	budget, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return usageError(fmt.Errorf("%q is no amount of dollars", text))
	}
	a.budget = budget
	return nil
}

func ask(in *bufio.Reader, out io.Writer, question string, value *string) error {
	if _, err := fmt.Fprintf(out, "%s [%s]: ", question, *value); err != nil {
		return err
	}
	line, err := in.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if line = strings.TrimSpace(line); line != "" {
		*value = line
	}
	return nil
}

// write writes the file, after it was read as up would read it.
func (a *answers) write(out io.Writer, file string, force, asJSON bool) error {
	if !session.ValidName(a.session) {
		return usageError(fmt.Errorf("session name %q: expected up to 64 letters, digits, dots, underscores and dashes, beginning with a letter or digit", a.session))
	}
	if !(a.budget >= 0) {
		return usageError(fmt.Errorf("budget %v: expected 0 or more", a.budget))
	}
	text := a.text()
	lookup := func(name string) (string, bool) { return "x", name == "ANTHROPIC_API_KEY" } // may be set later
	if _, err := config.Parse(file, []byte(text), lookup); err != nil {
		return fmt.Errorf("that would be no valid configuration: %w", err)
	}
	schema, err := config.Schema()
	if err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(file, flags, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: give another one with -f, or --force to replace it", file)
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, text)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	beside := filepath.Join(filepath.Dir(file), config.SchemaURL)
	if err := os.WriteFile(beside, schema, 0o644); err != nil {
		return err
	}
	next := "understudy up"
	if file != "understudy.yaml" {
		next += " -f " + shellWord(file)
	}
	if asJSON {
		return printJSON(out, map[string]string{"file": file, "schema": beside, "next": next})
	}
	_, err = fmt.Fprintf(out, "wrote %s, and %s for editors; try: %s\n", file, beside, next)
	return err
}

// quoted is text as YAML has it on one line.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func (a *answers) text() string {
	key, budget := "  api_key: ${env:ANTHROPIC_API_KEY}     # in the CLI's environment only; tools do not get it\n", ""
	if a.cli == simulatedCLI {
		key = "  # api_key: ${env:ANTHROPIC_API_KEY}   # the simulated CLI needs none\n"
	}
	if a.budget > 0 {
		budget = fmt.Sprintf("    max_budget_usd: %-18s # in its whole life, restarts included\n", strconv.FormatFloat(a.budget, 'f', -1, 64))
	}
	listen := "  # listen: 127.0.0.1:7070              # a page for people, and JSON for programs\n"
	if a.listen != "" {
		listen = fmt.Sprintf("  listen: %-29s # a page for people, and JSON for programs; read-only without a token\n", quoted(a.listen))
	}
	return `# yaml-language-server: $schema=` + config.SchemaURL + `
# Sessions of Claude Code under supervision. understudy check says whether this is right, understudy explain NAME
# what it would start.
version: 1
data_dir: ./data                        # state, audit log, socket; relative to this file
cli:
  path: ` + quoted(a.cli) + `

supervisor:                             # of what is in no group
  max_restarts: 3                       # of one session, within
  max_seconds: 60                       # so many seconds; one that crashes more often is parked
  backoff: {initial: 200ms, max: 30s, jitter: 0.2}

defaults:                               # every session starts from these
` + key + `  permission_mode: dontAsk              # plan, dontAsk, acceptEdits, default (asks: see understudy approvals), …
  allowed_tools: [Read, Glob, Grep]     # rules such as "Bash(git log:*)" allow more
  turn_timeout: 30m

sessions:
  ` + a.session + `:
    cwd: ` + quoted(a.cwd) + `
    # model: sonnet                     # an alias or a full id; the CLI's default otherwise
    # system_prompt: You review Go code.
` + budget + `
audit:
  mode: required                        # no tool runs before its intent is on disk; or best_effort

debug:
` + listen + `  # token: ${env:UNDERSTUDY_TOKEN}      # what it takes to act over TCP; the socket in data_dir needs none
`
}
