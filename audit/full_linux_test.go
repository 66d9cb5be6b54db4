package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/understudy-run/understudy/actor"
)

const fullDir = "UNDERSTUDY_TEST_AUDIT_FULL"

func init() { // before any test, in the process that TestFullFileSystem starts
	if dir := os.Getenv(fullDir); dir != "" {
		fillUp(dir)
	}
}

// TestFullFileSystem fills a small file system of its own, in a mount namespace that goes with the process, with the log
// and with a file beside it.
func TestFullFileSystem(t *testing.T) {
	for _, mode := range []Mode{Required, BestEffort} {
		t.Run(mode.String(), func(t *testing.T) {
			self, err := os.Executable()
			require.NoError(t, err)
			cmd := exec.CommandContext(deadline(t), self)
			cmd.Env = append(os.Environ(), fullDir+"="+t.TempDir(), "GORACE=atexit_sleep_ms=0", "UNDERSTUDY_TEST_MODE="+mode.String())
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
			}
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			switch {
			case errors.As(err, &exit) && exit.ExitCode() == cannotMount:
				t.Skipf("no file system of one's own: %s", out)
			case err != nil && !errors.As(err, &exit):
				t.Skipf("no namespaces of one's own: %v", err)
			}
			require.NoError(t, err, "%s", out)
		})
	}
}

const cannotMount = 7

// fillUp is the process in the namespace. It ends with 0 if all is as it should be.
func fillUp(dir string) {
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=3m"); err != nil {
		fmt.Println(err)
		os.Exit(cannotMount)
	}
	if err := fullFileSystem(dir); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func fullFileSystem(dir string) error {
	var mode Mode
	if err := mode.UnmarshalText([]byte(os.Getenv("UNDERSTUDY_TEST_MODE"))); err != nil {
		return err
	}
	ctx, done := context.WithTimeout(context.Background(), time.Minute)
	defer done()
	trail := New(actor.NewSystem(actor.Options{}), Options{Dir: filepath.Join(dir, "audit"), Mode: mode})
	trail.retry = time.Millisecond
	pid, err := trail.Start(ctx)
	if err != nil {
		return err
	}
	// Somebody else takes what room there is, all but some.
	beside := filepath.Join(dir, "beside")
	f, err := os.Create(beside)
	if err != nil {
		return err
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("fill the file system: %w", err)
	}
	if err := errors.Join(f.Truncate(1<<20), f.Close()); err != nil {
		return err
	}
	written := 0
	for ; err == nil || written < 10; written++ {
		err = trail.Append(ctx, Record{Kind: ToolIntent, Tool: "Write", Detail: map[string]any{"x": string(make([]byte, 2000))}})
	}
	if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, ErrFull) {
		return fmt.Errorf("append to a full file system: %w", err)
	}
	for ctx.Err() == nil {
		if err = trail.Append(ctx, Record{Kind: ToolIntent, Tool: "Bash"}); errors.Is(err, ErrFull) {
			break
		}
	}
	if !errors.Is(err, ErrFull) {
		return fmt.Errorf("an intent: %w", err)
	}
	if err := trail.Append(ctx, Record{Kind: SessionStopped, Session: "a"}); err != nil {
		return fmt.Errorf("last words: %w", err)
	}
	if trail.Health() == nil {
		return errors.New("a full log is said to be healthy")
	}
	if err := os.Remove(beside); err != nil {
		return err
	}
	for err = ErrFull; errors.Is(err, ErrFull) && ctx.Err() == nil; {
		err = trail.Append(ctx, Record{Kind: ToolIntent, Tool: "Read"})
	}
	if err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	pid.Stop(nil)
	<-pid.Done()
	report, err := Verify(ctx, trail.options.Dir, VerifyOptions{})
	if err != nil {
		return err
	}
	if want := map[Mode]int{Required: 0, BestEffort: 3}[mode]; report.Code() != want {
		return fmt.Errorf("verify: %d, want %d: %v", report.Code(), want, report.Findings)
	}
	seen := make(map[Kind]bool)
	for r, err := range Read(trail.options.Dir) {
		if err != nil {
			return err
		}
		seen[r.Kind] = true
	}
	for _, kind := range []Kind{LogFull, SessionStopped, LogRecovered, LogClosed} {
		if !seen[kind] {
			return fmt.Errorf("there is no %s", kind)
		}
	}
	return nil
}
