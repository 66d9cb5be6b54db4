package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"

	"github.com/understudy-run/understudy/config"
	"github.com/understudy-run/understudy/session"
)

// simulatedCLI is the cli.path that means the simulation in this binary.
const simulatedCLI = "simulated"

// loadConfig reads a configuration. What is wrong with it is shown with the lines it is in, and ends a command with exitUsage.
func loadConfig(path string, stderr io.Writer) (*config.Config, error) {
	cfg, err := config.Load(path, os.LookupEnv)
	if err == nil {
		return cfg, nil
	}
	if diagnostics, ok := errors.AsType[config.Diagnostics](err); ok {
		if _, err := io.WriteString(stderr, diagnostics.Render(terminalOf(stderr).color)); err != nil {
			return nil, err
		}
		if len(diagnostics) < 2 {
			return nil, said(misconfigured(err))
		}
		return nil, usageError(fmt.Errorf("%s has %d mistakes", path, len(diagnostics)))
	}
	return nil, misconfigured(err)
}

// said is an error that was printed already.
func said(err error) error {
	if exit, ok := errors.AsType[*exitCodeError](err); ok {
		return &exitCodeError{code: exit.code}
	}
	return &exitCodeError{code: exitError}
}

// program is what stands behind the sessions of a configuration.
func program(cfg *config.Config) (session.CLI, error) { return programAt(cfg.CLI.Path) }

// programAt is the CLI that a cli.path means.
func programAt(path string) (session.CLI, error) {
	if path != simulatedCLI {
		return session.CLI{Path: path}, nil
	}
	self, err := os.Executable()
	return session.CLI{Path: self, Args: []string{"simulate"}}, err
}

// prepared are a session's options as this daemon starts it. The simulation's transcripts belong with the
// other data of the daemon and not among those of the real CLI.
func prepared(cfg *config.Config, o session.Options) session.Options {
	if cfg.CLI.Path != simulatedCLI {
		return o
	}
	env := map[string]string{"CLAUDE_CONFIG_DIR": filepath.Join(cfg.DataDir, "simulated")}
	maps.Copy(env, o.Env)
	o.Env = env
	return o
}
