package understudy_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/audit"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/sessiontest"
	"github.com/understudy-run/understudy/supervisor/debug"
)

// startRuntime starts a runtime on the simulated CLI and shuts it down with the test.
func startRuntime(t *testing.T, options understudy.Options) (*understudy.Runtime, session.Options) {
	t.Helper()
	path, args, env := sessiontest.CLI(t)
	if options.CLI.Path == "" {
		options.CLI = session.CLI{Path: path, Args: args}
	}
	rt, err := understudy.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		assert.NoError(t, rt.Shutdown(ctx))
	})
	return rt, session.Options{CWD: t.TempDir(), Env: env}
}

func TestASecondRuntimeOnADataDirectoryIsRefusedByName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, _ := startRuntime(t, understudy.Options{DataDir: dir})
	_, err := understudy.Start(t.Context(), understudy.Options{DataDir: dir})
	require.ErrorIs(t, err, understudy.ErrDataDirInUse)
	assert.Contains(t, err.Error(), "pid "+strconv.Itoa(os.Getpid()))
	require.NoError(t, first.Shutdown(t.Context()))
	require.NoError(t, first.Shutdown(t.Context()), "twice is once")
	require.NoError(t, first.Wait(t.Context()))
	startRuntime(t, understudy.Options{DataDir: dir})
}

// A child that the program is forking has a copy of every descriptor until it executes.
func TestAShutdownGivesUpItsLocksWhoeverHasACopyOfThem(t *testing.T) {
	dir := t.TempDir()
	first, _ := startRuntime(t, understudy.Options{DataDir: dir})
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("descriptors are found in /proc, which is not here")
	}
	copies := 0
	for _, entry := range entries {
		target, err := os.Readlink("/proc/self/fd/" + entry.Name())
		if err != nil || !strings.HasPrefix(target, dir) || !strings.HasSuffix(target, ".lock") {
			continue
		}
		fd, err := strconv.Atoi(entry.Name())
		require.NoError(t, err)
		dup, err := syscall.Dup(fd)
		require.NoError(t, err)
		defer func() { assert.NoError(t, syscall.Close(dup)) }()
		copies++
	}
	require.Equal(t, 2, copies, "the data directory's and the audit log's")
	require.NoError(t, first.Shutdown(t.Context()))
	startRuntime(t, understudy.Options{DataDir: dir})
}

func TestASpawnThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rt, options := startRuntime(t, understudy.Options{DataDir: dir})
	bad := options
	bad.CWD = filepath.Join(dir, "missing")
	_, err := rt.Spawn(t.Context(), "a", bad)
	require.ErrorContains(t, err, bad.CWD)
	_, err = rt.Session("a")
	require.ErrorIs(t, err, understudy.ErrNoSession)
	assert.NoFileExists(t, filepath.Join(dir, "state", "a.json"))

	s, err := rt.Spawn(t.Context(), "a", options)
	require.NoError(t, err)
	assert.Equal(t, 1, s.Info().Generation)
	_, err = rt.Spawn(t.Context(), "a", options)
	assert.ErrorIs(t, err, understudy.ErrExists)
	_, err = rt.Spawn(t.Context(), "../a", options)
	assert.ErrorContains(t, err, `session name "../a"`)
	require.NoError(t, rt.Remove(t.Context(), "a"))
	assert.NoFileExists(t, filepath.Join(dir, "state", "a.json"))
	assert.Empty(t, rt.Sessions())
	for _, act := range []func(context.Context, string) error{rt.Restart, rt.Stop, rt.Remove} {
		assert.ErrorIs(t, act(t.Context(), "a"), understudy.ErrNoSession)
	}
}

func TestEverythingWrongWithTheOptionsIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	_, err := understudy.Start(t.Context(), understudy.Options{
		Sessions: []understudy.SessionSpec{{Name: "bad name"}, {Name: "a", Options: session.Options{MaxTurns: -1}}, {Name: "a"}},
		Groups:   []understudy.Group{{Name: "a", Sessions: []understudy.SessionSpec{{Name: "a"}}}},
		Pools:    []understudy.PoolSpec{{Name: "p", Min: 3, Max: 2}}, Limits: session.Limits{MaxStarting: -1},
	})
	require.Error(t, err)
	for _, part := range []string{"bad name", "max_turns \"-1\"", "session a: session exists already", "group a", "pool p: max 2", "max_starting -1"} {
		assert.ErrorContains(t, err, part)
	}
}

