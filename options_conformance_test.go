package understudy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/supervisor"
)

// An optionTest sets one option of a session on the real CLI, and looks at what it does. That the CLI takes it is shown by the
// process that it shares with others: an unknown flag would end that at once.
type optionTest struct {
	set func(*optionRig)
	// seen looks at the effect; nil where nothing of it can be seen from outside.
	seen func(*optionRig)
}

// optionRig is a session with the options of one process, after its first turn.
type optionRig struct {
	*rig
	init     *protocol.Init
	messages []protocol.Message // of the first turn
	stderr   *lines
	tools    chan session.ToolEvent
}

// lines collects what is said, from any goroutine.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(line string) { l.mu.Lock(); defer l.mu.Unlock(); l.all = append(l.all, line) }
func (l *lines) empty() bool     { l.mu.Lock(); defer l.mu.Unlock(); return len(l.all) == 0 }

// stays are the options that mean nothing to the CLI: what they do is shown by the tests named, if by any.
var stays = map[string]string{
	"containment": "TestLaunchers, package process", "launcher": "TestLaunchers", "limits": "package process",
	"restart": "package supervisor", "shutdown": "package session", "start_timeout": "package session", "stall_timeout": "package session",
	"turn_timeout": "package session", "control_timeout": "package session", "permission_timeout": "TestApprovals", "interrupt_grace": "package session",
	"max_line_bytes": "package session", "redeliver": "package session", "max_queue": "package session", "max_unread_bytes": "package session",
	"exclusive_cwd": "TestADirectoryOfOneSession", "max_subagents": "TestSubagentsAreLimited", "max_identical_tool_calls": "toolLoop in TestConformance", "max_tool_cycles": "toolCycle in TestConformance, TestACycleInASubagent",
	"idle_timeout": "hibernation in TestConformance", "resume_attempts": "poisoned in TestConformance",
	"on_resume_failure": "poisoned in TestConformance", "budgets": "package session", "api_key_delivery": "TestKeyHunt",
	"api_proxy": "TestTheProxyIsASecondMeter", "roots": "package session", "sensitive": "the checklist of package config",
	"APIKeySource": "TestAKeyIsAskedForAtEachStart", "CanUseTool": "permissionCallback in TestConformance", "Hooks": "TestHooks",
	"OnElicitation": "TestElicitationIsAnswered", "OnUserDialog": "TestDialogIsAnswered", "DialogKinds": "TestDialogIsAnswered",
	"resume": "TestJoining", "continue": "TestJoining", "from_pr": "TestJoining", "fork_session": "TestJoining",
	"resume_session_at": "TestJoining", "resume_drops_turn": "TestJoining",
}

// optionTests are the processes, and the options of each by their keys in a file, or by their Go names if only Go has them.
func optionTests() map[string]map[string]optionTest {
	all := maps.Clone(otherProcesses)
	first := map[string]optionTest{}
	for _, options := range []map[string]optionTest{modelOptions, toolOptions, workspaceOptions, streamOptions} {
		maps.Copy(first, options)
	}
	all["much at once"] = first
	return all
}

func (r *optionRig) hasServer(name string) bool {
	return slices.ContainsFunc(r.init.MCPServers, func(s protocol.MCPServer) bool { return s.Name == name })
}

// TestOptions sets every option on the real CLI.
func TestOptions(t *testing.T) {
	t.Setenv("OPTION_TEST_ONE", "one")
	t.Setenv("OPTION_TEST_TWO", "two")
	t.Setenv("NOT_OPTION_TEST", "three")
	credentials := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(credentials, "option-test"), []byte("key-of-a-credential-0123456789"), 0o600))
	t.Setenv(session.CredentialsDirectory, credentials)
	for name, options := range optionTests() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &optionRig{rig: newRig(t, true), stderr: &lines{}, tools: make(chan session.ToolEvent, 1000)}
			keys := slices.Sorted(maps.Keys(options))
			for _, key := range keys {
				options[key].set(r)
				assert.Falsef(t, fieldByKey(t, r.spec, key).IsZero(), "%s is not set", key)
			}
			if r.spec.ToolCallback == nil {
				r.spec.ToolCallback = func(e session.ToolEvent) { r.tools <- e }
			}
			r.boot()
			r.messages = r.said("hello")
			inits := found[*protocol.Init](r.messages)
			require.Len(t, inits, 1)
			r.init = inits[0]
			for _, key := range keys {
				if seen := options[key].seen; seen != nil {
					t.Run(key, func(t *testing.T) {
						own := *r
						inner := *r.rig
						inner.T = t
						own.rig = &inner
						seen(&own)
					})
				}
			}
		})
	}
}

