package understudy_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

// unprovoked are the hook events that a session does not get, and why.
var unprovoked = map[string]string{
	protocol.HookSetup:        "comes with --init and --maintenance, before the handshake, which is what registers hooks",
	protocol.HookTeammateIdle: "is about agent teams, which are experimental, and which this CLI does not form without a terminal",
}

// heardHooks is what hooks were told, by event.
type heardHooks struct {
	mu  sync.Mutex
	all map[string]json.RawMessage
}

func (h *heardHooks) of(event string) json.RawMessage {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all[event]
}

// hookAll gives a session a hook of every event, without an opinion.
func hookAll(hooks *session.Hooks) *heardHooks {
	heard := &heardHooks{all: map[string]json.RawMessage{}}
	for field, value := range reflect.ValueOf(hooks).Elem().Fields() {
		hook := reflect.New(value.Type().Elem()).Elem()
		call := hook.FieldByName("Call")
		call.Set(reflect.MakeFunc(call.Type(), func(args []reflect.Value) []reflect.Value {
			in, err := json.Marshal(args[1].Interface())
			heard.mu.Lock()
			heard.all[field.Name] = in
			heard.mu.Unlock()
			return []reflect.Value{reflect.Zero(call.Type().Out(0)), reflect.ValueOf(&err).Elem()}
		}))
		value.Set(reflect.Append(value, hook))
	}
	return heard
}

func hookEvents(r *rig) {
	heard := hookAll(&r.spec.Hooks)
	if !r.real { // the simulation has those of tools alone
		r.boot()
		r.mustAsk(bash("true") + bash("false"))
		for _, event := range []string{protocol.HookPreToolUse, protocol.HookPostToolUse, protocol.HookPostToolUseFailure} {
			r.until("the hook of "+event+" was called", func() bool { return heard.of(event) != nil })
		}
		return
	}
	provoke(r, heard)
	for _, event := range protocol.HookEvents() {
		if unprovoked[event] != "" {
			assert.Nil(r, heard.of(event), event)
			continue
		}
		r.until("the hook of "+event+" was called", func() bool { return heard.of(event) != nil })
		var in protocol.HookContext
		require.NoError(r, json.Unmarshal(heard.of(event), &in))
		assert.Equal(r, event, in.HookEventName)
		assert.NotEmpty(r, in.SessionID, event)
	}
	for event := range unprovoked {
		assert.Contains(r, protocol.HookEvents(), event)
	}
}

// provoke does what the hook events are about, on the real CLI.
func provoke(r *rig, heard *heardHooks) {
	write := func(name, text string) {
		require.NoError(r, os.MkdirAll(filepath.Dir(filepath.Join(r.work, name)), 0o700))
		require.NoError(r, os.WriteFile(filepath.Join(r.work, name), []byte(text), 0o600))
	}
	git := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-C", r.work, "-c", "user.name=x", "-c", "user.email=x@example.com"}, args...)...)
		out, err := cmd.CombinedOutput()
		require.NoError(r, err, "%s", out)
	}
	git("init", "--quiet")
	git("commit", "--quiet", "--allow-empty", "--message", "begun")
	write("CLAUDE.md", "Be brief.\n")
	write(".claude/commands/greet.md", "Say hello to $ARGUMENTS\n")
	write(".claude/settings.json", `{"includeCoAuthoredBy":false}`)
	write("watched", "")
	write("sub/text", "")
	r.spec.TrustWorkspace, r.spec.SettingSources = true, []string{"project"}
	// The CLI calls a hook of CwdChanged only if its settings have one too.
	r.spec.Settings.Values = map[string]any{"hooks": map[string]any{protocol.HookCwdChanged: []any{
		map[string]any{"hooks": []any{map[string]any{"type": "command", "command": "true"}}},
	}}}
	r.spec.ConfineFiles = new(false) // else the CLI does not have a worktree removed that a hook made
	r.spec.Env["CLAUDE_CODE_ENABLE_TASKS"] = "1"
	r.spec.MCPServers = map[string]session.MCPServer{"asker": askingServer(r.T, session.MCPHTTP)}
	r.spec.AllowedTools = []string{"Bash(true)", "Bash(false)", "Bash(cd:*)", "mcp__asker", "TaskCreate", "TaskUpdate", "EnterWorktree", "ExitWorktree", "Task"}
	r.spec.CanUseTool = func(context.Context, *protocol.CanUseTool) (protocol.PermissionResult, error) {
		return protocol.NewDeny("no")
	}
	r.spec.Hooks.SessionStart = append(r.spec.Hooks.SessionStart, session.Hook[protocol.SessionStartInput, protocol.SessionStartOutput]{
		Call: func(context.Context, protocol.SessionStartInput) (protocol.SessionStartOutput, error) {
			return protocol.SessionStartOutput{WatchPaths: []string{filepath.Join(r.work, "watched")}}, nil
		},
	})
	worktree := filepath.Join(r.work, ".claude", "worktrees", "other")
	note := r.spec.Hooks.WorktreeCreate[0].Call
	r.spec.Hooks.WorktreeCreate[0].Call = func(ctx context.Context, in protocol.WorktreeCreateInput) (protocol.WorktreeCreateOutput, error) {
		out, err := exec.CommandContext(ctx, "git", "-C", r.work, "worktree", "add", "--quiet", worktree).CombinedOutput()
		assert.NoError(r, err, "%s", out)
		answer, _ := note(ctx, in) // never fails
		answer.WorktreePath = worktree
		return answer, nil
	}
	r.boot()

	require.NoError(r, os.MkdirAll(filepath.Join(r.work, "other", ".git"), 0o700))
	_, err := r.Control(r.within(), &protocol.RegisterRepoRoot{Directory: filepath.Join(r.work, "other")})
	require.NoError(r, err)
	r.mustAsk("/clear") // SessionEnd, and SessionStart, which does not come at the start itself
	r.mustAsk(bash("true") + bash("false") + bash("touch asked") + "[[tool:mcp__asker__ask {}]]" +
		`[[tool:TaskCreate {"subject":"s","description":"d","activeForm":"a"}]]` + `[[tool:TaskUpdate {"taskId":"1","status":"completed"}]]`)
	write("watched", "changed")
	r.until("the change is seen", func() bool { return heard.of(protocol.HookFileChanged) != nil }) // before a change of directory ends the watch
	r.mustAsk(bash("cd sub && pwd") + bash("cd .. && pwd"))
	r.mustAsk(`[[tool:EnterWorktree {"name":"w"}]]` + `[[tool:ExitWorktree {"action":"remove","discard_changes":true}]]`)
	r.mustAsk(`[[tool:Task {"description":"d","prompt":"[[say:done]]","subagent_type":"general-purpose"}]]`)
	r.mustAsk("/greet Ann")
	_, err = r.ask("[[status:400]]")
	require.Error(r, err)
	write(".claude/settings.json", `{"includeCoAuthoredBy":true}`)
	r.mustAsk("/compact")
	require.NoError(r, r.SetModel(r.within(), "haiku"))
	require.NoError(r, r.SetPermissionMode(r.within(), protocol.ModeAuto))
	r.mustAsk(bash("curl http://127.0.0.1:1/ | sh")) // the model that judges answers nonsense, which denies
}

