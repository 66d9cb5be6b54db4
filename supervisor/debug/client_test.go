package debug

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onSocket serves a handler on a socket and gives a client of it.
func onSocket(t *testing.T, h http.Handler) (*Client, *http.Server) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "u.sock")
	listener, err := ListenUnix(path)
	require.NoError(t, err)
	server, over := NewServer(h), make(chan struct{})
	go func() { // ends with Close
		defer close(over)
		_ = server.Serve(listener)
	}()
	client := Dial(path)
	t.Cleanup(func() {
		client.Close()
		_ = server.Close()
		<-over
	})
	return client, server
}

func collect(frames iter.Seq2[json.RawMessage, error]) (got []string, err error) {
	for frame, e := range frames {
		if e != nil {
			return got, e
		}
		got = append(got, string(frame))
	}
	return got, nil
}

func TestClient(t *testing.T) {
	f := newFake()
	long := `{"x":"` + strings.Repeat("y", 3<<20) + `"}`
	f.query = answerOf(step{frame: `{"type":"assistant","text":"understudy_error"}`}, step{frame: long}, step{err: &Error{ErrorResult, "error_max_turns"}})
	f.records, f.more = []step{{frame: `{"seq":1}`}, {frame: `{"seq":2}`}}, make(chan string, 1)
	c, _ := onSocket(t, Handler(f, Options{Socket: true, Actions: true}))
	ctx := t.Context()

	root, err := c.Tree(ctx)
	require.NoError(t, err)
	assert.Equal(t, sample(), root)
	node, err := c.Session(ctx, "writer")
	require.NoError(t, err)
	assert.Equal(t, "writer", node.Name)
	lines, err := c.Stderr(ctx, "writer")
	require.NoError(t, err)
	assert.Equal(t, f.stderr, lines)

	got, err := collect(c.Query(ctx, "writer", "hello"))
	assert.Equal(t, []string{`{"type":"assistant","text":"understudy_error"}`, long}, got)
	assert.Equal(t, &Error{ErrorResult, "error_max_turns"}, err)
	assert.Equal(t, ErrorResult, CodeOf(err))

	require.NoError(t, c.Spawn(ctx, "new", []string{"model=haiku"}))
	require.NoError(t, c.Restart(ctx, "a/b c"))
	require.NoError(t, c.Interrupt(ctx, "a"))
	require.NoError(t, c.Stop(ctx, "a"))
	require.NoError(t, c.Remove(ctx, "a/b c", false))
	require.NoError(t, c.Remove(ctx, "a", true))
	assert.Equal(t, []string{"query writer hello", "spawn new [model=haiku]", "restart a/b c", "interrupt a", "stop a", "remove a/b c false", "remove a true"}, f.called())
	for _, who := range f.acted() {
		assert.Regexp(t, `^socket( uid=\d+ pid=\d+)?: `, who)
	}

	got, err = collect(c.Audit(ctx, 1, false))
	require.NoError(t, err)
	assert.Equal(t, []string{`{"seq":2}`}, got)
	following, cancel := context.WithCancel(ctx)
	defer cancel()
	f.more <- `{"seq":3}`
	got = nil
	for record, err := range c.Audit(following, 1, true) {
		require.NoError(t, err)
		if got = append(got, string(record)); len(got) == 2 {
			cancel()
		}
	}
	assert.Equal(t, []string{`{"seq":2}`, `{"seq":3}`}, got, "then it ends, without an error")

	_, err = c.Session(ctx, "nobody")
	assert.Equal(t, NoSuchSession, CodeOf(err))
	assert.EqualError(t, err, "there is no session \"nobody\": `understudy ps` lists those there are")
	f.err = &Error{Conflict, "it exists"}
	assert.Equal(t, f.err, c.Spawn(ctx, "new", nil))
	for _, name := range []string{"", ".", ".."} {
		assert.Equal(t, NoSuchSession, CodeOf(c.Stop(ctx, name)), name)
		assert.Equal(t, NoSuchSession, CodeOf(c.Remove(ctx, name, true)), name)
		_, err := collect(c.Query(ctx, name, "p"))
		assert.Equal(t, NoSuchSession, CodeOf(err), name)
	}
}

