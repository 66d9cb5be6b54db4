package understudy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

func permissionCallback(r *rig) {
	r.spec.AllowedTools = nil
	r.spec.CanUseTool = func(_ context.Context, q *protocol.CanUseTool) (protocol.PermissionResult, error) {
		var in struct{ Command string }
		if err := json.Unmarshal(q.Input, &in); err != nil {
			return nil, err
		}
		switch {
		case strings.Contains(in.Command, "allowed"):
			return protocol.Allowed(q), nil
		case strings.Contains(in.Command, "panic"):
			panic("callback panic")
		}
		return protocol.NewDeny("not on my watch")
	}
	events := make(chan session.ToolEvent, 10)
	r.spec.ToolCallback = func(e session.ToolEvent) { events <- e }
	r.boot()
	for _, test := range []struct {
		file   string
		denied bool
		result string
	}{{"allowed", false, ""}, {"other", true, "not on my watch"}, {"panic", true, "callback panic"}} {
		command := "touch " + test.file
		answer := r.mustAsk(bash(command))
		assert.Equal(r, []string{"Bash"}, answer.Tools)
		if test.denied {
			assert.Len(r, answer.Result.PermissionDenials, 1)
		} else {
			assert.Empty(r, answer.Result.PermissionDenials)
		}
		assert.Equal(r, !test.denied, exists(filepath.Join(r.work, test.file)), "the tool's effect: %s", test.file)
		var e session.ToolEvent
		select {
		case e = <-events:
		case <-time.After(patience):
			require.FailNow(r, "the tool callback was not called")
		}
		assert.Equal(r, test.denied, e.Denied)
		assert.Equal(r, test.denied, e.IsError)
		assert.Contains(r, e.Result, test.result)
		assert.Equal(r, "Bash", e.Name)
		assert.Equal(r, "worker", e.Session)
		assert.Equal(r, r.Info().SessionID, e.SessionID)
		assert.JSONEq(r, `{"command":"`+command+`"}`, string(e.Input))
		assert.False(r, e.EndedAt.Before(e.StartedAt))

		var story []audit.Kind
		for _, record := range r.settled(e.ToolUseID) {
			story = append(story, record.Kind)
		}
		assert.Equal(r, []audit.Kind{audit.ToolIntent, audit.ToolDecision, audit.ToolResult}, story)
	}
	assert.Empty(r, events, "each tool use is told once")
	assert.Equal(r, 1, r.Info().Generation, "no panic of a callback is the session's")
}

// reasonsOfCommands has the CLI say why it lets a command run, or does not: a rule for the whole tool is one reason, everything else is
// looked at command by command.
func reasonsOfCommands(r *rig) {
	r.spec.AllowedTools = []string{"Bash(touch:*)"}
	r.spec.DisallowedTools = []string{"Bash(rm:*)"}
	r.spec.PermissionPrompts = session.PromptsNone
	r.boot()
	for command, want := range map[string]string{
		"ls": "accept subcommandResults", "touch f; ls": "accept subcommandResults", "rm f": "reject subcommandResults", "mkdir d": "reject asyncAgent",
	} {
		assert.Equal(r, want, r.reasonFor(command), command)
	}
	whole := r.spec
	whole.AllowedTools = []string{"Bash"}
	other, err := r.rt.Spawn(r.within(), "other", whole)
	require.NoError(r, err)
	r.Session = other
	assert.Equal(r, "accept rule", r.reasonFor("touch g; mkdir e"))
	assert.Equal(r, "reject subcommandResults", r.reasonFor("rm f"))
}

// reasonFor is what the CLI says of its decision about a command.
func (r *rig) reasonFor(command string) (reason string) {
	r.Helper()
	for m, err := range r.Query(r.within(), bash(command)) {
		require.NoError(r, err)
		if u, ok := m.(*protocol.User); ok {
			var f struct {
				Meta []struct {
					Permission struct {
						Decision string
						Reason   string `json:"reason_type"`
					} `json:"permission_decision"`
				} `json:"tool_result_meta"`
			}
			require.NoError(r, json.Unmarshal(u.Raw(), &f))
			require.Len(r, f.Meta, 1)
			reason = f.Meta[0].Permission.Decision + " " + f.Meta[0].Permission.Reason
		}
	}
	return reason
}

// settled is what the audit log has of a tool use that has ended, its result included.
func (r *rig) settled(id string) []audit.Record {
	r.Helper()
	var story []audit.Record
	r.until("the result is in the audit log", func() bool {
		story = nil
		for _, record := range r.records(audit.ToolIntent, audit.ToolDecision, audit.ToolResult, audit.ToolOrphan) {
			if record.ToolUseID == id {
				story = append(story, record)
			}
		}
		return len(story) > 0 && story[len(story)-1].Kind == audit.ToolResult
	})
	return story
}

func nobodyToAsk(r *rig) {
	r.spec.AllowedTools = nil
	r.spec.PermissionPrompts = session.PromptsNone
	r.boot()
	answer := r.mustAsk(bash("touch file"))
	assert.Len(r, answer.Result.PermissionDenials, 1)
	assert.False(r, exists(filepath.Join(r.work, "file")))
	var denied []audit.Record
	r.until("the decision is in the audit log", func() bool {
		denied = r.records(audit.ToolDecision)
		return len(denied) > 0
	})
	assert.Equal(r, audit.Deny, denied[0].Decision.Outcome)
}

// intentFirst has the tool itself look into the audit log: when it runs, its intent is there.
func intentFirst(r *rig) {
	events := make(chan session.ToolEvent, 10)
	r.spec.ToolCallback = func(e session.ToolEvent) { events <- e }
	r.boot()
	log := audit.Path(filepath.Join(r.options.DataDir, "audit"))
	for n := 1; n <= 3; n++ {
		r.mustAsk(bash(fmt.Sprintf("echo round %d; grep -ac tool.intent %s", n, log)))
		e := <-events
		assert.Equal(r, fmt.Sprintf("round %d\n%d", n, n), strings.TrimSpace(e.Result))
		story := r.settled(e.ToolUseID)
		require.Len(r, story, 3)
		intent, decision, result := story[0], story[1], story[2]
		assert.Equal(r, audit.ToolIntent, intent.Kind)
		assert.Equal(r, audit.ToolDecision, decision.Kind)
		assert.Equal(r, &audit.Decision{Outcome: audit.Allow, By: "rule", Rule: "Bash", Reason: decision.Decision.Reason}, decision.Decision)
		assert.Equal(r, audit.ToolResult, result.Kind)
		assert.Equal(r, "Bash", intent.Tool)
		assert.Equal(r, "worker", intent.Session)
		assert.Equal(r, n, intent.Turn)
		assert.Equal(r, n, result.Turn)
		assert.JSONEq(r, string(e.Input), string(intent.Input))
		assert.Contains(r, string(result.Output), fmt.Sprintf("round %d", n))
		require.NotNil(r, result.IsError)
		assert.False(r, *result.IsError)
		assert.Equal(r, audit.Allow, result.Decision.Outcome)
		assert.False(r, result.Time.Before(intent.Time))
	}
}
