package session

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

func TestCheckVersion(t *testing.T) {
	for version, want := range map[string]string{
		process.OldestCLI: "",
		"2.1.329":         "error: the CLI is version 2.1.329, and " + process.OldestCLI + " is the oldest that this program is tested with: install that (understudy cli install " + process.OldestCLI + ") and set cli.path to it",
		"1.99.999":        "error: the CLI is version 1.99.999",
		"2.1.330-beta.1":  "error: the CLI is version 2.1.330-beta.1",
		"2.1.331":         "warning: the CLI is version 2.1.331, newer than",
		"3.0.0":           "warning: the CLI is version 3.0.0",
		"":                `warning: the CLI says its version is "", which is none`,
		"new":             `warning: the CLI says its version is "new"`,
	} {
		warning, err := checkVersion(version)
		got := ""
		switch {
		case err != nil:
			got = "error: " + err.Error()
		case warning != "":
			got = "warning: " + warning
		}
		if want == "" {
			assert.Empty(t, got, version)
		} else {
			assert.Contains(t, got, want, version)
		}
	}
}

func TestDriftIsBounded(t *testing.T) {
	d := &desk{}
	see := func(line string) {
		m, err := protocol.Decode([]byte(line))
		require.NoError(t, err)
		d.driftOf(m)
	}
	for range 3 {
		see(`{"type":"new_thing"}`)
		see(`{"type":"assistant","message":{"content":[]},"mood":"good"}`)
		see(`{"type":"assistant","message":{"content":[]}}`)
	}
	d.driftRequest("levitate")
	s := &Session{desk: d}
	assert.Equal(t, Drift{
		Frames: map[string]uint64{"new_thing": 3}, Fields: map[string]uint64{"assistant mood": 3}, Requests: map[string]uint64{"levitate": 1},
	}, s.Drift())
	for i := range 10 * maxDrift {
		see(fmt.Sprintf(`{"type":"t%d"}`, i))
		see(fmt.Sprintf(`{"type":"result","subtype":"s%d","x%d":1}`, i, i))
	}
	got := s.Drift()
	assert.LessOrEqual(t, len(got.Frames), maxDrift+1)
	assert.LessOrEqual(t, len(got.Fields), maxDrift+1)
	assert.NotZero(t, got.Frames[otherDrift])
	for range 2 * maxFieldLooks {
		see(`{"type":"assistant","message":{"content":[]},"mood":"good"}`)
	}
	assert.EqualValues(t, maxFieldLooks, s.Drift().Fields["assistant mood"], "the first ones tell")
}
