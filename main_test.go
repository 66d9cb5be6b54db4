package understudy_test

import (
	"os"
	"testing"

	"github.com/understudy-run/understudy/session/sessiontest"
)

func TestMain(m *testing.M) {
	if log := os.Getenv(lookVariable); log != "" {
		serveLook(os.Stdin, os.Stdout, log)
		return
	}
	if word, ok := os.LookupEnv(probeVariable); ok {
		serveProbe(word)
		return
	}
	sessiontest.Main(m)
}
