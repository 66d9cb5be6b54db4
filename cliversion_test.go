package understudy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/understudy-run/understudy/session/install"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/sessiontest"
)

// What is installed, what is tested with, and what is taken for tested is one version.
func TestOneTestedVersion(t *testing.T) {
	assert.Equal(t, process.NewestCLI, install.Tested)
	assert.Equal(t, install.Tested, sessiontest.CLIVersion)
}
