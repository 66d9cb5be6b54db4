package sessiontest

import (
	"os"
	"os/signal"
	"syscall"
)

// marker is the variable that makes a test binary with [Main] run as the simulated CLI.
const marker = "UNDERSTUDY_SIMULATE"

// Main is what TestMain of a package calls that wants to start its own test binary as the simulated CLI, with a *testing.M:
//
//	func TestMain(m *testing.M) { sessiontest.Main(m) }
//
// In a process that [CLI] describes it is the CLI and never returns; in any other it runs the tests and exits with their code.
func Main(m interface{ Run() int }) {
	if os.Getenv(marker) == "1" {
		Exec(os.Args[1:])
	}
	os.Exit(m.Run())
}

// CLI says how to start the test binary as the simulated CLI: the path, arguments to put in front of the CLI's own, and
// variables to add to its environment. The package must have a TestMain that calls [Main].
//
// Transcripts go to a directory of the test, so that conversations can be resumed as long as it runs: call CLI once and use
// what it returns for all processes of a session.
func CLI(tb interface {
	TB
	TempDir() string
}) (path string, prefixArgs []string, env map[string]string) {
	tb.Helper()
	path, err := os.Executable()
	if err != nil {
		tb.Fatalf("sessiontest: find the test binary: %v", err)
	}
	env = map[string]string{
		marker: "1",
		// A race-enabled binary would otherwise stay for a second after it is done.
		"GORACE":            "atexit_sleep_ms=0",
		"CLAUDE_CONFIG_DIR": tb.TempDir(),
		runVariable:         runID(),
	}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		env["GOCOVERDIR"] = dir
	}
	return path, nil, env
}

// Exec makes this process the simulated CLI: its standard streams, its environment, its signals. It ends the process with the
// CLI's exit code, or with SIGKILL where the simulation crashes. `understudy simulate` is this.
func Exec(args []string) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	// A host that closes its end does not end the CLI. Caught, not ignored: tools would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	code := run(args, os.Stdin, os.Stdout, os.Stderr, os.Getenv, signals)
	if code == ExitKilled {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal is delivered
	}
	os.Exit(code)
}