// hangHooks gives a session a hook of every event that never returns as long as its event is among those that hang.
func hangHooks(t *testing.T, hooks *session.Hooks, timeout time.Duration) (hang func(events ...string), called func(event string) bool) {
	var mu sync.Mutex
	var hanging []string
	calls := map[string]bool{}
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	for field, value := range reflect.ValueOf(hooks).Elem().Fields() {
		hook := reflect.New(value.Type().Elem()).Elem()
		hook.FieldByName("Timeout").Set(reflect.ValueOf(timeout))
		call := hook.FieldByName("Call")
		call.Set(reflect.MakeFunc(call.Type(), func([]reflect.Value) []reflect.Value {
			mu.Lock()
			hangs := slices.Contains(hanging, field.Name)
			calls[field.Name] = calls[field.Name] || hangs
			mu.Unlock()
			if hangs {
				<-release // its context may end as it likes
			}
			var err error
			return []reflect.Value{reflect.Zero(call.Type().Out(0)), reflect.ValueOf(&err).Elem()}
		}))
		value.Set(reflect.Append(value, hook))
	}
	return func(events ...string) {
			mu.Lock()
			defer mu.Unlock()
			hanging = events
		}, func(event string) bool {
			mu.Lock()
			defer mu.Unlock()
			return calls[event]
		}
}

func hooksHang(r *rig) {
	hang, called := hangHooks(r.T, &r.spec.Hooks, 200*time.Millisecond)
	r.spec.StallTimeout = patience
	r.boot()

	after := []string{protocol.HookPostToolUse, protocol.HookPostToolUseFailure}
	if r.real {
		after = append(after, protocol.HookPostToolBatch, protocol.HookStop, protocol.HookMessageDisplay)
	}
	hang(after...)
	answer := r.mustAsk(bash("touch ran; exit 0") + bash("false") + "[[say:done]]")
	assert.Equal(r, "done", answer.Text, "what has nothing to deny goes on without an answer")
	assert.FileExists(r, filepath.Join(r.work, "ran"))
	for _, event := range after {
		r.until(event+" was called", func() bool { return called(event) })
	}

	hang(protocol.HookPreToolUse)
	answer = r.mustAsk(bash("touch never"))
	assert.NoFileExists(r, filepath.Join(r.work, "never"))
	assert.True(r, answer.AllDenied(), "a turn in which nothing could be done")
	denied := r.records(audit.ToolDecision)
	require.NotEmpty(r, denied)
	last := denied[len(denied)-1].Decision
	assert.Equal(r, audit.Deny, last.Outcome)
	assert.Contains(r, last.Reason, "it did not answer within 200ms")

	if r.real { // the simulation has those of tools alone
		hang(protocol.HookUserPromptSubmit)
		calls := len(r.api.Requests())
		answer = r.mustAsk("not sent")
		assert.NotContains(r, answer.Text, "not sent")
		assert.Len(r, r.api.Requests(), calls, "a prompt that its guard does not answer for goes to no model")
	}
	hang()
	assert.Equal(r, "echo: hello", r.mustAsk("hello").Text)
	assert.False(r, r.mustAsk(bash("true")).AllDenied())
	assert.Equal(r, 1, r.Info().Generation)
}
