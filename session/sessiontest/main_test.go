package sessiontest_test

import (
	"testing"

	"github.com/understudy-run/understudy/session/sessiontest"
)

func TestMain(m *testing.M) { sessiontest.Main(sessiontest.NothingLeft(m)) }
