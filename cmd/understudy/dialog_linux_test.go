package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func init() { scriptCommands["dialog"] = dialog }

// dialog runs a command on a terminal of 24 lines and 100 columns, and talks to it as a file says. Each of its lines is
//
//	expect REGEXP    what must be shown, after what the last expect has found
//	type TEXT        what is typed; \r is Enter, \x03 Ctrl-C, \x04 Ctrl-D, \e Escape
//
// After the last line the command must end by itself. All that was shown is in stdout.
func dialog(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: dialog FILE COMMAND [ARG…]")
	}
	master, tty, err := openTerminal(100)
	ts.Check(err)
	defer master.Close()
	program, err := exec.LookPath(args[1])
	ts.Check(err)
	cmd := exec.Command(program, args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.Dir = ts.MkAbs(".")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // so that Ctrl-C is a signal
	for _, name := range []string{"PATH", "HOME", "GORACE", "UNDERSTUDY_DATA_DIR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Env = append(cmd.Env, "TERM=xterm", "NO_COLOR=1") // what is expected is text
	ts.Check(cmd.Start())
	_ = tty.Close() // so that the end of the command is the end of the output
	seen := &screen{more: make(chan struct{}, 1)}
	go seen.read(master) // ends with the command
	fail := func(format string, args ...any) {
		_ = cmd.Process.Kill()
		ts.Logf("shown:\n%s", seen.text())
		ts.Fatalf(format, args...)
	}
	at := 0
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		verb, text, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		switch verb {
		case "expect":
			end, ok := seen.await(regexp.MustCompile("(?s)"+text), at)
			if !ok {
				fail("waited %v for %s", patience, text)
			}
			at = end
		case "type":
			text = strings.NewReplacer(`\r`, "\r", `\x03`, "\x03", `\x04`, "\x04", `\e`, "\x1b").Replace(text)
			_, err := master.WriteString(text)
			ts.Check(err)
		case "", "#":
		default:
			fail("dialog: %q", line)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the command
	select {
	case err := <-ended:
		if err != nil {
			fail("%v", err)
		}
	case <-time.After(patience):
		fail("it does not end")
	}
	_, err = ts.Stdout().Write([]byte(seen.text()))
	ts.Check(err)
}

// screen is what a terminal has shown.
type screen struct {
	mu   sync.Mutex
	all  bytes.Buffer
	more chan struct{} // something was added
}

func (s *screen) read(master *os.File) {
	buffer := make([]byte, 4096)
	for {
		n, err := master.Read(buffer)
		s.mu.Lock()
		s.all.Write(buffer[:n])
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// await waits for something to be shown, and returns where it ends.
func (s *screen) await(what *regexp.Regexp, after int) (int, bool) {
	deadline := time.After(patience)
	for {
		if found := what.FindStringIndex(s.text()[after:]); found != nil {
			return after + found[1], true
		}
		select {
		case <-s.more:
		case <-deadline:
			return 0, false
		}
	}
}
