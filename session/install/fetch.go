package install

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	member    = "package/claude" // the binary in the package
	maxBinary = 1 << 30
)

// fetch gets the binary into work and returns its SHA-256 sum.
func fetch(ctx context.Context, o Options, spec, work string) (string, error) {
	npm, err := exec.LookPath(cmp.Or(o.NPM, "npm"))
	if err != nil {
		return "", &AbsentError{fmt.Errorf("there is no npm to fetch %s with: %w", spec, err)}
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	o.Progress("asking the registry for " + spec)
	dist, err := lookUp(ctx, npm, spec, work, o.Timeout)
	if err != nil {
		return "", err
	}
	o.Progress(fmt.Sprintf("downloading %s (%d MB unpacked)", spec, dist.UnpackedSize>>20))
	out, err := runNPM(ctx, npm, work, o.Timeout, "pack", "--json", spec)
	if err != nil {
		return "", fmt.Errorf("download %s: %w", spec, err)
	}
	var packed []struct {
		Filename string `json:"filename"`
	}
	if err := json.Unmarshal(out, &packed); err != nil || len(packed) != 1 {
		return "", fmt.Errorf("download %s: npm answers %q", spec, cut(out))
	}
	o.Progress("checking and unpacking it")
	return unpack(filepath.Join(work, filepath.Base(packed[0].Filename)), spec, dist.Integrity, filepath.Join(work, "claude"))
}

// distribution is what the registry says about a version.
type distribution struct {
	Integrity    string `json:"integrity"` // sha512- and its sum in base64; there may be others
	UnpackedSize int64  `json:"unpackedSize"`
}

func lookUp(ctx context.Context, npm, spec, work string, timeout time.Duration) (distribution, error) {
	var d distribution
	out, err := runNPM(ctx, npm, work, timeout, "view", "--json", spec, "dist")
	if err != nil {
		return d, fmt.Errorf("look up %s: %w", spec, err)
	}
	if len(bytes.TrimSpace(out)) == 0 {
		return d, &AbsentError{fmt.Errorf("the registry has no %s", spec)}
	}
	if err := json.Unmarshal(out, &d); err != nil {
		return d, fmt.Errorf("look up %s: npm answers %q", spec, cut(out))
	}
	return d, nil
}

// runNPM runs the client. What goes wrong with it is an *AbsentError.
func runNPM(ctx context.Context, npm, dir string, timeout time.Duration, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, npm, append(args, "--loglevel=error", "--fetch-retries=2", "--fetch-retry-mintimeout=1000")...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("not done within %v", timeout)
		} else if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &AbsentError{fmt.Errorf("npm %s: %w: %s", args[0], err, firstLines(&stderr))}
	}
	return stdout.Bytes(), nil
}

// firstLines is what npm says first, where the cause is, in one line.
func firstLines(r io.Reader) string {
	var said []string
	for s := bufio.NewScanner(r); s.Scan() && len(said) < 4; {
		said = append(said, strings.TrimSpace(strings.TrimPrefix(s.Text(), "npm error")))
	}
	return cmp.Or(strings.Join(said, "; "), "it says nothing about it")
}

func cut(b []byte) []byte { return b[:min(len(b), 120)] }

// unpack checks the package and takes the binary out of it. Nothing that was not checked is at target, unless it fails.
func unpack(tarball, spec, integrity, target string) (string, error) {
	f, err := os.Open(tarball)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	wide, narrow := sha512.New(), sha256.New()
	if _, err := io.Copy(io.MultiWriter(wide, narrow), f); err != nil {
		return "", err
	}
	name := filepath.Base(tarball)
	known, isKnown := recorded[spec]
	want, ok := sha512Of(integrity)
	if !ok {
		return "", fmt.Errorf("the registry gives no SHA-512 sum for %s: %q", spec, integrity)
	}
	if got := base64.StdEncoding.EncodeToString(wide.Sum(nil)); got != want {
		return "", &ChecksumError{name, "SHA-512", got, want}
	}
	if got := hex.EncodeToString(narrow.Sum(nil)); isKnown && got != known.tarball {
		return "", &ChecksumError{name, "SHA-256", got, known.tarball}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	unzipped, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	archive := tar.NewReader(unzipped)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("%s: there is no %s in it", name, member)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if header.Name == member && header.Typeflag == tar.TypeReg {
			break
		}
	}
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, h), io.LimitReader(archive, maxBinary))
	if err == nil && n == maxBinary {
		err = fmt.Errorf("the binary is longer than %d bytes", maxBinary)
	}
	if err == nil {
		err = out.Sync() // the stamp must not outlive the bytes
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return "", fmt.Errorf("unpack %s: %w", name, err)
	}
	got := hex.EncodeToString(h.Sum(nil))
	if isKnown && got != known.binary {
		return "", &ChecksumError{member, "SHA-256", got, known.binary}
	}
	return got, nil
}

// sha512Of is the SHA-512 sum of a subresource integrity, in base64.
func sha512Of(integrity string) (string, bool) {
	for word := range strings.FieldsSeq(integrity) {
		if sum, ok := strings.CutPrefix(word, "sha512-"); ok {
			sum, _, _ = strings.Cut(sum, "?")
			return sum, sum != ""
		}
	}
	return "", false
}