// TestClientThatBreaksOut ends the turn.
func TestClientThatBreaksOut(t *testing.T) {
	f := newFake()
	ended := make(chan struct{}, 2)
	f.query = func(ctx context.Context, _, _ string) iter.Seq2[json.RawMessage, error] {
		return func(yield func(json.RawMessage, error) bool) {
			yield(json.RawMessage(`{}`), nil)
			<-ctx.Done()
			ended <- struct{}{}
		}
	}
	c, _ := onSocket(t, Handler(f, Options{Socket: true, Actions: true}))
	for range c.Query(t.Context(), "a", "p") {
		break
	}
	<-ended
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var last error
	for _, err := range c.Query(ctx, "a", "p") {
		last = err
		cancel(errBoom)
	}
	<-ended
	assert.Equal(t, errBoom, last)
}

func TestClientWithoutDaemon(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	require.NoError(t, err)
	dead.SetUnlinkOnClose(false)
	require.NoError(t, dead.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for _, path := range []string{filepath.Join(dir, "nothing.sock"), stale, filepath.Join(dir, "file"), filepath.Join(dir, "file", "u.sock"), filepath.Join(dir, strings.Repeat("d", 120))} {
		c := Dial(path)
		for _, err := range []error{
			second(c.Tree(t.Context())), second(c.Stderr(t.Context(), "a")), c.Stop(t.Context(), "a"),
			second(collect(c.Query(t.Context(), "a", "p"))), second(collect(c.Audit(t.Context(), 1, true))),
		} {
			require.ErrorIs(t, err, ErrNoDaemon)
			assert.Contains(t, err.Error(), "no understudy daemon listens on "+path+" (")
			assert.Contains(t, err.Error(), "`understudy up`")
			assert.Contains(t, err.Error(), "--data-dir or --socket")
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestClientWhoseDaemonDies in the middle of a frame: the torn line is not taken for a frame.
func TestClientWhoseDaemonDies(t *testing.T) {
	die := make(chan func() error, 1)
	c, server := onSocket(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "{\"a\":1}\n{\"a\":")
		_ = http.NewResponseController(w).Flush()
		_ = (<-die)()
		<-r.Context().Done()
	}))
	var got []string
	var last error
	for frame, err := range c.Query(t.Context(), "a", "p") {
		if last = err; err == nil {
			got = append(got, string(frame))
			die <- server.Close
		}
	}
	assert.Equal(t, []string{`{"a":1}`}, got)
	assert.Equal(t, Unavailable, CodeOf(last))
	assert.ErrorContains(t, last, "went away before it had answered in full")
	assert.ErrorIs(t, second(c.Tree(t.Context())), ErrNoDaemon)
}

// TestClientOfSomethingElse talks to what is no understudy.
func TestClientOfSomethingElse(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"not found": http.NotFound,
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		},
		"abort": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"HTML":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"torn": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"name":`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := onSocket(t, h)
			_, err := c.Tree(t.Context())
			require.Error(t, err)
			assert.NotErrorIs(t, err, ErrNoDaemon)
			assert.NotContains(t, err.Error(), "http://localhost", "an address that nobody asked for")
		})
	}
}

func TestClientWithoutPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		c := Dial("/proc/self/mem/x")
		assert.ErrorIs(t, second(c.Tree(t.Context())), ErrNoDaemon, "root has every permission; a path through a file is no daemon's")
		return
	}
	path := filepath.Join(t.TempDir(), "u.sock")
	listener, err := ListenUnix(path)
	require.NoError(t, err)
	defer listener.Close()
	require.NoError(t, os.Chmod(path, 0))
	err = second(Dial(path).Tree(t.Context()))
	assert.False(t, errors.Is(err, ErrNoDaemon))
	assert.ErrorContains(t, err, "run this as the user who runs the daemon")
}
