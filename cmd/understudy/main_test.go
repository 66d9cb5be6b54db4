package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts run this binary as `understudy`. It is a copy of the test binary under that name, so that the
// daemon finds itself (os.Executable) and starts `understudy simulate` as it does when it is installed.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"understudy": main})
}
