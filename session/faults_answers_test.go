package session_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// overheard has what is told to the CLI of sp written to a file, and returns how to read the answers to the CLI's requests there, by
// id: each answer that was given, in order.
func overheard(t *testing.T, sp *session.Spec) func() map[string][]string {
	log := filepath.Join(t.TempDir(), "stdin")
	sp.CLI.Args = append([]string{"-c", `tee -a "$0" | "$@"`, log, sp.CLI.Path}, sp.CLI.Args...)
	sp.CLI.Path = "/bin/sh"
	return func() map[string][]string {
		file, err := os.Open(log)
		require.NoError(t, err)
		defer func() { _ = file.Close() }() // it was read
		answers := map[string][]string{}
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var m struct {
				Type     string
				Response struct {
					RequestID string `json:"request_id"`
					Subtype   string
					Response  json.RawMessage
				}
			}
			if json.Unmarshal(lines.Bytes(), &m) == nil && m.Type == "control_response" {
				answers[m.Response.RequestID] = append(answers[m.Response.RequestID], string(m.Response.Response))
			}
		}
		require.NoError(t, lines.Err())
		return answers
	}
}

// asks is a directive that has the simulated CLI ask the host.
func asks(id, request string) string {
	return fmt.Sprintf(`[[frame:{"type":"control_request","request_id":%q,"request":%s}]]`, id, request)
}

