package sessiontest_test

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/understudy-run/understudy/session/sessiontest"
)

// leakChecked runs the tests and then looks for goroutines that are left.
type leakChecked struct{ *testing.M }

func (l leakChecked) Run() int {
	code := l.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println("goroutines are left:", err)
		return 1
	}
	return code
}

func TestMain(m *testing.M) { sessiontest.Main(leakChecked{m}) }
