package understudy_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/stream"
)

// One prompt, without a runtime to look after.
func ExampleQuery() {
	options := understudy.QueryOptions{CLI: simulated, Session: session.Options{Env: simulatedEnv}}
	answer, err := stream.Collect(understudy.Query(context.Background(), "Hello", options))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Text)
	// Output: echo: Hello
}

// However the loop is left, nothing is left of the session.
func TestQueryLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, false)
	// Pids are those of this machine then, so that they can be looked for.
	r.spec.Containment.Without = []process.Layer{process.LayerPIDNamespace}
	options := understudy.QueryOptions{CLI: r.options.CLI, Session: r.spec}
	pid := func() int { // of the CLI, which a tool of it wrote down
		data, err := os.ReadFile(filepath.Join(r.work, "pid"))
		require.NoError(t, err)
		n, err := strconv.Atoi(strings.TrimSpace(string(data)))
		require.NoError(t, err)
		return n
	}
	note := bash("echo $CLAUDE_PID > pid")
	gone := func(what string) {
		t.Helper()
		assert.False(t, alive(pid()), what)
		require.NoError(t, os.Remove(filepath.Join(r.work, "pid")))
		assert.Empty(t, transcriptsIn(r), what)
	}

	q := understudy.Query(r.within(), note+" to the end", options)
	_, err := stream.FinalResult(q)
	require.NoError(t, err)
	gone("after the result")
	_, err = stream.FinalResult(q)
	require.ErrorIs(t, err, session.ErrConsumed)

	for m, err := range understudy.Query(r.within(), note+"[[sleep:50]]", options) {
		require.NoError(t, err)
		if _, ok := m.(*protocol.User); ok { // the tool is through
			break
		}
	}
	gone("after the loop was left")

	ctx, cancel := context.WithCancelCause(r.within())
	enough := errors.New("enough")
	defer cancel(enough)
	for m, err := range understudy.Query(ctx, note+"[[sleep:50]]", options) {
		if _, ok := m.(*protocol.User); ok {
			cancel(enough)
		}
		if err != nil {
			require.ErrorIs(t, err, enough)
		}
	}
	gone("after the context ended")

	_, err = stream.FinalResult(understudy.Query(r.within(), note+"[[crash]]", options))
	var crash *session.CrashError
	require.ErrorAs(t, err, &crash)
	gone("after a crash")

	_, err = stream.FinalResult(understudy.Query(r.within(), " ", options))
	require.ErrorIs(t, err, session.ErrPrompt)
	options.CLI.Path = "/nowhere/claude"
	begun := time.Now()
	_, err = stream.FinalResult(understudy.Query(r.within(), "x", options))
	require.ErrorContains(t, err, "/nowhere/claude")
	assert.Less(t, time.Since(begun), patience, "it is not tried again")
}

func transcriptsIn(r *rig) []string {
	files, err := filepath.Glob(filepath.Join(r.config, "projects", "*", "*.jsonl"))
	require.NoError(r, err)
	return files
}
