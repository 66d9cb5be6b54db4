package understudy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// TestKeyHunt has a tool look for the key in its environment, in /proc of its ancestors and in the data directory, for each way
// that the key can be delivered. The tool is not in the sandbox, and runs as the same user: it sees what there is to see.
func TestKeyHunt(t *testing.T) {
	t.Parallel()
	for delivery, inCLI := range map[session.APIKeyDelivery]bool{session.DeliverEnv: true, session.DeliverFD: false, session.DeliverProxy: false} {
		t.Run(string(delivery), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, true, sessiontest.RequireKey(madeUpKey))
			r.spec.APIKey, r.spec.APIKeyDelivery = "", delivery
			file := filepath.Join(t.TempDir(), "key")
			require.NoError(t, os.WriteFile(file, []byte(madeUpKey+"\n"), 0o600))
			r.spec.APIKeyFile = file
			events := make(chan session.ToolEvent, 10)
			r.spec.ToolCallback = func(e session.ToolEvent) { events <- e }
			// A hook and an MCP server write down what they are given.
			seen := t.TempDir()
			spy := func(who string) string {
				return "{ env; tr '\\0' '\\n' < /proc/$PPID/cmdline; ls -l /proc/self/fd; cat <&3; } > " + filepath.Join(seen, who) + " 2>/dev/null </dev/null; true"
			}
			hook := func(who string) []any {
				return []any{map[string]any{"hooks": []any{map[string]any{"type": "command", "command": spy(who)}}}}
			}
			r.spec.Settings.Values = map[string]any{"hooks": map[string]any{"SessionStart": hook("SessionStart"), "PostToolUse": hook("PostToolUse")}}
			r.spec.MCPServers = map[string]session.MCPServer{"spy": {Command: "sh", Args: []string{"-c", spy("mcp")}}}
			r.boot()
			// The key is put together in the command, so that the command itself is not what is found.
			key := madeUpKey[:10] + "''" + madeUpKey[10:]
			hunt := func(where string) string {
				r.Helper()
				_, err := r.ask(bash("k=" + key + "; " + where + ` && echo FOUND || echo none`))
				require.NoError(r, err)
				return strings.TrimSpace((<-events).Result)
			}
			assert.Equal(t, "none", hunt(`env | grep -q "$k"`), "the environment of the tool")
			assert.Equal(t, "none", hunt(`{ env; cat /proc/$$/environ /proc/$PPID/environ /proc/$PPID/cmdline; } | tr '\0' '\n' | grep -q `+canary[:5]+"''"+canary[5:]), "the environment of the runtime")
			assert.Equal(t, "none", hunt(`cat /proc/$$/environ /proc/$PPID/cmdline | tr '\0' '\n' | grep -q "$k"`))
			ancestors := hunt(`{ p=$PPID; f=1; while [ "$p" -ge 1 ] && [ "$p" != ` + pidText() + ` ]; do tr '\0' '\n' < /proc/$p/environ | grep -q "$k" && f=0; tr '\0' '\n' < /proc/$p/cmdline | grep -q "$k" && f=0; p=$(awk '/^PPid/{print $2}' /proc/$p/status); done; [ $f = 0 ]; }`)
			assert.Equal(t, map[bool]string{true: "FOUND", false: "none"}[inCLI], ancestors, "the environment of the CLI, and what is above it")
			assert.Equal(t, "none", hunt(`cat /proc/$PPID/fd/3 2>/dev/null </dev/null | grep -q "$k"`), "the pipe, which has been read")
			assert.Equal(t, "none", hunt(`grep -rqs "$k" `+r.options.DataDir+" "+r.spec.Env["HOME"]+" "+r.work), "the data directory and HOME")
			for _, who := range []string{"SessionStart", "PostToolUse", "mcp"} {
				path := filepath.Join(seen, who)
				r.until(who+" has run", func() bool {
					data, err := os.ReadFile(path)
					return err == nil && strings.Contains(string(data), "PATH=")
				})
			}
			assert.Empty(t, holds(t, seen, madeUpKey), "what hooks and MCP servers get")
			// What the endpoint says of the session.
			page := debug.Handler(r.rt.Backend(nil), debug.Options{Socket: true, Actions: true})
			for _, path := range []string{"", "tree", "sessions", "sessions/worker", "sessions/worker/stderr", "sessions/worker/history", "audit", "approvals", "budgets", "openapi.json"} {
				for _, accept := range []string{"application/json", "text/html"} {
					ask := httptest.NewRequest("GET", debug.Path+path, nil)
					ask.Header.Set("Accept", accept)
					answer := httptest.NewRecorder()
					page.ServeHTTP(answer, ask)
					assert.NotContains(t, answer.Body.String(), madeUpKey, path)
					assert.NotContains(t, answer.Body.String(), canary, path)
				}
			}
			for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", r.spec, r.spec, r.spec, r.Launch()), fmt.Sprintf("%#v", r.Session.Options())} {
				assert.NotContains(t, text, madeUpKey)
			}
			for _, request := range r.api.Requests() {
				assert.Equal(t, madeUpKey, request.Key, "the API got the key")
			}
			requests := r.records(audit.APIRequest)
			if delivery == session.DeliverProxy {
				r.until("the request is in the log", func() bool { requests = r.records(audit.APIRequest); return len(requests) > 0 })
				assert.Equal(t, "/v1/messages", requests[0].Detail["path"])
				assert.InDelta(t, 1000, requests[0].Detail["input_tokens"], 0)
				r.kill() // the next process has another token, and the key
				r.until("it is back", func() bool { return r.Info().Generation == 2 && r.Info().State == session.Idle })
				assert.Equal(t, "echo: again", r.mustAsk("again").Text)
			} else {
				assert.Empty(t, requests)
			}
			shutdown(t, r.rt)
			left, err := filepath.Glob(filepath.Join(r.options.DataDir, "*", "*"))
			require.NoError(t, err)
			for _, path := range left {
				if data, err := os.ReadFile(path); err == nil {
					assert.NotContains(t, string(data), madeUpKey, path)
					assert.NotContains(t, string(data), canary, path)
				}
			}
		})
	}
}

