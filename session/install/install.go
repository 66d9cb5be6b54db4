package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// Options say what is installed. The zero value is the tested version for this machine; only Dir is needed.
type Options struct {
	// Version is an exact version, such as 2.1.330. Empty: Tested.
	Version string
	// Dir is where the binary comes, as Dir/claude. It is made if missing.
	Dir string
	// Package is the npm package. Empty: that of this machine's system and processor.
	Package string
	// NPM is the npm client. Empty: npm on PATH.
	NPM string
	// Timeout bounds the wait for another process that installs, and the download, each. 0: 15 minutes.
	Timeout time.Duration
	// Progress, if not nil, is told what begins, in words for a person.
	Progress func(step string)
}

// AbsentError says that the CLI cannot be had here, through nothing that is wrong with it: no npm, no network, no package
// for this machine.
type AbsentError struct{ Cause error }

func (e *AbsentError) Error() string { return e.Cause.Error() }

// Unwrap gives the cause.
func (e *AbsentError) Unwrap() error { return e.Cause }

// ChecksumError says that what came is not what was to come. It was removed: do not run it if you have it from elsewhere.
type ChecksumError struct {
	What      string // the file
	Algorithm string
	Got, Want string
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s has the %s sum %s, expected %s: do not run it", e.What, e.Algorithm, e.Got, e.Want)
}

var exactVersion = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

// ValidVersion reports whether a version is exact; names such as latest are not.
func ValidVersion(version string) bool { return exactVersion.MatchString(version) }

const defaultTimeout = 15 * time.Minute

// CLI makes sure that Dir holds the binary of that version, and returns its path.
func CLI(ctx context.Context, o Options) (string, error) {
	if o.Version == "" {
		o.Version = Tested
	}
	if !ValidVersion(o.Version) {
		return "", fmt.Errorf("version %q: expected an exact one, such as %s", o.Version, Tested)
	}
	if o.Dir == "" {
		return "", errors.New("no directory to install into")
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Package == "" {
		name, err := packageFor(runtime.GOOS, runtime.GOARCH, musl())
		if err != nil {
			return "", &AbsentError{err}
		}
		o.Package = name
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "claude")
	spec := o.Package + "@" + o.Version
	if stamped(path, spec) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	o.Progress("waiting for the directory " + dir)
	unlock, err := lock(ctx, filepath.Join(dir, "lock"), o.Timeout)
	if err != nil {
		return "", err
	}
	defer unlock()
	if stamped(path, spec) { // by whoever had the lock
		return path, nil
	}
	removeLeftovers(dir)
	if known, ok := recorded[spec]; ok && known.binary == sumOf(path) { // the stamp was lost
		return path, stamp(path, spec, known.binary)
	}
	work, err := os.MkdirTemp(dir, workPrefix)
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }() // what stays is removed by the next
	binary, err := fetch(ctx, o, spec, work)
	if err != nil {
		return "", err
	}
	o.Progress("putting it in place")
	if err := os.Rename(filepath.Join(work, "claude"), path); err != nil {
		return "", err
	}
	return path, stamp(path, spec, binary)
}

// packageFor names the package of a machine.
func packageFor(system, processor string, musl bool) (string, error) {
	names := map[string]string{
		"linux/amd64": "linux-x64", "linux/arm64": "linux-arm64", "darwin/amd64": "darwin-x64", "darwin/arm64": "darwin-arm64",
	}
	name, ok := names[system+"/"+processor]
	if !ok {
		return "", fmt.Errorf("there is no package of the CLI for %s/%s: set cli.path to one that you have", system, processor)
	}
	if system == "linux" && musl {
		name += "-musl"
	}
	return "@anthropic-ai/claude-code-" + name, nil
}

// musl reports whether the C library of this machine is musl.
func musl() bool {
	loaders, _ := filepath.Glob("/lib/ld-musl-*.so.1") // the pattern is well-formed
	return len(loaders) > 0
}

const workPrefix = "install-"

// removeLeftovers removes what a killed process has left. It is called under the lock.
func removeLeftovers(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), workPrefix) {
			_ = os.RemoveAll(filepath.Join(dir, e.Name())) // the next one tries again
		}
	}
}
