package understudy_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy"
	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/supervisor"
)

// TestTheSandboxHolds has commands try what the sandbox of a profile is for.
func TestTheSandboxHolds(t *testing.T) {
	t.Parallel()
	r := newRig(t, true)
	needSandbox(r)
	home := r.spec.Env["HOME"]
	require.NoError(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(home, ".ssh", "id"), []byte("private\n"), 0o600))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	asked := make(chan struct{}, 10)
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} })}
	go func() { _ = server.Serve(listener) }() // ends with the test
	t.Cleanup(func() { _ = server.Close() })

	r.spec.Profile, r.spec.AllowedTools = session.ProfileCI, []string{"Bash"}
	r.tries([]use{
		{"write inside", bash("echo x > inside"), true},
		{"write outside", bash("echo x > " + home + "/outside"), false},
		{"read a secret", bash("cat " + home + "/.ssh/id"), false},
		{"reach the host", bash("curl -sS -m 5 http://" + listener.Addr().String()), false},
		{"reach it past the proxy", bash("env -u http_proxy -u HTTP_PROXY -u ALL_PROXY -u all_proxy curl --noproxy '*' -sS -m 5 http://" + listener.Addr().String()), false},
		{"leave the sandbox", tool("echo x > "+home+"/outside", `,"dangerouslyDisableSandbox":true`), false},
		// The number may be another's in there: of one that has not the CLI's first argument.
		{"see the CLI", bash("test \"$(tr '\\0' ' ' < /proc/$CLAUDE_PID/cmdline | cut -d' ' -f2)\" = --print || ls /no/such/file"), false}, // a test that fails is no error to it
	})
	assert.True(t, exists(filepath.Join(r.work, "inside")))
	assert.False(t, exists(filepath.Join(home, "outside")))
	assert.Empty(t, asked)
}

// TestASandboxThatCannotBeHad has none of the tools on the PATH of the session: nothing runs, and the error says what to do.
func TestASandboxThatCannotBeHad(t *testing.T) {
	t.Parallel()
	bare := t.TempDir()
	for name, test := range map[string]struct {
		with []string // programs on the PATH
		want string
	}{
		"neither tool":           {nil, "apt-get install bubblewrap socat"},
		"one of them":            {[]string{"bwrap"}, "apt-get install socat"},
		"tools that do not work": {[]string{"false as bwrap", "socat"}, "user namespaces"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(bare, strings.ReplaceAll(name, " ", "-"))
			require.NoError(t, os.Mkdir(path, 0o700))
			for _, program := range test.with {
				program, as, ok := strings.Cut(program, " as ")
				if !ok {
					as = program
				}
				require.NoError(t, os.Symlink("/bin/false", filepath.Join(path, as)))
			}
			r := newRig(t, false)
			r.spec.Env = with(r.spec.Env, "PATH", path)
			r.spec.Sandbox = session.Sandbox{Enabled: new(true)}
			rt, err := understudy.Start(r.within(), r.options)
			require.NoError(t, err)
			defer shutdown(t, rt)
			_, err = rt.Spawn(r.within(), "worker", r.spec)
			require.ErrorContains(t, err, test.want)
			assert.True(t, supervisor.Permanently(err), "trying again would not help")
			start := &process.StartError{}
			assert.ErrorAs(t, err, &start)

			r.spec.Sandbox.FailIfUnavailable = new(false)
			s, err := rt.Spawn(r.within(), "worker", r.spec)
			require.NoError(t, err, "it was said that it need not be there")
			assert.Error(t, s.SetPermissionMode(r.within(), protocol.ModeBypassPermissions))
		})
	}
}