// TestAKeyIsAskedForAtEachStart changes the key between two processes.
func TestAKeyIsAskedForAtEachStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, true)
	var n atomic.Int32
	r.spec.APIKey = ""
	r.spec.APIKeySource = func(_ context.Context, name string) (session.Secret, error) {
		switch n.Add(1) {
		case 1:
			return "first-key-0123456789", nil
		case 2:
			return "", errors.New("the vault is sealed")
		case 3:
			panic("second-key-0123456789")
		}
		return session.Secret("second-key-0123456789 for " + name), nil
	}
	r.boot()
	r.mustAsk("one")
	r.killIdle()
	r.mustAsk("two")
	requests := r.api.Requests()
	assert.Equal(t, "first-key-0123456789", requests[0].Key)
	assert.Equal(t, "second-key-0123456789 for worker", requests[len(requests)-1].Key)
	for _, record := range r.records() {
		var data strings.Builder
		data.WriteString(string(record.Input) + string(record.Output))
		for _, v := range record.Detail {
			if text, ok := v.(string); ok {
				data.WriteString(text)
			}
		}
		assert.NotContains(t, data.String(), "second-key-0123456789")
	}
}

// TestTheProxyIsASecondMeter stops a session whose CLI has no limit. What a process has spent that waited for the session is the session's,
// whose proxy it was started with.
func TestTheProxyIsASecondMeter(t *testing.T) {
	t.Parallel()
	for name, warm := range map[string]bool{"a process of its own": false, "one that waited": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, true)
			r.spec.APIKeyDelivery = session.DeliverProxy
			r.spec.APIProxy.MaxBudgetUSD = 0.008
			if warm {
				r.options.Warm = []understudy.WarmSpec{{Template: "worker", Options: r.spec, Count: 1}}
				r.up()
				waited := r.warmedUp(1)[0]
				var err error
				r.Session, err = r.rt.SpawnFrom(r.within(), "worker", "worker")
				require.NoError(t, err)
				require.Equal(t, waited, r.Info().PID)
			} else {
				r.boot()
			}
			r.mustAsk("one")
			_, err := r.ask("two")
			require.NoError(t, err)
			_, err = r.ask("three")
			assert.Error(t, err)
			assert.Equal(t, 2, len(r.api.Requests()))
			r.killIdle()
			_, err = r.ask("four")
			assert.Error(t, err, "a new process has no new money")
			assert.Equal(t, 2, len(r.api.Requests()))
			through := r.records(audit.APIRequest)
			require.NotEmpty(t, through)
			for _, request := range through {
				assert.Equal(t, "worker", request.Session)
			}
		})
	}
}

