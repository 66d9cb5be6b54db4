//go:build hosttest

package hosttest

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("UNDERSTUDY_HOSTTEST") == "" {
		fmt.Fprintln(os.Stderr, "hosttest: these tests take over the host that they run on; `make host` boots one for them")
		os.Exit(2)
	}
	os.Exit(m.Run())
}
