package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session/protocol"
)

// Whatever the permission callback does, the tool's question is answered once, and with a denial unless it said yes in a way that can be
// sent. So is one that cannot be read: what the CLI takes for no answer may let a tool run.
//
// Fault: the callback panics, fails, never returns, ends its goroutine, answers nonsense; questions lack what they need, or have it in another type
// Outcome: an explicit denial goes to the CLI for each; the session goes on
// On: simulated
func TestFaultPermissionCallbacks(t *testing.T) {
	sp := spec(t, "host")
	answers := overheard(t, &sp)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	sp.Options.PermissionTimeout = 300 * time.Millisecond
	sp.Options.CanUseTool = func(ctx context.Context, q *protocol.CanUseTool) (protocol.PermissionResult, error) {
		switch q.ToolUseID {
		case "panics":
			panic("host panic")
		case "fails":
			return protocol.Allowed(q), errors.New("host error")
		case "hangs":
			<-release
		case "waits":
			<-ctx.Done()
			return protocol.Allowed(q), ctx.Err()
		case "ends":
			runtime.Goexit()
		case "nothing":
			return nil, nil
		case "nil":
			return (*protocol.Allow)(nil), nil
		case "garbage":
			return protocol.Allow{UpdatedInput: json.RawMessage(`{`)}, nil
		case "list":
			return protocol.Allow{UpdatedInput: json.RawMessage(`[]`)}, nil
		}
		return protocol.Allowed(q), nil
	}
	b := start(t, sp)
	var prompt strings.Builder
	denied := []string{"panics", "fails", "hangs", "waits", "ends", "nothing", "nil", "garbage", "list"}
	for _, how := range append([]string{"answers"}, denied...) {
		prompt.WriteString(asks(how, fmt.Sprintf(`{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"true"},"tool_use_id":%q}`, how)))
	}
	for name, question := range map[string]string{
		"no name": `{"subtype":"can_use_tool","input":{}}`, "a name of another type": `{"subtype":"can_use_tool","tool_name":7,"input":{},"tool_use_id":"x"}`,
		"no input": `{"subtype":"can_use_tool","tool_name":"Bash"}`, "an input of another type": `{"subtype":"can_use_tool","tool_name":"Bash","input":[],"tool_use_id":"y"}`,
	} {
		prompt.WriteString(asks(name, question))
		denied = append(denied, name)
	}
	hooks := map[string]string{
		"hook without input": `{"subtype":"hook_callback","callback_id":"intent"}`, "hook of another type": `{"subtype":"hook_callback","callback_id":7,"input":[]}`,
		"hook that nobody has": `{"subtype":"hook_callback","callback_id":"nobody's","input":{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{},"tool_use_id":"z"}}`,
	}
	for name, question := range hooks {
		prompt.WriteString(asks(name, question))
	}
	b.mustAsk(prompt.String())
	require.Eventually(t, func() bool { return len(answers()) >= 1+len(denied)+len(hooks) }, time.Minute, 10*time.Millisecond)
	b.mustAsk("goes on") // and with it whatever else was on its way
	got := answers()
	behavior := func(id string) string {
		if !assert.Len(t, got[id], 1, id) {
			return ""
		}
		var answer struct{ Behavior string }
		require.NoError(t, json.Unmarshal([]byte(got[id][0]), &answer), "%s: %q", id, got[id][0])
		return answer.Behavior
	}
	assert.Equal(t, "allow", behavior("answers"))
	for _, id := range denied {
		assert.Equal(t, "deny", behavior(id), id)
	}
	for id := range hooks {
		if assert.Len(t, got[id], 1, id) {
			assert.Contains(t, got[id][0], `"permissionDecision":"deny"`, id)
		}
	}
	assert.Equal(t, 1, b.Info().Generation)
}

// Fault: a thousand questions at once, each of which the callback keeps for a while; the process is killed before they are answered
// Outcome: the callbacks are told by their contexts, nobody is answered, and the next process is asked anew
// On: simulated
func TestFaultAThousandCallbacks(t *testing.T) {
	const n = 1000
	sp := spec(t, "many")
	answers := overheard(t, &sp)
	var asked, told atomic.Int64
	sp.Options.CanUseTool = func(ctx context.Context, q *protocol.CanUseTool) (protocol.PermissionResult, error) {
		if q.ToolUseID == "again" {
			return protocol.Allowed(q), nil
		}
		asked.Add(1)
		<-ctx.Done()
		told.Add(1)
		return protocol.Allowed(q), nil // too late
	}
	b := start(t, sp)
	var prompt strings.Builder
	for i := range n {
		prompt.WriteString(question(i))
	}
	b.mustAsk(prompt.String())
	require.Eventually(t, func() bool { return asked.Load() == n }, time.Minute, 10*time.Millisecond)
	pid := b.Info().PID
	require.Positive(t, pid)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.Eventually(t, func() bool { return told.Load() == n }, time.Minute, 10*time.Millisecond, "each context is over")
	b.mustAsk(asks("again", `{"subtype":"can_use_tool","tool_name":"Bash","input":{},"tool_use_id":"again"}`))
	require.Eventually(t, func() bool { return len(answers()["again"]) == 1 }, time.Minute, 10*time.Millisecond)
	got := answers()
	for i := range n {
		require.Empty(t, got[fmt.Sprintf("q%d", i)], "an answer to a question that nobody asks any more")
	}
}