// TestAgentProgressSummaries waits for half a minute, which the CLI takes before it asks what a subagent does.
func TestAgentProgressSummaries(t *testing.T) {
	if os.Getenv("UNDERSTUDY_CHAOS") == "" {
		t.Skip("half a minute: make chaos")
	}
	t.Parallel()
	r := &optionRig{rig: newRig(t, true)}
	r.spec.AgentProgressSummaries = true
	r.spec.AllowedTools = append(r.spec.AllowedTools, "Task")
	r.spec.Agents = map[string]session.Agent{"helper": {Description: "helps", Prompt: "You are the helper."}}
	r.boot()
	use := `[[tool:Bash {\"command\":\"true\"}]]`
	messages := r.said(`[[tool:Task {"description":"d","prompt":"` + use + use + ` [[sleep:40]]","subagent_type":"helper","run_in_background":false}]]`)
	assert.True(t, slices.ContainsFunc(found[*protocol.TaskEvent](messages), func(e *protocol.TaskEvent) bool {
		return e.Subtype == protocol.TaskProgress && e.Summary == "Doing what is scripted"
	}))
}

// TestEveryOptionIsTested: an option that is added is to be tried on the real CLI, or to be said to mean nothing to it.
func TestEveryOptionIsTested(t *testing.T) {
	tried := maps.Clone(stays)
	for _, options := range optionTests() {
		for key := range options {
			assert.NotContains(t, stays, key)
			tried[key] = "TestOptions"
		}
	}
	for f := range reflect.TypeFor[session.Options]().Fields() {
		key := optionKey(f)
		assert.Contains(t, tried, key)
		delete(tried, key)
	}
	assert.Empty(t, tried, "no such option")
}

// TestAnUnknownFlagEndsTheCLI is why the processes of TestOptions show that their flags are known.
func TestAnUnknownFlagEndsTheCLI(t *testing.T) {
	t.Parallel()
	r := newRig(t, true)
	r.spec.ExtraArgs = map[string]*string{"no-such-flag": new("x")}
	rt, err := understudy.Start(r.within(), r.options)
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(t, rt) })
	_, err = rt.Spawn(r.within(), "worker", r.spec)
	var crash *session.CrashError
	require.ErrorAs(t, err, &crash)
	assert.Equal(t, process.ClassRequest, crash.Class)
	assert.ErrorContains(t, err, "no-such-flag")
	assert.True(t, supervisor.Permanently(err))
}

func optionKey(f reflect.StructField) string {
	if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != "-" {
		return key
	}
	return f.Name
}

func fieldByKey(t *testing.T, o session.Options, key string) reflect.Value {
	t.Helper()
	for f := range reflect.TypeFor[session.Options]().Fields() {
		if optionKey(f) == key {
			return reflect.ValueOf(o).FieldByIndex(f.Index)
		}
	}
	require.FailNow(t, "no such option: "+key)
	return reflect.Value{}
}

// found are the messages of one kind.
func found[M protocol.Message](messages []protocol.Message) (all []M) {
	for _, m := range messages {
		if m, ok := m.(M); ok {
			all = append(all, m)
		}
	}
	return all
}

