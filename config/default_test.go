package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/config"
)

// What a file does not say is what the runtime does that nobody told anything.
func TestBackoffIsThatOfTheRuntime(t *testing.T) {
	c, err := config.Parse("/etc/understudy.yaml", []byte("supervisors: {group: }"), nil)
	require.NoError(t, err)
	assert.Equal(t, understudy.DefaultBackoff, c.Supervisor.Backoff)
	assert.Equal(t, understudy.DefaultBackoff, c.Supervisors[0].Backoff)
}
