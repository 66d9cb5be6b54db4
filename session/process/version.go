package process

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// The versions of the CLI that this program is tested with. Older ones are refused, newer ones warned about.
const (
	OldestCLI = "2.1.330"
	NewestCLI = "2.1.330"
)

const (
	versionTimeout = 10 * time.Second
	versionBytes   = 4 << 10
)

// A banner may come first, but the version stands at the beginning of a line: "2.1.330 (Claude Code)".
var versionLine = regexp.MustCompile(`(?m)^v?(\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?)\b`)

// Version asks the CLI for its version, such as "2.1.330", by running it with --version and an environment that holds
// nothing but the default allowlist. It takes ten seconds at most, or less if ctx says so. Errors are *StartError: a
// program that can't be started, prints nothing, prints something else, fails, or does not end.
func Version(ctx context.Context, path string, prefixArgs []string) (string, error) {
	return version(ctx, Launch{Path: path, PrefixArgs: prefixArgs})
}

// VersionOf is Version of the program of a launch, asked in the environment that the launch gives to it. A launcher is left
// out: what a program inside of it says is not known.
func VersionOf(ctx context.Context, l Launch) (string, error) {
	return version(ctx, Launch{Path: l.Path, PrefixArgs: l.PrefixArgs, Env: l.Env, InheritEnv: l.InheritEnv})
}

// version asks the program of a launch, which may be a program that does as the CLI does only in the environment that it
// is given. What has the name of a secret is left out: it is not needed for this.
func version(ctx context.Context, l Launch) (string, error) {
	o := Options{}.filled()
	given := maps.Clone(l.Env)
	maps.DeleteFunc(given, func(name, _ string) bool { return SecretName(name) })
	env, err := Launch{Marker: "version/" + rand.Text(), Env: given, InheritEnv: l.InheritEnv}.Environ(o.Parent)
	if err != nil {
		return "", &StartError{Class: ClassRequest, Path: l.program(), Err: err}
	}
	marker, _ := lookup(env, MarkerVariable)
	args := append(slices.Clone(l.PrefixArgs), "--version")
	p, err := start(command{path: l.program(), args: args, env: env, marker: marker, parent: o.Parent}, o)
	if err != nil {
		return "", err
	}
	defer p.Kill() // also what it has started, on every way out
	p.CloseStdin()
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { p.Kill() })
	defer stop()

	fail := func(hint, format string, a ...any) (string, error) {
		return "", &StartError{Class: ClassRequest, Path: l.program(), Err: fmt.Errorf(format, a...), Hint: hint}
	}
	const notCLI = "is this the Claude Code CLI? check cli.path"
	out, _ := io.ReadAll(io.LimitReader(p.Stdout(), versionBytes)) // an outPipe ends with io.EOF only
	if len(out) == versionBytes {
		return fail(notCLI, "--version prints more than %d bytes, beginning with %s", versionBytes, quoted(out))
	}
	<-p.Done()
	exit := p.Exit()
	if err := ctx.Err(); err != nil && exit.Stopped {
		if errors.Is(err, context.DeadlineExceeded) {
			return fail(notCLI, "--version does not come to an end: %w", err)
		}
		return fail("", "--version was cancelled: %w", err)
	}
	if exit.Code != 0 {
		return fail(notCLI, "--version fails: %s", Diagnose(exit))
	}
	if len(bytes.TrimSpace(out)) == 0 {
		return fail(notCLI, "--version prints nothing")
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return fail(notCLI, "--version prints no version but %s", quoted(out))
	}
	return string(m[1]), nil
}

func quoted(b []byte) string { return strconv.Quote(cut(string(bytes.TrimSpace(b)), 80)) }
