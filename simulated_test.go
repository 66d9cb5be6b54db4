package understudy_test

import (
	"os"

	"github.com/understudy-run/understudy/session"
)

// The examples run on the simulated CLI, which is this test binary (see sessiontest.Main).
var (
	simulated    = session.CLI{Path: os.Args[0]}
	simulatedEnv = map[string]string{"UNDERSTUDY_SIMULATE": "1", "GORACE": "atexit_sleep_ms=0", "CLAUDE_CONFIG_DIR": os.TempDir() + "/understudy-example"}
)
