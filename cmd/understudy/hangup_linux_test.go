package main

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func init() { scriptCommands["hang_up"] = onHangUp }

// onHangUp runs a daemon that belongs to a terminal. A hangup that somebody sends is a reload; that of a terminal which goes
// away is the end.
func onHangUp(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: hang_up COMMAND [ARG…]")
	}
	screen, tty, err := openTerminal(200)
	ts.Check(err)
	program, err := exec.LookPath(args[0])
	ts.Check(err)
	cmd := exec.Command(program, args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "GORACE", "UNDERSTUDY_DATA_DIR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	err = cmd.Start()
	_ = tty.Close() // the daemon has its own
	ts.Check(err)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the daemon
	deadline := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer deadline.Stop()
	var shown bytes.Buffer
	until := func(text string) {
		piece := make([]byte, 4096)
		for !bytes.Contains(shown.Bytes(), []byte(text)) {
			n, err := screen.Read(piece)
			shown.Write(piece[:n])
			if err != nil && !errors.Is(err, io.EOF) {
				ts.Fatalf("it did not say %q: %v\n%s", text, err, shown.Bytes())
			}
		}
	}
	until("Ctrl-C ends everything")
	ts.Check(cmd.Process.Signal(syscall.SIGHUP))
	until("configuration is taken over")
	ts.Check(screen.Close())
	if err := <-ended; err != nil {
		ts.Fatalf("without its terminal it ended with: %v\n%s", err, shown.Bytes())
	}
}