func TestAuditLogBeginsWithTheRuntimeAndItsConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rt, _ := startRuntime(t, understudy.Options{DataDir: dir, Configuration: understudy.Configuration{Path: "x.yaml", SHA256: "abc"}})
	require.NoError(t, rt.Shutdown(t.Context()))
	var kinds []audit.Kind
	var supervised []string
	for r, err := range audit.Read(filepath.Join(dir, "audit")) {
		require.NoError(t, err)
		if r.Kind == audit.SupervisorEvent {
			supervised = append(supervised, fmt.Sprintf("%v %v", r.Detail["event"], r.Detail["child"]))
			continue
		}
		kinds = append(kinds, r.Kind)
		if r.Kind == audit.ConfigLoaded {
			assert.Equal(t, map[string]any{"path": "x.yaml", "sha256": "abc"}, r.Detail)
		}
	}
	assert.Equal(t, []audit.Kind{audit.LogOpened, audit.RuntimeStarted, audit.ConfigLoaded, audit.RuntimeStopped, audit.LogClosed}, kinds)
	assert.Equal(t, []string{"child started audit", "child started sessions", "child stopped sessions"}, supervised)
}

func TestDebugHandlerOnlyShows(t *testing.T) {
	t.Parallel()
	rt, options := startRuntime(t, understudy.Options{})
	_, err := rt.Spawn(t.Context(), "a", options)
	require.NoError(t, err)
	server := httptest.NewServer(rt.DebugHandler(debug.Options{}))
	defer server.Close()
	for path, want := range map[string]int{
		"/debug/understudy/": 200, "/debug/understudy/tree": 200, "/debug/understudy/sessions/a": 200,
		"/debug/understudy/sessions/b": 404, "/livez": 200, "/readyz": 200,
	} {
		response, err := http.Get(server.URL + path)
		require.NoError(t, err, path)
		assert.NoError(t, response.Body.Close())
		assert.Equal(t, want, response.StatusCode, path)
	}
	response, err := http.Post(server.URL+"/debug/understudy/sessions/a/stop", "application/json", nil)
	require.NoError(t, err)
	assert.NoError(t, response.Body.Close())
	assert.Contains(t, []int{http.StatusForbidden, http.StatusUnauthorized}, response.StatusCode)
}

// TestDebugHandlerWithAServicesOwnAuthentication has it act for those whom the service knows, below a path of the service's.
func TestDebugHandlerWithAServicesOwnAuthentication(t *testing.T) {
	t.Parallel()
	rt, options := startRuntime(t, understudy.Options{})
	s, err := rt.Spawn(t.Context(), "a", options)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/ops/", http.StripPrefix("/ops", rt.DebugHandler(debug.Options{Actions: true, Authorize: func(r *http.Request, access debug.Access) (string, error) {
		if user := r.Header.Get("X-User"); user == "alice" || access == debug.Look {
			return user, nil
		}
		return "", errors.New("alice may")
	}})))
	server := httptest.NewServer(mux)
	defer server.Close()
	stop := func(user string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/ops/debug/understudy/sessions/a/stop", nil)
		require.NoError(t, err)
		request.Header.Set("X-User", user)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		assert.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	assert.Equal(t, http.StatusForbidden, stop("mallory"))
	assert.Equal(t, session.Idle, s.Info().State)
	assert.Equal(t, http.StatusNoContent, stop("alice"))
	assert.Equal(t, session.Stopped, s.Info().State)
}