func (r *optionRig) write(path, text string) {
	r.Helper()
	require.NoError(r, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(r, os.WriteFile(path, []byte(text), 0o600))
}

func (r *optionRig) argv() string {
	r.Helper()
	argv, err := r.Launch().Argv()
	require.NoError(r, err)
	return strings.Join(argv, "\n")
}

// use has the model use a tool, and returns its result.
func (r *optionRig) use(call string) string {
	r.Helper()
	for len(r.tools) > 0 {
		<-r.tools
	}
	r.mustAsk("[[tool:" + call + "]]")
	return (<-r.tools).Result
}

// subagent has the agent "helper" do something, and returns what was said meanwhile.
func (r *optionRig) subagent() []protocol.Message {
	r.Helper()
	return r.said(`[[tool:Task {"description":"d","prompt":"[[say:from below]]","subagent_type":"helper","run_in_background":false}]]`)
}

// forked is the first model call of a copy of the conversation, by a session that has something else appended to its system prompt.
func (r *optionRig) forked(prompt string) sessiontest.Request {
	r.Helper()
	o := r.spec
	o.Resume, o.ForkSession, o.SessionID, o.AppendSystemPrompt = r.init.SessionID, true, "", "appended later"
	fork, err := r.rt.Spawn(r.within(), "fork", o)
	require.NoError(r, err)
	_, err = fork.Ask(r.within(), prompt)
	require.NoError(r, err)
	require.NoError(r, r.rt.Stop(r.within(), "fork"))
	return r.call(prompt)
}

// suggestion is what the CLI thinks that the user may say after a prompt.
func (r *optionRig) suggestion(prompt string) string {
	r.Helper()
	ctx := r.within()
	var begun atomic.Bool
	made := make(chan string, 1)
	go func() { // ends with the context
		for e, err := range r.Watch(ctx) {
			begun.Store(true)
			if s, ok := e.Message.(*protocol.PromptSuggestion); ok && err == nil {
				made <- s.Suggestion
				return
			}
		}
	}()
	for !begun.Load() {
		r.mustAsk("does anybody listen?")
	}
	r.mustAsk(prompt)
	select {
	case s := <-made:
		return s
	case <-ctx.Done():
		require.FailNow(r, "no suggestion")
		return ""
	}
}

// said are all messages of a turn.
func (r *optionRig) said(prompt string) (messages []protocol.Message) {
	r.Helper()
	for m, err := range r.Query(r.within(), prompt) {
		require.NoError(r, err)
		messages = append(messages, m)
	}
	return messages
}

// call is the first model call for a prompt.
func (r *optionRig) call(prompt string) sessiontest.Request {
	r.Helper()
	for _, request := range r.api.Requests() {
		if request.Text() == prompt {
			return request
		}
	}
	require.FailNow(r, "no model call for "+prompt)
	return sessiontest.Request{}
}

// body is the body of the first model call for a prompt without its lists, one "path=value" a value.
func (r *optionRig) body(prompt string) string {
	r.Helper()
	var body map[string]any
	require.NoError(r, json.Unmarshal(r.call(prompt).Body, &body))
	var out strings.Builder
	var flatten func(prefix string, v any)
	flatten = func(prefix string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, below := range v {
				flatten(prefix+"."+key, below)
			}
		case []any:
		default:
			fmt.Fprintf(&out, "%s=%v\n", strings.TrimPrefix(prefix, "."), v)
		}
	}
	flatten("", body)
	return out.String()
}

// probeVariable makes the test binary an MCP server over stdin and stdout; its value is what the tool shout adds.
const probeVariable = "UNDERSTUDY_TEST_PROBE"

func probeServer(word session.Secret) session.MCPServer {
	return session.MCPServer{Command: os.Args[0], Env: map[string]session.Secret{probeVariable: word}}
}

// serveProbe has two tools: one that shouts, and one that permits what the CLI asks about, unless it is to be refused.
func serveProbe(word string) {
	server := mcp.NewServer(&mcp.Implementation{Name: "probe", Version: "1"}, nil)
	text := func(s string) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: s}}}, nil, nil
	}
	mcp.AddTool(server, &mcp.Tool{Name: "shout", Description: "Shouts."}, func(_ context.Context, _ *mcp.CallToolRequest, in struct {
		Text string `json:"text"`
	}) (*mcp.CallToolResult, any, error) {
		return text(strings.ToUpper(in.Text) + " " + word)
	})
	mcp.AddTool(server, &mcp.Tool{Name: "permit", Description: "Answers permission questions."}, func(_ context.Context, _ *mcp.CallToolRequest, in map[string]any) (*mcp.CallToolResult, any, error) {
		input, err := json.Marshal(in["input"])
		if err != nil {
			return nil, nil, err
		}
		if strings.Contains(string(input), "refused") {
			return text(`{"behavior":"deny","message":"the tool says no"}`)
		}
		return text(`{"behavior":"allow","updatedInput":` + string(input) + `}`)
	})
	if err := server.Run(context.Background(), &mcp.StdioTransport{}); err != nil { // its stdin ends with the CLI
		os.Exit(1)
	}
}
