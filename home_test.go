package understudy_test

import (
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/supervisor"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// holds reports which files below a directory have the text in them.
func holds(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // it went away meanwhile, or is no file
		}
		if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), text) {
			found = append(found, path)
		}
		return nil
	}))
	return found
}

// TestWithoutPersistenceNothingStays has a conversation, and looks for it when the session is over.
func TestWithoutPersistenceNothingStays(t *testing.T) {
	for name, test := range map[string]struct{ off, isolate bool }{"off": {true, true}, "on, with a HOME of its own": {false, true}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, true)
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp) // where directories of sessions are made
			r.spec.NoSessionPersistence = test.off
			delete(r.spec.Env, "HOME")
			delete(r.spec.Env, "CLAUDE_CONFIG_DIR")
			if !test.off {
				r.spec.IsolateHome = new(true)
			}
			t.Setenv("CLAUDE_CONFIG_DIR", r.config) // it must not be inherited
			events := make(chan session.ToolEvent, 10)
			r.spec.ToolCallback = func(e session.ToolEvent) { events <- e }
			r.boot()
			const secret = "the-word-nobody-keeps"
			r.mustAsk(secret)
			r.mustAsk(bash(`umask; stat -c %a $HOME $TMPDIR; echo $HOME; touch $TMPDIR/left; ulimit -c`))
			seen := strings.Fields((<-events).Result)
			require.Len(t, seen, 5, "%q", seen)
			assert.Equal(t, []string{"700", "700"}, seen[1:3])
			home := seen[3]
			tree, err := r.rt.Tree(r.within())
			require.NoError(t, err)
			node, ok := tree.Session("worker")
			require.True(t, ok)
			assert.Equal(t, test.off, node.Ephemeral)
			containment := r.Info().Containment
			require.NotEmpty(t, containment)
			assert.Equal(t, "0077", seen[0])
			assert.Equal(t, "0", seen[4], "no core file")
			assert.Empty(t, holds(t, r.config, secret), "the user's own configuration directory")
			r.killIdle()
			r.mustAsk("what was the word?")
			requests := r.api.Requests()
			again := strings.Join(requests[len(requests)-1].Conversation(), "\n")
			assert.Contains(t, again, "what was the word?")
			assert.Equal(t, test.off, !strings.Contains(again, secret), "a restart begins a new conversation: %s", again)
			if test.off {
				assert.False(t, exists(home), "it was the process's")
			}
			shutdown(t, r.rt)
			left, err := os.ReadDir(temp)
			require.NoError(t, err)
			for _, entry := range left {
				assert.False(t, strings.HasPrefix(entry.Name(), "understudy-"), entry.Name())
			}
			if test.off {
				assert.False(t, exists(home))
				for _, dir := range []string{r.options.DataDir, temp, r.work, filepath.Dir(r.config)} {
					assert.Empty(t, holds(t, dir, secret), dir)
				}
			} else {
				assert.Equal(t, filepath.Join(r.options.DataDir, "home", "worker"), home)
				assert.NotEmpty(t, holds(t, home, secret), "the conversation is kept there")
			}
		})
	}
}

// TestAnAgentCannotUseTheEndpoint has a tool, as the same user, ask the program that holds its session.
func TestAnAgentCannotUseTheEndpoint(t *testing.T) {
	t.Parallel()
	r := newRig(t, true)
	events := make(chan session.ToolEvent, 10)
	r.spec.ToolCallback = func(e session.ToolEvent) { events <- e }
	r.boot()
	path := filepath.Join(r.options.DataDir, "understudy.sock")
	serve := func(id string, listen func() (net.Listener, error), o debug.Options) {
		require.NoError(t, r.rt.Supervise(r.within(), supervisor.ChildSpec{
			ID: id, Start: debug.Serve(r.rt.System(), "root/"+id, listen, debug.Handler(r.rt.Backend(nil), o), zerolog.Nop()),
		}))
	}
	serve("socket", func() (net.Listener, error) { return debug.ListenUnix(path) }, debug.Options{Socket: true, Actions: true, Stranger: process.FromSession})
	tcp, err := debug.ListenTCP("127.0.0.1:0")
	require.NoError(t, err)
	serve("debug", func() (net.Listener, error) { return tcp, nil }, debug.Options{Actions: true, Token: "the-token-of-the-endpoint", RequireTokenForReads: true})

	client := debug.Dial(path)
	defer client.Close()
	_, err = client.Tree(r.within())
	require.NoError(t, err, "this program itself is nobody's tool")

	asks := func(command string) string {
		r.mustAsk(bash(command + "; true"))
		return (<-events).Result
	}
	curl := "curl -s -o /dev/null -w '%{http_code}' "
	base := "http://" + tcp.Addr().String() + debug.Path
	for name, command := range map[string]string{
		"read":             curl + "--unix-socket " + path + " http://x" + debug.Path + "tree",
		"act":              curl + "-X POST --unix-socket " + path + " http://x" + debug.Path + "sessions/worker/stop",
		"leave first":      "env -i setsid " + curl + "--unix-socket " + path + " http://x" + debug.Path + "tree",
		"leave for longer": `rm -f code; env -i setsid sh -c '(sleep 0.2; ` + strings.ReplaceAll(curl, "'", `"`) + "--unix-socket " + path + " http://x" + debug.Path + `tree > code) &' ; while [ ! -s code ]; do sleep 0.05; done; cat code`,
	} {
		assert.Equal(t, "403", strings.TrimSpace(asks(command)), name)
	}
	for name, command := range map[string]string{
		"read":  curl + base + "tree",
		"act":   curl + "-X POST " + base + "sessions/worker/stop",
		"guess": curl + "-H 'Authorization: Bearer guess' " + base + "tree",
	} {
		assert.Equal(t, "401", strings.TrimSpace(asks(command)), name)
	}
	request, err := http.NewRequest(http.MethodGet, base+"tree", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer the-token-of-the-endpoint")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	assert.Equal(t, http.StatusOK, answer.StatusCode)
	assert.Equal(t, session.Idle, r.Info().State)
}