// Whatever a callback does, its question is answered once, explicitly, and with no consent; a dialog of a kind that nobody
// declared is left alone.
//
// Fault: callbacks for elicitations and dialogs panic, fail, never return, end their goroutine, answer nonsense
// Outcome: an explicit decline or cancel goes to the CLI; the session goes on
// On: simulated
func TestFaultHostCallbacks(t *testing.T) {
	sp := spec(t, "host")
	answers := overheard(t, &sp)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	misbehave := func(ctx context.Context, how string) error {
		switch how {
		case "panics":
			panic("host panic")
		case "fails":
			return errors.New("host error")
		case "hangs":
			<-release // whatever ctx says
		case "waits":
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	sp.Options.PermissionTimeout = 300 * time.Millisecond
	sp.Options.OnElicitation = func(ctx context.Context, q *protocol.Elicitation) (protocol.ElicitationResponse, error) {
		accept := protocol.ElicitationResponse{Action: protocol.ElicitAccept, Content: json.RawMessage(`{"name":"x"}`)}
		switch q.Message {
		case "nonsense":
			accept.Action = "perhaps"
		case "garbage":
			accept.Content = json.RawMessage(`{`)
		}
		return accept, misbehave(ctx, q.Message)
	}
	sp.Options.DialogKinds = []string{"form"}
	sp.Options.OnUserDialog = func(ctx context.Context, q *protocol.UserDialog) (any, error) {
		var how string
		if err := json.Unmarshal(q.Payload, &struct{ How *string }{&how}); err != nil {
			return nil, err
		}
		if how == "garbage" {
			return func() {}, nil
		}
		return map[string]int{"choice": 1}, misbehave(ctx, how)
	}
	b := start(t, sp)
	var prompt strings.Builder
	want := map[string]string{}
	for _, how := range []string{"answers", "panics", "fails", "hangs", "waits", "nonsense", "garbage"} {
		prompt.WriteString(asks("e-"+how, fmt.Sprintf(`{"subtype":"elicitation","mcp_server_name":"s","message":%q}`, how)))
		want["e-"+how] = `{"action":"decline"}`
	}
	want["e-answers"] = `{"action":"accept","content":{"name":"x"}}`
	prompt.WriteString(asks("d-unknown", `{"subtype":"request_user_dialog","dialog_kind":"other","payload":{}}`))
	for _, how := range []string{"answers", "panics", "fails", "hangs", "waits", "garbage"} {
		prompt.WriteString(asks("d-"+how, fmt.Sprintf(`{"subtype":"request_user_dialog","dialog_kind":"form","payload":{"how":%q}}`, how)))
		want["d-"+how] = `{"behavior":"cancelled"}`
	}
	want["d-answers"] = `{"behavior":"completed","result":{"choice":1}}`
	b.mustAsk(prompt.String())
	require.Eventually(t, func() bool { return len(answers()) >= len(want) }, time.Minute, 10*time.Millisecond)
	b.mustAsk("goes on") // and with it whatever else was on its way
	got := answers()
	assert.Empty(t, got["d-unknown"])
	for id, answer := range want {
		if assert.Len(t, got[id], 1, id) {
			assert.JSONEq(t, answer, got[id][0], id)
		}
	}
	assert.Equal(t, 1, b.Info().Generation)
}

// question is a permission question of the simulated CLI.
func question(id int) string {
	return asks(fmt.Sprintf("q%d", id), fmt.Sprintf(`{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"touch %d"},"tool_use_id":"t%d"}`, id, id))
}

// A thousand questions wait at once, and each gets the answer that it was given; of several answers to one, one counts.
//
// Fault: 1,000 approvals are open; each is answered twice, by different people at the same time
// Outcome: the CLI gets one answer to each, and it is the one whose sender was told so
// On: simulated
func TestFaultManyApprovals(t *testing.T) {
	const n = 1000
	sp := spec(t, "many")
	answers := overheard(t, &sp)
	b := start(t, sp)
	var prompt strings.Builder
	for i := range n {
		prompt.WriteString(question(i))
	}
	b.mustAsk(prompt.String())
	require.Eventually(t, func() bool { return len(b.Approvals()) == n }, time.Minute, time.Millisecond)
	assert.Equal(t, n, b.Info().Approvals)
	allowed := make(map[string]*atomic.Bool, n)
	waiting := b.Approvals()
	for i, a := range waiting {
		require.JSONEq(t, fmt.Sprintf(`{"command":"touch %d"}`, i), string(a.Input), "oldest first")
		allowed[a.ToolUseID] = &atomic.Bool{}
	}
	var all sync.WaitGroup
	work := make(chan func())
	for range 8 {
		all.Go(func() {
			for f := range work {
				f()
			}
		})
	}
	var lost atomic.Int64
	for _, a := range waiting {
		for _, allow := range []bool{true, false} {
			work <- func() {
				switch err := b.Answer(t.Context(), a.ID, session.ApprovalAnswer{Allow: allow}); {
				case err == nil:
					allowed[a.ToolUseID].Store(allow)
				case assert.ErrorIs(t, err, session.ErrNoApproval):
					lost.Add(1)
				}
			}
		}
	}
	close(work)
	all.Wait()
	assert.Equal(t, int64(n), lost.Load(), "one of two was too late")
	assert.Empty(t, b.Approvals())
	assert.Zero(t, b.Info().Approvals)
	require.Eventually(t, func() bool { return len(answers()) >= n }, time.Minute, 10*time.Millisecond)
	for id, given := range answers() {
		if !assert.Len(t, given, 1, id) {
			continue
		}
		result, err := protocol.ParsePermissionResult(json.RawMessage(given[0]))
		require.NoError(t, err)
		_, yes := result.(protocol.Allow)
		assert.Equal(t, allowed["t"+id[1:]].Load(), yes, id)
	}
}

// Answers that meet the end of the process are told that they came too late; the next process gets none of them.
//
// Fault: the CLI dies while its questions are being answered
// Outcome: each answer is taken or refused with ErrNoApproval, none hangs, and none reaches the next process
// On: simulated
func TestFaultAnswersMeetACrash(t *testing.T) {
	const n = 200
	sp := spec(t, "crash")
	b := start(t, sp)
	var prompt strings.Builder
	for i := range n {
		prompt.WriteString(question(i))
	}
	b.mustAsk(prompt.String())
	require.Eventually(t, func() bool { return len(b.Approvals()) == n }, time.Minute, time.Millisecond)
	waiting := b.Approvals()
	var taken, late int
	for i, a := range waiting {
		if i == n/4 {
			b.kill()
		}
		if err := b.Answer(t.Context(), a.ID, session.ApprovalAnswer{Allow: true}); err == nil {
			taken++
			assert.Zero(t, late, "after one that came too late none is taken")
		} else if assert.ErrorIs(t, err, session.ErrNoApproval) {
			late++
		}
		if i == n/2 {
			require.Eventually(t, func() bool { return b.Info().Generation == 2 }, time.Minute, time.Millisecond)
		}
	}
	assert.GreaterOrEqual(t, taken, n/4)
	assert.GreaterOrEqual(t, late, n/2-1)
	assert.Empty(t, b.Approvals())
	b.mustAsk("goes on")
	assert.Empty(t, b.Approvals())
	assert.Equal(t, 2, b.Info().Generation)
}

// An actor that is killed cannot take back what it asked; that is done for it.
//
// Fault: the session's actor is killed while a question waits
// Outcome: the approval is withdrawn, its answer refused with the reason
// On: simulated
func TestFaultActorIsKilledWithAnApproval(t *testing.T) {
	sp := spec(t, "killed")
	sp.Options.Shutdown = supervisor.BrutalKill
	b := start(t, sp)
	b.mustAsk(question(1))
	require.Eventually(t, func() bool { return len(b.Approvals()) == 1 }, time.Minute, time.Millisecond)
	a := b.Approvals()[0]
	pid := b.Info().PID
	require.NoError(t, b.sup.TerminateChild(t.Context(), "killed"))
	require.Eventually(t, func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }, time.Minute, time.Millisecond, "the process is killed with it")
	require.Eventually(t, func() bool { return len(b.Approvals()) == 0 }, time.Minute, time.Millisecond)
	assert.Zero(t, b.Info().Approvals)
	err := b.Answer(t.Context(), a.ID, session.ApprovalAnswer{Allow: true})
	require.ErrorIs(t, err, session.ErrNoApproval)
	assert.ErrorContains(t, err, "withdrawn: the actor that asked has ended")
	assert.True(t, b.Asked(a.ID))
}
