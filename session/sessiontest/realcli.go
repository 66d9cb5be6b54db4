package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/understudy-run/understudy/session/install"
)

// CLIVersion is the version of the real CLI that [RealCLI] installs, and that the simulation was compared with.
const CLIVersion = install.Tested

const (
	// cacheVariable names another cache folder.
	cacheVariable = "UNDERSTUDY_CLI_CACHE"
	// installTimeout bounds the wait for another test binary that installs, and the download, each.
	installTimeout = 4 * time.Minute
)

// RealCLI returns the path of the real Claude Code CLI of version [CLIVersion], and installs it at the first use: from npm,
// with the sums of the package and of the binary checked, into .cache/claude-VERSION at the root of the module that is
// tested (git should ignore it), or into the folder that UNDERSTUDY_CLI_CACHE names. Several test binaries may do so at once:
// one of them downloads 175 MB, the others wait for it, four minutes at most.
//
// Where the CLI cannot be had (another platform than Linux on amd64, no npm, no network), the test is skipped with a line
// that says why; with CI=true in the environment that is a failure instead. A sum that does not match always is one.
func RealCLI(tb interface {
	TB
	Skipf(format string, args ...any)
}) string {
	tb.Helper()
	path, err := realCLI()
	var absent *install.AbsentError
	switch {
	case err == nil:
	case errors.As(err, &absent) && os.Getenv("CI") != "true":
		tb.Skipf("skipped: the real CLI %s is not here: %v", CLIVersion, err)
	default:
		tb.Fatalf("sessiontest: install the real CLI %s: %v", CLIVersion, err)
	}
	return path
}

// realCLI installs once in a process, and remembers what came of it.
var realCLI = sync.OnceValues(func() (string, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return "", &install.AbsentError{Cause: fmt.Errorf("its checked package is for linux/amd64, this is %s/%s", runtime.GOOS, runtime.GOARCH)}
	}
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	return install.CLI(context.Background(), install.Options{
		Version: CLIVersion, Package: "@anthropic-ai/claude-code-linux-x64", Dir: dir, Timeout: installTimeout,
	})
})

// cacheDir is the folder that the binary is in, or comes into.
func cacheDir() (string, error) {
	if dir := os.Getenv(cacheVariable); dir != "" {
		return filepath.Abs(dir)
	}
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, ".cache", "claude-"+CLIVersion), nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("there is no go.mod in %s or above it: set %s to a folder for the CLI", start, cacheVariable)
		}
	}
}