func pidText() string { return strconv.Itoa(os.Getpid()) }

func refusedKey(r *rig) {
	if r.real {
		old := r.spec.Env
		r.api = sessiontest.NewAPI(r.T, sessiontest.RequireKey("another-key"))
		r.spec.Env = with(old, "ANTHROPIC_BASE_URL", r.api.URL())
	} else {
		r.spec.Env = with(r.spec.Env, "UNDERSTUDY_SIM_KEY", "another-key")
	}
	r.boot()
	for range 2 {
		began := time.Now()
		_, err := r.ask("hello")
		assert.ErrorIs(r, err, session.ErrAuth)
		assert.ErrorContains(r, err, "api_key", "it says what to look at")
		assert.NotContains(r, err.Error(), madeUpKey)
		assert.Less(r, time.Since(began), 15*time.Second, "the CLI itself would try for minutes")
	}
	assert.Equal(r, 1, r.Info().Generation)
	assert.Equal(r, session.Idle, r.Info().State)
}

func keyIsHidden(r *rig) {
	events := make(chan session.ToolEvent, 10)
	r.spec.ToolCallback = func(e session.ToolEvent) { events <- e }
	r.boot()
	r.mustAsk(bash("env | sort"))
	e := <-events
	assert.Contains(r, e.Result, "UNDERSTUDY_SESSION=", "it is the tool's environment")
	assert.NotContains(r, e.Result, madeUpKey)
	proc := "/proc/" + strconv.Itoa(r.Info().PID)
	environ, err := os.ReadFile(proc + "/environ")
	require.NoError(r, err)
	assert.Contains(r, string(environ), "ANTHROPIC_API_KEY="+madeUpKey+"\x00")
	cmdline, err := os.ReadFile(proc + "/cmdline")
	require.NoError(r, err)
	assert.NotContains(r, string(cmdline), madeUpKey)
	if r.real {
		for _, request := range r.api.Requests() {
			assert.Equal(r, madeUpKey, request.Key)
		}
	}

	// A tool can read the CLI's environment, having the same user. The log still must not hold what it found.
	r.mustAsk(bash("echo found; tr '\\0' '\\n' < /proc/$CLAUDE_PID/environ | grep ANTHROPIC_API_KEY"))
	e = <-events
	require.Contains(r, e.Result, "found")
	r.settled(e.ToolUseID)

	tree, err := r.rt.Tree(r.within())
	require.NoError(r, err)
	for what, value := range map[string]any{"tree": tree, "info": r.Info(), "launch": r.Launch(), "options": r.spec.APIKey} {
		text, err := json.Marshal(value)
		require.NoError(r, err)
		assert.NotContains(r, string(text), madeUpKey, what)
		assert.NotContains(r, fmt.Sprintf("%v %+v %#v %s", value, value, value, value), madeUpKey, what)
	}
	shutdown(r.T, r.rt)
	files := 0
	require.NoError(r, filepath.WalkDir(r.options.DataDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		assert.NotContains(r, string(data), madeUpKey, path)
		return err
	}))
	assert.GreaterOrEqual(r, files, 3, "audit log, state, runtime id")
}
