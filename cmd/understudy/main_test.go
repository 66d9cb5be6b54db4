package main

import (
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/understudy-run/understudy/session/sessiontest"
)

// The scripts run this binary as `understudy`. It is a copy of the test binary under that name, so that the
// daemon finds itself (os.Executable) and starts `understudy simulate` as it does when it is installed.
func TestMain(m *testing.M) {
	// Whoever runs the tests may have hangups ignored, as nohup does, and daemons of the scripts would inherit that.
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	testscript.Main(sessiontest.NothingLeft(m), map[string]func(){"understudy": main})
}
