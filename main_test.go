package understudy_test

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/understudy-run/understudy/session/sessiontest"
)

// canary is in the environment of the tests' process, as secrets of others are in that of an embedder. Nothing of it goes further.
const canary = "canary-0123456789abcdef"

func TestMain(m *testing.M) {
	if log := os.Getenv(lookVariable); log != "" {
		serveLook(os.Stdin, os.Stdout, log)
		return
	}
	if word, ok := os.LookupEnv(probeVariable); ok {
		serveProbe(word)
		return
	}
	if err := os.Setenv("UNDERSTUDY_TEST_SECRET", canary); err != nil {
		panic(err)
	}
	sessiontest.Main(sessiontest.NothingLeft(sideBySide{m}))
}

// sideBySide runs twice as many tests at a time as there are processors, unless -parallel says how many: most of a test's time here
// is waiting for a CLI.
type sideBySide struct{ tests *testing.M }

func (s sideBySide) Run() int {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
			panic(err) // it is a number
		}
	}
	return s.tests.Run()
}