// Two processes on one conversation would each write a history of its own: the second session is refused, by what the options say and
// by what the first one turned out to be on.
func TestOneSessionPerConversation(t *testing.T) {
	t.Parallel()
	const id = "6707845e-151e-4a35-8d56-6930a05f63c9"
	_, err := understudy.Start(t.Context(), understudy.Options{CLI: simulated, Sessions: []understudy.SessionSpec{
		{Name: "a", Options: session.Options{SessionID: id, Env: simulatedEnv}},
		{Name: "b", Options: session.Options{Resume: id, Env: simulatedEnv}},
	}})
	require.ErrorIs(t, err, understudy.ErrConversationTaken)
	require.ErrorContains(t, err, "session b: resume: another session is on that conversation: session a")
	one := session.Options{SessionID: id, Env: simulatedEnv}
	for want, o := range map[string]understudy.Options{
		"session b: session_id": {Groups: []understudy.Group{{Name: "g", Sessions: []understudy.SessionSpec{{Name: "b", Options: one}}}}},
		"pool p: session_id":    {Pools: []understudy.PoolSpec{{Name: "p", Options: one}}},
	} {
		o.CLI, o.Sessions = simulated, []understudy.SessionSpec{{Name: "a", Options: one}}
		_, err := understudy.Start(t.Context(), o)
		require.ErrorIs(t, err, understudy.ErrConversationTaken)
		require.ErrorContains(t, err, want)
	}

	rt, err := understudy.Start(t.Context(), understudy.Options{CLI: simulated, DataDir: t.TempDir()})
	require.NoError(t, err)
	defer func() { assert.NoError(t, rt.Shutdown(t.Context())) }()
	a, err := rt.Spawn(t.Context(), "a", session.Options{Env: simulatedEnv, CWD: t.TempDir()})
	require.NoError(t, err)
	for name, o := range map[string]session.Options{
		"its id":       {SessionID: a.Info().SessionID},
		"resumed":      {Resume: a.Info().SessionID},
		"in uppercase": {Resume: strings.ToUpper(a.Info().SessionID)},
	} {
		o.Env = simulatedEnv
		_, err = rt.Spawn(t.Context(), "b", o)
		require.ErrorIs(t, err, understudy.ErrConversationTaken, name)
		require.ErrorContains(t, err, "session a", name)
	}
	_, err = rt.Session("b")
	require.ErrorIs(t, err, understudy.ErrNoSession, "nothing is left of one that was refused")
	for _, spec := range []understudy.ReloadSpec{
		{Sessions: []understudy.SessionSpec{{Name: "c", Options: session.Options{SessionID: a.Info().SessionID, Env: simulatedEnv}}}},
		{Pools: []understudy.PoolSpec{{Name: "p", Options: session.Options{Resume: a.Info().SessionID, Env: simulatedEnv}}}},
	} {
		changes, err := rt.Reload(t.Context(), spec)
		require.NoError(t, err)
		require.Len(t, changes, 1)
		require.Contains(t, changes[0].Error, "session a", "what a reload adds is refused, too: %s", changes[0].Name())
	}
	_, err = rt.Reload(t.Context(), understudy.ReloadSpec{})
	require.NoError(t, err)
	require.NoError(t, rt.Stop(t.Context(), "a"))
	_, err = rt.Spawn(t.Context(), "b", session.Options{SessionID: a.Info().SessionID, Env: simulatedEnv})
	require.ErrorIs(t, err, understudy.ErrConversationTaken, "one that was stopped can be started again")
	require.NoError(t, rt.Remove(t.Context(), "a"))
	b, err := rt.Spawn(t.Context(), "b", session.Options{SessionID: a.Info().SessionID, Env: simulatedEnv})
	require.NoError(t, err, "the conversation is free when its session is gone")
	assert.Equal(t, a.Info().SessionID, b.Info().SessionID)
}

// TestWarmIsRefused: what cannot be had in advance is said at the start.
func TestWarmIsRefused(t *testing.T) {
	t.Parallel()
	keep := true
	for want, o := range map[string]session.Options{
		"session_id":     {SessionID: "00000000-0000-4000-8000-000000000001"},
		"isolate_home":   {IsolateHome: &keep},
		"api_key_source": {APIKeySource: func(context.Context, string) (session.Secret, error) { return "x", nil }},
		"resume":         {Resume: "00000000-0000-4000-8000-000000000001"},
	} {
		_, err := understudy.Start(t.Context(), understudy.Options{Warm: []understudy.WarmSpec{{Template: "worker", Options: o, Count: 1}}})
		require.ErrorContains(t, err, "template worker: warm: "+want)
	}
	_, err := understudy.Start(t.Context(), understudy.Options{Warm: []understudy.WarmSpec{{Template: "a"}, {Template: "a"}, {Template: "~", Count: 1}}})
	require.ErrorContains(t, err, "a template of that name is there already")
	require.ErrorContains(t, err, `template name "~"`)
}
