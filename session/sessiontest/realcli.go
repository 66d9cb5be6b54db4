package sessiontest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// CLIVersion is the version of the real CLI that [RealCLI] installs, and that the simulation was compared with.
const CLIVersion = "2.1.330"

// What the registry gives for that version. The sums were taken once and are not the registry's to change.
const (
	cliPackage = "@anthropic-ai/claude-code-linux-x64"
	cliTarball = "anthropic-ai-claude-code-linux-x64-" + CLIVersion + ".tgz"
	cliMember  = "package/claude"
	tarballSum = "40ff30c5768723958032132065e6fcdd1e2dc3a2b3ff9a0bf36c6620ef1c40ef"
	binarySum  = "f390eaa0814e6a1bff74cbb47acb74cb9c89d30ced809fe0af5af00c7bfe8ebb"
)

const (
	// cacheVariable names another cache folder.
	cacheVariable = "UNDERSTUDY_CLI_CACHE"
	// installTimeout bounds the wait for another test binary that installs, and the download, each.
	installTimeout = 4 * time.Minute
	maxBinary      = 1 << 30
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
	var absent *absentError
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
		return "", &absentError{fmt.Errorf("its checked package is for linux/amd64, this is %s/%s", runtime.GOOS, runtime.GOARCH)}
	}
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	return install(context.Background(), dir)
})

// absentError says that the CLI cannot be had here, through no fault of the tests.
type absentError struct{ cause error }

func (e *absentError) Error() string { return e.cause.Error() }
func (e *absentError) Unwrap() error { return e.cause }

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

// install makes sure that dir holds the binary. Whatever else it makes there has a name of its own and is removed again.
func install(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "claude")
	if stamped(path) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if stamped(path) { // by whoever had the lock
		return path, nil
	}
	if sum, err := fileSum(path); err == nil && sum == binarySum {
		return path, stamp(path)
	}
	work, err := os.MkdirTemp(dir, "install-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }() // what stays is garbage in a cache
	tarball := filepath.Join(dir, cliTarball)
	if _, err := os.Stat(tarball); err != nil { // otherwise somebody has put it there
		if tarball, err = download(ctx, work); err != nil {
			return "", err
		}
	}
	if err := extract(tarball, filepath.Join(work, "claude")); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(work, "claude"), path); err != nil {
		return "", err
	}
	return path, stamp(path)
}

// lock waits for the cache folder. The kernel releases it with the process.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond) // a blocking flock could not be given up
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil // nothing was written to it
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock %s: another process has been installing the CLI for %v: see what it hangs on, and end it", path, installTimeout), f.Close())
		}
	}
}

// download has npm fetch the package into dir.
func download(ctx context.Context, dir string) (string, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", &absentError{errors.New("there is no npm on PATH to install it with")}
	}
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "pack", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000",
		cliPackage+"@"+CLIVersion)
	cmd.Dir = dir // npm leaves the file there
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("not done within %v", installTimeout)
		}
		return "", &absentError{fmt.Errorf("npm pack %s@%s: %w: %s", cliPackage, CLIVersion, err, firstLines(&stderr))}
	}
	return filepath.Join(dir, cliTarball), nil
}

// firstLines is what npm says first, where the cause is, in one line.
func firstLines(r io.Reader) string {
	var said []string
	for s := bufio.NewScanner(r); s.Scan() && len(said) < 4; {
		said = append(said, strings.TrimSpace(strings.TrimPrefix(s.Text(), "npm error")))
	}
	return cmp.Or(strings.Join(said, "; "), "it says nothing about it")
}

// extract checks the package and takes the binary out of it. Nothing is at target that was not checked, unless it fails.
func extract(tarball, target string) (err error) {
	sum, err := fileSum(tarball)
	if err != nil {
		return err
	}
	if sum != tarballSum {
		return fmt.Errorf("%s has the SHA-256 sum %s, expected %s: do not run what is in it", tarball, sum, tarballSum)
	}
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	unzipped, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return fmt.Errorf("%s: %w", tarball, err)
	}
	archive := tar.NewReader(unzipped)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: there is no %s in it", tarball, cliMember)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", tarball, err)
		}
		if header.Name == cliMember && header.Typeflag == tar.TypeReg {
			break
		}
	}
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), io.LimitReader(archive, maxBinary))
	if err == nil {
		err = out.Sync() // the stamp must not outlive the bytes
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("extract %s: %w", tarball, err)
	}
	if sum := hexSum(h); sum != binarySum {
		return fmt.Errorf("%s of %s has the SHA-256 sum %s, expected %s: do not run it", cliMember, tarball, sum, binarySum)
	}
	return nil
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hexSum(h), nil
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// The stamp says which file was checked, so that 381 MB are not hashed again for each test binary. It is no protection
// against somebody who may write to the cache: they could write the stamp, too.

func stampOf(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %d\n", binarySum, info.Size(), info.ModTime().UnixNano()), nil
}

func stamped(path string) bool {
	want, err := stampOf(path)
	if err != nil {
		return false
	}
	got, err := os.ReadFile(path + ".checked")
	return err == nil && string(got) == want
}

func stamp(path string) error {
	text, err := stampOf(path)
	if err != nil {
		return err
	}
	next := path + ".checked.new" // under the lock: nobody else writes it
	if err := os.WriteFile(next, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(next, path+".checked")
}
